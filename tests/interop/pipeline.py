"""Judges the pipeline with boto3: topic rules, queues, event source mappings, and the very consumer that is deployed.

The core's time runs ten times as fast, and it has the consumer as the function `consume`.
"""

import io
import json
import os
import platform
import shutil
import time
import zipfile
from pathlib import Path

import boto3
from botocore.exceptions import ClientError

from lab import Core, case, eventually, expect_error, judge, unique

FOLDER = Path(os.environ["S3_FOLDER"])  # where this core keeps the buckets that rules write to
ACCOUNT = "123456789012"
# A function that gets a batch, and then does what stands in place of BODY.
FUNCTION = """#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while :; do
  headers=$(mktemp)
  curl -sS --noproxy '*' -D "$headers" -o /dev/null "$api/invocation/next" || exit 3
  id=$(tr -d '\\r' <"$headers" | sed -n 's/^lambda-runtime-aws-request-id: //p')
  rm -f "$headers"
  BODY
done
"""
# Ways to fail, each for ever.
BROKEN = {
    "crashes": "exit 9",
    "takes too long": "exec sleep 20",
    "answers nonsense": "curl -sS --noproxy '*' -o /dev/null -d 'no JSON' \"$api/invocation/$id/response\"",
    "is no program": None,
}


def client(service):
    return boto3.client(service, endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def role(*statements):
    """A role that AWS IoT may assume, with these permissions."""
    iam, name = client("iam"), unique("writer")
    trust = {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": trust}))
    policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)
    return made["Role"]["Arn"]


def allow(*actions):
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*"}


def queue(**attributes):
    """A queue of a new name: its URL and ARN."""
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=unique("queue"), Attributes=attributes)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, found["Attributes"]["QueueArn"]


def rule(sql, *actions, **more):
    name = unique("rule").replace("-", "_")
    payload = {"sql": sql, "actions": list(actions), "awsIotSqlVersion": "2016-03-23", **more}
    client("iot").create_topic_rule(ruleName=name, topicRulePayload=payload)
    return name


def publish(topic, payload):
    data = boto3.client("iot-data", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    data.publish(topic=topic, qos=1, payload=payload)


def receive(url, wait=5):
    """The next messages of a queue, deleted once they are here."""
    sqs = client("sqs")
    asked = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": wait, "MessageAttributeNames": ["All"]}
    messages = sqs.receive_message(QueueUrl=url, AttributeNames=["All"], **asked).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return messages


def depth(url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(count) for count in found.values())


@case
def boto3_drives_a_queue():
    sqs = client("sqs")
    url, arn = queue(VisibilityTimeout="20")
    assert arn.startswith(f"arn:aws:sqs:{os.environ['AWS_REGION']}:{ACCOUNT}:"), arn
    attribute = {"n": {"DataType": "Number", "StringValue": "1"}, "b": {"DataType": "Binary", "BinaryValue": b"\x00"}}
    # botocore compares the digest of the body with what it sent.
    sqs.send_message(QueueUrl=url, MessageBody="größer", MessageAttributes=attribute)
    entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(10)]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert len(sent["Successful"]) == 10 and not sent.get("Failed"), sent
    first = receive(url)
    assert len(first) == 10, first
    message = next(message for message in first if message["Body"] == "größer")
    assert message["MessageAttributes"]["b"]["BinaryValue"] == b"\x00"
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert depth(url) == 1
    begun = time.monotonic()
    assert len(receive(url)) == 1
    assert not receive(url, wait=1)
    assert time.monotonic() - begun >= 1
    assert url in sqs.list_queues(QueueNamePrefix=arn.rsplit(":", 1)[1])["QueueUrls"]
    sqs.tag_queue(QueueUrl=url, Tags={"site": "a"})
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"site": "a"}
    sqs.delete_queue(QueueUrl=url)
    try:
        sqs.receive_message(QueueUrl=url)
        raise AssertionError("the queue is still there")
    except sqs.exceptions.QueueDoesNotExist as error:
        # The name of the query protocol, by which scripts have known it for years.
        assert error.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"


@case
def cloudwatch_tells_how_old_the_oldest_message_is():
    watch, now = client("cloudwatch"), time.time()
    url, arn = queue()
    window = {"StartTime": now - 900, "EndTime": now + 60}
    metric = {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": arn.rsplit(":", 1)[1]}],
    }
    stat = {"Metric": metric, "Period": 60, "Stat": "Maximum"}

    def age():
        [told] = watch.get_metric_data(MetricDataQueries=[{"Id": "age", "MetricStat": stat}], **window)["MetricDataResults"]
        assert len(told["Timestamps"]) == len(told["Values"]) and told["StatusCode"] == "Complete", told
        assert all(now - 60 <= at.timestamp() <= now + 120 for at in told["Timestamps"]), told
        return told["Values"]

    assert age() == []
    client("sqs").send_message(QueueUrl=url, MessageBody="a")
    eventually(lambda: age() and age()[0] >= 3, "three seconds old")
    told = watch.get_metric_statistics(Period=60, Statistics=["Maximum", "SampleCount"], **metric, **window)
    [point] = told["Datapoints"]
    assert point["Maximum"] >= 3 and point["SampleCount"] == 1 and point["Unit"] == "Seconds", point
    receive(url)
    assert age() == []
    other = {**metric, "Namespace": "AWS/SNS"}
    assert not watch.get_metric_statistics(Period=60, Statistics=["Maximum"], **other, **window)["Datapoints"]
    backwards = {"StartTime": now, "EndTime": now - 900}
    for call in (
        lambda: watch.get_metric_statistics(Period=60, Statistics=["Maximum"], **metric, **backwards),
        lambda: watch.get_metric_statistics(Period=7, Statistics=["Maximum"], **metric, **window),
        lambda: watch.get_metric_data(MetricDataQueries=[{"Id": "a", "Expression": "1+1"}], **window),
    ):
        expect_error("InvalidParameterValue", call)


@case
def what_was_received_too_often_is_a_dead_letter():
    sqs = client("sqs")
    dead, arn = queue()
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    url, _ = queue(VisibilityTimeout="0", RedrivePolicy=redrive)
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    for _ in range(3):
        sqs.receive_message(QueueUrl=url)
    assert [message["Body"] for message in receive(dead)] == ["poison"]


@case
def a_rule_writes_to_a_queue_and_reports_what_failed():
    url, _ = queue()
    errors, _ = queue()
    writer = role(allow("sqs:SendMessage"))
    to = lambda target: {"sqs": {"queueUrl": target, "roleArn": writer}}
    topic = unique("topic")
    name = rule(f"SELECT *, topic(2) AS device FROM '{topic}/+' WHERE t > 50", to(url), to(url + "x"), errorAction=to(errors))
    publish(f"{topic}/a", json.dumps({"t": 20}))
    publish(f"{topic}/b", json.dumps({"t": 60}))
    assert [json.loads(one["Body"]) for one in receive(url)] == [{"t": 60, "device": "b"}]
    report = json.loads(receive(errors)[0]["Body"])
    assert report["ruleName"] == name and report["failures"][0]["failedAction"] == "SqsAction", report
    publish(f"$aws/rules/{name}/x/direct", json.dumps({"t": 70}))
    assert json.loads(receive(url)[0]["Body"]) == {"t": 70, "device": "direct"}
    iot = client("iot")
    assert name in [one["ruleName"] for one in iot.list_topic_rules(topic=f"{topic}/a")["rules"]]
    iot.disable_topic_rule(ruleName=name)
    publish(f"{topic}/b", json.dumps({"t": 80}))
    assert not receive(url, wait=1)
    iot.delete_topic_rule(ruleName=name)


@case
def a_malformed_statement_is_told_with_its_place():
    iot = client("iot")
    payload = {"sql": "SELECT * FORM 'a'", "actions": []}
    try:
        iot.create_topic_rule(ruleName="wrong", topicRulePayload=payload)
        raise AssertionError("it was taken")
    except iot.exceptions.SqlParseException as error:
        assert "line 1, column 10" in str(error), error
    missing = {"sqs": {"queueUrl": "x", "roleArn": f"arn:aws:iam::{ACCOUNT}:role/missing"}}
    payload = {"sql": "SELECT * FROM 'a'", "actions": [missing]}
    create = iot.create_topic_rule
    expect_error("InvalidRequestException", create, ruleName="wrong", topicRulePayload=payload)


@case
def rules_republish_and_write_objects():
    url, _ = queue()
    writer = role(allow("sqs:SendMessage", "iot:Publish", "s3:PutObject"))
    topic, bucket = unique("topic"), unique("bucket")
    republish = {"republish": {"topic": f"{topic}/copies/${{device}}", "roleArn": writer, "qos": 1}}
    objects = {"s3": {"bucketName": bucket, "key": "${device}/${parse_time('yyyy', timestamp())}.json", "roleArn": writer}}
    rule(f"SELECT device FROM '{topic}/in'", republish, objects)
    rule(f"SELECT topic() AS topic FROM '{topic}/copies/#'", {"sqs": {"queueUrl": url, "roleArn": writer}})
    publish(f"{topic}/in", json.dumps({"device": "d1", "more": 1}))
    assert json.loads(receive(url)[0]["Body"]) == {"topic": f"{topic}/copies/d1"}
    written = eventually(lambda: list((FOLDER / bucket / "d1").glob("*.json")), "the object is written")
    assert json.loads(written[0].read_text()) == {"device": "d1"}


@case
def the_consumer_that_is_deployed_works_through_a_backlog():
    aws = client("lambda")
    dead, arn = queue()
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    url, arn = queue(VisibilityTimeout="10", RedrivePolicy=redrive)
    topic = unique("loadtest")
    writer = role(allow("sqs:SendMessage"))
    rule(f"SELECT * FROM '{topic}'", {"sqs": {"queueUrl": url, "roleArn": writer}})
    mapping = aws.create_event_source_mapping(
        EventSourceArn=arn, FunctionName="consume", FunctionResponseTypes=["ReportBatchItemFailures"]
    )
    assert mapping["State"] == "Creating"
    state = lambda: aws.get_event_source_mapping(UUID=mapping["UUID"])["State"]
    eventually(lambda: state() == "Enabled", "the mapping works")
    for n in range(20):
        publish(topic, json.dumps({"device": f"pub{n}", "sent": time.time() * 1000}))
    eventually(lambda: depth(url) == 0, "the queue is empty")
    logged = [entry["sentence"] for entry in Core().diary() if entry["code"] == "FUNCTION_LOG"]
    assert any('"latencyMilliseconds"' in line for line in logged), logged[-3:]
    # One that it cannot read does not hold up the others, and is a dead letter in the end.
    publish(topic, "no JSON")
    publish(topic, json.dumps({"device": "pub", "sent": 1}))
    eventually(lambda: depth(dead) == 1, "the message is a dead letter")
    assert depth(url) == 0
    aws.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    eventually(lambda: state() == "Disabled", "the mapping has stopped")
    for n in range(30):
        publish(topic, json.dumps({"device": f"pub{n}", "sent": time.time() * 1000}))
    eventually(lambda: depth(url) == 30, "the backlog is there")
    aws.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
    eventually(lambda: depth(url) == 0, "the queue is empty")
    assert depth(dead) == 1
    aws.delete_event_source_mapping(UUID=mapping["UUID"])
    try:
        state()
        raise AssertionError("the mapping is still there")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ResourceNotFoundException"


def packed(body):
    """A function's zip file; without a body its program is none."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, FUNCTION.replace("BODY", body) if body else "nothing that could run")
    return buffer.getvalue()


@case
def a_broken_function_loses_no_message():
    assert shutil.which("curl"), "curl, by which the function speaks, is not installed"
    aws, sqs = client("lambda"), client("sqs")
    architecture = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam, name = client("iam"), unique("reader")
    reader = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": trust}))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps({"Statement": [allow("sqs:*")]}))
    dead = {}
    for kind, body in BROKEN.items():
        dead[kind], arn = queue()
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
        url, arn = queue(VisibilityTimeout="10", RedrivePolicy=redrive)
        function = unique("broken")
        aws.create_function(
            FunctionName=function, Runtime="provided.al2023", Handler="bootstrap", Role=reader, Timeout=1,
            Architectures=[architecture], Code={"ZipFile": packed(body)},
        )
        for n in range(3):
            sqs.send_message(QueueUrl=url, MessageBody=f"{kind} {n}")
        # Without reports an answer is an answer, whatever it says.
        reports = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
        aws.create_event_source_mapping(EventSourceArn=arn, FunctionName=function, **reports)
    for kind, url in dead.items():
        eventually(lambda: depth(url) == 3, f"the messages of one that {kind} are dead letters", seconds=30)
        bodies = {message["Body"] for _ in range(3) for message in receive(url, wait=0)}
        assert bodies == {f"{kind} {n}" for n in range(3)}, bodies
        failed = [entry["sentence"] for entry in Core().diary() if entry["code"] == "EVENT_SOURCE_BATCH_FAILED"]
        assert failed, Core().diary()[-5:]


judge()
