//! The resources of a template: one thing, one certificate, policies, and what each is made of.

use serde_json::{Map, Value};

use super::super::checks::not_one_of;
use super::{known_keys, missing, object, unknown_key};
use crate::template::{
    CertificatePart, CertificateSourcePart, Override, OverrideSettings, PolicyPart,
    PolicySourcePart, ThingPart,
    error::{Problem, TemplateError},
    expression::{List, Node, Room, Scope, Text, is_function, wrong_type},
    json::child,
    suggest::did_you_mean,
};

const THING: &str = "AWS::IoT::Thing";
const CERTIFICATE: &str = "AWS::IoT::Certificate";
const POLICY: &str = "AWS::IoT::Policy";

/// The resources read so far.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) thing: Option<ThingPart>,
    pub(super) certificate: Option<CertificatePart>,
    pub(super) policies: Vec<PolicyPart>,
}

impl Parts {
    pub(super) fn read(
        &mut self,
        logical_id: &str,
        value: &Value,
        scope: &Scope<'_>,
    ) -> Result<(), TemplateError> {
        let path = child("$.Resources", logical_id);
        let resource = object(
            value,
            &path,
            "a resource: an object with Type and Properties",
        )?;
        known_keys(resource, &path, &["Type", "Properties", "OverrideSettings"])?;
        let kind = match resource.get("Type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(other) => {
                return Err(wrong_type(
                    &child(&path, "Type"),
                    "a resource type, as a string",
                    other,
                ));
            }
            None => {
                return Err(missing(
                    &path,
                    "Type",
                    "add \"Type\": \"AWS::IoT::Thing\", Certificate or Policy",
                ));
            }
        };
        if ![THING, CERTIFICATE, POLICY].contains(&kind) {
            let problem = Problem::UnknownResourceType {
                found: kind.to_owned(),
                suggestion: did_you_mean(kind, [THING, CERTIFICATE, POLICY]),
            };
            return Err(TemplateError::new(child(&path, "Type"), problem));
        }
        let properties = resource
            .get("Properties")
            .ok_or_else(|| missing(&path, "Properties", "add what the resource is made of"))?;
        let properties_path = child(&path, "Properties");
        let properties = Properties {
            members: object(properties, &properties_path, "an object of properties")?,
            path: properties_path,
            scope,
        };
        let overrides = resource.get("OverrideSettings");
        match kind {
            THING => {
                only_one(
                    &path,
                    THING,
                    self.thing.as_ref().map(|thing| &thing.logical_id),
                )?;
                self.thing = Some(read_thing(logical_id, path, &properties, overrides)?);
            }
            CERTIFICATE => {
                only_one(
                    &path,
                    CERTIFICATE,
                    self.certificate
                        .as_ref()
                        .map(|certificate| &certificate.logical_id),
                )?;
                self.certificate =
                    Some(read_certificate(logical_id, path, &properties, overrides)?);
            }
            _ => {
                if overrides.is_some() {
                    let problem = Problem::UnknownKey {
                        key: "OverrideSettings".to_owned(),
                        suggestion: String::new(),
                        known: "Type, Properties (a policy has no override settings)".to_owned(),
                    };
                    return Err(TemplateError::new(path, problem));
                }
                self.policies.push(read_policy(logical_id, &properties)?);
            }
        }
        Ok(())
    }
}

fn read_thing(
    logical_id: &str,
    path: String,
    properties: &Properties<'_>,
    overrides: Option<&Value>,
) -> Result<ThingPart, TemplateError> {
    properties.known(&[
        "ThingName",
        "AttributePayload",
        "ThingTypeName",
        "ThingGroups",
        "BillingGroup",
        "PackageVersions",
    ])?;
    let thing_name = properties.text("ThingName")?.ok_or_else(|| {
        missing(
            &properties.path,
            "ThingName",
            "add \"ThingName\": {\"Ref\": \"AWS::IoT::Certificate::CommonName\"}, or another name that differs for every device",
        )
    })?;
    let settings_path = child(&path, "OverrideSettings");
    let keys = [
        ("AttributePayload", "ATTRIBUTE_PAYLOAD", true),
        ("ThingTypeName", "THING_TYPE_NAME", false),
        ("ThingGroups", "THING_GROUPS", true),
    ];
    let [attribute_payload, thing_type_name, thing_groups] =
        read_overrides(overrides, &settings_path, keys)?;
    Ok(ThingPart {
        logical_id: logical_id.to_owned(),
        path,
        thing_name,
        attributes: properties.texts("AttributePayload")?,
        thing_type_name: properties.text("ThingTypeName")?,
        thing_groups: match properties.members.get("ThingGroups") {
            Some(value) => Some(List::read(
                value,
                &child(&properties.path, "ThingGroups"),
                Room::Elsewhere,
                properties.scope,
            )?),
            None => None,
        },
        billing_group: properties.text("BillingGroup")?,
        package_versions: properties.texts("PackageVersions")?,
        override_settings: OverrideSettings {
            attribute_payload,
            thing_type_name,
            thing_groups,
        },
    })
}

fn read_certificate(
    logical_id: &str,
    path: String,
    properties: &Properties<'_>,
    overrides: Option<&Value>,
) -> Result<CertificatePart, TemplateError> {
    const CHOICES: &str = "CertificateId, CertificatePem (with or without CACertificatePem), CertificateSigningRequest";
    properties.known(&[
        "CertificateId",
        "CertificatePem",
        "CACertificatePem",
        "CertificateSigningRequest",
        "Status",
        "ThingPrincipalType",
    ])?;
    let id = properties.text("CertificateId")?;
    let pem = properties.text("CertificatePem")?;
    let ca_certificate_pem = properties.text("CACertificatePem")?;
    let csr = properties.text("CertificateSigningRequest")?;
    let source = match (id, pem, csr, ca_certificate_pem) {
        (Some(id), None, None, None) => CertificateSourcePart::Id(id),
        (None, Some(certificate_pem), None, ca_certificate_pem) => CertificateSourcePart::Pem {
            certificate_pem,
            ca_certificate_pem,
        },
        (None, None, Some(csr), None) => CertificateSourcePart::Csr(csr),
        (id, pem, csr, ca) => {
            let given = [
                ("CertificateId", id.is_some()),
                ("CertificatePem", pem.is_some()),
                ("CertificateSigningRequest", csr.is_some()),
                ("CACertificatePem", ca.is_some()),
            ];
            let given: Vec<&str> = given
                .iter()
                .filter(|(_, is_given)| *is_given)
                .map(|(name, _)| *name)
                .collect();
            let found = if given.is_empty() {
                "nothing says which certificate".to_owned()
            } else if given == ["CACertificatePem"] {
                "CACertificatePem stands alone".to_owned()
            } else {
                format!("{} stand together", given.join(" and "))
            };
            return Err(TemplateError::new(
                &properties.path,
                Problem::ExactlyOne {
                    found,
                    choices: CHOICES,
                },
            ));
        }
    };
    let settings_path = child(&path, "OverrideSettings");
    let [override_status] =
        read_overrides(overrides, &settings_path, [("Status", "STATUS", false)])?;
    Ok(CertificatePart {
        logical_id: logical_id.to_owned(),
        path,
        source,
        status: properties.text("Status")?,
        thing_principal_type: properties.text("ThingPrincipalType")?,
        override_status,
    })
}

fn read_policy(logical_id: &str, properties: &Properties<'_>) -> Result<PolicyPart, TemplateError> {
    const CHOICES: &str = "PolicyName, PolicyDocument";
    properties.known(&["PolicyName", "PolicyDocument"])?;
    let source = match (
        properties.members.get("PolicyName"),
        properties.members.get("PolicyDocument"),
    ) {
        (Some(name), None) => {
            let path = child(&properties.path, "PolicyName");
            PolicySourcePart::Name(Text::read(name, &path, Room::Policy, properties.scope)?)
        }
        (None, Some(document)) => {
            let path = child(&properties.path, "PolicyDocument");
            match document {
                Value::Object(object) if !is_function(object) => {
                    let node = Node::read(document, &path, Room::Policy, properties.scope)?;
                    PolicySourcePart::Object(node)
                }
                _ => PolicySourcePart::Text(Text::read(
                    document,
                    &path,
                    Room::Policy,
                    properties.scope,
                )?),
            }
        }
        (name, _) => {
            let found = if name.is_some() {
                "PolicyName and PolicyDocument stand together"
            } else {
                "neither is there"
            };
            let problem = Problem::ExactlyOne {
                found: found.to_owned(),
                choices: CHOICES,
            };
            return Err(TemplateError::new(&properties.path, problem));
        }
    };
    Ok(PolicyPart {
        logical_id: logical_id.to_owned(),
        source,
    })
}

/// Reads OverrideSettings. Each key has two spellings: the developer guide lists the upper-case one, and every example
/// in it uses the other ("Provisioning templates").
fn read_overrides<const N: usize>(
    settings: Option<&Value>,
    path: &str,
    keys: [(&'static str, &'static str, bool); N],
) -> Result<[Option<Override>; N], TemplateError> {
    let mut found = [None; N];
    let Some(settings) = settings else {
        return Ok(found);
    };
    let settings = object(settings, path, "an object of override settings")?;
    for (key, value) in settings {
        let at = child(path, key);
        let Some(index) = keys
            .iter()
            .position(|(camel, upper, _)| key == camel || key == upper)
        else {
            let known = keys.map(|(camel, _, _)| camel);
            return Err(unknown_key(path, key, &known));
        };
        let Value::String(word) = value else {
            return Err(wrong_type(
                &at,
                "DO_NOTHING, REPLACE, FAIL or MERGE, as a string",
                value,
            ));
        };
        if found[index].is_some() {
            let found = format!("{} and {} stand together", keys[index].0, keys[index].1);
            let problem = Problem::ExactlyOne {
                found,
                choices: "the two spellings",
            };
            return Err(TemplateError::new(path, problem));
        }
        let may_merge = keys[index].2;
        let allowed: &[&str] = if may_merge {
            &["DO_NOTHING", "REPLACE", "FAIL", "MERGE"]
        } else {
            &["DO_NOTHING", "REPLACE", "FAIL"]
        };
        found[index] = Some(match word.as_str() {
            "DO_NOTHING" => Override::DoNothing,
            "REPLACE" => Override::Replace,
            "FAIL" => Override::Fail,
            "MERGE" if may_merge => Override::Merge,
            other => return Err(not_one_of(&at, other, allowed)),
        });
    }
    Ok(found)
}

/// The properties of one resource.
struct Properties<'a> {
    members: &'a Map<String, Value>,
    path: String,
    scope: &'a Scope<'a>,
}

impl Properties<'_> {
    fn known(&self, keys: &[&str]) -> Result<(), TemplateError> {
        known_keys(self.members, &self.path, keys)
    }

    fn text(&self, key: &str) -> Result<Option<Text>, TemplateError> {
        let path = child(&self.path, key);
        self.members
            .get(key)
            .map(|value| Text::read(value, &path, Room::Elsewhere, self.scope))
            .transpose()
    }

    fn texts(&self, key: &str) -> Result<Vec<(String, Text)>, TemplateError> {
        let Some(value) = self.members.get(key) else {
            return Ok(Vec::new());
        };
        let path = child(&self.path, key);
        let members = object(value, &path, "a flat object of names and texts")?;
        members
            .iter()
            .map(|(name, value)| {
                Ok((
                    name.clone(),
                    Text::read(value, &child(&path, name), Room::Elsewhere, self.scope)?,
                ))
            })
            .collect()
    }
}

fn only_one(
    path: &str,
    resource_type: &'static str,
    first: Option<&String>,
) -> Result<(), TemplateError> {
    match first {
        Some(first) => Err(TemplateError::new(
            path,
            Problem::SecondResource {
                resource_type,
                first: first.clone(),
            },
        )),
        None => Ok(()),
    }
}
