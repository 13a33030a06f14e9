"""Cases: What a policy denies, and what the client sees of it."""

import time

import paho.mqtt.client as paho

import pki
from lab import EVERYTHING, unique
from mqtt.client import NOT_AUTHORIZED, TOPIC_NAME_INVALID, Client, device, over_both_versions


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
    core.iot.create_thing(thingName=name, attributePayload={"attributes": {"colour": "red"}})
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
