//! Things: made, changed, listed, deleted.

use serde_json::{Map, Value, json};

use super::Handler;
use super::fields::{put, texts};
use super::paging::Page;
use crate::account::things::{self, CreateThing, UpdateThing};
use crate::account::{Account, ApiError, Thing};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateThing", create),
    ("DescribeThing", describe),
    ("ListThings", list),
    ("UpdateThing", update),
    ("DeleteThing", delete),
];

fn create(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let payload = input.object("attributePayload");
    let attributes = payload.and_then(|payload| payload.get("attributes")?.as_object());
    let ask = CreateThing {
        name: input.required("thingName").to_owned(),
        type_name: input.text("thingTypeName").map(str::to_owned),
        attributes: texts(attributes).unwrap_or_default(),
        billing_group: input.text("billingGroupName").map(str::to_owned),
    };
    let thing = account.write(|tx| things::create(tx, ask))?;
    Ok(json!({ "thingName": thing.name, "thingArn": thing.arn, "thingId": thing.id }))
}

fn describe(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let thing = things::find(&account.snapshot(), input.required("thingName"))?;
    let mut answer = summary(&thing);
    put(&mut answer, "defaultClientId", Some(thing.name.as_str()));
    put(&mut answer, "thingId", Some(thing.id.as_str()));
    put(
        &mut answer,
        "billingGroupName",
        thing.billing_group.as_deref(),
    );
    Ok(Value::Object(answer))
}

fn summary(thing: &Thing) -> Map<String, Value> {
    let mut summary = Map::new();
    put(&mut summary, "thingName", Some(thing.name.as_str()));
    put(&mut summary, "thingTypeName", thing.type_name.as_deref());
    put(&mut summary, "thingArn", Some(thing.arn.as_str()));
    put(&mut summary, "attributes", Some(json!(thing.attributes)));
    put(&mut summary, "version", Some(thing.version));
    summary
}

fn list(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let prefix = input.flag("usePrefixAttributeValue");
    let (name, value) = (input.text("attributeName"), input.text("attributeValue"));
    if value.is_some() && name.is_none() {
        return Err(ApiError::invalid_request(
            "attributeValue requires attributeName",
        ));
    }
    let wanted_type = input.text("thingTypeName");
    let wanted = |thing: &Thing| {
        if wanted_type.is_some() && thing.type_name.as_deref() != wanted_type {
            return false;
        }
        let Some(name) = name else {
            return true;
        };
        match (thing.attributes.get(name), value) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(present), Some(value)) if prefix => present.starts_with(value),
            (Some(present), Some(value)) => present == value,
        }
    };
    let page = Page::tokened(input)?;
    let state = account.snapshot();
    Ok(page.of_ages("things", state.things_by_age(), true, |name| {
        let thing = state.things.get(name)?;
        wanted(thing).then(|| Value::Object(summary(thing)))
    }))
}

fn update(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let payload = input.object("attributePayload");
    let member = |name: &str| payload.and_then(|payload| payload.get(name));
    let ask = UpdateThing {
        type_name: input.text("thingTypeName").map(str::to_owned),
        remove_type: input.flag("removeThingType"),
        attributes: texts(member("attributes").and_then(Value::as_object)),
        merge: member("merge").and_then(Value::as_bool).unwrap_or(false),
        expected_version: input.number("expectedVersion"),
    };
    account.write(|tx| things::update(tx, input.required("thingName"), ask))?;
    Ok(Value::Null)
}

fn delete(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let expected = input.number("expectedVersion");
    account.write(|tx| things::delete(tx, input.required("thingName"), expected))?;
    Ok(Value::Null)
}
