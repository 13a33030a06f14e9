//! What a role lets a service do: who may assume it, and what its policies allow. As IAM decides: an explicit deny
//! wins, and what is not allowed is denied (IAM user guide, "Policy evaluation logic").

use std::sync::Arc;

use serde_json::Value;

use super::State;
use super::records::Role;
use super::wildcard::{is_like, matches};

/// On whose behalf a service acts: the values of `aws:SourceArn` and `aws:SourceAccount`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behalf<'a> {
    /// Service principal, for example `iot.amazonaws.com`.
    pub(crate) service: &'a str,
    /// ARN of the resource it acts for.
    pub(crate) source_arn: &'a str,
    /// Account of that resource.
    pub(crate) source_account: &'a str,
}

/// How the ARNs of AWS's own policies begin.
const AWS_OWNED: &str = "arn:aws:iam::aws:policy/";

/// The role of an ARN.
pub(crate) fn role_of_arn(state: &State, arn: &str) -> Option<Arc<Role>> {
    let role = state.roles.get(arn.rsplit('/').next()?)?;
    (role.arn == arn).then(|| Arc::clone(role))
}

/// Whether a service may assume a role.
///
/// # Errors
/// A sentence why not.
pub(crate) fn may_assume(role: &Role, behalf: &Behalf<'_>) -> Result<(), String> {
    let is_about = |statement: &Value| {
        let services = &statement["Principal"]["Service"];
        let anybody = statement["Principal"] == "*";
        let named = anybody || texts(services).any(|name| name == behalf.service);
        named && has_action(statement, "sts:AssumeRole") && conditions_hold(statement, behalf)
    };
    match decide(&role.trust_policy, &is_about) {
        Some(true) => Ok(()),
        Some(false) => Err(format!("the trust policy of {} denies it", role.arn)),
        None => Err(format!(
            "the trust policy of {} lets {} not assume it for {}",
            role.arn, behalf.service, behalf.source_arn
        )),
    }
}

/// Whether the policies of a role allow an action on a resource.
///
/// # Errors
/// A sentence why not.
pub(crate) fn may_do(
    role: &Role,
    action: &str,
    resource: &str,
    behalf: &Behalf<'_>,
) -> Result<(), String> {
    let is_about = |statement: &Value| {
        has_action(statement, action)
            && has_resource(statement, resource)
            && conditions_hold(statement, behalf)
    };
    let mut allowed = role
        .attached_policies
        .iter()
        .any(|arn| arn.starts_with(AWS_OWNED));
    for (name, document) in &role.inline_policies {
        match decide(document, &is_about) {
            Some(true) => allowed = true,
            Some(false) => {
                return Err(format!(
                    "the policy {name} of {} denies {action} on {resource}",
                    role.arn
                ));
            }
            None => {}
        }
    }
    match allowed {
        true => Ok(()),
        false => Err(format!(
            "no policy of {} allows {action} on {resource}",
            role.arn
        )),
    }
}

/// What the statements of a document say that are about something; none when nothing is.
fn decide(document: &str, is_about: &dyn Fn(&Value) -> bool) -> Option<bool> {
    let document: Value = serde_json::from_str(document).ok()?;
    let statements = match &document["Statement"] {
        Value::Array(statements) => statements.as_slice(),
        statement => std::slice::from_ref(statement),
    };
    let mut allowed = None;
    for statement in statements.iter().filter(|statement| is_about(statement)) {
        match statement["Effect"].as_str() {
            Some("Allow") => allowed = Some(true),
            _ => return Some(false),
        }
    }
    allowed
}

/// The texts of a member that is one or a list of them.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    list.iter().filter_map(Value::as_str)
}

fn has_action(statement: &Value, action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    let named = |value: &Value| {
        texts(value).any(|pattern| {
            // The names of actions have no case.
            matches(pattern.to_ascii_lowercase().as_bytes(), action.as_bytes())
        })
    };
    match statement.get("NotAction") {
        Some(other) => !named(other),
        None => named(&statement["Action"]),
    }
}

fn has_resource(statement: &Value, resource: &str) -> bool {
    let named = |value: &Value| {
        texts(value).any(|pattern| matches(pattern.as_bytes(), resource.as_bytes()))
    };
    match statement.get("NotResource") {
        Some(other) => !named(other),
        None => named(&statement["Resource"]),
    }
}

/// Whether every condition holds. What is not known here, a key or an operator, does not hold.
fn conditions_hold(statement: &Value, behalf: &Behalf<'_>) -> bool {
    let Some(conditions) = statement.get("Condition").and_then(Value::as_object) else {
        return true;
    };
    conditions.iter().all(|(operator, keys)| {
        let keys = keys.as_object();
        keys.is_some_and(|keys| {
            keys.iter()
                .all(|(key, wanted)| condition_holds(operator, key, wanted, behalf))
        })
    })
}

fn condition_holds(operator: &str, key: &str, wanted: &Value, behalf: &Behalf<'_>) -> bool {
    let (operator, if_exists) = match operator.strip_suffix("IfExists") {
        Some(operator) => (operator, true),
        None => (operator, false),
    };
    let found = match key.to_ascii_lowercase().as_str() {
        "aws:sourcearn" => behalf.source_arn,
        "aws:sourceaccount" => behalf.source_account,
        _ => return if_exists,
    };
    let any = |holds: &dyn Fn(&str) -> bool| texts(wanted).any(holds);
    match operator {
        "StringEquals" => any(&|wanted| wanted == found),
        "StringNotEquals" => !any(&|wanted| wanted == found),
        "StringEqualsIgnoreCase" => any(&|wanted| wanted.eq_ignore_ascii_case(found)),
        "StringLike" => any(&|wanted| matches(wanted.as_bytes(), found.as_bytes())),
        "StringNotLike" => !any(&|wanted| matches(wanted.as_bytes(), found.as_bytes())),
        "ArnLike" | "ArnEquals" => any(&|wanted| is_like(wanted, found)),
        "ArnNotLike" | "ArnNotEquals" => !any(&|wanted| is_like(wanted, found)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::json;

    use super::*;
    use crate::account::Timestamp;

    const BEHALF: Behalf<'_> = Behalf {
        service: "iot.amazonaws.com",
        source_arn: "arn:aws:iot:eu-west-1:123456789012:rule/r",
        source_account: "123456789012",
    };
    const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:jobs";

    fn role(trust: Value, policies: Vec<Value>) -> Role {
        let policies = policies.into_iter().enumerate();
        Role {
            name: "r".to_owned(),
            id: String::new(),
            arn: "arn:aws:iam::123456789012:role/r".to_owned(),
            path: "/".to_owned(),
            description: None,
            trust_policy: json!({ "Statement": trust }).to_string(),
            session_seconds: 3600,
            attached_policies: BTreeSet::new(),
            inline_policies: policies
                .map(|(index, one)| (index.to_string(), json!({ "Statement": one }).to_string()))
                .collect(),
            tags: BTreeMap::new(),
            creation_date: Timestamp(0),
        }
    }

    #[test]
    fn a_role_is_assumed_by_whom_it_trusts_and_for_what() {
        let trust = |condition: Value| {
            let statement = json!([{
                "Effect": "Allow", "Principal": { "Service": ["lambda.amazonaws.com", "iot.amazonaws.com"] },
                "Action": "sts:AssumeRole", "Condition": condition,
            }]);
            may_assume(&role(statement, vec![]), &BEHALF).is_ok()
        };
        assert!(trust(json!({})));
        assert!(trust(
            json!({ "StringEquals": { "aws:SourceAccount": "123456789012" } })
        ));
        assert!(trust(
            json!({ "ArnLike": { "aws:SourceArn": "arn:aws:iot:*:123456789012:rule/*" } })
        ));
        assert!(!trust(
            json!({ "ArnLike": { "aws:SourceArn": "arn:aws:iot:*:123456789012:rule/other" } })
        ));
        assert!(!trust(
            json!({ "StringEquals": { "aws:SourceAccount": ["1", "2"] } })
        ));
        assert!(!trust(
            json!({ "StringEquals": { "aws:PrincipalOrgID": "o-1" } })
        ));
        assert!(trust(
            json!({ "StringEqualsIfExists": { "aws:PrincipalOrgID": "o-1" } })
        ));
        let other = json!({ "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" }, "Action": "sts:*" });
        let refused = may_assume(&role(other, vec![]), &BEHALF).unwrap_err();
        assert!(refused.contains("iot.amazonaws.com"), "{refused}");
    }

    #[test]
    fn what_is_not_allowed_is_denied_and_a_deny_wins() {
        let allow = |action: Value, resource: Value| json!({ "Effect": "Allow", "Action": action, "Resource": resource });
        let may = |policies: Vec<Value>| {
            may_do(
                &role(json!([]), policies),
                "sqs:SendMessage",
                QUEUE,
                &BEHALF,
            )
        };
        assert!(may(vec![allow(json!("sqs:SendMessage"), json!(QUEUE))]).is_ok());
        assert!(
            may(vec![allow(
                json!(["SQS:send*"]),
                json!(["a", "arn:aws:sqs:*:*:jobs"])
            )])
            .is_ok()
        );
        assert!(may(vec![allow(json!("*"), json!("*"))]).is_ok());
        let refused = may(vec![allow(json!("sqs:ReceiveMessage"), json!("*"))]).unwrap_err();
        assert!(refused.contains("no policy"), "{refused}");
        assert!(may(vec![allow(json!("sqs:*"), json!("arn:aws:sqs:*:*:other"))]).is_err());
        assert!(may(vec![]).is_err());
        let deny =
            json!([{ "Effect": "Deny", "NotAction": "sqs:Receive*", "NotResource": "other" }]);
        let refused = may(vec![allow(json!("*"), json!("*")), deny]).unwrap_err();
        assert!(refused.contains("denies"), "{refused}");
        let mut attached = role(json!([]), vec![]);
        attached
            .attached_policies
            .insert(format!("{AWS_OWNED}AmazonSQSFullAccess"));
        assert!(may_do(&attached, "sqs:SendMessage", QUEUE, &BEHALF).is_ok());
    }
}
