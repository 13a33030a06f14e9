//! Questions about policies: which ones apply to a principal.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Handler;
use crate::account::{Account, ApiError, policies, things};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[("GetEffectivePolicies", effective_policies)];

/// The policies of a principal, and of the groups of a thing where one is named.
fn effective_policies(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let (principal, thing) = (input.text("principal"), input.text("thingName"));
    if principal.is_none() && thing.is_none() {
        return Err(ApiError::invalid_request(
            "Either principal or thingName must be given",
        ));
    }
    let mut names = BTreeSet::new();
    if let Some(principal) = principal {
        policies::judge_target(&state, principal)?;
        names.extend(state.policy_names_of_target(principal));
    }
    if let Some(thing) = thing {
        things::find(&state, thing)?;
        for group in state.groups_of_thing(thing) {
            for group in state.group_and_ancestors(&group) {
                names.extend(state.policy_names_of_target(&group.arn));
            }
        }
    }
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
