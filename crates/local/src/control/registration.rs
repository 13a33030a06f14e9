//! RegisterThing: a provisioning template executed at once.

use jitp_core::template::Template;
use serde_json::{Map, Value, json};

use super::Handler;
use super::fields::{put, texts};
use crate::account::{Account, ApiError};
use crate::model::Input;
use crate::provisioning::provision;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[("RegisterThing", register_thing)];

/// Exceptions of the account that RegisterThing declares; every other one is a failed registration.
const DECLARED: [&str; 4] = [
    "InvalidRequestException",
    "ConflictingResourceUpdateException",
    "InternalFailureException",
    "ServiceUnavailableException",
];

fn register_thing(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let invalid = |error: &dyn std::fmt::Display| {
        ApiError::invalid_request(format!("The template is not valid: {error}"))
    };
    let template =
        Template::parse(input.required("templateBody")).map_err(|error| invalid(&error))?;
    let parameters = texts(input.object("parameters")).unwrap_or_default();
    let filled = template
        .fill_used(&parameters)
        .map_err(|error| invalid(&error))?;
    let provisioned = provision(account, &filled).map_err(|error| {
        if DECLARED.contains(&error.code) {
            return error;
        }
        ApiError::new(
            "ResourceRegistrationFailureException",
            format!("{}: {}", error.code, error.message),
        )
    })?;
    let mut answer = Map::new();
    let state = account.snapshot();
    let certificate = provisioned
        .certificate_id
        .and_then(|id| state.certificates.get(id.as_str()));
    put(
        &mut answer,
        "certificatePem",
        certificate.map(|certificate| certificate.pem.as_str()),
    );
    put(
        &mut answer,
        "resourceArns",
        Some(json!(provisioned.resource_arns)),
    );
    Ok(Value::Object(answer))
}
