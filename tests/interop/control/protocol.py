"""Cases: The protocol itself, partly without any SDK, and lives from beginning to end."""

import json
import urllib.error
import urllib.request

from botocore.exceptions import ClientError

import pki
from lab import EVERYTHING, case, eventually, unique


def raw(core, method, path, body=None, headers=None):
    """An HTTP request without any SDK; hands on status, headers and body."""
    credential = "AWS4-HMAC-SHA256 Credential=x/20260101/eu-central-1/iot/aws4_request"
    request = urllib.request.Request(
        core.url + path,
        method=method,
        data=body,
        headers={
            "Authorization": f"{credential}, SignedHeaders=host, Signature=0",
            "Content-Type": "application/json",
            **(headers or {}),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@case
def an_operation_the_core_lacks_is_answered_501_by_name(core):
    try:
        core.iot.describe_audit_task(taskId="0" * 36)
        raise AssertionError("answered, although nobody audits here")
    except ClientError as error:
        core.findings.clear()  # no model knows this answer
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert status == 501, f"status {status}"
        assert "DescribeAuditTask" in error.response["Error"]["Message"], error.response["Error"]


@case
def bodies_that_are_not_json_are_refused_in_json(core):
    for body in (b"{", b"[]", b"\xff\xfe", b'{"policyDocument": 7}', b"{}"):
        status, headers, answer = raw(core, "POST", f"/policies/{unique('bad')}", body)
        assert status == 400, f"{body!r} gives {status}"
        assert headers["x-amzn-errortype"], f"{body!r} gives no x-amzn-errortype"
        assert json.loads(answer)["message"], answer


@case
def paths_are_decoded_after_routing(core):
    name = unique("percent")
    core.iot.create_thing(thingName=name)
    encoded = "".join(f"%{ord(letter):02X}" for letter in name)
    status, _, answer = raw(core, "GET", f"/things/{encoded}")
    assert status == 200 and json.loads(answer)["thingName"] == name
    status, headers, _ = raw(core, "GET", "/things/a%2Fb")
    assert status == 400, f"a slash in a thing name gives {status}"
    status, _, _ = raw(core, "GET", "/things/%FF")
    assert status == 400, f"a path that is no UTF-8 gives {status}"
    assert headers["x-amzn-errortype"]


@case
def an_unknown_path_is_answered_in_json(core):
    status, headers, answer = raw(core, "GET", "/no/such/path")
    assert 400 <= status < 600 and headers["x-amzn-errortype"], (status, dict(headers))
    json.loads(answer)


@case
def a_whole_life_is_undone_in_the_documented_order(core):
    authority = pki.Authority(unique("whole-life"))
    ca_id = core.register_ca(authority)
    name, policy_name = unique("device"), core.allow(unique("whole-life"), EVERYTHING)
    leaf = authority.issue(name)
    arn = core.iot.register_certificate(
        certificatePem=leaf.pem, caCertificatePem=authority.pem, status="ACTIVE"
    )["certificateArn"]
    core.iot.create_thing(thingName=name)
    core.iot.attach_thing_principal(thingName=name, principal=arn)
    core.iot.attach_policy(policyName=policy_name, target=arn)

    core.iot.detach_policy(policyName=policy_name, target=arn)
    core.iot.update_certificate(certificateId=leaf.id, newStatus="INACTIVE")
    core.iot.detach_thing_principal(thingName=name, principal=arn)
    eventually(lambda: not core.iot.list_thing_principals(thingName=name)["principals"], "detached")
    core.iot.delete_certificate(certificateId=leaf.id)
    core.iot.delete_thing(thingName=name)
    core.iot.delete_policy(policyName=policy_name)
    core.iot.update_ca_certificate(certificateId=ca_id, newStatus="INACTIVE")
    core.iot.delete_ca_certificate(certificateId=ca_id)
    assert leaf.id not in core.certificate_ids()


@case
def a_deleted_ca_leaves_its_certificates_alone(core):
    authority = pki.Authority(unique("orphans"))
    ca_id = core.register_ca(authority)
    leaf = authority.issue("sensor")
    core.iot.register_certificate(
        certificatePem=leaf.pem, caCertificatePem=authority.pem, status="ACTIVE"
    )
    core.iot.update_ca_certificate(certificateId=ca_id, newStatus="INACTIVE")
    core.iot.delete_ca_certificate(certificateId=ca_id)
    assert core.certificate_status(leaf.id) == "ACTIVE"
