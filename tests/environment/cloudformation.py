"""Judges etc/cloudformation/fleet.yaml: cfn-lint, the golden documents, and ministack, where the stack is really made."""

import io
import json
import subprocess
import tempfile
import zipfile
from pathlib import Path

from botocore.exceptions import ClientError
from cases import Cases
from ministack_server import ACCOUNT, BESIDE, REGION, clients, eventually, ministack

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "etc/cloudformation/fleet.yaml"


def golden(folder):
    return {file.stem: json.loads(file.read_text()) for file in (ROOT / "tests/golden" / folder).glob("*.json")}


GOLDEN = golden("fleet")
GOLDEN_WITH_TABLE = GOLDEN | golden("fleet-table")
TABLE = {"AllowTable": "devices", "FreeParameters": "Firmware,Site", "ClaimLimit": "500"}
BUCKET = "packages"


def main():
    cases = Cases()
    judge_lint(cases)
    with ministack() as url:
        aws = clients(url, "cloudformation", "iam", "iot", "lambda", "s3")
        put_package(aws["s3"])
        if judge_stack(cases, aws, "by default", {"ClaimCertificatePem": certificate()}, GOLDEN):
            judge_surroundings(cases, aws)
            judge_deletion(cases, aws)
        branches = {"ClaimCsrPem": signing_request(), **TABLE, "LogLevel": "WARN", "Enabled": "false"}
        if judge_stack(cases, aws, "all branches", branches, GOLDEN_WITH_TABLE):
            judge_branches(cases, aws)
            judge_deletion(cases, aws)
    cases.end()


def judge_lint(cases):
    lint = [BESIDE / "cfn-lint", "--regions", REGION, "--include-checks", "I", "--template"]
    told = subprocess.run([*lint, TEMPLATE], capture_output=True, text=True)
    cases.case("cfn-lint has nothing to say, not even for information", told.returncode == 0, told.stdout + told.stderr)
    with tempfile.TemporaryDirectory() as folder:
        planted = Path(folder, "fleet.yaml")
        planted.write_text(TEMPLATE.read_text().replace("TemplateBody:", "TemplateBoddy:"))
        told = subprocess.run([*lint, planted], capture_output=True, text=True)
        cases.case("a misspelt property is refused", told.returncode != 0 and "TemplateBoddy" in told.stdout, told.stdout)


def put_package(s3):
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=BUCKET, Key="pre-provision.zip", Body=package())


def judge_stack(cases, aws, name, parameters, documents):
    stack = made(aws["cloudformation"], {"HookBucket": BUCKET, **parameters})
    reasons = json.dumps(events(aws["cloudformation"]), indent=1)
    if not cases.case(f"{name}: the stack is made", stack["StackStatus"] == "CREATE_COMPLETE", reasons):
        return False
    stored = stored_documents(aws)
    for document in sorted(documents):
        if document == "event-configurations":
            continue  # CloudFormation has no type for it.
        shown = json.dumps({"stored": stored[document], "golden": documents[document]}, indent=1)
        cases.case(f"{name}: what is stored is golden: {document}", stored[document] == documents[document], shown)
    return True


def stored_documents(aws):
    policy = lambda name: json.loads(aws["iot"].get_policy(policyName=name)["policyDocument"])
    trust = lambda name: aws["iam"].get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    return {
        "device-policy": policy("fleet-device"),
        "claim-policy": policy("fleet-claim"),
        "template": json.loads(aws["iot"].describe_provisioning_template(templateName="fleet")["templateBody"]),
        "provisioning-role-trust": trust("fleet-provisioning"),
        "hook-role-trust": trust("fleet-hook"),
        "hook-role-policy": aws["iam"].get_role_policy(RoleName="fleet-hook", PolicyName="fleet-hook")["PolicyDocument"],
        "hook-permission": permission(json.loads(aws["lambda"].get_policy(FunctionName="fleet-hook")["Policy"])),
    }


def permission(policy):
    """What AddPermission was told, from the policy that it made."""
    [statement] = policy["Statement"]
    conditions = {key.lower(): value for of in statement["Condition"].values() for key, value in of.items()}
    return {
        "FunctionName": statement["Resource"].rsplit(":", 1)[1],
        "Action": statement["Action"],
        "Principal": statement["Principal"]["Service"],
        "SourceAccount": conditions.get("aws:sourceaccount"),
        "SourceArn": conditions.get("aws:sourcearn"),
    }


def judge_surroundings(cases, aws):
    iot = aws["iot"]
    template = iot.describe_provisioning_template(templateName="fleet")
    function = aws["lambda"].get_function_configuration(FunctionName="fleet-hook")
    hook = {"payloadVersion": "2020-04-01", "targetArn": function["FunctionArn"]}
    cases.case("the template asks the hook", template["enabled"] and template["preProvisioningHook"] == hook, template)
    attached = aws["iam"].list_attached_role_policies(RoleName="fleet-provisioning")["AttachedPolicies"]
    arns = [policy["PolicyArn"] for policy in attached]
    registration = "arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration"
    cases.case("the provisioning role has one managed policy", arns == [registration], arns)
    kind = iot.describe_thing_type(thingTypeName="fleet-device")["thingTypeProperties"]
    cases.case("the thing type has its searchable attribute", kind["searchableAttributes"] == ["license"], kind)
    group = iot.describe_thing_group(thingGroupName="fleet")
    cases.case("the thing group is there", group["thingGroupName"] == "fleet", group)
    outputs = judge_claim(cases, aws, "SNI_ONLY")
    told = {name: outputs.get(name) for name in ("TemplateName", "ClaimPolicyName", "ProvisionCommand")}
    expected = {
        "TemplateName": "fleet",
        "ClaimPolicyName": "fleet-claim",
        "ProvisionCommand": "fleet-provision iot-LICENSE --template fleet --parameter License=LICENSE",
    }
    cases.case("the outputs are what fleet-provision takes", told == expected, told)


def judge_claim(cases, aws, mode):
    """The claim certificate of the stack. Answers the stack's outputs."""
    [stack] = aws["cloudformation"].describe_stacks(StackName="fleet")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    claim = outputs.get("ClaimCertificateArn", "")
    policies = aws["iot"].list_attached_policies(target=claim)["policies"]
    cases.case("the claim has its policy", [policy["policyName"] for policy in policies] == ["fleet-claim"], policies)
    certificate = aws["iot"].describe_certificate(certificateId=claim.rsplit("/", 1)[1])["certificateDescription"]
    is_right = certificate["status"] == "ACTIVE" and certificate["certificateMode"] == mode
    cases.case(f"the claim is active, and {mode}", is_right, certificate)
    return outputs


def judge_branches(cases, aws):
    judge_claim(cases, aws, "DEFAULT")
    function = aws["lambda"].get_function_configuration(FunctionName="fleet-hook")
    told = function["Environment"]["Variables"]
    expected = {"ALLOW_TABLE": "devices", "ALLOW_KEY": "License", "FREE_PARAMETERS": "Firmware,Site", "CLAIM_LIMIT": "500"}
    cases.case("the hook is told of its table", told == expected, told)
    template = aws["iot"].describe_provisioning_template(templateName="fleet")
    cases.case("the template is switched off", template["enabled"] is False, template)
    trust = aws["iam"].get_role(RoleName="fleet-logging")["Role"]["AssumeRolePolicyDocument"]
    cases.case("AWS IoT may assume the role of its log", trust == GOLDEN["provisioning-role-trust"], trust)
    policy = aws["iam"].get_role_policy(RoleName="fleet-logging", PolicyName="fleet-logging")["PolicyDocument"]
    [statement] = policy["Statement"]
    log = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:AWSIotLogsV2:*"
    cases.case("and that may write that log, and no other", statement["Resource"] == log, policy)


def judge_deletion(cases, aws):
    aws["cloudformation"].delete_stack(StackName="fleet")
    gone = eventually(lambda: stack_status(aws["cloudformation"]) in (None, "DELETE_COMPLETE"))
    left = {
        "policies": [policy["policyName"] for policy in aws["iot"].list_policies()["policies"]],
        "templates": aws["iot"].list_provisioning_templates()["templates"],
        "certificates": aws["iot"].list_certificates()["certificates"],
        "groups": aws["iot"].list_thing_groups()["thingGroups"],
        "types": aws["iot"].list_thing_types()["thingTypes"],
        "functions": aws["lambda"].list_functions()["Functions"],
        "roles": [role["RoleName"] for role in aws["iam"].list_roles()["Roles"] if role["RoleName"].startswith("fleet")],
    }
    cases.case("the stack is deleted, and nothing is left", gone and not any(left.values()), left)


def template_for_ministack():
    """Without the one resource that it does not know: the switch of AWS IoT's log."""
    before, switch, after = TEMPLATE.read_text().partition("\n  Logging:\n    Type: AWS::IoT::Logging\n")
    _, end, after = after.partition("\n# The endpoint")
    assert switch and end, "fleet.yaml is written otherwise"
    return before + end + after


def made(cloudformation, parameters):
    cloudformation.create_stack(
        StackName="fleet",
        TemplateBody=template_for_ministack(),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    eventually(lambda: not stack_status(cloudformation).endswith("IN_PROGRESS"))
    return cloudformation.describe_stacks(StackName="fleet")["Stacks"][0]


def stack_status(cloudformation):
    try:
        return cloudformation.describe_stacks(StackName="fleet")["Stacks"][0]["StackStatus"]
    except ClientError:
        return None


def events(cloudformation):
    told = cloudformation.describe_stack_events(StackName="fleet")["StackEvents"]
    return [(event["LogicalResourceId"], event["ResourceStatus"], event.get("ResourceStatusReason")) for event in told]


def package():
    """Something to deploy; the real hook is judged elsewhere."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("bootstrap", "#!/bin/sh\n")
    return packed.getvalue()


def certificate():
    return openssl_req("-x509", "-days", "365", "-addext", "extendedKeyUsage=clientAuth")


def signing_request():
    return openssl_req("-new")


def openssl_req(*options):
    with tempfile.TemporaryDirectory() as folder:
        key, made = Path(folder, "key"), Path(folder, "made")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        command = ["openssl", "req", *options, *curve, "-nodes", "-subj", "/CN=claim", "-keyout", key, "-out", made]
        subprocess.run(command, check=True, capture_output=True)
        return made.read_text()


main()
