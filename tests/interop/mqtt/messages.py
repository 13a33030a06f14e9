"""Cases: Messages: round trips, wildcards, limits, acknowledgement."""

import paho.mqtt.client as paho

from lab import unique
from mqtt.client import (
    LARGEST_PAYLOAD,
    MANY,
    QOS_NOT_SUPPORTED,
    QUOTA_EXCEEDED,
    TOPIC_FILTER_INVALID,
    TOPIC_NAME_INVALID,
    Client,
    device,
    over_both_versions,
)


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
