//! From a template and the values of one device to the resources AWS IoT would make, each value checked.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use serde_json::Map;

use super::{
    CertificatePart, CertificateResource, CertificateSource, CertificateSourcePart, Filled,
    PolicyPart, PolicyResource, PolicySource, PolicySourcePart, Template, ThingPart, ThingResource,
    checks::{certificate_status, check_attribute_count, check_document, thing_principal_type},
    error::{Problem, TemplateError},
    expression::{Text, Values},
    values,
};

pub(crate) fn fill(
    template: &Template,
    given: &BTreeMap<String, String>,
) -> Result<Filled, TemplateError> {
    let missing = template.missing_parameters(given);
    if !missing.is_empty() {
        return Err(TemplateError::new(
            "$.Parameters",
            Problem::NoValue {
                names: missing.join(", "),
            },
        ));
    }
    fill_used(template, given)
}

pub(crate) fn fill_used(
    template: &Template,
    given: &BTreeMap<String, String>,
) -> Result<Filled, TemplateError> {
    let parameter = |name: &str| {
        let default = || {
            template
                .parameters
                .iter()
                .find(|known| known.name == name)?
                .default
                .clone()
        };
        given.get(name).cloned().or_else(default)
    };
    let values = Values {
        parameter: &parameter,
        mappings: &template.mappings,
    };
    Ok(Filled {
        thing: template
            .thing
            .as_ref()
            .map(|thing| fill_thing(thing, &values))
            .transpose()?,
        certificate: template
            .certificate
            .as_ref()
            .map(|part| fill_certificate(part, &values))
            .transpose()?,
        policies: fill_policies(&template.policies, &values)?,
        device_configuration: match &template.device_configuration {
            Some(members) => {
                let mut configuration = Map::new();
                for (key, node) in members {
                    configuration.insert(key.clone(), node.evaluate(&values)?);
                }
                Some(configuration)
            }
            None => None,
        },
    })
}

fn fill_thing(thing: &ThingPart, values: &Values<'_>) -> Result<ThingResource, TemplateError> {
    let checked = |text: &Text, rule: &values::Rule| {
        let value = text.evaluate(values)?;
        rule.check(&text.path, &value)?;
        Ok::<_, TemplateError>(value)
    };
    let optional =
        |text: &Option<Text>, rule| text.as_ref().map(|text| checked(text, rule)).transpose();
    let mut attributes = BTreeMap::new();
    for (name, text) in &thing.attributes {
        attributes.insert(name.clone(), checked(text, &values::ATTRIBUTE_VALUE)?);
    }
    check_attribute_count(thing)?;
    let mut thing_groups: Vec<String> = Vec::new();
    if let Some(list) = &thing.thing_groups {
        for (path, name) in list.texts(values)? {
            values::THING_GROUP_NAME.check(&path, &name)?;
            if !thing_groups.contains(&name) {
                thing_groups.push(name);
            }
        }
    }
    if thing_groups.len() > values::GROUPS_OF_A_THING {
        let problem = Problem::TooMany {
            what: "thing groups",
            count: thing_groups.len(),
            limit: values::GROUPS_OF_A_THING,
            remedy: "a thing cannot be in more",
        };
        return Err(TemplateError::new(
            format!("{}.Properties.ThingGroups", thing.path),
            problem,
        ));
    }
    let mut package_versions = BTreeMap::new();
    for (name, text) in &thing.package_versions {
        package_versions.insert(name.clone(), text.evaluate(values)?);
    }
    Ok(ThingResource {
        logical_id: thing.logical_id.clone(),
        thing_name: checked(&thing.thing_name, &values::THING_NAME)?,
        attributes,
        thing_type_name: optional(&thing.thing_type_name, &values::THING_TYPE_NAME)?,
        thing_groups,
        billing_group: optional(&thing.billing_group, &values::BILLING_GROUP_NAME)?,
        package_versions,
        override_settings: thing.override_settings,
    })
}

fn fill_certificate(
    part: &CertificatePart,
    values: &Values<'_>,
) -> Result<CertificateResource, TemplateError> {
    let source = match &part.source {
        CertificateSourcePart::Id(text) => {
            let id = text.evaluate(values)?;
            values::CERTIFICATE_ID_RULE.check(&text.path, &id)?;
            CertificateSource::Id(id)
        }
        CertificateSourcePart::Pem {
            certificate_pem,
            ca_certificate_pem,
        } => CertificateSource::Pem {
            certificate_pem: certificate_pem.evaluate(values)?,
            ca_certificate_pem: ca_certificate_pem
                .as_ref()
                .map(|text| text.evaluate(values))
                .transpose()?,
        },
        CertificateSourcePart::Csr(text) => CertificateSource::Csr(text.evaluate(values)?),
    };
    let known = |text: &Text| text.evaluate(values).map(Some);
    Ok(CertificateResource {
        logical_id: part.logical_id.clone(),
        source,
        status: certificate_status(part, known)?,
        thing_principal_type: thing_principal_type(part, known)?,
        override_status: part.override_status,
    })
}

fn fill_policies(
    parts: &[PolicyPart],
    values: &Values<'_>,
) -> Result<Vec<PolicyResource>, TemplateError> {
    let mut policies = Vec::with_capacity(parts.len());
    for part in parts {
        let source = match &part.source {
            PolicySourcePart::Name(text) => {
                let name = text.evaluate(values)?;
                values::POLICY_NAME.check(&text.path, &name)?;
                PolicySource::Name(name)
            }
            PolicySourcePart::Text(text) => {
                let document = text.evaluate(values)?;
                check_document(&text.path, &document)?;
                PolicySource::Document(document)
            }
            PolicySourcePart::Object(node) => {
                PolicySource::Document(node.evaluate(values)?.to_string())
            }
        };
        policies.push(PolicyResource {
            logical_id: part.logical_id.clone(),
            source,
        });
    }
    if policies.len() > values::POLICIES_OF_A_CERTIFICATE {
        let problem = Problem::TooMany {
            what: "policies",
            count: policies.len(),
            limit: values::POLICIES_OF_A_CERTIFICATE,
            remedy: "a certificate cannot have more",
        };
        return Err(TemplateError::new("$.Resources", problem));
    }
    Ok(policies)
}

/// The name a policy gets when a template gives only its document: SHA-1 of the text, 40 upper-case hexadecimal digits.
///
/// AWS does not document the algorithm; its example ("Single thing provisioning") has this form.
#[must_use]
pub fn policy_name_for_document(document: &str) -> String {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, document.as_bytes());
    hex::encode_upper(hash.as_ref())
}

/// Whether a policy may be one that a template made from a document, by its name ([`policy_name_for_document`]).
#[must_use]
pub fn is_policy_name_of_document(name: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    name.len() == 40 && name.bytes().all(digit)
}
