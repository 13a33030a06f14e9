//! Policies, their versions and their attachments, in the present and the deprecated calls.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Handler;
use super::fields::tags;
use super::paging::Page;
use crate::account::{Account, ApiError, Policy, PolicyVersion, State, policies, principals};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreatePolicy", create),
    ("GetPolicy", get),
    ("ListPolicies", list),
    ("DeletePolicy", delete),
    ("CreatePolicyVersion", create_version),
    ("GetPolicyVersion", get_version),
    ("ListPolicyVersions", list_versions),
    ("SetDefaultPolicyVersion", set_default_version),
    ("DeletePolicyVersion", delete_version),
    ("AttachPolicy", attach),
    ("DetachPolicy", detach),
    ("ListAttachedPolicies", list_attached),
    ("ListTargetsForPolicy", list_targets),
    ("AttachPrincipalPolicy", attach_principal),
    ("DetachPrincipalPolicy", detach_principal),
    ("ListPrincipalPolicies", list_principal_policies),
    ("ListPolicyPrincipals", list_policy_principals),
];

fn create(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, document) = (
        input.required("policyName"),
        input.required("policyDocument"),
    );
    let policy = account.write(|tx| policies::create(tx, name, document, tags(input)))?;
    Ok(json!({
        "policyName": name,
        "policyArn": policy.arn,
        "policyDocument": document,
        "policyVersionId": "1",
    }))
}

fn get(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let policy = policies::find(&account.snapshot(), input.required("policyName"))?;
    let version = default_version(&policy)?;
    Ok(json!({
        "policyName": policy.name,
        "policyArn": policy.arn,
        "policyDocument": version.text,
        "defaultVersionId": policy.default_version.to_string(),
        "creationDate": policy.creation_date.seconds(),
        "lastModifiedDate": policy.last_modified_date.seconds(),
        "generationId": policy.generation_id,
    }))
}

fn default_version(policy: &Policy) -> Result<&PolicyVersion, ApiError> {
    let version = policy.default_document();
    version.ok_or_else(|| ApiError::internal("the policy has lost its default version"))
}

fn list(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let ages = state
        .policies
        .values()
        .map(|policy| (policy.creation_date, Arc::from(policy.name.as_str())))
        .collect();
    let page = Page::marked(input)?;
    Ok(page.of_ages("policies", &ages, false, |name| {
        state.policies.get(name).map(|policy| summary(policy))
    }))
}

fn summary(policy: &Policy) -> Value {
    json!({ "policyName": policy.name, "policyArn": policy.arn })
}

fn delete(account: &Account, input: &Input) -> Result<Value, ApiError> {
    account.write(|tx| policies::delete(tx, input.required("policyName")))?;
    Ok(Value::Null)
}

fn create_version(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, document) = (
        input.required("policyName"),
        input.required("policyDocument"),
    );
    let default = input.flag("setAsDefault");
    let number = account.write(|tx| policies::create_version(tx, name, document, default))?;
    Ok(json!({
        "policyArn": account.snapshot().scope.arn("policy", name),
        "policyDocument": document,
        "policyVersionId": number.to_string(),
        "isDefaultVersion": default,
    }))
}

fn get_version(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let policy = policies::find(&account.snapshot(), input.required("policyName"))?;
    let number = policies::version_number(&policy, input.required("policyVersionId"))?;
    let version = &policy.versions[&number];
    Ok(json!({
        "policyArn": policy.arn,
        "policyName": policy.name,
        "policyDocument": version.text,
        "policyVersionId": number.to_string(),
        "isDefaultVersion": policy.default_version == number,
        "creationDate": version.creation_date.seconds(),
        "lastModifiedDate": version.creation_date.seconds(),
        "generationId": policy.generation_id,
    }))
}

fn list_versions(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let policy = policies::find(&account.snapshot(), input.required("policyName"))?;
    let versions = policy.versions.iter().map(|(number, version)| {
        json!({
            "versionId": number.to_string(),
            "isDefaultVersion": policy.default_version == *number,
            "createDate": version.creation_date.seconds(),
        })
    });
    Ok(json!({ "policyVersions": versions.collect::<Vec<_>>() }))
}

fn set_default_version(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, version) = (
        input.required("policyName"),
        input.required("policyVersionId"),
    );
    account.write(|tx| policies::set_default_version(tx, name, version))?;
    Ok(Value::Null)
}

fn delete_version(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, version) = (
        input.required("policyName"),
        input.required("policyVersionId"),
    );
    account.write(|tx| policies::delete_version(tx, name, version))?;
    Ok(Value::Null)
}

fn attach(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, target) = (input.required("policyName"), input.required("target"));
    account.write(|tx| policies::attach(tx, name, target))?;
    Ok(Value::Null)
}

fn detach(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, target) = (input.required("policyName"), input.required("target"));
    account.write(|tx| policies::detach(tx, name, target))?;
    Ok(Value::Null)
}

fn list_attached(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let target = input.required("target");
    policies::judge_target(&state, target)?;
    let mut names = state.policy_names_of_target(target);
    if input.flag("recursive") {
        names.extend(inherited(&state, target));
        names.sort();
        names.dedup();
    }
    Ok(Page::marked(input)?.of_keyed("policies", summaries(&state, names)))
}

/// Policies of the groups above: of a group's ancestors, or of the groups of a certificate's things.
fn inherited(state: &State, target: &str) -> Vec<String> {
    let mut groups = Vec::new();
    if let Some(group) = state.scope.name_in(target, "thinggroup") {
        groups.extend(state.group_and_ancestors(group));
    } else {
        for (thing, _) in state.things_of_principal(target) {
            for group in state.groups_of_thing(&thing.name) {
                groups.extend(state.group_and_ancestors(&group));
            }
        }
    }
    let policies = groups
        .iter()
        .flat_map(|group| state.policy_names_of_target(&group.arn));
    policies.collect()
}

fn summaries(state: &State, names: Vec<String>) -> Vec<(String, Value)> {
    names
        .into_iter()
        .filter_map(|name| {
            let item = summary(state.policies.get(&name)?);
            Some((name, item))
        })
        .collect()
}

fn list_targets(account: &Account, input: &Input) -> Result<Value, ApiError> {
    targets(account, input, "targets")
}

fn targets(account: &Account, input: &Input, list_name: &str) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let name = input.required("policyName");
    policies::find(&state, name)?;
    let items = state
        .targets_of_policy(name)
        .into_iter()
        .map(|target| (target.clone(), json!(target)));
    Ok(Page::marked(input)?.of_keyed(list_name, items.collect()))
}

fn attach_principal(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, principal) = (input.required("policyName"), input.required("principal"));
    account.write(|tx| {
        principals::judge_principal(tx, principal)?;
        policies::attach(tx, name, principal)
    })?;
    Ok(Value::Null)
}

fn detach_principal(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, principal) = (input.required("policyName"), input.required("principal"));
    account.write(|tx| {
        policies::find(tx, name)?;
        policies::detach(tx, name, principal)
    })?;
    Ok(Value::Null)
}

fn list_principal_policies(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let principal = input.required("principal");
    principals::judge_principal(&state, principal)?;
    let names = state.policy_names_of_target(principal);
    Ok(Page::marked(input)?.of_keyed("policies", summaries(&state, names)))
}

fn list_policy_principals(account: &Account, input: &Input) -> Result<Value, ApiError> {
    targets(account, input, "principals")
}
