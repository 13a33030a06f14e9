"""A CA whose key is in AWS KMS: the programs against moto's, and what openssl says of what they make.

moto signs the message it is given (MessageType RAW) as KMS does, and answers in DER.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3

import servers

SPECS = {
    "p256": "ECC_NIST_P256",
    "p384": "ECC_NIST_P384",
    "rsa2048": "RSA_2048",
    "rsa4096": "RSA_4096",
}
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class Station:
    """A folder, and the programs as processes in it."""

    def __init__(self, folder, url):
        self.folder = folder
        self.environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": servers.REGION,
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
        }

    def run(self, program, *arguments, code=0):
        command = [Path(os.environ["BIN"]) / program, *arguments]
        ended = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert ended.returncode == code, (program, arguments, ended)
        return ended

    def verify(self, ca, device):
        subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca, device],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )


def a_root_is_made_for_a_key_that_is_there_and_signs_devices(station, kms):
    for name, spec in SPECS.items():
        made = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
        kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=made["KeyId"])
        for place in (f"awskms:alias/{name}", f"awskms:{made['KeyId']}", f"awskms:{made['Arn']}"):
            line = station.run("create-root", name, "--ca-key", place, "--output", "json").stdout
            assert json.loads(line)["key"] == place, line
        # The second and third found what the first had made.
        assert json.loads(line)["outcome"] == "unchanged", line
        station.run("provision", f"d-{name}", name, "--ca-key", place)
        station.verify(f"{name}.ca.pem", f"d-{name}.crt")
        assert not (station.folder / f"{name}.ca.key").exists()


def a_key_is_made_there_with_its_alias_and_only_once(station, kms):
    place = "awskms:alias/made"
    station.run("create-root", "made", "--ca-key", place, code=4)
    station.run("create-root", "made", "--ca-key", place, "--generate-key", "--key-type", "p384")
    key = kms.describe_key(KeyId="alias/made")["KeyMetadata"]
    assert key["KeySpec"] == "ECC_NIST_P384", key
    (station.folder / "made.ca.pem").rename(station.folder / "elsewhere.pem")
    again = station.run("create-root", "made", "--ca-key", place, "--generate-key", code=5)
    assert "alias/made exists already" in again.stderr, again
    station.run("create-root", "unnamed", "--ca-key", "awskms:1234", "--generate-key", code=2)


def a_line_below_a_root_in_kms_has_its_key_in_a_file(station, kms):
    station.run("create-root", "above", "--ca-key", "awskms:alias/above", "--generate-key")
    figures = ["--count", "10", "--prefix", "pump-"]
    station.run("create-intermediate", "line", "above", "--ca-key", "awskms:alias/above", *figures)
    station.run("provision", "pump-1", "line")
    station.run("provision", "valve-1", "line", code=6)


def what_cannot_sign_is_refused_by_what_it_is(station, kms):
    # A symmetric key is not tried: KMS refuses to show its public half, moto shows something.
    encrypting = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]
    other = kms.create_key(KeySpec="ECC_NIST_P521", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    for key, code, why in (
        (encrypting["KeyId"], 3, "ENCRYPT_DECRYPT, not for signatures"),
        (other["KeyId"], 3, "EC on another curve"),
    ):
        ended = station.run("create-root", "bad", "--ca-key", f"awskms:{key}", code=code)
        assert why in ended.stderr, ended
    assert not (station.folder / "bad.ca.pem").exists()
    ended = station.run("provision", "x", "p256", "--ca-key", "awskms:alias/p384", code=3)
    assert "is not the key of the CA certificate" in ended.stderr, ended
    ended = station.run("provision", "x", "p256", "--ca-key", "awskms:alias/none", code=4)
    assert "--generate-key" in ended.stderr, ended
    assert not (station.folder / "x.crt").exists()


def a_service_that_is_gone_is_a_temporary_failure(station, kms):
    station.environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
    ended = station.run("provision", "y", "p256", "--ca-key", "awskms:alias/p256", code=7)
    assert "no answer from AWS" in ended.stderr, ended


CASES = (
    a_root_is_made_for_a_key_that_is_there_and_signs_devices,
    a_key_is_made_there_with_its_alias_and_only_once,
    a_line_below_a_root_in_kms_has_its_key_in_a_file,
    what_cannot_sign_is_refused_by_what_it_is,
    a_service_that_is_gone_is_a_temporary_failure,
)


def main():
    failed = False
    with servers.running("moto", os.environ["LOGS"]) as url, tempfile.TemporaryDirectory() as folder:
        kms = boto3.client(
            "kms",
            endpoint_url=url,
            region_name=servers.REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        station = Station(Path(folder), url)
        for case in CASES:
            try:
                case(station, kms)
                print("ok", case.__name__, flush=True)
            except Exception as error:  # the next case is judged all the same
                failed = True
                print("FAIL", case.__name__, f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
    sys.exit(failed)


main()
