"""A paho client that waits for every answer, and cases over both MQTT versions."""

import contextlib
import functools
import queue
import socket
import threading
import time

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

import pki
from lab import EVERYTHING, case, unique

SECONDS = 5
# AWS lets a connection publish 100 messages a second (quota "Publish requests per second per
# connection"); the judges stay below it.
MANY = 40
LARGEST_PAYLOAD = 128 * 1024
# Reason codes of MQTT 5.
NOT_AUTHORIZED = 0x87
SESSION_TAKEN_OVER = 0x8E
TOPIC_FILTER_INVALID = 0x8F
TOPIC_NAME_INVALID = 0x90
QUOTA_EXCEEDED = 0x97
QOS_NOT_SUPPORTED = 0x9B

VERSIONS = {"MQTT 3.1.1": paho.MQTTv311, "MQTT 5": paho.MQTTv5}


def over_both_versions(function):
    """Makes two cases of a function that takes the core and the MQTT version."""
    for name, version in VERSIONS.items():
        bound = functools.partial(function, version=version)
        bound.__name__ = f"{name}: {function.__name__}"
        bound.__code__ = function.__code__
        case(bound)
    return function


def device(core, *statements):
    """A registered device that may do what the statements say; without any, everything."""
    identity = pki.self_signed(unique("device"))
    name = core.allow(unique("policy"), *(statements or [EVERYTHING]))
    core.register(identity, policy_name=name)
    return identity


class Client:
    """A paho client that waits for every answer. Use as context manager."""

    def __init__(
        self,
        core,
        identity,
        version,
        client_id=None,
        *,
        clean=True,
        expiry=0,
        will=None,
        keep_alive=60,
        acknowledges=True,
        receive_maximum=None,
    ):
        self.core, self.version = core, version
        self.clean, self.expiry = clean, expiry
        self.keep_alive, self.receive_maximum = keep_alive, receive_maximum
        self.messages = queue.Queue()
        self.answers = queue.Queue()
        self.gone = threading.Event()
        self.gone_reason = None
        is_3 = version == paho.MQTTv311
        self.paho = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id or unique("client"),
            clean_session=clean if is_3 else None,
            protocol=version,
            reconnect_on_failure=False,
            manual_ack=not acknowledges,
        )
        self.paho.tls_set(core.cafile, identity.certificate_file, identity.key_file)
        if will:
            self.paho.will_set(*will)
        self.paho.on_connect = lambda _c, _u, *answer: self.answers.put(answer)
        self.paho.on_subscribe = lambda _c, _u, _id, codes, _p: self.answers.put(codes)
        self.paho.on_unsubscribe = lambda _c, _u, _id, codes, _p: self.answers.put(codes)
        self.paho.on_publish = lambda _c, _u, _id, code, _p: self.answers.put(code)
        self.paho.on_message = lambda _c, _u, message: self.messages.put(message)
        self.paho.on_disconnect = self._on_disconnect

    def _on_disconnect(self, _client, _user, _flags, reason, _properties):
        self.gone_reason = reason.value
        self.gone.set()
        self.answers.put(None)

    def __enter__(self):
        flags, reason, self.connack = self.connect()
        assert reason.value == 0, f"CONNACK {reason}"
        self.session_present = flags.session_present
        return self

    def __exit__(self, *_):
        self.paho.disconnect()
        self.paho.loop_stop()

    def connect(self):
        """Hands on flags, reason code and properties of the CONNACK; closed without one is None."""
        more = {}
        if self.version == paho.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = self.expiry
            if self.receive_maximum:
                properties.ReceiveMaximum = self.receive_maximum
            more = {"clean_start": self.clean, "properties": properties}
        self.paho.connect(self.core.host, self.core.port, self.keep_alive, **more)
        self.paho.loop_start()
        return self.answer()

    def answer(self):
        try:
            return self.answers.get(timeout=SECONDS)
        except queue.Empty:
            raise AssertionError(f"no answer in {SECONDS} s") from None

    def subscribe(self, topic_filter, qos=0):
        """Hands on the code of the SUBACK; None when the connection was closed instead."""
        codes = self.subscribe_all([topic_filter], qos)
        return codes and codes[0]

    def subscribe_all(self, topic_filters, qos=1):
        """Hands on the codes of one SUBACK; None when the connection was closed instead."""
        if self.version == paho.MQTTv5:
            wanted = [(topic_filter, SubscribeOptions(qos)) for topic_filter in topic_filters]
        else:
            wanted = [(topic_filter, qos) for topic_filter in topic_filters]
        self.paho.subscribe(wanted)
        codes = self.answer()
        return codes and [code.value for code in codes]

    def publish(self, topic, payload, qos=1, retain=False, properties=None):
        """Hands on the code of the PUBACK; None when the connection was closed instead."""
        self.paho.publish(topic, payload, qos, retain, properties)
        code = self.answer()
        return code and code.value

    def take(self, count, seconds=SECONDS):
        """The next messages; fails when fewer come."""
        taken = []
        deadline = time.monotonic() + seconds
        while len(taken) < count:
            try:
                left = max(0.01, deadline - time.monotonic())
                taken.append(self.messages.get(timeout=left))
            except queue.Empty:
                raise AssertionError(f"{len(taken)} of {count} messages came") from None
        return taken

    def acknowledge(self, message):
        self.paho.ack(message.mid, message.qos)

    def assert_silence(self, seconds=0.7):
        with contextlib.suppress(queue.Empty):
            message = self.messages.get(timeout=seconds)
            raise AssertionError(f"an unexpected message on {message.topic}: {message.payload!r}")

    def assert_gone(self):
        """Hands on the reason code of the end."""
        assert self.gone.wait(SECONDS), "still connected"
        return self.gone_reason

    def lose_connection(self):
        """Breaks the connection without a DISCONNECT."""
        self.paho.socket().shutdown(socket.SHUT_RDWR)


def publish_properties(**values):
    properties = Properties(PacketTypes.PUBLISH)
    for name, value in values.items():
        setattr(properties, name, value)
    return properties
