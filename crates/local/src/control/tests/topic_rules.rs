//! Topic rules as a client sees them. Every answer is judged by the model.

use serde_json::{Value, json};

use super::Core;

const ROLE: &str = "arn:aws:iam::123456789012:role/writer";

impl Core {
    /// A role that AWS IoT, or somebody else, may assume.
    fn role(&self, service: &str) {
        let trust = json!({ "Statement": {
            "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole",
        } });
        let ask = crate::account::roles::CreateRole {
            name: "writer".to_owned(),
            path: "/".to_owned(),
            trust_policy: trust.to_string(),
            ..Default::default()
        };
        let account = &self.settings().account;
        account
            .write(|tx| crate::account::roles::create(tx, ask))
            .unwrap();
    }
}

fn sqs() -> Value {
    json!({ "sqs": { "queueUrl": "http://localhost/123456789012/jobs", "roleArn": ROLE } })
}

#[tokio::test]
async fn a_rule_comes_back_as_it_was_given() {
    let core = Core::new();
    core.role("iot.amazonaws.com");
    let mut rule = json!({
        "sql": "SELECT * FROM 'a/#'", "description": "what it is for", "actions": [sqs()],
        "errorAction": { "republish": { "topic": "errors/${topic(2)}", "roleArn": ROLE, "qos": 1 } },
        "awsIotSqlVersion": "2016-03-23", "ruleDisabled": true,
    });
    let tags = [("x-amz-tagging", "site=a%20b&empty")];
    let body = rule.to_string().into_bytes();
    let made = core.raw("POST", "/rules/writer_1", &tags, body).await;
    assert_eq!(made.status, 200, "{made:?}");
    let arn = "arn:aws:iot:eu-west-1:123456789012:rule/writer_1";
    let got = core.ok("GET", "/rules/writer_1", Value::Null).await;
    assert_eq!(got["ruleArn"], arn);
    rule["ruleName"] = json!("writer_1");
    rule["createdAt"] = json!(1_767_225_600.0);
    assert_eq!(got["rule"], rule);
    let tags = core
        .ok("GET", &format!("/tags?resourceArn={arn}"), Value::Null)
        .await;
    assert_eq!(tags["tags"][1], json!({ "Key": "site", "Value": "a b" }));
    let listed = core.ok("GET", "/rules", Value::Null).await;
    assert_eq!(listed["rules"][0]["topicPattern"], "a/#");
    let enabled = core
        .ok("GET", "/rules?ruleDisabled=false", Value::Null)
        .await;
    assert_eq!(enabled["rules"], json!([]));
    let elsewhere = core.ok("GET", "/rules?topic=b", Value::Null).await;
    assert_eq!(elsewhere["rules"], json!([]));
    core.ok("POST", "/rules/writer_1/enable", Value::Null).await;
    let enabled = core
        .ok("GET", "/rules?topic=a/b&ruleDisabled=false", Value::Null)
        .await;
    assert_eq!(enabled["rules"].as_array().unwrap().len(), 1);
    let exists = "ResourceAlreadyExistsException";
    let again = json!({ "sql": "SELECT * FROM 'a'", "actions": [] });
    core.refused("POST", "/rules/writer_1", again.clone(), 409, exists)
        .await;
    core.ok("PATCH", "/rules/writer_1", again).await;
    let got = core.ok("GET", "/rules/writer_1", Value::Null).await;
    assert_eq!(got["rule"]["awsIotSqlVersion"], "2015-10-08");
    assert_eq!(got["rule"].get("description"), None);
    for _ in 0..2 {
        core.ok("DELETE", "/rules/writer_1", Value::Null).await;
    }
    let gone = "UnauthorizedException";
    core.refused("GET", "/rules/writer_1", Value::Null, 401, gone)
        .await;
    core.refused("POST", "/rules/writer_1/enable", Value::Null, 401, gone)
        .await;
}

#[tokio::test]
async fn a_malformed_statement_is_refused_with_the_place() {
    let core = Core::new();
    core.role("iot.amazonaws.com");
    let refused = async |rule: Value, error: &str| {
        let got = core.call("POST", "/rules/r", rule).await;
        assert_eq!((got.status, got.error.as_str()), (400, error), "{got:?}");
        got.body["message"].as_str().unwrap().to_owned()
    };
    let rule = |sql: &str, action: Value| json!({ "sql": sql, "actions": [action] });
    let select = "SELECT * FROM 'a'";
    let parse = "SqlParseException";
    let message = refused(rule("SELECT * FORM 'a'", sqs()), parse).await;
    assert!(message.starts_with("line 1, column 10: "), "{message}");
    let mut bad = sqs();
    bad["sqs"]["queueUrl"] = json!("${topik()}");
    let message = refused(rule(select, bad), parse).await;
    assert!(
        message.contains("sqs.queueUrl: line 1, column 3"),
        "{message}"
    );
    let invalid = "InvalidRequestException";
    let message = refused(
        rule(
            select,
            json!({ "sns": { "targetArn": "a", "roleArn": ROLE } }),
        ),
        invalid,
    )
    .await;
    assert!(message.contains("and not sns"), "{message}");
    let mut two = sqs();
    two["lambda"] = json!({ "functionArn": "a" });
    refused(rule(select, two), invalid).await;
    refused(rule(select, json!({})), invalid).await;
    let reserved = json!({ "republish": { "topic": "$aws/things/a/shadow/get", "roleArn": ROLE } });
    let message = refused(rule(select, reserved), invalid).await;
    assert!(message.contains("write $$aws/"), "{message}");
    let mut newer = rule(select, sqs());
    newer["awsIotSqlVersion"] = json!("2030-01-01");
    let message = refused(newer, invalid).await;
    assert!(message.contains("2016-03-23"), "{message}");
}

#[tokio::test]
async fn a_rule_names_roles_that_aws_iot_may_assume() {
    let core = Core::new();
    let rule = json!({ "sql": "SELECT * FROM 'a'", "actions": [sqs()], "ruleDisabled": true });
    let got = core.call("POST", "/rules/r", rule.clone()).await;
    assert_eq!(
        (got.status, got.error.as_str()),
        (400, "InvalidRequestException")
    );
    let message = got.body["message"].as_str().unwrap();
    assert!(
        message.contains("unable to assume role (sts:AssumeRole)"),
        "{message}"
    );
    assert!(message.contains("there is no role"), "{message}");
    core.role("lambda.amazonaws.com");
    let got = core.call("POST", "/rules/r", rule).await;
    let message = got.body["message"].as_str().unwrap();
    assert!(message.contains("the trust policy of"), "{message}");
}
