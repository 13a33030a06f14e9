//! Which principal (certificate or Cognito identity) belongs to which thing.

use super::records::ThingPrincipalType;
use super::{ApiError, State, Transaction, things};

/// Attaches a principal to a thing (AttachThingPrincipal). Doing so again changes nothing.
///
/// # Errors
/// `ResourceNotFoundException` for an unknown thing or certificate; `InvalidRequestException` when an
/// exclusive attachment stands in the way (developer guide, "Exclusive things").
pub fn attach(
    tx: &mut Transaction,
    thing: &str,
    principal: &str,
    kind: Option<ThingPrincipalType>,
) -> Result<(), ApiError> {
    things::find(tx, thing)?;
    judge_principal(tx, principal)?;
    let wanted = kind.unwrap_or_default();
    let present = tx.things_of_principal(principal);
    if let Some((_, attached)) = present.iter().find(|(other, _)| other.name == thing)
        && (kind.is_none() || *attached == wanted)
    {
        return Ok(());
    }
    let exclusive = ThingPrincipalType::ExclusiveThing;
    if wanted == exclusive && !principal.starts_with("arn:") {
        return Err(ApiError::invalid_request(
            "Only a certificate can be attached to a thing exclusively",
        ));
    }
    let in_the_way = match wanted {
        ThingPrincipalType::ExclusiveThing => present.first(),
        ThingPrincipalType::NonExclusiveThing => {
            present.iter().find(|(_, attached)| *attached == exclusive)
        }
    };
    if let Some((other, attached)) = in_the_way {
        return Err(ApiError::invalid_request(format!(
            "Principal {principal} is already attached to thing {} as {}; detach it first",
            other.name,
            attached.as_str()
        )));
    }
    tx.put_principal(thing, principal, wanted)
}

/// Detaches a principal from a thing (DetachThingPrincipal).
///
/// # Errors
/// `ResourceNotFoundException` for an unknown thing, or a principal that is not attached to it.
pub fn detach(tx: &mut Transaction, thing: &str, principal: &str) -> Result<(), ApiError> {
    things::find(tx, thing)?;
    let attached = tx.principals_of_thing(thing);
    if !attached.iter().any(|(other, _)| other == principal) {
        return Err(ApiError::not_found(format!(
            "Principal {principal} is not attached to thing {thing}."
        )));
    }
    tx.remove_principal(thing, principal);
    Ok(())
}

/// Checks that a principal can be one: a certificate of this account, or a Cognito identity.
///
/// # Errors
/// `ResourceNotFoundException` for an unknown certificate, `InvalidRequestException` for anything else.
pub fn judge_principal(state: &State, principal: &str) -> Result<(), ApiError> {
    if let Some(id) = state.scope.name_in(principal, "cert") {
        return match state.certificates.contains_key(id) {
            true => Ok(()),
            false => Err(ApiError::not_found(format!(
                "Certificate {id} does not exist"
            ))),
        };
    }
    if is_cognito_identity(principal) {
        return Ok(());
    }
    Err(ApiError::invalid_request(format!(
        "Principal {principal} is neither a certificate of this account and region nor a Cognito identity"
    )))
}

/// Whether a principal looks like `REGION:UUID`, the form of Cognito identity ids.
pub(super) fn is_cognito_identity(principal: &str) -> bool {
    match principal.split_once(':') {
        Some((region, id)) => !region.is_empty() && uuid::Uuid::parse_str(id).is_ok(),
        None => false,
    }
}
