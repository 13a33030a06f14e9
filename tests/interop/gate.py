"""Judges who gets in: certificates of every kind, TLS parameters, silent and broken connections."""

import contextlib
import os
import socket
import ssl
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import pki
from door import (
    ANSWER_SECONDS,
    Out,
    assert_in,
    assert_out,
    assert_provisioned,
    connect_packet,
    connection,
    handshake,
    registered_ca,
)
from lab import EVERYTHING, POLICY, Core, case, judge, unique


def is_a_stranger(core, identity):
    """Shut out without leaving a trace in the account."""
    assert core.certificate_status(identity.id) is None, "the account now knows the certificate"


# Registered certificates


@case
def an_active_certificate_gets_in(core):
    device = pki.self_signed("active")
    core.register(device)
    assert_in(core, device, "active")


@case
def an_inactive_certificate_is_shut_out_until_it_is_active(core):
    device = pki.self_signed("inactive")
    core.register(device, status="INACTIVE")
    assert_out(core, device, "inactive")
    core.iot.update_certificate(certificateId=device.id, newStatus="ACTIVE")
    assert_in(core, device, "inactive")


@case
def a_revoked_certificate_is_shut_out(core):
    device = pki.self_signed("revoked")
    core.register(device)
    assert_in(core, device, "revoked")
    core.iot.update_certificate(certificateId=device.id, newStatus="REVOKED")
    assert_out(core, device, "revoked")


@case
def a_deleted_certificate_is_shut_out(core):
    device = pki.self_signed("deleted")
    arn = core.register(device)
    core.iot.detach_policy(policyName=POLICY, target=arn)
    core.iot.update_certificate(certificateId=device.id, newStatus="INACTIVE")
    core.iot.delete_certificate(certificateId=device.id)
    assert_out(core, device, "deleted")


@case
def an_active_certificate_without_policy_is_shut_out(core):
    device = pki.self_signed("no-policy")
    core.register(device, policy_name=None)
    assert_out(core, device, "no-policy")


@case
def another_client_id_than_the_policy_allows_is_shut_out(core):
    device = pki.self_signed("myself")
    core.register(device)
    assert_out(core, device, "somebody-else")


@case
def a_serverauth_only_certificate_registered_without_ca_gets_in(core):
    device = pki.Authority(unique("CA")).issue("server-only", usage=pki.SERVER)
    core.register(device)
    assert_in(core, device, "server-only")


@case
def certificates_that_aws_issued_get_in(core):
    everything = core.allow("Everything", EVERYTHING)
    made = core.iot.create_keys_and_certificate(setAsActive=True)
    core.iot.attach_policy(policyName=everything, target=made["certificateArn"])
    key = pki.private_key(made["keyPair"]["PrivateKey"])
    assert_in(core, pki.Identity.from_pem(made["certificatePem"], key), "made-by-aws")

    request, key = pki.signing_request("requested")
    signed = core.iot.create_certificate_from_csr(
        certificateSigningRequest=request, setAsActive=True
    )
    core.iot.attach_policy(policyName=everything, target=signed["certificateArn"])
    assert_in(core, pki.Identity.from_pem(signed["certificatePem"], key), "requested")


@case
def a_registered_certificate_outside_its_validity_is_shut_out(core):
    for device, client_id in (
        (pki.Authority("CA").issue("past", starts=-9 * pki.DAY, ends=-pki.DAY), "past"),
        (pki.Authority("CA").issue("future", starts=pki.DAY), "future"),
    ):
        # Refused already when it is registered would be fine, too.
        with contextlib.suppress(core.iot.exceptions.CertificateValidationException):
            core.register(device)
        assert_out(core, device, client_id)


@case
def registered_devices_of_a_deactivated_ca_still_get_in(core):
    authority = registered_ca(core)
    old, new = authority.issue("old"), authority.issue("new")
    assert_provisioned(core, old, "old")
    core.iot.update_ca_certificate(certificateId=authority.id, newStatus="INACTIVE")
    assert_in(core, old, "old")
    assert_out(core, new, "new")
    is_a_stranger(core, new)


# Certificates seen for the first time


@case
def an_unknown_certificate_of_a_registered_ca_is_closed_first_and_then_in(core):
    name = unique("newcomer")
    device = registered_ca(core).issue(name)
    assert_provisioned(core, device, name)
    arn = core.iot.describe_certificate(certificateId=device.id)["certificateDescription"][
        "certificateArn"
    ]
    assert core.iot.list_thing_principals(thingName=name)["principals"] == [arn]
    attached = core.iot.list_attached_policies(target=arn)["policies"]
    assert [item["policyName"] for item in attached] == [POLICY]


@case
def a_newcomer_may_send_its_ca_along(core):
    authority, name = registered_ca(core), unique("chained")
    assert_provisioned(core, authority.issue(name).with_chain(authority), name)


@case
def a_newcomer_without_sni_is_found_by_the_ca_it_sends(core):
    authority, name = registered_ca(core), unique("no-sni")
    assert_provisioned(core, authority.issue(name).with_chain(authority), name, sni=None)


@case
def an_x509_v1_certificate_of_the_old_scripts_is_provisioned(core):
    name = unique("old-script")
    assert_provisioned(core, registered_ca(core).issue(name, version=1), name)


@case
def devices_with_every_kind_of_key_that_aws_takes_are_provisioned(core):
    """Developer guide, "X.509 client certificates"."""
    authority = registered_ca(core)
    keys = [pki.ec_key(curve()) for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)]
    keys += [pki.rsa_key(bits) for bits in (2048, 3072, 4096)]
    for key in keys:
        name = unique("key")
        device = authority.issue(name, key=key)
        assert_provisioned(core, device, name)
        assert_in(core, device, name, version=ssl.TLSVersion.TLSv1_2)
        assert_in(core, device, name, version=ssl.TLSVersion.TLSv1_3)


@case
def cas_with_every_kind_of_key_and_signature_that_aws_takes_provision(core):
    for key, signatures in (
        (pki.ec_key(ec.SECP384R1()), [{"digest": hashes.SHA384()}]),
        (pki.ec_key(ec.SECP521R1()), [{"digest": hashes.SHA512()}]),
        (pki.rsa_key(2048), [{"digest": hashes.SHA512()}, {"pss": True}]),
        (pki.rsa_key(4096), [{"digest": hashes.SHA384(), "pss": True}]),
    ):
        authority = pki.Authority(unique("CA"), key=key)
        core.register_ca(authority)
        for signature in signatures:
            name = unique("signature")
            assert_provisioned(core, authority.issue(name, **signature), name)


@case
def a_second_certificate_for_the_same_thing_is_provisioned_too(core):
    authority, name = registered_ca(core), unique("renewed")
    first, second = authority.issue(name), authority.issue(name)
    assert_provisioned(core, first, name)
    assert_provisioned(core, second, name)
    assert len(core.iot.list_thing_principals(thingName=name)["principals"]) == 2


@case
def a_ca_without_template_only_registers(core):
    """JITR: somebody else activates the certificate."""
    authority, name = registered_ca(core, template=None), unique("jitr")
    device = authority.issue(name)
    assert_out(core, device, name)
    assert core.certificate_status(device.id) == "PENDING_ACTIVATION"
    told = core.iot.describe_certificate(certificateId=device.id)["certificateDescription"]
    assert told["caCertificateId"] == authority.id
    core.iot.attach_policy(policyName=POLICY, target=told["certificateArn"])
    core.iot.update_certificate(certificateId=device.id, newStatus="ACTIVE")
    assert_in(core, device, name)


@case
def a_ca_that_does_not_auto_register_lets_no_newcomer_in(core):
    device = registered_ca(core, auto=False).issue("unwanted")
    assert_out(core, device, "unwanted")
    is_a_stranger(core, device)


@case
def a_ca_that_is_not_active_lets_no_newcomer_in(core):
    device = registered_ca(core, active=False).issue("unwanted")
    assert_out(core, device, "unwanted")
    is_a_stranger(core, device)


def namesake(authority):
    """A CA of the same subject with another key."""
    return pki.Authority(authority.certificate.subject.rfc4514_string().removeprefix("CN="))


def sent_along(authority):
    return authority.issue("x").with_chain(authority)


# Newcomers that must not get in: what is wrong with them, how the registered CA helps, and a word
# that the core's diary must have for it.
STRANGERS = {
    "expired": (lambda ca: ca.issue("x", starts=-9 * pki.DAY, ends=-pki.DAY), "expired"),
    "not yet valid": (lambda ca: ca.issue("x", starts=pki.DAY), "validity"),
    "of a CA nobody registered": (lambda _: pki.Authority("Stranger").issue("x"), "registered"),
    "of a CA of the same subject with another key": (lambda ca: namesake(ca).issue("x"), "sign"),
    "of such a CA that is sent along": (lambda ca: sent_along(namesake(ca)), "sign"),
    "that signed itself": (lambda _: pki.self_signed("x"), "registered"),
    "with a broken signature": (lambda ca: pki.with_broken_signature(ca.issue("x")), "sign"),
    "of a device that plays CA": (lambda ca: ca.issue("device").issue("x"), "registered"),
    "of an intermediate CA nobody registered": (
        lambda ca: sent_along(pki.Authority("Intermediate", issuer=ca)),
        "registered",
    ),
    "signed with SHA-1": (lambda ca: ca.issue("x", sha1=True), "SHA-1"),
    "with an RSA key of 1024 bits": (lambda ca: ca.issue("x", key=pki.rsa_key(1024)), "RSA"),
    # The client finds no algorithm in common and sends no certificate at all.
    "with an Ed25519 key": (lambda ca: ca.issue("x", key=pki.ed25519()), "no certificate"),
}


def shuts_out(fault, make, word):
    def stranger_is_shut_out(core):
        authority = registered_ca(core)
        device = make(authority)
        assert_out(core, device, "x")
        told = core.diary()[-1]["sentence"]
        is_a_stranger(core, device)
        assert word in told, f"shut out, but the diary has no {word}: {told}"

    stranger_is_shut_out.__name__ = f"a newcomer {fault} is shut out"
    return stranger_is_shut_out


for fault, (make, word) in STRANGERS.items():
    case(shuts_out(fault, make, word))


# Silent and broken connections


@case
def a_bare_handshake_creates_nothing(core):
    authority = registered_ca(core)
    before = core.certificate_ids()
    hasty, patient = authority.issue("hasty"), authority.issue("patient")
    with handshake(core, hasty):
        pass
    with handshake(core, patient) as tls:
        tls.settimeout(2)
        with contextlib.suppress(TimeoutError):
            tls.recv(1)
    assert core.certificate_ids() == before


@case
def two_hundred_silent_connections_keep_nobody_out(core):
    device = pki.self_signed("patient")
    core.register(device)
    with contextlib.ExitStack() as silent:
        for _ in range(200):
            address = (core.host, core.port)
            silent.enter_context(socket.create_connection(address, timeout=ANSWER_SECONDS))
        started = time.monotonic()
        assert_in(core, device, "patient")
        assert time.monotonic() - started < 5, "slow beside silent connections"


@case
def the_core_survives_nonsense_on_its_tls_port(core):
    device = pki.self_signed("unimpressed")
    core.register(device)
    nonsense = (
        connect_packet("plain"),
        os.urandom(4096),
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        b"GET / HTTP/1.1\r\n\r\n",
    )
    for bytes_sent in nonsense:
        with socket.create_connection((core.host, core.port), timeout=ANSWER_SECONDS) as plain:
            with contextlib.suppress(ConnectionError):
                plain.sendall(bytes_sent)
                answer = plain.recv(64)
                assert answer[:1] != b"\x20", "plaintext MQTT is served on the TLS port"
    assert_in(core, device, "unimpressed")


@case
def the_core_survives_nonsense_inside_tls(core):
    device = pki.self_signed("garbler")
    core.register(device)
    for packet in (
        b"\x10\xff\xff\xff\xff\xff",  # a length of five bytes
        b"\x10\x00",  # a CONNECT of nothing
        b"\x30\x05\x00\x01a12",  # a PUBLISH before CONNECT
        b"\x00" * 32,
        os.urandom(512),
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\xff\xff",  # a client id longer than the packet
    ):
        with contextlib.suppress(Out), handshake(core, device) as tls:
            tls.sendall(packet)
            answer = tls.recv(64)
            assert answer[:1] != b"\x20", f"{packet[:16].hex()} is answered {answer.hex()}"
    assert_in(core, device, "garbler")


# TLS parameters


def device_inside(core, name):
    """A registered device that does get in."""
    device = registered_ca(core).issue(name)
    assert_provisioned(core, device, name)
    return device


@case
def tls_1_2_and_1_3_are_served(core):
    device = device_inside(core, "modern")
    assert_in(core, device, "modern", version=ssl.TLSVersion.TLSv1_2)
    assert_in(core, device, "modern", version=ssl.TLSVersion.TLSv1_3)


@case
def tls_1_0_and_1_1_are_refused(core):
    device = device_inside(core, "ancient")
    assert_out(core, device, "ancient", version=ssl.TLSVersion.TLSv1_1)
    assert_out(core, device, "ancient", version=ssl.TLSVersion.TLSv1)


@case
def the_alpn_name_for_mqtt_is_accepted(core):
    device = device_inside(core, "alpn")
    assert_in(core, device, "alpn", alpn=["x-amzn-mqtt-ca"])
    with handshake(core, device, alpn=["x-amzn-mqtt-ca"]) as tls:
        assert tls.selected_alpn_protocol() == "x-amzn-mqtt-ca"


@case
def a_foreign_alpn_name_is_refused(core):
    device = device_inside(core, "foreign-alpn")
    assert_out(core, device, "foreign-alpn", alpn=["nonsense/1"])


@case
def a_device_of_default_mode_needs_no_sni(core):
    device = device_inside(core, "nameless")
    assert_in(core, device, "nameless", sni=None)


@case
def a_device_of_sni_only_mode_needs_sni(core):
    device = pki.self_signed("sni-only")
    core.register(device)
    assert_in(core, device, "sni-only")
    assert_out(core, device, "sni-only", sni=None)


@case
def a_client_without_certificate_is_refused(core):
    assert_out(core, None, "nobody")


# Live sessions


def assert_closed_by_server(tls, seconds=10):
    tls.settimeout(seconds)
    try:
        answer = tls.recv(64)
    except TimeoutError:
        raise AssertionError(f"still connected after {seconds} s") from None
    except OSError:
        return
    assert answer == b"", f"sent {answer.hex()} instead of closing"


@case
def leaving_active_disconnects_a_live_session(core):
    for status in ("INACTIVE", "REVOKED"):
        name = unique("live")
        device = pki.self_signed(name)
        core.register(device)
        with connection(core, device, name) as tls:
            core.iot.update_certificate(certificateId=device.id, newStatus=status)
            assert_closed_by_server(tls)


@case
def a_session_of_another_device_is_left_alone(core):
    steady, leaving = pki.self_signed("steady"), pki.self_signed("leaving")
    core.register(steady)
    core.register(leaving)
    with connection(core, steady, "steady") as tls:
        core.iot.update_certificate(certificateId=leaving.id, newStatus="INACTIVE")
        time.sleep(0.5)
        tls.sendall(b"\xc0\x00")  # PINGREQ
        assert tls.recv(2) == b"\xd0\x00"


judge(Core())
