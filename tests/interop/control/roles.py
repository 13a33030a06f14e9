"""Cases: IAM roles, as boto3's own parser of the query protocol reads them."""

import json

import boto3
from lab import case, expect_error, unique

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "iot.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
REGISTRATION = "arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration"


@case
def a_role_is_made_read_changed_and_deleted(core):
    iam, name = boto3.client("iam"), unique("role")
    # What XML escapes is allowed in a description, and in a tag is not.
    described, tags = "for <a fleet> & co", [{"Key": "owner", "Value": "fleet @ home"}]
    made = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=TRUST, Description=described, Tags=tags
    )["Role"]
    assert made["Arn"].endswith(f":role/{name}") and made["RoleId"].startswith("AROA")
    assert made["AssumeRolePolicyDocument"] == json.loads(TRUST), made
    found = iam.get_role(RoleName=name)["Role"]
    assert found["Tags"] == tags and found["Description"] == described, found
    assert found["MaxSessionDuration"] == 3600 and found["CreateDate"] == made["CreateDate"]
    assert name in [role["RoleName"] for role in iam.list_roles()["Roles"]]

    iam.update_assume_role_policy(
        RoleName=name, PolicyDocument=TRUST.replace("iot.", "lambda.")
    )
    changed = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    assert changed["Statement"][0]["Principal"] == {"Service": "lambda.amazonaws.com"}
    iam.untag_role(RoleName=name, TagKeys=["owner"])
    assert iam.list_role_tags(RoleName=name)["Tags"] == []
    iam.delete_role(RoleName=name)
    expect_error("NoSuchEntity", iam.get_role, RoleName=name)


@case
def a_role_with_policies_is_not_deleted(core):
    iam, name = boto3.client("iam"), unique("role")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    iam.attach_role_policy(RoleName=name, PolicyArn=REGISTRATION)
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert attached == [{"PolicyName": "AWSIoTThingsRegistration", "PolicyArn": REGISTRATION}]
    expect_error("DeleteConflict", iam.delete_role, RoleName=name)
    iam.detach_role_policy(RoleName=name, PolicyArn=REGISTRATION)
    statement = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    told = iam.get_role_policy(RoleName=name, PolicyName="own")
    assert told["PolicyDocument"] == document, told
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["own"]
    expect_error("DeleteConflict", iam.delete_role, RoleName=name)
    iam.delete_role_policy(RoleName=name, PolicyName="own")
    iam.delete_role(RoleName=name)
