//! Registry events: what the registry publishes about its changes, where event configurations ask for it.
//!
//! Developer guide, "Registry events". Delivery is the broker's: at least once, in no particular order.

use serde_json::{Map, Value, json};

use super::clock::Timestamp;
use super::records::{Thing, ThingGroup, ThingType};
use super::state::State;

/// A message of the registry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegistryEvent {
    /// Topic under `$aws/events/`.
    pub topic: String,
    /// The event in JSON.
    pub payload: String,
}

/// What happened to a record, in the words of topic and payload.
type Verb = (&'static str, &'static str);

const CREATED: Verb = ("created", "CREATED");
const UPDATED: Verb = ("updated", "UPDATED");
const DELETED: Verb = ("deleted", "DELETED");
const ADDED: Verb = ("added", "ADDED");
const REMOVED: Verb = ("removed", "REMOVED");

/// Says what the registry publishes of a change: nothing where its kind is not switched on.
pub(super) struct Events<'a> {
    state: &'a State,
    now: Timestamp,
}

impl<'a> Events<'a> {
    /// For a change of this state at this moment.
    pub(super) fn new(state: &'a State, now: Timestamp) -> Self {
        Self { state, now }
    }

    /// A thing came, changed or went.
    pub(super) fn thing(
        &self,
        before: Option<&Thing>,
        after: Option<&Thing>,
    ) -> Vec<RegistryEvent> {
        let mut events = Vec::new();
        let verb = match (before, after) {
            (None, Some(_)) => Some(CREATED),
            (Some(_), None) => Some(DELETED),
            // A billing group is no part of the thing: its version stays.
            (Some(before), Some(after)) => (before.version != after.version).then_some(UPDATED),
            (None, None) => None,
        };
        if let (Some(verb), Some(thing)) = (verb, after.or(before)) {
            events.extend(
                self.event("THING", format!("thing/{}", thing.name), verb, || {
                    members(json!({
                        "thingId": thing.id,
                        "thingName": thing.name,
                        "versionNumber": thing.version,
                        "thingTypeName": thing.type_name,
                        "attributes": thing.attributes,
                    }))
                }),
            );
        }
        let (old, new) = (
            before.and_then(|thing| thing.type_name.as_deref()),
            after.and_then(|thing| thing.type_name.as_deref()),
        );
        if old == new {
            return events;
        }
        for (thing, type_name, verb) in [(before, old, REMOVED), (after, new, ADDED)] {
            let (Some(thing), Some(type_name)) = (thing, type_name) else {
                continue;
            };
            let topic = format!(
                "thingTypeAssociation/thing/{}/thingType/{type_name}",
                thing.name
            );
            events.extend(self.event("THING_TYPE_ASSOCIATION", topic, verb, || {
                members(json!({
                    "thingId": thing.id,
                    "thingName": thing.name,
                    "thingTypeName": type_name,
                }))
            }));
        }
        events
    }

    /// A thing type came, changed, was deprecated or went.
    pub(super) fn thing_type(
        &self,
        before: Option<&ThingType>,
        after: Option<&ThingType>,
    ) -> Vec<RegistryEvent> {
        let Some((verb, thing_type)) = verb_of(before, after) else {
            return Vec::new();
        };
        let topic = format!("thingType/{}", thing_type.name);
        let event = self.event("THING_TYPE", topic, verb, || {
            let property = |name: &str| thing_type.properties.get(name).cloned();
            members(json!({
                "thingTypeId": thing_type.id,
                "thingTypeName": thing_type.name,
                "isDeprecated": thing_type.deprecation_date.is_some(),
                "deprecationDate": thing_type.deprecation_date.map(|date| date.milliseconds()),
                "searchableAttributes": property("searchableAttributes").unwrap_or_else(|| json!([])),
                "description": property("thingTypeDescription"),
            }))
        });
        event.into_iter().collect()
    }

    /// A thing group came, changed or went; with its parent it is part of a hierarchy.
    pub(super) fn thing_group(
        &self,
        before: Option<&ThingGroup>,
        after: Option<&ThingGroup>,
    ) -> Vec<RegistryEvent> {
        let Some((verb, group)) = verb_of(before, after) else {
            return Vec::new();
        };
        let mut above = match &group.parent {
            Some(parent) => self.state.group_and_ancestors(parent),
            None => Vec::new(),
        };
        let parent = above.first().cloned();
        above.reverse();
        let topic = format!("thingGroup/{}", group.name);
        let event = self.event("THING_GROUP", topic, verb, || {
            let path = above
                .iter()
                .map(|group| json!({ "groupArn": group.arn, "groupId": group.id }));
            members(json!({
                "thingGroupId": group.id,
                "thingGroupName": group.name,
                "versionNumber": group.version,
                "parentGroupName": parent.as_ref().map(|parent| &parent.name),
                "parentGroupId": parent.as_ref().map(|parent| &parent.id),
                "description": group.description,
                "rootToParentThingGroups": path.collect::<Value>(),
                "attributes": group.attributes,
                "dynamicGroupMappingId": null,
            }))
        });
        let mut events: Vec<RegistryEvent> = event.into_iter().collect();
        let verb = match verb {
            CREATED => ADDED,
            DELETED => REMOVED,
            _ => return events,
        };
        if let Some(parent) = parent {
            let topic = format!(
                "thingGroupHierarchy/thingGroup/{}/childThingGroup/{}",
                parent.name, group.name
            );
            events.extend(self.event("THING_GROUP_HIERARCHY", topic, verb, || {
                members(json!({
                    "thingGroupId": parent.id,
                    "thingGroupName": parent.name,
                    "childGroupId": group.id,
                    "childGroupName": group.name,
                }))
            }));
        }
        events
    }

    /// A thing came into a group, or went out of it.
    pub(super) fn membership(
        &self,
        group: &str,
        thing: &str,
        is_member: bool,
    ) -> Vec<RegistryEvent> {
        let (groups, things) = (&self.state.thing_groups, &self.state.things);
        let (Some(group), Some(thing)) = (groups.get(group), things.get(thing)) else {
            return Vec::new();
        };
        let topic = format!(
            "thingGroupMembership/thingGroup/{}/thing/{}",
            group.name, thing.name
        );
        let verb = if is_member { ADDED } else { REMOVED };
        let event = self.event("THING_GROUP_MEMBERSHIP", topic, verb, || {
            members(json!({
                "groupArn": group.arn,
                "groupId": group.id,
                "thingArn": thing.arn,
                "thingId": thing.id,
                "membershipId": membership_id(&group.id, &thing.id),
            }))
        });
        event.into_iter().collect()
    }

    /// An event, if its kind is switched on.
    fn event(
        &self,
        kind: &str,
        about: String,
        (past, operation): Verb,
        members: impl FnOnce() -> Map<String, Value>,
    ) -> Option<RegistryEvent> {
        let enabled = self.state.event_configurations.enabled.get(kind);
        if enabled != Some(&true) {
            return None;
        }
        let mut event = Map::from_iter([
            ("eventType".to_owned(), json!(format!("{kind}_EVENT"))),
            (
                "eventId".to_owned(),
                json!(uuid::Uuid::new_v4().to_string()),
            ),
            ("timestamp".to_owned(), json!(self.now.milliseconds())),
            ("operation".to_owned(), json!(operation)),
            ("accountId".to_owned(), json!(self.state.scope.account_id)),
        ]);
        event.extend(members());
        Some(RegistryEvent {
            topic: format!("$aws/events/{about}/{past}"),
            payload: Value::Object(event).to_string(),
        })
    }
}

/// How a record whose every change counts has changed, and the record.
fn verb_of<'a, T>(before: Option<&'a T>, after: Option<&'a T>) -> Option<(Verb, &'a T)> {
    match (before, after) {
        (None, Some(after)) => Some((CREATED, after)),
        (Some(_), Some(after)) => Some((UPDATED, after)),
        (Some(before), None) => Some((DELETED, before)),
        (None, None) => None,
    }
}

fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The same UUID whenever the same thing is a member of the same group.
fn membership_id(group_id: &str, thing_id: &str) -> String {
    let text = format!("{group_id}/{thing_id}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}
