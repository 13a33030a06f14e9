//! Topic rules: what one message costs a rule that sees it, its statement evaluated.

use std::hint::black_box;

use divan::Bencher;
use jitp_core::rule::{Message, RuleSql, SqlVersion, Substitution, Surroundings};
use serde_json::Value;

/// What the load test publishes.
const PAYLOAD: &[u8] = br#"{"device":"pub0","sent":1767225600000}"#;

/// The rule of the load test, one that selects, and one whose condition does not hold.
const STATEMENTS: [&str; 3] = [
    "SELECT * FROM 'loadtest'",
    "SELECT sent AS s, topic() AS topic, clientid() AS who FROM 'loadtest' WHERE startswith(device, 'pub')",
    "SELECT * FROM 'loadtest' WHERE device = 'sub'",
];

struct World;

impl Surroundings for World {
    fn now_ms(&self) -> i64 {
        1_767_225_600_250
    }

    fn account_id(&self) -> &str {
        "123456789012"
    }

    fn new_uuid(&self) -> String {
        String::new()
    }

    fn random(&self) -> f64 {
        0.5
    }

    fn external(&self, _: &str, _: &[Option<Value>]) -> Result<Value, String> {
        Err("nobody is asked".to_owned())
    }
}

#[divan::bench(args = STATEMENTS)]
fn decide(bencher: Bencher, statement: &str) {
    let rule = RuleSql::parse(statement, SqlVersion::V2016_03_23).expect("a statement");
    let message = message();
    bencher.bench_local(|| {
        let evaluation = rule.on(black_box(&message), &World).expect("no SET clause");
        evaluation.output().expect("a payload of JSON")
    });
}

#[divan::bench]
fn fill_topic(bencher: Bencher) {
    let rule = RuleSql::parse(STATEMENTS[0], SqlVersion::V2016_03_23).expect("a statement");
    let template: Substitution = rule
        .substitution("copies/${topic(1)}/${device}")
        .expect("a template");
    let message = message();
    let evaluation = rule.on(&message, &World).expect("no SET clause");
    bencher.bench_local(|| evaluation.fill(black_box(&template)).expect("a topic"));
}

#[divan::bench]
fn parse_statement(bencher: Bencher) {
    bencher.bench_local(|| {
        RuleSql::parse(black_box(STATEMENTS[1]), SqlVersion::V2016_03_23).expect("a statement")
    });
}

fn message() -> Message<'static> {
    Message {
        topic: "loadtest",
        payload: PAYLOAD,
        client_id: Some("pub0"),
        ..Message::default()
    }
}
