//! What operations do, as a client sees it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::serve::BODY_LIMIT;
use super::super::{Answer, Extension, operations};
use super::{Core, POLICY};
use crate::account::pki::{Identity, named};
use crate::model::{Input, Service};

#[tokio::test]
async fn a_thing_with_certificate_and_policy_comes_and_goes_in_order() {
    let core = Core::new();
    let keys = core
        .ok(
            "POST",
            "/keys-and-certificate?setAsActive=true",
            Value::Null,
        )
        .await;
    let (arn, id) = (
        keys["certificateArn"].as_str().unwrap(),
        keys["certificateId"].as_str().unwrap(),
    );
    assert!(
        keys["keyPair"]["PrivateKey"]
            .as_str()
            .unwrap()
            .contains("RSA PRIVATE KEY")
    );
    core.ok(
        "POST",
        "/things/sensor-17",
        json!({"attributePayload": {"attributes": {"a": "1"}}}),
    )
    .await;
    core.ok("POST", "/policies/p", json!({ "policyDocument": POLICY }))
        .await;
    core.ok("PUT", "/target-policies/p", json!({ "target": arn }))
        .await;
    let principal = [("x-amzn-principal", arn)];
    let attach = "/things/sensor-17/principals?thingPrincipalType=EXCLUSIVE_THING";
    assert_eq!(
        core.raw("PUT", attach, &principal, vec![]).await.status,
        200
    );
    let encoded = arn.replace(':', "%3A").replace('/', "%2F");
    let attached = core
        .ok(
            "POST",
            &format!("/attached-policies/{encoded}"),
            Value::Null,
        )
        .await;
    assert_eq!(attached["policies"][0]["policyName"], "p");
    let principals = core
        .ok("GET", "/things/sensor-17/principals-v2", Value::Null)
        .await;
    assert_eq!(
        principals["thingPrincipalObjects"][0]["thingPrincipalType"],
        "EXCLUSIVE_THING"
    );
    let described = core.ok("GET", "/things/sensor-17", Value::Null).await;
    assert_eq!(described["defaultClientId"], "sensor-17");
    assert_eq!(described["version"], 1);

    let certificate = format!("/certificates/{id}");
    let got = core.call("DELETE", &certificate, Value::Null).await;
    assert_eq!(
        (got.status, got.error.as_str()),
        (406, "CertificateStateException")
    );
    core.ok(
        "PUT",
        &format!("{certificate}?newStatus=INACTIVE"),
        Value::Null,
    )
    .await;
    core.ok("POST", "/target-policies/p", json!({ "target": arn }))
        .await;
    assert_eq!(
        core.raw("DELETE", "/things/sensor-17/principals", &principal, vec![])
            .await
            .status,
        200
    );
    core.ok("DELETE", &certificate, Value::Null).await;
    core.ok("DELETE", "/things/sensor-17", Value::Null).await;
    core.ok("DELETE", "/policies/p", Value::Null).await;
    let got = core.call("GET", "/things/sensor-17", Value::Null).await;
    assert_eq!(
        (got.status, got.error.as_str()),
        (404, "ResourceNotFoundException")
    );
    let told = core.settings().diary.recent();
    assert!(
        told.iter()
            .any(|entry| entry.code == "CertificateStateException")
    );
}

#[tokio::test]
async fn a_ca_is_registered_described_and_its_template_removed() {
    let core = Core::new();
    let code = core.ok("GET", "/registrationcode", Value::Null).await;
    let root = Identity::ca("root");
    let template = include_str!("../../../../../etc/templates/device.json");
    let register = json!({
        "caCertificate": root.pem(),
        "verificationCertificate": root.issue(&named(code["registrationCode"].as_str().unwrap())).pem(),
        "registrationConfig": {
            "templateBody": template,
            "roleArn": "arn:aws:iam::123456789012:role/IoTProvisioning",
        },
    });
    let path = "/cacertificate?setAsActive=true&allowAutoRegistration=true";
    let ca = core.ok("POST", path, register.clone()).await;
    let path = format!("/cacertificate/{}", ca["certificateId"].as_str().unwrap());
    let described = core.ok("GET", &path, Value::Null).await;
    let description = &described["certificateDescription"];
    assert_eq!(description["status"], "ACTIVE");
    assert_eq!(description["autoRegistrationStatus"], "ENABLE");
    assert_eq!(description["creationDate"], 1_767_225_600.0);
    assert_eq!(described["registrationConfig"]["templateBody"], template);
    core.ok("PUT", &path, json!({ "removeAutoRegistration": true }))
        .await;
    let described = core.ok("GET", &path, Value::Null).await;
    assert!(described.get("registrationConfig").is_none());
    let again = core.call("POST", "/cacertificate", register).await;
    assert_eq!(
        (again.status, again.error.as_str()),
        (409, "ResourceAlreadyExistsException")
    );
    assert_eq!(again.body["resourceArn"], ca["certificateArn"]);
}

#[tokio::test]
async fn pages_go_both_ways_through_certificates() {
    let core = Core::new();
    for name in ["a", "b", "c"] {
        let pem = Identity::ca(name).pem();
        core.ok(
            "POST",
            "/certificate/register-no-ca",
            json!({ "certificatePem": pem }),
        )
        .await;
    }
    let first = core
        .ok("GET", "/certificates?pageSize=2", Value::Null)
        .await;
    let marker = first["nextMarker"]
        .as_str()
        .unwrap()
        .replace('+', "%2B")
        .replace('=', "%3D");
    let second = core
        .ok(
            "GET",
            &format!("/certificates?pageSize=2&marker={marker}"),
            Value::Null,
        )
        .await;
    assert_eq!(second["certificates"].as_array().unwrap().len(), 1);
    assert!(second.get("nextMarker").is_none());
    let ids = |page: &Value| {
        let list = page["certificates"].as_array().unwrap();
        list.iter()
            .map(|item| item["certificateId"].clone())
            .collect::<Vec<_>>()
    };
    let mut backwards = [ids(&first), ids(&second)].concat();
    backwards.reverse();
    let forwards = core
        .ok("GET", "/certificates?isAscendingOrder=true", Value::Null)
        .await;
    assert_eq!(ids(&forwards), backwards);
}

#[tokio::test]
async fn what_is_not_offered_says_so_in_json() {
    let core = Core::new();
    let got = core.call("GET", "/jobs", Value::Null).await;
    assert_eq!(
        (got.status, got.error.as_str()),
        (501, "NotImplementedException")
    );
    assert!(got.body["message"].as_str().unwrap().contains("ListJobs"));
    let got = core.call("GET", "/", Value::Null).await;
    assert_eq!(
        (got.status, got.error.as_str()),
        (404, "UnknownOperationException")
    );
    let scope = "AWS4-HMAC-SHA256 Credential=A/20260101/eu-west-1/sns/aws4_request, SignedHeaders=host, Signature=0";
    let got = core
        .raw("POST", "/", &[("authorization", scope)], vec![])
        .await;
    assert_eq!(got.status, 501);
    assert!(got.body["message"].as_str().unwrap().contains("sns"));
    let got = core.call("POST", "/_local/reset", Value::Null).await;
    assert_eq!(got.status, 501);
}

#[tokio::test]
async fn a_wrong_request_is_refused_with_the_member_it_is_about() {
    let core = Core::new();
    for (method, target, body) in [
        ("POST", "/things/a%20b", Value::Null),
        ("POST", "/policies/p", json!({})),
        ("POST", "/policies/p", json!({ "policyDocument": 7 })),
        ("GET", "/things?maxResults=many", Value::Null),
        ("GET", "/things?nextToken=%25%25", Value::Null),
        ("PUT", "/certificates/xyz?newStatus=ACTIVE", Value::Null),
        (
            "POST",
            "/cacertificate?setAsActive=perhaps",
            json!({ "caCertificate": "x" }),
        ),
    ] {
        let got = core.call(method, target, body).await;
        assert_eq!(
            (got.status, got.error.as_str()),
            (400, "InvalidRequestException"),
            "{target}"
        );
    }
    let got = core.raw("POST", "/policies/p", &[], vec![0xff, 0x00]).await;
    assert_eq!(got.status, 400);
    let got = core
        .raw("POST", "/policies/p", &[], vec![b'['; BODY_LIMIT + 1])
        .await;
    assert_eq!(got.status, 413);
}

#[tokio::test]
async fn an_operation_from_outside_wins() {
    let core = Core::new();
    let extension: Extension = Arc::new(|input: Input| {
        Box::pin(async move { Ok(Answer::Json(json!({ "echo": input.required("topic") }))) })
    });
    let settings = core.settings().clone();
    let core = Core::with(settings.with(Service::IotData, "Publish", extension));
    let got = core.call("POST", "/topics/a%2Fb", Value::Null).await;
    assert_eq!(got.status, 200);
    let offered = operations(core.settings());
    assert!(offered.iter().any(|operation| operation.name == "Publish"));
}

#[tokio::test]
async fn a_template_is_executed_by_register_thing() {
    let core = Core::new();
    let template = json!({
        "Parameters": { "Name": { "Type": "String" }, "Csr": { "Type": "String" } },
        "Resources": {
            "thing": { "Type": "AWS::IoT::Thing", "Properties": { "ThingName": { "Ref": "Name" } } },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": { "CertificateSigningRequest": { "Ref": "Csr" } },
            },
            "policy": { "Type": "AWS::IoT::Policy", "Properties": { "PolicyDocument": POLICY } },
        },
    });
    let body = json!({
        "templateBody": template.to_string(),
        "parameters": { "Name": "sensor-17", "Csr": Identity::ca("x").csr() },
    });
    let made = core.ok("POST", "/things", body).await;
    let pem = made["certificatePem"].as_str().unwrap();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE"));
    let arns = made["resourceArns"].as_object().unwrap();
    assert!(arns["thing"].as_str().unwrap().ends_with("thing/sensor-17"));
    let state = core.settings().account.snapshot();
    let (id, certificate) = state.certificates.iter().next().unwrap();
    assert_eq!(certificate.status.as_str(), "ACTIVE");
    assert_eq!(state.policies_of_certificate(id).len(), 1);
    let body = json!({ "templateBody": "{" });
    let got = core.call("POST", "/things", body).await;
    assert_eq!(got.error, "InvalidRequestException");
}

#[tokio::test]
async fn register_thing_needs_values_only_for_parameters_that_are_used() {
    let core = Core::new();
    let template = |name: &str| {
        let thing =
            json!({ "Type": "AWS::IoT::Thing", "Properties": { "ThingName": { "Ref": name } } });
        let parameters = json!({ "Name": { "Type": "String" }, "Idle": { "Type": "String" } });
        json!({ "Parameters": parameters, "Resources": { "thing": thing } }).to_string()
    };
    let ask = |name| json!({ "templateBody": template(name), "parameters": { "Name": "a" } });
    core.ok("POST", "/things", ask("Name")).await;
    let got = core.call("POST", "/things", ask("Idle")).await;
    assert_eq!(got.error, "InvalidRequestException");
    assert!(
        got.body["message"].as_str().unwrap().contains("Idle"),
        "{got:?}"
    );
}

#[tokio::test]
async fn authorization_is_tested_with_the_engine_of_the_broker() {
    let core = Core::new();
    let path = "/keys-and-certificate?setAsActive=true";
    let keys = core.ok("POST", path, Value::Null).await;
    let arn = keys["certificateArn"].as_str().unwrap();
    let arn_of = |name: &str| format!("arn:aws:iot:eu-west-1:123456789012:{name}");
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "iot:Publish", "Resource": arn_of("topic/${iot:ClientId}") },
        { "Effect": "Deny", "Action": "iot:Subscribe", "Resource": "*" },
    ]});
    let body = json!({ "policyDocument": policy.to_string() });
    core.ok("POST", "/policies/p", body).await;
    let body = json!({ "target": arn });
    core.ok("PUT", "/target-policies/p", body).await;
    let ask = json!({ "principal": arn, "authInfos": [
        { "actionType": "PUBLISH", "resources": [arn_of("topic/sensor-17")] },
        { "actionType": "PUBLISH", "resources": [arn_of("topic/other")] },
        { "actionType": "SUBSCRIBE", "resources": [arn_of("topicfilter/#")] },
    ]});
    let path = "/test-authorization?clientId=sensor-17";
    let got = core.ok("POST", path, ask).await;
    let decision = |index: usize| got["authResults"][index]["authDecision"].clone();
    let decisions = [decision(0), decision(1), decision(2)];
    assert_eq!(decisions, ["ALLOWED", "IMPLICIT_DENY", "EXPLICIT_DENY"]);
    let allowing = &got["authResults"][0]["allowed"]["policies"];
    assert_eq!(allowing[0]["policyName"], "p");
}
