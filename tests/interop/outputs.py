"""Judges the forms in which provision hands devices out, with the tools that are to take them.

No core is needed. The argument is the Python with the tools of makers of boards; without it their cases are skipped.
"""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from lab import Skipped, Station, case, judge

STATION = Station()
FORMATS = "pem,der,nvs,nrf,c-header"
DEVICES = [f"sensor-{number}" for number in range(1, 4)]

STATION.run("create-root")
STATION.run("provision", "--count", "3", "--prefix", "sensor-", "--format", FORMATS, "--out", "out")


def made(device, ending):
    """The file of a device."""
    return STATION.path / "out" / f"{device}.{ending}"


def pems(device):
    """Certificate, key and CA of a device, each as PEM text."""
    chain = made(device, "crt").read_text()
    end = chain.index("-----BEGIN", 1)
    return chain[:end], made(device, "key").read_text(), chain[end:]


def maker(*arguments):
    """Runs Python with the makers' tools."""
    python = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if python is None or not (python.parent.parent / "installed").exists():
        raise Skipped("its tools are not installed")
    done = subprocess.run(
        [python, *arguments], capture_output=True, text=True, cwd=STATION.path, timeout=40
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@case
def espressifs_generator_makes_a_partition_that_holds_what_was_issued():
    for device in DEVICES:
        image = STATION.path / f"{device}.bin"
        maker("-m", "esp_idf_nvs_partition_gen", "generate", made(device, "nvs.csv"), image, "0x6000")
        flash = image.read_bytes()
        assert len(flash) == 0x6000
        for name in (b"certs", b"device_id", b"certificate", b"private_key", b"ca_certificate"):
            # A key of 15 characters at most, in a field of 16.
            assert name.ljust(16, b"\0") in flash, name
        for text in (device, *pems(device)):
            assert text.encode() + b"\0" in flash, text


@case
def nordics_tools_read_the_list_and_would_have_written_the_same():
    together = STATION.path / "onboard.csv"
    together.write_text("".join(made(device, "nrf.csv").read_text() for device in DEVICES))
    script = """
import csv, sys
from nrfcloud_utils import cli_helpers, nrf_cloud_onboard
ours, theirs = sys.argv[1:3]
devices = sys.argv[3:]
assert [row[0] for row in nrf_cloud_onboard.read_onboarding_csv(ours)] == devices
rows = list(csv.reader(open(ours)))
for row in rows:
    cli_helpers.save_onboarding_csv(theirs, True, False, row[0], "", "", "", row[4])
assert list(csv.reader(open(theirs))) == rows, rows
for row in rows:
    print(row[4].encode().hex())
"""
    written = maker("-c", script, together, STATION.path / "theirs.csv", *DEVICES)
    certificates = [bytes.fromhex(line).decode() for line in written.splitlines() if line]
    assert certificates == [pems(device)[0] for device in DEVICES]


@case
def a_c_compiler_takes_the_header():
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Skipped("not installed: a C compiler")
    header = made("sensor-1", "h")
    names = [line.split("[")[0].split()[-1] for line in header.read_text().splitlines() if "[]" in line]
    assert names, header.read_text()
    prints = "".join(f"fwrite({name}, 1, sizeof({name}) - 1, stdout);" for name in names)
    source = f'#include <stdio.h>\n#include "{header}"\nint main(void) {{ {prints} return 0; }}\n'
    (STATION.path / "main.c").write_text(source)
    program = STATION.path / "main"
    subprocess.run(
        [compiler, "-Wall", "-Wextra", "-Werror", "-o", program, STATION.path / "main.c"], check=True
    )
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    for text in pems("sensor-1"):
        assert text in said, said


@case
def der_is_the_same_key_and_the_same_certificate():
    for device in DEVICES:
        certificate = x509.load_der_x509_certificate(made(device, "crt.der").read_bytes())
        assert certificate == x509.load_pem_x509_certificate(made(device, "crt").read_bytes())
        key = serialization.load_der_private_key(made(device, "key.der").read_bytes(), None)
        assert key.public_key() == certificate.public_key()


@case
def python_opens_pkcs12_and_archives():
    command = ["--format", "pkcs12,pem", "--count", "2", "--prefix"]
    environment = {"JITP_DEVICE_PASSPHRASE": "twelve green frogs"}
    for prefix, archive in (("t-", "all.tar"), ("z-", "all.zip")):
        done = subprocess.run(
            STATION.command("provision", *command, prefix, "--out", archive),
            cwd=STATION.path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=40,
        )
        assert done.returncode == 0, done.stderr
        path = STATION.path / archive
        if archive.endswith(".tar"):
            with tarfile.open(path) as tar:
                files = {member.name: tar.extractfile(member).read() for member in tar}
        else:
            with zipfile.ZipFile(path) as members:
                assert members.testzip() is None
                files = {name: members.read(name) for name in members.namelist()}
        for number in (1, 2):
            packed = files[f"{prefix}{number}.p12"]
            key, certificate, others = pkcs12.load_key_and_certificates(packed, b"twelve green frogs")
            assert key.public_key() == certificate.public_key()
            assert [certificate, *others] == x509.load_pem_x509_certificates(files[f"{prefix}{number}.crt"])


judge()
