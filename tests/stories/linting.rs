//! `lint`: documents of every kind, alone and inside others, judged without an account.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::program;

const FAULTY: &str = "Resources:
  Device:
    Type: AWS::IoT::Policy
    Properties:
      PolicyDocument:
        Version: \"2012-10-17\"
        Statement:
          - Effect: Allow
            Action: iot:Publsh
            Resource: !Sub \"arn:aws:iot:${AWS::Region}:${AWS::AccountId}:topic/a\"
  Rule:
    Type: AWS::IoT::TopicRule
    Properties:
      TopicRulePayload:
        Sql: SELECT * FORM 'a'
";

fn lint(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(program("lint"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("lint runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn what_ships_has_no_errors_and_no_warnings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = ["PolicyName=P", "ThingTypeName=T", "ThingGroupName=G"];
    let mut arguments = vec!["policies", "etc"];
    arguments.extend(names.iter().flat_map(|name| ["--set", name]));
    let output = lint(root, &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    // It did look at them.
    for file in ["etc/cloudformation/fleet.yaml", "etc/templates/device.json"] {
        assert!(text(&output.stdout).contains(file));
    }
}

#[test]
fn findings_are_lines_objects_or_a_log_and_exit_code_9() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("stack.yaml"), FAULTY).unwrap();

    let lines = lint(folder.path(), &["stack.yaml"]);
    assert_eq!(lines.status.code(), Some(9));
    assert_eq!(text(&lines.stderr), "lint: 1 errors, 1 warnings\n");
    let stdout = text(&lines.stdout);
    let columns: Vec<Vec<&str>> = stdout
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(columns.len(), 2, "{stdout}");
    assert_eq!(
        columns[0][..4],
        ["stack.yaml", "9", "warning", "policy-unknown-action"]
    );
    assert_eq!(
        columns[0][4],
        "$.Resources.Device.Properties.PolicyDocument.Statement[0].Action"
    );
    assert!(
        columns[0][5].contains("did you mean `iot:Publish`?"),
        "{stdout}"
    );
    assert_eq!(columns[1][..4], ["stack.yaml", "15", "error", "rule-sql"]);

    let objects = lint(folder.path(), &["stack.yaml", "--output", "json"]);
    let first: Value = serde_json::from_str(text(&objects.stdout).lines().next().unwrap()).unwrap();
    assert_eq!(first["file"], "stack.yaml");
    assert_eq!(first["line"], 9);
    assert_eq!(first["rule"], "policy-unknown-action");

    let log = lint(folder.path(), &["stack.yaml", "--sarif"]);
    assert_eq!(log.status.code(), Some(9));
    let log: Value = serde_json::from_slice(&log.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let result = &log["runs"][0]["results"][1];
    assert_eq!(result["level"], "error");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["region"]["startLine"], 15);
}

#[test]
fn warnings_can_be_allowed_and_errors_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let write = |effect: &str| {
        let policy = format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "{effect}", "Action": "iot:*", "Resource": "*"}}]}}"#
        );
        fs::write(folder.path().join("policy.json"), policy).unwrap();
    };
    write("Allow");
    let code = |arguments: &[&str]| lint(folder.path(), arguments).status.code();
    assert_eq!(code(&["policy.json"]), Some(9));
    assert_eq!(code(&["policy.json", "--allow-warnings"]), Some(0));
    write("Alow");
    assert_eq!(code(&["policy.json", "--allow-warnings"]), Some(9));
}

#[test]
fn stdin_is_read_and_a_policy_of_iam_is_none_of_iot() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rule.sql"), "SELECT *\nFROM 'a/#/b'\n").unwrap();
    let output = Command::new(program("lint"))
        .arg("-")
        .stdin(fs::File::open(folder.path().join("rule.sql")).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(9));
    assert!(text(&output.stdout).starts_with("stdin\t2\terror\trule-sql\t$\t"));

    let trust = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]}"#;
    fs::write(folder.path().join("trust.json"), trust).unwrap();
    assert_eq!(lint(folder.path(), &["trust.json"]).status.code(), Some(3));
    assert_eq!(
        lint(folder.path(), &["trust.json", "--as", "policy"])
            .status
            .code(),
        Some(9)
    );
}

#[test]
fn what_cannot_be_looked_at_is_named_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.json"), "{\"a\": 1}").unwrap();
    fs::write(folder.path().join("picture"), [0xff, 0xfe]).unwrap();
    for (arguments, words) in [
        (&["notes.json"][..], "notes.json: this is neither a policy"),
        (&["."], "nothing below . is something to look at"),
        (&["missing.json"], "cannot read the document missing.json"),
        (&["picture"], "it is no text"),
    ] {
        let output = lint(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert!(output.stdout.is_empty());
        assert!(
            text(&output.stderr).contains(words),
            "{}",
            text(&output.stderr)
        );
    }
    assert_eq!(lint(folder.path(), &[]).status.code(), Some(2));
    let unknown = lint(folder.path(), &["x", "--as", "poem"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("is none of policy, template"));
}
