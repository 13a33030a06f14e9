"""Judges just-in-time provisioning: what templates make of devices, and how they fail."""

import concurrent.futures
import hashlib
import json

import pki
from door import assert_in, assert_out, assert_provisioned, refusal, registered_ca
from lab import (
    EVERYTHING,
    POLICY,
    ROLE,
    STRING,
    Core,
    case,
    eventually,
    expect_error,
    judge,
    policy,
    template,
    unique,
)

CERTIFICATE = "AWS::IoT::Certificate"


def ref(parameter):
    return {"Ref": f"{CERTIFICATE}::{parameter}"}


def parameters(*names):
    return {f"{CERTIFICATE}::{name}": STRING for name in names}


def provisioned(core, made_by, **names):
    """A newcomer that gets in under this template; its name and certificate."""
    name = unique("device")
    identity = registered_ca(core, template=made_by).issue(name, **names)
    assert_provisioned(core, identity, name)
    return name, identity


def assert_pending(core, made_by, reason, **names):
    """A newcomer stays out under this template, the diary says why, and no thing is half made."""
    name = unique("device")
    identity = registered_ca(core, template=made_by).issue(name, **names)
    assert_out(core, identity, name)
    assert core.certificate_status(identity.id) == "PENDING_ACTIVATION"
    expect_error("ResourceNotFoundException", core.iot.describe_thing, thingName=name)
    told = [
        entry["sentence"] for entry in core.diary() if entry.get("certificateId") == identity.id
    ]
    assert any(reason in sentence for sentence in told), f"no {reason} in the diary: {told}"
    return name, identity


# What a template makes


@case
def every_field_of_the_certificate_reaches_the_thing(core):
    kind = unique("type")  # a thing without type has room for three attributes only
    core.iot.create_thing_type(thingTypeName=kind)
    fields = {
        "Country": "country_name",
        "Organization": "organization_name",
        "OrganizationalUnit": "organizational_unit_name",
        "DistinguishedNameQualifier": "dn_qualifier",
        "StateName": "state_or_province_name",
    }
    subject = {attribute: "LU" for attribute in fields.values()}
    subject.update(organization_name="Acme", dn_qualifier="q1")
    attributes = {name: ref(name) for name in [*fields, "SerialNumber", "CommonName", "Id"]}
    made_by = template(
        thing={"AttributePayload": attributes, "ThingTypeName": kind},
        more_parameters=parameters(*fields, "SerialNumber"),
    )
    name, identity = provisioned(core, made_by, **subject)
    told = core.iot.describe_thing(thingName=name)
    assert told["thingTypeName"] == kind
    expected = {field: subject[attribute] for field, attribute in fields.items()}
    expected["CommonName"], expected["Id"] = name, identity.id
    # The certificate's own serial number in decimal: what the published samples show.
    expected["SerialNumber"] = str(identity.certificate.serial_number)
    assert told["attributes"] == expected, told["attributes"]


@case
def a_default_stands_in_for_a_missing_field(core):
    declared = {f"{CERTIFICATE}::OrganizationalUnit": {**STRING, "Default": "unclaimed"}}
    made_by = template(
        thing={"AttributePayload": {"unit": ref("OrganizationalUnit")}},
        more_parameters=declared,
    )
    name, _ = provisioned(core, made_by)
    assert core.iot.describe_thing(thingName=name)["attributes"] == {"unit": "unclaimed"}
    name, _ = provisioned(core, made_by, organizational_unit_name="pumps")
    assert core.iot.describe_thing(thingName=name)["attributes"] == {"unit": "pumps"}


@case
def groups_and_a_billing_group_take_the_thing_in(core):
    group, other, billing = unique("group"), unique("group"), unique("billing")
    core.iot.create_thing_group(thingGroupName=group)
    core.iot.create_thing_group(thingGroupName=other)
    core.iot.create_billing_group(billingGroupName=billing)
    made_by = template(thing={"ThingGroups": [group, other], "BillingGroup": billing})
    name, _ = provisioned(core, made_by)
    groups = core.iot.list_thing_groups_for_thing(thingName=name)["thingGroups"]
    assert sorted(item["groupName"] for item in groups) == sorted([group, other])
    assert core.iot.describe_thing(thingName=name)["billingGroupName"] == billing


@case
def a_policy_document_becomes_a_policy_that_devices_share(core):
    document = policy({**EVERYTHING, "Sid": unique("sid").replace("-", "")})
    authority = registered_ca(core, template=template(policy={"PolicyDocument": document}))
    for _ in range(2):
        name = unique("device")
        identity = authority.issue(name)
        assert_provisioned(core, identity, name)
        attached = core.iot.list_attached_policies(target=core.arn_of(identity))["policies"]
        (policy_name,) = [item["policyName"] for item in attached]
        assert policy_name == hashlib.sha1(document.encode()).hexdigest().upper(), policy_name
        told = core.iot.get_policy(policyName=policy_name)
        assert json.loads(told["policyDocument"]) == json.loads(document)
        assert_in(core, identity, "whatever-the-document-allows")


@case
def a_template_may_leave_the_certificate_inactive(core):
    made_by = template(certificate={"Status": "INACTIVE"})
    name = unique("device")
    identity = registered_ca(core, template=made_by).issue(name)
    assert_out(core, identity, name)
    eventually(lambda: core.certificate_status(identity.id) == "INACTIVE", "INACTIVE")
    core.iot.describe_thing(thingName=name)


@case
def a_template_may_bind_the_certificate_to_its_thing_alone(core):
    made_by = template(certificate={"ThingPrincipalType": "EXCLUSIVE_THING"})
    name, identity = provisioned(core, made_by)
    things = core.iot.list_principal_things_v2(principal=core.arn_of(identity))
    expected = [{"thingName": name, "thingPrincipalType": "EXCLUSIVE_THING"}]
    assert things["principalThingObjects"] == expected, things["principalThingObjects"]


@case
def a_template_object_of_type_jitp_works_by_its_name(core):
    name = unique("template")
    core.iot.create_provisioning_template(
        templateName=name,
        type="JITP",
        templateBody=json.dumps(template(thing={"AttributePayload": {"by": "name"}})),
        provisioningRoleArn=ROLE,
        enabled=True,
    )
    authority = pki.Authority(unique("CA"))
    code = core.iot.get_registration_code()["registrationCode"]
    core.iot.register_ca_certificate(
        caCertificate=authority.pem,
        verificationCertificate=authority.issue(code).pem,
        setAsActive=True,
        allowAutoRegistration=True,
        registrationConfig={"templateName": name},
    )
    device = unique("device")
    assert_provisioned(core, authority.issue(device), device)
    assert core.iot.describe_thing(thingName=device)["attributes"] == {"by": "name"}


@case
def an_updated_template_counts_for_the_next_newcomer(core):
    authority, name = registered_ca(core), unique("device")
    changed = template(thing={"AttributePayload": {"generation": "2"}})
    core.iot.update_ca_certificate(
        certificateId=authority.id,
        registrationConfig={"templateBody": json.dumps(changed), "roleArn": ROLE},
    )
    assert_provisioned(core, authority.issue(name), name)
    assert core.iot.describe_thing(thingName=name)["attributes"] == {"generation": "2"}


# A thing that exists already


def meets_its_thing(core, setting):
    """A newcomer whose thing is there already; its certificate, and the attributes afterwards."""
    name = unique("device")
    core.iot.create_thing(
        thingName=name, attributePayload={"attributes": {"old": "1", "both": "1"}}
    )
    made_by = template(
        thing={"AttributePayload": {"new": "2", "both": "2"}},
        override={"AttributePayload": setting},
    )
    identity = registered_ca(core, template=made_by).issue(name)
    refusal(core, identity, name)
    eventually(lambda: core.diary()[-1].get("certificateId") == identity.id, "the diary tells")
    if setting != "FAIL":
        eventually(lambda: core.certificate_status(identity.id) == "ACTIVE", "ACTIVE")
    return name, identity, core.iot.describe_thing(thingName=name)["attributes"]


@case
def override_settings_decide_about_attributes(core):
    expected = {
        "DO_NOTHING": {"old": "1", "both": "1"},
        "REPLACE": {"new": "2", "both": "2"},
        "MERGE": {"old": "1", "new": "2", "both": "2"},
    }
    for setting, attributes in expected.items():
        _, _, told = meets_its_thing(core, setting)
        assert told == attributes, f"{setting}: {told}"


@case
def override_setting_fail_leaves_thing_and_device_as_they_were(core):
    name, identity, told = meets_its_thing(core, "FAIL")
    assert told == {"old": "1", "both": "1"}, told
    assert core.certificate_status(identity.id) == "PENDING_ACTIVATION"
    assert core.iot.list_thing_principals(thingName=name)["principals"] == []


# Templates that fail


@case
def a_field_the_certificate_lacks_is_named(core):
    made_by = template(more_parameters=parameters("Country"))
    assert_pending(core, made_by, "AWS::IoT::Certificate::Country")


@case
def a_policy_type_or_group_that_does_not_exist_is_named(core):
    missing = unique("missing")
    for made_by in (
        template(policy={"PolicyName": missing}),
        template(thing={"ThingTypeName": missing}),
        template(thing={"ThingGroups": [missing]}),
        template(thing={"BillingGroup": missing}),
    ):
        assert_pending(core, made_by, missing)


@case
def a_common_name_that_is_no_thing_name_is_named(core):
    identity = registered_ca(core).issue("sensor.17")
    assert_out(core, identity, "sensor.17")
    assert core.certificate_status(identity.id) == "PENDING_ACTIVATION"
    assert any("sensor.17" in entry["sentence"] for entry in core.diary())


@case
def once_the_cause_is_gone_and_the_certificate_deleted_the_device_gets_in(core):
    missing = unique("missing")
    name, identity = assert_pending(core, template(policy={"PolicyName": missing}), missing)
    core.allow(missing, EVERYTHING)
    core.iot.update_certificate(certificateId=identity.id, newStatus="INACTIVE")
    core.iot.delete_certificate(certificateId=identity.id)
    assert_provisioned(core, identity, name)


# Many at once


@case
def forty_newcomers_at_once_all_get_in(core):
    authority = registered_ca(core)
    names = [unique("crowd") for _ in range(40)]
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        arrivals = [
            pool.submit(assert_provisioned, core, authority.issue(name), name) for name in names
        ]
        for arrival in arrivals:
            arrival.result()
    for name in names:
        assert len(core.iot.list_thing_principals(thingName=name)["principals"]) == 1


@case
def a_newcomer_that_connects_eight_times_at_once_is_one_device(core):
    name = unique("hasty")
    identity = registered_ca(core).issue(name)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: refusal(core, identity, name), range(8)))
    eventually(lambda: refusal(core, identity, name) is None, "in")
    assert core.iot.list_thing_principals(thingName=name)["principals"] == [core.arn_of(identity)]
    attached = core.iot.list_attached_policies(target=core.arn_of(identity))["policies"]
    assert [item["policyName"] for item in attached] == [POLICY], attached
    assert core.iot.describe_thing(thingName=name)["version"] == 1


judge(Core())
