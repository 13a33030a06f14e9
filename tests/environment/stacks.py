"""Judges the stacks of just-in-time provisioning, of the pipeline and of the load test: cfn-lint, and ministack, where
they are deployed by `make` with awscli, and a message goes through rule, queue and function."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from botocore.exceptions import ClientError
from cases import Cases
from checkout import BUCKET, ROOT, STACKS, TARGETS, TEMPLATES, Make, checkout
from ministack_server import BESIDE, REGION, clients, eventually, ministack

SERVICES = ("cloudformation", "cloudwatch", "iam", "iot", "iot-data", "lambda", "logs", "s3", "sqs")
POLICIES = {"IoTAccess": "provisioning", "LoadTestPolicy": "loadtest"}


def main():
    function = Path(sys.argv[1])
    cases = Cases()
    for name in TEMPLATES:
        judge_lint(cases, name)
    with tempfile.TemporaryDirectory() as folder:
        tree = checkout(Path(folder), function)
        judge_missing_variables(cases, tree)
        with ministack() as url:
            judge_stacks(cases, clients(url, *SERVICES), Make(tree, url))
    cases.end()


def judge_lint(cases, name):
    template = ROOT / "etc/cloudformation" / f"{name}.yaml"
    lint = [BESIDE / "cfn-lint", "--regions", REGION, "--include-checks", "I", "--template", template]
    told = subprocess.run(lint, capture_output=True, text=True)
    cases.case(f"{name}: cfn-lint has nothing to say", told.returncode == 0, told.stdout + told.stderr)


def judge_missing_variables(cases, tree):
    make = Make(tree, "http://127.0.0.1:1")
    for target, variable in (("deploy", "AWS_BUCKET"), ("sqs", "AWS_REGION"), ("delete", "AWS_REGION"), ("log", "AWS_REGION")):
        told = make(target, **{variable: None})
        one = len(told.stderr.splitlines()) == 1 and f"{variable} is not set" in told.stderr
        cases.case(f"make {target} without {variable} says so in a line", told.returncode == 2 and one, told)


def judge_stacks(cases, aws, make):
    aws["s3"].create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    other = make("deploy", AWS_ACCOUNT="999999999999")
    cases.case(
        "nothing is deployed to another account than AWS_ACCOUNT",
        other.returncode != 0 and "999999999999" in other.stderr and not stack(aws, "iot-policy"),
        other,
    )
    for template in TEMPLATES:
        deployed = make(TARGETS[template])
        complete = stack(aws, STACKS[template]).get("StackStatus") == "CREATE_COMPLETE"
        ran = [line.split()[2] for line in deployed.stdout.splitlines() if line.startswith(f"{BESIDE}/aws cloudformation")]
        shown = f"{deployed.stdout}\n{deployed.stderr}\n{reasons(aws, STACKS[template])}"
        cases.case(f"make {TARGETS[template]} deploys, and prints what it runs", complete and ran == ["package", "deploy"], shown)
    again = make("sqs")
    cases.case("make sqs again is no failure", again.returncode == 0, again)
    judge_policies(cases, aws)
    judge_pipeline(cases, aws)
    told = make("log")
    cases.case("make log tells what happened", "IoTProvisioningRole\tCREATE_COMPLETE" in told.stdout, told)
    judge_deletion(cases, aws, make)


def judge_policies(cases, aws):
    for name, template in POLICIES.items():
        stored = json.loads(aws["iot"].get_policy(policyName=name)["policyDocument"])
        written = json.loads((ROOT / "policies" / f"{name}.json").read_text())
        cases.case(f"{template}: {name} is the policy in policies/", stored == written, json.dumps(stored, indent=1))
    attached = aws["iam"].list_attached_role_policies(RoleName="IoTProvisioning")["AttachedPolicies"]
    arns = [policy["PolicyArn"] for policy in attached]
    inline = aws["iam"].list_role_policies(RoleName="IoTProvisioning")["PolicyNames"]
    registration = "arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration"
    cases.case("the provisioning role registers things, and nothing else", (arns, inline) == ([registration], []), arns)


def judge_pipeline(cases, aws):
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack(aws, "loadtest-stack")["Outputs"]}
    sqs, url = aws["sqs"], outputs["QueueURL"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    redrive = json.loads(attributes["RedrivePolicy"])
    settings = (attributes["QueueArn"], redrive["maxReceiveCount"], attributes["VisibilityTimeout"])
    wanted = (outputs["QueueARN"], 5, "90")
    cases.case("the queue has its dead-letter queue", tuple(map(str, settings)) == tuple(map(str, wanted)), attributes)
    alarms = {alarm["MetricName"] for alarm in aws["cloudwatch"].describe_alarms()["MetricAlarms"]}
    cases.case(
        "there are alarms on age and depth",
        alarms == {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"},
        alarms,
    )
    [mapping] = aws["lambda"].list_event_source_mappings(FunctionName=outputs["FunctionName"])["EventSourceMappings"]
    partial = mapping.get("FunctionResponseTypes") == ["ReportBatchItemFailures"]
    cases.case("the function is given the queue, and fails messages one by one", partial, mapping)

    # A message that fails comes again at once, not in a minute and a half.
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1"})
    for payload in (b'{"device":"pub0","sent":1000}', b"not JSON", b'{"temperature":21}'):
        aws["iot-data"].publish(topic="loadtest", payload=payload)
    log = lambda: function_log(aws, outputs["FunctionName"])
    measured = lambda: [line for line in log() if line.get("publisher") == "pub0" and line["latencyMilliseconds"] > 0]
    cases.case("a message goes through rule, queue and function, which tells its latency", eventually(measured), log())
    other = lambda: [line for line in log() if "temperature" in line.get("body", "") and line["outcome"] == "processed"]
    cases.case("one that is none of a load test goes through too", eventually(other), log())
    dead = sqs.get_queue_url(QueueName=outputs["DeadLetterQueueName"])["QueueUrl"]
    letters = lambda: sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=1, VisibilityTimeout=0).get("Messages")
    cases.case("one that cannot be read ends in the dead-letter queue", eventually(letters), log())
    cases.case("and nothing else does", letters()[0]["Body"] == "not JSON" and depth(aws, dead) == 1, letters())

    sqs.delete_queue(QueueUrl=url)
    aws["iot-data"].publish(topic="loadtest", payload=b'{"device":"pub0","sent":2000}')
    errors = sqs.get_queue_url(QueueName=outputs["RuleErrorQueueName"])["QueueUrl"]
    told = lambda: depth(aws, errors) == 1
    cases.case("what does not get into the queue goes to the error action", eventually(told), attributes)
    sqs.create_queue(QueueName=outputs["QueueName"])  # for the stack to delete


def judge_deletion(cases, aws, make):
    for template in TEMPLATES:
        told = make("delete", AWS_STACK=STACKS[template])
        gone = stack(aws, STACKS[template]).get("StackStatus") in (None, "DELETE_COMPLETE")
        cases.case(f"make delete takes {STACKS[template]} down", told.returncode == 0 and gone, told)
    left = {
        "policies": aws["iot"].list_policies()["policies"],
        "rules": aws["iot"].list_topic_rules()["rules"],
        "functions": aws["lambda"].list_functions()["Functions"],
        "queues": aws["sqs"].list_queues().get("QueueUrls"),
        "alarms": aws["cloudwatch"].describe_alarms()["MetricAlarms"],
        "logs": aws["logs"].describe_log_groups()["logGroups"],
    }
    cases.case("nothing is left", not any(left.values()), left)


def depth(aws, url):
    attributes = aws["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


def function_log(aws, function):
    """What the function logged, as far as it is JSON."""
    try:
        events = aws["logs"].filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
    except ClientError:
        return []
    lines = [line for event in events for line in event["message"].splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def stack(aws, name):
    try:
        return aws["cloudformation"].describe_stacks(StackName=name)["Stacks"][0]
    except ClientError:
        return {}


def reasons(aws, name):
    try:
        told = aws["cloudformation"].describe_stack_events(StackName=name)["StackEvents"]
    except ClientError as error:
        return str(error)
    return "\n".join(f"{one['LogicalResourceId']} {one['ResourceStatus']} {one.get('ResourceStatusReason')}" for one in told)


main()
