//! Why a device did not get its identity, and what to do about it.

use std::{fmt, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::exchange::Operation;
use crate::{
    ca::KeyError,
    certificate::CertificateError,
    csr::SigningRequestError,
    failure::{Class, Classified},
    mqtt::MqttError,
    names::{NameError, ThingName},
    store::StoreError,
    visible::visible,
};

/// What AWS IoT answers on a topic that ends in `/rejected`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Rejection {
    /// An HTTP status.
    pub status_code: i64,
    /// A code.
    pub error_code: String,
    /// A sentence.
    pub error_message: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It comes from a network and goes to a terminal.
        let message = match self.error_message.as_str() {
            "" => "no message".to_owned(),
            message => visible(message),
        };
        write!(
            f,
            "{message} ({} {})",
            self.status_code,
            visible(&self.error_code)
        )
    }
}

impl Rejection {
    /// Whether the same request may be answered otherwise later.
    pub fn is_temporary(&self) -> bool {
        let code = self.word();
        self.status_code == 429
            || self.status_code >= 500
            || code.contains("throttl")
            || code.contains("toomanyrequests")
            || code.contains("serviceunavailable")
    }

    /// Whether it is the hook's: AWS answers the same whether it denied, failed or was too slow.
    pub fn is_denial(&self) -> bool {
        self.word().contains("accessdenied") || self.status_code == 403
    }

    /// Whether it is about the ownership token.
    pub fn is_about_token(&self) -> bool {
        self.word().contains("ownershiptoken")
    }

    /// The code without what its spellings differ in: `ACCESS_DENIED`, `AccessDenied`.
    fn word(&self) -> String {
        let letters = self.error_code.chars().filter(char::is_ascii_alphanumeric);
        letters.map(|letter| letter.to_ascii_lowercase()).collect()
    }

    fn hint(&self, operation: Operation) -> String {
        let code = self.word();
        if self.is_temporary() {
            "AWS IoT is busy, or limits how often this is asked; run again later".to_owned()
        } else if self.is_denial() {
            "the template's hook denied this device, failed, or took longer than 5 s: check the parameters, and \
             whether the device is on its list and not claimed yet"
                .to_owned()
        } else if self.is_about_token() {
            "a certificate must be registered within an hour, and once; run again for another one"
                .to_owned()
        } else if code.contains("signingrequest") || code.contains("csr") {
            "AWS IoT takes requests for EC P-256 and P-384 and for RSA keys of 2048 bits and more: \
             pass another --key-type"
                .to_owned()
        } else if code.contains("templatedisabled") {
            "let devices use the template: template update NAME --enable".to_owned()
        } else if operation == Operation::RegisterThing {
            "check --template and --parameter against the template: template show NAME".to_owned()
        } else {
            "check the claim certificate's policy: policies/FleetClaim.json".to_owned()
        }
    }
}

/// Why a device did not get its identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// No connection, or none that lasts.
    #[error(transparent)]
    Mqtt(Box<MqttError>),
    /// AWS IoT rejected a request.
    #[error("{operation} was rejected: {rejection}")]
    Rejected {
        /// What was asked.
        operation: Operation,
        /// The answer.
        rejection: Rejection,
        /// Whether the same request may have been acted upon before, and that answer was lost.
        repeated: bool,
    },
    /// Nothing came back.
    #[error("{operation} was not answered: asked {attempts} times in {:.0} s", .waited.as_secs_f64())]
    NoAnswer {
        /// What was asked.
        operation: Operation,
        /// How often.
        attempts: u32,
        /// Since the first time.
        waited: Duration,
    },
    /// The answer lacks something, or cannot be read.
    #[error("the answer to {operation} makes no sense: {detail}")]
    Nonsense {
        /// What was asked.
        operation: Operation,
        /// What is wrong with the answer.
        detail: String,
    },
    /// The answer holds no usable certificate.
    #[error("the certificate that {operation} answered cannot be used")]
    Certificate {
        /// What was asked.
        operation: Operation,
        /// Why.
        source: CertificateError,
    },
    /// The certificate is for another key than the one it was asked for.
    #[error("the certificate that {0} answered is for another key")]
    OtherKey(Operation),
    /// A key could not be made or read.
    #[error("the new key cannot be used")]
    Key(#[from] KeyError),
    /// The signing request could not be made.
    #[error(transparent)]
    Request(#[from] SigningRequestError),
    /// What the template calls the thing is no thing name.
    #[error("the template gave the thing a name that cannot be used")]
    ThingName(#[from] NameError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The device has an identity, for something else.
    #[error("{device} was provisioned already, with another {what}")]
    ProvisionedOtherwise {
        /// The device.
        device: ThingName,
        /// Its thing, which the files have their names of.
        thing: ThingName,
        /// What differs.
        what: &'static str,
    },
    /// The device has an identity that is of no use any more.
    #[error("{device} was provisioned already, and its certificate is not valid today")]
    NotValid {
        /// The device.
        device: ThingName,
    },
    /// Another run works on the same device.
    #[error("another run is provisioning {device} at this moment")]
    UnderWay {
        /// The device.
        device: ThingName,
    },
    /// An earlier run was accepted with something else.
    #[error("an earlier run for {device} was accepted with another {what} and not finished")]
    AcceptedOtherwise {
        /// The device.
        device: ThingName,
        /// What differs.
        what: &'static str,
        /// Where its files are.
        folder: PathBuf,
    },
    /// The new certificate does not connect.
    #[error("the new certificate does not connect as {thing}: {source}")]
    NotProved {
        /// The thing.
        thing: ThingName,
        /// Why not.
        source: Box<MqttError>,
    },
    /// The renewal gave another thing.
    #[error("the template registered the thing {registered}, and {thing} was to be renewed")]
    OtherThing {
        /// The thing whose certificate was to be renewed.
        thing: ThingName,
        /// The thing that was registered.
        registered: ThingName,
    },
}

impl From<MqttError> for ClaimError {
    fn from(error: MqttError) -> Self {
        Self::Mqtt(Box::new(error))
    }
}

impl Classified for ClaimError {
    fn class(&self) -> Class {
        match self {
            Self::Mqtt(error) => error.class(),
            Self::Rejected { rejection, .. } if rejection.is_temporary() => Class::Temporary,
            Self::Rejected { rejection, .. } if rejection.is_denial() => Class::NotAccepted,
            Self::Rejected { .. } => Class::Refused,
            Self::NoAnswer { .. } => Class::Temporary,
            Self::Nonsense { .. } | Self::Certificate { .. } | Self::OtherKey(_) => {
                Class::Unexpected
            }
            Self::ThingName(_) => Class::Unexpected,
            Self::Key(error) => error.class(),
            Self::Request(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::ProvisionedOtherwise { .. }
            | Self::NotValid { .. }
            | Self::UnderWay { .. }
            | Self::AcceptedOtherwise { .. }
            | Self::OtherThing { .. } => Class::Conflict,
            Self::NotProved { source, .. } => match source.class() {
                Class::Refused => Class::NotAccepted,
                class => class,
            },
        }
    }

    fn code(&self) -> String {
        match self {
            Self::Mqtt(error) => error.code(),
            Self::Rejected { rejection, .. } if !rejection.error_code.is_empty() => {
                rejection.error_code.clone()
            }
            Self::Store(error) => error.code(),
            Self::NotProved { source, .. } => source.code(),
            other => other.class().code().to_owned(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Mqtt(error) => match error.as_ref() {
                MqttError::ClosedBeforeConnack { note: None, .. }
                | MqttError::ClientCertificateRefused { note: None, .. } => {
                    "the certificate may be unknown to the account, inactive or expired, or its policy denies \
                     iot:Connect with this client id (policies/FleetClaim.json allows claim-…)"
                        .to_owned()
                }
                other => return other.hint(),
            },
            Self::Rejected {
                operation,
                rejection,
                ..
            } => rejection.hint(*operation),
            Self::NoAnswer { operation, .. } => format!(
                "run again; if it stays so, see that the policy allows iot:Publish, and iot:Receive and \
                 iot:Subscribe of the answers, for {operation}"
            ),
            Self::Key(error) => return error.hint(),
            Self::Request(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
            Self::ProvisionedOtherwise { device, thing, .. } => format!(
                "pass --renew for a new certificate of the same thing; to begin anew move {thing}.key, {thing}.crt \
                 and {device}.fleet.json aside"
            ),
            Self::NotValid { device } => format!(
                "check this machine's clock; to begin anew with the claim move {device}.fleet.json and the thing's key \
                 and certificate aside"
            ),
            Self::UnderWay { .. } => "wait for it to end".to_owned(),
            Self::AcceptedOtherwise { folder, what, .. } => format!(
                "run again with the same {what} to finish it; to give it up remove {}",
                folder.display()
            ),
            Self::NotProved { thing, .. } => format!(
                "the policy that the template attaches must allow iot:Connect on client/{thing}; mend it and run again"
            ),
            Self::OtherThing { registered, .. } => format!(
                "the parameters must be those of the thing; its new certificate belongs to {registered} now: see \
                 device-status --long {registered}"
            ),
            Self::Nonsense { .. }
            | Self::Certificate { .. }
            | Self::OtherKey(_)
            | Self::ThingName(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(status_code: i64, error_code: &str) -> Rejection {
        Rejection {
            status_code,
            error_code: error_code.to_owned(),
            error_message: "no\u{1b}[31m".to_owned(),
        }
    }

    #[test]
    fn rejections_are_told_apart_by_code_however_it_is_spelled() {
        for (status, code, class) in [
            (403, "ACCESS_DENIED", Class::NotAccepted),
            (400, "AccessDenied", Class::NotAccepted),
            (400, "InvalidCertificateOwnershipToken", Class::Refused),
            (400, "InvalidParameters", Class::Refused),
            (429, "TooManyRequests", Class::Temporary),
            (400, "ThrottlingException", Class::Temporary),
            (500, "InternalFailure", Class::Temporary),
        ] {
            let error = ClaimError::Rejected {
                operation: Operation::RegisterThing,
                rejection: rejection(status, code),
                repeated: false,
            };
            assert_eq!(error.class(), class, "{code}");
            assert_eq!(error.code(), code);
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn what_the_service_says_cannot_paint_the_terminal() {
        let said = rejection(400, "X\u{7}").to_string();
        assert!(!said.chars().any(char::is_control), "{said}");
    }
}
