"""Cases: Policies: versions, attachments, documents that are refused."""

import json

from botocore.exceptions import ClientError

import pki
from control import MARKERS, NOWHERE, pages
from lab import EVERYTHING, POLICY, case, expect_error, policy, unique


@case
def a_policy_has_versions_and_one_of_them_counts(core):
    name, first, second = unique("policy"), policy(EVERYTHING), policy({**EVERYTHING, "Sid": "b"})
    created = core.iot.create_policy(policyName=name, policyDocument=first)
    assert created["policyVersionId"] == "1" and created["policyArn"].endswith(f":policy/{name}")
    assert json.loads(created["policyDocument"]) == json.loads(first)
    told = core.iot.get_policy(policyName=name)
    assert told["defaultVersionId"] == "1" and told["policyDocument"] == first
    assert told["creationDate"] and told["lastModifiedDate"] and told["generationId"]

    version = core.iot.create_policy_version(policyName=name, policyDocument=second)
    assert version["policyVersionId"] == "2" and version["isDefaultVersion"] is False
    assert core.iot.get_policy(policyName=name)["defaultVersionId"] == "1"
    core.iot.set_default_policy_version(policyName=name, policyVersionId="2")
    assert core.iot.get_policy(policyName=name)["policyDocument"] == second
    version = core.iot.create_policy_version(
        policyName=name, policyDocument=first, setAsDefault=True
    )
    assert version["isDefaultVersion"] is True
    told = core.iot.get_policy_version(policyName=name, policyVersionId="2")
    assert told["isDefaultVersion"] is False and told["policyDocument"] == second
    listed = core.iot.list_policy_versions(policyName=name)["policyVersions"]
    assert {item["versionId"]: item["isDefaultVersion"] for item in listed} == {
        "1": False,
        "2": False,
        "3": True,
    }


@case
def a_policy_has_at_most_five_versions_and_numbers_are_not_reused(core):
    name = unique("five")
    core.iot.create_policy(policyName=name, policyDocument=policy(EVERYTHING))
    create = core.iot.create_policy_version
    for _ in range(4):
        create(policyName=name, policyDocument=policy(EVERYTHING))
    expect_error(
        "VersionsLimitExceededException",
        create,
        policyName=name,
        policyDocument=policy(EVERYTHING),
    )
    core.iot.delete_policy_version(policyName=name, policyVersionId="5")
    sixth = create(policyName=name, policyDocument=policy(EVERYTHING))
    assert sixth["policyVersionId"] == "6", sixth["policyVersionId"]


@case
def a_policy_is_deleted_only_alone_and_unused(core):
    name = unique("clingy")
    core.iot.create_policy(policyName=name, policyDocument=policy(EVERYTHING))
    core.iot.create_policy_version(policyName=name, policyDocument=policy(EVERYTHING))
    arn = core.register(pki.self_signed(unique("holder")), policy_name=name)
    expect_error("DeleteConflictException", core.iot.delete_policy, policyName=name)
    core.iot.detach_policy(policyName=name, target=arn)
    expect_error("DeleteConflictException", core.iot.delete_policy, policyName=name)
    core.iot.delete_policy_version(policyName=name, policyVersionId="2")
    try:
        core.iot.delete_policy_version(policyName=name, policyVersionId="1")
        raise AssertionError("the default version was deleted")
    except ClientError:
        pass
    core.iot.delete_policy(policyName=name)
    for call in (core.iot.get_policy, core.iot.delete_policy, core.iot.list_policy_versions):
        expect_error("ResourceNotFoundException", call, policyName=name)


@case
def a_policy_name_is_taken_once(core):
    name = unique("taken")
    core.iot.create_policy(policyName=name, policyDocument=policy(EVERYTHING))
    told = expect_error(
        "ResourceAlreadyExistsException",
        core.iot.create_policy,
        policyName=name,
        policyDocument=policy(EVERYTHING),
    )
    assert told["resourceId"] and told["resourceArn"], told


@case
def malformed_policies_are_refused(core):
    statement = dict(EVERYTHING)
    for document in (
        "not JSON",
        "[]",
        policy(),
        policy({**statement, "Effect": "Maybe"}),
        policy({"Effect": "Allow", "Action": "iot:Connect"}),
        policy({"Effect": "Allow", "Resource": "*"}),
        policy({**statement, "Principal": "*"}),
        policy({**statement, "Surprise": 1}),
        json.dumps({"Version": "2011-01-01", "Statement": [statement]}),
    ):
        try:
            core.iot.create_policy(policyName=unique("bad"), policyDocument=document)
        except core.iot.exceptions.MalformedPolicyException:
            continue
        raise AssertionError(f"accepted: {document}")


@case
def a_policy_longer_than_2048_characters_is_refused(core):
    resources = [f"arn:aws:iot:eu-central-1:123456789012:topic/{n:04}" for n in range(50)]
    expect_error(
        "MalformedPolicyException",
        core.iot.create_policy,
        policyName=unique("long"),
        policyDocument=policy({**EVERYTHING, "Resource": resources}),
    )
    spacious = json.dumps(json.loads(policy(EVERYTHING)), indent=600)
    assert len(spacious) > 2048  # white space does not count
    core.iot.create_policy(policyName=unique("spacious"), policyDocument=spacious)


@case
def policies_are_attached_listed_from_both_sides_and_detached(core):
    arn = core.register(pki.self_signed(unique("holder")), policy_name=None)
    names = sorted(core.allow(unique("attached"), EVERYTHING) for _ in range(3))
    for name in names:
        core.iot.attach_policy(policyName=name, target=arn)
        core.iot.attach_policy(policyName=name, target=arn)
    listed = core.iot.list_attached_policies(target=arn)["policies"]
    assert sorted(item["policyName"] for item in listed) == names
    assert all(item["policyArn"].endswith(f":policy/{item['policyName']}") for item in listed)
    found = pages(
        core.iot.list_attached_policies,
        MARKERS,
        "policies",
        2,
        target=arn,
    )
    assert [len(page) for page in found] == [2, 1], found
    assert core.iot.list_targets_for_policy(policyName=names[0])["targets"] == [arn]
    core.iot.detach_policy(policyName=names[0], target=arn)
    core.iot.detach_policy(policyName=names[0], target=arn)
    assert core.iot.list_targets_for_policy(policyName=names[0])["targets"] == []


@case
def the_deprecated_principal_policy_calls_still_work(core):
    arn = core.register(pki.self_signed(unique("holder")), policy_name=None)
    name = core.allow(unique("deprecated"), EVERYTHING)
    core.iot.attach_principal_policy(policyName=name, principal=arn)
    listed = core.iot.list_principal_policies(principal=arn)["policies"]
    assert [item["policyName"] for item in listed] == [name]
    assert core.iot.list_policy_principals(policyName=name)["principals"] == [arn]
    core.iot.detach_principal_policy(policyName=name, principal=arn)
    assert core.iot.list_policy_principals(policyName=name)["principals"] == []


@case
def a_certificate_has_at_most_ten_policies(core):
    arn = core.register(pki.self_signed(unique("holder")), policy_name=None)
    for _ in range(10):
        name = core.allow(unique("one-of-ten"), EVERYTHING)
        core.iot.attach_policy(policyName=name, target=arn)
    name = core.allow(unique("eleventh"), EVERYTHING)
    expect_error("LimitExceededException", core.iot.attach_policy, policyName=name, target=arn)


@case
def an_unknown_policy_or_target_is_not_found(core):
    arn = core.register(pki.self_signed(unique("holder")), policy_name=None)
    nobody = arn[: -len(NOWHERE)] + NOWHERE
    missing = unique("missing")
    attach = core.iot.attach_policy
    expect_error("ResourceNotFoundException", attach, policyName=missing, target=arn)
    expect_error("ResourceNotFoundException", attach, policyName=POLICY, target=nobody)
    expect_error("ResourceNotFoundException", core.iot.get_policy, policyName=missing)
    expect_error(
        "ResourceNotFoundException",
        core.iot.get_policy_version,
        policyName=POLICY,
        policyVersionId="99",
    )
    expect_error(
        "ResourceNotFoundException",
        core.iot.create_policy_version,
        policyName=missing,
        policyDocument=policy(EVERYTHING),
    )


@case
def policies_are_listed_page_by_page(core):
    made = {core.allow(unique("listed"), EVERYTHING) for _ in range(4)}
    call = core.iot.list_policies
    found = pages(call, MARKERS, "policies", 2)
    assert all(len(page) == 2 for page in found[:-1])
    names = [item["policyName"] for page in found for item in page]
    assert len(set(names)) == len(names) and made <= set(names)


@case
def what_a_policy_decides_can_be_asked(core):
    topic = "arn:aws:iot:eu-central-1:123456789012:topic"
    statements = [
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{topic}/open/*"},
        {"Effect": "Deny", "Action": "iot:Publish", "Resource": f"{topic}/open/secret"},
    ]
    name = core.allow(unique("asked"), *statements)
    arn = core.register(pki.self_signed(unique("holder")), policy_name=name)
    resources = {
        f"{topic}/open/x": "ALLOWED",
        f"{topic}/open/secret": "EXPLICIT_DENY",
        f"{topic}/closed": "IMPLICIT_DENY",
    }
    questions = [{"actionType": "PUBLISH", "resources": [resource]} for resource in resources]
    answers = core.iot.test_authorization(principal=arn, clientId="x", authInfos=questions)
    decisions = {
        answer["authInfo"]["resources"][0]: answer["authDecision"]
        for answer in answers["authResults"]
    }
    assert decisions == resources, decisions
    effective = core.iot.get_effective_policies(principal=arn)["effectivePolicies"]
    assert [item["policyName"] for item in effective] == [name]
    assert json.loads(effective[0]["policyDocument"])["Statement"] == statements


@case
def what_a_policy_with_variables_decides_depends_on_thing_client_and_group(core):
    region = "arn:aws:iot:eu-central-1:123456789012"
    statement = {
        "Effect": "Allow",
        "Action": "iot:Connect",
        "Resource": f"{region}:client/${{iot:Connection.Thing.ThingName}}",
    }
    name, thing, group = core.allow(unique("variable"), statement), unique("thing"), unique("group")
    arn = core.register(pki.self_signed(unique("holder")), policy_name=name)
    core.iot.create_thing(thingName=thing)
    core.iot.attach_thing_principal(thingName=thing, principal=arn)

    def decided(client_id, resource, **more):
        question = [{"actionType": "CONNECT", "resources": [f"{region}:client/{resource}"]}]
        answer = core.iot.test_authorization(principal=arn, clientId=client_id, authInfos=question, **more)
        return answer["authResults"][0]["authDecision"]

    assert decided(thing, thing) == "ALLOWED"
    # The thing is known by the client id.
    assert decided("other", thing) == "IMPLICIT_DENY"
    assert decided(thing, "other") == "IMPLICIT_DENY"
    assert decided(thing, thing, policyNamesToSkip=[name]) == "IMPLICIT_DENY"
    open_name = core.allow(unique("open"), statement | {"Resource": "*"})
    assert decided(thing, "other", policyNamesToAdd=[open_name]) == "ALLOWED"
    unknown = {"client_id": thing, "resource": thing, "policyNamesToAdd": [unique("none")]}
    expect_error("ResourceNotFoundException", decided, **unknown)

    # A group's policy reaches the things in the groups below it.
    below = unique("below")
    created = core.iot.create_thing_group(thingGroupName=group)
    core.iot.create_thing_group(thingGroupName=below, parentGroupName=group)
    core.iot.attach_policy(policyName=open_name, target=created["thingGroupArn"])
    core.iot.add_thing_to_thing_group(thingName=thing, thingGroupName=below)
    effective = core.iot.get_effective_policies(principal=arn, thingName=thing)["effectivePolicies"]
    assert {item["policyName"] for item in effective} == {name, open_name}
    assert decided(thing, "other") == "ALLOWED"
    expect_error("InvalidRequestException", core.iot.get_effective_policies)
