//! Policy documents: what a statement grants that was hardly meant, or does not grant although it was.

use serde_json::{Map, Value};

use super::{Finding, Severity};
use crate::template::{
    json::{self, child, element},
    suggest::did_you_mean,
};

/// Everything found in a policy document.
pub fn lint_policy(text: &str) -> Vec<Finding> {
    let root = match json::read(text, DEEPEST) {
        Ok(root) => root,
        Err(error) => {
            let finding = Finding::new(
                Severity::Error,
                "policy-json",
                error.path,
                error.fault.to_string(),
            );
            return vec![finding];
        }
    };
    let mut findings = Vec::new();
    let mut error = |rule: &'static str, path: &str, message: String| {
        findings.push(Finding::new(Severity::Error, rule, path, message));
    };
    let length = text
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .count();
    if length > LONGEST {
        error(
            "policy-length",
            "$",
            format!(
                "it has {length} characters, white space not counted, and AWS IoT takes {LONGEST}"
            ),
        );
    }
    if root.get("Version").and_then(Value::as_str) != Some("2012-10-17") {
        error(
            "policy-version",
            "$.Version",
            "write \"Version\": \"2012-10-17\"; policy variables need it".to_owned(),
        );
    }
    let statements: Vec<(String, &Value)> = match root.get("Statement") {
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(index, statement)| (element("$.Statement", index), statement))
            .collect(),
        Some(one @ Value::Object(_)) => vec![("$.Statement".to_owned(), one)],
        _ => {
            error(
                "policy-statement",
                "$.Statement",
                "there are no statements".to_owned(),
            );
            Vec::new()
        }
    };
    for (path, statement) in &statements {
        match statement.as_object() {
            Some(statement) => lint_statement(path, statement, &mut findings),
            None => findings.push(Finding::new(
                Severity::Error,
                "policy-statement",
                path,
                "a statement is an object with Effect, Action and Resource",
            )),
        }
    }
    findings
}

fn lint_statement(path: &str, statement: &Map<String, Value>, findings: &mut Vec<Finding>) {
    let effect = statement.get("Effect").and_then(Value::as_str);
    if !matches!(effect, Some("Allow" | "Deny")) {
        findings.push(Finding::new(
            Severity::Error,
            "policy-effect",
            child(path, "Effect"),
            "write \"Effect\": \"Allow\" or \"Deny\"",
        ));
    }
    let actions = texts(statement.get("Action"), &child(path, "Action"));
    if actions.is_empty() {
        findings.push(Finding::new(
            Severity::Error,
            "policy-action",
            child(path, "Action"),
            "no action is given",
        ));
    }
    let resource = match statement.contains_key("NotResource") {
        true => "NotResource",
        false => "Resource",
    };
    let resources = texts(statement.get(resource), &child(path, resource));
    if resources.is_empty() {
        findings.push(Finding::new(
            Severity::Error,
            "policy-resource",
            child(path, "Resource"),
            "no resource is given",
        ));
    }
    if resource == "NotResource" {
        return;
    }
    for (path, action) in &actions {
        findings.extend(unknown_action(path, action));
    }
    let allows = effect == Some("Allow");
    let everything = resources.iter().any(|(_, resource)| *resource == "*");
    if allows && everything && actions.iter().any(|(_, action)| is_all(action)) {
        findings.push(Finding::new(
            Severity::Warning, "policy-everything",
            path,
            "iot:* on *: the device may do everything in the account, to every device; name the actions and resources",
        ));
        return;
    }
    if allows && !statement.contains_key("Condition") {
        findings.extend(any_client(&actions, &resources));
    }
    findings.extend(kinds(&actions, &resources));
    findings.extend(wildcards(&resources));
}

/// Whoever may connect with every client id can end the connection of every other.
fn any_client(actions: &[(String, &str)], resources: &[(String, &str)]) -> Option<Finding> {
    let connects = |action: &str| action.eq_ignore_ascii_case("iot:Connect");
    if !actions.iter().any(|(_, action)| connects(action)) {
        return None;
    }
    let (path, _) = resources.iter().find(|(_, resource)| {
        *resource == "*"
            || kind_of(resource).is_some_and(|(kind, rest)| kind == "client" && rest == "*")
    })?;
    Some(Finding::new(
        Severity::Warning,
        "policy-any-client",
        path,
        "iot:Connect with every client id: one device can end the connection of another by taking its client id; \
         write client/${iot:Connection.Thing.ThingName}, or a prefix of your own",
    ))
}

/// Each action is judged on one kind of resource; on another it grants nothing.
fn kinds(actions: &[(String, &str)], resources: &[(String, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let judged = |action: &str| {
        let known = ACTIONS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(action));
        known.map(|(_, kind)| *kind).filter(|kind| !kind.is_empty())
    };
    let matches = |kind: &str| {
        resources
            .iter()
            .any(|(_, resource)| match kind_of(resource) {
                Some((found, _)) => found == kind || found.contains('*'),
                // `*`, a variable, or something that CreatePolicy will speak about.
                None => true,
            })
    };
    for (path, action) in actions {
        if let Some(kind) = judged(action)
            && !resources.is_empty()
            && !matches(kind)
        {
            let other = match kind {
                "topic" => "topicfilter/… is for iot:Subscribe alone",
                "topicfilter" => "topic/… is for iot:Publish and iot:Receive",
                _ => "no resource here is one",
            };
            findings.push(Finding::new(
                Severity::Warning,
                "policy-resource-kind",
                path,
                format!(
                    "{action} is judged on {kind}/…, and none is given: it grants nothing; {other}"
                ),
            ));
        }
    }
    // Actions with a wildcard are judged on any.
    if actions.iter().all(|(_, action)| judged(action).is_some()) {
        for (path, resource) in resources {
            let Some((kind, _)) = kind_of(resource).filter(|(kind, _)| !kind.contains('*')) else {
                continue;
            };
            if !actions
                .iter()
                .any(|(_, action)| judged(action) == Some(kind))
            {
                findings.push(Finding::new(
                    Severity::Warning,
                    "policy-resource-kind",
                    path,
                    format!(
                        "no action of the statement is judged on {kind}/…: it does nothing here"
                    ),
                ));
            }
        }
    }
    findings
}

/// The wildcards of MQTT are none in a policy; in a topic that is published on they are not even possible.
fn wildcards(resources: &[(String, &str)]) -> Vec<Finding> {
    let odd = resources.iter().filter_map(|(path, resource)| {
        let (kind, rest) = kind_of(resource)?;
        let level = rest.split('/').any(|level| matches!(level, "#" | "+"));
        (kind == "topic" && level).then(|| {
            Finding::new(
                Severity::Warning, "policy-wildcard",
                path,
                "# and + are no wildcards in a policy, and no topic has them: write * for the rest of a topic",
            )
        })
    });
    odd.collect()
}

fn unknown_action(path: &str, action: &str) -> Option<Finding> {
    let known = ACTIONS
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(action));
    if known || action.contains(['*', '?']) {
        return None;
    }
    let names = ACTIONS.iter().map(|(name, _)| *name);
    Some(Finding::new(
        Severity::Warning,
        "policy-unknown-action",
        path,
        format!(
            "`{action}` is no action of a device: a policy on a certificate grants nothing by it{}",
            did_you_mean(action, names)
        ),
    ))
}

fn is_all(action: &str) -> bool {
    matches!(action, "*") || action.eq_ignore_ascii_case("iot:*")
}

/// Kind and rest of `arn:aws:iot:region:account:kind/rest`.
fn kind_of(resource: &str) -> Option<(&str, &str)> {
    let mut parts = resource.splitn(6, ':');
    let last = parts.nth(5)?;
    last.split_once('/')
}

/// A text or a list of them, each with its path; what is neither is left to CreatePolicy.
fn texts<'a>(value: Option<&'a Value>, path: &str) -> Vec<(String, &'a str)> {
    match value {
        Some(Value::String(text)) => vec![(path.to_owned(), text)],
        Some(Value::Array(list)) => {
            let texts = list.iter().enumerate();
            texts
                .filter_map(|(index, text)| Some((element(path, index), text.as_str()?)))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// What a device can do, and the kind of resource that is judged on (developer guide, "AWS IoT Core policy actions" and
/// "Action resources"); empty where it is several, or none.
const ACTIONS: [(&str, &str); 17] = [
    ("iot:Connect", "client"),
    ("iot:Publish", "topic"),
    ("iot:RetainPublish", "topic"),
    ("iot:Receive", "topic"),
    ("iot:Subscribe", "topicfilter"),
    ("iot:GetRetainedMessage", "topic"),
    ("iot:ListRetainedMessages", ""),
    ("iot:GetThingShadow", "thing"),
    ("iot:UpdateThingShadow", "thing"),
    ("iot:DeleteThingShadow", "thing"),
    ("iot:ListNamedShadowsForThing", "thing"),
    ("iot:DescribeJobExecution", "thing"),
    ("iot:GetPendingJobExecutions", "thing"),
    ("iot:StartNextPendingJobExecution", "thing"),
    ("iot:UpdateJobExecution", "thing"),
    ("iot:AssumeRoleWithCertificate", "rolealias"),
    ("iot:DeleteConnection", "client"),
];

/// Characters of a document, white space not counted (AWS General Reference).
const LONGEST: usize = 2048;
const DEEPEST: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(statement: &str) -> Vec<(Severity, String)> {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#);
        let findings = lint_policy(&text).into_iter();
        findings
            .map(|finding| (finding.severity, finding.path))
            .collect()
    }

    fn allow(actions: &str, resources: &str) -> Vec<(Severity, String)> {
        paths(&format!(
            r#"{{"Effect": "Allow", "Action": {actions}, "Resource": {resources}}}"#
        ))
    }

    fn warned(path: &str) -> Vec<(Severity, String)> {
        vec![(Severity::Warning, format!("$.Statement[0]{path}"))]
    }

    #[test]
    fn every_shipped_policy_is_free_of_findings() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(lint_policy(&text), [], "{}", path.display());
                seen += 1;
            }
        }
        assert!(seen >= 4);
    }

    #[test]
    fn everything_on_everything_is_found() {
        for action in [r#""iot:*""#, r#"["iot:Connect", "iot:*"]"#, r#""*""#] {
            assert_eq!(allow(action, r#""*""#), warned(""), "{action}");
        }
        let deny = r#"{"Effect": "Deny", "Action": "iot:*", "Resource": "*"}"#;
        assert_eq!(paths(deny), []);
    }

    #[test]
    fn topic_and_topicfilter_are_told_apart() {
        let arn = |rest: &str| format!(r#""arn:aws:iot:*:*:{rest}""#);
        assert_eq!(allow(r#""iot:Subscribe""#, &arn("topic/a")).len(), 2);
        assert_eq!(allow(r#""iot:Receive""#, &arn("topicfilter/a")).len(), 2);
        assert_eq!(allow(r#""iot:Subscribe""#, &arn("topicfilter/a/#")), []);
        assert_eq!(allow(r#""iot:Publish""#, &arn("topic/a/*")), []);
        let both = format!("[{}, {}]", arn("topic/a"), arn("topicfilter/a"));
        assert_eq!(allow(r#"["iot:Publish", "iot:Subscribe"]"#, &both), []);
        let unused = allow(r#""iot:Publish""#, &both);
        assert_eq!(unused, warned(".Resource[1]"));
        assert_eq!(
            allow(r#""iot:Publish""#, &arn("topic/a/#")),
            warned(".Resource")
        );
    }

    #[test]
    fn connecting_as_anybody_and_actions_that_do_not_exist_are_found() {
        assert_eq!(allow(r#""iot:Connect""#, r#""*""#), warned(".Resource"));
        let conditional = r#"{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*",
            "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}}"#;
        assert_eq!(paths(conditional), []);
        assert_eq!(allow(r#""iot:Publsh""#, r#""*""#), warned(".Action"));
    }

    #[test]
    fn what_is_no_policy_is_an_error() {
        for text in ["[", "{}", r#"{"Version": "2008-10-17", "Statement": []}"#] {
            let findings = lint_policy(text);
            assert!(
                findings.iter().any(|one| one.severity == Severity::Error),
                "{text}"
            );
        }
        let empty = paths("{}");
        assert_eq!(empty.len(), 3, "{empty:?}");
    }
}
