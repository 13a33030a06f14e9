//! From JSON text to a template: the grammar, and everything that can be checked without a device.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::{Map, Value};

use super::{
    CertificatePart, CertificateSourcePart, LONGEST_BODY, Override, OverrideSettings, Parameter,
    PolicyPart, PolicySourcePart, Template, ThingPart,
    error::{Problem, TemplateError},
    expression::{List, Mappings, Node, Room, Scope, Text, is_function, wrong_type},
    json::{self, child},
    suggest::did_you_mean,
    values,
};

const THING: &str = "AWS::IoT::Thing";
const CERTIFICATE: &str = "AWS::IoT::Certificate";
const POLICY: &str = "AWS::IoT::Policy";

/// Levels of nesting; the deepest template that means something (a policy document with conditions and functions)
/// needs about fifteen.
const DEEPEST: usize = 40;

/// White space is free in a file, but not without end: what AWS could take at most, and room for a generous layout.
const LONGEST_FILE: usize = 64 * LONGEST_BODY;

pub(crate) fn parse(text: &str) -> Result<Template, TemplateError> {
    if text.len() > LONGEST_FILE {
        let problem = Problem::TooLong {
            length: text.chars().count(),
            limit: LONGEST_BODY,
        };
        return Err(TemplateError::new("$", problem));
    }
    let root = json::read(text, DEEPEST)?;
    let body = root.to_string();
    let length = body.chars().count();
    if length > LONGEST_BODY {
        return Err(TemplateError::new(
            "$",
            Problem::TooLong {
                length,
                limit: LONGEST_BODY,
            },
        ));
    }
    let root = object(
        &root,
        "$",
        "a template: an object with Parameters and Resources",
    )?;
    known_keys(
        root,
        "$",
        &["Parameters", "Mappings", "Resources", "DeviceConfiguration"],
    )?;

    let parameters = match root.get("Parameters") {
        Some(value) => read_parameters(value)?,
        None => Vec::new(),
    };
    let mappings = match root.get("Mappings") {
        Some(value) => read_mappings(value)?,
        None => Mappings::new(),
    };
    let resources = root.get("Resources").ok_or_else(|| {
        missing(
            "$",
            "Resources",
            "add the thing, the certificate and the policy",
        )
    })?;
    let resources = object(resources, "$.Resources", "an object of resources")?;
    if resources.is_empty() {
        return Err(missing(
            "$.Resources",
            "Type",
            "Resources is empty; add a thing, a certificate or a policy",
        ));
    }

    let scope = Scope {
        parameters: &parameters,
        mappings: &mappings,
        resources: resources.keys().map(String::as_str).collect(),
        functions: RefCell::default(),
        references: RefCell::default(),
    };
    let mut parts = Parts::default();
    for (logical_id, value) in resources {
        parts.read(logical_id, value, &scope)?;
    }
    let device_configuration = root
        .get("DeviceConfiguration")
        .map(|value| read_device_configuration(value, &scope))
        .transpose()?;

    let template = Template {
        functions: scope.functions.into_inner(),
        has_mappings: root.contains_key("Mappings"),
        parameters,
        mappings,
        thing: parts.thing,
        certificate: parts.certificate,
        policies: parts.policies,
        device_configuration,
        body,
    };
    check_constants(&template)?;
    Ok(template)
}

fn read_parameters(value: &Value) -> Result<Vec<Parameter>, TemplateError> {
    let path = "$.Parameters";
    let mut parameters = Vec::new();
    for (name, value) in object(value, path, "an object of parameters")? {
        let path = child(path, name);
        let parameter = object(
            value,
            &path,
            "{\"Type\": \"String\"}, with or without a Default",
        )?;
        known_keys(parameter, &path, &["Type", "Default"])?;
        match parameter.get("Type") {
            Some(Value::String(kind)) if kind == "String" => {}
            Some(Value::String(kind)) => {
                return Err(not_one_of(&child(&path, "Type"), kind, &["String"]));
            }
            Some(other) => {
                return Err(wrong_type(
                    &child(&path, "Type"),
                    "the string \"String\"",
                    other,
                ));
            }
            None => {
                return Err(missing(
                    &path,
                    "Type",
                    "every parameter is written {\"Type\": \"String\"}",
                ));
            }
        }
        let default = match parameter.get("Default") {
            Some(Value::String(default)) => Some(default.clone()),
            Some(other) => return Err(wrong_type(&child(&path, "Default"), "a string", other)),
            None => None,
        };
        parameters.push(Parameter {
            name: name.clone(),
            default,
        });
    }
    Ok(parameters)
}

fn read_mappings(value: &Value) -> Result<Mappings, TemplateError> {
    const FORM: &str = "two levels of keys with texts or lists of texts below, all constant";
    let mut mappings = Mappings::new();
    for (map, value) in object(value, "$.Mappings", FORM)? {
        let path = child("$.Mappings", map);
        let mut outer = BTreeMap::new();
        for (first, value) in object(value, &path, FORM)? {
            let path = child(&path, first);
            let mut inner = BTreeMap::new();
            for (second, value) in object(value, &path, FORM)? {
                let path = child(&path, second);
                let constant = match value {
                    Value::String(_) => true,
                    Value::Array(items) => items.iter().all(Value::is_string),
                    Value::Object(object) if is_function(object) => {
                        let function = object.keys().next().cloned().unwrap_or_default();
                        return Err(TemplateError::new(
                            path,
                            Problem::FunctionNotHere {
                                function,
                                place: "inside Mappings",
                                remedy: "values there are constants; use the function where the value is looked up",
                            },
                        ));
                    }
                    _ => false,
                };
                if !constant {
                    return Err(wrong_type(&path, "a string or a list of strings", value));
                }
                inner.insert(second.clone(), value.clone());
            }
            outer.insert(first.clone(), inner);
        }
        mappings.insert(map.clone(), outer);
    }
    Ok(mappings)
}

fn read_device_configuration(
    value: &Value,
    scope: &Scope<'_>,
) -> Result<Vec<(String, Node)>, TemplateError> {
    let path = "$.DeviceConfiguration";
    let mut members = Vec::new();
    for (key, value) in object(value, path, "a flat object")? {
        let path = child(path, key);
        let nested = match value {
            Value::Object(object) => !is_function(object),
            other => other.is_array(),
        };
        if nested {
            return Err(wrong_type(
                &path,
                "a plain value or a function; a device configuration is flat",
                value,
            ));
        }
        members.push((
            key.clone(),
            Node::read(value, &path, Room::Elsewhere, scope)?,
        ));
    }
    Ok(members)
}

#[derive(Default)]
struct Parts {
    thing: Option<ThingPart>,
    certificate: Option<CertificatePart>,
    policies: Vec<PolicyPart>,
}

impl Parts {
    fn read(
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

/// What does not depend on a parameter is checked now, not when the first device is turned away.
fn check_constants(template: &Template) -> Result<(), TemplateError> {
    let mappings = &template.mappings;
    let check = |text: &Text, rule: &values::Rule| match text.constant(mappings) {
        Some(constant) => rule.check(&text.path, &constant),
        None => Ok(()),
    };
    if let Some(thing) = &template.thing {
        check(&thing.thing_name, &values::THING_NAME)?;
        for (name, text) in &thing.attributes {
            values::ATTRIBUTE_NAME.check(&text.path, name)?;
            check(text, &values::ATTRIBUTE_VALUE)?;
        }
        super::fill::check_attribute_count(thing)?;
        if let Some(text) = &thing.thing_type_name {
            check(text, &values::THING_TYPE_NAME)?;
        }
        if let Some(text) = &thing.billing_group {
            check(text, &values::BILLING_GROUP_NAME)?;
        }
        for (path, name) in thing
            .thing_groups
            .iter()
            .flat_map(|list| list.constants(mappings))
        {
            values::THING_GROUP_NAME.check(&path, &name)?;
        }
    }
    if let Some(certificate) = &template.certificate {
        super::fill::certificate_status(certificate, |text| Ok(text.constant(mappings)))?;
        super::fill::thing_principal_type(certificate, |text| Ok(text.constant(mappings)))?;
        if let CertificateSourcePart::Id(text) = &certificate.source {
            check(text, &values::CERTIFICATE_ID_RULE)?;
        }
    }
    for policy in &template.policies {
        match &policy.source {
            PolicySourcePart::Name(text) => check(text, &values::POLICY_NAME)?,
            PolicySourcePart::Text(text) => {
                if let Some(document) = text.constant(mappings) {
                    super::fill::check_document(&text.path, &document)?;
                }
            }
            PolicySourcePart::Object(_) => {}
        }
    }
    Ok(())
}

fn object<'a>(
    value: &'a Value,
    path: &str,
    expected: &'static str,
) -> Result<&'a Map<String, Value>, TemplateError> {
    value
        .as_object()
        .ok_or_else(|| wrong_type(path, expected, value))
}

fn known_keys(
    object: &Map<String, Value>,
    path: &str,
    known: &[&str],
) -> Result<(), TemplateError> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(unknown_key(path, key, known)),
        None => Ok(()),
    }
}

fn unknown_key(path: &str, key: &str, known: &[&str]) -> TemplateError {
    let problem = Problem::UnknownKey {
        key: key.to_owned(),
        suggestion: did_you_mean(key, known.iter().copied()),
        known: known.join(", "),
    };
    TemplateError::new(child(path, key), problem)
}

fn missing(path: &str, key: &'static str, remedy: &'static str) -> TemplateError {
    TemplateError::new(path, Problem::Missing { key, remedy })
}

pub(crate) fn not_one_of(path: &str, found: &str, allowed: &[&str]) -> TemplateError {
    let problem = Problem::NotOneOf {
        found: found.to_owned(),
        suggestion: did_you_mean(found, allowed.iter().copied()),
        allowed: allowed.join(", "),
    };
    TemplateError::new(path, problem)
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
