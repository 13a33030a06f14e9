//! What a call to AWS can end with, and what kind of failure each is.

use std::time::Duration;

use aws_sdk_iot::config::http::HttpResponse;
use aws_sdk_iot::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iot::operation::RequestId;
use jitp_core::failure::{Class, Classified};

/// A call that did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloudError {
    /// An endpoint in the environment is no URL.
    #[error("{variable} is {value:?}, which is no URL")]
    NoUrl {
        /// Name of the variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// No region is configured anywhere.
    #[error("no AWS region is configured")]
    NoRegion,
    /// The credentials belong to another account than the caller means.
    #[error("AWS_ACCOUNT is {meant}, but the credentials belong to account {found}")]
    OtherAccount {
        /// What `AWS_ACCOUNT` says.
        meant: String,
        /// What STS says.
        found: String,
    },
    /// A role that the service could not be given.
    #[error("the role {role} is not of account {account}, to which the credentials belong")]
    RoleOfOtherAccount {
        /// Its ARN.
        role: String,
        /// The account of the credentials.
        account: String,
    },
    /// There are no credentials, or they cannot be loaded.
    #[error("{operation}: cannot load AWS credentials: {reason}")]
    Credentials {
        /// Operation that needed them.
        operation: &'static str,
        /// What the credentials chain says.
        reason: String,
    },
    /// No answer: not reachable, or not in time.
    #[error("{operation}: no answer from AWS{}: {reason}", after(*.attempts))]
    NoAnswer {
        /// Operation that was called.
        operation: &'static str,
        /// How often it was called until it was given up.
        attempts: u32,
        /// What the connection says.
        reason: String,
    },
    /// The service answered with an error.
    #[error("{operation}: {message} ({code})")]
    Service {
        /// Operation that was called.
        operation: &'static str,
        /// Exception name, for example `ResourceNotFoundException`.
        code: String,
        /// The service's sentence.
        message: String,
        /// Request id, for AWS support.
        request_id: Option<String>,
    },
    /// An error without a name, as a proxy, a gateway or a server of another kind answers it.
    #[error("{operation}: answered with HTTP status {status} and no error of AWS's")]
    Nameless {
        /// Operation that was called.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
    },
    /// AWS still sees something attached that was detached.
    #[error("{source}; detached {} s ago, and AWS has not noticed yet", .waited.as_secs())]
    StillAttached {
        /// How long it was waited for.
        waited: Duration,
        /// The last refusal.
        source: Box<CloudError>,
    },
    /// The answer lacks a member it must have, or is not an answer of this API at all.
    #[error("{operation}: the answer makes no sense: {reason}")]
    Incomprehensible {
        /// Operation that was called.
        operation: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl CloudError {
    /// Reads the SDK's error.
    pub(crate) fn from_sdk<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        SdkError<E, HttpResponse>: RequestId,
    {
        let request_id = error.request_id().map(ToOwned::to_owned);
        match &error {
            SdkError::ServiceError(service) => {
                let inner = service.err();
                match inner.code() {
                    Some(code) => Self::Service {
                        operation,
                        code: code.to_owned(),
                        message: inner.message().unwrap_or("no message").to_owned(),
                        request_id,
                    },
                    // What was answered as a success, and is none of this API's.
                    None if service.raw().status().is_success() => Self::Incomprehensible {
                        operation,
                        reason: causes(inner),
                    },
                    None => Self::by_header(operation, service.raw(), request_id),
                }
            }
            // An error in another protocol than the service's: XML was expected, JSON came.
            SdkError::ResponseError(response) if !response.raw().status().is_success() => {
                Self::by_header(operation, response.raw(), request_id)
            }
            SdkError::DispatchFailure(failure) => {
                let reason = causes(&error);
                // The SDK reports a failing credentials chain as a dispatch failure of kind "other".
                if failure.is_other() && reason.to_lowercase().contains("credential") {
                    Self::Credentials { operation, reason }
                } else {
                    Self::NoAnswer {
                        operation,
                        attempts: 1,
                        reason,
                    }
                }
            }
            SdkError::TimeoutError(_) => Self::NoAnswer {
                operation,
                attempts: 1,
                reason: "timed out".to_owned(),
            },
            _ => Self::Incomprehensible {
                operation,
                reason: causes(&error),
            },
        }
    }

    /// An error whose body says nothing; its header may.
    fn by_header(
        operation: &'static str,
        response: &HttpResponse,
        request_id: Option<String>,
    ) -> Self {
        let status = response.status().as_u16();
        match response.headers().get("x-amzn-errortype") {
            Some(code) => Self::Service {
                operation,
                code: code.to_owned(),
                message: format!("HTTP status {status}"),
                request_id,
            },
            None => Self::Nameless { operation, status },
        }
    }

    pub(crate) fn incomplete(operation: &'static str, member: &str) -> Self {
        Self::Incomprehensible {
            operation,
            reason: format!("{member} is missing"),
        }
    }

    /// Whether the service says that the thing asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.class() == Class::NotFound
    }

    /// Whether nobody can know if the call was acted upon: no answer, half of one, or a failure within the
    /// service.
    pub fn is_unheard(&self) -> bool {
        let half = matches!(self, Self::Incomprehensible { .. } | Self::Nameless { .. });
        half || self.class() == Class::Temporary && !self.is_throttling()
    }

    /// Whether the service refused because there were too many calls.
    pub fn is_throttling(&self) -> bool {
        matches!(self, Self::Service { code, .. } if THROTTLING.contains(&code.as_str()))
    }

    /// The service's sentence; empty for everything else than an answer of the service.
    pub fn service_message(&self) -> &str {
        match self {
            Self::Service { message, .. } => message,
            _ => "",
        }
    }

    /// Whether the service answered with this exception.
    pub fn is(&self, exception: &str) -> bool {
        matches!(self, Self::Service { code, .. } if code == exception)
    }
}

/// ` after 5 attempts`; nothing for the first.
fn after(attempts: u32) -> String {
    match attempts {
        0 | 1 => String::new(),
        attempts => format!(" after {attempts} attempts"),
    }
}

impl Classified for CloudError {
    fn class(&self) -> Class {
        match self {
            Self::NoUrl { .. }
            | Self::NoRegion
            | Self::OtherAccount { .. }
            | Self::RoleOfOtherAccount { .. }
            | Self::Credentials { .. } => Class::Configuration,
            Self::NoAnswer { .. } | Self::StillAttached { .. } => Class::Temporary,
            // A server that fails, or a gateway that does not reach it.
            Self::Nameless {
                status: 429 | 500 | 502..=504,
                ..
            } => Class::Temporary,
            Self::Nameless { .. } | Self::Incomprehensible { .. } => Class::Unexpected,
            Self::Service { code, .. } => class_of_exception(code),
        }
    }

    fn code(&self) -> String {
        match self {
            Self::Service { code, .. } => code.clone(),
            other => other.class().code().to_owned(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoUrl { .. } => "unset it for AWS, or name an http:// or https:// address",
            Self::NoRegion => "set AWS_REGION or pass --region",
            Self::RoleOfOtherAccount { .. } => {
                "pass a role of that account, leave --role-arn out for its role IoTProvisioning, or use the credentials of the role's account"
            }
            Self::OtherAccount { .. } => "use that account's credentials, or change AWS_ACCOUNT",
            Self::Credentials { .. } => {
                "log in (aws sso login, aws configure), or start the local core: iot-local run -- COMMAND"
            }
            Self::NoAnswer { .. } => "check the network, AWS_REGION and AWS_ENDPOINT_URL",
            Self::StillAttached { .. } => {
                "AWS detaches within minutes: run again, and what is done is skipped"
            }
            Self::Nameless { .. } | Self::Incomprehensible { .. } => {
                "check that AWS_ENDPOINT_URL names an AWS API"
            }
            Self::Service { code, .. } => match code.as_str() {
                "AccessDeniedException" | "UnauthorizedException" => {
                    "the credentials lack the permission for this call"
                }
                throttling if THROTTLING.contains(&throttling) => {
                    "AWS limits how often this is called; try again later"
                }
                _ => return None,
            },
        };
        Some(hint.to_owned())
    }

    fn request_id(&self) -> Option<String> {
        match self {
            Self::Service { request_id, .. } => request_id.clone(),
            Self::StillAttached { source, .. } => source.request_id(),
            _ => None,
        }
    }
}

/// How services say "too often": AWS IoT, its data plane, STS, SQS, and S3.
const THROTTLING: [&str; 5] = [
    "ThrottlingException",
    "TooManyRequestsException",
    "Throttling",
    "RequestThrottled",
    "SlowDown",
];

/// The class of an exception, by its name (API reference, "Errors" of each operation).
fn class_of_exception(code: &str) -> Class {
    match code {
        // The last two are one error of SQS, which has kept the name from the protocol it spoke before.
        "ResourceNotFoundException"
        | "NotConfiguredException"
        | "NotFoundException"
        | "NoSuchEntity"
        | "QueueDoesNotExist"
        | "NoSuchBucket"
        | "AWS.SimpleQueueService.NonExistentQueue" => Class::NotFound,
        "ResourceAlreadyExistsException"
        | "AlreadyExistsException"
        | "CertificateConflictException"
        | "CertificateStateException"
        | "ConflictException"
        | "ConflictingResourceUpdateException"
        | "DeleteConflict"
        | "DeleteConflictException"
        | "DisabledException"
        | "EntityAlreadyExists"
        | "InvalidKeyUsageException"
        | "InvalidStateTransitionException"
        | "KMSInvalidStateException"
        | "ResourceConflictException"
        | "ResourceInUseException"
        | "TransferConflictException"
        | "TransferAlreadyCompletedException"
        | "VersionConflictException"
        | "VersionsLimitExceededException" => Class::Conflict,
        throttling if THROTTLING.contains(&throttling) => Class::Temporary,
        // The names without a suffix are those of the query protocol, which STS and IAM speak.
        "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "DependencyTimeoutException"
        | "InternalException"
        | "InternalFailure"
        | "InternalFailureException"
        | "ServiceException"
        | "ServiceFailure"
        | "InternalServerException"
        | "KMSInternalException"
        | "KeyUnavailableException"
        | "RequestTimeout" => Class::Temporary,
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "ExpiredTokenException" => Class::Configuration,
        _ => Class::Refused,
    }
}

/// An error's causes, innermost last, without the SDK's own empty phrases.
fn causes(error: &dyn std::error::Error) -> String {
    let mut parts = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !parts.contains(&text) {
            parts.push(text);
        }
        next = cause.source();
    }
    if parts.is_empty() {
        error.to_string()
    } else {
        parts.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_iot::operation::describe_thing::DescribeThingError;

    use super::*;

    fn page(status: u16) -> CloudError {
        let body = "<html><body>Something went wrong</body></html>".into();
        let answer = HttpResponse::new(status.try_into().expect("a status"), body);
        let error = DescribeThingError::unhandled("no code");
        CloudError::from_sdk("DescribeThing", SdkError::service_error(error, answer))
    }

    #[test]
    fn a_page_instead_of_an_error_is_named_by_its_http_status() {
        for (status, class) in [
            (404, Class::Unexpected),
            (500, Class::Temporary),
            (503, Class::Temporary),
        ] {
            let error = page(status);
            assert_eq!(error.class(), class, "{error}");
            let text = error.to_string();
            assert!(text.contains(&format!("HTTP status {status}")), "{text}");
            assert!(error.is_unheard(), "nobody knows if it acted");
        }
    }
}
