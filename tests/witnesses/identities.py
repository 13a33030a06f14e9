"""Certificate authorities and certificates for the scenario, made with Python's cryptography."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """A certificate authority with a P-256 key."""

    def __init__(self, name):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self.pem = _pem(self._certificate(self._name, self._key.public_key(), is_ca=True))

    def issue(self, name):
        """A certificate for this common name, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _pem(self._certificate(_named(name), key.public_key(), is_ca=False))

    def _certificate(self, subject, public_key, is_ca):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )


def request(name):
    """A certificate signing request for this common name, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(_named(name))
    return _pem(builder.sign(key, hashes.SHA256()))


def _named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM).decode()
