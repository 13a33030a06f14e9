//! What is found in documents of every kind, and on which line.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn settings(kind: Option<Kind>) -> Settings {
    Settings {
        kind,
        parameters: BTreeMap::new(),
    }
}

/// Line and rule of everything but notes.
fn found(text: &str) -> Vec<(usize, &'static str)> {
    let found = lint(text, &settings(None)).unwrap().into_iter();
    found
        .filter(|one| one.severity != Severity::Note)
        .map(|one| (one.line, one.rule))
        .collect()
}

const STACK: &str = r##"AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Topic: {Type: String, Default: loadtest}
  Open: {Type: String, Default: "no"}
Conditions:
  IsOpen: !Equals [!Ref Open, "yes"]
Resources:
  Device:
    Type: AWS::IoT::Policy
    Properties:
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action: iot:Publsh
            Resource: !Sub "arn:${AWS::Partition}:iot:*:*:topic/${!iot:ClientId}"
          - Effect: Alow
            Action: iot:Publish
            Resource: !Sub "arn:${AWS::Partition}:iot:*:*:topic/${Topic}"
          - Effect: Allow
            Action: iot:Receive
            Resource: !If
              - IsOpen
              - !Sub "arn:${AWS::Partition}:iot:*:*:topic/#"
              - !Sub "arn:${AWS::Partition}:iot:*:*:topic/${Topic}"
  Template:
    Type: AWS::IoT::ProvisioningTemplate
    Properties:
      TemplateType: FLEET_PROVISIONING
      TemplateBody: !Sub |
        {
          "Parameters": {"Serial": {"Type": "String"}},
          "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Serail"}}}
          }
        }
  Ca:
    Type: AWS::IoT::CACertificate
    Properties:
      RegistrationConfig:
        TemplateBody: '{"Parameters": {}, "Resources": {]}'
  Rule:
    Type: AWS::IoT::TopicRule
    Properties:
      TopicRulePayload:
        AwsIotSqlVersion: "2016-03-23"
        Sql: !Sub |-
          SELECT *
          FORM '${Topic}'
        Actions: []
  Other:
    Type: AWS::IoT::TopicRule
    Properties:
      TopicRulePayload:
        Sql: !Sub "SELECT * FROM '${Topic}'"
        AwsIotSqlVersion: "2016-03-24"
        Actions:
          - Sqs:
              QueueUrl: "https://example.com/queue"
              RoleArn: !GetAtt Role.Arn
          - Republish:
              Topic: "again/${topic(}"
              RoleArn: !GetAtt Role.Arn
  Role:
    Type: AWS::IAM::Role
"##;

#[test]
fn what_is_wrong_inside_a_stack_is_found_on_its_line() {
    assert_eq!(
        found(STACK),
        [
            (15, "policy-unknown-action"),
            (17, "policy-effect"),
            (24, "policy-wildcard"),
            (34, "template"),
            (41, "template-json"),
            (49, "rule-sql"),
            (56, "rule-sql-version"),
            (62, "rule-substitution"),
        ]
    );
}

#[test]
fn a_parameter_given_takes_the_place_of_its_default() {
    let sql = "Resources:\n  R:\n    Type: AWS::IoT::TopicRule\n    Properties:\n      TopicRulePayload: {Sql: !Sub \"SELECT * FROM '${T}'\"}\n";
    let mut settings = settings(None);
    assert_eq!(lint(sql, &settings).unwrap(), []);
    settings
        .parameters
        .insert("T".to_owned(), "a/#/b".to_owned());
    let found = lint(sql, &settings).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].line, found[0].rule), (5, "rule-sql"));
}

#[test]
fn what_only_a_deployment_knows_is_not_judged() {
    let stack = "Parameters:\n  S: {Type: String, Default: \"\"}\nResources:\n  R:\n    Type: AWS::IoT::TopicRule\n    Properties:\n      TopicRulePayload: {Sql: !Ref S}\n  P:\n    Type: AWS::IoT::Policy\n    Properties: {PolicyDocument: !ImportValue p}\n";
    let found = lint(stack, &settings(None)).unwrap();
    let found: Vec<_> = found.iter().map(|one| (one.line, one.rule)).collect();
    assert_eq!(found, [(7, "unknown"), (10, "unknown")]);
}

#[test]
fn a_stack_in_json_is_read_as_one_in_yaml() {
    let stack = json!({"Resources": {"P": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": {"Fn::If": ["c", "*", {"Ref": "AWS::NoValue"}]}},
    }}}, "Q": {"Type": "AWS::SQS::Queue"}}});
    let text = serde_json::to_string_pretty(&stack).unwrap();
    // With the condition everything is allowed; without it nothing is named.
    assert_eq!(
        found(&text),
        [(8, "policy-resource"), (8, "policy-everything")]
    );
}

#[test]
fn plans_states_and_outputs_of_terraform_are_looked_into() {
    let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}"#;
    let resources = json!([
        {"address": "aws_iot_policy.device", "type": "aws_iot_policy", "values": {"policy": policy}},
        {"address": "aws_iot_topic_rule.queue", "type": "aws_iot_topic_rule",
         "values": {"sql": "SELECT", "sql_version": "2016-03-23"}},
        {"address": "aws_iot_provisioning_template.fleet", "type": "aws_iot_provisioning_template",
         "values": {"type": "FLEET_PROVISIONING"}},
        {"address": "aws_sqs_queue.queue", "type": "aws_sqs_queue", "values": {"policy": "{"}},
    ]);
    let module = json!({"resources": [], "child_modules": [{"resources": resources}]});
    for root in ["planned_values", "values"] {
        let text = json!({root: {"root_module": module}}).to_string();
        let found = lint(&text, &settings(None)).unwrap();
        let places: Vec<_> = found
            .iter()
            .map(|one| (one.rule, one.path.as_str()))
            .collect();
        assert_eq!(
            places,
            [
                ("rule-sql", "aws_iot_topic_rule.queue.sql"),
                (
                    "policy-everything",
                    "aws_iot_policy.device.policy, in the string: $.Statement[0]"
                ),
                (
                    "unknown",
                    "aws_iot_provisioning_template.fleet.template_body"
                ),
            ],
            "{root}"
        );
    }
    let output = json!({
        "policy": {"sensitive": false, "type": "string", "value": policy},
        "endpoint": {"sensitive": false, "type": "string", "value": "example.com"},
    });
    assert_eq!(found(&output.to_string()), [(1, "policy-everything")]);
}

#[test]
fn files_of_their_own_are_told_by_what_stands_in_them() {
    for (text, expected) in [
        (
            "{\n\"Version\": \"2012-10-17\",\n\"Statement\": [{\"Effect\": \"No\"}]\n}",
            (3, "policy-effect"),
        ),
        ("SELECT *\nFROM 'a/#/b'", (2, "rule-sql")),
        (
            "{\"sql\": \"SELECT * FROM 'a'\",\n\"awsIotSqlVersion\": \"1\"}",
            (2, "rule-sql-version"),
        ),
        (
            "{\"topicRulePayload\":\n{\"actions\": []}}",
            (2, "rule-sql"),
        ),
        (
            "{\"Resources\": {\"t\":\n{\"Type\": \"AWS::IoT::Thingy\"}}}",
            (2, "template"),
        ),
        ("{\"templateBody\":\n\"{\"}", (2, "template-json")),
        ("{\"a\": 1,\n\"a\": 2}", (1, "unreadable")),
        ("a: [\n", (2, "unreadable")),
    ] {
        assert!(found(text).contains(&expected), "{text}: {:?}", found(text));
    }
    for text in ["{}", "[]", "a: 1", "word", "{\"Resources\": 1, \"x\": 2}"] {
        let outcome = lint(text, &settings(None));
        assert!(
            matches!(outcome, Err(LintError::NotRecognized) | Ok(_)),
            "{text}"
        );
    }
    assert_eq!(lint("{}", &settings(None)), Err(LintError::NotRecognized));
    let manifests = "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: batch/v1\nkind: Job\n";
    assert_eq!(
        lint(manifests, &settings(None)),
        Err(LintError::NotRecognized)
    );
    assert!(
        !lint("{}", &settings(Some(Kind::Policy)))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_log_has_every_finding_with_its_place() {
    let findings = lint(STACK, &settings(None)).unwrap();
    let log = sarif(&[("a folder/stack.yaml".to_owned(), findings.clone())]);
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), findings.len());
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20folder/stack.yaml");
    assert_eq!(place["region"]["startLine"], 15);
}
