"""Cases: Thing types, thing groups and billing groups, which templates refer to."""

from control import TOKENS, pages
from lab import case, expect_error, unique


@case
def a_thing_type_is_deprecated_before_it_is_deleted(core):
    name, thing = unique("type"), unique("thing")
    created = core.iot.create_thing_type(
        thingTypeName=name,
        thingTypeProperties={"thingTypeDescription": "x", "searchableAttributes": ["colour"]},
    )
    assert created["thingTypeArn"].endswith(f":thingtype/{name}") and created["thingTypeId"]
    core.iot.create_thing(thingName=thing, thingTypeName=name)
    assert core.iot.describe_thing(thingName=thing)["thingTypeName"] == name
    listed = core.iot.list_things(thingTypeName=name)["things"]
    assert [item["thingName"] for item in listed] == [thing]

    expect_error("InvalidRequestException", core.iot.delete_thing_type, thingTypeName=name)
    core.iot.deprecate_thing_type(thingTypeName=name)
    told = core.iot.describe_thing_type(thingTypeName=name)
    assert told["thingTypeMetadata"]["deprecated"] and told["thingTypeMetadata"]["deprecationDate"]
    assert told["thingTypeProperties"]["searchableAttributes"] == ["colour"]
    late = {"thingName": unique("late"), "thingTypeName": name}
    expect_error("InvalidRequestException", core.iot.create_thing, **late)
    # Five minutes must pass between the two (developer guide, "Thing types").
    expect_error("InvalidRequestException", core.iot.delete_thing_type, thingTypeName=name)
    core.iot.deprecate_thing_type(thingTypeName=name, undoDeprecate=True)
    core.iot.create_thing(**late)


@case
def a_thing_with_a_type_has_room_for_fifty_attributes(core):
    kind = unique("type")
    core.iot.create_thing_type(thingTypeName=kind)
    create = core.iot.create_thing
    for count, fits in ((50, True), (51, False)):
        wanted = {
            "thingName": unique("thing"),
            "thingTypeName": kind,
            "attributePayload": {"attributes": {f"a{number}": "x" for number in range(count)}},
        }
        if fits:
            create(**wanted)
        else:
            expect_error("InvalidRequestException", create, **wanted)


@case
def groups_form_a_tree_and_are_deleted_from_its_leaves(core):
    parent, child = unique("parent"), unique("child")
    core.iot.create_thing_group(thingGroupName=parent)
    core.iot.create_thing_group(
        thingGroupName=child,
        parentGroupName=parent,
        thingGroupProperties={
            "thingGroupDescription": "below",
            "attributePayload": {"attributes": {"floor": "1"}},
        },
    )
    told = core.iot.describe_thing_group(thingGroupName=child)
    assert told["thingGroupMetadata"]["parentGroupName"] == parent and told["version"] == 1
    roots = told["thingGroupMetadata"]["rootToParentThingGroups"]
    assert [item["groupName"] for item in roots] == [parent]
    assert told["thingGroupProperties"]["attributePayload"]["attributes"] == {"floor": "1"}
    below = core.iot.list_thing_groups(parentGroup=parent)["thingGroups"]
    assert [item["groupName"] for item in below] == [child]
    expect_error("InvalidRequestException", core.iot.delete_thing_group, thingGroupName=parent)
    core.iot.delete_thing_group(thingGroupName=child)
    core.iot.delete_thing_group(thingGroupName=parent)
    expect_error("ResourceNotFoundException", core.iot.describe_thing_group, thingGroupName=parent)


@case
def things_go_into_groups_and_out_again(core):
    parent, child = unique("parent"), unique("child")
    core.iot.create_thing_group(thingGroupName=parent)
    core.iot.create_thing_group(thingGroupName=child, parentGroupName=parent)
    things = sorted(unique("thing") for _ in range(3))
    for thing in things:
        core.iot.create_thing(thingName=thing)
        core.iot.add_thing_to_thing_group(thingName=thing, thingGroupName=child)
    call = core.iot.list_things_in_thing_group
    found = pages(call, TOKENS, "things", 2, thingGroupName=child)
    assert sorted(name for page in found for name in page) == things and len(found) == 2
    assert call(thingGroupName=parent)["things"] == []
    assert sorted(call(thingGroupName=parent, recursive=True)["things"]) == things
    of_thing = core.iot.list_thing_groups_for_thing(thingName=things[0])["thingGroups"]
    assert [item["groupName"] for item in of_thing] == [child]
    core.iot.remove_thing_from_thing_group(thingName=things[0], thingGroupName=child)
    assert sorted(call(thingGroupName=child)["things"]) == things[1:]
    core.iot.delete_thing(thingName=things[1])
    assert call(thingGroupName=child)["things"] == things[2:]


@case
def a_billing_group_takes_things_in(core):
    name, thing = unique("billing"), unique("thing")
    created = core.iot.create_billing_group(billingGroupName=name)
    assert created["billingGroupArn"].endswith(f":billinggroup/{name}")
    core.iot.create_thing(thingName=thing, billingGroupName=name)
    assert core.iot.list_things_in_billing_group(billingGroupName=name)["things"] == [thing]
    core.iot.remove_thing_from_billing_group(billingGroupName=name, thingName=thing)
    assert core.iot.list_things_in_billing_group(billingGroupName=name)["things"] == []
    core.iot.delete_billing_group(billingGroupName=name)
    expect_error(
        "ResourceNotFoundException", core.iot.describe_billing_group, billingGroupName=name
    )
