//! What is well-formed in a policy but probably not meant.

use jitp_core::template::{
    json::{child, element},
    suggest::did_you_mean,
};

use super::{
    action::{Action, ResourceKind},
    document::Statement,
    pattern::Pattern,
    variables,
};

/// Something to look at in a document that AWS IoT would accept.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path}: {sentence}")]
pub struct PolicyWarning {
    /// JSON path, for example `$.Statement[1].Action`.
    pub path: String,
    /// What is odd, and what was probably meant.
    pub sentence: String,
}

pub(crate) fn of(statements: &[Statement], is_list: bool) -> Vec<PolicyWarning> {
    let mut warnings = Vec::new();
    for (index, statement) in statements.iter().enumerate() {
        let path = if is_list {
            element("$.Statement", index)
        } else {
            "$.Statement".to_owned()
        };
        let mut warn = |key: &str, sentence: String| {
            warnings.push(PolicyWarning {
                path: child(&path, key),
                sentence,
            });
        };
        for text in &statement.action_texts {
            if let Some(sentence) = odd_action(text) {
                warn("Action", sentence);
            }
        }
        let key = if statement.negated {
            "NotResource"
        } else {
            "Resource"
        };
        let mut never_judged = statement
            .resources
            .iter()
            .filter_map(|pattern| odd_kind(statement, pattern));
        if let Some(sentence) = never_judged.next() {
            warn(key, sentence);
        }
        for pattern in &statement.resources {
            if let Some(sentence) = mqtt_wildcard(statement, pattern) {
                warn(key, sentence);
            }
            if pattern.text.contains("$(") {
                warn(
                    key,
                    "`$(` is plain text; variables and escapes are written ${…}".to_owned(),
                );
            }
            for name in pattern.variables().filter(|name| !variables::exists(name)) {
                warn(key, unknown("variable", name));
            }
        }
        for condition in &statement.conditions {
            if !variables::exists(&condition.key) {
                warn("Condition", unknown("condition key", &condition.key));
            }
            for name in condition
                .values
                .iter()
                .flat_map(Pattern::variables)
                .filter(|name| !variables::exists(name))
            {
                warn("Condition", unknown("variable", name));
            }
        }
    }
    warnings
}

fn unknown(what: &str, name: &str) -> String {
    let names = variables::names();
    let near = did_you_mean(name, names.iter().map(String::as_str));
    format!("there is no {what} `{name}`, so it never has a value{near}")
}

/// An action of AWS IoT's data plane that does not exist. Those of other services, such as greengrass, are none of ours.
fn odd_action(text: &str) -> Option<String> {
    let (service, _) = text.split_once(':')?;
    if text.contains(['*', '?']) {
        return None;
    }
    let all = || {
        Action::ALL
            .iter()
            .flat_map(|action| [Some(action.names().0), action.names().1])
            .flatten()
    };
    if let Some(known) = all().find(|known| known.eq_ignore_ascii_case(text)) {
        return (known != text).then(|| format!("`{text}` is usually written `{known}`"));
    }
    let ours = service.eq_ignore_ascii_case("iot") || service.eq_ignore_ascii_case("iotjobsdata");
    let near = did_you_mean(text, all());
    (ours || !near.is_empty())
        .then(|| format!("no device action is called `{text}`, so it grants nothing{near}"))
}

/// What a resource names, where the pattern says it: the part after the fifth colon.
pub(crate) fn tail(text: &str) -> Option<&str> {
    text.splitn(6, ':').nth(5)
}

/// The kind that a tail such as `topic/a` names.
pub(crate) fn kind_of_tail(tail: &str) -> Option<ResourceKind> {
    ResourceKind::ALL
        .into_iter()
        .filter(|kind| *kind != ResourceKind::Everything)
        .find(|kind| tail.starts_with(kind.prefix()))
}

/// An action all of whose resources are of a kind that it is never judged on: iot:Receive on topicfilter/….
fn odd_kind(statement: &Statement, pattern: &Pattern) -> Option<String> {
    if statement.negated {
        return None;
    }
    let kind = kind_of_tail(tail(&pattern.text)?)?;
    // With iot:* or several actions, one resource is meant for one and another for another.
    let lonely = Action::ALL.iter().find(|action| {
        let named = statement
            .action_texts
            .iter()
            .any(|text| text.eq_ignore_ascii_case(action.name()));
        let served = statement.resources.iter().any(|other| {
            tail(&other.text)
                .and_then(kind_of_tail)
                .is_none_or(|kind| kind == action.kind())
        });
        named && !served
    })?;
    Some(format!(
        "{} is granted on {}…, but it is evaluated on {}…, so this grants nothing; write `{}`",
        lonely.name(),
        kind.prefix(),
        if lonely.kind() == ResourceKind::Everything {
            "*"
        } else {
            lonely.kind().prefix()
        },
        pattern
            .text
            .replacen(kind.prefix(), lonely.kind().prefix(), 1)
            .replace(['#', '+'], "*"),
    ))
}

/// `topic/a/#`: a topic cannot contain `#` or `+`, so this never matches anything.
fn mqtt_wildcard(statement: &Statement, pattern: &Pattern) -> Option<String> {
    let tail = tail(&pattern.text)?;
    if kind_of_tail(tail) != Some(ResourceKind::Topic)
        || statement.negated
        || !tail.contains(['#', '+'])
    {
        return None;
    }
    Some(format!(
        "`#` and `+` are literal characters in a policy, and no topic contains them; write `{}`",
        pattern.text.replace(['#', '+'], "*")
    ))
}
