//! What an account keeps of certificates: device certificates and certificate authorities.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::account::clock::Timestamp;
use crate::x509::X509;

/// Status of a device certificate.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CertificateStatus {
    /// May connect.
    Active,
    /// May not connect; the state of new certificates unless asked otherwise.
    Inactive,
    /// May not connect, for good.
    Revoked,
    /// Offered to another account.
    PendingTransfer,
    /// Registered by a first connection, not yet provisioned.
    PendingActivation,
}

impl CertificateStatus {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::Revoked => "REVOKED",
            Self::PendingTransfer => "PENDING_TRANSFER",
            Self::PendingActivation => "PENDING_ACTIVATION",
        }
    }

    /// Reads the word of the API; the deprecated REGISTER_INACTIVE is INACTIVE.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "ACTIVE" => Self::Active,
            "INACTIVE" | "REGISTER_INACTIVE" => Self::Inactive,
            "REVOKED" => Self::Revoked,
            "PENDING_TRANSFER" => Self::PendingTransfer,
            "PENDING_ACTIVATION" => Self::PendingActivation,
            _ => return None,
        })
    }
}

impl fmt::Display for CertificateStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an account came to know a certificate, and what a client must send for it to be found.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CertificateMode {
    /// Issued by AWS, or by a CA whose ownership was proved.
    #[default]
    Default,
    /// Found only together with the endpoint name (SNI).
    SniOnly,
}

impl CertificateMode {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "DEFAULT",
            Self::SniOnly => "SNI_ONLY",
        }
    }
}

/// A device certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// Certificate id, 64 hex digits.
    pub id: String,
    /// `arn:aws:iot:REGION:ACCOUNT:cert/ID`.
    pub arn: String,
    /// The PEM as it was registered.
    pub pem: String,
    /// Present status.
    pub status: CertificateStatus,
    /// Inherited from the CA.
    pub mode: CertificateMode,
    /// Id of the registered CA that signed it; absent for certificates of AWS and without CA.
    pub ca_certificate_id: Option<String>,
    /// When it was registered.
    pub creation_date: Timestamp,
    /// When it was last changed.
    pub last_modified_date: Timestamp,
    /// 1, and one more for every change.
    pub customer_version: u32,
    /// Opaque, new with every change.
    pub generation_id: String,
    /// A transfer to another account, under way or finished.
    #[serde(default)]
    pub transfer: Option<Transfer>,
    /// The certificate itself.
    #[serde(with = "der")]
    pub x509: Arc<X509>,
}

/// A certificate offered to another account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Transfer {
    /// Account it was offered to.
    pub target_account: String,
    /// What the source said.
    pub message: Option<String>,
    /// When it was offered.
    pub transfer_date: Timestamp,
    /// When it was accepted.
    pub accept_date: Option<Timestamp>,
    /// When it was rejected.
    pub reject_date: Option<Timestamp>,
    /// What the target said.
    pub reject_reason: Option<String>,
}

/// Proof that a device asked for a certificate itself; RegisterThing takes it, once.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct OwnershipToken {
    /// The certificate it was issued with.
    pub certificate_id: String,
    /// When it is no longer taken.
    pub expires_at: Timestamp,
}

/// A temporary claim certificate (CreateProvisioningClaim). It is no certificate of the registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProvisioningClaim {
    /// Certificate id, 64 hex digits.
    pub id: String,
    /// The template it was made for, and may provision by.
    pub template: String,
    /// When it is no longer served.
    pub expires_at: Timestamp,
    /// Whether its connections were closed because it has expired.
    pub ended: bool,
    /// The certificate itself.
    #[serde(with = "der")]
    pub x509: Arc<X509>,
}

/// A registered certificate authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaCertificate {
    /// Certificate id, 64 hex digits.
    pub id: String,
    /// `arn:aws:iot:REGION:ACCOUNT:cacert/ID`.
    pub arn: String,
    /// The PEM as it was registered.
    pub pem: String,
    /// Whether new device certificates are accepted under it.
    pub active: bool,
    /// Whether a first connection registers a device certificate.
    pub auto_registration: bool,
    /// What else a first connection does.
    pub registration_config: Option<RegistrationConfig>,
    /// DEFAULT with proof of possession, or SNI_ONLY.
    pub mode: CertificateMode,
    /// When it was registered.
    pub creation_date: Timestamp,
    /// When it was last changed.
    pub last_modified_date: Timestamp,
    /// 1, and one more for every change.
    pub customer_version: u32,
    /// Opaque, new with every change.
    pub generation_id: String,
    /// The certificate itself; its `subject_der` is what leaves name as their issuer.
    #[serde(with = "der")]
    pub x509: Arc<X509>,
}

impl CaCertificate {
    /// The word of the API for whether it is active.
    pub fn status(&self) -> &'static str {
        if self.active { "ACTIVE" } else { "INACTIVE" }
    }
}

/// Just-in-time provisioning of a CA: a template and a role, or the name of a template.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationConfig {
    /// The template as JSON text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub template_body: Option<String>,
    /// The role the template is executed under; the local core takes any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role_arn: Option<String>,
    /// A provisioning template of type JITP.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub template_name: Option<String>,
}

/// A certificate is stored as its DER in base64 and read again when loaded.
mod der {
    use super::{Arc, X509};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(x509: &Arc<X509>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&x509.der))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<X509>, D::Error> {
        let text = String::deserialize(from)?;
        let der = STANDARD.decode(text).map_err(D::Error::custom)?;
        X509::from_der(&der).map(Arc::new).map_err(D::Error::custom)
    }
}
