//! One way through every operation: each is answered with success, and the model finds nothing wrong with it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::Duration;

use super::super::operations;
use super::{Core, POLICY};
use crate::account::pki::{Identity, named};

const ROLE: &str = "arn:aws:iam::123456789012:role/IoTProvisioning";

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap()
}

impl Core {
    async fn get(&self, target: &str) -> Value {
        self.ok("GET", target, Value::Null).await
    }

    async fn post(&self, target: &str, body: Value) -> Value {
        self.ok("POST", target, body).await
    }

    async fn put(&self, target: &str, body: Value) {
        self.ok("PUT", target, body).await;
    }

    async fn patch(&self, target: &str, body: Value) {
        self.ok("PATCH", target, body).await;
    }

    async fn delete(&self, target: &str) {
        self.ok("DELETE", target, Value::Null).await;
    }

    async fn with_principal(&self, method: &str, target: &str, header: &str, arn: &str) {
        let got = self.raw(method, target, &[(header, arn)], Vec::new()).await;
        assert_eq!(got.status, 200, "{method} {target}: {got:?}");
    }
}

#[tokio::test]
async fn every_operation_is_answered_as_the_model_says() {
    let core = Core::with_data_plane();
    let arn = certificates(&core).await;
    policies(&core, &arn).await;
    things(&core, &arn).await;
    groups(&core).await;
    templates(&core).await;
    topic_rules(&core).await;
    data_plane(&core).await;
    functions(&core).await;
    core.get("/endpoint?endpointType=iot:Data-ATS").await;
    core.patch(
        "/event-configurations",
        json!({ "eventConfigurations": {} }),
    )
    .await;
    core.get("/event-configurations").await;

    let offered: BTreeSet<String> = operations(core.settings())
        .into_iter()
        .filter(|operation| operation.service.starts_with("iot"))
        .map(|operation| operation.name.to_owned())
        .collect();
    let served = core.served.lock();
    let missed: Vec<&String> = offered.difference(&served).collect();
    assert!(missed.is_empty(), "the tour leaves out {missed:?}");
}

async fn functions(core: &Core) {
    let root = "/2015-03-31/functions";
    let code = || json!({ "ZipFile": STANDARD.encode(program("#!/bin/sh\n")) });
    let role = "arn:aws:iam::123456789012:role/hook";
    let create = json!({
        "FunctionName": "hook", "Role": role, "Runtime": "provided.al2023", "Handler": "bootstrap",
        "Code": code(), "Environment": { "Variables": { "LIST": "b" } }, "Timeout": 1, "Tags": { "a": "b" },
    });
    let call = |method, target: String, body| async move {
        let got = core.call(method, &target, body).await;
        assert!(got.status < 300, "{method} {target}: {got:?}");
        got.body
    };
    let one = |tail: &str| format!("{root}/hook{tail}");
    let made = call("POST", root.to_owned(), create).await;
    assert_eq!(made["State"], "Active");
    call("GET", root.to_owned(), Value::Null).await;
    call("GET", one(""), Value::Null).await;
    call("GET", one("/configuration"), Value::Null).await;
    call("PUT", one("/code"), code()).await;
    call("PUT", one("/configuration"), json!({ "Timeout": 2 })).await;
    let permission = json!({
        "StatementId": "iot", "Action": "lambda:InvokeFunction", "Principal": "iot.amazonaws.com",
        "SourceAccount": "123456789012",
    });
    call("POST", one("/policy"), permission).await;
    call("GET", one("/policy"), Value::Null).await;
    // This program ends at once, which is an answer all the same.
    let got = core.call("POST", &one("/invocations"), json!({})).await;
    assert_eq!(got.status, 200);
    call("DELETE", one("/policy/iot"), Value::Null).await;
    event_sources(core).await;
    call("DELETE", one(""), Value::Null).await;
}

/// What takes messages from a queue for the function `hook`.
async fn event_sources(core: &Core) {
    let root = "/2015-03-31/event-source-mappings";
    let target = [("x-amz-target", "AmazonSQS.CreateQueue")];
    let queue = json!({ "QueueName": "hooked" }).to_string().into_bytes();
    let got = core.raw("POST", "/", &target, queue).await;
    assert_eq!(got.status, 200, "{got:?}");
    let arn = "arn:aws:sqs:eu-west-1:123456789012:hooked";
    let map = json!({
        "EventSourceArn": arn, "FunctionName": "hook", "Enabled": false, "BatchSize": 5,
        "FunctionResponseTypes": ["ReportBatchItemFailures"], "ScalingConfig": { "MaximumConcurrency": 2 },
    });
    let made = core.call("POST", root, map.clone()).await;
    assert_eq!((made.status, text(&made.body, "State")), (202, "Creating"));
    let again = core.call("POST", root, map).await;
    assert_eq!(
        (again.status, again.error.as_str()),
        (409, "ResourceConflictException")
    );
    let one = format!("{root}/{}", text(&made.body, "UUID"));
    let found = core.get(&one).await;
    assert_eq!(
        (text(&found, "State"), &found["BatchSize"]),
        ("Disabled", &json!(5))
    );
    let listed = core
        .get(&format!("{root}?FunctionName=hook&EventSourceArn={arn}"))
        .await;
    assert_eq!(listed["EventSourceMappings"], json!([found]));
    let other = core.get(&format!("{root}?FunctionName=other")).await;
    assert_eq!(other["EventSourceMappings"], json!([]));
    let change = core.call("PUT", &one, json!({ "BatchSize": 11 })).await;
    assert_eq!(
        change.status, 400,
        "without a window a batch has ten: {change:?}"
    );
    let change = core.call("PUT", &one, json!({ "BatchSize": 10 })).await;
    assert_eq!(text(&change.body, "State"), "Updating");
    let gone = core.call("DELETE", &one, Value::Null).await;
    assert_eq!((gone.status, text(&gone.body, "State")), (202, "Deleting"));
    let missing = "ResourceNotFoundException";
    core.refused("GET", &one, Value::Null, 404, missing).await;
    let slow = json!({ "FunctionName": "hook", "EventSourceArn": arn, "FilterCriteria": { "Filters": [] } });
    core.refused("POST", root, slow, 400, "InvalidParameterValueException")
        .await;
}

/// A zip file with this program as `bootstrap`.
fn program(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bootstrap", options).unwrap();
    zip.write_all(text.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

/// CAs, certificates and transfers; an active certificate's ARN.
async fn certificates(core: &Core) -> String {
    let code = core.get("/registrationcode").await;
    let root = Identity::ca("root");
    let verification = root.issue(&named(text(&code, "registrationCode")));
    let ca = core
        .post(
            "/cacertificate?setAsActive=true",
            json!({ "caCertificate": root.pem(), "verificationCertificate": verification.pem() }),
        )
        .await;
    core.delete("/registrationcode").await;
    let ca = text(&ca, "certificateId").to_owned();
    let device = root.issue(&named("device")).pem();
    core.post("/certificate/register", json!({ "certificatePem": device }))
        .await;
    core.get(&format!("/certificates-by-ca/{ca}")).await;
    core.get("/cacertificates").await;
    core.put(
        &format!("/cacertificate/{ca}?newStatus=INACTIVE"),
        json!({}),
    )
    .await;
    core.get(&format!("/cacertificate/{ca}")).await;
    core.delete(&format!("/cacertificate/{ca}")).await;
    let alone = Identity::ca("alone").pem();
    core.post(
        "/certificate/register-no-ca",
        json!({ "certificatePem": alone }),
    )
    .await;
    let csr = json!({ "certificateSigningRequest": Identity::ca("x").csr() });
    let made = core.post("/certificates", csr).await;
    let id = text(&made, "certificateId").to_owned();
    for end in ["accept", "reject", "cancel"] {
        let offer = format!("/transfer-certificate/{id}?targetAwsAccount=210987654321");
        core.patch(&offer, json!({ "transferMessage": "for you" }))
            .await;
        core.get("/certificates-out-going").await;
        core.get(&format!("/certificates/{id}")).await;
        core.patch(&format!("/{end}-certificate-transfer/{id}"), json!({}))
            .await;
    }
    core.put(
        &format!("/certificates/{id}?newStatus=REVOKED"),
        Value::Null,
    )
    .await;
    core.delete(&format!("/certificates/{id}")).await;
    core.get("/certificates").await;
    let keys = core
        .post("/keys-and-certificate?setAsActive=true", Value::Null)
        .await;
    text(&keys, "certificateArn").to_owned()
}

async fn policies(core: &Core, arn: &str) {
    let document = json!({ "policyDocument": POLICY });
    core.post("/policies/p", document.clone()).await;
    core.post("/policies/p/version", document).await;
    core.patch("/policies/p/version/2", Value::Null).await;
    core.get("/policies/p/version/1").await;
    core.get("/policies/p/version").await;
    core.delete("/policies/p/version/1").await;
    core.get("/policies/p").await;
    core.get("/policies").await;
    let target = json!({ "target": arn });
    core.put("/target-policies/p", target.clone()).await;
    let encoded = arn.replace(':', "%3A").replace('/', "%2F");
    core.post(&format!("/attached-policies/{encoded}"), Value::Null)
        .await;
    core.post("/policy-targets/p", Value::Null).await;
    let principal = "x-amzn-iot-principal";
    core.with_principal("GET", "/principal-policies", principal, arn)
        .await;
    core.with_principal("GET", "/policy-principals", "x-amzn-iot-policy", "p")
        .await;
    core.post("/effective-policies", json!({ "principal": arn }))
        .await;
    let ask = json!({
        "principal": arn,
        "authInfos": [{ "actionType": "PUBLISH", "resources": ["arn:aws:iot:eu-west-1:123456789012:topic/a"] }],
    });
    core.post("/test-authorization", ask).await;
    core.post("/target-policies/p", target).await;
    core.with_principal("PUT", "/principal-policies/p", principal, arn)
        .await;
    core.with_principal("DELETE", "/principal-policies/p", principal, arn)
        .await;
    core.delete("/policies/p").await;
}

async fn things(core: &Core, arn: &str) {
    core.post("/thing-types/t", Value::Null).await;
    core.patch(
        "/thing-types/t",
        json!({ "thingTypeProperties": { "thingTypeDescription": "a type" } }),
    )
    .await;
    core.get("/thing-types/t").await;
    core.get("/thing-types").await;
    core.post("/things/a", json!({ "thingTypeName": "t" }))
        .await;
    core.get("/things/a").await;
    core.get("/things").await;
    let principal = "x-amzn-principal";
    core.with_principal("PUT", "/things/a/principals", principal, arn)
        .await;
    core.get("/things/a/principals").await;
    core.get("/things/a/principals-v2").await;
    core.with_principal("GET", "/principals/things", principal, arn)
        .await;
    core.with_principal("GET", "/principals/things-v2", principal, arn)
        .await;
    core.with_principal("DELETE", "/things/a/principals", principal, arn)
        .await;
    core.patch("/things/a", json!({ "removeThingType": true }))
        .await;
    core.post("/thing-types/t/deprecate", json!({})).await;
    core.get("/thing-types/t").await;
    core.hand.advance(Duration::minutes(5));
    core.delete("/thing-types/t").await;
}

async fn groups(core: &Core) {
    core.post("/thing-groups/g", Value::Null).await;
    core.post("/thing-groups/h", json!({ "parentGroupName": "g" }))
        .await;
    core.get("/thing-groups/h").await;
    core.get("/thing-groups").await;
    let properties = json!({ "thingGroupProperties": { "thingGroupDescription": "a group" } });
    core.patch("/thing-groups/g", properties).await;
    let member = json!({ "thingGroupName": "h", "thingName": "a" });
    core.put("/thing-groups/addThingToThingGroup", member.clone())
        .await;
    core.get("/thing-groups/g/things?recursive=true").await;
    core.get("/things/a/thing-groups").await;
    core.put("/thing-groups/removeThingFromThingGroup", member)
        .await;
    let both = json!({ "thingName": "a", "thingGroupsToAdd": ["g"] });
    core.put("/thing-groups/updateThingGroupsForThing", both)
        .await;
    let tag = json!([{ "Key": "k", "Value": "v" }]);
    let group = "arn:aws:iot:eu-west-1:123456789012:thinggroup/g";
    core.post("/tags", json!({ "resourceArn": group, "tags": tag }))
        .await;
    core.get(&format!("/tags?resourceArn={group}")).await;
    core.post("/untag", json!({ "resourceArn": group, "tagKeys": ["k"] }))
        .await;
    core.delete("/thing-groups/h").await;

    core.post("/billing-groups/b", Value::Null).await;
    let properties = json!({ "billingGroupProperties": { "billingGroupDescription": "who pays" } });
    core.patch("/billing-groups/b", properties).await;
    let member = json!({ "billingGroupName": "b", "thingName": "a" });
    core.put("/billing-groups/addThingToBillingGroup", member.clone())
        .await;
    core.get("/billing-groups/b").await;
    core.get("/billing-groups").await;
    core.get("/billing-groups/b/things").await;
    core.put("/billing-groups/removeThingFromBillingGroup", member)
        .await;
    core.delete("/billing-groups/b").await;
    core.delete("/things/a").await;
}

async fn templates(core: &Core) {
    let template = json!({
        "Parameters": { "Name": { "Type": "String" } },
        "Resources": {
            "thing": { "Type": "AWS::IoT::Thing", "Properties": { "ThingName": { "Ref": "Name" } } },
        },
    });
    let template = template.to_string();
    let body =
        json!({ "templateName": "pt", "templateBody": template, "provisioningRoleArn": ROLE });
    core.post("/provisioning-templates", body).await;
    let version = json!({ "templateBody": template });
    core.post("/provisioning-templates/pt/versions", version)
        .await;
    core.get("/provisioning-templates/pt/versions").await;
    core.get("/provisioning-templates/pt/versions/2").await;
    core.delete("/provisioning-templates/pt/versions/2").await;
    core.patch("/provisioning-templates/pt", json!({ "enabled": true }))
        .await;
    core.get("/provisioning-templates/pt").await;
    core.get("/provisioning-templates").await;
    let claim = "/provisioning-templates/pt/provisioning-claim";
    let claim = core.post(claim, Value::Null).await;
    let listed = core.get("/certificates?pageSize=250").await.to_string();
    assert!(!listed.contains(text(&claim, "certificateId")));
    core.delete("/provisioning-templates/pt").await;
    let run = json!({ "templateBody": template, "parameters": { "Name": "b" } });
    core.post("/things", run).await;
}

async fn topic_rules(core: &Core) {
    let rule = |sql: &str| json!({ "sql": sql, "actions": [] });
    core.post("/rules/r", rule("SELECT * FROM 'a/+'")).await;
    core.get("/rules/r").await;
    core.get("/rules?topic=a%2Fb&ruleDisabled=false").await;
    core.patch("/rules/r", rule("SELECT a FROM 'b'")).await;
    core.post("/rules/r/disable", Value::Null).await;
    core.post("/rules/r/enable", Value::Null).await;
    core.delete("/rules/r").await;
}

async fn data_plane(core: &Core) {
    let path = "/topics/a%2Fb?qos=1&retain=true";
    let got = core.raw("POST", path, &[], b"hello".to_vec()).await;
    assert_eq!(got.status, 200, "{got:?}");
    let kept = core.get("/retainedMessage/a%2Fb").await;
    assert_eq!(kept["payload"], "aGVsbG8=");
    assert_eq!(kept["lastModifiedTime"], 1_767_225_900_000_i64);
    let all = core.get("/retainedMessage").await;
    assert_eq!(all["retainedTopics"][0]["payloadSize"], 5);
    let unknown = "ResourceNotFoundException";
    core.refused("DELETE", "/connections/nobody", Value::Null, 404, unknown)
        .await;
    // A connection takes a broker that listens; its deletion is told with the stories.
    core.served.lock().insert("DeleteConnection".to_owned());
}
