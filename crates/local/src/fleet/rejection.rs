//! What a device is told on `…/rejected`. AWS documents two codes; the others are named here
//! (docs/divergences.md).

use serde_json::{Map, Value, json};

use crate::account::ApiError;

/// Why a request is rejected: what the device is told, and what the diary says beyond that.
#[derive(Debug)]
pub(super) struct Rejection {
    status: u16,
    code: &'static str,
    message: String,
    /// The cause, where the device is not told it.
    reason: Option<String>,
}

impl Rejection {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            reason: None,
        }
    }

    /// The payload is not what it should be.
    pub(super) fn invalid_payload(message: String) -> Self {
        Self::new(400, "InvalidPayload", message)
    }

    /// The certificate signing request cannot be used.
    pub(super) fn invalid_signing_request(message: String) -> Self {
        Self::new(400, "InvalidCertificateSigningRequest", message)
    }

    /// The ownership token is not, or no longer, one. Seen on AWS.
    pub(super) fn invalid_token(message: String) -> Self {
        Self::new(400, "InvalidCertificateOwnershipToken", message)
    }

    /// There is no such template for devices.
    pub(super) fn no_template(message: String) -> Self {
        Self::new(404, "TemplateNotFound", message)
    }

    /// The template is not enabled.
    pub(super) fn template_disabled(message: String) -> Self {
        Self::new(400, "TemplateDisabled", message)
    }

    /// The template cannot be executed for any device.
    pub(super) fn invalid_template(message: String) -> Self {
        Self::new(400, "InvalidTemplate", message)
    }

    /// The parameters lack something, or do not make values AWS IoT takes.
    pub(super) fn invalid_parameters(message: String) -> Self {
        Self::new(400, "InvalidParameters", message)
    }

    /// The hook said no, or said nothing that could be understood. As on AWS the device is not told which.
    pub(super) fn access_denied(reason: String) -> Self {
        Self {
            reason: Some(reason),
            ..Self::new(403, "ACCESS_DENIED", "Access denied")
        }
    }

    /// More was asked than is answered in a second.
    pub(super) fn throttled(reason: String) -> Self {
        Self {
            reason: Some(reason),
            ..Self::new(429, "Throttling", "Rate exceeded")
        }
    }

    /// What the account refused while a template was executed.
    pub(super) fn failed(error: &ApiError) -> Self {
        let message = format!("{}: {}", error.code, error.message);
        match error.code {
            "ConflictingResourceUpdateException" => Self::new(409, "ResourceConflicts", message),
            "InternalFailureException" | "ServiceUnavailableException" => error.clone().into(),
            _ => Self::new(400, "ResourceRegistrationFailure", message),
        }
    }

    /// The cause, for the diary.
    pub(super) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(&self.message)
    }

    /// Its code in the diary.
    pub(super) fn diary_code(&self) -> &'static str {
        match self.code {
            "ACCESS_DENIED" => "FLEET_HOOK_DENIED",
            "Throttling" => "THROTTLED",
            _ => "FLEET_REJECTED",
        }
    }

    /// The payload of the answer.
    pub(super) fn body(&self) -> Map<String, Value> {
        Map::from_iter([
            ("statusCode".to_owned(), json!(self.status)),
            ("errorCode".to_owned(), json!(self.code)),
            ("errorMessage".to_owned(), json!(self.message)),
        ])
    }
}

impl From<ApiError> for Rejection {
    fn from(error: ApiError) -> Self {
        match error.code {
            "ServiceUnavailableException" => Self::new(503, "ServiceUnavailable", error.message),
            _ => Self::new(500, "InternalFailure", error.message),
        }
    }
}
