//! What the control port offers beyond AWS, under `/_local/`.

use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::faults::Fault;
use super::{ControlSettings, answer, operations};
use crate::account::ApiError;

/// Answers `METHOD /_local/WHAT`.
pub(super) fn respond(
    settings: &ControlSettings,
    method: &str,
    what: &str,
    body: &Bytes,
    request_id: &str,
) -> Response {
    let outcome = match (method, what) {
        ("POST", "reset") => reset(settings),
        ("GET", "operations") => Ok(served(settings)),
        ("GET" | "POST" | "DELETE", "faults") => faults(settings, method, body),
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("{method} /_local/{what} is no operation of the local core"),
        )),
    };
    match outcome {
        Ok(value) => answer::json(200, &value, request_id),
        Err(error) => answer::refuse(settings, None, "", &error, request_id),
    }
}

fn reset(settings: &ControlSettings) -> Result<Value, ApiError> {
    if !settings.allow_reset {
        return Err(disabled("Resetting", "--allow-reset"));
    }
    settings.account.reset()?;
    Ok(Value::Object(Map::new()))
}

fn served(settings: &ControlSettings) -> Value {
    let operations = operations(settings).into_iter().map(|operation| {
        json!({
            "service": operation.service,
            "operation": operation.name,
            "method": operation.method,
            "path": operation.path,
        })
    });
    operations.collect()
}

/// GET lists the faults on order, POST orders one, DELETE cancels all of them.
fn faults(settings: &ControlSettings, method: &str, body: &Bytes) -> Result<Value, ApiError> {
    if !settings.allow_faults {
        return Err(disabled("Ordering faults", "--allow-faults"));
    }
    match method {
        "POST" => {
            let fault: Fault = serde_json::from_slice(body).map_err(|error| {
                ApiError::invalid_request(format!("The body is no fault: {error}"))
            })?;
            settings.faults.order(fault);
        }
        "DELETE" => settings.faults.clear(),
        _ => {}
    }
    Ok(json!(settings.faults.waiting()))
}

fn disabled(what: &str, flag: &str) -> ApiError {
    ApiError::new(
        "NotImplementedException",
        format!("{what} is not enabled in this local core; start it with {flag}"),
    )
}
