//! Invoke of the Lambda API, as an operation for the control port.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{CallError, Functions};
use crate::account::{ApiError, functions};
use crate::control::{Answer, ControlSettings, Extension};
use crate::model::{Input, Service};

const OPERATION: &str = "Invoke";

/// Longest a function may run: a quarter of an hour.
const LONGEST: Duration = Duration::from_secs(900);

/// The name of the operation that [`plug_in`] adds.
pub(crate) fn operations() -> [(Service, &'static str); 1] {
    [(Service::Lambda, OPERATION)]
}

/// Adds Invoke, served by these functions.
pub(crate) fn plug_in(settings: ControlSettings, functions: &Functions) -> ControlSettings {
    let functions = functions.clone();
    let extension: Extension = Arc::new(move |input| {
        let functions = functions.clone();
        Box::pin(async move { invoke(&functions, &input).await })
    });
    settings.with(Service::Lambda, OPERATION, extension)
}

async fn invoke(of: &Functions, input: &Input) -> Result<Answer, ApiError> {
    let name = functions::name_in(input.required("FunctionName"))?;
    match input.text("InvocationType") {
        None | Some("RequestResponse") => {}
        Some("DryRun") => {
            if !of.is_given(name) {
                functions::find(&of.inner.account.snapshot(), name)?;
            }
            return Ok(whole(204, None, Value::Null));
        }
        Some(other) => {
            return Err(ApiError::new(
                "InvalidParameterValueException",
                format!("The local core invokes RequestResponse and DryRun, not {other}"),
            ));
        }
    }
    let payload = match input.payload() {
        empty if empty.is_empty() => b"{}".as_slice().into(),
        payload if serde_json::from_slice::<Value>(payload).is_err() => {
            return Err(ApiError::new(
                "InvalidRequestContentException",
                "Could not parse request body into json",
            ));
        }
        payload => payload.clone(),
    };
    let (kind, message) = match of.invoke(name, payload, LONGEST).await {
        Ok(answer) => {
            return Ok(Answer::Whole {
                status: 200,
                headers: headers(None),
                body: answer,
            });
        }
        Err(CallError::Reported(report)) => {
            // The function's own words.
            return Ok(Answer::Whole {
                status: 200,
                headers: headers(Some("Unhandled")),
                body: report,
            });
        }
        Err(CallError::TooSlow(longest)) => (
            "Sandbox.Timedout",
            format!("Task timed out after {:.2} seconds", longest.as_secs_f64()),
        ),
        Err(error @ CallError::Crashed(_)) => {
            ("Runtime.ExitError", format!("The function {error}"))
        }
        Err(error @ CallError::Start(_)) => {
            ("Runtime.InvalidEntrypoint", format!("The function {error}"))
        }
        Err(error) => return Err(error.into()),
    };
    let report = json!({ "errorType": kind, "errorMessage": message });
    Ok(whole(200, Some("Unhandled"), report))
}

fn whole(status: u16, error: Option<&str>, body: Value) -> Answer {
    Answer::Whole {
        status,
        headers: headers(error),
        body: match body {
            Value::Null => bytes::Bytes::new(),
            body => body.to_string().into(),
        },
    }
}

fn headers(error: Option<&str>) -> Vec<(&'static str, String)> {
    let mut headers = vec![("x-amz-executed-version", "$LATEST".to_owned())];
    if let Some(error) = error {
        headers.push(("x-amz-function-error", error.to_owned()));
    }
    headers
}
