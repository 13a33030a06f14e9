//! Which principals belong to which things, in both versions of the calls.

use serde_json::{Value, json};

use super::Handler;
use super::paging::Page;
use crate::account::{Account, ApiError, ThingPrincipalType, principals};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("AttachThingPrincipal", attach),
    ("DetachThingPrincipal", detach),
    ("ListThingPrincipals", list_thing_principals),
    ("ListThingPrincipalsV2", list_thing_principals_v2),
    ("ListPrincipalThings", list_principal_things),
    ("ListPrincipalThingsV2", list_principal_things_v2),
];

fn attach(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (thing, principal) = (input.required("thingName"), input.required("principal"));
    account.write(|tx| principals::attach(tx, thing, principal, kind(input)))?;
    Ok(Value::Null)
}

fn detach(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (thing, principal) = (input.required("thingName"), input.required("principal"));
    account.write(|tx| principals::detach(tx, thing, principal))?;
    Ok(Value::Null)
}

fn kind(input: &Input) -> Option<ThingPrincipalType> {
    input.text("thingPrincipalType").map(|word| match word {
        "EXCLUSIVE_THING" => ThingPrincipalType::ExclusiveThing,
        _ => ThingPrincipalType::NonExclusiveThing,
    })
}

fn principals_of(
    account: &Account,
    input: &Input,
) -> Result<Vec<(String, ThingPrincipalType)>, ApiError> {
    let state = account.snapshot();
    let thing = input.required("thingName");
    if !state.things.contains_key(thing) {
        return Err(ApiError::not_found(format!(
            "Failed to list principals for thing {thing} because the thing does not exist in your account"
        )));
    }
    let mut principals = state.principals_of_thing(thing);
    if let Some(wanted) = kind(input) {
        principals.retain(|(_, kind)| *kind == wanted);
    }
    Ok(principals)
}

fn list_thing_principals(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let items = principals_of(account, input)?
        .into_iter()
        .map(|(principal, _)| (principal.clone(), json!(principal)));
    Ok(Page::tokened(input)?.of_keyed("principals", items.collect()))
}

fn list_thing_principals_v2(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let items = principals_of(account, input)?
        .into_iter()
        .map(|(principal, kind)| {
            let item = json!({ "principal": principal, "thingPrincipalType": kind.as_str() });
            (principal, item)
        });
    Ok(Page::tokened(input)?.of_keyed("thingPrincipalObjects", items.collect()))
}

fn things_of(
    account: &Account,
    input: &Input,
) -> Result<Vec<(String, ThingPrincipalType)>, ApiError> {
    let state = account.snapshot();
    let principal = input.required("principal");
    principals::judge_principal(&state, principal)?;
    let wanted = kind(input);
    Ok(state
        .things_of_principal(principal)
        .into_iter()
        .filter(|(_, kind)| wanted.is_none_or(|wanted| wanted == *kind))
        .map(|(thing, kind)| (thing.name.clone(), kind))
        .collect())
}

fn list_principal_things(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let items = things_of(account, input)?
        .into_iter()
        .map(|(thing, _)| (thing.clone(), json!(thing)));
    Ok(Page::tokened(input)?.of_keyed("things", items.collect()))
}

fn list_principal_things_v2(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let items = things_of(account, input)?.into_iter().map(|(thing, kind)| {
        let item = json!({ "thingName": thing, "thingPrincipalType": kind.as_str() });
        (thing, item)
    });
    Ok(Page::tokened(input)?.of_keyed("principalThingObjects", items.collect()))
}
