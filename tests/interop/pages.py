"""Runs the commands of docs/rules-and-queues.md as they are written, with awscli, against a local core."""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import boto3

from lab import Core, case, eventually, judge

ROOT = Path(__file__).resolve().parents[2]
BIN, CONSUMER = Path(os.environ["BIN"]), Path(os.environ["CONSUMER"])
# The core is there already, at a port of its own.
SERVE, ENVIRONMENT = "./bin/iot-local serve --data ~/iot\n", "./bin/iot-local env"


def commands(page):
    """What stands in the blocks `sh` of a page, in its order."""
    inside, found = False, []
    for line in page.splitlines():
        if line.startswith("```"):
            inside = line == "```sh"
        elif inside:
            found.append(line)
    return "\n".join([*found, ""])


def prepare(folder):
    """What a reader of a page has: the programs, and the packed function, as `make lambda` makes it."""
    (folder / "bin").symlink_to(BIN)
    (folder / "target/lambda").mkdir(parents=True)
    with zipfile.ZipFile(folder / "target/lambda/process-queue.zip", "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, CONSUMER.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=1)
    tools = folder / "tools"
    tools.mkdir()
    (tools / "make").write_text("#!/bin/sh\nexit 0\n")
    (tools / "make").chmod(0o755)
    return f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"


@case
def topic_rules_and_queues_on_the_desk():
    port = urlsplit(os.environ["AWS_ENDPOINT_URL"]).port
    script = commands((ROOT / "docs/rules-and-queues.md").read_text())
    assert SERVE in script and ENVIRONMENT in script and script.count("\n") > 30, script
    script = script.replace(SERVE, "").replace(ENVIRONMENT, f"{ENVIRONMENT} --control-port {port}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        path = prepare(folder)
        (folder / "page.sh").write_text(script)
        kept = {"PATH": path, "HOME": str(folder), "AWS_CONFIG_FILE": os.devnull}
        told = subprocess.run(["bash", "-eux", "-o", "pipefail", "page.sh"], cwd=folder, env=kept, capture_output=True, text=True)
        assert told.returncode == 0, told
        assert '{"t":60,"device":"a"}\n' in told.stdout, told
    # The function takes out what the rule puts in.
    data = boto3.client("iot-data", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    data.publish(topic="sensors/b", qos=1, payload=json.dumps({"temperature": 70}))
    logged = lambda: [entry["sentence"] for entry in Core().diary() if entry["code"] == "FUNCTION_LOG"]
    worked_on = lambda: any('"processed"' in line and r'\"t\":70' in line for line in logged())
    eventually(worked_on, "the function has worked on it")


judge()
