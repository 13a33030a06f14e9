"""Judges what survives when the core is killed: `iot-local serve --data`, kill -9, serve again."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import paho.mqtt.client as paho

import pki
from door import assert_in, assert_provisioned
from lab import EVERYTHING, Core, case, judge, unique
from mqtt.client import Client, device

FOLDER = tempfile.TemporaryDirectory(prefix="interop-data-")


@contextlib.contextmanager
def served():
    """A core on the data folder; at the end it is killed, not stopped."""
    command = [Path(os.environ["BIN"]) / "iot-local", "--quiet", "serve", "--data", FOLDER.name]
    command += ["--control-port", "0", "--mqtt-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split("\t")[0]
            with urllib.request.urlopen(f"{url}/_local/environment", timeout=5) as answer:
                os.environ.update(json.load(answer))
            yield Core()
        finally:
            process.send_signal(signal.SIGKILL)


@case
def things_certificates_and_policies_survive():
    name, authority = unique("device"), pki.Authority(unique("CA"))
    identity = authority.issue(name)
    with served() as core:
        core.register_ca(authority)
        assert_provisioned(core, identity, name)
        before = everything(core)
    with served() as core:
        assert everything(core) == before
        assert_in(core, identity, name)
        newcomer = unique("device")
        assert_provisioned(core, authority.issue(newcomer), newcomer)


def everything(core):
    """What the lists of the account hold."""
    calls = {
        "list_things": "things",
        "list_certificates": "certificates",
        "list_ca_certificates": "certificates",
        "list_policies": "policies",
    }
    found = {call: getattr(core.iot, call)()[items] for call, items in calls.items()}
    found["code"] = core.iot.get_registration_code()["registrationCode"]
    return found


@case
def every_change_that_was_answered_survives():
    """Things are created until the core dies in the middle of it."""
    answered = []
    with served() as core:
        create = core.client().create_thing

        def create_things():
            with contextlib.suppress(Exception):  # the core is killed meanwhile
                while True:
                    name = unique("thing")
                    create(thingName=name)
                    answered.append(name)

        threads = [threading.Thread(target=create_things) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1)
    for thread in threads:
        thread.join()
    assert len(answered) > 20, f"only {len(answered)} things in a second"
    with served() as core:
        pages = core.iot.get_paginator("list_things").paginate()
        kept = {thing["thingName"] for page in pages for thing in page["things"]}
    missing = set(answered) - kept
    assert not missing, f"{len(missing)} of {len(answered)} things are gone"


@case
def retained_messages_and_sessions_survive():
    topic, name = unique("topic"), unique("sleeper")
    persistent = {"client_id": name, "clean": False, "expiry": 600}
    with served() as core:
        sleeper, other = device(core), device(core)
        with Client(core, sleeper, paho.MQTTv5, **persistent) as client:
            client.subscribe(f"{topic}/#", 1)
        with Client(core, other, paho.MQTTv5) as client:
            assert client.publish(f"{topic}/missed", b"queued") == 0
            assert client.publish(f"{topic}/kept", b"retained", retain=True) == 0
    with served() as core:
        with Client(core, sleeper, paho.MQTTv5, **persistent) as client:
            assert client.session_present, "the session is gone"
            payloads = [message.payload for message in client.take(2)]
            assert payloads == [b"queued", b"retained"], payloads
        with Client(core, other, paho.MQTTv5) as client:
            client.subscribe(f"{topic}/kept", 1)
            assert client.take(1)[0].payload == b"retained"


@case
def a_live_session_is_not_lost_with_the_core():
    topic, name = unique("topic"), unique("awake")
    persistent = {"client_id": name, "clean": False, "expiry": 600}
    with served() as core:
        identity = device(core)
        client = Client(core, identity, paho.MQTTv5, **persistent)
        client.__enter__()
        client.subscribe(topic, 1)
    client.assert_gone()
    with served() as core:
        with Client(core, device(core, EVERYTHING), paho.MQTTv5) as other:
            assert other.publish(topic, b"while away") == 0
        with Client(core, identity, paho.MQTTv5, **persistent) as client:
            assert client.session_present, "the session is gone"
            assert client.take(1)[0].payload == b"while away"


@case
def a_deactivation_survives():
    with served() as core:
        identity = device(core)
        core.iot.update_certificate(certificateId=identity.id, newStatus="INACTIVE")
    with served() as core:
        assert core.certificate_status(identity.id) == "INACTIVE"


judge()
