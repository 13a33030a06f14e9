//! Thing types: made, deprecated, deleted.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Handler;
use super::fields::{put, tags};
use super::paging::Page;
use crate::account::{Account, ApiError, ThingType, types};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateThingType", create),
    ("DescribeThingType", describe),
    ("ListThingTypes", list),
    ("UpdateThingType", update),
    ("DeprecateThingType", deprecate),
    ("DeleteThingType", delete),
];

fn create(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let name = input.required("thingTypeName");
    let thing_type = account.write(|tx| types::create(tx, name, properties(input), tags(input)))?;
    Ok(json!({
        "thingTypeName": thing_type.name,
        "thingTypeArn": thing_type.arn,
        "thingTypeId": thing_type.id,
    }))
}

/// The properties given, without members the model does not know.
fn properties(input: &Input) -> Map<String, Value> {
    let known = [
        "thingTypeDescription",
        "searchableAttributes",
        "mqtt5Configuration",
    ];
    let given = input.object("thingTypeProperties").cloned();
    let mut given = given.unwrap_or_default();
    given.retain(|name, value| known.contains(&name.as_str()) && !value.is_null());
    given
}

fn describe(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let thing_type = types::find(&account.snapshot(), input.required("thingTypeName"))?;
    let mut answer = summary(&thing_type);
    put(&mut answer, "thingTypeId", Some(thing_type.id.as_str()));
    Ok(Value::Object(answer))
}

fn summary(thing_type: &ThingType) -> Map<String, Value> {
    let deprecated = thing_type.deprecation_date;
    let mut metadata = Map::new();
    put(&mut metadata, "deprecated", Some(deprecated.is_some()));
    put(
        &mut metadata,
        "deprecationDate",
        deprecated.map(|date| date.seconds()),
    );
    put(
        &mut metadata,
        "creationDate",
        Some(thing_type.creation_date.seconds()),
    );
    Map::from_iter([
        ("thingTypeName".to_owned(), json!(thing_type.name)),
        ("thingTypeArn".to_owned(), json!(thing_type.arn)),
        (
            "thingTypeProperties".to_owned(),
            json!(thing_type.properties),
        ),
        ("thingTypeMetadata".to_owned(), Value::Object(metadata)),
    ])
}

fn list(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let wanted = input.text("thingTypeName");
    let state = account.snapshot();
    let page = Page::tokened(input)?;
    let ages = state
        .thing_types
        .values()
        .filter(|thing_type| wanted.is_none_or(|wanted| thing_type.name.starts_with(wanted)))
        .map(|thing_type| {
            (
                thing_type.creation_date,
                Arc::from(thing_type.name.as_str()),
            )
        })
        .collect();
    Ok(page.of_ages("thingTypes", &ages, true, |name| {
        let thing_type = state.thing_types.get(name)?;
        Some(Value::Object(summary(thing_type)))
    }))
}

fn update(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let name = input.required("thingTypeName");
    account.write(|tx| types::update(tx, name, properties(input)))?;
    Ok(Value::Null)
}

fn deprecate(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let undo = input.flag("undoDeprecate");
    account.write(|tx| types::deprecate(tx, input.required("thingTypeName"), undo))?;
    Ok(Value::Null)
}

fn delete(account: &Account, input: &Input) -> Result<Value, ApiError> {
    account.write(|tx| types::delete(tx, input.required("thingTypeName")))?;
    Ok(Value::Null)
}
