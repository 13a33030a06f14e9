//! Roles: made, given policies, deleted once they hold none. What a role permits is not enforced.
//!
//! Errors have the names of IAM, which go without the suffix `Exception`.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng;
use serde_json::Value;

use super::records::Role;
use super::{ApiError, State, Transaction};

/// Quotas of IAM (IAM user guide, "IAM and AWS STS quotas"), as an account has them unless it asks for more.
const ROLES_LIMIT: usize = 1000;
const ATTACHED_LIMIT: usize = 10;
const TAGS_LIMIT: usize = 50;
const LONGEST_TRUST_POLICY: usize = 2048;
const LONGEST_INLINE_POLICIES: usize = 10_240;

/// What CreateRole is asked.
#[derive(Clone, Debug, Default)]
pub struct CreateRole {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who may assume it.
    pub trust_policy: String,
    /// Seconds a session may last.
    pub session_seconds: u32,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A role of the account.
///
/// # Errors
/// `NoSuchEntity`.
pub fn find(state: &State, name: &str) -> Result<Arc<Role>, ApiError> {
    let role = state.roles.get(name).cloned();
    role.ok_or_else(|| no_such_entity(format!("The role with name {name} cannot be found.")))
}

/// Creates a role.
///
/// # Errors
/// `EntityAlreadyExists`, `LimitExceeded`, `MalformedPolicyDocument`.
pub fn create(tx: &mut Transaction, ask: CreateRole) -> Result<Arc<Role>, ApiError> {
    if tx.roles.contains_key(&ask.name) {
        return Err(ApiError::new(
            "EntityAlreadyExists",
            format!("Role with name {} already exists.", ask.name),
        ));
    }
    if tx.roles.len() >= ROLES_LIMIT {
        return Err(limit_exceeded("RolesPerAccount", ROLES_LIMIT));
    }
    judge_trust_policy(&ask.trust_policy)?;
    judge_tags(&ask.tags)?;
    let name = ask.name.clone();
    let account = &tx.scope.account_id;
    let arn = format!("arn:aws:iam::{account}:role{}{name}", ask.path);
    tx.put_role(Role {
        id: role_id(),
        arn,
        name: ask.name,
        path: ask.path,
        description: ask.description,
        trust_policy: ask.trust_policy,
        session_seconds: ask.session_seconds,
        attached_policies: Default::default(),
        inline_policies: BTreeMap::new(),
        tags: ask.tags,
        creation_date: tx.now(),
    })?;
    find(tx, &name)
}

/// Changes a role; what would be the same is not written.
///
/// # Errors
/// `NoSuchEntity`, and what the change itself refuses.
pub fn change(
    tx: &mut Transaction,
    name: &str,
    change: impl FnOnce(&mut Role) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let mut role = Role::clone(&*find(tx, name)?);
    change(&mut role)?;
    tx.put_role(role)
}

/// Says who may assume a role.
///
/// # Errors
/// `NoSuchEntity`, `MalformedPolicyDocument`.
pub fn set_trust_policy(tx: &mut Transaction, name: &str, document: &str) -> Result<(), ApiError> {
    judge_trust_policy(document)?;
    change(tx, name, |role| {
        role.trust_policy = document.to_owned();
        Ok(())
    })
}

/// Attaches a managed policy; twice is once.
///
/// # Errors
/// `NoSuchEntity` for a role or policy that does not exist, `LimitExceeded`.
pub fn attach(tx: &mut Transaction, name: &str, policy_arn: &str) -> Result<(), ApiError> {
    change(tx, name, |role| {
        // AWS's own policies are too many to list; the account has none, since none can be made.
        if !policy_arn.starts_with(AWS_OWNED) {
            return Err(no_such_entity(format!(
                "Policy {policy_arn} does not exist or is not attachable."
            )));
        }
        role.attached_policies.insert(policy_arn.to_owned());
        if role.attached_policies.len() > ATTACHED_LIMIT {
            return Err(limit_exceeded("PoliciesPerRole", ATTACHED_LIMIT));
        }
        Ok(())
    })
}

/// Detaches a managed policy.
///
/// # Errors
/// `NoSuchEntity`.
pub fn detach(tx: &mut Transaction, name: &str, policy_arn: &str) -> Result<(), ApiError> {
    change(tx, name, |role| {
        if !role.attached_policies.remove(policy_arn) {
            return Err(no_such_entity(format!(
                "Policy {policy_arn} was not found."
            )));
        }
        Ok(())
    })
}

/// Makes a policy of the role's own, or replaces it.
///
/// # Errors
/// `NoSuchEntity`, `MalformedPolicyDocument`, `LimitExceeded`.
pub fn put_inline(
    tx: &mut Transaction,
    name: &str,
    policy: &str,
    document: &str,
) -> Result<(), ApiError> {
    statements(document)?;
    change(tx, name, |role| {
        role.inline_policies
            .insert(policy.to_owned(), document.to_owned());
        let size: usize = role.inline_policies.values().map(|text| size(text)).sum();
        if size > LONGEST_INLINE_POLICIES {
            let message = format!(
                "Maximum policy size of {LONGEST_INLINE_POLICIES} bytes exceeded for role {name}"
            );
            return Err(ApiError::new("LimitExceeded", message));
        }
        Ok(())
    })
}

/// Deletes a policy of the role's own.
///
/// # Errors
/// `NoSuchEntity`.
pub fn delete_inline(tx: &mut Transaction, name: &str, policy: &str) -> Result<(), ApiError> {
    change(tx, name, |role| match role.inline_policies.remove(policy) {
        Some(_) => Ok(()),
        None => Err(no_such_inline(policy)),
    })
}

/// Adds tags or gives them new values.
///
/// # Errors
/// `NoSuchEntity`, `LimitExceeded`.
pub fn tag(
    tx: &mut Transaction,
    name: &str,
    tags: BTreeMap<String, String>,
) -> Result<(), ApiError> {
    change(tx, name, |role| {
        role.tags.extend(tags);
        judge_tags(&role.tags)
    })
}

/// Deletes a role that holds no policies any more.
///
/// # Errors
/// `NoSuchEntity`, `DeleteConflict`.
pub fn delete(tx: &mut Transaction, name: &str) -> Result<(), ApiError> {
    let role = find(tx, name)?;
    let obstacle = match (
        role.attached_policies.is_empty(),
        role.inline_policies.is_empty(),
    ) {
        (false, _) => "Cannot delete entity, must detach all policies first.",
        (_, false) => "Cannot delete entity, must delete policies first.",
        _ => {
            tx.remove_role(name);
            return Ok(());
        }
    };
    Err(ApiError::new("DeleteConflict", obstacle))
}

/// `NoSuchEntity` for a policy of a role's own.
pub fn no_such_inline(policy: &str) -> ApiError {
    no_such_entity(format!(
        "The role policy with name {policy} cannot be found."
    ))
}

fn no_such_entity(message: String) -> ApiError {
    ApiError::new("NoSuchEntity", message)
}

fn limit_exceeded(quota: &str, limit: usize) -> ApiError {
    ApiError::new(
        "LimitExceeded",
        format!("Cannot exceed quota for {quota}: {limit}"),
    )
}

fn judge_tags(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if tags.len() > TAGS_LIMIT {
        return Err(limit_exceeded("TagsPerRole", TAGS_LIMIT));
    }
    Ok(())
}

/// A trust policy says of each statement who it is about, and not on what.
fn judge_trust_policy(document: &str) -> Result<(), ApiError> {
    if size(document) > LONGEST_TRUST_POLICY {
        return Err(limit_exceeded("ACLSizePerRole", LONGEST_TRUST_POLICY));
    }
    for statement in statements(document)? {
        if statement
            .get("Principal")
            .or(statement.get("NotPrincipal"))
            .is_none()
        {
            return Err(malformed("Missing required field Principal"));
        }
        if statement
            .get("Resource")
            .or(statement.get("NotResource"))
            .is_some()
        {
            return Err(malformed("Has prohibited field Resource"));
        }
    }
    Ok(())
}

/// The statements of a document of which each says what it allows or denies.
fn statements(document: &str) -> Result<Vec<Value>, ApiError> {
    let document: Value = serde_json::from_str(document)
        .map_err(|error| malformed(&format!("This policy contains invalid Json: {error}")))?;
    let statements = match document.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.clone(),
        Some(statement @ Value::Object(_)) => vec![statement.clone()],
        _ => return Err(malformed("Syntax errors in policy: it has no Statement")),
    };
    for statement in &statements {
        if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
            return Err(malformed(
                "Syntax errors in policy: Effect must be Allow or Deny",
            ));
        }
        if statement
            .get("Action")
            .or(statement.get("NotAction"))
            .is_none()
        {
            return Err(malformed("Policy statement must contain actions."));
        }
    }
    Ok(statements)
}

fn malformed(message: &str) -> ApiError {
    ApiError::new("MalformedPolicyDocument", message)
}

/// White space does not count ("IAM and AWS STS quotas").
fn size(document: &str) -> usize {
    document
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .count()
}

/// `AROA` and 17 letters and digits (IAM user guide, "IAM identifiers").
fn role_id() -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut random = rand::rng();
    let letters = (0..17).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]));
    format!("AROA{}", letters.collect::<String>())
}

/// How the ARNs of AWS's own managed policies begin.
const AWS_OWNED: &str = "arn:aws:iam::aws:policy/";
