"""Cases: Retained messages, wills, takeover, persistent and shared sessions."""

import time

import paho.mqtt.client as paho

from lab import eventually, unique
from mqtt.client import SESSION_TAKEN_OVER, Client, device, over_both_versions


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
