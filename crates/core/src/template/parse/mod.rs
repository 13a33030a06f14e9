//! From JSON text to a template: the grammar, and everything that can be checked without a device.

mod resources;

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::{Map, Value};

use super::{
    CertificateSourcePart, LONGEST_BODY, Parameter, PolicySourcePart, Template,
    checks::{self, not_one_of},
    error::{Problem, TemplateError},
    expression::{Mappings, Node, Room, Scope, Text, is_function, wrong_type},
    json::{self, child},
    suggest::did_you_mean,
    values,
};
use resources::Parts;

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
        references: scope.references.into_inner(),
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
        checks::check_attribute_count(thing)?;
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
        checks::certificate_status(certificate, |text| Ok(text.constant(mappings)))?;
        checks::thing_principal_type(certificate, |text| Ok(text.constant(mappings)))?;
        if let CertificateSourcePart::Id(text) = &certificate.source {
            check(text, &values::CERTIFICATE_ID_RULE)?;
        }
    }
    for policy in &template.policies {
        match &policy.source {
            PolicySourcePart::Name(text) => check(text, &values::POLICY_NAME)?,
            PolicySourcePart::Text(text) => {
                if let Some(document) = text.constant(mappings) {
                    checks::check_document(&text.path, &document)?;
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
