//! Tags of resources.

use serde_json::{Value, json};

use super::Handler;
use super::fields;
use super::paging::Page;
use crate::account::{Account, ApiError, tags};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("TagResource", tag),
    ("UntagResource", untag),
    ("ListTagsForResource", list),
];

fn tag(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (arn, added) = (input.required("resourceArn"), fields::tags(input));
    account.write(|tx| tags::add(tx, arn, added))?;
    Ok(Value::Null)
}

fn untag(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (arn, keys) = (input.required("resourceArn"), input.texts("tagKeys"));
    account.write(|tx| tags::remove(tx, arn, &keys))?;
    Ok(Value::Null)
}

fn list(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let tags = tags::of(&account.snapshot(), input.required("resourceArn"))?;
    let items = tags
        .into_iter()
        .map(|(key, value)| (key.clone(), json!({ "Key": key, "Value": value })));
    Ok(Page::tokened(input)?.of_keyed("tags", items.collect()))
}
