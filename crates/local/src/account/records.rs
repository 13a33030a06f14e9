//! What an account holds: one record a resource, as they are kept in memory and in the storage.

mod certificates;
mod event_sources;
mod functions;
mod roles;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use crate::policy::PolicyDocument;

pub use certificates::*;
pub use event_sources::*;
pub use functions::*;
pub use roles::*;
pub use rules::*;

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
