//! Things of the registry: idempotent creation, versions, attributes, and what stands in the way of deletion.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::records::Thing;
use super::{ApiError, State, Transaction, billing_groups, types};

/// Attributes of a thing without a type, and with one (AWS General Reference, "AWS IoT Core endpoints and quotas").
const ATTRIBUTES_WITHOUT_TYPE: usize = 3;
const ATTRIBUTES_WITH_TYPE: usize = 50;

/// Octets of all attribute names and values of a thing: 47 KB.
const ATTRIBUTES_SIZE: usize = 47 * 1024;

/// What CreateThing is asked.
#[derive(Clone, Debug, Default)]
pub struct CreateThing {
    /// Its name, checked by the caller.
    pub name: String,
    /// Its type.
    pub type_name: Option<String>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// Its billing group.
    pub billing_group: Option<String>,
}

/// What UpdateThing is asked; absent members stay as they are.
#[derive(Clone, Debug, Default)]
pub struct UpdateThing {
    /// A new type.
    pub type_name: Option<String>,
    /// Whether to have no type any more.
    pub remove_type: bool,
    /// New attributes.
    pub attributes: Option<BTreeMap<String, String>>,
    /// Whether they are merged with the present ones; an empty value removes one.
    pub merge: bool,
    /// The version the caller believes to change.
    pub expected_version: Option<u64>,
}

/// A thing of the account.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find(state: &State, name: &str) -> Result<Arc<Thing>, ApiError> {
    let thing = state.things.get(name).cloned();
    thing.ok_or_else(|| ApiError::not_found(format!("Thing {name} cannot be found.")))
}

/// Creates a thing, or finds the one that is already just so.
///
/// # Errors
/// `ResourceAlreadyExistsException` when it exists otherwise, `ResourceNotFoundException` for an unknown
/// type or billing group, `InvalidRequestException` for a deprecated type or too many attributes.
pub fn create(tx: &mut Transaction, ask: CreateThing) -> Result<Arc<Thing>, ApiError> {
    let mut attributes = ask.attributes;
    attributes.retain(|_, value| !value.is_empty());
    if let Some(thing) = tx.things.get(ask.name.as_str()) {
        let same = thing.type_name == ask.type_name
            && thing.attributes == attributes
            && (ask.billing_group.is_none() || thing.billing_group == ask.billing_group);
        if same {
            return Ok(Arc::clone(thing));
        }
        return Err(ApiError::already_exists(
            format!(
                "Thing {} already exists in account with different attributes, type or billing group",
                ask.name
            ),
            &thing.name,
            &thing.arn,
        ));
    }
    if let Some(name) = &ask.type_name
        && types::find(tx, name)?.deprecation_date.is_some()
    {
        return Err(ApiError::invalid_request(format!(
            // The spelling is AWS's own.
            "Can not create new thing with depreated thing type:{name}"
        )));
    }
    if let Some(name) = &ask.billing_group {
        billing_groups::find(tx, name)?;
    }
    judge_attributes(&attributes, ask.type_name.is_some())?;
    let name = ask.name;
    tx.put_thing(Thing {
        id: tx.new_id(),
        arn: tx.scope.arn("thing", &name),
        name: name.clone(),
        type_name: ask.type_name,
        attributes,
        version: 1,
        billing_group: ask.billing_group,
        creation_date: tx.now(),
    })?;
    find(tx, &name)
}

/// Changes a thing and raises its version.
///
/// # Errors
/// `ResourceNotFoundException`, `VersionConflictException`, `InvalidRequestException`.
pub fn update(tx: &mut Transaction, name: &str, ask: UpdateThing) -> Result<(), ApiError> {
    let mut thing = Thing::clone(&*find(tx, name)?);
    ApiError::expect_version(name, ask.expected_version, thing.version)?;
    if ask.remove_type && ask.type_name.is_some() {
        return Err(ApiError::invalid_request(
            "thingTypeName and removeThingType exclude each other",
        ));
    }
    if let Some(type_name) = ask.type_name {
        if types::find(tx, &type_name)?.deprecation_date.is_some() {
            return Err(ApiError::invalid_request(format!(
                "Can not update a thing to use deprecated thing type: {type_name}"
            )));
        }
        thing.type_name = Some(type_name);
    }
    if ask.remove_type {
        thing.type_name = None;
    }
    if let Some(attributes) = ask.attributes {
        if !ask.merge {
            thing.attributes.clear();
        }
        thing.attributes.extend(attributes);
        thing.attributes.retain(|_, value| !value.is_empty());
    }
    judge_attributes(&thing.attributes, thing.type_name.is_some())?;
    thing.version += 1;
    tx.put_thing(thing)
}

/// Puts a thing into a billing group, out of any other. Version and attributes stay.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn join_billing_group(tx: &mut Transaction, name: &str, group: &str) -> Result<(), ApiError> {
    billing_groups::find(tx, group)?;
    let thing = find(tx, name)?;
    tx.put_billing_group_of(&thing, Some(group))
}

/// Takes a thing out of a billing group. One that is not in it is already out.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn leave_billing_group(tx: &mut Transaction, name: &str, group: &str) -> Result<(), ApiError> {
    billing_groups::find(tx, group)?;
    let thing = find(tx, name)?;
    match thing.billing_group.as_deref() == Some(group) {
        true => tx.put_billing_group_of(&thing, None),
        false => Ok(()),
    }
}

/// Deletes a thing; one that does not exist is already deleted.
///
/// # Errors
/// `InvalidRequestException` while principals are attached, `VersionConflictException`.
pub fn delete(
    tx: &mut Transaction,
    name: &str,
    expected_version: Option<u64>,
) -> Result<(), ApiError> {
    let Some(thing) = tx.things.get(name).cloned() else {
        return Ok(());
    };
    ApiError::expect_version(name, expected_version, thing.version)?;
    if !tx.principals_of_thing(name).is_empty() {
        return Err(ApiError::invalid_request(format!(
            "Cannot delete. Thing {name} is still attached to one or more principals"
        )));
    }
    tx.remove_thing(name);
    Ok(())
}

fn judge_attributes(attributes: &BTreeMap<String, String>, typed: bool) -> Result<(), ApiError> {
    let limit = if typed {
        ATTRIBUTES_WITH_TYPE
    } else {
        ATTRIBUTES_WITHOUT_TYPE
    };
    if attributes.len() > limit {
        return Err(ApiError::invalid_request(format!(
            "A thing {} a thing type may have at most {limit} attributes, not {}",
            if typed { "with" } else { "without" },
            attributes.len()
        )));
    }
    let size: usize = attributes.iter().map(|(k, v)| k.len() + v.len()).sum();
    if size > ATTRIBUTES_SIZE {
        return Err(ApiError::invalid_request(format!(
            "The attributes of a thing may take {ATTRIBUTES_SIZE} bytes, not {size}"
        )));
    }
    Ok(())
}
