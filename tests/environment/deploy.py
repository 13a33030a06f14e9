"""Judges `deploy` and `environment … --stack-template`: on ministack `deploy` comes to the same by CloudFormation as `make`
with awscli, and both come to the same again without CloudFormation, there and on the local core, from the same templates."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from cases import Cases
from checkout import BUCKET, STACKS, TARGETS, TEMPLATES, Make, checkout
from ministack_server import ACCOUNT, REGION, clients, eventually, ministack
from servers import SERVERS, running

BIN = Path(os.environ["BIN"])
SERVICES = ("cloudformation", "iam", "iot", "lambda", "s3", "sqs")
# What ministack cannot make, and what it rolls back for.
BROKEN = """
Resources:
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: brokenQueue}}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {FunctionName: missing, EventSourceArn: !GetAtt Queue.Nothing}
"""


def main():
    cases = Cases()
    with tempfile.TemporaryDirectory() as folder:
        tree = checkout(Path(folder), Path(sys.argv[1]))
        with ministack() as url, local_core() as local:
            aws, make, deploy = clients(url, *SERVICES), Make(tree, url), Deploy(tree, url)
            aws["s3"].create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
            by_make = judge_make(cases, aws, make)
            judge_plan(cases, aws, deploy)
            judge_program(cases, aws, deploy, by_make)
            judge_failure(cases, aws, deploy, tree)
            judge_large(cases, aws, tree, url)
            # Where the API of CloudFormation is asked for there is none; everything else is ministack's.
            direct = Deploy(tree, url, AWS_ENDPOINT_URL_CLOUDFORMATION=local)
            judge_direct(cases, "ministack", aws, direct, by_make)
            judge_direct(cases, "the local core", clients(local, *SERVICES), Deploy(tree, local), by_make)
            judge_environment(cases, "ministack", aws, Deploy(tree, url, "environment"), by_make)
        # The names of queues that were deleted are free again after a minute.
        with local_core() as local:
            judge_environment(cases, "the local core", clients(local, *SERVICES), Deploy(tree, local, "environment"), by_make)
    cases.end()


def local_core():
    def command(port):
        ports = ["--control-port", str(port), "--mqtt-port", "0"]
        return [BIN / "iot-local", "serve", "--empty", "--region", REGION, *ports], {}

    SERVERS["local core of the pipeline"] = command
    return running("local core of the pipeline", os.environ["LOGS"])


class Deploy:
    """The program, or another, in a checkout, against a server."""

    def __init__(self, tree, url, program="deploy", **more):
        self.tree, self.program = tree, program
        self.environment = {**Make(tree, url).environment, **more, "JITP_OUTPUT": "json"}

    def __call__(self, *arguments):
        return subprocess.run([BIN / self.program, *arguments], cwd=self.tree, env=self.environment, capture_output=True, text=True)


def judge_make(cases, aws, make):
    for template in TEMPLATES:
        told = make(TARGETS[template])
        cases.case(f"make {TARGETS[template]} deploys", told.returncode == 0, told)
    made = documents(aws)
    for template in TEMPLATES:
        make("delete", AWS_STACK=STACKS[template])
    cases.case("make delete leaves nothing", not documents(aws), documents(aws))
    return made


def judge_plan(cases, aws, deploy):
    told = deploy("sqs", "--plan")
    lines = answers(told)
    adds = {line["resource"] for line in lines if line["action"] == "Add"}
    cases.case("deploy --plan tells what would be made", told.returncode == 9 and "SQSQueue" in adds, told)
    cases.case("and leaves nothing", not documents(aws) and not status(aws, STACKS["sqs"]), told)


def judge_program(cases, aws, deploy, by_make):
    for template in TEMPLATES:
        told = deploy(template)
        created = {"kind": "stack", "name": STACKS[template], "outcome": "created"}
        cases.case(f"deploy {template} deploys", told.returncode == 0 and created in answers(told), told)
    compare(cases, "deploy", documents(aws), by_make)
    outputs = {line["name"]: line["value"] for line in answers(deploy("sqs")) if line["kind"] == "output"}
    cases.case("its outputs are those of the stack", outputs["QueueName"] == "loadtestQueue", outputs)
    for template in TEMPLATES:
        told = deploy(template)
        unchanged = {"kind": "stack", "name": STACKS[template], "outcome": "unchanged"}
        cases.case(f"deploy {template} again changes nothing", told.returncode == 0 and unchanged in answers(told), told)
    planned = deploy("sqs", "--parameter", "BatchSize=5", "--plan")
    only = [line["resource"] for line in answers(planned)] == ["SQSLambdaEventSource"]
    cases.case("a parameter changes what has it, and nothing else", planned.returncode == 9 and only, planned)
    updated = deploy("sqs", "--parameter", "RetentionDays=5")
    queue = documents(aws)["loadtestQueue"]
    told = answers(updated)[0]["outcome"] == "updated" and queue["MessageRetentionPeriod"] == "432000"
    cases.case("and the stack is updated", told, updated)
    for template in TEMPLATES:
        told = deploy(template, "--delete", "--yes")
        cases.case(f"deploy {template} --delete takes it down", told.returncode == 0 and not status(aws, STACKS[template]), told)
    cases.case("and nothing is left", not documents(aws), documents(aws))


def judge_failure(cases, aws, deploy, tree):
    (tree / "broken.yaml").write_text(BROKEN)
    told = deploy("broken.yaml", "--stack", "broken")
    error = told.stderr.splitlines()[-1]
    cases.case("what failed first is named", told.returncode == 6 and "Mapping" in error and "ROLLBACK_COMPLETE" in error, told)
    again = deploy("broken.yaml", "--stack", "broken")
    cases.case("a stack that was never complete has a way out", again.returncode == 5 and "--delete" in again.stderr, again)
    gone = deploy("--delete", "--yes", "--stack", "broken")
    cases.case("which works", gone.returncode == 0 and not status(aws, "broken"), gone)


def judge_large(cases, aws, tree, url):
    """A template that is too large for a request goes by the bucket, one that is too large for that is refused."""
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "largeQueue"}}
    for name, size in (("large", 60_000), ("largest", 1_000_001)):
        body = {"Metadata": {"Note": "x" * size}, "Resources": {"Queue": queue}}
        (tree / f"{name}.json").write_text(json.dumps(body))
    arguments = ("large.json", "--stack", "large")
    objects = lambda: {one["Key"] for one in aws["s3"].list_objects_v2(Bucket=BUCKET).get("Contents", [])}
    before = objects()
    without = Deploy(tree, url, AWS_BUCKET="")(*arguments)
    refused = without.returncode == 3 and "60" in without.stderr and "AWS_BUCKET" in without.stderr
    cases.case("a template beyond 51,200 octets takes a bucket", refused and not status(aws, "large"), without)
    deploy = Deploy(tree, url)
    told = deploy(*arguments)
    made = told.returncode == 0 and answers(told)[0]["outcome"] == "created" and "largeQueue" in queues(aws["sqs"])
    cases.case("by which it is deployed", made, told)
    [key] = objects() - before
    brought = json.loads(aws["s3"].get_object(Bucket=BUCKET, Key=key)["Body"].read())
    cases.case("the bucket has the template as it is written", brought == json.loads((tree / "large.json").read_text()), key)
    again = deploy(*arguments)
    unchanged = answers(again)[0]["outcome"] == "unchanged" and objects() == before | {key}
    cases.case("again nothing is changed, and nothing brought", again.returncode == 0 and unchanged, again)
    deploy("--delete", "--yes", "--stack", "large")
    largest = deploy("largest.json", "--stack", "largest")
    cases.case("one beyond a million octets is refused", largest.returncode == 3 and "1000000" in largest.stderr, largest)


def judge_environment(cases, where, aws, environment, by_make):
    name = f"environment, on {where}"
    call = lambda verb, template, *more: environment(verb, STACKS[template], "--stack-template", template, *more)
    outcomes = lambda told: {line["outcome"] for line in answers(told) if line["kind"] != "output"}
    for template in TEMPLATES:
        planned = call("plan", template)
        only = outcomes(planned) <= {"to-create", "left-out"}
        cases.case(f"{name}: plan tells what {template} takes", planned.returncode == 9 and only, planned)
        told = call("apply", template)
        created = told.returncode == 0 and outcomes(told) <= {"created", "left-out"}
        cases.case(f"{name}: apply makes what {template} says", created, told)
    compare(cases, name, documents(aws), by_make)
    again = [call(verb, template) for template in TEMPLATES for verb in ("plan", "apply")]
    unchanged = all(told.returncode == 0 and outcomes(told) <= {"unchanged", "left-out"} for told in again)
    cases.case(f"{name}: again there is nothing to do", unchanged, again)
    for template in TEMPLATES:
        call("destroy", template, "--yes")
    cases.case(f"{name}: destroy leaves nothing", eventually(lambda: not documents(aws)), documents(aws))


def judge_direct(cases, where, aws, deploy, by_make):
    name = f"without CloudFormation, on {where}"
    for template in TEMPLATES:
        told = deploy(template)
        created = told.returncode == 0 and answers(told)[0]["outcome"] == "created"
        cases.case(f"{name}: deploy {template} makes what the template says", created, told)
    compare(cases, name, documents(aws), by_make)
    again = [deploy(template) for template in TEMPLATES]
    unchanged = all(told.returncode == 0 and answers(told)[0]["outcome"] == "unchanged" for told in again)
    cases.case(f"{name}: again changes nothing", unchanged, again)
    for template in TEMPLATES:
        deploy(template, "--delete", "--yes")
    gone = eventually(lambda: not documents(aws))
    cases.case(f"{name}: --delete leaves nothing", gone, documents(aws))


def compare(cases, name, made, wanted):
    cases.case(f"{name}: what is made is called as make calls it", sorted(made) == sorted(wanted), sorted(made))
    for document in sorted(wanted):
        shown = json.dumps({"made": made.get(document), "wanted": wanted[document]}, indent=1)
        cases.case(f"{name}: {document} is what make makes", made.get(document) == wanted[document], shown)


def answers(told):
    return [json.loads(line) for line in told.stdout.splitlines()]


def status(aws, stack):
    try:
        status = aws["cloudformation"].describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    except ClientError:
        return None
    return None if status == "DELETE_COMPLETE" else status


def documents(aws):
    """What is there, by name, without what the place says: hosts, dates, ids."""
    return {**queues(aws["sqs"]), **rules(aws["iot"]), **policies(aws["iot"]), **roles(aws["iam"]), **functions(aws["lambda"])}


def queues(sqs):
    wanted = ("MessageRetentionPeriod", "VisibilityTimeout", "SqsManagedSseEnabled", "RedrivePolicy", "RedriveAllowPolicy")
    found = {}
    for url in sqs.list_queues().get("QueueUrls", []):
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        kept = {name: attributes[name] for name in wanted if name in attributes}
        for name in ("RedrivePolicy", "RedriveAllowPolicy"):
            if name in kept:
                kept[name] = json.loads(kept[name])
        if "RedrivePolicy" in kept:
            kept["RedrivePolicy"]["maxReceiveCount"] = int(kept["RedrivePolicy"]["maxReceiveCount"])
        found[url.rsplit("/", 1)[1]] = kept
    return found


def rules(iot):
    found = {}
    for listed in iot.list_topic_rules()["rules"]:
        rule = iot.get_topic_rule(ruleName=listed["ruleName"])["rule"]
        for action in [*rule["actions"], rule["errorAction"]]:
            action["sqs"]["queueUrl"] = urlsplit(action["sqs"]["queueUrl"]).path
        del rule["createdAt"]
        found[f"rule {rule['ruleName']}"] = rule
    return found


def policies(iot):
    names = [policy["policyName"] for policy in iot.list_policies()["policies"]]
    document = lambda name: json.loads(iot.get_policy(policyName=name)["policyDocument"])
    return {f"policy {name}": document(name) for name in names}


def roles(iam):
    found = {}
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        if not name.startswith(("loadtest", "IoT")):
            continue
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        found[f"role {name}"] = {
            "trust": role["AssumeRolePolicyDocument"],
            "inline": {policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"] for policy in inline},
            "managed": [policy["PolicyArn"] for policy in attached],
        }
    return found


def functions(lambda_):
    wanted = ("Runtime", "Handler", "Timeout", "MemorySize", "Architectures", "Environment", "Role", "Description")
    found = {}
    for function in lambda_.list_functions()["Functions"]:
        name = function["FunctionName"]
        found[f"function {name}"] = {key: function.get(key) for key in wanted}
        [mapping] = lambda_.list_event_source_mappings(FunctionName=name)["EventSourceMappings"] or [{}]
        kept = ("EventSourceArn", "FunctionArn", "BatchSize", "FunctionResponseTypes", "State")
        found[f"mapping of {name}"] = {key: mapping.get(key) for key in kept}
    return found


main()
