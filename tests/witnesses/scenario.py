"""One life of an account, step by step, told the same to every server.

A step's answer is what of it can be compared between servers: no ids, no times. The steps go
on with what earlier ones made; one that cannot (something it needs was never made) is unreached.
A server that fails (HTTP 5xx), or says that it knows no such call, is lacking the operation.
"""

import json
import re

from botocore.exceptions import ClientError

import identities

STEPS = []

ALLOW = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
DOCUMENT = json.dumps({"Version": "2012-10-17", "Statement": [ALLOW]})
ROLE = "arn:aws:iam::123456789012:role/IoTProvisioning"
NOWHERE = "0" * 64
TEMPLATE = json.dumps(
    {
        "Parameters": {"Name": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Name"}}}
        },
    }
)


# Fleet provisioning hands the certificate in.
FLEET_TEMPLATE = json.dumps(
    {
        "Parameters": {
            "Name": {"Type": "String"},
            "AWS::IoT::Certificate::Id": {"Type": "String"},
        },
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Name"}}},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {
                    "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"},
                    "Status": "ACTIVE",
                },
            },
        },
    }
)


class Unreached(Exception):
    """Something this step needs was never made."""


class Memory:
    """What earlier steps made."""

    def __getattr__(self, name):
        raise Unreached(name)


def step(function):
    """Marks a function as a step; its name, with spaces, is the step's title."""
    STEPS.append(function)
    return function


def play(iot, data):
    """Plays the scenario; hands on what each step observed, by title."""
    memory = Memory()
    observed = {}
    for function in STEPS:
        title = function.__name__.replace("_", " ")
        try:
            answer = function(iot, data, memory)
        except Unreached as missing:
            answer = {"unreached": f"no {missing}"}
        except ClientError as error:
            told = error.response
            status = told["ResponseMetadata"]["HTTPStatusCode"]
            if status >= 500 or told["Error"]["Message"].startswith("Unsupported "):
                answer = {"lacking": status}
            else:
                answer = {"error": told["Error"]["Code"], "status": status}
        except Exception as error:  # a body the client cannot even parse
            answer = {"broken": type(error).__name__}
        observed[title] = comparable(answer)
    return observed


def comparable(value):
    """Without what differs from server to server: ids, account, region, request data."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [comparable(item) for item in value]
    if isinstance(value, str):
        value = re.sub(r"arn:aws:iot:[a-z0-9-]*:\d*:", "arn:", value)
        value = re.sub(r"\b[0-9a-f]{64}\b", "ID", value)
        return re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID", value)
    return value


def members(answer):
    """The names of an answer's members."""
    return sorted(name for name in answer if name != "ResponseMetadata")


def some(answer, *names):
    """These members of an answer."""
    return {name: answer.get(name) for name in names}


# The account


@step
def the_data_endpoint_is_a_host_name(iot, data, memory):
    address = iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    return {"has a scheme": "://" in address}


@step
def an_unknown_endpoint_type(iot, data, memory):
    return members(iot.describe_endpoint(endpointType="iot:Nonsense"))


@step
def a_registration_code(iot, data, memory):
    code = iot.get_registration_code()["registrationCode"]
    memory.code = code
    same = iot.get_registration_code()["registrationCode"] == code
    return {"hex digits": bool(re.fullmatch("[0-9a-f]{64}", code)), "stays": same}


# Certificate authorities


@step
def a_ca_whose_verification_certificate_has_another_code(iot, data, memory):
    memory.root = identities.Authority("root")
    return members(
        iot.register_ca_certificate(
            caCertificate=memory.root.pem, verificationCertificate=memory.root.issue("other")
        )
    )


@step
def a_ca_whose_verification_certificate_another_ca_signed(iot, data, memory):
    forged = identities.Authority("root").issue(memory.code)
    return members(
        iot.register_ca_certificate(
            caCertificate=memory.root.pem, verificationCertificate=forged
        )
    )


@step
def a_ca_without_verification_certificate(iot, data, memory):
    return members(iot.register_ca_certificate(caCertificate=memory.root.pem))


@step
def a_leaf_as_ca(iot, data, memory):
    return members(
        iot.register_ca_certificate(
            caCertificate=memory.root.issue("leaf"), certificateMode="SNI_ONLY"
        )
    )


@step
def a_text_as_ca(iot, data, memory):
    return members(
        iot.register_ca_certificate(caCertificate="no certificate", certificateMode="SNI_ONLY")
    )


@step
def a_ca_with_template(iot, data, memory):
    answer = iot.register_ca_certificate(
        caCertificate=memory.root.pem,
        verificationCertificate=memory.root.issue(memory.code),
        setAsActive=True,
        allowAutoRegistration=True,
        registrationConfig={"templateBody": TEMPLATE, "roleArn": ROLE},
    )
    memory.ca = answer["certificateId"]
    return some(answer, "certificateArn", "certificateId")


@step
def the_same_ca_again(iot, data, memory):
    return members(
        iot.register_ca_certificate(
            caCertificate=memory.root.pem,
            verificationCertificate=memory.root.issue(memory.code),
        )
    )


@step
def the_ca_described(iot, data, memory):
    answer = iot.describe_ca_certificate(certificateId=memory.ca)
    description = answer["certificateDescription"]
    return {
        "members": members(description),
        **some(description, "status", "autoRegistrationStatus", "certificateMode", "customerVersion"),
        "registrationConfig": members(answer.get("registrationConfig", {})),
    }


@step
def an_unknown_ca(iot, data, memory):
    return members(iot.describe_ca_certificate(certificateId=NOWHERE))


@step
def the_active_ca_deleted(iot, data, memory):
    return members(iot.delete_ca_certificate(certificateId=memory.ca))


@step
def cas_listed(iot, data, memory):
    listed = iot.list_ca_certificates()["certificates"]
    return [members(item) for item in listed]


# Device certificates


@step
def a_device_certificate_of_the_ca(iot, data, memory):
    memory.leaf = memory.root.issue("sensor-17")
    answer = iot.register_certificate(
        certificatePem=memory.leaf, caCertificatePem=memory.root.pem, status="ACTIVE"
    )
    memory.certificate = answer["certificateId"]
    memory.certificate_arn = answer["certificateArn"]
    return some(answer, "certificateArn", "certificateId")


@step
def the_same_device_certificate_again(iot, data, memory):
    return members(
        iot.register_certificate(certificatePem=memory.leaf, caCertificatePem=memory.root.pem)
    )


@step
def a_device_certificate_of_an_unknown_ca(iot, data, memory):
    stranger = identities.Authority("stranger").issue("x")
    return members(iot.register_certificate(certificatePem=stranger))


@step
def a_device_certificate_as_pending_activation(iot, data, memory):
    return members(
        iot.register_certificate(
            certificatePem=memory.root.issue("pending"), status="PENDING_ACTIVATION"
        )
    )


@step
def a_text_as_device_certificate(iot, data, memory):
    return members(iot.register_certificate_without_ca(certificatePem="no certificate"))


@step
def the_device_certificate_described(iot, data, memory):
    description = iot.describe_certificate(certificateId=memory.certificate)[
        "certificateDescription"
    ]
    return {
        "members": members(description),
        **some(description, "status", "certificateMode", "customerVersion"),
        "of the CA": description.get("caCertificateId") == memory.ca,
    }


@step
def a_certificate_without_ca_is_inactive_and_sni_only(iot, data, memory):
    alone = iot.register_certificate_without_ca(certificatePem=memory.root.issue("alone"))
    memory.alone = alone["certificateId"]
    description = iot.describe_certificate(certificateId=memory.alone)["certificateDescription"]
    return some(description, "status", "certificateMode", "caCertificateId")


@step
def keys_and_certificate_from_aws(iot, data, memory):
    answer = iot.create_keys_and_certificate(setAsActive=True)
    memory.keys = answer["certificateId"]
    memory.keys_arn = answer["certificateArn"]
    return {"members": members(answer), "pair": sorted(answer["keyPair"])}


@step
def a_certificate_for_a_request(iot, data, memory):
    answer = iot.create_certificate_from_csr(certificateSigningRequest=identities.request("x"))
    memory.from_csr = answer["certificateId"]
    return members(answer)


@step
def a_text_as_request(iot, data, memory):
    return members(iot.create_certificate_from_csr(certificateSigningRequest="no request"))


@step
def certificates_of_the_ca(iot, data, memory):
    listed = iot.list_certificates_by_ca(caCertificateId=memory.ca)["certificates"]
    return [some(item, "certificateId", "status", "certificateMode") for item in listed]


@step
def certificates_two_a_page(iot, data, memory):
    first = iot.list_certificates(pageSize=2)
    rest = iot.list_certificates(marker=first["nextMarker"])
    return [len(first["certificates"]), len(rest["certificates"]), "nextMarker" in rest]


@step
def an_unknown_certificate_deleted(iot, data, memory):
    return members(iot.delete_certificate(certificateId=NOWHERE))


@step
def a_certificate_set_to_pending_transfer(iot, data, memory):
    return members(
        iot.update_certificate(certificateId=memory.alone, newStatus="PENDING_TRANSFER")
    )


@step
def a_revoked_certificate_activated(iot, data, memory):
    iot.update_certificate(certificateId=memory.from_csr, newStatus="REVOKED")
    return members(iot.update_certificate(certificateId=memory.from_csr, newStatus="ACTIVE"))


@step
def a_transfer_offered_and_cancelled(iot, data, memory):
    iot.transfer_certificate(certificateId=memory.alone, targetAwsAccount="210987654321")
    describe = lambda: iot.describe_certificate(certificateId=memory.alone)
    offered = describe()["certificateDescription"]["status"]
    iot.cancel_certificate_transfer(certificateId=memory.alone)
    return [offered, describe()["certificateDescription"]["status"]]


# Policies


@step
def a_policy(iot, data, memory):
    answer = iot.create_policy(policyName="p", policyDocument=DOCUMENT)
    return {"members": members(answer), **some(answer, "policyVersionId")}


@step
def the_same_policy_again(iot, data, memory):
    return members(iot.create_policy(policyName="p", policyDocument=DOCUMENT))


@step
def a_policy_that_is_no_json(iot, data, memory):
    return members(iot.create_policy(policyName="broken", policyDocument="{"))


@step
def a_policy_without_statement(iot, data, memory):
    return members(iot.create_policy(policyName="empty", policyDocument="{}"))


@step
def a_policy_of_an_unknown_action(iot, data, memory):
    document = json.dumps({"Version": "2012-10-17", "Statement": [{**ALLOW, "Action": "iot:Fly"}]})
    return members(iot.create_policy(policyName="fly", policyDocument=document))


@step
def the_policy_read(iot, data, memory):
    return members(iot.get_policy(policyName="p"))


@step
def five_versions_and_a_sixth(iot, data, memory):
    for _ in range(4):
        iot.create_policy_version(policyName="p", policyDocument=DOCUMENT)
    return members(iot.create_policy_version(policyName="p", policyDocument=DOCUMENT))


@step
def the_default_version_deleted(iot, data, memory):
    return members(iot.delete_policy_version(policyName="p", policyVersionId="1"))


@step
def another_version_is_the_default(iot, data, memory):
    iot.set_default_policy_version(policyName="p", policyVersionId="3")
    iot.delete_policy_version(policyName="p", policyVersionId="1")
    versions = iot.list_policy_versions(policyName="p")["policyVersions"]
    return sorted((item["versionId"], item["isDefaultVersion"]) for item in versions)


@step
def a_policy_with_several_versions_deleted(iot, data, memory):
    return members(iot.delete_policy(policyName="p"))


@step
def a_policy_attached_seen_from_both_sides(iot, data, memory):
    iot.create_policy(policyName="q", policyDocument=DOCUMENT)
    iot.attach_policy(policyName="q", target=memory.certificate_arn)
    attached = iot.list_attached_policies(target=memory.certificate_arn)["policies"]
    targets = iot.list_targets_for_policy(policyName="q")["targets"]
    return [[item["policyName"] for item in attached], targets == [memory.certificate_arn]]


@step
def the_deprecated_view_of_a_policy(iot, data, memory):
    listed = iot.list_principal_policies(principal=memory.certificate_arn)["policies"]
    return [item["policyName"] for item in listed]


@step
def an_unknown_policy_attached(iot, data, memory):
    return members(iot.attach_policy(policyName="none", target=memory.certificate_arn))


@step
def a_policy_attached_to_an_unknown_certificate(iot, data, memory):
    target = memory.certificate_arn.replace(memory.certificate, NOWHERE)
    return members(iot.attach_policy(policyName="q", target=target))


@step
def an_attached_policy_deleted(iot, data, memory):
    return members(iot.delete_policy(policyName="q"))


@step
def effective_policies(iot, data, memory):
    answer = iot.get_effective_policies(principal=memory.certificate_arn)
    return [item["policyName"] for item in answer["effectivePolicies"]]


@step
def an_authorization_tested(iot, data, memory):
    arn = memory.certificate_arn.split(":cert/")[0] + ":topic/a"
    answer = iot.test_authorization(
        principal=memory.certificate_arn,
        clientId="sensor-17",
        authInfos=[{"actionType": "PUBLISH", "resources": [arn]}],
    )
    return [result["authDecision"] for result in answer["authResults"]]


# Things


@step
def a_thing(iot, data, memory):
    answer = iot.create_thing(
        thingName="sensor-17", attributePayload={"attributes": {"site": "north"}}
    )
    return some(answer, "thingName", "thingArn", "thingId")


@step
def the_same_thing_again(iot, data, memory):
    answer = iot.create_thing(
        thingName="sensor-17", attributePayload={"attributes": {"site": "north"}}
    )
    return some(answer, "thingName")


@step
def the_same_thing_with_other_attributes(iot, data, memory):
    return members(
        iot.create_thing(thingName="sensor-17", attributePayload={"attributes": {"site": "south"}})
    )


@step
def a_thing_with_four_attributes_and_no_type(iot, data, memory):
    four = {name: "x" for name in "abcd"}
    return members(iot.create_thing(thingName="four", attributePayload={"attributes": four}))


@step
def a_thing_of_an_unknown_type(iot, data, memory):
    return members(iot.create_thing(thingName="typed", thingTypeName="none"))


@step
def the_thing_described(iot, data, memory):
    answer = iot.describe_thing(thingName="sensor-17")
    return {"members": members(answer), **some(answer, "defaultClientId", "version")}


@step
def attributes_merged_and_removed(iot, data, memory):
    merge = lambda **attributes: iot.update_thing(
        thingName="sensor-17", attributePayload={"attributes": attributes, "merge": True}
    )
    merge(floor="3")
    merge(site="")
    return some(iot.describe_thing(thingName="sensor-17"), "attributes", "version")


@step
def a_thing_updated_at_another_version(iot, data, memory):
    return members(iot.update_thing(thingName="sensor-17", expectedVersion=77))


@step
def an_unknown_thing_described(iot, data, memory):
    return members(iot.describe_thing(thingName="none"))


@step
def an_unknown_thing_deleted(iot, data, memory):
    return members(iot.delete_thing(thingName="none"))


@step
def things_by_attribute(iot, data, memory):
    listed = iot.list_things(attributeName="floor", attributeValue="3")["things"]
    return [item["thingName"] for item in listed]


@step
def a_principal_attached(iot, data, memory):
    iot.attach_thing_principal(thingName="sensor-17", principal=memory.certificate_arn)
    principals = iot.list_thing_principals(thingName="sensor-17")["principals"]
    things = iot.list_principal_things(principal=memory.certificate_arn)["things"]
    return [principals == [memory.certificate_arn], things]


@step
def principals_with_their_type(iot, data, memory):
    listed = iot.list_thing_principals_v2(thingName="sensor-17")["thingPrincipalObjects"]
    return [item.get("thingPrincipalType") for item in listed]


@step
def an_exclusive_principal_beside_another_thing(iot, data, memory):
    iot.create_thing(thingName="other")
    return members(
        iot.attach_thing_principal(
            thingName="other",
            principal=memory.certificate_arn,
            thingPrincipalType="EXCLUSIVE_THING",
        )
    )


@step
def an_unknown_principal_attached(iot, data, memory):
    principal = memory.certificate_arn.replace(memory.certificate, NOWHERE)
    return members(iot.attach_thing_principal(thingName="sensor-17", principal=principal))


@step
def a_thing_with_principals_deleted(iot, data, memory):
    return members(iot.delete_thing(thingName="sensor-17"))


# Types and groups


@step
def a_thing_type(iot, data, memory):
    answer = iot.create_thing_type(
        thingTypeName="meter", thingTypeProperties={"thingTypeDescription": "meters"}
    )
    return some(answer, "thingTypeName", "thingTypeArn", "thingTypeId")


@step
def a_type_that_was_never_deprecated_deleted(iot, data, memory):
    return members(iot.delete_thing_type(thingTypeName="meter"))


@step
def a_deprecated_type(iot, data, memory):
    iot.deprecate_thing_type(thingTypeName="meter")
    described = iot.describe_thing_type(thingTypeName="meter")
    return {"members": members(described), "metadata": members(described["thingTypeMetadata"])}


@step
def a_thing_of_a_deprecated_type(iot, data, memory):
    return members(iot.create_thing(thingName="late", thingTypeName="meter"))


@step
def a_type_deleted_at_once_after_its_deprecation(iot, data, memory):
    return members(iot.delete_thing_type(thingTypeName="meter"))


@step
def groups_below_each_other(iot, data, memory):
    iot.create_thing_group(thingGroupName="site")
    iot.create_thing_group(thingGroupName="roof", parentGroupName="site")
    metadata = iot.describe_thing_group(thingGroupName="roof")["thingGroupMetadata"]
    path = metadata.get("rootToParentThingGroups", [])
    return [metadata.get("parentGroupName"), [item["groupName"] for item in path]]


@step
def a_group_below_an_unknown_one(iot, data, memory):
    return members(iot.create_thing_group(thingGroupName="lost", parentGroupName="none"))


@step
def a_member_seen_recursively(iot, data, memory):
    iot.add_thing_to_thing_group(thingGroupName="roof", thingName="sensor-17")
    return [
        iot.list_things_in_thing_group(thingGroupName="site")["things"],
        iot.list_things_in_thing_group(thingGroupName="site", recursive=True)["things"],
        [
            item["groupName"]
            for item in iot.list_thing_groups_for_thing(thingName="sensor-17")["thingGroups"]
        ],
    ]


@step
def a_member_of_the_same_hierarchy_twice(iot, data, memory):
    return members(iot.add_thing_to_thing_group(thingGroupName="site", thingName="sensor-17"))


@step
def a_group_with_children_deleted(iot, data, memory):
    return members(iot.delete_thing_group(thingGroupName="site"))


@step
def an_unknown_group_deleted(iot, data, memory):
    return members(iot.delete_thing_group(thingGroupName="none"))


@step
def tags_of_a_group(iot, data, memory):
    arn = iot.describe_thing_group(thingGroupName="site")["thingGroupArn"]
    iot.tag_resource(resourceArn=arn, tags=[{"Key": "keep", "Value": "yes"}])
    return iot.list_tags_for_resource(resourceArn=arn)["tags"]


@step
def a_billing_group(iot, data, memory):
    iot.create_billing_group(billingGroupName="bill")
    iot.add_thing_to_billing_group(billingGroupName="bill", thingName="sensor-17")
    return [
        iot.list_things_in_billing_group(billingGroupName="bill")["things"],
        iot.describe_thing(thingName="sensor-17").get("billingGroupName"),
    ]


@step
def the_same_billing_group_again(iot, data, memory):
    return members(iot.create_billing_group(billingGroupName="bill"))


# Provisioning


@step
def a_provisioning_template(iot, data, memory):
    answer = iot.create_provisioning_template(
        templateName="fleet", templateBody=FLEET_TEMPLATE, provisioningRoleArn=ROLE, enabled=True
    )
    return {"members": members(answer), **some(answer, "defaultVersionId")}


@step
def a_template_that_is_no_json(iot, data, memory):
    return members(
        iot.create_provisioning_template(
            templateName="broken", templateBody="{", provisioningRoleArn=ROLE
        )
    )


@step
def the_template_described(iot, data, memory):
    answer = iot.describe_provisioning_template(templateName="fleet")
    return {"members": members(answer), **some(answer, "enabled", "type")}


@step
def a_thing_registered_by_template(iot, data, memory):
    answer = iot.register_thing(templateBody=TEMPLATE, parameters={"Name": "provisioned"})
    return {"made": sorted(answer["resourceArns"])}


@step
def event_configurations(iot, data, memory):
    iot.update_event_configurations(eventConfigurations={"THING": {"Enabled": True}})
    answer = iot.describe_event_configurations()["eventConfigurations"]
    return {"kinds": sorted(answer), "THING": answer["THING"]}


# Messages


@step
def a_message_published_and_retained(iot, data, memory):
    data.publish(topic="a/b", qos=1, retain=True, payload=b"hello")
    message = data.get_retained_message(topic="a/b")
    return {"payload": message["payload"].decode(), **some(message, "topic", "qos")}


@step
def retained_messages_listed(iot, data, memory):
    listed = data.list_retained_messages()["retainedTopics"]
    return [some(item, "topic", "payloadSize", "qos") for item in listed]


@step
def no_message_retained(iot, data, memory):
    return members(data.get_retained_message(topic="nothing/here"))


@step
def a_message_on_a_topic_of_events(iot, data, memory):
    return members(data.publish(topic="$aws/events/thing/x/created", payload=b"forged"))


@step
def an_unknown_connection_deleted(iot, data, memory):
    return members(data.delete_connection(clientId="nobody"))


# The way out, in the order AWS documents


@step
def an_active_certificate_deleted(iot, data, memory):
    return members(iot.delete_certificate(certificateId=memory.certificate))


@step
def an_inactive_certificate_with_a_thing_deleted(iot, data, memory):
    iot.update_certificate(certificateId=memory.certificate, newStatus="INACTIVE")
    return members(iot.delete_certificate(certificateId=memory.certificate))


@step
def a_certificate_with_a_policy_deleted(iot, data, memory):
    iot.detach_thing_principal(thingName="sensor-17", principal=memory.certificate_arn)
    return members(iot.delete_certificate(certificateId=memory.certificate))


@step
def a_policy_that_is_not_attached_detached(iot, data, memory):
    iot.detach_policy(policyName="q", target=memory.certificate_arn)
    return members(iot.detach_policy(policyName="q", target=memory.certificate_arn))


@step
def the_way_out(iot, data, memory):
    iot.delete_certificate(certificateId=memory.certificate)
    iot.delete_thing(thingName="sensor-17")
    iot.delete_policy(policyName="q")
    iot.update_ca_certificate(certificateId=memory.ca, newStatus="INACTIVE")
    iot.delete_ca_certificate(certificateId=memory.ca)
    return "gone"
