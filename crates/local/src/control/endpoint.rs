//! Where devices connect.

use serde_json::{Value, json};

use super::Handler;
use crate::account::{Account, ApiError};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[("DescribeEndpoint", describe)];

/// The types AWS accepts today; it has come to refuse `iot:Data` and `iot:Jobs`. Without a type the
/// answer is the one data endpoint there is.
fn describe(account: &Account, input: &Input) -> Result<Value, ApiError> {
    match input.text("endpointType") {
        None | Some("iot:Data-ATS" | "iot:CredentialProvider") => {
            Ok(json!({ "endpointAddress": &*account.snapshot().endpoint }))
        }
        Some(other) => Err(ApiError::invalid_request(format!(
            "Endpoint type {other} not recognized."
        ))),
    }
}
