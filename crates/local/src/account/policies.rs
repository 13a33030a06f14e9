//! Policies, their versions, and what they are attached to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::principals::is_cognito_identity;
use super::records::{Policy, PolicyVersion};
use super::{ApiError, State, Transaction};
use crate::policy::PolicyDocument;

/// Versions of one policy, policies of one certificate and of one group, and characters of a document not
/// counting white space (AWS General Reference, "AWS IoT Core endpoints and quotas").
const VERSIONS_LIMIT: usize = 5;
const POLICIES_PER_CERTIFICATE: usize = 10;
const POLICIES_PER_GROUP: usize = 2;
const DOCUMENT_LIMIT: usize = 2048;

/// A policy of the account.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find(state: &State, name: &str) -> Result<Arc<Policy>, ApiError> {
    let policy = state.policies.get(name).cloned();
    policy.ok_or_else(|| ApiError::not_found(format!("Policy not found (name={name})")))
}

/// Creates a policy with version 1.
///
/// # Errors
/// `ResourceAlreadyExistsException`, `MalformedPolicyException`.
pub fn create(
    tx: &mut Transaction,
    name: &str,
    document: &str,
    tags: BTreeMap<String, String>,
) -> Result<Arc<Policy>, ApiError> {
    if let Some(policy) = tx.policies.get(name) {
        return Err(ApiError::already_exists(
            format!("Policy cannot be created - name already exists (name={name})"),
            name,
            &policy.arn,
        ));
    }
    let version = judged(tx, document)?;
    let arn = tx.scope.arn("policy", name);
    tx.put_policy(Policy {
        name: name.to_owned(),
        arn: arn.clone(),
        versions: BTreeMap::from([(1, version)]),
        default_version: 1,
        next_version: 2,
        creation_date: tx.now(),
        last_modified_date: tx.now(),
        generation_id: tx.new_id(),
    })?;
    tx.put_tags(&arn, tags)?;
    find(tx, name)
}

/// Adds a version; answers its number.
///
/// # Errors
/// `ResourceNotFoundException`, `MalformedPolicyException`, `VersionsLimitExceededException` for a sixth.
pub fn create_version(
    tx: &mut Transaction,
    name: &str,
    document: &str,
    set_as_default: bool,
) -> Result<u32, ApiError> {
    let mut policy = Policy::clone(&*find(tx, name)?);
    let version = judged(tx, document)?;
    if policy.versions.len() >= VERSIONS_LIMIT {
        return Err(ApiError::new(
            "VersionsLimitExceededException",
            format!(
                "The policy {name} already has the maximum number of versions ({VERSIONS_LIMIT})"
            ),
        ));
    }
    let number = policy.next_version;
    policy.next_version += 1;
    policy.versions.insert(number, version);
    if set_as_default {
        policy.default_version = number;
    }
    put_changed(tx, policy)?;
    Ok(number)
}

/// Makes another version the one that applies.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn set_default_version(
    tx: &mut Transaction,
    name: &str,
    version: &str,
) -> Result<(), ApiError> {
    let mut policy = Policy::clone(&*find(tx, name)?);
    let number = version_number(&policy, version)?;
    if policy.default_version == number {
        return Ok(());
    }
    policy.default_version = number;
    put_changed(tx, policy)
}

/// Deletes a version that does not apply.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidRequestException` for the default version.
pub fn delete_version(tx: &mut Transaction, name: &str, version: &str) -> Result<(), ApiError> {
    let mut policy = Policy::clone(&*find(tx, name)?);
    let number = version_number(&policy, version)?;
    if policy.default_version == number {
        return Err(ApiError::invalid_request(
            "Cannot delete the default version of a policy",
        ));
    }
    policy.versions.remove(&number);
    put_changed(tx, policy)
}

/// The number of a version that exists.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn version_number(policy: &Policy, version: &str) -> Result<u32, ApiError> {
    let number = version.parse().ok();
    number
        .filter(|number| policy.versions.contains_key(number))
        .ok_or_else(|| {
            ApiError::not_found(format!(
                "Policy version {version} of policy {} not found",
                policy.name
            ))
        })
}

/// Deletes a policy that is attached to nothing and has only its default version.
///
/// # Errors
/// `ResourceNotFoundException`, `DeleteConflictException`.
pub fn delete(tx: &mut Transaction, name: &str) -> Result<(), ApiError> {
    let policy = find(tx, name)?;
    if !tx.targets_of_policy(name).is_empty() {
        return Err(ApiError::delete_conflict(format!(
            "The policy cannot be deleted as the policy is attached to one or more principals (name={name})"
        )));
    }
    if policy.versions.len() > 1 {
        return Err(ApiError::delete_conflict(
            // The doubled word is AWS's own.
            "The policy cannot be deleted as versions other than than default version exist",
        ));
    }
    tx.remove_policy(name);
    Ok(())
}

/// Attaches a policy to a certificate, a thing group or a Cognito identity. Doing so again changes nothing.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidRequestException` for another kind of target, `LimitExceededException`.
pub fn attach(tx: &mut Transaction, name: &str, target: &str) -> Result<(), ApiError> {
    find(tx, name)?;
    judge_target(tx, target)?;
    let attached = tx.policy_names_of_target(target);
    if attached.iter().any(|other| other == name) {
        return Ok(());
    }
    let limit = match tx.scope.name_in(target, "thinggroup") {
        Some(_) => POLICIES_PER_GROUP,
        None => POLICIES_PER_CERTIFICATE,
    };
    if attached.len() >= limit {
        return Err(ApiError::limit_exceeded(format!(
            "The maximum number of policies per target ({limit}) has been reached by {target}"
        )));
    }
    tx.put_attachment(name, target)
}

/// Detaches a policy from a target. One that is not attached is already detached.
///
/// # Errors
/// None today; the storage reports its own.
pub fn detach(tx: &mut Transaction, name: &str, target: &str) -> Result<(), ApiError> {
    let attached = tx.policy_names_of_target(target);
    if attached.iter().any(|other| other == name) {
        tx.remove_attachment(name, target);
    }
    Ok(())
}

/// Checks that policies can be attached to a target.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidRequestException`.
pub fn judge_target(state: &State, target: &str) -> Result<(), ApiError> {
    if let Some(id) = state.scope.name_in(target, "cert") {
        return super::certificates::find(state, id).map(|_| ());
    }
    if let Some(name) = state.scope.name_in(target, "thinggroup") {
        return match state.thing_groups.contains_key(name) {
            true => Ok(()),
            false => Err(ApiError::not_found(format!(
                "Thing group {target} cannot be found."
            ))),
        };
    }
    if is_cognito_identity(target) {
        return Ok(());
    }
    Err(ApiError::invalid_request(format!(
        "Target {target} is neither a certificate nor a thing group of this account and region, nor a Cognito identity"
    )))
}

fn judged(tx: &Transaction, text: &str) -> Result<PolicyVersion, ApiError> {
    let malformed = |message: String| ApiError::new("MalformedPolicyException", message);
    let document = PolicyDocument::parse(text)
        .map_err(|error| malformed(format!("Policy document is Malformed: {error}")))?;
    let length = text.chars().filter(|c| !c.is_whitespace()).count();
    if length > DOCUMENT_LIMIT {
        return Err(malformed(format!(
            "Policy document is longer than {DOCUMENT_LIMIT} characters without white space: {length}"
        )));
    }
    Ok(PolicyVersion {
        text: text.to_owned(),
        creation_date: tx.now(),
        document: Arc::new(document),
    })
}

fn put_changed(tx: &mut Transaction, mut policy: Policy) -> Result<(), ApiError> {
    policy.last_modified_date = tx.now();
    policy.generation_id = tx.new_id();
    tx.put_policy(policy)
}
