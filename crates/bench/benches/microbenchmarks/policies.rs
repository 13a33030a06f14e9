//! Policies: compiled once a connection, asked for every packet whose topic was not asked about lately.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use divan::Bencher;
use jitp_local::policy::{
    Action, ArnScope, Authorizer, CertificateVariables, ConnectionContext, NamedPolicy,
    PolicyDocument, ThingVariables,
};

const ACCESS: &str = include_str!("../../../../policies/IoTAccess.json");

/// The policies a certificate has: the one that is deployed, or as many as AWS allows, 8 statements each.
const SETS: [&str; 2] = ["IoTAccess", "10 policies of 8 statements"];

#[divan::bench(args = SETS)]
fn compile(bencher: Bencher, set: &str) {
    let policies = policies(set);
    let context = context();
    bencher.bench_local(|| Authorizer::compile(&policies, &context));
}

/// A publish that the last statement allows.
#[divan::bench(args = SETS)]
fn allow_publish(bencher: Bencher, set: &str) {
    decide(bencher, set, Action::Publish, "sensor-17");
}

/// A delivery.
#[divan::bench(args = SETS)]
fn allow_receive(bencher: Bencher, set: &str) {
    decide(
        bencher,
        set,
        Action::Receive,
        "plant/2/line/7/sensor-99/state",
    );
}

/// A publish that no statement allows: every one is looked at.
#[divan::bench(args = SETS)]
fn deny_publish(bencher: Bencher, set: &str) {
    decide(
        bencher,
        set,
        Action::Publish,
        "plant/2/line/7/sensor-99/state",
    );
}

/// The same, with the sentence that tells why.
#[divan::bench(args = SETS)]
fn deny_publish_with_reason(bencher: Bencher, set: &str) {
    let authorizer = Authorizer::compile(&policies(set), &context());
    bencher.bench_local(|| {
        authorizer
            .decide(Action::Publish, black_box("plant/2/line/7/sensor-99/state"))
            .reason()
    });
}

#[divan::bench]
fn parse_document(bencher: Bencher) {
    bencher.bench_local(|| PolicyDocument::parse(ACCESS).expect("a policy"));
}

fn decide(bencher: Bencher, set: &str, action: Action, resource: &str) {
    let authorizer = Authorizer::compile(&policies(set), &context());
    bencher.bench_local(|| authorizer.decide(action, black_box(resource)).allowed);
}

fn policies(set: &str) -> Vec<NamedPolicy> {
    let mut policies = Vec::new();
    if set != SETS[0] {
        for number in 0..9 {
            policies.push(named(&format!("Fleet{number}"), &fleet_document(number)));
        }
    }
    policies.push(named("IoTAccess", ACCESS));
    policies
}

/// Eight statements as people write them: variables, wildcards in the middle, a deny.
fn fleet_document(number: usize) -> String {
    let mut statements = String::new();
    for line in 0..7 {
        let (action, kind) = [
            ("iot:Publish", "topic"),
            ("iot:Subscribe", "topicfilter"),
            ("iot:Receive", "topic"),
        ][line % 3];
        let (start, middle) = ("arn:aws:iot:*:*:", "${iot:Connection.Thing.ThingName}");
        let _ = write!(
            statements,
            r#"{{"Effect":"Allow","Action":"{action}","Resource":[
                "{start}{kind}/site/{number}/line/{line}/{middle}/*",
                "{start}{kind}/site/*/audit/{line}/{middle}"]}},"#
        );
    }
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{statements}
            {{"Effect":"Deny","Action":"iot:Publish","Resource":"arn:aws:iot:*:*:topic/secret/{number}/*"}}]}}"#
    )
}

fn named(name: &str, document: &str) -> NamedPolicy {
    NamedPolicy {
        name: name.to_owned(),
        document: Arc::new(PolicyDocument::parse(document).expect("a policy")),
    }
}

fn context() -> ConnectionContext {
    let fields = [
        ("Subject.CommonName", "sensor-17"),
        ("Issuer.CommonName", "root"),
        ("Issuer.Country", "LU"),
        ("SerialNumber", "4711"),
    ]
    .map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
    ConnectionContext {
        partition_region_account: ArnScope {
            region: "eu-central-1".to_owned(),
            account_id: "123456789012".to_owned(),
        },
        client_id: "sensor-17".to_owned(),
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        certificate_id: "ab".repeat(32),
        certificate: CertificateVariables {
            fields: fields.into(),
        },
        thing: Some(ThingVariables {
            name: "sensor-17".to_owned(),
            type_name: None,
            attributes: BTreeMap::new(),
            is_attached: true,
        }),
        persistent: false,
        will_topic: None,
    }
}
