"""Judges the TLS port with sslyze, openssl s_client and gnutls-cli."""

import contextlib
import functools
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import sslyze

import pki
from lab import Core, Skipped, case, judge

OLD_PROTOCOLS = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")


@functools.cache
def device(core):
    identity = pki.self_signed("scanner")
    core.register(identity)
    return identity


@functools.cache
def scan(core):
    """Everything sslyze finds out about the port; one scan for all cases."""
    identity = device(core)
    request = sslyze.ServerScanRequest(
        sslyze.ServerNetworkLocation(hostname=core.host, port=core.port),
        sslyze.ServerNetworkConfiguration(
            tls_server_name_indication=core.host,
            tls_client_auth_credentials=sslyze.ClientAuthenticationCredentials(
                certificate_chain_path=Path(identity.certificate_file),
                key_path=Path(identity.key_file),
            ),
        ),
        scan_commands_extra_arguments=sslyze.ScanCommandsExtraArguments(
            certificate_info=sslyze.CertificateInfoExtraArgument(custom_ca_file=Path(core.cafile))
        ),
    )
    scanner = sslyze.Scanner()
    scanner.queue_scans([request])
    (result,) = scanner.get_results()
    assert result.scan_result, f"sslyze cannot scan: {result.connectivity_error_trace}"
    return result.scan_result


def found(core, command):
    attempt = getattr(scan(core), command)
    assert attempt.result, (
        f"sslyze failed at {command}: {attempt.error_reason}: {attempt.error_trace}"
    )
    return attempt.result


def suites(core, protocol):
    """The names of the cipher suites the port accepts with this protocol."""
    accepted = found(core, f"{protocol}_cipher_suites").accepted_cipher_suites
    return [suite.cipher_suite.name for suite in accepted]


@case
def old_protocols_are_not_spoken(core):
    for protocol in OLD_PROTOCOLS:
        assert not suites(core, protocol), f"{protocol}: {suites(core, protocol)}"


@case
def tls_1_2_has_forward_secrecy_and_authenticated_encryption_only(core):
    accepted = suites(core, "tls_1_2")
    assert accepted, "TLS 1.2 is not spoken"
    weak = [name for name in accepted if not modern(name)]
    assert not weak, weak


def modern(suite):
    return "_ECDHE_" in suite and ("_GCM_" in suite or "_CHACHA20_" in suite)


@case
def tls_1_3_is_spoken(core):
    assert suites(core, "tls_1_3")


@case
def the_server_certificate_is_good_for_the_name_and_the_chain(core):
    for deployment in found(core, "certificate_info").certificate_deployments:
        assert deployment.received_chain_has_valid_order is not False, "the chain is out of order"
        assert not deployment.received_chain_contains_anchor_certificate, "the root is sent too"
        assert deployment.verified_certificate_chain, "no chain to the core's own root"
        assert deployment.verified_chain_has_sha1_signature is False


@case
def nothing_known_to_be_broken_is_there(core):
    assert not found(core, "tls_compression").supports_compression, "compression"
    assert not found(core, "heartbleed").is_vulnerable_to_heartbleed, "Heartbleed"
    assert not found(core, "openssl_ccs_injection").is_vulnerable_to_ccs_injection, "CCS injection"
    robot = found(core, "robot").robot_result.name
    assert robot.startswith("NOT_VULNERABLE"), robot


@case
def a_client_cannot_renegotiate(core):
    renegotiation = found(core, "session_renegotiation")
    assert not renegotiation.is_vulnerable_to_client_renegotiation_dos
    assert renegotiation.supports_secure_renegotiation


@case
def the_extended_master_secret_is_supported(core):
    assert found(core, "tls_extended_master_secret").supports_ems_extension


@case
def sessions_are_not_resumed(core):
    """AWS IoT Core issues no session tickets (developer guide, "Transport security")."""
    resumption = found(core, "session_resumption")
    for how in ("session_id_resumption_result", "tls_ticket_resumption_result"):
        told = getattr(resumption, how).name
        assert told == "NOT_SUPPORTED", f"TLS 1.2, {how}: {told}"
    context = ssl.create_default_context(cafile=core.cafile)
    context.load_cert_chain(device(core).certificate_file, device(core).key_file)
    with socket.create_connection((core.host, core.port), timeout=1) as plain:
        with context.wrap_socket(plain, server_hostname=core.host) as tls:
            assert tls.version() == "TLSv1.3", tls.version()
            with contextlib.suppress(TimeoutError):
                tls.recv(1)  # tickets come after the handshake
            assert not tls.session.has_ticket, "TLS 1.3: a ticket"


@case
def openssl_s_client_verifies_the_server(core):
    identity = device(core)
    done = run(
        "openssl",
        "s_client",
        "-brief",
        "-verify_return_error",
        *("-connect", f"{core.host}:{core.port}", "-servername", core.host),
        *("-verify_hostname", core.host, "-CAfile", core.cafile),
        *("-cert", identity.certificate_file, "-key", identity.key_file),
    )
    assert "Verification: OK" in done, done
    assert "Verified peername" in done, done


@case
def gnutls_cli_completes_a_handshake(core):
    identity = device(core)
    done = run(
        "gnutls-cli",
        *("--x509cafile", core.cafile, "--x509certfile", identity.certificate_file),
        *("--x509keyfile", identity.key_file, "--port", str(core.port), core.host),
    )
    assert "Handshake was completed" in done and "The certificate is trusted" in done, done


def run(program, *arguments):
    if not shutil.which(program):
        raise Skipped(f"{program} is not installed")
    done = subprocess.run(
        [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=20
    )
    return (done.stdout + done.stderr).decode(errors="replace")


judge(Core())
