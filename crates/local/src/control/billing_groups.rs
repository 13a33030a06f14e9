//! Billing groups and their things.

use serde_json::{Map, Value, json};

use super::Handler;
use super::fields::{group_and_thing, put, tags, text_in};
use super::paging::Page;
use crate::account::{Account, ApiError, billing_groups, things};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateBillingGroup", create),
    ("DescribeBillingGroup", describe),
    ("ListBillingGroups", list),
    ("UpdateBillingGroup", update),
    ("DeleteBillingGroup", delete),
    ("AddThingToBillingGroup", add_thing),
    ("RemoveThingFromBillingGroup", remove_thing),
    ("ListThingsInBillingGroup", list_things),
];

fn description(input: &Input) -> Option<String> {
    text_in(
        input.object("billingGroupProperties")?,
        "billingGroupDescription",
    )
}

fn create(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, description) = (input.required("billingGroupName"), description(input));
    let group = account
        .write(|tx| billing_groups::create(tx, name, description.as_deref(), tags(input)))?;
    Ok(json!({
        "billingGroupName": group.name,
        "billingGroupArn": group.arn,
        "billingGroupId": group.id,
    }))
}

fn describe(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let group = billing_groups::find(&account.snapshot(), input.required("billingGroupName"))?;
    let mut properties = Map::new();
    put(
        &mut properties,
        "billingGroupDescription",
        group.description.as_deref(),
    );
    Ok(json!({
        "billingGroupName": group.name,
        "billingGroupId": group.id,
        "billingGroupArn": group.arn,
        "version": group.version,
        "billingGroupProperties": properties,
        "billingGroupMetadata": { "creationDate": group.creation_date.seconds() },
    }))
}

fn list(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let prefix = input.text("namePrefixFilter").unwrap_or_default();
    let state = account.snapshot();
    let page = Page::tokened(input)?;
    Ok(
        page.of_map("billingGroups", &state.billing_groups, |name, group| {
            let item = || json!({ "groupName": name, "groupArn": group.arn });
            name.starts_with(prefix).then(item)
        }),
    )
}

fn update(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, description) = (input.required("billingGroupName"), description(input));
    let expected = input.number("expectedVersion");
    let version =
        account.write(|tx| billing_groups::update(tx, name, description.as_deref(), expected))?;
    Ok(json!({ "version": version }))
}

fn delete(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let expected = input.number("expectedVersion");
    account.write(|tx| billing_groups::delete(tx, input.required("billingGroupName"), expected))?;
    Ok(Value::Null)
}

fn add_thing(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (group, thing) = group_and_thing(&account.snapshot().scope, input, "billingGroup")?;
    account.write(|tx| things::join_billing_group(tx, &thing, &group))?;
    Ok(Value::Null)
}

fn remove_thing(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (group, thing) = group_and_thing(&account.snapshot().scope, input, "billingGroup")?;
    account.write(|tx| things::leave_billing_group(tx, &thing, &group))?;
    Ok(Value::Null)
}

fn list_things(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let group = input.required("billingGroupName");
    billing_groups::find(&state, group)?;
    let items = state
        .things_of_billing_group(group)
        .into_iter()
        .map(|name| (name.clone(), json!(name)));
    Ok(Page::tokened(input)?.of_keyed("things", items.collect()))
}
