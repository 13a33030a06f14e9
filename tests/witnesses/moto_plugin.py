"""pytest plugin: moto's own tests of AWS IoT against the local core, every answer judged by botocore's model.

IOT_ENDPOINT is the core, which is emptied before each test (`--allow-reset`). FINDINGS is the file that
gets what the model finds wrong, one JSON object a line.
"""

import json
import os
import sys
from pathlib import Path

import requests

ENDPOINT = os.environ["IOT_ENDPOINT"]
# moto's switch for tests against a server; nothing may slip out to a real endpoint.
os.environ.update(
    TEST_SERVER_MODE="true",
    TEST_SERVER_MODE_ENDPOINT=ENDPOINT,
    AWS_ENDPOINT_URL=ENDPOINT,
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    AWS_DEFAULT_REGION="us-east-1",
)
sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))

import boto3  # noqa: E402  (after the environment it reads)
import moto.core.models  # noqa: E402
import strict  # noqa: E402

current = "(no test)"
make_client = boto3.Session.client


def judged_client(session, *arguments, **options):
    """A client as boto3 makes it, each of its answers judged by the model."""
    client = make_client(session, *arguments, **options)
    if client.meta.service_model.service_name in ("iot", "iot-data"):
        strict.attach(client, report)
    return client


def report(sentence):
    with open(os.environ["FINDINGS"], "a") as findings:
        findings.write(json.dumps({"test": current, "finding": sentence}) + "\n")


def reset(self=None):
    """In place of moto's reset, which asks its own server."""


boto3.Session.client = judged_client
moto.core.models.ServerModeMockAWS.reset = reset


def pytest_runtest_setup(item):
    global current
    current = item.name
    requests.post(f"{ENDPOINT}/_local/reset", timeout=30).raise_for_status()
