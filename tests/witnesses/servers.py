"""The local core and the two witnesses, each started on a free loopback port and stopped by its process id."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60
REGION = "us-east-1"
BESIDE = Path(sys.executable).parent


def local_core(port):
    binary = Path(os.environ["BIN"]) / "iot-local"
    ports = ["--control-port", str(port), "--mqtt-port", "0"]
    return [binary, "serve", "--empty", "--allow-reset", "--region", REGION, *ports], {}


def moto(port):
    return [BESIDE / "moto_server", "--host", "127.0.0.1", "--port", str(port)], {}


def ministack(port):
    # Its listener with mutual TLS would bind every address.
    settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0"}
    return [BESIDE / "ministack"], settings


SERVERS = {"iot-local": local_core, "moto": moto, "ministack": ministack}


@contextmanager
def running(name, logs):
    """A server while the block runs; hands on its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command, settings = SERVERS[name](port)
    with open(Path(logs) / f"{name}.log", "wb") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url, process, name)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(url, process, name):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with status {process.returncode}, see its log")
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{name} does not answer after {START_SECONDS} s")
