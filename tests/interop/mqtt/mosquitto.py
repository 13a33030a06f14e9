"""Cases: mosquitto's clients."""

import shutil
import subprocess

import paho.mqtt.client as paho

from lab import CASE_SECONDS, Skipped, unique
from mqtt.client import Client, device, over_both_versions


def mosquitto(program, core, identity, version, *arguments):
    """The command line of mosquitto_pub or mosquitto_sub."""
    if not shutil.which(program):
        raise Skipped(f"{program} is not installed")
    flags = ["-h", core.host, "-p", str(core.port), "--cafile", core.cafile]
    flags += ["--cert", identity.certificate_file, "--key", identity.key_file]
    flags += ["-V", "mqttv5" if version == paho.MQTTv5 else "mqttv311", "-i", unique(program)]
    return [program, *flags, *arguments]


def run(command, **more):
    return subprocess.run(command, timeout=CASE_SECONDS, check=True, capture_output=True, **more)


@over_both_versions
def mosquitto_pub_reaches_mosquitto_sub_in_order(core, version):
    topic = unique("mosquitto")
    subscribe = mosquitto(
        "mosquitto_sub", core, device(core), version, "-t", topic, "-q", "1", "-C", "5", "-d"
    )
    # With -d it tells about the SUBACK, and without stdbuf only at its end.
    with subprocess.Popen(
        ["stdbuf", "-oL", *subscribe], stdout=subprocess.PIPE, text=True
    ) as subscriber:
        try:
            lines = iter(subscriber.stdout.readline, "")
            assert any("SUBACK" in line for line in lines), "no SUBACK"
            publisher = device(core)
            for number in range(5):
                run(
                    mosquitto("mosquitto_pub", core, publisher, version)
                    + ["-t", topic, "-q", "1", "-m", f"message {number}"]
                )
            received = [line.strip() for line in lines if line.startswith("message")]
        finally:
            subscriber.terminate()
    assert received == [f"message {number}" for number in range(5)], received


@over_both_versions
def mosquitto_pub_delivers_a_file_of_100_kb(core, version):
    topic, payload = unique("file"), b"0123456789" * 10_000
    with Client(core, device(core), version) as client:
        client.subscribe(topic, 1)
        publish = mosquitto("mosquitto_pub", core, device(core), version)
        run([*publish, "-t", topic, "-q", "1", "-s"], input=payload)
        assert client.take(1)[0].payload == payload


@over_both_versions
def mosquitto_sub_gets_a_retained_message(core, version):
    topic = unique("retained")
    run(
        mosquitto("mosquitto_pub", core, device(core), version)
        + ["-t", topic, "-q", "1", "-r", "-m", "kept"]
    )
    done = run(
        mosquitto("mosquitto_sub", core, device(core), version)
        + ["-t", topic, "-q", "1", "-C", "1", "-W", "5"]
    )
    assert done.stdout == b"kept\n", done.stdout
