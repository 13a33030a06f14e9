//! Topic rules.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::Handler;
use super::fields::{put, text_in};
use super::paging::Page;
use crate::account::rules::{self, RulePayload};
use crate::account::{Account, ApiError, TopicRule};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateTopicRule", create),
    ("GetTopicRule", get),
    ("ListTopicRules", list),
    ("ReplaceTopicRule", replace),
    ("EnableTopicRule", enable),
    ("DisableTopicRule", disable),
    ("DeleteTopicRule", delete),
];

fn name(input: &Input) -> &str {
    input.required("ruleName")
}

fn payload(input: &Input) -> RulePayload {
    let given = input
        .object("topicRulePayload")
        .cloned()
        .unwrap_or_default();
    let present = |name: &str| given.get(name).filter(|value| !value.is_null());
    let actions = present("actions").and_then(Value::as_array);
    RulePayload {
        sql: text_in(&given, "sql").unwrap_or_default(),
        version: text_in(&given, "awsIotSqlVersion"),
        description: text_in(&given, "description"),
        actions: actions.cloned().unwrap_or_default(),
        error_action: present("errorAction").cloned(),
        disabled: present("ruleDisabled").and_then(Value::as_bool) == Some(true),
    }
}

/// The tags of a header: `a=b&c=d`.
fn tags(input: &Input) -> Result<BTreeMap<String, String>, ApiError> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        let text = percent_decode_str(&spaced).decode_utf8();
        text.map(|text| text.into_owned())
            .map_err(|_| ApiError::invalid_request("A tag is not UTF-8"))
    };
    let pairs = input.text("tags").unwrap_or_default().split('&');
    let pairs = pairs.filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(key)?, decoded(value)?))
        })
        .collect()
}

fn create(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (payload, tags) = (payload(input), tags(input)?);
    account.write(|tx| rules::create(tx, name(input), payload, tags))?;
    Ok(Value::Null)
}

fn replace(account: &Account, input: &Input) -> Result<Value, ApiError> {
    account.write(|tx| rules::replace(tx, name(input), payload(input)))?;
    Ok(Value::Null)
}

fn enable(account: &Account, input: &Input) -> Result<Value, ApiError> {
    account.write(|tx| rules::switch(tx, name(input), false))?;
    Ok(Value::Null)
}

fn disable(account: &Account, input: &Input) -> Result<Value, ApiError> {
    account.write(|tx| rules::switch(tx, name(input), true))?;
    Ok(Value::Null)
}

fn delete(account: &Account, input: &Input) -> Result<Value, ApiError> {
    account.write(|tx| {
        rules::delete(tx, name(input));
        Ok(())
    })?;
    Ok(Value::Null)
}

fn get(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let rule = rules::find(&account.snapshot(), name(input))?;
    let mut told = summary(&rule);
    told.remove("topicPattern");
    told.remove("ruleArn");
    let given = &rule.payload;
    put(&mut told, "sql", Some(given.sql.as_str()));
    put(&mut told, "description", given.description.as_deref());
    put(&mut told, "actions", Some(given.actions.clone()));
    let version = rule.understood.statement.version();
    put(&mut told, "awsIotSqlVersion", Some(version.as_str()));
    put(&mut told, "errorAction", given.error_action.clone());
    Ok(json!({ "ruleArn": rule.arn, "rule": told }))
}

fn summary(rule: &TopicRule) -> Map<String, Value> {
    let mut told = Map::new();
    put(&mut told, "ruleArn", Some(rule.arn.as_str()));
    put(&mut told, "ruleName", Some(rule.name.as_str()));
    put(
        &mut told,
        "topicPattern",
        rule.understood.statement.topic_filter(),
    );
    put(&mut told, "createdAt", Some(rule.creation_date.seconds()));
    put(&mut told, "ruleDisabled", Some(rule.payload.disabled));
    told
}

fn list(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (topic, disabled) = (input.text("topic"), input.optional_flag("ruleDisabled"));
    let state = account.snapshot();
    Ok(
        Page::tokened(input)?.of_map("rules", &state.topic_rules, |_, rule| {
            let filter = rule.understood.statement.topic_filter();
            let sees = topic.is_none_or(|topic| {
                filter.is_some_and(|filter| jitp_wire::topic::matches(filter, topic))
            });
            let wanted = disabled.is_none_or(|disabled| disabled == rule.payload.disabled);
            (sees && wanted).then(|| Value::Object(summary(rule)))
        }),
    )
}
