//! Which registry events are published.

use serde_json::{Map, Value, json};

use super::Handler;
use super::fields::put;
use crate::account::{Account, ApiError, EventConfigurations};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("DescribeEventConfigurations", describe),
    ("UpdateEventConfigurations", update),
];

/// Every event type; all are off until switched on.
const TYPES: [&str; 11] = [
    "CA_CERTIFICATE",
    "CERTIFICATE",
    "JOB",
    "JOB_EXECUTION",
    "POLICY",
    "THING",
    "THING_GROUP",
    "THING_GROUP_HIERARCHY",
    "THING_GROUP_MEMBERSHIP",
    "THING_TYPE",
    "THING_TYPE_ASSOCIATION",
];

fn describe(account: &Account, _: &Input) -> Result<Value, ApiError> {
    let present = account.snapshot().event_configurations.clone();
    let configurations: Map<String, Value> = TYPES
        .iter()
        .map(|kind| {
            let enabled = present.enabled.get(*kind).copied().unwrap_or(false);
            ((*kind).to_owned(), json!({ "Enabled": enabled }))
        })
        .collect();
    let mut answer = Map::new();
    put(
        &mut answer,
        "eventConfigurations",
        Some(Value::Object(configurations)),
    );
    let seconds = |date: Option<crate::account::Timestamp>| date.map(|date| date.seconds());
    put(&mut answer, "creationDate", seconds(present.creation_date));
    put(
        &mut answer,
        "lastModifiedDate",
        seconds(present.last_modified_date),
    );
    Ok(Value::Object(answer))
}

fn update(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let Some(given) = input.object("eventConfigurations") else {
        return Ok(Value::Null);
    };
    account.write(|tx| {
        let mut changed = EventConfigurations::clone(&tx.event_configurations);
        for (kind, configuration) in given {
            let enabled = configuration.get("Enabled").and_then(Value::as_bool);
            changed
                .enabled
                .insert(kind.clone(), enabled.unwrap_or(false));
        }
        changed.creation_date.get_or_insert(tx.now());
        changed.last_modified_date = Some(tx.now());
        tx.put_event_configurations(changed)
    })?;
    Ok(Value::Null)
}
