//! Static thing groups and their members.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Handler;
use super::fields::{group_and_thing, put, tags, text_in, texts};
use super::paging::Page;
use crate::account::groups::{self, GroupProperties};
use crate::account::{Account, ApiError, State, ThingGroup, things};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateThingGroup", create),
    ("DescribeThingGroup", describe),
    ("ListThingGroups", list),
    ("UpdateThingGroup", update),
    ("DeleteThingGroup", delete),
    ("AddThingToThingGroup", add_thing),
    ("RemoveThingFromThingGroup", remove_thing),
    ("ListThingGroupsForThing", list_for_thing),
    ("ListThingsInThingGroup", list_things),
    ("UpdateThingGroupsForThing", update_for_thing),
];

fn properties(input: &Input) -> GroupProperties {
    let Some(given) = input.object("thingGroupProperties") else {
        return GroupProperties::default();
    };
    let payload = given.get("attributePayload").and_then(Value::as_object);
    let member = |name: &str| payload.and_then(|payload| payload.get(name));
    GroupProperties {
        description: text_in(given, "thingGroupDescription"),
        attributes: texts(member("attributes").and_then(Value::as_object)),
        merge: member("merge").and_then(Value::as_bool).unwrap_or(false),
    }
}

fn create(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, parent) = (
        input.required("thingGroupName"),
        input.text("parentGroupName"),
    );
    let group =
        account.write(|tx| groups::create(tx, name, parent, properties(input), tags(input)))?;
    Ok(json!({
        "thingGroupName": group.name,
        "thingGroupArn": group.arn,
        "thingGroupId": group.id,
    }))
}

fn describe(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let group = groups::find(&state, input.required("thingGroupName"))?;
    let mut properties = Map::new();
    put(
        &mut properties,
        "thingGroupDescription",
        group.description.as_deref(),
    );
    if let Some(attributes) = &group.attributes {
        let payload = json!({ "attributes": attributes });
        properties.insert("attributePayload".to_owned(), payload);
    }
    Ok(json!({
        "thingGroupName": group.name,
        "thingGroupId": group.id,
        "thingGroupArn": group.arn,
        "version": group.version,
        "thingGroupProperties": properties,
        "thingGroupMetadata": metadata(&state, &group),
    }))
}

fn metadata(state: &State, group: &ThingGroup) -> Value {
    let mut metadata = Map::new();
    if let Some(parent) = &group.parent {
        let mut path: Vec<_> = state
            .group_and_ancestors(parent)
            .iter()
            .map(|group| named(group))
            .collect();
        path.reverse();
        put(&mut metadata, "parentGroupName", Some(parent.as_str()));
        put(&mut metadata, "rootToParentThingGroups", Some(path));
    }
    put(
        &mut metadata,
        "creationDate",
        Some(group.creation_date.seconds()),
    );
    Value::Object(metadata)
}

fn named(group: &ThingGroup) -> Value {
    json!({ "groupName": group.name, "groupArn": group.arn })
}

fn list(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let prefix = input.text("namePrefixFilter").unwrap_or_default();
    let recursive = input.optional_flag("recursive");
    // Groups of any depth unless the caller narrows it down: below a parent, or the top level only.
    let within: Option<BTreeSet<String>> = match input.text("parentGroup") {
        Some(parent) => {
            groups::find(&state, parent)?;
            let found = match recursive {
                Some(false) => state.children_of_group(parent),
                _ => state.descendants_of_group(parent),
            };
            Some(found.into_iter().collect())
        }
        None => None,
    };
    let top_only = within.is_none() && recursive == Some(false);
    let page = Page::tokened(input)?;
    Ok(
        page.of_map("thingGroups", &state.thing_groups, |name, group| {
            let wanted = name.starts_with(prefix)
                && within.as_ref().is_none_or(|within| within.contains(name))
                && !(top_only && group.parent.is_some());
            wanted.then(|| named(group))
        }),
    )
}

fn update(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, expected) = (
        input.required("thingGroupName"),
        input.number("expectedVersion"),
    );
    let version = account.write(|tx| groups::update(tx, name, properties(input), expected))?;
    Ok(json!({ "version": version }))
}

fn delete(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let expected = input.number("expectedVersion");
    account.write(|tx| groups::delete(tx, input.required("thingGroupName"), expected))?;
    Ok(Value::Null)
}

fn add_thing(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (group, thing) = group_and_thing(&account.snapshot().scope, input, "thingGroup")?;
    account.write(|tx| groups::add_thing(tx, &group, &thing))?;
    Ok(Value::Null)
}

fn remove_thing(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (group, thing) = group_and_thing(&account.snapshot().scope, input, "thingGroup")?;
    account.write(|tx| groups::remove_thing(tx, &group, &thing))?;
    Ok(Value::Null)
}

fn list_for_thing(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let thing = input.required("thingName");
    things::find(&state, thing)?;
    let items = state
        .groups_of_thing(thing)
        .into_iter()
        .filter_map(|name| {
            let item = named(state.thing_groups.get(&name)?);
            Some((name, item))
        })
        .collect();
    Ok(Page::tokened(input)?.of_keyed("thingGroups", items))
}

fn list_things(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let group = input.required("thingGroupName");
    groups::find(&state, group)?;
    let mut names: BTreeSet<String> = state.things_of_group(group).into_iter().collect();
    if input.flag("recursive") {
        for below in state.descendants_of_group(group) {
            names.extend(state.things_of_group(&below));
        }
    }
    let items = names.into_iter().map(|name| (name.clone(), json!(name)));
    Ok(Page::tokened(input)?.of_keyed("things", items.collect()))
}

fn update_for_thing(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let Some(thing) = input.text("thingName") else {
        return Err(ApiError::invalid_request("thingName must be given"));
    };
    account.write(|tx| {
        for group in input.texts("thingGroupsToRemove") {
            groups::remove_thing(tx, group, thing)?;
        }
        for group in input.texts("thingGroupsToAdd") {
            groups::add_thing(tx, group, thing)?;
        }
        Ok(())
    })?;
    Ok(Value::Null)
}
