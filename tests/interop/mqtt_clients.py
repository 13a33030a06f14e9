"""Judges the broker with paho-mqtt and mosquitto's clients, over MQTT 3.1.1 and MQTT 5."""

import contextlib
import functools
import json
import queue
import shutil
import socket
import subprocess
import threading
import time
import uuid

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

import pki
from lab import CASE_SECONDS, EVERYTHING, Core, Skipped, Station, case, eventually, judge

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


def unique(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


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


# Messages


@over_both_versions
def messages_come_back_once_and_in_order(core, version):
    with Client(core, device(core), version) as client:
        for qos in (0, 1):
            topic = unique("round-trip")
            assert client.subscribe(topic, qos) == qos
            payloads = [b"%d" % number for number in range(MANY)]
            for payload in payloads:
                assert client.publish(topic, payload, qos) == 0
            assert [message.payload for message in client.take(MANY)] == payloads
            client.assert_silence(0.2)


@over_both_versions
def a_subscriber_gets_at_most_the_qos_it_asked_for(core, version):
    topic = unique("downgrade")
    with Client(core, device(core), version) as client:
        client.subscribe(topic, 0)
        client.publish(topic, b"x", 1)
        assert client.take(1)[0].qos == 0


@over_both_versions
def a_payload_may_have_128_kib_and_no_byte_more(core, version):
    topic = unique("big")
    with Client(core, device(core), version) as client:
        client.subscribe(topic, 1)
        payload = bytes(range(256)) * (LARGEST_PAYLOAD // 256)
        assert client.publish(topic, payload) == 0
        assert client.take(1)[0].payload == payload
        client.publish(topic, payload + b"x")
        client.assert_gone()


@over_both_versions
def wildcards_match_as_on_aws(core, version):
    base = unique("wild")
    with Client(core, device(core), version) as client:
        client.subscribe(f"{base}/+/end", 1)
        client.publish(f"{base}/a/end", b"plus")
        assert client.take(1)[0].payload == b"plus"
        client.subscribe(f"{base}/tree/#", 1)
        client.publish(f"{base}/tree", b"the root")  # on AWS `a/#` does not match `a`
        client.publish(f"{base}/tree/", b"an empty level")
        client.publish(f"{base}/tree/leaf/x", b"a leaf")
        assert [message.payload for message in client.take(2)] == [b"an empty level", b"a leaf"]
        client.assert_silence(0.2)


@over_both_versions
def after_unsubscribe_nothing_comes(core, version):
    topic = unique("unsubscribe")
    with Client(core, device(core), version) as client:
        client.subscribe(topic, 1)
        client.paho.unsubscribe(topic)
        client.answer()
        client.publish(topic, b"x")
        client.assert_silence()


@over_both_versions
def a_subscribe_may_name_eight_filters_and_not_nine(core, version):
    with Client(core, device(core), version) as client:
        assert client.subscribe_all([unique("topic") for _ in range(8)]) == [1] * 8
        codes = client.subscribe_all([unique("topic") for _ in range(9)])
        if version == paho.MQTTv311:
            assert codes is None, f"SUBACK {codes}"
        elif codes is None:
            assert client.gone_reason == QUOTA_EXCEEDED, f"DISCONNECT {client.gone_reason:#x}"
        else:
            assert set(codes) == {QUOTA_EXCEEDED}, f"SUBACK {codes}"


@over_both_versions
def topics_have_at_most_seven_slashes_and_256_bytes(core, version):
    fitting = "/".join("12345678"), "x" * 256
    too_much = "/".join("123456789"), "x" * 257, "ü" * 129
    with Client(core, device(core), version) as client:
        for topic in fitting:
            assert client.subscribe(topic, 1) == 1
            assert client.publish(topic, b"x") == 0
            assert client.take(1)[0].topic == topic
    for topic in too_much:
        with Client(core, device(core), version) as client:
            code = client.publish(topic, b"x")
            if version == paho.MQTTv311:
                assert code is None, f"{topic}: PUBACK {code}"
            else:
                assert (code or client.gone_reason) == TOPIC_NAME_INVALID, f"{topic}: {code}"
    for topic in too_much:
        with Client(core, device(core), version) as client:
            code = client.subscribe(topic, 1)
            if version == paho.MQTTv311:
                assert code is None, f"{topic}: SUBACK {code}"
            else:
                told = code or client.gone_reason
                assert told in (TOPIC_FILTER_INVALID, TOPIC_NAME_INVALID), f"{topic}: {told:#x}"


@over_both_versions
def qos_2_is_not_spoken(core, version):
    topic = unique("exactly-once")
    with Client(core, device(core), version) as watcher:
        watcher.subscribe(topic, 1)
        with Client(core, device(core), version) as client:
            client.paho.publish(topic, b"x", 2)
            reason = client.assert_gone()
            if version == paho.MQTTv5:
                assert reason == QOS_NOT_SUPPORTED, f"DISCONNECT {reason:#x}"
        watcher.assert_silence(0.3)


@over_both_versions
def what_is_not_acknowledged_comes_again(core, version):
    topic, name, identity = unique("again"), unique("forgetful"), device(core)
    persistent = {"client_id": name, "clean": False, "expiry": 600}
    with Client(core, identity, version, **persistent, acknowledges=False) as client:
        client.subscribe(topic, 1)
        client.publish(topic, b"precious")
        client.take(1)
        client.lose_connection()
    with Client(core, identity, version, **persistent) as client:
        assert client.take(1)[0].payload == b"precious"
    with Client(core, identity, version, **persistent) as client:
        client.assert_silence()


@over_both_versions
def no_more_than_100_messages_wait_for_acknowledgement(core, version):
    topic = unique("window")
    with Client(core, device(core), version, acknowledges=False) as slow:
        slow.subscribe(topic, 1)
        for _ in range(3):  # three publishers, since each may publish 100 messages a second
            with Client(core, device(core), version) as publisher:
                for number in range(MANY):
                    publisher.publish(topic, b"%d" % number)
        window = slow.take(100)
        slow.assert_silence()
        for message in window:
            slow.acknowledge(message)
        slow.take(3 * MANY - 100)


# Retained messages, wills, sessions


@over_both_versions
def a_retained_message_waits_for_exact_subscribers(core, version):
    topic = unique("retained")
    with Client(core, device(core), version) as client:
        client.publish(topic, b"kept", retain=True)
        client.subscribe(topic, 1)
        message = client.take(1)[0]
        assert message.payload == b"kept" and message.retain
        client.publish(topic, b"live", retain=True)
        message = client.take(1)[0]
        assert message.payload == b"live" and not message.retain, "a live copy is marked retained"
    with Client(core, device(core), version) as client:
        client.subscribe(f"{topic}/#", 1)
        client.subscribe("+", 1)
        client.assert_silence()  # on AWS a filter with wildcards gets no retained messages
    with Client(core, device(core), version) as client:
        client.publish(topic, b"", retain=True)
        client.subscribe(topic, 1)
        client.assert_silence()


@over_both_versions
def a_will_is_published_when_the_connection_breaks(core, version):
    topic = unique("will")
    with Client(core, device(core), version) as watcher:
        watcher.subscribe(topic, 1)
        dying = Client(core, device(core), version, will=(topic, b"gone", 1, False))
        with dying:
            dying.lose_connection()
        assert watcher.take(1)[0].payload == b"gone"


@over_both_versions
def a_will_dies_with_a_disconnect(core, version):
    topic = unique("will")
    with Client(core, device(core), version) as watcher:
        watcher.subscribe(topic, 1)
        with Client(core, device(core), version, will=(topic, b"gone", 1, False)):
            pass
        watcher.assert_silence()


@over_both_versions
def a_retained_will_stays(core, version):
    topic = unique("will")
    dying = Client(core, device(core), version, will=(topic, b"gone", 1, True))
    with dying:
        dying.lose_connection()
    time.sleep(0.5)
    with Client(core, device(core), version) as watcher:
        watcher.subscribe(topic, 1)
        message = watcher.take(1)[0]
        assert message.payload == b"gone" and message.retain


@over_both_versions
def the_second_with_a_client_id_takes_over_and_the_will_is_sent(core, version):
    topic, name, identity = unique("takeover"), unique("twin"), device(core)
    with Client(core, device(core), version) as watcher:
        watcher.subscribe(topic, 1)
        will = (topic, b"taken over", 1, False)
        with Client(core, identity, version, client_id=name, will=will) as first:
            with Client(core, identity, version, client_id=name) as second:
                reason = first.assert_gone()
                if version == paho.MQTTv5:
                    assert reason == SESSION_TAKEN_OVER, f"DISCONNECT {reason:#x}"
                assert watcher.take(1)[0].payload == b"taken over"
                assert second.publish(topic, b"still here") == 0


@over_both_versions
def a_persistent_session_keeps_messages_while_the_client_is_away(core, version):
    topic, name, identity = unique("session"), unique("sleeper"), device(core)
    persistent = {"client_id": name, "clean": False, "expiry": 600}
    with Client(core, identity, version, **persistent) as client:
        assert not client.session_present
        client.subscribe(topic, 1)
    with Client(core, device(core), version) as other:
        other.publish(topic, b"missed", 1)
        other.publish(topic, b"not kept", 0)
    with Client(core, identity, version, **persistent) as client:
        assert client.session_present
        assert client.take(1)[0].payload == b"missed"
        client.assert_silence()
    with Client(core, identity, version, client_id=name) as client:
        assert not client.session_present, "a clean session resumed the old one"


@over_both_versions
def a_shared_subscription_gives_each_message_to_one_member(core, version):
    topic = unique("shared")
    with (
        Client(core, device(core), version) as first,
        Client(core, device(core), version) as second,
        Client(core, device(core), version) as publisher,
    ):
        for member in (first, second):
            assert member.subscribe(f"$share/team/{topic}", 1) == 1
        for number in range(20):
            publisher.publish(topic, b"%d" % number)
        eventually(
            lambda: first.messages.qsize() + second.messages.qsize() == 20, "20 messages came"
        )
        time.sleep(0.3)
        assert first.messages.qsize() + second.messages.qsize() == 20, "a message came twice"


@over_both_versions
def events_cannot_be_forged(core, version):
    """Devices may subscribe to `$aws/events/…`, and never publish there."""
    topic = f"$aws/events/presence/connected/{unique('somebody')}"
    with Client(core, device(core), version) as watcher:
        assert watcher.subscribe(topic, 1) == 1
        with Client(core, device(core), version) as forger:
            code = forger.publish(topic, b"forged")
            assert code != 0, "acknowledged"
        watcher.assert_silence(0.3)


# MQTT 5 alone


@case
def MQTT_5_the_connack_tells_the_limits_of_aws(core):
    with Client(core, device(core), paho.MQTTv5) as client:
        told = client.connack.json()
        expected = {
            "ReceiveMaximum": 100,
            "TopicAliasMaximum": 8,
            "MaximumQoS": 1,
            "RetainAvailable": 1,
            "WildcardSubscriptionAvailable": 1,
            "SubscriptionIdentifierAvailable": 0,
        }
        # A value that equals the specification's default may be left out.
        defaults = {"RetainAvailable": 1, "WildcardSubscriptionAvailable": 1}
        seen = {name: told.get(name, defaults.get(name)) for name in expected}
        assert seen == expected, seen
        assert told["ServerKeepAlive"] == 60, told
        assert told["MaximumPacketSize"] >= LARGEST_PAYLOAD, told


@case
def MQTT_5_publish_properties_travel_unchanged(core):
    topic = unique("properties")
    properties = publish_properties(
        PayloadFormatIndicator=1,
        ContentType="text/plain",
        ResponseTopic="the/answer",
        CorrelationData=b"\x00\x01\xff",
        MessageExpiryInterval=300,
        UserProperty=[("b", "1"), ("a", "2"), ("b", "3")],
    )
    with Client(core, device(core), paho.MQTTv5) as client:
        client.subscribe(topic, 1)
        client.publish(topic, "text", properties=properties)
        seen = client.take(1)[0].properties
        assert seen.PayloadFormatIndicator == 1 and seen.ContentType == "text/plain"
        assert seen.ResponseTopic == "the/answer" and seen.CorrelationData == b"\x00\x01\xff"
        assert 290 <= seen.MessageExpiryInterval <= 300
        assert seen.UserProperty == [("b", "1"), ("a", "2"), ("b", "3")], seen.UserProperty


@case
def MQTT_5_a_topic_alias_stands_for_its_topic(core):
    topic = unique("alias")
    with Client(core, device(core), paho.MQTTv5) as client:
        client.subscribe(topic, 1)
        client.publish(topic, b"named", properties=publish_properties(TopicAlias=1))
        client.publish("", b"by alias", properties=publish_properties(TopicAlias=1))
        assert [message.topic for message in client.take(2)] == [topic, topic]


@case
def MQTT_5_an_expired_message_is_not_delivered(core):
    topic, name, identity = unique("expiry"), unique("sleeper"), device(core)
    persistent = {"client_id": name, "clean": False, "expiry": 600}
    with Client(core, identity, paho.MQTTv5, **persistent) as client:
        client.subscribe(topic, 1)
    with Client(core, device(core), paho.MQTTv5) as other:
        other.publish(topic, b"stale", properties=publish_properties(MessageExpiryInterval=1))
        other.publish(topic, b"fresh", properties=publish_properties(MessageExpiryInterval=300))
    time.sleep(2.1)
    with Client(core, identity, paho.MQTTv5, **persistent) as client:
        assert client.take(1)[0].payload == b"fresh"


@case
def MQTT_5_an_empty_client_id_is_assigned(core):
    identity = device(core)
    client = Client(core, identity, paho.MQTTv5)
    client.paho._client_id = b""
    with client:
        assert client.connack.AssignedClientIdentifier


@case
def MQTT_5_a_subscription_identifier_is_not_available(core):
    with Client(core, device(core), paho.MQTTv5) as client:
        properties = Properties(PacketTypes.SUBSCRIBE)
        properties.SubscriptionIdentifier = 7
        client.paho.subscribe(unique("identified"), 1, properties=properties)
        assert client.assert_gone() == 0xA1, f"DISCONNECT {client.gone_reason:#x}"


@case
def MQTT_5_an_mqtt_3_session_is_not_resumed(core):
    name, identity = unique("versions"), device(core)
    with Client(core, identity, paho.MQTTv311, client_id=name, clean=False) as client:
        client.subscribe(unique("topic"), 1)
    with Client(core, identity, paho.MQTTv5, client_id=name, clean=False, expiry=60) as client:
        assert not client.session_present


@case
def MQTT_5_a_receive_maximum_is_respected(core):
    topic = unique("window")
    narrow = {"acknowledges": False, "receive_maximum": 5}
    with Client(core, device(core), paho.MQTTv5, **narrow) as slow:
        slow.subscribe(topic, 1)
        with Client(core, device(core), paho.MQTTv5) as publisher:
            for number in range(12):
                publisher.publish(topic, b"%d" % number)
        for expected in (5, 5, 2):
            window = slow.take(expected)
            slow.assert_silence(0.3)
            for message in window:
                slow.acknowledge(message)


@case
def MQTT_5_a_session_expires(core):
    name, identity = unique("brief"), device(core)
    brief = {"client_id": name, "clean": False, "expiry": 1}
    with Client(core, identity, paho.MQTTv5, **brief) as client:
        client.subscribe(unique("topic"), 1)
    time.sleep(2.5)
    with Client(core, identity, paho.MQTTv5, **brief) as client:
        assert not client.session_present


@case
def MQTT_5_a_keep_alive_below_30_seconds_is_raised(core):
    for asked, told in ((10, 30), (1200, 1200), (5000, 1200), (0, 1200)):
        with Client(core, device(core), paho.MQTTv5, keep_alive=asked) as client:
            assert client.connack.ServerKeepAlive == told, f"{asked}: {client.connack}"


@case
def MQTT_5_a_will_of_qos_2_is_refused(core):
    client = Client(core, device(core), paho.MQTTv5, will=(unique("will"), b"x", 2, False))
    answer = client.connect()
    client.paho.loop_stop()
    assert answer and answer[1].value == QOS_NOT_SUPPORTED, f"CONNACK {answer}"


@case
def MQTT_5_a_disconnect_may_ask_for_the_will(core):
    topic = unique("will")
    with Client(core, device(core), paho.MQTTv5) as watcher:
        watcher.subscribe(topic, 1)
        with Client(core, device(core), paho.MQTTv5, will=(topic, b"x", 1, False)) as client:
            client.paho.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=0x04))
        assert watcher.take(1)[0].payload == b"x"


# What a policy denies


def only(client_id, *more):
    """Statements that allow this client id to connect, and what else is said."""
    connect = {"Action": "iot:Connect", "Resource": f"arn:aws:iot:*:*:client/{client_id}"}
    return [{"Effect": "Allow", **statement} for statement in (connect, *more)]


@over_both_versions
def a_denied_connect_is_refused(core, version):
    client = Client(core, device(core, *only("somebody-else")), version)
    answer = client.connect()
    client.paho.loop_stop()
    if version == paho.MQTTv311:
        assert answer is None, f"a CONNACK: {answer}"  # closed without CONNACK, as measured on AWS
    else:
        assert answer and answer[1].value == NOT_AUTHORIZED, f"CONNACK {answer}"


@over_both_versions
def a_denied_publish_ends_the_connection_or_is_told(core, version):
    name = unique("mute")
    for qos in (0, 1):
        with Client(core, device(core, *only(name)), version, client_id=name) as client:
            client.paho.publish("anything", b"x", qos)
            if version == paho.MQTTv5 and qos == 1:
                assert client.answer().value == NOT_AUTHORIZED
                assert not client.gone.is_set()
            elif version == paho.MQTTv5:
                assert client.assert_gone() == NOT_AUTHORIZED
            else:
                client.assert_gone()


@over_both_versions
def a_denied_subscribe_ends_the_connection_or_is_told(core, version):
    name = unique("deaf")
    with Client(core, device(core, *only(name)), version, client_id=name) as client:
        code = client.subscribe("anything", 1)
        if version == paho.MQTTv5:
            assert code == NOT_AUTHORIZED, f"SUBACK {code}"
            assert not client.gone.is_set()
        else:
            assert code is None, f"SUBACK {code}"


@over_both_versions
def a_denied_will_refuses_the_connection(core, version):
    name = unique("last-words")
    will = ("not/mine", b"x", 1, False)
    client = Client(core, device(core, *only(name)), version, client_id=name, will=will)
    answer = client.connect()
    client.paho.loop_stop()
    if version == paho.MQTTv311:
        assert answer is None, f"a CONNACK: {answer}"
    else:
        assert answer and answer[1].value in (NOT_AUTHORIZED, TOPIC_NAME_INVALID), answer


@over_both_versions
def a_deny_outweighs_every_allow(core, version):
    deny = {"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/*/off"}
    with Client(core, device(core, EVERYTHING, deny), version) as client:
        assert client.publish("machine/on", b"x") == 0
        denied = client.publish("machine/off", b"x")
        assert denied == (NOT_AUTHORIZED if version == paho.MQTTv5 else None), denied


@over_both_versions
def policy_variables_bind_a_device_to_its_thing(core, version):
    name, identity = unique("bound"), pki.self_signed(unique("CN"))
    variable = "${iot:Connection.Thing.ThingName}"
    attached = {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}
    client = {"Action": "iot:Connect", "Resource": f"arn:aws:iot:*:*:client/{variable}"}
    colour = "${iot:Connection.Thing.Attributes[colour]}"
    statements = [
        {"Effect": "Allow", **client, "Condition": attached},
        {
            "Effect": "Allow",
            "Action": "iot:Publish",
            "Resource": [
                f"arn:aws:iot:*:*:topic/from/{variable}/{colour}",
                "arn:aws:iot:*:*:topic/of/${iot:Certificate.Subject.CommonName}",
                "arn:aws:iot:*:*:topic/by/${iot:ClientId}",
            ],
        },
    ]
    arn = core.register(identity, policy_name=core.allow(unique("policy"), *statements))
    alone = Client(core, identity, version, client_id=name)
    answer = alone.connect()
    alone.paho.loop_stop()
    assert answer is None or answer[1].value == NOT_AUTHORIZED, f"in without a thing: {answer}"
    core.iot.create_thing(
        thingName=name, attributePayload={"attributes": {"colour": "red"}}
    )
    core.iot.attach_thing_principal(thingName=name, principal=arn)
    common_name = identity.certificate.subject.rfc4514_string().removeprefix("CN=")
    with Client(core, identity, version, client_id=name) as bound:
        for topic in (f"from/{name}/red", f"of/{common_name}", f"by/{name}"):
            assert bound.publish(topic, b"x") == 0, topic
        denied = bound.publish(f"from/{name}/blue", b"x")
        assert denied == (NOT_AUTHORIZED if version == paho.MQTTv5 else None), denied


@over_both_versions
def a_message_one_may_not_receive_is_not_delivered(core, version):
    name, base = unique("half-deaf"), unique("secret")
    statements = only(
        name,
        {"Action": "iot:Subscribe", "Resource": "*"},
        {"Action": "iot:Receive", "Resource": f"arn:aws:iot:*:*:topic/{base}/open"},
    )
    with Client(core, device(core, *statements), version, client_id=name) as client:
        assert client.subscribe(f"{base}/#", 1) == 1
        with Client(core, device(core), version) as publisher:
            publisher.publish(f"{base}/closed", b"x")
            publisher.publish(f"{base}/open", b"y")
        assert [message.payload for message in client.take(1)] == [b"y"]
        client.assert_silence(0.2)


@over_both_versions
def a_policy_taken_away_counts_for_the_live_connection(core, version):
    name = unique("demoted")
    identity = pki.self_signed(name)
    policy_name = core.allow(unique("policy"), EVERYTHING)
    core.register(identity)  # may publish on its own name only
    core.iot.attach_policy(policyName=policy_name, target=core.arn_of(identity))
    with Client(core, identity, version, client_id=name) as client:
        assert client.publish("anywhere", b"x") == 0
        core.iot.detach_policy(policyName=policy_name, target=core.arn_of(identity))
        assert client.publish(name, b"x") == 0
        time.sleep(0.2)
        denied = client.publish("anywhere", b"x")
        assert denied == (NOT_AUTHORIZED if version == paho.MQTTv5 else None), denied


# Events


@over_both_versions
def presence_events_tell_of_a_connection_and_its_end(core, version):
    name, identity = unique("present"), device(core)
    with Client(core, device(core), version) as watcher:
        for event in ("connected", "disconnected"):
            assert watcher.subscribe(f"$aws/events/presence/{event}/{name}", 1) == 1
        with Client(core, identity, version, client_id=name):
            pass
        seen = {}
        for message in watcher.take(2):
            event = json.loads(message.payload)
            seen[event["eventType"]] = event
            assert event["clientId"] == name and event["principalIdentifier"] == identity.id
            assert abs(event["timestamp"] / 1000 - time.time()) < 60
        assert set(seen) == {"connected", "disconnected"}, seen
        assert seen["disconnected"]["clientInitiatedDisconnect"] is True
        assert seen["disconnected"]["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"
        assert seen["connected"]["sessionIdentifier"] == seen["disconnected"]["sessionIdentifier"]


@case
def the_registered_event_tells_of_a_newcomer(core):
    authority, name = pki.Authority(unique("CA")), unique("newcomer")
    core.register_ca(authority, template=None)
    newcomer = authority.issue(name)
    with Client(core, device(core), paho.MQTTv311) as watcher:
        watcher.subscribe(f"$aws/events/certificates/registered/{authority.id}", 1)
        unknown = Client(core, newcomer, paho.MQTTv311, client_id=name)
        assert unknown.connect() is None, "a CONNACK for an unknown certificate"
        unknown.paho.loop_stop()
        event = json.loads(watcher.take(1)[0].payload)
        assert event["certificateId"] == newcomer.id and event["caCertificateId"] == authority.id
        assert event["certificateStatus"] == "PENDING_ACTIVATION", event
        assert event["awsAccountId"] and abs(event["timestamp"] / 1000 - time.time()) < 60


# mosquitto's programs


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
    with subprocess.Popen(["stdbuf", "-oL", *subscribe], stdout=subprocess.PIPE, text=True) as subscriber:
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


# The toolkit's own programs beside them


@over_both_versions
def paho_and_the_programs_hear_each_other(core, version):
    station = Station()
    station.run("create-root", unique("root"))
    root = next(station.path.glob("*.ca.pem")).name.removesuffix(".ca.pem")
    station.run("register", root)
    name = unique("sensor")
    station.run("provision", name, root, "--connect")
    with Client(core, device(core), version) as client:
        client.subscribe(name, 1)
        station.run("pub", name, "hello")
        assert client.take(1)[0].payload == b"hello"
        listener = station.start("sub", name, "--count", "1", "--timeout", "20")
        station.wait_for_line(listener, "listening")
        client.publish(unique("news"), b"to all")
        answer, _ = listener.communicate(timeout=20)
        assert answer.endswith("\tto all\n"), answer


judge(Core())
