//! The rules of IoT policies as a table: one named case each, in the words of the developer guide.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Action::{self, *},
    ArnScope, Authorizer, CertificateVariables, ConnectionContext, NO_POLICY, NamedPolicy,
    POLICY_ALLOWED, POLICY_EXPLICIT_DENY, POLICY_IMPLICIT_DENY, PolicyDocument, ThingVariables,
};

const IOT_ACCESS: &str = include_str!("../../../../policies/IoTAccess.json");

fn context() -> ConnectionContext {
    let field = |name: &str, values: &[&str]| {
        (
            name.to_owned(),
            values.iter().map(|v| (*v).to_owned()).collect(),
        )
    };
    ConnectionContext {
        partition_region_account: ArnScope {
            region: "eu-west-1".into(),
            account_id: "123456789012".into(),
        },
        client_id: "sensor-17".into(),
        source_ip: "192.0.2.7".parse().unwrap(),
        certificate_id: "ab".repeat(32),
        certificate: CertificateVariables {
            fields: BTreeMap::from([
                field("Subject.CommonName", &["sensor-17"]),
                field("Subject.Country", &["LU", "DE", "FR"]),
                field("Subject.Organization", &["Acme, Inc"]),
                field("Subject.OrganizationalUnit", &["a*b"]),
                field("Subject.Title", &["1", "2", "3", "4", "5", "6"]),
                field("Subject.Pseudonym", &[&"x".repeat(1025)]),
                field("Subject.GivenName", &["${iot:ClientId}"]),
                field(
                    "Subject.AlternativeName.DNSName",
                    &["a.example", "b.example"],
                ),
                field("Issuer.CommonName", &["root"]),
                field("SerialNumber", &["4711"]),
            ]),
        },
        thing: Some(ThingVariables {
            name: "sensor-17".into(),
            type_name: Some("sensor".into()),
            attributes: BTreeMap::from([
                ("room".into(), "kitchen".into()),
                ("odd".into(), "a#b".into()),
            ]),
            is_attached: true,
        }),
        persistent: false,
        will_topic: None,
    }
}

fn named(name: &str, document: &str) -> NamedPolicy {
    let document = PolicyDocument::parse(document)
        .unwrap_or_else(|error| panic!("{name}: {error}\n{document}"));
    NamedPolicy {
        name: name.to_owned(),
        document: Arc::new(document),
    }
}

/// A document of these statements, with `@` for the beginning of every ARN.
fn document(statements: &str) -> String {
    let statements = statements.replace('@', "arn:aws:iot:eu-west-1:123456789012:");
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#)
}

fn decide(
    statements: &str,
    context: &ConnectionContext,
    action: Action,
    resource: &str,
) -> (bool, String, String) {
    let authorizer = Authorizer::compile(&[named("P", &document(statements))], context);
    let decision = authorizer.decide(action, resource);
    let reason = decision.reason();
    (decision.allowed, reason.code.to_owned(), reason.sentence)
}

fn allow(action: &str, resource: &str) -> String {
    format!(r#"{{"Effect": "Allow", "Action": "{action}", "Resource": "{resource}"}}"#)
}

fn deny(action: &str, resource: &str) -> String {
    format!(r#"{{"Effect": "Deny", "Action": "{action}", "Resource": "{resource}"}}"#)
}

fn allow_if(action: &str, condition: &str) -> String {
    format!(
        r#"{{"Effect": "Allow", "Action": "{action}", "Resource": "*", "Condition": {condition}}}"#
    )
}

#[test]
fn resources_wildcards_and_escapes() {
    let cases: &[(&str, String, Action, &str, bool)] = &[
        (
            "exact topic",
            allow("iot:Publish", "@topic/a/b"),
            Publish,
            "a/b",
            true,
        ),
        (
            "another topic",
            allow("iot:Publish", "@topic/a/b"),
            Publish,
            "a/c",
            false,
        ),
        (
            "no prefix match without a star",
            allow("iot:Publish", "@topic/a"),
            Publish,
            "a/b",
            false,
        ),
        (
            "case matters in topics",
            allow("iot:Publish", "@topic/a"),
            Publish,
            "A",
            false,
        ),
        (
            "a star crosses slashes",
            allow("iot:Publish", "@topic/a/*"),
            Publish,
            "a/b/c/d",
            true,
        ),
        (
            "a star can be empty",
            allow("iot:Publish", "@topic/a/*"),
            Publish,
            "a/",
            true,
        ),
        (
            "but the text before it must be there",
            allow("iot:Publish", "@topic/a/*"),
            Publish,
            "a",
            false,
        ),
        (
            "a star in the middle",
            allow("iot:Publish", "@topic/a/*/z"),
            Publish,
            "a/b/c/z",
            true,
        ),
        (
            "several stars",
            allow("iot:Publish", "@topic/*b*d*"),
            Publish,
            "abcde",
            true,
        ),
        (
            "several stars in order",
            allow("iot:Publish", "@topic/*d*b*"),
            Publish,
            "abcde",
            false,
        ),
        (
            "a question mark is one character",
            allow("iot:Publish", "@topic/a?c"),
            Publish,
            "aüc",
            true,
        ),
        (
            "not none",
            allow("iot:Publish", "@topic/a?c"),
            Publish,
            "ac",
            false,
        ),
        (
            "not two",
            allow("iot:Publish", "@topic/a?c"),
            Publish,
            "abbc",
            false,
        ),
        (
            "it may be a slash",
            allow("iot:Publish", "@topic/a?c"),
            Publish,
            "a/c",
            true,
        ),
        (
            "the star alone is everything",
            allow("iot:Publish", "*"),
            Publish,
            "any/thing",
            true,
        ),
        (
            "plus is literal",
            allow("iot:Publish", "@topic/a/+"),
            Publish,
            "a/b",
            false,
        ),
        (
            "hash is literal",
            allow("iot:Publish", "@topic/a/#"),
            Publish,
            "a/b",
            false,
        ),
        (
            "a filter is compared as text",
            allow("iot:Subscribe", "@topicfilter/a/#"),
            Subscribe,
            "a/#",
            true,
        ),
        (
            "so a narrower filter needs its own",
            allow("iot:Subscribe", "@topicfilter/a/#"),
            Subscribe,
            "a/b",
            false,
        ),
        (
            "a star covers both",
            allow("iot:Subscribe", "@topicfilter/a/*"),
            Subscribe,
            "a/#",
            true,
        ),
        (
            "escaped star",
            allow("iot:Publish", "@topic/a${*}"),
            Publish,
            "a*",
            true,
        ),
        (
            "escaped star is no wildcard",
            allow("iot:Publish", "@topic/a${*}"),
            Publish,
            "ab",
            false,
        ),
        (
            "escaped question mark",
            allow("iot:Publish", "@topic/a${?}"),
            Publish,
            "a?",
            true,
        ),
        (
            "escaped question mark is no wildcard",
            allow("iot:Publish", "@topic/a${?}"),
            Publish,
            "ab",
            false,
        ),
        (
            "escaped dollar",
            allow("iot:Publish", "@topic/${$}aws/x"),
            Publish,
            "$aws/x",
            true,
        ),
        (
            "a dollar alone is literal",
            allow("iot:Publish", "@topic/$aws/x"),
            Publish,
            "$aws/x",
            true,
        ),
        (
            "a brace that never closes is literal",
            allow("iot:Publish", "@topic/${a"),
            Publish,
            "${a",
            true,
        ),
        (
            "stars for region and account",
            allow("iot:Publish", "arn:aws:iot:*:*:topic/a"),
            Publish,
            "a",
            true,
        ),
        (
            "one star for the whole head",
            allow("iot:Publish", "arn:*topic/a"),
            Publish,
            "a",
            true,
        ),
        (
            "another region",
            allow("iot:Publish", "arn:aws:iot:us-east-1:123456789012:topic/a"),
            Publish,
            "a",
            false,
        ),
        (
            "another account",
            allow("iot:Publish", "arn:aws:iot:eu-west-1:999999999999:topic/a"),
            Publish,
            "a",
            false,
        ),
        (
            "another service",
            allow("iot:Publish", "arn:aws:s3:::topic/a"),
            Publish,
            "a",
            false,
        ),
        (
            "a topic is no topicfilter",
            allow("iot:Subscribe", "@topic/a"),
            Subscribe,
            "a",
            false,
        ),
        (
            "a topicfilter is no topic",
            allow("iot:Receive", "@topicfilter/a"),
            Receive,
            "a",
            false,
        ),
        (
            "a client",
            allow("iot:Connect", "@client/sensor-*"),
            Connect,
            "sensor-17",
            true,
        ),
        (
            "the empty topic",
            allow("iot:Publish", "@topic/"),
            Publish,
            "",
            true,
        ),
        (
            "a topic with a NUL",
            allow("iot:Publish", "@topic/a*"),
            Publish,
            "a\0b",
            true,
        ),
        (
            "a thing",
            allow("iot:GetThingShadow", "@thing/sensor-17"),
            GetThingShadow,
            "sensor-17",
            true,
        ),
        (
            "a named shadow",
            allow("iot:GetThingShadow", "@thing/t/s"),
            GetThingShadow,
            "t/s",
            true,
        ),
        (
            "no resource of its own: star",
            allow("iot:ListRetainedMessages", "*"),
            ListRetainedMessages,
            "",
            true,
        ),
        (
            "no resource of its own: ARN",
            allow("iot:ListRetainedMessages", "@topic/*"),
            ListRetainedMessages,
            "",
            false,
        ),
        (
            "role alias",
            allow("iot:AssumeRoleWithCertificate", "@rolealias/r"),
            AssumeRoleWithCertificate,
            "r",
            true,
        ),
    ];
    for (name, statement, action, resource, wanted) in cases {
        let (allowed, _, sentence) = decide(statement, &context(), *action, resource);
        assert_eq!(allowed, *wanted, "{name}: {sentence}");
    }
}

#[test]
fn actions() {
    let cases: &[(&str, &str, Action, bool)] = &[
        ("named", "iot:Publish", Publish, true),
        ("another", "iot:Publish", Receive, false),
        ("star", "*", Publish, true),
        ("all of iot", "iot:*", Connect, true),
        (
            "all of iot has the older names of the jobs actions",
            "iot:*",
            DescribeJobExecution,
            true,
        ),
        (
            "jobs by their own name",
            "iotjobsdata:*",
            UpdateJobExecution,
            true,
        ),
        ("jobs are not topics", "iotjobsdata:*", Publish, false),
        ("wildcard in the name", "iot:*Publish", RetainPublish, true),
        ("question mark in the name", "iot:Publis?", Publish, true),
        ("letter case aside, as in IAM", "IOT:publish", Publish, true),
        (
            "Publish does not include RetainPublish",
            "iot:Publish",
            RetainPublish,
            false,
        ),
        (
            "RetainPublish does not include Publish",
            "iot:RetainPublish",
            Publish,
            false,
        ),
        (
            "an action that does not exist grants nothing",
            "iot:Pubish",
            Publish,
            false,
        ),
        (
            "an action of another service grants nothing",
            "greengrass:Discover",
            Publish,
            false,
        ),
    ];
    for (name, text, action, wanted) in cases {
        let (allowed, _, sentence) = decide(&allow(text, "*"), &context(), *action, "x");
        assert_eq!(allowed, *wanted, "{name}: {sentence}");
    }
    let several = r#"{"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": ["@topic/a", "@topic/b"]}"#;
    for (action, topic, wanted) in [
        (Publish, "a", true),
        (Receive, "b", true),
        (Publish, "c", false),
        (Subscribe, "a", false),
    ] {
        assert_eq!(
            decide(several, &context(), action, topic).0,
            wanted,
            "{action:?} {topic}"
        );
    }
}

#[test]
fn evaluation_order() {
    let both = |first: String, second: String| format!("{first}, {second}");
    let cases: &[(&str, String, &str, &str)] = &[
        ("nothing matches: implicit deny", allow("iot:Publish", "@topic/a"), "b", POLICY_IMPLICIT_DENY),
        ("an allow matches", allow("iot:Publish", "@topic/a"), "a", POLICY_ALLOWED),
        (
            "deny beats allow, allow first",
            both(allow("iot:*", "*"), deny("iot:Publish", "@topic/a")),
            "a",
            POLICY_EXPLICIT_DENY,
        ),
        (
            "deny beats allow, deny first",
            both(deny("iot:Publish", "@topic/a"), allow("iot:*", "*")),
            "a",
            POLICY_EXPLICIT_DENY,
        ),
        (
            "a deny elsewhere does not matter",
            both(allow("iot:*", "*"), deny("iot:Publish", "@topic/a")),
            "b",
            POLICY_ALLOWED,
        ),
        ("a deny alone allows nothing else", deny("iot:Publish", "@topic/a"), "b", POLICY_IMPLICIT_DENY),
        (
            "NotResource allows all others",
            r#"{"Effect": "Allow", "Action": "iot:Publish", "NotResource": "@topic/a*"}"#.to_owned(),
            "b",
            POLICY_ALLOWED,
        ),
        (
            "NotResource does not allow its own",
            r#"{"Effect": "Allow", "Action": "iot:Publish", "NotResource": ["@topic/b", "@topic/a*"]}"#.to_owned(),
            "ab",
            POLICY_IMPLICIT_DENY,
        ),
        (
            "a deny with NotResource leaves an island",
            both(
                allow("iot:*", "*"),
                r#"{"Effect": "Deny", "Action": "iot:Publish", "NotResource": "@topic/a"}"#.to_owned(),
            ),
            "b",
            POLICY_EXPLICIT_DENY,
        ),
    ];
    for (name, statements, topic, wanted) in cases {
        let (allowed, code, sentence) = decide(statements, &context(), Publish, topic);
        assert_eq!(code, *wanted, "{name}: {sentence}");
        assert_eq!(allowed, *wanted == POLICY_ALLOWED, "{name}");
    }
    let none = Authorizer::compile(&[], &context());
    let reason = none.decide(Connect, "sensor-17").reason();
    assert_eq!(reason.code, NO_POLICY);
    assert!(
        reason.sentence.contains("iot:Connect on client/sensor-17"),
        "{}",
        reason.sentence
    );

    // A deny in one policy reaches over an allow in another.
    let policies = [
        named("A", &document(&allow("iot:*", "*"))),
        named("B", &document(&deny("iot:Publish", "*"))),
    ];
    let authorizer = Authorizer::compile(&policies, &context());
    assert_eq!(
        authorizer.decide(Publish, "x").reason().code,
        POLICY_EXPLICIT_DENY
    );
    assert!(authorizer.decide(Receive, "x").allowed);
}

#[test]
fn shared_subscriptions_are_judged_in_either_form() {
    let cases: &[(&str, String, &str, bool)] = &[
        (
            "by the filter",
            allow("iot:Subscribe", "@topicfilter/a/#"),
            "$share/g/a/#",
            true,
        ),
        (
            "by the full text",
            allow("iot:Subscribe", "@topicfilter/$share/g/a/#"),
            "$share/g/a/#",
            true,
        ),
        (
            "neither",
            allow("iot:Subscribe", "@topicfilter/b"),
            "$share/g/a/#",
            false,
        ),
        (
            "denied in one form is denied",
            format!(
                "{}, {}",
                allow("iot:*", "*"),
                deny("iot:Subscribe", "@topicfilter/a/#")
            ),
            "$share/g/a/#",
            false,
        ),
        (
            "no filter after the name",
            allow("iot:Subscribe", "@topicfilter/g"),
            "$share/g",
            false,
        ),
    ];
    for (name, statements, filter, wanted) in cases {
        let (allowed, _, sentence) = decide(statements, &context(), Subscribe, filter);
        assert_eq!(allowed, *wanted, "{name}: {sentence}");
    }
}

#[test]
fn variables() {
    let id = "ab".repeat(32);
    let cases: &[(&str, &str, &str, bool)] = &[
        ("client id", "${iot:ClientId}", "sensor-17", true),
        ("address", "${aws:SourceIp}", "192.0.2.7", true),
        ("certificate id", "${iot:CertificateId}", &id, true),
        (
            "thing name",
            "${iot:Connection.Thing.ThingName}/x",
            "sensor-17/x",
            true,
        ),
        (
            "thing type",
            "${iot:Connection.Thing.ThingTypeName}",
            "sensor",
            true,
        ),
        (
            "thing attribute",
            "${iot:Connection.Thing.Attributes[room]}",
            "kitchen",
            true,
        ),
        (
            "attribute that is missing",
            "${iot:Connection.Thing.Attributes[x]}",
            "kitchen",
            false,
        ),
        (
            "is attached",
            "${iot:Connection.Thing.IsAttached}",
            "true",
            true,
        ),
        (
            "subject",
            "${iot:Certificate.Subject.CommonName}",
            "sensor-17",
            true,
        ),
        (
            "issuer",
            "${iot:Certificate.Issuer.CommonName}",
            "root",
            true,
        ),
        (
            "certificate serial number",
            "${iot:Certificate.SerialNumber}",
            "4711",
            true,
        ),
        (
            "alternative name",
            "${iot:Certificate.Subject.AlternativeName.DNSName.1}",
            "b.example",
            true,
        ),
        (
            "two in one",
            "${iot:Certificate.Subject.Country}/${iot:ClientId}",
            "LU/sensor-17",
            true,
        ),
        (
            "several values: the plain name is the first",
            "${iot:Certificate.Subject.Country}",
            "LU",
            true,
        ),
        (
            "and no other",
            "${iot:Certificate.Subject.Country}",
            "DE",
            false,
        ),
        (
            ".1 is the second",
            "${iot:Certificate.Subject.Country.1}",
            "DE",
            true,
        ),
        (
            ".2 is the third",
            "${iot:Certificate.Subject.Country.2}",
            "FR",
            true,
        ),
        (
            ".3 is not there",
            "${iot:Certificate.Subject.Country.3}",
            "FR",
            false,
        ),
        (
            ".List is any of them",
            "${iot:Certificate.Subject.Country.List}",
            "FR",
            true,
        ),
        (
            ".List is none but them",
            "${iot:Certificate.Subject.Country.List}",
            "US",
            false,
        ),
        (
            "the fifth value is seen",
            "${iot:Certificate.Subject.Title.4}",
            "5",
            true,
        ),
        (
            "the sixth is not",
            "${iot:Certificate.Subject.Title.5}",
            "6",
            false,
        ),
        (
            "nor in the list",
            "${iot:Certificate.Subject.Title.List}",
            "6",
            false,
        ),
        (
            "an enormous index",
            "${iot:Certificate.Subject.Title.99999999999999999999}",
            "1",
            false,
        ),
        (
            "a value with a star is not substituted",
            "${iot:Certificate.Subject.OrganizationalUnit}",
            "a*b",
            false,
        ),
        (
            "nor does its star match",
            "${iot:Certificate.Subject.OrganizationalUnit}",
            "axb",
            false,
        ),
        (
            "an attribute with a hash is not substituted",
            "${iot:Connection.Thing.Attributes[odd]}",
            "a#b",
            false,
        ),
        (
            "1025 characters are not substituted",
            "${iot:Certificate.Subject.Pseudonym}",
            &"x".repeat(1025),
            false,
        ),
        (
            "a value is not looked into again",
            "${iot:Certificate.Subject.GivenName}",
            "sensor-17",
            false,
        ),
        (
            "a comma is escaped",
            "${iot:Certificate.Subject.Organization}",
            "Acme\\, Inc",
            true,
        ),
        (
            "and not there unescaped",
            "${iot:Certificate.Subject.Organization}",
            "Acme, Inc",
            false,
        ),
        (
            "no value: no match, not even the text itself",
            "${iot:Certificate.Subject.State}",
            "${iot:Certificate.Subject.State}",
            false,
        ),
        ("no such variable", "${iot:Foo}", "${iot:Foo}", false),
        (
            "no such field",
            "${iot:Certificate.Subject.Locality}",
            "x",
            false,
        ),
        ("the empty variable", "${}", "", false),
    ];
    for (name, resource, topic, wanted) in cases {
        let statement = allow("iot:Publish", &format!("@topic/{resource}"));
        let (allowed, _, sentence) = decide(&statement, &context(), Publish, topic);
        assert_eq!(allowed, *wanted, "{name}: {sentence}");
    }
    let thingless = ConnectionContext {
        thing: None,
        ..context()
    };
    for what in [
        "ThingName",
        "ThingTypeName",
        "IsAttached",
        "Attributes[room]",
    ] {
        let statement = allow(
            "iot:Publish",
            &format!("@topic/${{iot:Connection.Thing.{what}}}*"),
        );
        let (allowed, _, sentence) = decide(&statement, &thingless, Publish, "x");
        assert!(
            !allowed && sentence.contains("no thing is named like the client id"),
            "{sentence}"
        );
    }
    // A deny on a variable without a value denies nothing: the pattern matches nothing.
    let statements = format!(
        "{}, {}",
        allow("iot:*", "*"),
        deny("iot:Publish", "@topic/${iot:Connection.Thing.ThingName}")
    );
    assert!(decide(&statements, &thingless, Publish, "x").0);
}

#[test]
fn special_characters_of_a_client_id_do_not_become_wildcards() {
    for hostile in ["*", "a*", "?", "+", "#", "$"] {
        let context = ConnectionContext {
            client_id: hostile.into(),
            ..context()
        };
        let statement = allow("iot:Publish", "@topic/${iot:ClientId}");
        assert!(
            !decide(&statement, &context, Publish, "victim").0,
            "{hostile}"
        );
        assert!(
            !decide(&statement, &context, Publish, hostile).0,
            "{hostile}"
        );
    }
}

#[test]
fn conditions() {
    let cases: &[(&str, &str, bool)] = &[
        (
            "StringEquals",
            r#"{"StringEquals": {"iot:ClientId": "sensor-17"}}"#,
            true,
        ),
        (
            "StringEquals, other",
            r#"{"StringEquals": {"iot:ClientId": "x"}}"#,
            false,
        ),
        (
            "a star is literal in StringEquals",
            r#"{"StringEquals": {"iot:ClientId": "sensor-*"}}"#,
            false,
        ),
        (
            "values are alternatives",
            r#"{"StringEquals": {"iot:ClientId": ["x", "sensor-17"]}}"#,
            true,
        ),
        (
            "keys are all needed",
            r#"{"StringEquals": {"iot:ClientId": "sensor-17", "aws:SourceIp": "x"}}"#,
            false,
        ),
        (
            "operators are all needed",
            r#"{"StringEquals": {"iot:ClientId": "sensor-17"}, "Bool": {"iot:Connection.Thing.IsAttached": "false"}}"#,
            false,
        ),
        (
            "a variable as value",
            r#"{"StringEquals": {"iot:Connection.Thing.ThingName": "${iot:ClientId}"}}"#,
            true,
        ),
        (
            "a variable without value",
            r#"{"StringEquals": {"iot:ClientId": "${iot:Certificate.Subject.State}"}}"#,
            false,
        ),
        (
            "StringNotEquals",
            r#"{"StringNotEquals": {"iot:ClientId": "x"}}"#,
            true,
        ),
        (
            "StringNotEquals means none of them",
            r#"{"StringNotEquals": {"iot:ClientId": ["x", "sensor-17"]}}"#,
            false,
        ),
        (
            "EqualsIgnoreCase",
            r#"{"StringEqualsIgnoreCase": {"iot:ClientId": "SENSOR-17"}}"#,
            true,
        ),
        (
            "NotEqualsIgnoreCase",
            r#"{"StringNotEqualsIgnoreCase": {"iot:ClientId": "SENSOR-17"}}"#,
            false,
        ),
        (
            "StringLike",
            r#"{"StringLike": {"iot:ClientId": "sensor-*"}}"#,
            true,
        ),
        (
            "StringLike, escaped",
            r#"{"StringLike": {"iot:ClientId": "sensor-${*}"}}"#,
            false,
        ),
        (
            "StringNotLike",
            r#"{"StringNotLike": {"iot:ClientId": "sensor-*"}}"#,
            false,
        ),
        (
            "Bool",
            r#"{"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}"#,
            true,
        ),
        (
            "Bool as JSON boolean",
            r#"{"Bool": {"iot:Connection.Thing.IsAttached": true}}"#,
            true,
        ),
        (
            "Bool, other",
            r#"{"Bool": {"iot:Connection.Thing.IsAttached": "false"}}"#,
            false,
        ),
        (
            "Bool, both",
            r#"{"Bool": {"iot:Connection.Thing.IsAttached": ["true", "false"]}}"#,
            true,
        ),
        (
            "IpAddress, block",
            r#"{"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}"#,
            true,
        ),
        (
            "IpAddress, one",
            r#"{"IpAddress": {"aws:SourceIp": "192.0.2.7"}}"#,
            true,
        ),
        (
            "IpAddress, several",
            r#"{"IpAddress": {"aws:SourceIp": ["2001:db8::/32", "192.0.2.0/25"]}}"#,
            true,
        ),
        (
            "IpAddress, other",
            r#"{"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}"#,
            false,
        ),
        (
            "NotIpAddress",
            r#"{"NotIpAddress": {"aws:SourceIp": "198.51.100.0/24"}}"#,
            true,
        ),
        (
            "NotIpAddress, inside",
            r#"{"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}"#,
            false,
        ),
        (
            "StringEquals on the address",
            r#"{"StringEquals": {"aws:SourceIp": "192.0.2.7"}}"#,
            true,
        ),
        (
            "thing type",
            r#"{"StringEquals": {"iot:Connection.Thing.ThingTypeName": "sensor"}}"#,
            true,
        ),
        (
            "thing attribute",
            r#"{"StringLike": {"iot:Connection.Thing.Attributes[room]": "kit*"}}"#,
            true,
        ),
        (
            "a key without value is equal to nothing",
            r#"{"StringEquals": {"iot:Certificate.Subject.State": "x"}}"#,
            false,
        ),
        (
            "and so not equal to anything",
            r#"{"StringNotEquals": {"iot:Certificate.Subject.State": "x"}}"#,
            true,
        ),
        (
            "IfExists without value",
            r#"{"StringEqualsIfExists": {"iot:Certificate.Subject.State": "x"}}"#,
            true,
        ),
        (
            "IfExists with another value",
            r#"{"StringEqualsIfExists": {"iot:ClientId": "x"}}"#,
            false,
        ),
        (
            "Null of a key without value",
            r#"{"Null": {"iot:Certificate.Subject.State": "true"}}"#,
            true,
        ),
        (
            "Null of a key with value",
            r#"{"Null": {"iot:ClientId": "true"}}"#,
            false,
        ),
        (
            "not Null of a key with value",
            r#"{"Null": {"iot:ClientId": "false"}}"#,
            true,
        ),
        (
            "ForAnyValue",
            r#"{"ForAnyValue:StringEquals": {"iot:Certificate.Subject.Country.List": ["DE", "US"]}}"#,
            true,
        ),
        (
            "ForAnyValue, none",
            r#"{"ForAnyValue:StringEquals": {"iot:Certificate.Subject.Country.List": "US"}}"#,
            false,
        ),
        (
            "ForAnyValue without value",
            r#"{"ForAnyValue:StringEquals": {"iot:Certificate.Subject.State": "x"}}"#,
            false,
        ),
        (
            "ForAllValues",
            r#"{"ForAllValues:StringEquals": {"iot:Certificate.Subject.Country.List": ["LU", "DE", "FR", "US"]}}"#,
            true,
        ),
        (
            "ForAllValues, one is not",
            r#"{"ForAllValues:StringEquals": {"iot:Certificate.Subject.Country.List": ["LU", "DE"]}}"#,
            false,
        ),
        (
            "ForAllValues without value",
            r#"{"ForAllValues:StringEquals": {"iot:Certificate.Subject.State": "x"}}"#,
            true,
        ),
        (
            "ForAllValues:StringNotEquals",
            r#"{"ForAllValues:StringNotEquals": {"iot:Certificate.Subject.Country.List": ["US", "LU"]}}"#,
            false,
        ),
        (
            "ForAnyValue:StringNotEquals",
            r#"{"ForAnyValue:StringNotEquals": {"iot:Certificate.Subject.Country.List": ["LU", "DE"]}}"#,
            true,
        ),
        (
            "AvailableKeys",
            r#"{"ForAnyValue:StringEquals": {"iot:Certificate.AvailableKeys": "iot:Certificate.Subject.CommonName"}}"#,
            true,
        ),
        (
            "certificate key",
            r#"{"StringEquals": {"iot:Certificate.Subject.Country.1": "DE"}}"#,
            true,
        ),
        (
            "keys in any letter case, as in IAM",
            r#"{"StringEquals": {"IOT:clientid": "sensor-17"}}"#,
            true,
        ),
        (
            "a key that does not exist",
            r#"{"StringEquals": {"iot:Nothing": "x"}}"#,
            false,
        ),
        ("an empty condition holds", "{}", true),
    ];
    for (name, condition, wanted) in cases {
        let (allowed, _, sentence) = decide(
            &allow_if("iot:Publish", condition),
            &context(),
            Publish,
            "x",
        );
        assert_eq!(allowed, *wanted, "{name}: {sentence}");
    }
}

#[test]
fn connect_attributes_and_will() {
    let plain = context();
    let persistent = ConnectionContext {
        persistent: true,
        ..context()
    };
    let will = ConnectionContext {
        will_topic: Some("wills/sensor-17".into()),
        ..context()
    };
    let no_persistence =
        r#"{"ForAllValues:StringNotEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}"#;
    let only_persistence =
        r#"{"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}"#;
    let must_persist =
        r#"{"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}"#;
    let will_topic = r#"{"ArnEquals": {"iot:LastWillTopic": ["@topic/wills/*"]}}"#;
    let will_text = r#"{"StringEquals": {"iot:LastWillTopic": "@topic/wills/sensor-17"}}"#;
    let cases: &[(&str, &str, &ConnectionContext, bool)] = &[
        ("no condition allows all", "{}", &persistent, true),
        (
            "persistence excluded, clean session",
            no_persistence,
            &plain,
            true,
        ),
        (
            "persistence excluded, persistent session",
            no_persistence,
            &persistent,
            false,
        ),
        ("persistence excluded, will", no_persistence, &will, true),
        (
            "only persistence, clean session",
            only_persistence,
            &plain,
            true,
        ),
        (
            "only persistence, persistent session",
            only_persistence,
            &persistent,
            true,
        ),
        ("only persistence, will", only_persistence, &will, false),
        ("must persist, clean session", must_persist, &plain, false),
        (
            "must persist, persistent session",
            must_persist,
            &persistent,
            true,
        ),
        ("will topic, fitting", will_topic, &will, true),
        ("will topic, none", will_topic, &plain, false),
        ("will topic as text", will_text, &will, true),
    ];
    for (name, condition, context, wanted) in cases {
        let (allowed, _, sentence) = decide(
            &allow_if("iot:Connect", condition),
            context,
            Connect,
            "sensor-17",
        );
        assert_eq!(allowed, *wanted, "{name}: {sentence}");
    }
    // The key belongs to CONNECT: for a publish it has no value, whatever the session is.
    let statement = allow_if("iot:*", must_persist);
    assert!(decide(&statement, &persistent, Connect, "sensor-17").0);
    assert!(!decide(&statement, &persistent, Publish, "x").0);
}

#[test]
fn the_policy_of_the_walk_through() {
    let authorizer = Authorizer::compile(&[named("IoTAccess", IOT_ACCESS)], &context());
    let cases = [
        (Connect, "sensor-17", true),
        (Connect, "sensor-18", false),
        (Connect, "", false),
        (Subscribe, "#", true),
        (Subscribe, "$share/g/#", true),
        (Receive, "any/topic", true),
        (Publish, "sensor-17", true),
        (Publish, "sensor-17/x", false),
        (Publish, "/register", false),
        (RetainPublish, "sensor-17", false),
    ];
    for (action, resource, wanted) in cases {
        let decision = authorizer.decide(action, resource);
        assert_eq!(decision.allowed, wanted, "{}", decision.reason().sentence);
    }
    assert_eq!(PolicyDocument::parse(IOT_ACCESS).unwrap().warnings(), []);
}

#[test]
fn a_denial_names_the_nearest_miss() {
    let thingless = ConnectionContext {
        thing: None,
        ..context()
    };
    let cases: &[(&str, String, &ConnectionContext, Action, &str, &str)] = &[
        (
            "the other topics",
            allow(
                "iot:Publish",
                "arn:aws:iot:*:*:topic/${iot:Certificate.Subject.CommonName}",
            ),
            &context(),
            Publish,
            "other",
            "iot:Publish on topic/other is not allowed: policy P allows iot:Publish only on topic/sensor-17",
        ),
        (
            "no statement at all",
            allow("iot:Publish", "*"),
            &context(),
            Subscribe,
            "a",
            "iot:Subscribe on topicfilter/a is not allowed: no statement of policy P allows iot:Subscribe",
        ),
        (
            "the wrong kind",
            allow("iot:Receive", "@topicfilter/loadtest/#"),
            &context(),
            Receive,
            "loadtest/a",
            "iot:Receive is granted on topicfilter/…, but it is evaluated on topic/…",
        ),
        (
            "the variable without value",
            allow("iot:Connect", "@client/${iot:Connection.Thing.ThingName}"),
            &thingless,
            Connect,
            "sensor-17",
            "variable iot:Connection.Thing.ThingName has no value, because no thing is named like the client id",
        ),
        (
            "the value with a wildcard",
            allow(
                "iot:Publish",
                "@topic/${iot:Certificate.Subject.OrganizationalUnit}",
            ),
            &context(),
            Publish,
            "x",
            "its value contains one of * ? + # $",
        ),
        (
            "the condition",
            allow_if(
                "iot:Publish",
                r#"{"Bool": {"iot:Connection.Thing.IsAttached": "false"}}"#,
            ),
            &context(),
            Publish,
            "x",
            "the condition Bool iot:Connection.Thing.IsAttached \"false\" does not hold: it is \"true\"",
        ),
        (
            "another region",
            allow("iot:Publish", "arn:aws:iot:us-east-1:123456789012:topic/x"),
            &context(),
            Publish,
            "x",
            "granted in arn:aws:iot:us-east-1:123456789012:…, and this is arn:aws:iot:eu-west-1:123456789012:…",
        ),
        (
            "an MQTT wildcard",
            allow("iot:Publish", "@topic/a/#"),
            &context(),
            Publish,
            "a/b",
            "`#` and `+` in topic/a/# are literal characters in a policy; topic/a/* is what matches",
        ),
        (
            "a topic with control characters is shown harmlessly",
            allow("iot:Publish", "@topic/a"),
            &context(),
            Publish,
            "x\u{1b}[31m\n",
            "topic/x\\u{1b}[31m\\n",
        ),
    ];
    for (name, statement, context, action, resource, wanted) in cases {
        let (allowed, code, sentence) = decide(statement, context, *action, resource);
        assert!(!allowed && code == POLICY_IMPLICIT_DENY, "{name}");
        assert!(sentence.contains(wanted), "{name}: {sentence}");
    }
    let sid =
        r#"{"Sid": "NoSecrets", "Effect": "Deny", "Action": "iot:*", "Resource": "@topic/secret"}"#;
    let (_, _, sentence) = decide(sid, &context(), Receive, "secret");
    assert_eq!(
        sentence,
        "iot:Receive on topic/secret is denied by policy P, statement 1 (NoSecrets)"
    );
}

#[test]
fn malformed_documents_are_refused_with_the_path() {
    let statement = |members: &str| document(&format!("{{{members}}}"));
    let long = allow("iot:Publish", &format!("@topic/{}", "x".repeat(2_048)));
    let cases: &[(&str, String, &str, &str)] = &[
        ("not JSON", "{".into(), "$", "not JSON"),
        ("empty", String::new(), "$", "not JSON"),
        ("not an object", "[]".into(), "$", "expected an object"),
        (
            "no version",
            r#"{"Statement": []}"#.into(),
            "$",
            "`Version` is missing",
        ),
        (
            "old version",
            r#"{"Version": "2008-10-17", "Statement": []}"#.into(),
            "$.Version",
            "2012-10-17",
        ),
        (
            "no statement",
            r#"{"Version": "2012-10-17"}"#.into(),
            "$",
            "`Statement` is missing",
        ),
        (
            "empty list",
            document(""),
            "$.Statement",
            "the list is empty",
        ),
        (
            "unknown key",
            r#"{"Version": "2012-10-17", "Statment": []}"#.into(),
            "$.Statment",
            "did you mean `Statement`",
        ),
        (
            "a repeated key",
            r#"{"Version": "2012-10-17", "Version": "2012-10-17"}"#.into(),
            "$",
            "occurs twice",
        ),
        (
            "no effect",
            statement(r#""Action": "*", "Resource": "*""#),
            "$.Statement[0]",
            "`Effect` is missing",
        ),
        (
            "wrong effect",
            statement(r#""Effect": "allow", "Action": "*", "Resource": "*""#),
            "$.Statement[0].Effect",
            "write \"Allow\" or \"Deny\"",
        ),
        (
            "no action",
            statement(r#""Effect": "Allow", "Resource": "*""#),
            "$.Statement[0]",
            "`Action` is missing",
        ),
        (
            "action without service",
            statement(r#""Effect": "Allow", "Action": ["iot:*", "Publish"], "Resource": "*""#),
            "$.Statement[0].Action[1]",
            "`Publish` is not an action",
        ),
        (
            "NotAction",
            statement(r#""Effect": "Allow", "NotAction": "iot:Publish", "Resource": "*""#),
            "$.Statement[0].NotAction",
            "no NotAction",
        ),
        (
            "Principal",
            statement(r#""Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*""#),
            "$.Statement[0].Principal",
            "attached to its principal",
        ),
        (
            "no resource",
            statement(r#""Effect": "Allow", "Action": "*""#),
            "$.Statement[0]",
            "neither is there",
        ),
        (
            "both resources",
            statement(r#""Effect": "Allow", "Action": "*", "Resource": "*", "NotResource": "*""#),
            "$.Statement[0]",
            "stand together",
        ),
        (
            "a resource that is no ARN",
            statement(r#""Effect": "Allow", "Action": "*", "Resource": "topic/a""#),
            "$.Statement[0].Resource",
            "`topic/a` is not a resource",
        ),
        (
            "a number as resource",
            statement(r#""Effect": "Allow", "Action": "*", "Resource": ["*", 5]"#),
            "$.Statement[0].Resource[1]",
            "found a number",
        ),
        (
            "unknown operator",
            allow_if_document(r#"{"StringEqual": {"iot:ClientId": "x"}}"#),
            "$.Statement[0].Condition.StringEqual",
            "did you mean `StringEquals`",
        ),
        (
            "unknown qualifier",
            allow_if_document(r#"{"ForSomeValues:StringEquals": {"iot:ClientId": "x"}}"#),
            "$.Statement[0].Condition['ForSomeValues:StringEquals']",
            "ForAllValues:",
        ),
        (
            "numeric operators are not known",
            allow_if_document(r#"{"NumericLessThan": {"iot:ClientId": "5"}}"#),
            "$.Statement[0].Condition.NumericLessThan",
            "not a condition operator",
        ),
        (
            "not a block of addresses",
            allow_if_document(r#"{"IpAddress": {"aws:SourceIp": ["192.0.2.0/33"]}}"#),
            "$.Statement[0].Condition.IpAddress['aws:SourceIp'][0]",
            "block of addresses",
        ),
        (
            "not a boolean",
            allow_if_document(r#"{"Bool": {"iot:Connection.Thing.IsAttached": "yes"}}"#),
            "$.Statement[0].Condition.Bool['iot:Connection.Thing.IsAttached']",
            "\"true\" or \"false\"",
        ),
        (
            "no values",
            allow_if_document(r#"{"StringEquals": {"iot:ClientId": []}}"#),
            "$.Statement[0].Condition.StringEquals['iot:ClientId']",
            "the list is empty",
        ),
        ("too long", document(&long), "$", "at most 2048"),
    ];
    for (name, text, path, says) in cases {
        let error = PolicyDocument::parse(text).map(|_| ()).expect_err(name);
        assert_eq!(error.path(), *path, "{name}: {error}");
        assert!(error.to_string().contains(says), "{name}: {error}");
    }
    let single = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "no"}}"#;
    assert_eq!(
        PolicyDocument::parse(single).unwrap_err().path(),
        "$.Statement.Resource"
    );
}

fn allow_if_document(condition: &str) -> String {
    document(&allow_if("iot:Publish", condition))
}

#[test]
fn white_space_does_not_count_towards_the_size() {
    let spacious = document(&allow("iot:Publish", "*")).replace(' ', &" \n\t".repeat(5_000));
    assert!(spacious.len() > 100_000);
    PolicyDocument::parse(&spacious).unwrap();
    let name = "x".repeat(2_048 - 96);
    let full = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"iot:*","Resource":"arn:{name}"}}}}"#
    );
    let count = full.chars().count();
    let exact = full.replace(&name, &"x".repeat(name.len() + 2_048 - count));
    PolicyDocument::parse(&exact).unwrap();
    PolicyDocument::parse(&exact.replace("arn:x", "arn:xx")).unwrap_err();
}

#[test]
fn odd_documents_are_accepted_with_a_warning() {
    let cases: &[(&str, String, &str)] = &[
        ("a slip in an action", allow("iot:Conect", "*"), "$.Statement[0].Action: no device action is called `iot:Conect`, so it grants nothing; did you mean `iot:Connect`?"),
        ("the wrong service", allow("iott:Connect", "*"), "did you mean `iot:Connect`?"),
        ("letter case", allow("iot:publish", "*"), "usually written `iot:Publish`"),
        (
            "receive on a filter",
            r#"{"Effect": "Allow", "Action": ["iot:Subscribe", "iot:Receive"], "Resource": "@topicfilter/loadtest/#"}"#
                .into(),
            "iot:Receive is granted on topicfilter/…, but it is evaluated on topic/…, so this grants nothing; write \
             `arn:aws:iot:eu-west-1:123456789012:topic/loadtest/*`",
        ),
        ("publish on an MQTT wildcard", allow("iot:Publish", "@topic/a/#"), "write `arn:aws:iot:eu-west-1:123456789012:topic/a/*`"),
        ("an unknown variable", allow("iot:Connect", "@client/${iot:ClientID2}"), "there is no variable `iot:ClientID2`"),
        ("an escape as the guide prints it", allow("iot:Publish", "@topic/$(*)"), "variables and escapes are written ${…}"),
        (
            "an unknown condition key",
            allow_if("iot:Connect", r#"{"Bool": {"iot:Connection.Thing.Attached": "true"}}"#),
            "there is no condition key `iot:Connection.Thing.Attached`",
        ),
    ];
    for (name, statement, says) in cases {
        let document = PolicyDocument::parse(&document(statement)).unwrap();
        let warnings: Vec<String> = document
            .warnings()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            warnings.iter().any(|warning| warning.contains(says)),
            "{name}: {warnings:?}"
        );
    }
    let fine = [
        allow("iot:*", "*"),
        allow("greengrass:Discover", "*"),
        allow("iot:Subscribe", "@topicfilter/a/#"),
        r#"{"Effect": "Allow", "Action": ["iot:Publish", "iot:Subscribe"], "Resource": ["@topic/a", "@topicfilter/a"]}"#
            .into(),
        allow("iot:Publish", "@topic/${iot:Connection.Thing.Attributes[x]}/${iot:Certificate.Subject.Country.1}"),
    ];
    for statement in fine {
        assert_eq!(
            PolicyDocument::parse(&document(&statement))
                .unwrap()
                .warnings(),
            [],
            "{statement}"
        );
    }
}

#[test]
fn hostile_documents_and_resources_never_panic() {
    let deep = format!("{}1{}", "[".repeat(900), "]".repeat(900));
    let mut documents = vec![
        deep.clone(),
        "{\"a\":".repeat(400),
        format!(r#"{{"Version": "2012-10-17", "Statement": {deep}}}"#),
        document(&allow_if("iot:*", &deep)),
        document(&allow(
            "iot:Publish",
            "@topic/\\u0000\\ud83d\\ude00${iot:ClientId}${}${${}}",
        )),
        document(&allow("iot:Publish", "arn:::::::")),
        document(&allow("iot:Publish", &"*".repeat(1_500))),
        document(&allow(
            "iot:Publish",
            &format!("@topic/{}", "*a".repeat(700)),
        )),
        document(&allow(
            "iot:Publish",
            &format!("@topic/{}", "*?".repeat(700)),
        )),
        document(&allow(
            "iot:Publish",
            &format!("*{}", "${iot:Certificate.Subject.Country.List}".repeat(40)),
        )),
        document(&allow("iot:????*", "*")),
    ];
    let many = vec![r#"{"Effect":"Deny","Action":"a:b","Resource":"*"}"#; 38].join(",");
    documents.push(document(&many));
    let compiled: Vec<NamedPolicy> = documents
        .iter()
        .filter_map(|text| PolicyDocument::parse(text).ok())
        .map(|document| NamedPolicy {
            name: "P".into(),
            document: Arc::new(document),
        })
        .collect();
    assert!(compiled.len() >= 7, "{}", compiled.len());
    let long = "a".repeat(65_535);
    for policy in &compiled {
        let authorizer = Authorizer::compile(std::slice::from_ref(policy), &context());
        for resource in [
            "",
            "\0",
            "ü/😀",
            "$share//",
            "$share/g/",
            "a:b:c:d:e:f:g",
            &long,
        ] {
            for action in Action::ALL {
                let decision = authorizer.decide(action, resource);
                assert!(!decision.reason().sentence.is_empty());
            }
        }
    }
}
