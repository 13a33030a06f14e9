"""What the Python judges share: cases and their report, the core under judgement, the programs."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
import uuid
from pathlib import Path

import boto3
import botocore.config
from botocore.exceptions import ClientError

import strict

CASE_SECONDS = 45
POLICY = "IoTAccess"  # what a fresh core holds: Connect as the CN, Publish on the CN, receive all

STRING = {"Type": "String"}  # the only type a template parameter can have
ROLE = "arn:aws:iam::123456789012:role/IoTProvisioning"

EVERYTHING = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}


class Skipped(Exception):
    """Raised by a case that cannot be judged here; its text says why."""


def unique(prefix):
    """A name nobody else has."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def template(thing=None, certificate=None, policy=None, more_parameters=None, override=None):
    """A registration template for just-in-time provisioning: what differs from the smallest one.

    The smallest makes a thing named after the certificate, with the policy of a fresh core.
    """
    prefix = "AWS::IoT::Certificate"
    parameters = {f"{prefix}::CommonName": STRING, f"{prefix}::Id": STRING}
    resources = {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Ref": f"{prefix}::CommonName"}, **(thing or {})},
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {
                "CertificateId": {"Ref": f"{prefix}::Id"},
                "Status": "ACTIVE",
                **(certificate or {}),
            },
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": policy or {"PolicyName": POLICY}},
    }
    if override:
        resources["thing"]["OverrideSettings"] = override
    return {"Parameters": {**parameters, **(more_parameters or {})}, "Resources": resources}


def policy(*statements):
    """A policy document in JSON."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


TEMPLATE = template()
CASES = []


def case(function):
    """Marks a function as a case; its name, with spaces, is what the case claims."""
    CASES.append(function)
    return function


def judge(core=None):
    """Runs the cases in order, prints `ok   NAME`, `FAIL NAME: why` or `skip NAME: why`, and exits.

    A case is given the core, if there is one.
    """
    passed = True
    signal.signal(signal.SIGALRM, _too_late)
    for function in CASES:
        title = function.__name__.replace("_", " ").strip()
        verdict, why = _verdict(function, core)
        passed = passed and verdict != "FAIL"
        print(f"{verdict:<4} {title}" + (f": {why}" if why else ""), flush=True)
    # Not through the interpreter's shutdown, which client libraries with threads may hang.
    sys.stdout.flush()
    os._exit(0 if passed else 1)


def _verdict(function, core):
    if core is not None:
        core.findings.clear()
    signal.alarm(CASE_SECONDS)
    try:
        function(*([core] if core is not None else []))
    except Skipped as skipped:
        return "skip", str(skipped)
    except Exception as error:  # whatever goes wrong is the case's verdict
        place = traceback.extract_tb(error.__traceback__)
        here = function.__code__.co_filename
        mine = next((frame for frame in reversed(place) if frame.filename == here), place[-1])
        why = " ".join(str(error).split()) or mine.line
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        return "FAIL", f"{kind}{why[:400]} (line {mine.lineno})"
    finally:
        signal.alarm(0)
    if core is not None and core.findings:
        return "FAIL", "; ".join(dict.fromkeys(core.findings))[:600]
    return "ok", ""


def _too_late(*_):
    raise TimeoutError(f"no end after {CASE_SECONDS} s")


def expect_error(code, call, **arguments):
    """Asserts that the call fails with this error code; hands on the error's body."""
    try:
        call(**arguments)
    except ClientError as error:
        told = error.response["Error"]["Code"]
        assert told == code, f"{told} ({error.response['Error']['Message']}) instead of {code}"
        return error.response
    raise AssertionError(f"accepted, instead of {code}")


def eventually(condition, what, seconds=10):
    """Waits until the condition holds, and hands on what it answered."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(0.1)


class Core:
    """The local core that the environment points at, and what a judge asks of it."""

    def __init__(self):
        host, _, port = os.environ["AWS_IOT_ENDPOINT"].rpartition(":")
        self.host, self.port = host, int(port)
        self.cafile = os.environ["AWS_IOT_CAFILE"]
        self.url = os.environ["AWS_ENDPOINT_URL"]
        self.findings = []
        self.iot = self.client(parameter_validation=True)

    def client(self, service="iot", **options):
        """A boto3 client every answer of which is judged by botocore's model."""
        config = botocore.config.Config(retries={"total_max_attempts": 1}, **options)
        client = boto3.client(service, config=config)
        strict.attach(client, self.findings.append)
        return client

    def diary(self):
        """Why things were refused, as the core tells it."""
        with urllib.request.urlopen(f"{self.url}/_local/diary", timeout=5) as answer:
            return json.load(answer)

    def register_ca(self, authority, template=TEMPLATE, active=True, auto=True):
        """Registers a CA with proof of possession; hands on its id."""
        code = self.iot.get_registration_code()["registrationCode"]
        config = {"templateBody": json.dumps(template), "roleArn": ROLE} if template else None
        return self.iot.register_ca_certificate(
            caCertificate=authority.pem,
            verificationCertificate=authority.issue(code).pem,
            setAsActive=active,
            allowAutoRegistration=auto,
            **({"registrationConfig": config} if config else {}),
        )["certificateId"]

    def register(self, identity, *, policy_name=POLICY, status="ACTIVE"):
        """Registers a certificate without any CA and attaches a policy; hands on its ARN."""
        arn = self.iot.register_certificate_without_ca(certificatePem=identity.pem, status=status)[
            "certificateArn"
        ]
        if policy_name:
            self.iot.attach_policy(policyName=policy_name, target=arn)
        return arn

    def allow(self, policy_name, *statements):
        """Makes a policy of these statements unless it is there already."""
        with contextlib.suppress(self.iot.exceptions.ResourceAlreadyExistsException):
            self.iot.create_policy(policyName=policy_name, policyDocument=policy(*statements))
        return policy_name

    def arn_of(self, identity):
        """The ARN of a registered certificate."""
        answer = self.iot.describe_certificate(certificateId=identity.id)
        return answer["certificateDescription"]["certificateArn"]

    def certificate_status(self, certificate_id):
        """The status of a certificate, or None when the account does not know it."""
        try:
            answer = self.iot.describe_certificate(certificateId=certificate_id)
        except self.iot.exceptions.ResourceNotFoundException:
            return None
        return answer["certificateDescription"]["status"]

    def certificate_ids(self):
        """Every device certificate of the account."""
        pages = self.iot.get_paginator("list_certificates").paginate()
        return {item["certificateId"] for page in pages for item in page["certificates"]}


class Station:
    """A folder with the toolkit's programs, as a factory has one."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="interop-station-")
        self.path = Path(self._folder.name)

    def command(self, program, *arguments):
        """The command line of a program of the toolkit."""
        return [str(Path(os.environ["BIN"]) / program), *arguments]

    def run(self, program, *arguments, check=True):
        """Runs a program in the folder; hands on what it did."""
        done = subprocess.run(
            self.command(program, *arguments),
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=CASE_SECONDS,
        )
        if check:
            assert done.returncode == 0, f"{program} exited {done.returncode}: {done.stderr}"
        return done

    def start(self, program, *arguments):
        """Starts a program that goes on running; the caller waits for it."""
        return subprocess.Popen(
            self.command(program, *arguments),
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_line(self, process, text):
        """Waits until a started program says this on stderr."""
        for line in process.stderr:
            if text in line:
                return
        raise AssertionError(f"the program ended without saying {text!r}")

    def device(self, name, *flags):
        """Provisions a device; hands on its certificate and key file."""
        self.run("provision", name, *flags)
        return str(self.path / f"{name}.crt"), str(self.path / f"{name}.key")
