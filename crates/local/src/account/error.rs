//! What the account answers when it refuses: an exception of the AWS IoT API.

use std::fmt;

use crate::storage::StorageError;

/// An exception of the AWS IoT API. The HTTP status belongs to the code and comes from the model table.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// Name of the exception with its suffix, for example `ResourceNotFoundException`.
    pub code: &'static str,
    /// The text for a person.
    pub message: String,
    /// Further members of the error body, for example `resourceArn`.
    pub members: Vec<(&'static str, String)>,
}

impl ApiError {
    /// An exception with a text.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            members: Vec::new(),
        }
    }

    /// `InvalidRequestException`: the request cannot be served as it is.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new("InvalidRequestException", message)
    }

    /// `ResourceNotFoundException`.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFoundException", message)
    }

    /// `ResourceNotFoundException` for a named thing, certificate, policy …
    pub fn no_such(kind: &str, name: impl fmt::Display) -> Self {
        Self::not_found(format!("{kind} {name} cannot be found."))
    }

    /// `ResourceAlreadyExistsException` with the members that name what is already there.
    pub fn already_exists(message: impl Into<String>, id: &str, arn: &str) -> Self {
        Self {
            code: "ResourceAlreadyExistsException",
            message: message.into(),
            members: vec![
                ("resourceId", id.to_owned()),
                ("resourceArn", arn.to_owned()),
            ],
        }
    }

    /// `CertificateStateException`.
    pub fn certificate_state(message: impl Into<String>) -> Self {
        Self::new("CertificateStateException", message)
    }

    /// `CertificateValidationException`.
    pub fn certificate_validation(message: impl Into<String>) -> Self {
        Self::new("CertificateValidationException", message)
    }

    /// `DeleteConflictException`.
    pub fn delete_conflict(message: impl Into<String>) -> Self {
        Self::new("DeleteConflictException", message)
    }

    /// `LimitExceededException`.
    pub fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }

    /// Compares the version that a caller expects something to have, if any, with that which it has.
    ///
    /// # Errors
    /// `VersionConflictException`.
    pub fn expect_version(name: &str, expected: Option<u64>, version: u64) -> Result<(), Self> {
        match expected {
            Some(expected) if expected != version => Err(Self::new(
                "VersionConflictException",
                format!(
                    "The version for {name} is {version}, which does not match the expected version {expected}."
                ),
            )),
            _ => Ok(()),
        }
    }

    /// `InternalFailureException`: the local core itself failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new("InternalFailureException", message)
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        // A change that cannot be made durable is not made at all, and the caller may retry.
        let code = match error {
            StorageError::Full { .. } => "ServiceUnavailableException",
            _ => "InternalFailureException",
        };
        Self::new(code, error.to_string())
    }
}
