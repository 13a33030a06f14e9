"""Connections by hand, so that a judge sees what the broker does to them, byte by byte."""

import contextlib
import socket
import ssl
import time

import pki
from lab import eventually, unique

ANSWER_SECONDS = 5
CONNACK_ACCEPTED = b"\x20\x02\x00\x00"


class Out(Exception):
    """The device did not get in; the text says what it saw instead."""


@contextlib.contextmanager
def handshake(core, identity, *, sni="localhost", alpn=None, version=None):
    """A TLS connection with this client certificate, or with none; broken ones raise `Out`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(core.cafile)
    context.check_hostname = bool(sni)
    # The client must be willing to do everything that the server is expected to refuse.
    context.set_ciphers("ALL:@SECLEVEL=0")
    if version:
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(alpn)
    if identity:
        context.load_cert_chain(identity.certificate_file, identity.key_file)
    try:
        with socket.create_connection((core.host, core.port), timeout=ANSWER_SECONDS) as plain:
            with context.wrap_socket(plain, server_hostname=sni) as tls:
                yield tls
    except TimeoutError as error:
        raise AssertionError("neither served nor closed in time") from error
    except OSError as error:  # ssl.SSLError is one too
        raise Out(str(error)) from error


@contextlib.contextmanager
def connection(core, identity, client_id, **tls_parameters):
    """A connection up to an accepting CONNACK; anything else raises `Out`."""
    with handshake(core, identity, **tls_parameters) as tls:
        tls.sendall(connect_packet(client_id))
        answer = tls.recv(64)
        if answer != CONNACK_ACCEPTED:
            raise Out(f"answered {answer.hex()}" if answer else "closed without CONNACK")
        yield tls


def connect_packet(client_id):
    """An MQTT 3.1.1 CONNECT with clean session and a keep-alive of 60 s."""
    name = client_id.encode()
    rest = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(name).to_bytes(2, "big") + name
    return bytes([0x10, len(rest)]) + rest


def refusal(core, identity, client_id, **tls_parameters):
    """None when it gets in; otherwise what the device saw instead."""
    try:
        with connection(core, identity, client_id, **tls_parameters):
            return None
    except Out as out:
        return str(out)


def assert_in(core, identity, client_id, **tls_parameters):
    why = refusal(core, identity, client_id, **tls_parameters)
    said = [entry["sentence"] for entry in core.diary()[-1:]]
    assert why is None, f"shut out: {why}; the core says: {said}"


def assert_out(core, identity, client_id, **tls_parameters):
    """Shut out, also when it tries again."""
    assert refusal(core, identity, client_id, **tls_parameters), "got in"
    time.sleep(0.3)
    assert refusal(core, identity, client_id, **tls_parameters), "got in at the second attempt"


def assert_provisioned(core, identity, client_id, **tls_parameters):
    """Closed first, without CONNACK, while the device is provisioned; then in."""
    why = refusal(core, identity, client_id, **tls_parameters)
    assert why, "in at the first attempt"
    assert not why.startswith("answered"), f"closed with a CONNACK: {why}"
    eventually(
        lambda: refusal(core, identity, client_id, **tls_parameters) is None,
        "the device gets in",
    )
    assert core.certificate_status(identity.id) == "ACTIVE"


def registered_ca(core, **options):
    authority = pki.Authority(unique("CA"))
    core.register_ca(authority, **options)
    return authority
