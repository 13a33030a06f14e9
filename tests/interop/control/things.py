"""Cases: Things and their principals."""

import uuid

from botocore.exceptions import ClientError

import pki
from control import NOWHERE, TOKENS, pages
from lab import case, eventually, expect_error, unique


@case
def a_thing_is_created_described_changed_and_deleted(core):
    name = unique("thing")
    created = core.iot.create_thing(
        thingName=name, attributePayload={"attributes": {"colour": "red", "size": "7"}}
    )
    assert created["thingName"] == name and uuid.UUID(created["thingId"])
    assert created["thingArn"].endswith(f":thing/{name}")
    told = core.iot.describe_thing(thingName=name)
    assert told["defaultClientId"] == name and told["version"] == 1
    assert told["attributes"] == {"colour": "red", "size": "7"}
    assert told["thingId"] == created["thingId"] and told["thingArn"] == created["thingArn"]

    merge = {"attributes": {"size": "", "shape": "round"}, "merge": True}
    core.iot.update_thing(thingName=name, attributePayload=merge)
    told = core.iot.describe_thing(thingName=name)
    assert told["attributes"] == {"colour": "red", "shape": "round"}, told["attributes"]
    assert told["version"] == 2
    expect_error(
        "VersionConflictException", core.iot.update_thing, thingName=name, expectedVersion=1
    )
    core.iot.update_thing(thingName=name, attributePayload={"attributes": {"only": "this"}})
    assert core.iot.describe_thing(thingName=name)["attributes"] == {"only": "this"}
    expect_error(
        "VersionConflictException", core.iot.delete_thing, thingName=name, expectedVersion=1
    )
    core.iot.delete_thing(thingName=name, expectedVersion=3)
    expect_error("ResourceNotFoundException", core.iot.describe_thing, thingName=name)
    core.iot.delete_thing(thingName=name)  # deleting it again succeeds


@case
def a_thing_created_twice_alike_is_the_same_and_otherwise_refused(core):
    name = unique("again")
    payload = {"attributes": {"a": "1"}}
    first = core.iot.create_thing(thingName=name, attributePayload=payload)
    second = core.iot.create_thing(thingName=name, attributePayload=payload)
    assert first["thingId"] == second["thingId"]
    told = expect_error(
        "ResourceAlreadyExistsException",
        core.iot.create_thing,
        thingName=name,
        attributePayload={"attributes": {"a": "2"}},
    )
    assert told["resourceId"], told


@case
def a_thing_name_may_hold_colons(core):
    name = unique("urn:dev:mac")
    core.iot.create_thing(thingName=name)
    assert core.iot.describe_thing(thingName=name)["thingName"] == name
    core.iot.delete_thing(thingName=name)


@case
def names_and_attributes_outside_the_model_are_invalid_requests(core):
    lenient = core.client(parameter_validation=False)
    for name in ("with.dot", "with space", "a/b", "ü", "x" * 129):
        expect_error("InvalidRequestException", lenient.create_thing, thingName=name)
    for attributes in ({"sp ace": "1"}, {"a": "sp ace"}, {"a": "x" * 801}):
        expect_error(
            "InvalidRequestException",
            lenient.create_thing,
            thingName=unique("attributes"),
            attributePayload={"attributes": attributes},
        )


@case
def a_thing_without_type_has_at_most_three_attributes(core):
    three = {str(number): "x" for number in range(3)}
    core.iot.create_thing(thingName=unique("three"), attributePayload={"attributes": three})
    four = {str(number): "x" for number in range(4)}
    expect_error(
        "InvalidRequestException",
        core.iot.create_thing,
        thingName=unique("four"),
        attributePayload={"attributes": four},
    )


@case
def a_thing_of_an_unknown_type_is_refused(core):
    expect_error(
        "ResourceNotFoundException",
        core.iot.create_thing,
        thingName=unique("typed"),
        thingTypeName="missing",
    )


@case
def an_unknown_thing_is_not_found(core):
    missing = unique("missing")
    expect_error("ResourceNotFoundException", core.iot.describe_thing, thingName=missing)
    expect_error("ResourceNotFoundException", core.iot.update_thing, thingName=missing)
    expect_error("ResourceNotFoundException", core.iot.list_thing_principals, thingName=missing)


@case
def things_are_listed_page_by_page_and_by_attribute(core):
    colour = uuid.uuid4().hex
    names = {unique("listed") for _ in range(5)}
    for name in names:
        core.iot.create_thing(thingName=name, attributePayload={"attributes": {"colour": colour}})
    found = pages(
        core.iot.list_things,
        TOKENS,
        "things",
        2,
        attributeName="colour",
        attributeValue=colour,
    )
    listed = [item["thingName"] for page in found for item in page]
    assert sorted(listed) == sorted(names), listed
    first = found[0][0]
    assert first["version"] == 1 and first["thingArn"] and first["attributes"]["colour"] == colour
    some = core.iot.list_things(
        attributeName="colour", attributeValue=colour[:8], usePrefixAttributeValue=True
    )["things"]
    assert len(some) == 5


@case
def a_principal_is_attached_to_things_and_detached(core):
    leaf, names = pki.self_signed(unique("worn")), sorted(unique("thing") for _ in range(3))
    arn = core.register(leaf, policy_name=None)
    for name in names:
        core.iot.create_thing(thingName=name)
        core.iot.attach_thing_principal(thingName=name, principal=arn)
        core.iot.attach_thing_principal(thingName=name, principal=arn)
    assert core.iot.list_thing_principals(thingName=names[0])["principals"] == [arn]
    assert sorted(core.iot.list_principal_things(principal=arn)["things"]) == names
    found = pages(
        core.iot.list_principal_things,
        TOKENS,
        "things",
        2,
        principal=arn,
    )
    assert [len(page) for page in found] == [2, 1], found
    objects = core.iot.list_thing_principals_v2(thingName=names[0])["thingPrincipalObjects"]
    assert objects == [{"principal": arn, "thingPrincipalType": "NON_EXCLUSIVE_THING"}], objects
    objects = core.iot.list_principal_things_v2(principal=arn)["principalThingObjects"]
    assert sorted(item["thingName"] for item in objects) == names
    expect_error("InvalidRequestException", core.iot.delete_thing, thingName=names[0])
    core.iot.detach_thing_principal(thingName=names[0], principal=arn)
    eventually(
        lambda: core.iot.list_thing_principals(thingName=names[0])["principals"] == [],
        "the principal is detached",
    )
    core.iot.delete_thing(thingName=names[0])


@case
def an_exclusive_attachment_stays_alone(core):
    leaf = pki.self_signed(unique("exclusive"))
    arn = core.register(leaf, policy_name=None)
    first, second = unique("first"), unique("second")
    for name in (first, second):
        core.iot.create_thing(thingName=name)
    core.iot.attach_thing_principal(
        thingName=first, principal=arn, thingPrincipalType="EXCLUSIVE_THING"
    )
    objects = core.iot.list_principal_things_v2(principal=arn)["principalThingObjects"]
    assert objects == [{"thingName": first, "thingPrincipalType": "EXCLUSIVE_THING"}], objects
    try:
        core.iot.attach_thing_principal(thingName=second, principal=arn)
    except ClientError:
        return
    raise AssertionError("a second thing was attached")


@case
def an_unknown_principal_or_thing_cannot_be_attached(core):
    name = unique("lonely")
    core.iot.create_thing(thingName=name)
    arn = core.register(pki.self_signed(unique("known")), policy_name=None)
    nobody = arn[: -len(NOWHERE)] + NOWHERE
    attach = core.iot.attach_thing_principal
    expect_error("ResourceNotFoundException", attach, thingName=name, principal=nobody)
    expect_error("ResourceNotFoundException", attach, thingName=unique("x"), principal=arn)
