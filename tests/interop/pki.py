"""Certificates for the judges, good and bad, made with pyca/cryptography."""

import datetime
import hashlib
import ssl
import tempfile
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric import ed25519 as ed25519_keys
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyasn1.codec.der import decoder, encoder
from pyasn1_alt_modules import rfc5280

DAY = datetime.timedelta(days=1)
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH

SHA1_SIGNATURES = {
    ec.EllipticCurvePrivateKey: "1.2.840.10045.4.1",  # ecdsa-with-SHA1
    rsa.RSAPrivateKey: "1.2.840.113549.1.1.5",  # sha1WithRSAEncryption
}


def p256():
    return ec_key(ec.SECP256R1())


def ec_key(curve):
    return ec.generate_private_key(curve)


def rsa_key(bits):
    return rsa.generate_private_key(65537, bits)


def ed25519():
    return ed25519_keys.Ed25519PrivateKey.generate()


def private_key(pem):
    return serialization.load_pem_private_key(pem.encode(), password=None)


class Identity:
    """A certificate with its key; as files too, for the programs that want those."""

    _folder = tempfile.TemporaryDirectory(prefix="interop-pki-")

    def __init__(self, der, key, chain=()):
        self.der = der
        self.key = key
        self.chain = chain

    @classmethod
    def from_pem(cls, pem, key):
        return cls(ssl.PEM_cert_to_DER_cert(pem), key)

    @property
    def certificate(self):
        return x509.load_der_x509_certificate(self.der)

    @property
    def id(self):
        """The certificate id AWS IoT gives it: SHA-256 of the DER, in lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def pem(self):
        return ssl.DER_cert_to_PEM_cert(self.der)

    @property
    def key_pem(self):
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def with_chain(self, *others):
        """The same identity, presented together with other certificates."""
        return Identity(self.der, self.key, tuple(others))

    @property
    def certificate_file(self):
        return self._file("crt", self.pem + "".join(other.pem for other in self.chain))

    @property
    def key_file(self):
        return self._file("key", self.key_pem)

    def _file(self, ending, text):
        path = Path(self._folder.name) / f"{self.id[:16]}-{len(self.chain)}.{ending}"
        if not path.exists():
            # Whole or not at all: other threads may read it already.
            fresh = path.with_name(f"{path.name}.{threading.get_ident()}")
            fresh.write_text(text)
            fresh.rename(path)
        return str(path)

    def issue(
        self,
        common_name,
        *,
        key=None,
        usage=CLIENT,
        starts=-DAY,
        ends=365 * DAY,
        version=3,
        sha1=False,
        digest=None,
        pss=False,
        **more_names,
    ):
        """A device certificate signed with this key: `starts` and `ends` count from now.

        More attributes of the subject are named as NameOID does, in lower case.
        """
        key = key or p256()
        subject = name(common_name, **more_names)
        builder = (
            template(subject, self.certificate.subject, key.public_key(), starts, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        digest = digest or hashes.SHA256()
        how = padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH) if pss else None
        certificate = builder.sign(self.key, digest, rsa_padding=how)
        der = certificate.public_bytes(serialization.Encoding.DER)
        if version != 3 or sha1:
            der = signed_the_old_way(der, self.key, version, sha1)
        return Identity(der, key)


class Authority(Identity):
    """A CA: self-signed, or signed by another one."""

    def __init__(self, common_name, issuer=None, key=None, starts=-DAY, ends=365 * DAY):
        key = key or p256()
        signer = issuer or self
        self.key = key
        subject = name(common_name)
        builder = (
            template(
                subject,
                issuer.certificate.subject if issuer else subject,
                key.public_key(),
                starts,
                ends,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(key_usage(signs_certificates=True), critical=True)
        )
        certificate = builder.sign(signer.key, hashes.SHA256())
        super().__init__(certificate.public_bytes(serialization.Encoding.DER), key)


def server(authority, host, *, starts=-DAY, ends=365 * DAY):
    """A server certificate of this CA for one host name."""
    key = p256()
    builder = template(
        name(host), authority.certificate.subject, key.public_key(), starts, ends
    ).add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    certificate = builder.sign(authority.key, hashes.SHA256())
    return Identity(certificate.public_bytes(serialization.Encoding.DER), key)


def self_signed(common_name):
    """A device that vouches for itself."""
    key = p256()
    builder = template(name(common_name), name(common_name), key.public_key())
    certificate = builder.sign(key, hashes.SHA256())
    return Identity(certificate.public_bytes(serialization.Encoding.DER), key)


def with_broken_signature(identity):
    """The same certificate with the last bit of its signature flipped."""
    der = bytearray(identity.der)
    der[-1] ^= 1
    return Identity(bytes(der), identity.key)


def signing_request(common_name, key=None):
    """A certificate signing request in PEM, and its key."""
    key = key or p256()
    builder = x509.CertificateSigningRequestBuilder().subject_name(name(common_name))
    request = builder.sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode(), key


def name(common_name, **more):
    attributes = {"common_name": common_name, **more}
    return x509.Name(
        x509.NameAttribute(getattr(NameOID, attribute.upper()), value)
        for attribute, value in attributes.items()
    )


def template(subject, issuer, public_key, starts=-DAY, ends=365 * DAY):
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + starts)
        .not_valid_after(now + ends)
    )


def key_usage(signs_certificates):
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def signed_the_old_way(der, key, version, sha1):
    """The certificate as X.509 v1 or signed with SHA-1, which modern libraries do not make."""
    certificate, _ = decoder.decode(der, asn1Spec=rfc5280.Certificate())
    body = certificate["tbsCertificate"]
    if version == 1:
        body["version"] = "v1"
        body["extensions"].clear()
        body["extensions"] = rfc5280.TBSCertificate()["extensions"]
    if sha1:
        oid = next(oid for kind, oid in SHA1_SIGNATURES.items() if isinstance(key, kind))
        body["signature"]["algorithm"] = oid
        certificate["signatureAlgorithm"]["algorithm"] = oid
    digest = hashes.SHA1() if sha1 else hashes.SHA256()
    signed = encoder.encode(body)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(signed, ec.ECDSA(digest))
    else:
        signature = key.sign(signed, padding.PKCS1v15(), digest)
    certificate["signature"] = certificate["signature"].fromOctetString(signature)
    return encoder.encode(certificate)
