//! What an account holds: one record a resource, as they are kept in memory and in the storage.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use crate::policy::PolicyDocument;
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

/// How a thing and a principal belong together.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ThingPrincipalType {
    /// The principal belongs to this thing alone, whatever the MQTT client id.
    ExclusiveThing,
    /// The principal may belong to many things.
    #[default]
    NonExclusiveThing,
}

impl ThingPrincipalType {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExclusiveThing => "EXCLUSIVE_THING",
            Self::NonExclusiveThing => "NON_EXCLUSIVE_THING",
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

/// A thing of the registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Thing {
    /// Its name.
    pub name: String,
    /// A UUID.
    pub id: String,
    /// `arn:aws:iot:REGION:ACCOUNT:thing/NAME`.
    pub arn: String,
    /// Its type.
    pub type_name: Option<String>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// 1, and one more for every update.
    pub version: u64,
    /// Its billing group.
    pub billing_group: Option<String>,
    /// When it was made.
    pub creation_date: Timestamp,
}

/// A policy with its versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// `arn:aws:iot:REGION:ACCOUNT:policy/NAME`.
    pub arn: String,
    /// Versions by number, at least one and at most five.
    pub versions: BTreeMap<u32, PolicyVersion>,
    /// Number of the version that applies.
    pub default_version: u32,
    /// Number the next version gets; numbers are never used again.
    pub next_version: u32,
    /// When it was made.
    pub creation_date: Timestamp,
    /// When it was last changed.
    pub last_modified_date: Timestamp,
    /// Opaque, new with every change.
    pub generation_id: String,
}

impl Policy {
    /// The version that applies.
    pub fn default_document(&self) -> Option<&PolicyVersion> {
        self.versions.get(&self.default_version)
    }
}

/// One version of a policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "StoredPolicyVersion", try_from = "StoredPolicyVersion")]
pub struct PolicyVersion {
    /// The document as it was given.
    pub text: String,
    /// When it was made.
    pub creation_date: Timestamp,
    /// The document, parsed once.
    pub document: Arc<PolicyDocument>,
}

/// A policy version without what can be parsed again.
#[derive(Serialize, Deserialize)]
struct StoredPolicyVersion {
    text: String,
    creation_date: Timestamp,
}

impl From<PolicyVersion> for StoredPolicyVersion {
    fn from(version: PolicyVersion) -> Self {
        Self {
            text: version.text,
            creation_date: version.creation_date,
        }
    }
}

impl TryFrom<StoredPolicyVersion> for PolicyVersion {
    type Error = String;

    fn try_from(stored: StoredPolicyVersion) -> Result<Self, String> {
        let document = PolicyDocument::parse(&stored.text).map_err(|error| error.to_string())?;
        Ok(Self {
            text: stored.text,
            creation_date: stored.creation_date,
            document: Arc::new(document),
        })
    }
}

/// A thing type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ThingType {
    /// Its name.
    pub name: String,
    /// A UUID.
    pub id: String,
    /// `arn:aws:iot:REGION:ACCOUNT:thingtype/NAME`.
    pub arn: String,
    /// thingTypeProperties as given, already judged by the model table.
    pub properties: serde_json::Map<String, serde_json::Value>,
    /// When it was deprecated.
    pub deprecation_date: Option<Timestamp>,
    /// When it was made.
    pub creation_date: Timestamp,
}

/// A static thing group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ThingGroup {
    /// Its name.
    pub name: String,
    /// A UUID.
    pub id: String,
    /// `arn:aws:iot:REGION:ACCOUNT:thinggroup/NAME`.
    pub arn: String,
    /// The group it lies in.
    pub parent: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Its attributes.
    pub attributes: Option<BTreeMap<String, String>>,
    /// 1, and one more for every update.
    pub version: u64,
    /// When it was made.
    pub creation_date: Timestamp,
}

/// A billing group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BillingGroup {
    /// Its name.
    pub name: String,
    /// A UUID.
    pub id: String,
    /// `arn:aws:iot:REGION:ACCOUNT:billinggroup/NAME`.
    pub arn: String,
    /// What it is for.
    pub description: Option<String>,
    /// 1, and one more for every update.
    pub version: u64,
    /// When it was made.
    pub creation_date: Timestamp,
}

/// What a provisioning template is for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TemplateType {
    /// Fleet provisioning by claim.
    #[default]
    FleetProvisioning,
    /// Just-in-time provisioning under a registered CA.
    Jitp,
}

impl TemplateType {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FleetProvisioning => "FLEET_PROVISIONING",
            Self::Jitp => "JITP",
        }
    }
}

/// A provisioning template with its versions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProvisioningTemplate {
    /// Its name.
    pub name: String,
    /// `arn:aws:iot:REGION:ACCOUNT:provisioningtemplate/NAME`.
    pub arn: String,
    /// What it is for; never changes.
    pub kind: TemplateType,
    /// A description.
    pub description: Option<String>,
    /// Whether devices may use it.
    pub enabled: bool,
    /// The role it is executed under; the local core takes any.
    pub role_arn: String,
    /// preProvisioningHook as given, already judged by the model table.
    pub hook: Option<serde_json::Value>,
    /// Versions by number.
    pub versions: BTreeMap<u32, TemplateVersion>,
    /// Number of the version that applies.
    pub default_version: u32,
    /// Number the next version gets.
    pub next_version: u32,
    /// When it was made.
    pub creation_date: Timestamp,
    /// When it was last changed.
    pub last_modified_date: Timestamp,
}

/// One version of a provisioning template.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TemplateVersion {
    /// The template as JSON text.
    pub body: String,
    /// When it was made.
    pub creation_date: Timestamp,
}

/// Which registry events are published.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EventConfigurations {
    /// Switched-on state by event type; a type that is absent is off.
    pub enabled: BTreeMap<String, bool>,
    /// When it was first changed.
    pub creation_date: Option<Timestamp>,
    /// When it was last changed.
    pub last_modified_date: Option<Timestamp>,
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
