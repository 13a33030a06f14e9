//! Static thing groups: a tree of limited depth, and things as members.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::records::ThingGroup;
use super::{ApiError, State, Transaction, things};

/// Depth of a hierarchy, children of a group, groups of a thing, attributes of a group (AWS General Reference).
const DEPTH_LIMIT: usize = 7;
const CHILDREN_LIMIT: usize = 100;
const GROUPS_PER_THING: usize = 10;
const ATTRIBUTES_LIMIT: usize = 50;

/// What describes a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupProperties {
    /// What it is for.
    pub description: Option<String>,
    /// Its attributes, and whether they are merged with the present ones.
    pub attributes: Option<BTreeMap<String, String>>,
    /// Whether attributes are merged rather than replaced.
    pub merge: bool,
}

/// A thing group of the account.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find(state: &State, name: &str) -> Result<Arc<ThingGroup>, ApiError> {
    let group = state.thing_groups.get(name).cloned();
    group.ok_or_else(|| ApiError::not_found(format!("Thing group {name} cannot be found.")))
}

/// Creates a group, or finds the one that is already just so.
///
/// # Errors
/// `ResourceAlreadyExistsException` when it exists otherwise, `InvalidRequestException` for an unknown
/// parent (the operation declares no `ResourceNotFoundException`) or a tree too deep or too wide.
pub fn create(
    tx: &mut Transaction,
    name: &str,
    parent: Option<&str>,
    properties: GroupProperties,
    tags: BTreeMap<String, String>,
) -> Result<Arc<ThingGroup>, ApiError> {
    judge_attributes(properties.attributes.as_ref())?;
    if let Some(group) = tx.thing_groups.get(name) {
        let same = group.parent.as_deref() == parent
            && group.description == properties.description
            && group.attributes == properties.attributes;
        if same {
            return Ok(Arc::clone(group));
        }
        return Err(ApiError::already_exists(
            format!(
                "Thing Group {name} already exists in current account with different properties"
            ),
            name,
            &group.arn,
        ));
    }
    if let Some(parent) = parent {
        let path = tx.group_and_ancestors(parent);
        let refuse = |message: String| Err(ApiError::invalid_request(message));
        if path.is_empty() {
            return refuse(format!("Parent thing group {parent} cannot be found."));
        }
        if path.len() >= DEPTH_LIMIT {
            return refuse(format!(
                "A hierarchy of thing groups may be {DEPTH_LIMIT} deep"
            ));
        }
        if tx.children_of_group(parent).len() >= CHILDREN_LIMIT {
            return refuse(format!(
                "A thing group may have {CHILDREN_LIMIT} direct children"
            ));
        }
    }
    let arn = tx.scope.arn("thinggroup", name);
    tx.put_thing_group(ThingGroup {
        name: name.to_owned(),
        id: tx.new_id(),
        arn: arn.clone(),
        parent: parent.map(str::to_owned),
        description: properties.description,
        attributes: properties.attributes,
        version: 1,
        creation_date: tx.now(),
    })?;
    tx.put_tags(&arn, tags)?;
    find(tx, name)
}

/// Changes description and attributes; answers the new version.
///
/// # Errors
/// `ResourceNotFoundException`, `VersionConflictException`, `InvalidRequestException`.
pub fn update(
    tx: &mut Transaction,
    name: &str,
    properties: GroupProperties,
    expected_version: Option<u64>,
) -> Result<u64, ApiError> {
    let mut group = ThingGroup::clone(&*find(tx, name)?);
    ApiError::expect_version(name, expected_version, group.version)?;
    if properties.description.is_some() {
        group.description = properties.description;
    }
    if let Some(attributes) = properties.attributes {
        let mut merged = match group.attributes {
            Some(present) if properties.merge => present,
            _ => BTreeMap::new(),
        };
        merged.extend(attributes);
        merged.retain(|_, value| !value.is_empty());
        group.attributes = Some(merged).filter(|merged| !merged.is_empty());
    }
    judge_attributes(group.attributes.as_ref())?;
    group.version += 1;
    let version = group.version;
    tx.put_thing_group(group)?;
    Ok(version)
}

/// Deletes a group without children; one that does not exist is already deleted.
///
/// # Errors
/// `InvalidRequestException` while it has children, `VersionConflictException`.
pub fn delete(
    tx: &mut Transaction,
    name: &str,
    expected_version: Option<u64>,
) -> Result<(), ApiError> {
    let Some(group) = tx.thing_groups.get(name).cloned() else {
        return Ok(());
    };
    ApiError::expect_version(name, expected_version, group.version)?;
    if !tx.children_of_group(name).is_empty() {
        return Err(ApiError::invalid_request(format!(
            "Cannot delete thing group : {name} when there are still child groups attached to it."
        )));
    }
    tx.remove_thing_group(name);
    Ok(())
}

/// Puts a thing into a group. Doing so again changes nothing.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidRequestException` beyond ten groups or twice in one hierarchy.
pub fn add_thing(tx: &mut Transaction, group: &str, thing: &str) -> Result<(), ApiError> {
    find(tx, group)?;
    things::find(tx, thing)?;
    let present = tx.groups_of_thing(thing);
    if present.iter().any(|other| other == group) {
        return Ok(());
    }
    if present.len() >= GROUPS_PER_THING {
        return Err(ApiError::invalid_request(format!(
            "A thing may be in {GROUPS_PER_THING} thing groups"
        )));
    }
    let root = root_of(tx, group);
    if let Some(other) = present.iter().find(|other| root_of(tx, other) == root) {
        return Err(ApiError::invalid_request(format!(
            "Thing {thing} is already in thing group {other} of the same hierarchy"
        )));
    }
    tx.put_member(group, thing)
}

/// Takes a thing out of a group. One that is not in it is already out.
///
/// # Errors
/// `ResourceNotFoundException` for an unknown group or thing.
pub fn remove_thing(tx: &mut Transaction, group: &str, thing: &str) -> Result<(), ApiError> {
    find(tx, group)?;
    things::find(tx, thing)?;
    if tx.groups_of_thing(thing).iter().any(|other| other == group) {
        tx.remove_member(group, thing);
    }
    Ok(())
}

fn root_of(state: &State, group: &str) -> Option<String> {
    let path = state.group_and_ancestors(group);
    path.last().map(|root| root.name.clone())
}

fn judge_attributes(attributes: Option<&BTreeMap<String, String>>) -> Result<(), ApiError> {
    if attributes.is_some_and(|attributes| attributes.len() > ATTRIBUTES_LIMIT) {
        return Err(ApiError::invalid_request(format!(
            "A thing group may have at most {ATTRIBUTES_LIMIT} attributes"
        )));
    }
    Ok(())
}
