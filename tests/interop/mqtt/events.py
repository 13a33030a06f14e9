"""Cases: Events the core publishes."""

import json
import time

import paho.mqtt.client as paho

import pki
from lab import case, unique
from mqtt.client import Client, device, over_both_versions


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


@case
def a_registry_event_tells_of_a_thing_once_it_is_switched_on(core):
    name = unique("thing")
    core.iot.update_event_configurations(eventConfigurations={"THING": {"Enabled": True}})
    with Client(core, device(core), paho.MQTTv311) as watcher:
        watcher.subscribe(f"$aws/events/thing/{name}/+", 1)
        created = core.iot.create_thing(
            thingName=name, attributePayload={"attributes": {"colour": "red"}}
        )
        core.iot.delete_thing(thingName=name)
        events = [json.loads(message.payload) for message in watcher.take(2)]
    told = {event["operation"]: event for event in events}
    assert set(told) == {"CREATED", "DELETED"}, told
    event = told["CREATED"]
    assert event["eventType"] == "THING_EVENT" and event["thingName"] == name
    assert event["thingId"] == created["thingId"] and event["versionNumber"] == 1
    assert event["attributes"] == {"colour": "red"} and event["accountId"] and event["eventId"]


@case
def types_groups_and_memberships_are_told_of_once_they_are_switched_on(core):
    kind, thing, parent, child = (unique(word) for word in ("type", "thing", "parent", "child"))
    wanted = ("THING_TYPE", "THING_TYPE_ASSOCIATION", "THING_GROUP", "THING_GROUP_HIERARCHY", "THING_GROUP_MEMBERSHIP")
    on = {event: {"Enabled": True} for event in wanted}
    core.iot.update_event_configurations(eventConfigurations=on)
    with Client(core, device(core), paho.MQTTv5) as watcher:
        watcher.subscribe("$aws/events/#", 1)
        core.iot.create_thing_type(thingTypeName=kind, thingTypeProperties={"searchableAttributes": ["colour"]})
        core.iot.create_thing(thingName=thing, thingTypeName=kind)
        core.iot.create_thing_group(thingGroupName=parent)
        core.iot.create_thing_group(thingGroupName=child, parentGroupName=parent)
        core.iot.add_thing_to_thing_group(thingName=thing, thingGroupName=child)
        core.iot.remove_thing_from_thing_group(thingName=thing, thingGroupName=child)
        core.iot.update_thing(thingName=thing, removeThingType=True)
        core.iot.deprecate_thing_type(thingTypeName=kind)
        core.iot.delete_thing_group(thingGroupName=child)
        core.iot.delete_thing_group(thingGroupName=parent)
        told, expected = {}, {
            f"thingType/{kind}/created": ("THING_TYPE_EVENT", "CREATED"),
            f"thingType/{kind}/updated": ("THING_TYPE_EVENT", "UPDATED"),
            f"thingTypeAssociation/thing/{thing}/thingType/{kind}/added": ("THING_TYPE_ASSOCIATION_EVENT", "ADDED"),
            f"thingTypeAssociation/thing/{thing}/thingType/{kind}/removed": ("THING_TYPE_ASSOCIATION_EVENT", "REMOVED"),
            f"thingGroup/{parent}/created": ("THING_GROUP_EVENT", "CREATED"),
            f"thingGroup/{child}/created": ("THING_GROUP_EVENT", "CREATED"),
            f"thingGroup/{child}/deleted": ("THING_GROUP_EVENT", "DELETED"),
            f"thingGroup/{parent}/deleted": ("THING_GROUP_EVENT", "DELETED"),
            f"thingGroupHierarchy/thingGroup/{parent}/childThingGroup/{child}/added": ("THING_GROUP_HIERARCHY_EVENT", "ADDED"),
            f"thingGroupHierarchy/thingGroup/{parent}/childThingGroup/{child}/removed": ("THING_GROUP_HIERARCHY_EVENT", "REMOVED"),
            f"thingGroupMembership/thingGroup/{child}/thing/{thing}/added": ("THING_GROUP_MEMBERSHIP_EVENT", "ADDED"),
            f"thingGroupMembership/thingGroup/{child}/thing/{thing}/removed": ("THING_GROUP_MEMBERSHIP_EVENT", "REMOVED"),
        }
        while expected.keys() - told.keys():
            message = watcher.take(1)[0]
            told[message.topic.removeprefix("$aws/events/")] = json.loads(message.payload)
    for topic, (event_type, operation) in expected.items():
        event = told[topic]
        assert (event["eventType"], event["operation"]) == (event_type, operation), event
        assert event["eventId"] and abs(event["timestamp"] / 1000 - time.time()) < 60, event
    assert told[f"thingType/{kind}/updated"]["isDeprecated"] is True
    assert told[f"thingType/{kind}/created"]["searchableAttributes"] == ["colour"]
    assert told[f"thingGroup/{child}/created"]["parentGroupName"] == parent
    # The group is gone: its id is the same in all events.
    ids = {
        told[f"thingGroupMembership/thingGroup/{child}/thing/{thing}/added"]["groupId"],
        told[f"thingGroup/{child}/created"]["thingGroupId"],
        told[f"thingGroupHierarchy/thingGroup/{parent}/childThingGroup/{child}/added"]["childGroupId"],
    }
    assert len(ids) == 1, ids
