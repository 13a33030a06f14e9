//! Questions about policies: which ones apply to a principal, and what they would decide.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Map, Value, json};

use super::Handler;
use crate::account::{Account, ApiError, State, policies, things};
use crate::model::Input;
use crate::policy::{
    Action, ArnScope, Authorizer, CertificateVariables, ConnectionContext, POLICY_EXPLICIT_DENY,
    ThingVariables,
};

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("GetEffectivePolicies", effective_policies),
    ("TestAuthorization", test_authorization),
];

/// The policies of a principal, and of the groups of a thing where one is named.
fn effective_policies(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let (principal, thing) = (input.text("principal"), input.text("thingName"));
    if principal.is_none() && thing.is_none() {
        return Err(ApiError::invalid_request(
            "Either principal or thingName must be given",
        ));
    }
    if let Some(thing) = thing {
        things::find(&state, thing)?;
    }
    let names = policy_names(&state, principal, thing)?;
    let effective = names.iter().filter_map(|name| {
        let policy = state.policies.get(name)?;
        Some(json!({
            "policyName": policy.name,
            "policyArn": policy.arn,
            "policyDocument": policy.default_document()?.text,
        }))
    });
    Ok(json!({ "effectivePolicies": effective.collect::<Vec<_>>() }))
}

fn policy_names(
    state: &State,
    principal: Option<&str>,
    thing: Option<&str>,
) -> Result<BTreeSet<String>, ApiError> {
    let mut names = BTreeSet::new();
    if let Some(principal) = principal {
        policies::judge_target(state, principal)?;
        names.extend(state.policy_names_of_target(principal));
    }
    if let Some(thing) = thing {
        let of_groups = state.policies_of_thing_groups(thing);
        names.extend(of_groups.into_iter().map(|policy| policy.name));
    }
    Ok(names)
}

/// What the policies of a principal would decide, by the engine that decides for the broker.
fn test_authorization(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let principal = input.text("principal");
    let client_id = input.text("clientId").unwrap_or_default();
    let attached = principal.is_some_and(|principal| {
        let things = state.things_of_principal(principal);
        things.iter().any(|(thing, _)| thing.name == client_id)
    });
    let mut names = policy_names(&state, principal, attached.then_some(client_id))?;
    for name in input.texts("policyNamesToAdd") {
        policies::find(&state, name)?;
        names.insert(name.to_owned());
    }
    for name in input.texts("policyNamesToSkip") {
        names.remove(name);
    }
    let context = context(&state, principal, client_id);
    // One authorizer a policy tells which of them had a say.
    let authorizers: Vec<(String, Authorizer)> = state
        .named(names)
        .into_iter()
        .map(|policy| {
            let name = policy.name.clone();
            (name, Authorizer::compile(&[policy], &context))
        })
        .collect();
    let results: Result<Vec<Value>, ApiError> = input
        .list("authInfos")
        .iter()
        .map(|info| result(&state, &authorizers, info))
        .collect();
    Ok(json!({ "authResults": results? }))
}

fn context(state: &State, principal: Option<&str>, client_id: &str) -> ConnectionContext {
    let id = principal.and_then(|principal| state.scope.name_in(principal, "cert"));
    let certificate = id.and_then(|id| state.certificates.get(id));
    let exclusive = id.and_then(|id| state.exclusive_thing_of_certificate(id));
    let thing = exclusive.or_else(|| state.things.get(client_id).cloned());
    ConnectionContext {
        partition_region_account: ArnScope {
            region: state.scope.region.clone(),
            account_id: state.scope.account_id.clone(),
        },
        client_id: client_id.to_owned(),
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        certificate_id: id.unwrap_or_default().to_owned(),
        certificate: CertificateVariables {
            fields: certificate
                .map(|certificate| certificate.x509.variables())
                .unwrap_or_default(),
        },
        thing: thing.map(|thing| ThingVariables {
            name: thing.name.clone(),
            type_name: thing.type_name.clone(),
            attributes: thing.attributes.clone(),
            is_attached: id.is_some_and(|id| state.attachment(&thing.name, id).is_some()),
        }),
        persistent: false,
        will_topic: None,
    }
}

fn result(
    state: &State,
    authorizers: &[(String, Authorizer)],
    info: &Value,
) -> Result<Value, ApiError> {
    let (action, kind) = match info.get("actionType").and_then(Value::as_str) {
        Some("CONNECT") => (Action::Connect, "client"),
        Some("PUBLISH") => (Action::Publish, "topic"),
        Some("SUBSCRIBE") => (Action::Subscribe, "topicfilter"),
        Some("RECEIVE") => (Action::Receive, "topic"),
        _ => return Err(ApiError::invalid_request("actionType must be given")),
    };
    let resources = info.get("resources").and_then(Value::as_array);
    let resources: Vec<&str> = resources
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if resources.is_empty() {
        return Err(ApiError::invalid_request("resources must not be empty"));
    }
    let (mut allowing, mut denying) = (BTreeSet::new(), BTreeSet::new());
    let mut all_allowed = true;
    for resource in &resources {
        let name = state.scope.name_in(resource, kind).ok_or_else(|| {
            ApiError::invalid_request(format!(
                "Resource {resource} is no {kind} of this account and region"
            ))
        })?;
        let mut allowed = false;
        for (policy, authorizer) in authorizers {
            let decision = authorizer.decide(action, name);
            if decision.allowed {
                allowed = true;
                allowing.insert(policy);
            } else if decision.reason().code == POLICY_EXPLICIT_DENY {
                denying.insert(policy);
            }
        }
        all_allowed &= allowed;
    }
    let decision = match (denying.is_empty(), all_allowed) {
        (false, _) => "EXPLICIT_DENY",
        (true, true) => "ALLOWED",
        (true, false) => "IMPLICIT_DENY",
    };
    let list = |names: &BTreeSet<&String>| -> Vec<Value> {
        names
            .iter()
            .map(|name| json!({ "policyName": name, "policyArn": state.scope.arn("policy", name) }))
            .collect()
    };
    let mut auth_info = Map::new();
    for name in ["actionType", "resources"] {
        if let Some(value) = info.get(name) {
            auth_info.insert(name.to_owned(), value.clone());
        }
    }
    Ok(json!({
        "authInfo": auth_info,
        "allowed": { "policies": list(&allowing) },
        "denied": {
            "implicitDeny": { "policies": [] },
            "explicitDeny": { "policies": list(&denying) },
        },
        "authDecision": decision,
        "missingContextValues": [],
    }))
}
