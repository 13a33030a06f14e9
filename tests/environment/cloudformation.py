"""Judges etc/cloudformation/fleet.yaml: cfn-lint, the golden documents, and ministack, where the stack is really made."""

import io
import json
import subprocess
import tempfile
import zipfile
from pathlib import Path

from botocore.exceptions import ClientError
from cases import Cases
from ministack_server import BESIDE, REGION, clients, eventually, ministack

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "etc/cloudformation/fleet.yaml"
GOLDEN = {file.stem: json.loads(file.read_text()) for file in (ROOT / "tests/golden/fleet").glob("*.json")}
BUCKET = "packages"


def main():
    cases = Cases()
    judge_lint(cases)
    with ministack() as url:
        judge_stack(cases, clients(url, "cloudformation", "iam", "iot", "lambda", "s3"))
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


def judge_stack(cases, aws):
    aws["s3"].create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    aws["s3"].put_object(Bucket=BUCKET, Key="pre-provision.zip", Body=package())
    parameters = {"HookBucket": BUCKET, "ClaimCertificatePem": certificate()}
    stack = made(aws["cloudformation"], parameters)
    reasons = json.dumps(events(aws["cloudformation"]), indent=1)
    if not cases.case("the stack is made", stack["StackStatus"] == "CREATE_COMPLETE", reasons):
        return
    stored = stored_documents(aws)
    for name in sorted(GOLDEN):
        if name == "event-configurations":
            continue  # CloudFormation has no type for it.
        shown = json.dumps({"stored": stored[name], "golden": GOLDEN[name]}, indent=1)
        cases.case(f"what is stored is golden: {name}", stored[name] == GOLDEN[name], shown)
    judge_surroundings(cases, aws, {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]})
    judge_deletion(cases, aws)


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


def judge_surroundings(cases, aws, outputs):
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
    claim = outputs.get("ClaimCertificateArn", "")
    policies = iot.list_attached_policies(target=claim)["policies"]
    cases.case("the claim has its policy", [policy["policyName"] for policy in policies] == ["fleet-claim"], policies)
    certificate = iot.describe_certificate(certificateId=claim.rsplit("/", 1)[1])["certificateDescription"]
    cases.case("the claim is active", certificate["status"] == "ACTIVE", certificate)
    told = {name: outputs.get(name) for name in ("TemplateName", "ClaimPolicyName", "ProvisionCommand")}
    expected = {
        "TemplateName": "fleet",
        "ClaimPolicyName": "fleet-claim",
        "ProvisionCommand": "fleet-provision iot-LICENSE --template fleet --parameter License=LICENSE",
    }
    cases.case("the outputs are what fleet-provision takes", told == expected, told)


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


def made(cloudformation, parameters):
    cloudformation.create_stack(
        StackName="fleet",
        TemplateBody=TEMPLATE.read_text(),
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
    with tempfile.TemporaryDirectory() as folder:
        key, made = Path(folder, "key"), Path(folder, "certificate")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        command = ["openssl", "req", "-x509", *curve, "-nodes", "-subj", "/CN=claim", "-days", "365"]
        usage = ["-addext", "extendedKeyUsage=clientAuth"]
        subprocess.run([*command, *usage, "-keyout", key, "-out", made], check=True, capture_output=True)
        return made.read_text()


main()
