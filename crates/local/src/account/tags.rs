//! Tags of the resources that can have them.

use std::collections::BTreeMap;

use super::{ApiError, State, Transaction};

/// Tags of one resource (AWS General Reference, "AWS resource tagging").
const TAGS_LIMIT: usize = 50;

/// Adds tags or gives them new values.
///
/// # Errors
/// `ResourceNotFoundException`, `LimitExceededException` beyond fifty.
pub fn add(
    tx: &mut Transaction,
    arn: &str,
    tags: BTreeMap<String, String>,
) -> Result<(), ApiError> {
    let mut merged = of(tx, arn)?;
    merged.extend(tags);
    if merged.len() > TAGS_LIMIT {
        return Err(ApiError::limit_exceeded(format!(
            "A resource may have {TAGS_LIMIT} tags"
        )));
    }
    tx.put_tags(arn, merged)
}

/// Removes tags; those that are not there are already removed.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn remove(tx: &mut Transaction, arn: &str, keys: &[&str]) -> Result<(), ApiError> {
    let mut tags = of(tx, arn)?;
    tags.retain(|key, _| !keys.contains(&key.as_str()));
    tx.put_tags(arn, tags)
}

/// The tags of a resource.
///
/// # Errors
/// `ResourceNotFoundException` when there is no such resource, or its kind has no tags.
pub fn of(state: &State, arn: &str) -> Result<BTreeMap<String, String>, ApiError> {
    let scope = &state.scope;
    let exists =
        |kind: &str, holds: &dyn Fn(&str) -> bool| scope.name_in(arn, kind).is_some_and(holds);
    let known = exists("thinggroup", &|name| state.thing_groups.contains_key(name))
        || exists("thingtype", &|name| state.thing_types.contains_key(name))
        || exists("billinggroup", &|name| {
            state.billing_groups.contains_key(name)
        })
        || exists("policy", &|name| state.policies.contains_key(name))
        || exists("rule", &|name| state.topic_rules.contains_key(name))
        || exists("cacert", &|id| state.ca_certificates.contains_key(id))
        || exists("provisioningtemplate", &|name| {
            state.provisioning_templates.contains_key(name)
        });
    if !known {
        return Err(ApiError::not_found(format!(
            "Resource {arn} cannot be found, or cannot have tags"
        )));
    }
    Ok(state
        .tags
        .get(arn)
        .map(|tags| BTreeMap::clone(tags))
        .unwrap_or_default())
}
