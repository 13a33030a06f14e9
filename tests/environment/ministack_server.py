"""ministack, a server that makes CloudFormation stacks for real, while a block runs; and clients of it."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import boto3

BESIDE = Path(sys.executable).parent
REGION, ACCOUNT = "eu-central-1", "123456789012"
# ministack takes an access key of twelve digits for the account.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": "none"}
SECONDS = 60


@contextmanager
def ministack():
    """ministack on a free port of the loopback while the block runs; hands on its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Its listener with mutual TLS would bind every address.
    settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0"}
    settings |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [BESIDE / "ministack"], env={**os.environ, **settings}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            if not eventually(lambda: process.poll() is not None or answers(url)) or process.poll() is not None:
                log.seek(0)
                sys.exit(f"ministack does not start: {log.read().decode(errors='replace')}")
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(url):
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def clients(url, *names):
    session = boto3.Session(aws_access_key_id=ACCOUNT, aws_secret_access_key="none", region_name=REGION)
    return {name: session.client(name, endpoint_url=url) for name in names}


def eventually(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
