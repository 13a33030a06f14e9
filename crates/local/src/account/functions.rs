//! Functions of AWS Lambda: made of a zip file, changed, called by those with a permission, deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::records::{Function, Permission};
use super::wildcard::is_like;
use super::{ApiError, State, Transaction};

/// What CreateFunction is asked.
#[derive(Clone, Debug, Default)]
pub struct CreateFunction {
    /// Its name.
    pub name: String,
    /// The zip file.
    pub code: Bytes,
    /// Its runtime.
    pub runtime: String,
    /// The role it runs under.
    pub role: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// The rest.
    pub settings: Settings,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What can be changed later; absent members stay as they are.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What the program is told as `_HANDLER`.
    pub handler: Option<String>,
    /// A description.
    pub description: Option<String>,
    /// Seconds a call may take.
    pub timeout: Option<u64>,
    /// Megabytes.
    pub memory_size: Option<u64>,
    /// Environment variables.
    pub environment: Option<BTreeMap<String, String>>,
    /// Its runtime.
    pub runtime: Option<String>,
    /// The role it runs under.
    pub role: Option<String>,
}

/// A function of the account.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find(state: &State, name: &str) -> Result<Arc<Function>, ApiError> {
    let function = state.functions.get(name).cloned();
    function.ok_or_else(|| ApiError::not_found(format!("Function not found: {}", arn(state, name))))
}

/// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
pub fn arn(state: &State, name: &str) -> String {
    let scope = &state.scope;
    format!(
        "arn:aws:lambda:{}:{}:function:{name}",
        scope.region, scope.account_id
    )
}

/// The name in what a caller may write: a name, an ARN or the end of one, with or without a version or
/// alias, of which `$LATEST` is the only one there is.
///
/// # Errors
/// `ResourceNotFoundException` for another version or alias.
pub fn name_in(text: &str) -> Result<&str, ApiError> {
    let rest = match text.split_once("function:") {
        Some((_, rest)) => rest,
        None => text,
    };
    match rest.split_once(':') {
        None => Ok(rest),
        Some((name, "$LATEST")) => Ok(name),
        Some((name, other)) => Err(ApiError::not_found(format!(
            "Function {name} has no version or alias {other}; there is $LATEST alone"
        ))),
    }
}

/// Creates a function.
///
/// # Errors
/// `ResourceConflictException` when it exists.
pub fn create(tx: &mut Transaction, ask: CreateFunction) -> Result<Arc<Function>, ApiError> {
    if tx.functions.contains_key(&ask.name) {
        return Err(ApiError::new(
            "ResourceConflictException",
            format!("Function already exist: {}", ask.name),
        ));
    }
    let mut function = Function {
        arn: arn(tx, &ask.name),
        name: ask.name,
        runtime: ask.runtime,
        role: ask.role,
        handler: String::new(),
        description: String::new(),
        timeout: 3,
        memory_size: 128,
        environment: BTreeMap::new(),
        architecture: ask.architecture,
        code_sha256: hash(&ask.code),
        code: ask.code,
        permissions: BTreeMap::new(),
        tags: ask.tags,
        last_modified: tx.now(),
        revision_id: String::new(),
        policy_revision_id: String::new(),
    };
    apply(&mut function, ask.settings);
    put_changed(tx, function, true)
}

/// Replaces the code.
///
/// # Errors
/// `ResourceNotFoundException`, `PreconditionFailedException`.
pub fn update_code(
    tx: &mut Transaction,
    name: &str,
    code: Bytes,
    architecture: Option<String>,
    revision: Option<&str>,
) -> Result<Arc<Function>, ApiError> {
    let mut function = Function::clone(&*find(tx, name)?);
    judge_revision(&function.revision_id, revision)?;
    function.code_sha256 = hash(&code);
    function.code = code;
    function.architecture = architecture.unwrap_or(function.architecture);
    put_changed(tx, function, true)
}

/// Changes everything but the code.
///
/// # Errors
/// `ResourceNotFoundException`, `PreconditionFailedException`.
pub fn update_settings(
    tx: &mut Transaction,
    name: &str,
    settings: Settings,
    revision: Option<&str>,
) -> Result<Arc<Function>, ApiError> {
    let mut function = Function::clone(&*find(tx, name)?);
    judge_revision(&function.revision_id, revision)?;
    apply(&mut function, settings);
    put_changed(tx, function, false)
}

/// Deletes a function.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn delete(tx: &mut Transaction, name: &str) -> Result<(), ApiError> {
    find(tx, name)?;
    tx.remove_function(name);
    Ok(())
}

/// Lets somebody call a function.
///
/// # Errors
/// `ResourceNotFoundException`, `ResourceConflictException`, `PreconditionFailedException`.
pub fn add_permission(
    tx: &mut Transaction,
    name: &str,
    statement_id: &str,
    permission: Permission,
    revision: Option<&str>,
) -> Result<Value, ApiError> {
    let mut function = Function::clone(&*find(tx, name)?);
    judge_revision(&function.policy_revision_id, revision)?;
    if function.permissions.contains_key(statement_id) {
        return Err(ApiError::new(
            "ResourceConflictException",
            format!(
                "The statement id ({statement_id}) provided already exists. Please provide a new statement id, or remove the existing statement."
            ),
        ));
    }
    let text = statement(&function.arn, statement_id, &permission);
    function
        .permissions
        .insert(statement_id.to_owned(), permission);
    put_permissions(tx, function)?;
    Ok(text)
}

/// Takes a permission away.
///
/// # Errors
/// `ResourceNotFoundException`, `PreconditionFailedException`.
pub fn remove_permission(
    tx: &mut Transaction,
    name: &str,
    statement_id: &str,
    revision: Option<&str>,
) -> Result<(), ApiError> {
    let mut function = Function::clone(&*find(tx, name)?);
    judge_revision(&function.policy_revision_id, revision)?;
    if function.permissions.remove(statement_id).is_none() {
        return Err(ApiError::not_found(format!(
            "Statement {statement_id} is not found in resource policy."
        )));
    }
    put_permissions(tx, function)
}

/// The permissions as the policy document they stand for.
///
/// # Errors
/// `ResourceNotFoundException` when there are none.
pub fn policy(function: &Function) -> Result<Value, ApiError> {
    if function.permissions.is_empty() {
        return Err(ApiError::not_found(
            "The resource you requested does not exist.",
        ));
    }
    let statements = function.permissions.iter();
    let statements = statements.map(|(id, permission)| statement(&function.arn, id, permission));
    Ok(json!({
        "Version": "2012-10-17",
        "Id": "default",
        "Statement": statements.collect::<Vec<_>>(),
    }))
}

/// Whether a service may call a function on behalf of a resource and its account.
pub fn may_be_called(function: &Function, service: &str, source_arn: &str, account: &str) -> bool {
    function.permissions.values().any(|permission| {
        let action = ["lambda:InvokeFunction", "lambda:*", "*"];
        action.contains(&permission.action.as_str())
            && (permission.principal == service || permission.principal == "*")
            && permission
                .source_arn
                .as_deref()
                .is_none_or(|pattern| is_like(pattern, source_arn))
            && permission
                .source_account
                .as_deref()
                .is_none_or(|wanted| wanted == account)
    })
}

fn statement(arn: &str, id: &str, permission: &Permission) -> Value {
    let is_service = permission.principal.contains(".amazonaws.com");
    let principal = match permission.principal.as_str() {
        "*" => json!("*"),
        service if is_service => json!({ "Service": service }),
        other => json!({ "AWS": other }),
    };
    let mut statement = json!({
        "Sid": id,
        "Effect": "Allow",
        "Principal": principal,
        "Action": permission.action,
        "Resource": arn,
    });
    let mut condition = json!({});
    if let Some(account) = &permission.source_account {
        condition["StringEquals"] = json!({ "AWS:SourceAccount": account });
    }
    if let Some(source) = &permission.source_arn {
        condition["ArnLike"] = json!({ "AWS:SourceArn": source });
    }
    if condition != json!({}) {
        statement["Condition"] = condition;
    }
    statement
}

fn apply(function: &mut Function, settings: Settings) {
    let Settings {
        handler,
        description,
        timeout,
        memory_size,
        environment,
        runtime,
        role,
    } = settings;
    function.handler = handler.unwrap_or(std::mem::take(&mut function.handler));
    function.description = description.unwrap_or(std::mem::take(&mut function.description));
    function.timeout = timeout.unwrap_or(function.timeout);
    function.memory_size = memory_size.unwrap_or(function.memory_size);
    function.environment = environment.unwrap_or(std::mem::take(&mut function.environment));
    function.runtime = runtime.unwrap_or(std::mem::take(&mut function.runtime));
    function.role = role.unwrap_or(std::mem::take(&mut function.role));
}

fn judge_revision(present: &str, wanted: Option<&str>) -> Result<(), ApiError> {
    match wanted {
        Some(wanted) if wanted != present => Err(ApiError::new(
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id",
        )),
        _ => Ok(()),
    }
}

fn put_changed(
    tx: &mut Transaction,
    mut function: Function,
    code_is_new: bool,
) -> Result<Arc<Function>, ApiError> {
    function.last_modified = tx.now();
    function.revision_id = tx.new_id();
    let name = function.name.clone();
    tx.put_function(function, code_is_new)?;
    find(tx, &name)
}

fn put_permissions(tx: &mut Transaction, mut function: Function) -> Result<(), ApiError> {
    function.policy_revision_id = tx.new_id();
    tx.put_function(function, false)
}

fn hash(code: &[u8]) -> String {
    STANDARD.encode(digest::digest(&digest::SHA256, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_goes_by_many_names() {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:hook";
        for text in ["hook", "hook:$LATEST", arn, "123456789012:function:hook"] {
            assert_eq!(name_in(text).unwrap(), "hook", "{text}");
        }
        assert!(name_in("hook:7").is_err());
    }
}
