"""ministack, a server that makes CloudFormation stacks for real, while a block runs; and clients of it."""

import os
import sys
import time
from pathlib import Path

import boto3

# Which servers there are, and how they are started, is known there.
sys.path.append(str(Path(__file__).resolve().parents[1] / "witnesses"))
from servers import running  # noqa: E402

BESIDE = Path(sys.executable).parent
REGION, ACCOUNT = "eu-central-1", "123456789012"
# ministack takes an access key of twelve digits for the account.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": "none"}
SECONDS = 60


def ministack():
    """ministack on a free port of the loopback while a block runs; hands on its URL."""
    # Nothing of the caller's own AWS set-up may have a say.
    os.environ |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return running("ministack", os.environ["LOGS"])


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
