"""One day of an operator with the programs, told the same to every server.

A step runs one program. What it comes to is its exit code and its answer without ids, dates and other
servers' sentences: of a failure the exception's name stays. At the end the account is looked through.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scenario import comparable

# What is done, in the operator's words, and the command.
DAY = [
    ("a ca of our own", "create-root"),
    ("what registering would change", "register --drift"),
    ("the ca registered", "register"),
    ("the ca registered again", "register"),
    ("no drift afterwards", "register --drift"),
    ("the cas listed", "ca list"),
    ("a ca shown", "ca show root"),
    ("the ca disabled", "ca disable root"),
    ("the ca enabled", "ca enable root"),
    ("a thing of our ca", "create-thing own --own-policy"),
    ("a thing with keys from aws", "create-thing keys --aws-keys --own-policy"),
    ("a thing for a request", "create-thing request --csr request.csr --own-policy"),
    ("a thing of our ca again", "create-thing own --own-policy"),
    ("a thing with keys from aws again", "create-thing keys --aws-keys --own-policy"),
    ("a thing for a request again", "create-thing request --csr request.csr --own-policy"),
    ("several things at once", "create-thing a b c --aws-keys"),
    ("a policy that does not exist", "create-thing other --aws-keys --policy Nothing"),
    ("the status of each", "device-status own keys request"),
    ("the status at length", "device-status keys --long"),
    ("as expected", "device-status keys request --expect ACTIVE"),
    ("of no thing", "device-status nobody"),
    ("every thing with its certificates", "thing-certificates"),
    ("locked out", "disable-certificate keys request --yes"),
    ("not as expected", "device-status keys --expect ACTIVE"),
    ("locked out again", "disable-certificate keys --yes"),
    ("let in", "enable-certificate keys"),
    ("revoked", "disable-certificate request --revoke --yes"),
    ("let in although revoked", "enable-certificate request"),
    ("nothing to sweep yet", "sweep"),
    ("the plan of a deletion", "delete-thing keys --dry-run"),
    ("its certificate kept", "delete-thing a --keep-certificate --yes"),
    ("swept at once", "sweep --older-than 0m"),
    ("swept away", "sweep --older-than 0m --delete --yes"),
    ("deleted", "delete-thing own keys request b c --yes"),
    ("deleted again", "delete-thing keys --yes"),
    ("deleted again if it exists", "delete-thing keys --yes --if-exists"),
    ("the ca deleted while active", "ca delete root"),
    ("the ca deleted", "ca delete root --yes"),
    ("the ca deleted again", "ca delete root --yes"),
]

# The policy that the default registration template names.
IOT_ACCESS = Path(__file__).parents[2] / "policies" / "IoTAccess.json"
LEFT = "what is left in the account"
STEPS = [title for title, _ in DAY] + [LEFT]


def play(url, iot):
    """Lives the day; hands on what each step came to, by title."""
    observed = {}
    iot.create_policy(policyName="IoTAccess", policyDocument=IOT_ACCESS.read_text())
    with tempfile.TemporaryDirectory() as folder:
        write_request(Path(folder) / "request.csr")
        for title, command in DAY:
            observed[title] = run(command.split(), folder, url)
    observed[LEFT] = left(iot)
    return observed


def run(command, folder, url):
    """What a program comes to."""
    program = Path(os.environ["BIN"]) / command[0]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": folder,
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    try:
        ended = subprocess.run(
            [program, *command[1:]],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
        )
    except subprocess.TimeoutExpired:
        return {"code": None, "answer": ["still running after 200 s"]}
    came_to = {"code": ended.returncode, "answer": sorted(map(line, ended.stdout.splitlines()))}
    if ended.returncode:
        came_to["error"] = sorted(set(re.findall(r"\b\w+Exception\b", ended.stdout + ended.stderr)))
        print(f"{url} {command}: {ended.stdout}{ended.stderr}", file=sys.stderr)
    return came_to


def line(text):
    """A line of an answer, comparable."""
    text = re.sub(r"arn:aws:iam::\d+:", "arn:aws:iam:", comparable(text))
    text = re.sub(r"\d{4}-\d\d-\d\dT?[\d:.]*Z?", "DATE", text)
    return re.sub(r"\tfailed\t.*", "\tfailed", text)


def left(iot):
    """What an account holds, counted."""
    certificates = iot.list_certificates(pageSize=250)["certificates"]
    return {
        "things": sorted(thing["thingName"] for thing in iot.list_things()["things"]),
        "certificates": sorted(certificate["status"] for certificate in certificates),
        "policies": sorted(policy["policyName"] for policy in iot.list_policies()["policies"]),
        "cas": cas(iot),
    }


def cas(iot):
    """How many CAs are registered, or the status of a server that cannot tell."""
    try:
        return len(iot.list_ca_certificates()["certificates"])
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]


def write_request(path):
    """A certificate signing request, whose key is thrown away."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    path.write_bytes(request.public_bytes(serialization.Encoding.PEM))
