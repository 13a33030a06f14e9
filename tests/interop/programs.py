"""Judges pub and sub against a broker that is not ours, and against servers that are no good.

No core is needed: the devices are known to mosquitto by their CA.
"""

import contextlib
import functools
import queue
import shutil
import socket
import subprocess
import threading
import time

import pki
from lab import Skipped, Station, case, eventually, judge, unique

STATION = Station()
VERSIONS = ("5", "3.1.1")
SERVER_ROOT = pki.Authority("Server root")


@functools.cache
def device(key_type="p256", role="device"):
    """A device of this station, by name."""
    if not (STATION.path / "root.ca.pem").exists():
        STATION.run("create-root")
    name = unique(f"{role}-{key_type}")
    STATION.run("provision", name, "--key-type", key_type)
    return name


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def mosquitto(identity=None, *more_lines):
    """A mosquitto that demands a certificate of the station's CA; hands on its port."""
    if not shutil.which("mosquitto"):
        raise Skipped("mosquitto is not installed")
    device()
    identity = identity or pki.server(SERVER_ROOT, "localhost")
    port = free_port()
    lines = [
        f"listener {port} 127.0.0.1",
        f"cafile {STATION.path / 'root.ca.pem'}",
        f"certfile {identity.certificate_file}",
        f"keyfile {identity.key_file}",
        "require_certificate true",
        "use_identity_as_username true",
        "log_dest none",
        *more_lines,
    ]
    config = STATION.path / f"mosquitto-{port}.conf"
    config.write_text("\n".join(lines) + "\n")
    # Started by root it becomes another user, who could not read the keys.
    arguments = ["mosquitto", "-c", config]
    config.write_text("user root\n" + config.read_text())
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as broker:
        try:
            eventually(lambda: listens(port), "mosquitto listens")
            yield port
        finally:
            broker.terminate()


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def at(port, version="5"):
    """The flags that lead a program to this port."""
    root = SERVER_ROOT.certificate_file
    return [
        *("--endpoint", f"localhost:{port}", "--cafile", root),
        *("--mqtt-version", version, "--connect-timeout", "10"),
    ]


@contextlib.contextmanager
def listening(port, version, *arguments):
    """A `sub` that listens; it is ended if it does not end by itself."""
    name = device(role="listener")
    process = STATION.start("sub", name, *arguments, *at(port, version))
    try:
        STATION.wait_for_line(process, "listening")
        yield process
    finally:
        process.kill()
        process.wait()


# mosquitto


def over_both_versions(function):
    for version in VERSIONS:
        bound = functools.partial(function, version)
        bound.__name__ = f"MQTT {version}: {function.__name__}"
        bound.__code__ = function.__code__
        case(bound)


@over_both_versions
def pub_and_sub_talk_through_mosquitto(version):
    with mosquitto() as port, listening(port, version, "--count", "3") as listener:
        for key_type in ("p256", "p384", "rsa2048"):
            STATION.run("pub", device(key_type), f"from {key_type}", *at(port, version))
        answer, _ = listener.communicate(timeout=10)
    expected = [f"{device(kind)}\tfrom {kind}" for kind in ("p256", "p384", "rsa2048")]
    assert answer.splitlines() == expected, answer


@over_both_versions
def a_topic_filter_qos_0_and_retained_messages_work(version):
    with mosquitto() as port:
        flags = at(port, version)
        STATION.run("pub", device(), "kept", "--topic", "a/b/c", "--retain", *flags)
        done = STATION.run("sub", device(), "a/+/c", "--count", "1", "--timeout", "5", *flags)
        assert done.stdout == "a/b/c\tkept\n", done.stdout
        with listening(port, version, "x/#", "--qos", "0", "--count", "1") as listener:
            STATION.run("pub", device(), "y", "--topic", "no/x", "--qos", "0", *flags)
            STATION.run("pub", device(), "y", "--topic", "x/y", "--qos", "0", *flags)
            answer, _ = listener.communicate(timeout=10)
        assert answer == "x/y\ty\n", answer


@over_both_versions
def every_line_of_stdin_is_a_message(version):
    lines = [f"line {number}" for number in range(500)]
    with mosquitto() as port, listening(port, version, "--count", "500") as listener:
        command = STATION.command("pub", device(), "--stdin", *at(port, version))
        subprocess.run(
            command,
            input="\n".join(lines),
            text=True,
            check=True,
            capture_output=True,
            cwd=STATION.path,
        )
        answer, _ = listener.communicate(timeout=20)
    assert [line.split("\t")[1] for line in answer.splitlines()] == lines


@case
def a_broker_of_tls_1_2_alone_is_enough():
    with mosquitto(None, "tls_version tlsv1.2") as port:
        STATION.run("pub", device(), "hello", *at(port))


@case
def a_device_of_the_old_scripts_is_served():
    """X.509 v1, an RSA key and a chain file, as `openssl x509 -req` without extensions makes."""
    device()
    authority = pki.Identity.from_pem(
        (STATION.path / "root.ca.pem").read_text(),
        pki.private_key((STATION.path / "root.ca.key").read_text()),
    )
    old = authority.issue("old-device", key=pki.rsa_key(2048), version=1)
    key_file = STATION.path / "old-device.key"
    key_file.touch(mode=0o600)
    key_file.write_text(old.key_pem)
    (STATION.path / "old-device.crt").write_text(old.pem + authority.pem)
    with mosquitto() as port:
        for version in VERSIONS:
            STATION.run("pub", "old-device", "hello", *at(port, version))


@over_both_versions
def no_line_is_lost_on_a_network_that_breaks(version):
    lines = [f"line {number}" for number in range(300)]
    with (
        mosquitto() as port,
        listening(port, version) as listener,
        breaking_network(port, lives=4000) as broken_port,
    ):
        heard = collect(listener.stdout)
        command = STATION.command("pub", device(), "--stdin", *at(broken_port, version))
        done = subprocess.run(
            command, input="\n".join(lines), text=True, capture_output=True, cwd=STATION.path
        )
        assert done.returncode == 0, done.stderr
        missing = set(lines)
        with contextlib.suppress(queue.Empty):
            while missing:
                missing.discard(heard.get(timeout=3).rstrip("\n").split("\t")[1])
        assert not missing, f"{len(missing)} lines never came, such as {min(missing)!r}"


def collect(stream):
    """Lines of the stream as they come, in a queue."""
    lines = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line) for line in stream], daemon=True).start()
    return lines


@contextlib.contextmanager
def breaking_network(port, lives):
    """A way to the port on which every connection breaks after so many bytes upwards."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        broken = []

        def carry(source, sink, budget):
            with contextlib.suppress(OSError):
                while budget > 0 and (data := source.recv(1024)):
                    budget -= len(data)
                    sink.sendall(data)
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = door.accept()
                    broken.append(client)
                    server = socket.create_connection(("127.0.0.1", port))
                    # The last connections live, or nothing big could ever arrive.
                    budget = lives if len(broken) <= 4 else 1 << 40
                    for way in ((client, server, budget), (server, client, 1 << 40)):
                        threading.Thread(target=carry, args=way, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield door.getsockname()[1]
        assert len(broken) > 1, "the network never broke"


# Servers that are no good


def assert_refuses(port, *words, root=SERVER_ROOT):
    """pub gives up in time, with an exit code and a message that has one of the words."""
    started = time.monotonic()
    flags = at(port)
    flags[flags.index("--cafile") + 1] = root.certificate_file
    flags[flags.index("--connect-timeout") + 1] = "2"
    done = STATION.run("pub", device(), "secret", *flags, check=False)
    assert done.returncode not in (0, 1, 2, 101), f"exit code {done.returncode}: {done.stderr}"
    assert time.monotonic() - started < 10, "too late"
    assert "panicked" not in done.stderr
    assert any(word in done.stderr.lower() for word in words), done.stderr


@case
def a_server_with_an_expired_certificate_is_refused():
    expired = pki.server(SERVER_ROOT, "localhost", starts=-9 * pki.DAY, ends=-pki.DAY)
    with mosquitto(expired) as port:
        assert_refuses(port, "expired")


@case
def a_server_of_another_name_is_refused():
    with mosquitto(pki.server(SERVER_ROOT, "elsewhere.example")) as port:
        assert_refuses(port, "name")


@case
def a_server_of_an_unknown_root_is_refused():
    with mosquitto(pki.server(pki.Authority("Nobody"), "localhost")) as port:
        assert_refuses(port, "issuer", "root", "trust")


@case
def an_expired_root_is_refused():
    root = pki.Authority("Expired root", starts=-9 * pki.DAY, ends=-pki.DAY)
    with mosquitto(pki.server(root, "localhost")) as port:
        assert_refuses(port, "expired", root=root)


@contextlib.contextmanager
def server_that(behave):
    """A TCP server that does this with every connection; hands on its port."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        kept = []

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    kept.append(door.accept()[0])
                    behave(kept[-1])

        threading.Thread(target=accept, daemon=True).start()
        yield door.getsockname()[1]


@case
def a_server_that_says_nothing_is_given_up():
    with server_that(lambda _: None) as port:
        assert_refuses(port, "time", "second", "answer")


@case
def a_server_that_hangs_up_is_given_up():
    with server_that(lambda connection: connection.close()) as port:
        assert_refuses(port, "attempt")


@case
def a_server_that_speaks_something_else_is_given_up():
    with server_that(lambda connection: connection.sendall(b"220 mail.example ESMTP\r\n")) as port:
        assert_refuses(port, "tls", "message", "attempt")


@case
def a_port_nobody_listens_on_is_given_up():
    assert_refuses(free_port(), "refused", "connect")


judge()
