//! Topic rules told as behaviour: what is published, and what comes of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jitp_wire::{Publish, QoS};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Engine, EngineSettings};
use crate::account::roles::{self, CreateRole};
use crate::account::rules::{self, RulePayload};
use crate::account::{Account, AccountSettings, Clock};
use crate::admit::Admission;
use crate::broker::{Broker, BrokerSettings, Limits};
use crate::diary::Diary;
use crate::functions::tests::{given, program};
use crate::functions::{FunctionSettings, Functions, GivenFunction};
use crate::sqs::{QueueSettings, Queues, Receive};
use crate::storage::Storage;

const ROLE: &str = "arn:aws:iam::123456789012:role/writer";

/// A broker with queues, functions and rules, called without sockets.
struct Lab {
    account: Account,
    broker: Broker,
    queues: Queues,
    diary: Diary,
    objects: tempfile::TempDir,
    shutdown: CancellationToken,
}

impl Lab {
    async fn new() -> Self {
        Self::with(Vec::new()).await
    }

    /// With a role that may write to whatever is called `out…`, and a queue `out`.
    async fn with(functions: Vec<GivenFunction>) -> Self {
        let diary = Diary::new(1000);
        let account = Account::open(AccountSettings {
            account_id: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: "localhost".to_owned(),
            clock: Clock::system(),
            storage: Storage::memory(),
        })
        .unwrap();
        let broker = Broker::new(BrokerSettings {
            admission: Arc::new(Admission::new(account.clone(), diary.clone()).0),
            account: account.clone(),
            diary: diary.clone(),
            storage: Storage::memory(),
            clock: Clock::system(),
            limits: Limits::default(),
        })
        .unwrap();
        let shutdown = CancellationToken::new();
        let queues = Queues::open(QueueSettings {
            account: account.clone(),
            diary: diary.clone(),
            storage: Storage::memory(),
            url: "http://localhost".to_owned(),
            shutdown: shutdown.clone(),
        })
        .unwrap();
        let objects = tempfile::tempdir().unwrap();
        let republishing = broker.clone();
        let engine = Engine::new(EngineSettings {
            account: account.clone(),
            diary: diary.clone(),
            queues: queues.clone(),
            functions: Functions::new(FunctionSettings {
                account: account.clone(),
                diary: diary.clone(),
                given: functions,
                environment: Vec::new(),
            }),
            republisher: Arc::new(move |message, origin| republishing.republish(message, origin)),
            objects: Some(objects.path().to_owned()),
        });
        tokio::spawn(engine.run(broker.outlet().unwrap(), shutdown.clone()));
        let lab = Self {
            account,
            broker,
            queues,
            diary,
            objects,
            shutdown,
        };
        let trust = json!({ "Statement": {
            "Effect": "Allow", "Principal": { "Service": "iot.amazonaws.com" }, "Action": "sts:AssumeRole",
        } });
        let policy = json!({ "Statement": {
            "Effect": "Allow", "Action": ["sqs:SendMessage", "iot:Publish", "s3:PutObject"],
            "Resource": ["arn:aws:sqs:*:*:out*", "arn:aws:iot:*:*:topic/*", "arn:aws:s3:::out*"],
        } });
        lab.account
            .write(|tx| {
                let ask = CreateRole {
                    name: "writer".to_owned(),
                    path: "/".to_owned(),
                    trust_policy: trust.to_string(),
                    ..CreateRole::default()
                };
                roles::create(tx, ask)?;
                roles::put_inline(tx, "writer", "out", &policy.to_string())
            })
            .unwrap();
        for name in ["out", "outErrors", "other"] {
            lab.queues.make(name).await;
        }
        lab
    }

    fn rule(&self, name: &str, sql: &str, actions: Vec<Value>, error_action: Option<Value>) {
        let payload = RulePayload {
            sql: sql.to_owned(),
            version: Some("2016-03-23".to_owned()),
            actions,
            error_action,
            ..RulePayload::default()
        };
        self.account
            .write(|tx| rules::create(tx, name, payload, Default::default()))
            .unwrap();
    }

    async fn publish(&self, topic: &str, payload: &[u8]) {
        let publish = Publish {
            dup: false,
            retain: false,
            qos: QoS::AtLeastOnce,
            topic: topic.into(),
            packet_id: None,
            topic_alias: None,
            message_expiry: None,
            properties: Default::default(),
            payload: payload.to_vec().into(),
        };
        self.broker.publish(publish).await.unwrap();
    }

    /// The next message of a queue.
    async fn next(&self, queue: &str) -> String {
        let queue = self.queues.named(queue).unwrap();
        let ask = Receive {
            most: 1,
            wait: Duration::from_secs(10),
            visibility: None,
        };
        let received = self.queues.receive(&queue, &ask).await.unwrap();
        let message = received.first();
        let message = message.unwrap_or_else(|| panic!("nothing came: {:?}", self.diary.recent()));
        message.message.body.clone()
    }

    async fn report(&self) -> Value {
        serde_json::from_str(&self.next("outErrors").await).unwrap()
    }

    fn waiting(&self, queue: &str) -> usize {
        self.queues.named(queue).unwrap().counts(0).visible
    }

    fn told(&self, code: &str) -> bool {
        self.diary.recent().iter().any(|entry| entry.code == code)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn sqs(queue: &str) -> Value {
    json!({ "sqs": { "queueUrl": format!("https://sqs/123456789012/{queue}"), "roleArn": ROLE } })
}

fn republish(topic: &str) -> Value {
    json!({ "republish": { "topic": topic, "roleArn": ROLE } })
}

#[tokio::test]
async fn what_a_statement_selects_goes_into_the_queue() {
    let lab = Lab::new().await;
    lab.rule(
        "hot",
        "SELECT temperature AS t, topic(2) AS device, principal() AS who FROM 'sensors/+' WHERE temperature > 50",
        vec![sqs("out")],
        None,
    );
    lab.publish("sensors/a", br#"{"temperature": 20}"#).await;
    lab.publish("sensors", br#"{"temperature": 90}"#).await;
    lab.publish("sensors/b", br#"{"temperature": 51, "other": true}"#)
        .await;
    let message: Value = serde_json::from_str(&lab.next("out").await).unwrap();
    assert_eq!(
        (&message["t"], &message["device"]),
        (&json!(51), &json!("b"))
    );
    assert_eq!(lab.waiting("out"), 0);
}

#[tokio::test]
async fn a_payload_that_is_not_json_goes_through_as_it_is() {
    let lab = Lab::new().await;
    lab.rule(
        "all",
        "SELECT * FROM 'a'",
        vec![sqs("out")],
        Some(sqs("outErrors")),
    );
    lab.publish("a", b"not JSON").await;
    assert_eq!(lab.next("out").await, "not JSON");
    // What no queue takes as text is reported, and goes in base64.
    lab.publish("a", b"\xff\x00").await;
    let report = lab.report().await;
    assert_eq!(report["base64OriginalPayload"], "/wA=");
    assert!(
        report["failures"][0]["errorMessage"]
            .as_str()
            .unwrap()
            .contains("useBase64")
    );
    let mut in_base64 = sqs("out");
    in_base64["sqs"]["useBase64"] = json!(true);
    lab.rule("encoded", "SELECT * FROM 'b'", vec![in_base64], None);
    lab.publish("b", b"\xff\x00").await;
    assert_eq!(lab.next("out").await, "/wA=");
}

#[tokio::test]
async fn a_missing_queue_a_missing_role_and_a_missing_permission_run_the_error_action_once() {
    let lab = Lab::new().await;
    let actions = vec![sqs("nowhere"), sqs("out"), sqs("other")];
    lab.rule("r", "SELECT * FROM 'a'", actions, Some(sqs("outErrors")));
    lab.publish("a", br#"{"x":1}"#).await;
    let report = lab.report().await;
    assert_eq!(report["ruleName"], "r");
    assert_eq!(report["topic"], "a");
    assert_eq!(report["clientId"], "N/A");
    assert_eq!(report["cloudwatchTraceId"].as_str().unwrap().len(), 36);
    assert_eq!(report["base64OriginalPayload"], "eyJ4IjoxfQ==");
    let failures = report["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2, "{report}");
    assert_eq!(failures[0]["failedAction"], "SqsAction");
    assert!(
        failures[0]["failedResource"]
            .as_str()
            .unwrap()
            .ends_with("/nowhere")
    );
    let why = failures[1]["errorMessage"].as_str().unwrap();
    assert!(
        why.contains("no policy of") && why.contains("sqs:SendMessage"),
        "{why}"
    );
    assert_eq!(
        lab.next("out").await,
        r#"{"x":1}"#,
        "the other action is done"
    );
    assert!(lab.told("RULE_QUEUE_MISSING") && lab.told("RULE_ROLE_REFUSED"));
    // A role that goes later is missed at the next message.
    lab.account
        .write(|tx| {
            roles::delete_inline(tx, "writer", "out")?;
            roles::delete(tx, "writer")
        })
        .unwrap();
    lab.publish("a", b"1").await;
    for _ in 0..500 {
        let about =
            |entry: &crate::diary::Entry| entry.sentence.contains("the error action failed");
        if lab.diary.recent().iter().any(about) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(lab.waiting("outErrors"), 0);
}

#[tokio::test]
async fn a_rule_republishes_and_a_circle_of_rules_ends() {
    let lab = Lab::new().await;
    lab.rule(
        "on",
        "SELECT *, 'b' AS by FROM 'in/+'",
        vec![republish("copies/${topic(2)}/${x}")],
        None,
    );
    lab.rule(
        "copies",
        "SELECT *, topic() AS topic FROM 'copies/#'",
        vec![sqs("out")],
        None,
    );
    lab.publish("in/a", br#"{"x":7}"#).await;
    let copy: Value = serde_json::from_str(&lab.next("out").await).unwrap();
    assert_eq!(copy, json!({ "x": 7, "by": "b", "topic": "copies/a/7" }));
    lab.rule(
        "circle",
        "SELECT * FROM 'circle'",
        vec![republish("circle"), sqs("out")],
        Some(sqs("outErrors")),
    );
    lab.publish("circle", b"{}").await;
    let report = lab.report().await;
    let why = report["failures"][0]["errorMessage"].as_str().unwrap();
    assert!(why.contains("republished 10 times"), "{why}");
    assert_eq!(lab.waiting("out"), 11);
}

#[tokio::test]
async fn nonsense_for_a_topic_runs_the_error_action() {
    let lab = Lab::new().await;
    for (number, topic) in [
        "${x}",
        "a/#",
        "$$aws/rules/r/a",
        "$$aws/things/a/jobs/get",
        "${'$aws/x'}",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("r{number}");
        lab.rule(
            &name,
            "SELECT * FROM 'in'",
            vec![republish(topic)],
            Some(sqs("outErrors")),
        );
    }
    lab.publish("in", b"{}").await;
    for _ in 0..5 {
        let report = lab.report().await;
        assert_eq!(
            report["failures"][0]["failedAction"], "RepublishAction",
            "{report}"
        );
    }
}

#[tokio::test]
async fn basic_ingest_runs_one_rule_and_nothing_else() {
    let lab = Lab::new().await;
    lab.rule(
        "direct",
        "SELECT x, topic() AS topic",
        vec![sqs("out")],
        None,
    );
    lab.rule("others", "SELECT * FROM '#'", vec![sqs("outErrors")], None);
    lab.publish("$aws/rules/direct/a/b", br#"{"x":1}"#).await;
    let message: Value = serde_json::from_str(&lab.next("out").await).unwrap();
    assert_eq!(message, json!({ "x": 1, "topic": "a/b" }));
    lab.publish("$aws/rules/missing/a", b"{}").await;
    assert!(lab.told("RULE_NOT_FOUND"));
    assert_eq!(lab.waiting("outErrors"), 0);
}

#[tokio::test]
async fn objects_are_files_in_the_folder_of_their_bucket() {
    let lab = Lab::new().await;
    let object = |bucket: &str, key: &str| json!({ "s3": { "bucketName": bucket, "key": key, "roleArn": ROLE } });
    let actions = vec![
        object("out-bucket", "${topic(1)}/${x}.json"),
        object("foreign", "a"),
    ];
    lab.rule(
        "store",
        "SELECT * FROM 'a'",
        actions,
        Some(sqs("outErrors")),
    );
    lab.publish("a", br#"{ "x": 1 }"#).await;
    let report = lab.report().await;
    assert_eq!(report["failures"][0]["failedResource"], "foreign");
    let path = lab.objects.path().join(Path::new("out-bucket/a/1.json"));
    assert_eq!(std::fs::read_to_string(path).unwrap(), r#"{"x":1}"#);
    lab.publish("a", br#"{"x":"../../../a"}"#).await;
    let report = lab.report().await;
    assert_eq!(report["failures"].as_array().unwrap().len(), 2, "{report}");
}

#[tokio::test]
async fn a_function_is_called_with_what_was_selected() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let body = format!("printf '%s\\n' \"$payload\" >>{}; answer 1", told.display());
    let lab = Lab::with(vec![given(
        "consume",
        program(folder.path(), "consume", &body),
    )])
    .await;
    let lambda = |name: &str| json!({ "lambda": { "functionArn": format!("arn:aws:lambda:eu-west-1:123456789012:function:{name}") } });
    let actions = vec![lambda("consume"), lambda("missing")];
    lab.rule("call", "SELECT x FROM 'a'", actions, Some(sqs("outErrors")));
    lab.publish("a", br#"{"x":1,"y":2}"#).await;
    let report = lab.report().await;
    assert_eq!(report["failures"][0]["failedAction"], "LambdaAction");
    lab.rule(
        "raw",
        "SELECT * FROM 'b'",
        vec![lambda("consume")],
        Some(sqs("outErrors")),
    );
    lab.publish("b", b"no JSON").await;
    let report = lab.report().await;
    assert!(
        report["failures"][0]["errorMessage"]
            .as_str()
            .unwrap()
            .contains("not JSON")
    );
    for _ in 0..500 {
        if told.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(std::fs::read_to_string(told).unwrap(), "{\"x\":1}\n");
}

#[tokio::test]
async fn a_statement_asks_functions_and_fails_where_they_do() {
    let folder = tempfile::tempdir().unwrap();
    let answers = |name: &str, body: &str| given(name, program(folder.path(), name, body));
    let lab = Lab::with(vec![
        answers("echo", r#"answer "{\"given\":$payload}""#),
        answers("nonsense", "answer 'no JSON'"),
        answers("broken", "exit 7"),
    ])
    .await;
    let arn = |name: &str| format!("arn:aws:lambda:eu-west-1:123456789012:function:{name}");
    let echo = arn("echo");
    let sql = format!(
        "SELECT aws_lambda('{echo}', x).given AS once, aws_lambda('{echo}', aws_lambda('{echo}', {{'a': x}})) AS twice \
         FROM 'a' WHERE aws_lambda('{echo}', x > 1).given"
    );
    lab.rule("ask", &sql, vec![sqs("out")], None);
    lab.publish("a", br#"{"x":1}"#).await;
    lab.publish("a", br#"{"x":2}"#).await;
    let told: Value = serde_json::from_str(&lab.next("out").await).unwrap();
    let twice = json!({ "given": { "given": { "a": 2 } } });
    assert_eq!(told, json!({ "once": 2, "twice": twice }));

    let many = vec![format!("aws_lambda('{echo}', 1).given"); 11].join(" + ");
    for (name, call, why) in [
        (
            "r1",
            format!("aws_lambda('{}', 1)", arn("nonsense")),
            "no JSON",
        ),
        (
            "r2",
            format!("aws_lambda('{}', 1)", arn("broken")),
            "function:broken",
        ),
        (
            "r3",
            format!("aws_lambda('{}', 1)", arn("missing")),
            "function:missing",
        ),
        ("r4", "aws_lambda('echo', y)".to_owned(), "wants the ARN"),
        ("r5", many, "10 functions at most"),
    ] {
        let sql = format!("SELECT {call} AS a FROM '{name}'");
        lab.rule(name, &sql, vec![sqs("out")], Some(sqs("outErrors")));
        lab.publish(name, b"{}").await;
        let told = || {
            let entries = lab.diary.recent().into_iter();
            let mut failed = entries.filter(|entry| entry.code == "RULE_EVALUATION_FAILED");
            failed.any(|entry| entry.sentence.contains(why) && entry.sentence.contains(name))
        };
        for _ in 0..500 {
            if told() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(told(), "{name}: {:?}", lab.diary.recent());
    }
    let now = lab.account.clock().timestamp().milliseconds();
    let counts = |name: &str| lab.queues.named(name).unwrap().counts(now);
    assert_eq!((counts("out").visible, counts("outErrors").visible), (0, 0));
}

#[tokio::test]
async fn a_rule_is_seen_at_once_and_gone_at_once() {
    let lab = Lab::new().await;
    for round in 0..20 {
        lab.rule("r", "SELECT * FROM 'a'", vec![sqs("out")], None);
        lab.publish("a", round.to_string().as_bytes()).await;
        lab.account
            .write(|tx| rules::switch(tx, "r", true))
            .unwrap();
        lab.publish("a", b"unseen").await;
        lab.account
            .write(|tx| {
                rules::delete(tx, "r");
                Ok(())
            })
            .unwrap();
        assert_eq!(lab.next("out").await, round.to_string());
    }
    assert_eq!(lab.waiting("out"), 0);
}
