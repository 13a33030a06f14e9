"""Cases: The data plane over HTTP, through boto3, beside clients of the broker."""

import base64

import paho.mqtt.client as paho

from lab import case, expect_error, unique
from mqtt.client import Client, device

ADMINISTRATIVE_ACTION = 0x98


@case
def a_message_published_over_http_reaches_subscribers(core):
    topic = unique("http") + "/ü/x y"
    data = core.client("iot-data")
    with Client(core, device(core), paho.MQTTv5) as client:
        client.subscribe(topic, 1)
        for qos in (0, 1):
            data.publish(topic=topic, qos=qos, payload=b"\x00\xff")
            message = client.take(1)[0]
            assert message.payload == b"\x00\xff" and message.qos == qos


@case
def mqtt_5_properties_given_over_http_reach_subscribers(core):
    topic = unique("http")
    with Client(core, device(core), paho.MQTTv5) as client:
        client.subscribe(topic, 1)
        core.client("iot-data").publish(
            topic=topic,
            qos=1,
            payload="text",
            contentType="text/plain",
            responseTopic="the/answer",
            payloadFormatIndicator="UTF8_DATA",
            correlationData=base64.b64encode(b"\x00\x01").decode(),
            messageExpiry=300,
            userProperties=[{"one": "1"}, {"two": "2"}],
        )
        seen = client.take(1)[0].properties
        assert seen.ContentType == "text/plain" and seen.ResponseTopic == "the/answer"
        assert seen.PayloadFormatIndicator == 1 and seen.CorrelationData == b"\x00\x01"
        assert 290 <= seen.MessageExpiryInterval <= 300
        assert seen.UserProperty == [("one", "1"), ("two", "2")], seen.UserProperty


@case
def retained_messages_are_read_over_http(core):
    topics = sorted(unique("retained/http") for _ in range(3))
    data = core.client("iot-data")
    for topic in topics:
        data.publish(topic=topic, qos=1, retain=True, payload=topic.encode())
    told = data.get_retained_message(topic=topics[0])
    assert told["payload"] == topics[0].encode() and told["qos"] == 1
    listed = data.list_retained_messages(maxResults=200)["retainedTopics"]
    mine = {item["topic"]: item["payloadSize"] for item in listed if item["topic"] in topics}
    assert mine == {topic: len(topic) for topic in topics}, mine
    first = data.list_retained_messages(maxResults=1)
    assert len(first["retainedTopics"]) == 1 and first["nextToken"]
    data.publish(topic=topics[0], retain=True, payload=b"")
    expect_error("ResourceNotFoundException", data.get_retained_message, topic=topics[0])


@case
def a_connection_is_deleted_over_http(core):
    name, topic, data = unique("expelled"), unique("will"), core.client("iot-data")
    with Client(core, device(core), paho.MQTTv5) as watcher:
        watcher.subscribe(topic, 1)
        for silently in (False, True):
            will = (topic, b"expelled", 1, False)
            with Client(core, device(core), paho.MQTTv5, client_id=name, will=will) as client:
                data.delete_connection(clientId=name, preventWillMessage=silently)
                reason = client.assert_gone()
                assert reason == ADMINISTRATIVE_ACTION, f"DISCONNECT {reason:#x}"
            if silently:
                watcher.assert_silence()
            else:
                assert watcher.take(1)[0].payload == b"expelled"
    expect_error("ResourceNotFoundException", data.delete_connection, clientId=unique("nobody"))


@case
def nothing_is_published_over_http_on_reserved_or_impossible_topics(core):
    data = core.client("iot-data", parameter_validation=False)
    for topic in ("$aws/events/presence/connected/x", "a/#", "+/b", "x" * 257, "1/2/3/4/5/6/7/8/9"):
        expect_error("InvalidRequestException", data.publish, topic=topic, payload=b"x")
    topic = unique("big")
    data.publish(topic=topic, payload=bytes(128 * 1024))
    try:
        data.publish(topic=topic, payload=bytes(128 * 1024 + 1))
    except core.client("iot-data").exceptions.ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert status in (400, 413), status
        core.findings.clear()  # which of the two AWS answers is documented nowhere
    else:
        raise AssertionError("a payload over 128 KiB was accepted")
