//! Thing types: made, deprecated, and deleted five minutes later.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::records::ThingType;
use super::{ApiError, State, Transaction};

/// Microseconds between deprecation and deletion (developer guide, "Thing types": five minutes).
const DEPRECATED_LONG_ENOUGH: i64 = 5 * 60 * 1_000_000;

/// Searchable attributes of a type (AWS General Reference).
const SEARCHABLE_LIMIT: usize = 3;

/// A thing type of the account.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find(state: &State, name: &str) -> Result<Arc<ThingType>, ApiError> {
    let thing_type = state.thing_types.get(name).cloned();
    thing_type.ok_or_else(|| ApiError::not_found(format!("Thing type {name} cannot be found.")))
}

/// Creates a thing type, or finds the one that is already just so.
///
/// # Errors
/// `ResourceAlreadyExistsException` when it exists otherwise, `InvalidRequestException`.
pub fn create(
    tx: &mut Transaction,
    name: &str,
    properties: Map<String, Value>,
    tags: BTreeMap<String, String>,
) -> Result<Arc<ThingType>, ApiError> {
    judge(&properties)?;
    if let Some(thing_type) = tx.thing_types.get(name) {
        if thing_type.properties == properties {
            return Ok(Arc::clone(thing_type));
        }
        return Err(ApiError::already_exists(
            format!("Thing type {name} already exists in account with different properties"),
            name,
            &thing_type.arn,
        ));
    }
    let arn = tx.scope.arn("thingtype", name);
    tx.put_thing_type(ThingType {
        name: name.to_owned(),
        id: tx.new_id(),
        arn: arn.clone(),
        properties,
        deprecation_date: None,
        creation_date: tx.now(),
    })?;
    tx.put_tags(&arn, tags)?;
    find(tx, name)
}

/// Replaces the properties given; others stay.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidRequestException`.
pub fn update(
    tx: &mut Transaction,
    name: &str,
    properties: Map<String, Value>,
) -> Result<(), ApiError> {
    let mut thing_type = ThingType::clone(&*find(tx, name)?);
    thing_type.properties.extend(properties);
    judge(&thing_type.properties)?;
    tx.put_thing_type(thing_type)
}

/// Deprecates a type, or undoes it. Doing so again changes nothing.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn deprecate(tx: &mut Transaction, name: &str, undo: bool) -> Result<(), ApiError> {
    let mut thing_type = ThingType::clone(&*find(tx, name)?);
    if thing_type.deprecation_date.is_none() == undo {
        return Ok(());
    }
    thing_type.deprecation_date = (!undo).then(|| tx.now());
    tx.put_thing_type(thing_type)
}

/// Deletes a type that has been deprecated for five minutes and is used by no thing.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidRequestException`.
pub fn delete(tx: &mut Transaction, name: &str) -> Result<(), ApiError> {
    let thing_type = find(tx, name)?;
    let Some(deprecated) = thing_type.deprecation_date else {
        return Err(ApiError::invalid_request(format!(
            "Can not delete thing type {name}: it must be deprecated first"
        )));
    };
    if tx.now().0 - deprecated.0 < DEPRECATED_LONG_ENOUGH {
        return Err(ApiError::invalid_request(format!(
            "Can not delete thing type {name}: five minutes must have passed since it was deprecated"
        )));
    }
    if tx.things_by_type.contains_key(name) {
        return Err(ApiError::invalid_request(format!(
            "Can not delete thing type {name}: things still use it"
        )));
    }
    tx.remove_thing_type(name);
    Ok(())
}

fn judge(properties: &Map<String, Value>) -> Result<(), ApiError> {
    let searchable = properties
        .get("searchableAttributes")
        .and_then(Value::as_array);
    if searchable.is_some_and(|attributes| attributes.len() > SEARCHABLE_LIMIT) {
        return Err(ApiError::invalid_request(format!(
            "A thing type may have at most {SEARCHABLE_LIMIT} searchable attributes"
        )));
    }
    Ok(())
}
