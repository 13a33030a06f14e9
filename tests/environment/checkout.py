"""What the stacks are deployed from: a copy of the repository's templates, with the function packed; and make in it."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

from ministack_server import ACCOUNT, BESIDE, CREDENTIALS, REGION

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ("provisioning", "sqs", "loadtest")
STACKS = {"provisioning": "iot-policy", "sqs": "loadtest-stack", "loadtest": "loadtest-policy"}
TARGETS = {"provisioning": "deploy", "sqs": "sqs", "loadtest": "loadtest-policy"}
BUCKET = "artefacts"


def checkout(folder, function):
    """What `make` deploys from, with the function packed as `make lambda` packs it, but not built for release."""
    shutil.copytree(ROOT / "etc/cloudformation", folder / "etc/cloudformation")
    for name in ("Makefile", "etc/config.mk"):
        shutil.copy(ROOT / name, folder / name)
    package = folder / "target/lambda/process-queue.zip"
    package.parent.mkdir(parents=True)
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, function.read_bytes(), zipfile.ZIP_DEFLATED)
    return folder


class Make:
    """make, in a checkout, against a server; the functions are there, so they are not built."""

    def __init__(self, tree, url):
        self.tree = tree
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environment = {**kept, **CREDENTIALS, "AWS": str(BESIDE / "aws"), "AWS_CONFIG_FILE": os.devnull}
        self.environment |= {"AWS_REGION": REGION, "AWS_BUCKET": BUCKET, "AWS_ACCOUNT": ACCOUNT, "AWS_ENDPOINT_URL": url}

    def __call__(self, *arguments, **environment):
        command = ["make", "--old-file=lambda", *arguments]
        kept = {name: value for name, value in {**self.environment, **environment}.items() if value is not None}
        return subprocess.run(command, cwd=self.tree, env=kept, capture_output=True, text=True)
