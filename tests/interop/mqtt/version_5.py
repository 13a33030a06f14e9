"""Cases: What only MQTT 5 has."""

import time

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from lab import case, unique
from mqtt.client import LARGEST_PAYLOAD, QOS_NOT_SUPPORTED, Client, device, publish_properties


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
