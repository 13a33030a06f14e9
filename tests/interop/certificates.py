"""Judges the certificates of create-root and provision with openssl, GnuTLS, pkilint and pyca.

No core is needed: issuing touches no network, and this judge runs without one.
"""

import contextlib
import datetime
import functools
import io
import shutil
import stat
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pkilint.bin import lint_pkix_cert, lint_pkix_signer_signee_cert_chain

from lab import Skipped, Station, case, judge

CA_KEYS = ("p256", "p384", "rsa2048", "rsa3072", "rsa4096")
DEVICE_KEYS = ("p256", "p384", "rsa2048")
BATCH = 50

STATION = Station()


class Issued:
    """What one program wrote: the certificate, and every certificate of its file in order."""

    def __init__(self, name, certificate_file, key_file):
        self.name = name
        self.chain_file = STATION.path / certificate_file
        self.key_file = STATION.path / key_file
        self.chain = x509.load_pem_x509_certificates(self.chain_file.read_bytes())
        self.certificate = self.chain[0]
        # The outside programs judge one certificate a file.
        self.file = STATION.path / f"{name}.single.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def key(self):
        return serialization.load_pem_private_key(self.key_file.read_bytes(), password=None)

    def extension(self, kind):
        return self.certificate.extensions.get_extension_for_class(kind)


@functools.cache
def ca(kind, *flags):
    """A root CA with this kind of key."""
    name = "-".join(["root", kind, *(flag.strip("-") for flag in flags)])
    STATION.run("create-root", name, "--key-type", kind, *flags)
    return Issued(name, f"{name}.ca.pem", f"{name}.ca.key")


@functools.cache
def device(issuer, kind, *flags):
    """A device of this CA with this kind of key."""
    name = "-".join(["device", issuer.name, kind, *(flag.strip("-") for flag in flags)])
    STATION.run("provision", name, issuer.name, "--key-type", kind, *flags)
    return Issued(name, f"{name}.crt", f"{name}.key")


@functools.cache
def batch():
    """Many devices of one CA."""
    issuer = ca("p256")
    names = [f"unit-{number}" for number in range(BATCH)]
    for name in names:
        STATION.run("provision", name, issuer.name)
    return [Issued(name, f"{name}.crt", f"{name}.key") for name in names]


def for_every_ca_key(function):
    """A case for each kind of CA key; the function gets the CA and a device of each kind."""
    for kind in CA_KEYS:

        def bound(kind=kind):
            function(ca(kind), [device(ca(kind), device_kind) for device_kind in DEVICE_KEYS])

        bound.__name__ = f"{kind}: {function.__name__}"
        case(bound)


def run(program, *arguments):
    if not shutil.which(program):
        raise Skipped(f"{program} is not installed")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, f"{program}: {done.stdout} {done.stderr}"


def pkilint(linter, *arguments):
    """Runs a linter of pkilint in this process; findings of level WARNING and above fail."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        findings = linter.main(["lint", "-s", "WARNING", *map(str, arguments)])
    assert findings == 0, told.getvalue()


# For every kind of key


@for_every_ca_key
def openssl_verifies_strictly(issuer, devices):
    run("openssl", "verify", "-x509_strict", "-check_ss_sig", "-CAfile", issuer.file, issuer.file)
    for issued in devices:
        run(
            "openssl",
            *("verify", "-x509_strict", "-purpose", "sslclient"),
            *("-CAfile", issuer.file, issued.file),
        )


@for_every_ca_key
def gnutls_verifies(issuer, devices):
    for issued in devices:
        run("certtool", "--verify", "--load-ca-certificate", issuer.file, "--infile", issued.file)


@for_every_ca_key
def pkilint_finds_nothing(issuer, devices):
    pkilint(lint_pkix_cert, issuer.file)
    for issued in devices:
        pkilint(lint_pkix_cert, issued.file)
        pkilint(lint_pkix_signer_signee_cert_chain, issuer.file, issued.file)


@for_every_ca_key
def the_ca_has_the_profile_of_a_ca(issuer, _devices):
    constraints = issuer.extension(x509.BasicConstraints)
    assert constraints.critical and constraints.value.ca
    usage = issuer.extension(x509.KeyUsage)
    assert usage.critical and usage.value.key_cert_sign
    assert not usage.value.key_encipherment and not usage.value.data_encipherment
    assert issuer.extension(x509.SubjectKeyIdentifier)
    assert common_name(issuer) == issuer.name
    judge_basics(issuer, issuer)


@for_every_ca_key
def devices_have_the_profile_of_a_client(issuer, devices):
    for issued in devices:
        constraints = issued.extension(x509.BasicConstraints)
        assert constraints.critical and not constraints.value.ca
        usage = issued.extension(x509.KeyUsage)
        assert usage.critical and usage.value.digital_signature
        assert not usage.value.key_cert_sign and not usage.value.crl_sign
        extended = issued.extension(x509.ExtendedKeyUsage).value
        assert list(extended) == [ExtendedKeyUsageOID.CLIENT_AUTH], list(extended)
        assert issued.extension(x509.SubjectKeyIdentifier)
        assert common_name(issued) == issued.name
        judge_basics(issued, issuer)


def judge_basics(issued, issuer):
    """What holds for CAs and devices alike."""
    certificate = issued.certificate
    assert certificate.version is x509.Version.v3
    certificate.verify_directly_issued_by(issuer.certificate)
    assert issued.key.public_key() == certificate.public_key(), "the key is another one's"
    assert 0 < certificate.serial_number < 1 << 159, "the serial number is longer than 20 octets"
    key_id = issuer.extension(x509.SubjectKeyIdentifier).value.digest
    if issued is not issuer:
        assert issued.extension(x509.AuthorityKeyIdentifier).value.key_identifier == key_id
    digest_bits = certificate.signature_hash_algorithm.digest_size * 8
    key = issuer.certificate.public_key()
    expected = key.curve.key_size if isinstance(key, ec.EllipticCurvePublicKey) else 256
    assert digest_bits >= expected, f"SHA-{digest_bits} under a key of {expected} bits"


def common_name(issued):
    (name,) = issued.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return name.value


# Files


@case
def private_keys_are_closed_to_others_and_certificates_are_open():
    for issued in (ca("p256"), device(ca("p256"), "p256"), device(ca("p256"), "rsa2048")):
        assert mode(issued.key_file) == 0o600, oct(mode(issued.key_file))
        assert mode(issued.chain_file) & 0o022 == 0, oct(mode(issued.chain_file))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@case
def a_device_file_holds_the_device_and_then_its_ca():
    issuer = ca("p256")
    issued = device(issuer, "p256")
    assert issued.chain == [issued.certificate, issuer.certificate]
    assert ca("p256").chain == [issuer.certificate]


@case
def nothing_but_keys_and_certificates_is_left_behind():
    assert len(batch()) == BATCH
    endings = {".key", ".pem", ".crt"}
    surprises = [path.name for path in STATION.path.iterdir() if path.suffix not in endings]
    assert not surprises, surprises


# Validity


@case
def validity_starts_a_minute_ago_for_slow_clocks():
    now = datetime.datetime.now(datetime.UTC)
    for issued in (ca("p256"), device(ca("p256"), "p256")):
        age = now - issued.certificate.not_valid_before_utc
        assert age >= datetime.timedelta(seconds=59), f"not before {age} ago"
        assert age <= datetime.timedelta(minutes=10), f"not before {age} ago"


@case
def no_device_outlives_its_ca():
    issuer = ca("p256")
    for issued in (device(issuer, "p256"), device(issuer, "p256", "--validity", "ca")):
        assert issued.certificate.not_valid_before_utc >= issuer.certificate.not_valid_before_utc
        assert issued.certificate.not_valid_after_utc <= issuer.certificate.not_valid_after_utc
    refused = STATION.run("provision", "immortal", issuer.name, "--validity", "20000", check=False)
    assert refused.returncode != 0 and not (STATION.path / "immortal.crt").exists()


@case
def dates_on_both_sides_of_2050_are_encoded_right():
    """RFC 5280, 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. pkilint knows."""
    for date in ("2049-12-31", "2050-01-01", "2081-06-01"):
        issuer = ca("p256", "--validity", date)
        issued = device(issuer, "p256", "--validity", "ca")
        assert issuer.certificate.not_valid_after_utc.isoformat().startswith(date)
        for judged in (issuer, issued):
            pkilint(lint_pkix_cert, judged.file)
            run("openssl", "verify", "-x509_strict", "-CAfile", issuer.file, judged.file)


# The set as a whole


@case
def serial_numbers_are_random_and_never_repeat():
    serials = sorted(issued.certificate.serial_number for issued in batch())
    assert len(set(serials)) == BATCH
    bits = [serial.bit_length() for serial in serials]
    assert min(bits) >= 40 and max(bits) >= 64, f"{min(bits)} to {max(bits)} bits"
    near = sum(after - before < 1 << 32 for before, after in zip(serials, serials[1:]))
    assert near <= 1, f"{near} of {BATCH} serial numbers follow closely on another"


@case
def keys_never_repeat():
    keys = {
        issued.certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        for issued in batch()
    }
    assert len(keys) == BATCH


# Subjects


@case
def the_subject_of_a_ca_keeps_the_order_of_the_shell_toolkit():
    STATION.run("create-root", "factory7", "DE", "Berlin", "Brandenburg", "Acme", "Pumps")
    issued = Issued("factory7", "factory7.ca.pem", "factory7.ca.key")
    values = {
        attribute.rfc4514_attribute_name: attribute.value
        for attribute in issued.certificate.subject
    }
    expected = {
        "CN": "factory7",
        "C": "DE",
        "L": "Berlin",
        "ST": "Brandenburg",
        "O": "Acme",
        "OU": "Pumps",
    }
    assert values == expected, values
    pkilint(lint_pkix_cert, issued.file)


@case
def a_device_with_every_subject_field_is_clean():
    issuer = ca("p256")
    fields = {
        "--country": "LU",
        "--organization": "Acme",
        "--organizational-unit": "Pumps",
        "--state": "Luxembourg",
        "--dn-qualifier": "q1",
        "--serial-number": "4711",
    }
    flags = [word for pair in fields.items() for word in pair]
    STATION.run("provision", "dressed", issuer.name, *flags)
    issued = Issued("dressed", "dressed.crt", "dressed.key")
    values = {attribute.value for attribute in issued.certificate.subject}
    assert values == {"dressed", *fields.values()}, values
    pkilint(lint_pkix_cert, issued.file)
    run("openssl", "verify", "-x509_strict", "-CAfile", issuer.file, issued.file)


judge()
