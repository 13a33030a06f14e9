//! Billing groups: a label for the bill; a thing has at most one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::records::BillingGroup;
use super::{ApiError, State, Transaction};

/// A billing group of the account.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find(state: &State, name: &str) -> Result<Arc<BillingGroup>, ApiError> {
    let group = state.billing_groups.get(name).cloned();
    group.ok_or_else(|| ApiError::not_found(format!("Billing group {name} cannot be found.")))
}

/// Creates a billing group, or finds the one that is already just so (API Reference, CreateBillingGroup).
///
/// # Errors
/// `ResourceAlreadyExistsException` when it exists otherwise.
pub fn create(
    tx: &mut Transaction,
    name: &str,
    description: Option<&str>,
    tags: BTreeMap<String, String>,
) -> Result<Arc<BillingGroup>, ApiError> {
    if let Some(group) = tx.billing_groups.get(name) {
        if group.description.as_deref() == description {
            return Ok(Arc::clone(group));
        }
        return Err(ApiError::already_exists(
            format!("Billing group {name} already exists in account with different properties"),
            name,
            &group.arn,
        ));
    }
    let arn = tx.scope.arn("billinggroup", name);
    tx.put_billing_group(BillingGroup {
        name: name.to_owned(),
        id: tx.new_id(),
        arn: arn.clone(),
        description: description.map(str::to_owned),
        version: 1,
        creation_date: tx.now(),
    })?;
    tx.put_tags(&arn, tags)?;
    find(tx, name)
}

/// Changes the description; answers the new version.
///
/// # Errors
/// `ResourceNotFoundException`, `VersionConflictException`.
pub fn update(
    tx: &mut Transaction,
    name: &str,
    description: Option<&str>,
    expected_version: Option<u64>,
) -> Result<u64, ApiError> {
    let mut group = BillingGroup::clone(&*find(tx, name)?);
    ApiError::expect_version(name, expected_version, group.version)?;
    if let Some(description) = description {
        group.description = Some(description.to_owned());
    }
    group.version += 1;
    let version = group.version;
    tx.put_billing_group(group)?;
    Ok(version)
}

/// Deletes a billing group; its things have none afterwards. One that does not exist is already deleted.
///
/// # Errors
/// `VersionConflictException`.
pub fn delete(
    tx: &mut Transaction,
    name: &str,
    expected_version: Option<u64>,
) -> Result<(), ApiError> {
    let Some(group) = tx.billing_groups.get(name).cloned() else {
        return Ok(());
    };
    ApiError::expect_version(name, expected_version, group.version)?;
    tx.remove_billing_group(name)
}
