//! Registration templates: read, check, fill in.
//!
//! A template says what AWS IoT makes of a device that connects for the first time: a thing, a certificate, policies
//! (AWS IoT developer guide, "Provisioning templates"). Here it is readable JSON; [`Template::to_body`] makes the
//! string that a registration configuration carries.
//!
//! ```
//! use std::collections::BTreeMap;
//! use jitp_core::template::Template;
//!
//! let template = Template::parse(r#"{
//!     "Parameters": {"AWS::IoT::Certificate::CommonName": {"Type": "String"}},
//!     "Resources": {"thing": {
//!         "Type": "AWS::IoT::Thing",
//!         "Properties": {"ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"}}
//!     }}
//! }"#)?;
//! let values = BTreeMap::from([("AWS::IoT::Certificate::CommonName".to_owned(), "sensor-17".to_owned())]);
//! assert_eq!(template.fill(&values)?.thing.unwrap().thing_name, "sensor-17");
//! # Ok::<(), jitp_core::template::TemplateError>(())
//! ```

mod certain;
mod checks;
mod error;
mod expression;
mod fill;
mod fleet;
mod jitp;
pub mod json;
mod parse;
pub mod suggest;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub use error::{Problem, TemplateError};
pub use fill::{is_policy_name_of_document, policy_name_for_document};
pub use jitp::JITP_PARAMETERS;

use expression::{List, Mappings, Node, Text, Values};

/// Most characters AWS IoT takes as a template body (AWS IoT API reference, "CreateProvisioningTemplate" and
/// "RegistrationConfig").
pub const LONGEST_BODY: usize = 10_240;

/// A registration template that has been read and found consistent in itself.
#[derive(Clone, Debug)]
pub struct Template {
    parameters: Vec<Parameter>,
    mappings: Mappings,
    thing: Option<ThingPart>,
    certificate: Option<CertificatePart>,
    policies: Vec<PolicyPart>,
    device_configuration: Option<Vec<(String, Node)>>,
    functions: Vec<(String, &'static str)>,
    /// Names of the parameters that something refers to.
    references: BTreeSet<String>,
    has_mappings: bool,
    body: String,
}

#[derive(Clone, Debug)]
struct Parameter {
    name: String,
    default: Option<String>,
}

#[derive(Clone, Debug)]
struct ThingPart {
    logical_id: String,
    path: String,
    thing_name: Text,
    attributes: Vec<(String, Text)>,
    thing_type_name: Option<Text>,
    thing_groups: Option<List>,
    billing_group: Option<Text>,
    package_versions: Vec<(String, Text)>,
    override_settings: OverrideSettings,
}

#[derive(Clone, Debug)]
struct CertificatePart {
    logical_id: String,
    path: String,
    source: CertificateSourcePart,
    status: Option<Text>,
    thing_principal_type: Option<Text>,
    override_status: Option<Override>,
}

#[derive(Clone, Debug)]
enum CertificateSourcePart {
    Id(Text),
    Pem {
        certificate_pem: Text,
        ca_certificate_pem: Option<Text>,
    },
    Csr(Text),
}

#[derive(Clone, Debug)]
struct PolicyPart {
    logical_id: String,
    source: PolicySourcePart,
}

#[derive(Clone, Debug)]
enum PolicySourcePart {
    Name(Text),
    /// A document as a JSON string.
    Text(Text),
    /// A document as an object.
    Object(Node),
}

/// What a template makes of one device, every value known and checked against AWS IoT's rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filled {
    /// The thing, if the template has one.
    pub thing: Option<ThingResource>,
    /// The certificate, if the template has one.
    pub certificate: Option<CertificateResource>,
    /// The policies, in the order of the template.
    pub policies: Vec<PolicyResource>,
    /// What fleet provisioning sends back to the device: flat, values of any scalar type.
    pub device_configuration: Option<Map<String, Value>>,
}

/// A thing to be made, or to be found.
#[derive(Clone, Debug, PartialEq)]
pub struct ThingResource {
    /// Name of the resource in the template.
    pub logical_id: String,
    /// 1 to 128 characters of `[a-zA-Z0-9:_-]`.
    pub thing_name: String,
    /// At most 3, or 50 if there is a type.
    pub attributes: BTreeMap<String, String>,
    /// Must exist already.
    pub thing_type_name: Option<String>,
    /// At most 10; must exist already.
    pub thing_groups: Vec<String>,
    /// Must exist already.
    pub billing_group: Option<String>,
    /// Software package name to version name.
    pub package_versions: BTreeMap<String, String>,
    /// What to do if the thing exists.
    pub override_settings: OverrideSettings,
}

/// A certificate to be registered, or to be activated.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateResource {
    /// Name of the resource in the template.
    pub logical_id: String,
    /// Where the certificate comes from.
    pub source: CertificateSource,
    /// The status it gets.
    pub status: CertificateStatus,
    /// Whether it may belong to one thing only.
    pub thing_principal_type: ThingPrincipalType,
    /// What to do if the certificate is registered with another status.
    pub override_status: Option<Override>,
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum CertificateSource {
    /// It is registered under this id: 64 hexadecimal digits. The only form just-in-time provisioning knows.
    Id(String),
    /// It is given, with or without the certificate of its CA, both PEM.
    Pem {
        /// The certificate.
        certificate_pem: String,
        /// The CA that signed it.
        ca_certificate_pem: Option<String>,
    },
    /// AWS IoT signs this request, PEM.
    Csr(String),
}

/// The status a template gives a certificate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CertificateStatus {
    /// May connect; the default.
    #[default]
    Active,
    /// May not.
    Inactive,
}

/// How many things a certificate may be attached to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ThingPrincipalType {
    /// One.
    Exclusive,
    /// Any number; the default.
    #[default]
    NonExclusive,
}

/// A policy to be attached to the certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyResource {
    /// Name of the resource in the template.
    pub logical_id: String,
    /// Which policy.
    pub source: PolicySource,
}

/// Which policy a template attaches.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicySource {
    /// One that exists under this name.
    Name(String),
    /// One to be made from this document, under the name [`policy_name_for_document`] gives.
    Document(String),
}

/// What a template wants done with a thing that exists already; `None` where it says nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OverrideSettings {
    /// For the attributes.
    pub attribute_payload: Option<Override>,
    /// For the thing type; never [`Override::Merge`].
    pub thing_type_name: Option<Override>,
    /// For the groups.
    pub thing_groups: Option<Override>,
}

/// What to do with something that exists already and differs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Override {
    /// Leave it.
    DoNothing,
    /// Replace it.
    Replace,
    /// Refuse the registration (ResourceConflictsException).
    Fail,
    /// Keep what is there and add what is new.
    Merge,
}

impl Template {
    /// Reads a template and checks everything that can be known before a device connects.
    ///
    /// # Errors
    /// The first fault, with its JSON path and the way out.
    pub fn parse(json: &str) -> Result<Self, TemplateError> {
        parse::parse(json)
    }

    /// The parameters under `Parameters`, in the order they were written.
    #[must_use]
    pub fn declared_parameters(&self) -> Vec<&str> {
        self.parameters
            .iter()
            .map(|parameter| parameter.name.as_str())
            .collect()
    }

    /// The parameters, each with whether it has a `Default`.
    pub(crate) fn parameters_with_defaults(&self) -> impl Iterator<Item = (&str, bool)> {
        let parameters = self.parameters.iter();
        parameters.map(|parameter| (parameter.name.as_str(), parameter.default.is_some()))
    }

    /// The declared parameters that have neither one of these values nor a default: just-in-time provisioning with
    /// them fails, and the certificate stays PENDING_ACTIVATION for ever.
    #[must_use]
    pub fn missing_parameters(&self, values: &BTreeMap<String, String>) -> Vec<String> {
        let missing = |parameter: &&Parameter| {
            parameter.default.is_none() && !values.contains_key(&parameter.name)
        };
        self.parameters
            .iter()
            .filter(missing)
            .map(|parameter| parameter.name.clone())
            .collect()
    }

    /// Makes the resources for one device. Values that are not declared are ignored.
    ///
    /// # Errors
    /// Parameters without a value; functions that find nothing; values AWS IoT would refuse.
    pub fn fill(&self, values: &BTreeMap<String, String>) -> Result<Filled, TemplateError> {
        fill::fill(self, values)
    }

    /// As [`Template::fill`], but a declared parameter that nothing refers to may lack a value: RegisterThing does not
    /// replace what it has no value for (developer guide, "Single thing provisioning").
    ///
    /// # Errors
    /// Parameters without a value that something refers to; functions that find nothing; values AWS IoT would refuse.
    pub fn fill_used(&self, values: &BTreeMap<String, String>) -> Result<Filled, TemplateError> {
        fill::fill_used(self, values)
    }

    /// What would make just-in-time provisioning with this template fail for every device. Empty is good.
    #[must_use]
    pub fn check_jitp(&self) -> Vec<TemplateError> {
        jitp::check(self)
    }

    /// What would make fleet provisioning with this template fail for every device. Empty is good.
    #[must_use]
    pub fn check_fleet(&self) -> Vec<TemplateError> {
        fleet::check(self)
    }

    /// What is allowed in a template for fleet provisioning but probably not meant.
    #[must_use]
    pub fn fleet_warnings(&self) -> Vec<TemplateError> {
        fleet::warnings(self)
    }

    /// What is allowed but probably not meant, or works only by luck: functions in a template for just-in-time
    /// provisioning, of which AWS documents only `Ref`.
    #[must_use]
    pub fn warnings(&self) -> Vec<TemplateError> {
        jitp::warnings(self)
    }

    /// The policies it names outright, without a parameter. They must exist before a device connects.
    #[must_use]
    pub fn named_policies(&self) -> Vec<String> {
        let names = self
            .policies
            .iter()
            .filter_map(|policy| match &policy.source {
                PolicySourcePart::Name(text) => text.constant(&self.mappings),
                _ => None,
            });
        unique(names)
    }

    /// The names of the policies that are made from its documents, as far as those are the same for every device.
    #[must_use]
    pub fn document_policies(&self) -> Vec<String> {
        let values = Values {
            parameter: &|_| None,
            mappings: &self.mappings,
        };
        let documents = self
            .policies
            .iter()
            .filter_map(|policy| match &policy.source {
                PolicySourcePart::Text(text) => text.constant(&self.mappings),
                PolicySourcePart::Object(node) => {
                    let document = node.evaluate(&values).ok()?;
                    Some(document.to_string())
                }
                PolicySourcePart::Name(_) => None,
            });
        unique(documents.map(|document| policy_name_for_document(&document)))
    }

    /// The thing type it names outright. It must exist before a device connects.
    #[must_use]
    pub fn thing_types(&self) -> Vec<String> {
        let text = self
            .thing
            .as_ref()
            .and_then(|thing| thing.thing_type_name.as_ref());
        unique(text.and_then(|text| text.constant(&self.mappings)))
    }

    /// The thing groups it names outright. They must exist before a device connects.
    #[must_use]
    pub fn thing_groups(&self) -> Vec<String> {
        let list = self
            .thing
            .as_ref()
            .and_then(|thing| thing.thing_groups.as_ref());
        unique(
            list.map(|list| list.constants(&self.mappings))
                .unwrap_or_default()
                .into_iter()
                .map(|(_, name)| name),
        )
    }

    /// The billing group it names outright. It must exist before a device connects.
    #[must_use]
    pub fn billing_groups(&self) -> Vec<String> {
        let text = self
            .thing
            .as_ref()
            .and_then(|thing| thing.billing_group.as_ref());
        unique(text.and_then(|text| text.constant(&self.mappings)))
    }

    /// The template as compact JSON, at most [`LONGEST_BODY`] characters: the string that goes into
    /// `registrationConfig.templateBody`.
    #[must_use]
    pub fn to_body(&self) -> String {
        self.body.clone()
    }
}

fn unique(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names
        .into_iter()
        .filter(|name| seen.insert(name.clone()))
        .collect()
}
