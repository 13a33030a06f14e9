"""Judges the broker with the AWS IoT Device SDK for Python v2, over MQTT 3.1.1 and MQTT 5."""

import functools
import json
import queue
import threading

from awscrt import mqtt, mqtt5
from awscrt.exceptions import AwsCrtError
from awsiot import mqtt5_client_builder, mqtt_connection_builder

from lab import Core, Station, case, eventually, judge, unique

SECONDS = 15
MANY = 40


@functools.cache
def station():
    """A factory with its CA, registered."""
    station = Station()
    station.run("create-root")
    station.run("register")
    return station


def never_seen():
    """A device that the core does not know: name, certificate file, key file."""
    name = unique("device")
    return name, *station().device(name)


def known():
    """A device that was provisioned before."""
    name = unique("device")
    return name, *station().device(name, "--connect")


def connection_3(core, device, **options):
    """An MQTT 3.1.1 connection, not yet connected."""
    name, certificate, key = device
    return mqtt_connection_builder.mtls_from_path(
        endpoint=core.host,
        port=core.port,
        ca_filepath=core.cafile,
        cert_filepath=certificate,
        pri_key_filepath=key,
        client_id=name,
        clean_session=True,
        keep_alive_secs=30,
        **options,
    )


class Client5:
    """An MQTT 5 client of the SDK, with its events; it reconnects by itself. A context manager."""

    def __init__(self, core, device, **options):
        name, certificate, key = device
        self.failures = []
        self.connected, self.stopped = threading.Event(), threading.Event()
        self.messages = queue.Queue()
        self.client = mqtt5_client_builder.mtls_from_path(
            endpoint=core.host,
            port=core.port,
            ca_filepath=core.cafile,
            cert_filepath=certificate,
            pri_key_filepath=key,
            connect_options=mqtt5.ConnectPacket(client_id=name, keep_alive_interval_sec=30),
            on_lifecycle_connection_success=self._on_success,
            on_lifecycle_connection_failure=lambda data: self.failures.append(data.exception),
            on_lifecycle_stopped=lambda _: self.stopped.set(),
            on_publish_received=lambda data: self.messages.put(data.publish_packet),
            **options,
        )

    def _on_success(self, data):
        self.negotiated = data.negotiated_settings
        self.connected.set()

    def __enter__(self):
        self.client.start()
        assert self.connected.wait(SECONDS), f"never connected: {self.failures[-1:]}"
        return self

    def __exit__(self, *_):
        self.client.stop()
        self.stopped.wait(SECONDS)

    def subscribe(self, topic_filter):
        subscription = mqtt5.Subscription(topic_filter=topic_filter, qos=mqtt5.QoS.AT_LEAST_ONCE)
        packet = mqtt5.SubscribePacket(subscriptions=[subscription])
        return self.client.subscribe(packet).result(SECONDS).reason_codes

    def publish(self, topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, **properties):
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=qos, **properties)
        return self.client.publish(packet).result(SECONDS).puback


@case
def MQTT_3_a_newcomer_is_refused_once_and_then_served(core):
    newcomer = never_seen()
    refused = connection_3(core, newcomer).connect().exception(SECONDS)
    assert isinstance(refused, AwsCrtError), "connected at the first attempt"
    assert refused.name in ("AWS_ERROR_MQTT_UNEXPECTED_HANGUP", "AWS_IO_SOCKET_CLOSED"), refused
    eventually(lambda: is_served_3(core, newcomer), "the newcomer is served", SECONDS)
    core.iot.describe_thing(thingName=newcomer[0])


def is_served_3(core, device):
    connection = connection_3(core, device)
    if connection.connect().exception(SECONDS):
        return False
    connection.disconnect().result(SECONDS)
    return True


@case
def MQTT_3_messages_come_back(core):
    device = known()
    name = device[0]
    connection = connection_3(core, device)
    connection.connect().result(SECONDS)
    received = queue.Queue()
    for qos in (mqtt.QoS.AT_MOST_ONCE, mqtt.QoS.AT_LEAST_ONCE):
        subscribed, _ = connection.subscribe(
            name, qos, lambda topic, payload, **_: received.put(payload)
        )
        assert subscribed.result(SECONDS)["qos"] == qos
        payloads = [b"%d" % number for number in range(MANY)]
        for published in [connection.publish(name, payload, qos)[0] for payload in payloads]:
            published.result(SECONDS)
        assert [received.get(timeout=SECONDS) for _ in payloads] == payloads
        connection.unsubscribe(name)[0].result(SECONDS)
    connection.disconnect().result(SECONDS)


@case
def MQTT_3_a_denied_publish_hangs_up_and_the_sdk_reconnects(core):
    device = known()
    interrupted, resumed = threading.Event(), threading.Event()
    connection = connection_3(
        core,
        device,
        on_connection_interrupted=lambda *_, **__: interrupted.set(),
        on_connection_resumed=lambda *_, **__: resumed.set(),
    )
    connection.connect().result(SECONDS)
    connection.publish("not/mine", b"x", mqtt.QoS.AT_MOST_ONCE)
    assert interrupted.wait(SECONDS), "a denied publish left the connection alone"
    assert resumed.wait(SECONDS), "the SDK could not reconnect"
    connection.disconnect().result(SECONDS)


@case
def MQTT_5_a_newcomer_gets_in_by_the_sdks_own_reconnecting(core):
    newcomer = never_seen()
    with Client5(core, newcomer, min_reconnect_delay_ms=500) as client:
        assert client.failures, "connected at the first attempt"
        assert client.publish(newcomer[0], b"hello").reason_code == 0
    core.iot.describe_thing(thingName=newcomer[0])


@case
def MQTT_5_the_sdk_negotiates_the_limits_of_aws(core):
    with Client5(core, known()) as client:
        told = client.negotiated
        assert told.maximum_qos == mqtt5.QoS.AT_LEAST_ONCE
        assert told.receive_maximum_from_server == 100
        assert told.topic_alias_maximum_to_server == 8
        assert told.server_keep_alive_sec == 30
        assert told.retain_available and told.wildcard_subscriptions_available
        assert not told.subscription_identifiers_available
        assert told.shared_subscriptions_available


@case
def MQTT_5_messages_come_back_with_their_properties(core):
    device = known()
    name = device[0]
    with Client5(core, device) as client:
        assert client.subscribe(name) == [mqtt5.SubackReasonCode.GRANTED_QOS_1]
        for number in range(MANY):
            answer = client.publish(
                name,
                json.dumps({"number": number}),
                content_type="application/json",
                response_topic="the/answer",
                correlation_data=b"\x00\x01",
                user_properties=[mqtt5.UserProperty("number", str(number))],
            )
            assert answer.reason_code == mqtt5.PubackReasonCode.SUCCESS
        for number in range(MANY):
            message = client.messages.get(timeout=SECONDS)
            assert json.loads(message.payload) == {"number": number}
            assert message.content_type == "application/json"
            assert message.response_topic == "the/answer"
            assert message.user_properties[0].value == str(number)


@case
def MQTT_5_a_denied_publish_is_told_and_the_connection_stays(core):
    with Client5(core, known()) as client:
        refused = client.publish("not/mine", b"x").reason_code
        assert refused == mqtt5.PubackReasonCode.NOT_AUTHORIZED, refused


judge(Core())
