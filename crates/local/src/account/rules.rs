//! Topic rules: made, replaced, switched on and off, deleted. Executing them is at `crate::rules`.

mod action;

use std::collections::BTreeMap;
use std::sync::Arc;

use jitp_core::rule::{RuleSql, SqlVersion};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::permissions::{Behalf, may_assume, role_of_arn};
use super::records::TopicRule;
use super::{ApiError, State, Transaction};

pub(crate) use action::{Action, Republish};

/// The service that executes rules, as roles and functions know it.
pub(crate) const SERVICE: &str = "iot.amazonaws.com";

/// Rules of an account (AWS General Reference).
const MOST: usize = 1000;

/// What CreateTopicRule and ReplaceTopicRule are given, judged by the model.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RulePayload {
    /// The statement.
    pub sql: String,
    /// Its version; none is the first.
    pub version: Option<String>,
    /// A description.
    pub description: Option<String>,
    /// The actions.
    pub actions: Vec<Value>,
    /// What is done when an action fails.
    pub error_action: Option<Value>,
    /// Whether the rule is switched off.
    pub disabled: bool,
}

/// A rule as it was understood.
#[derive(Clone, Debug)]
pub struct Understood {
    /// The statement.
    pub(crate) statement: RuleSql,
    /// The actions in their order.
    pub(crate) actions: Vec<Action>,
    /// What is done when one of them fails.
    pub(crate) error_action: Option<Action>,
}

impl Understood {
    /// Reads a statement and the actions.
    ///
    /// # Errors
    /// `SqlParseException` with the place, `InvalidRequestException`.
    pub(super) fn read(payload: &RulePayload) -> Result<Self, ApiError> {
        let version = match &payload.version {
            None => SqlVersion::default(),
            Some(version) => {
                version
                    .parse()
                    .map_err(|error: jitp_core::rule::UnknownVersion| {
                        ApiError::invalid_request(error.to_string())
                    })?
            }
        };
        let statement = RuleSql::parse(&payload.sql, version)
            .map_err(|error| ApiError::new("SqlParseException", error.to_string()))?;
        let actions = payload.actions.iter();
        let actions: Result<Vec<Action>, ApiError> = actions
            .map(|action| Action::read(&statement, action))
            .collect();
        let error_action = payload.error_action.as_ref();
        let error_action = error_action.map(|action| Action::read(&statement, action));
        Ok(Self {
            actions: actions?,
            error_action: error_action.transpose()?,
            statement,
        })
    }
}

/// A rule of the account.
///
/// # Errors
/// `UnauthorizedException`: no operation on rules declares that one is not found.
pub fn find(state: &State, name: &str) -> Result<Arc<TopicRule>, ApiError> {
    let rule = state.topic_rules.get(name).cloned();
    rule.ok_or_else(|| {
        ApiError::new(
            "UnauthorizedException",
            format!("Access to topic rule '{name}' was denied: there is none"),
        )
    })
}

/// Creates a rule.
///
/// # Errors
/// `ResourceAlreadyExistsException`, `SqlParseException`, `InvalidRequestException`.
pub fn create(
    tx: &mut Transaction,
    name: &str,
    payload: RulePayload,
    tags: BTreeMap<String, String>,
) -> Result<(), ApiError> {
    let arn = tx.scope.arn("rule", name);
    if tx.topic_rules.contains_key(name) {
        return Err(ApiError::already_exists(
            format!("Rule {name} already exists"),
            name,
            &arn,
        ));
    }
    if tx.topic_rules.len() >= MOST {
        return Err(ApiError::invalid_request(format!(
            "An account may have {MOST} topic rules"
        )));
    }
    let rule = judged(tx, name, payload)?;
    tx.put_topic_rule(rule)?;
    tx.put_tags(&arn, tags)
}

/// Replaces all of a rule but its name and the date it was made on.
///
/// # Errors
/// `UnauthorizedException` when there is none, `SqlParseException`, `InvalidRequestException`.
pub fn replace(tx: &mut Transaction, name: &str, payload: RulePayload) -> Result<(), ApiError> {
    let created = find(tx, name)?.creation_date;
    let mut rule = judged(tx, name, payload)?;
    rule.creation_date = created;
    tx.put_topic_rule(rule)
}

/// Switches a rule on or off; doing so again changes nothing.
///
/// # Errors
/// `UnauthorizedException` when there is none.
pub fn switch(tx: &mut Transaction, name: &str, disabled: bool) -> Result<(), ApiError> {
    let mut rule = TopicRule::clone(&*find(tx, name)?);
    if rule.payload.disabled == disabled {
        return Ok(());
    }
    rule.payload.disabled = disabled;
    tx.put_topic_rule(rule)
}

/// Deletes a rule, if there is one.
pub fn delete(tx: &mut Transaction, name: &str) {
    tx.remove_topic_rule(name);
}

fn judged(tx: &Transaction, name: &str, payload: RulePayload) -> Result<TopicRule, ApiError> {
    let understood = Understood::read(&payload)?;
    let arn = tx.scope.arn("rule", name);
    let behalf = Behalf {
        service: SERVICE,
        source_arn: &arn,
        source_account: &tx.scope.account_id,
    };
    let all = understood.actions.iter().chain(&understood.error_action);
    for role in all.filter_map(Action::role) {
        // Checked even for a rule that is switched off.
        let why = match role_of_arn(tx, role) {
            None => format!("there is no role {role}"),
            Some(role) => match may_assume(&role, &behalf) {
                Ok(()) => continue,
                Err(why) => why,
            },
        };
        return Err(ApiError::invalid_request(format!(
            "AWS IoT ({SERVICE}) is unable to assume role (sts:AssumeRole) on resource: {role}: {why}"
        )));
    }
    Ok(TopicRule {
        name: name.to_owned(),
        arn,
        payload,
        understood: Arc::new(understood),
        creation_date: tx.now(),
    })
}
