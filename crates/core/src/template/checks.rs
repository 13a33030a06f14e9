//! What is checked of a template when it is read, as far as its text alone tells, and again of the values of a device.

use serde_json::Value;

use super::{
    CertificatePart, CertificateStatus, ThingPart, ThingPrincipalType,
    error::{Problem, TemplateError},
    expression::Text,
    json::{self, child},
    suggest::did_you_mean,
    values,
};

/// The number of attributes is fixed by the template, so it is known before any device.
pub(crate) fn check_attribute_count(thing: &ThingPart) -> Result<(), TemplateError> {
    let (limit, remedy) = if thing.thing_type_name.is_some() {
        (values::ATTRIBUTES_WITH_TYPE, "drop some")
    } else {
        (
            values::ATTRIBUTES_WITHOUT_TYPE,
            "give the thing a ThingTypeName, which allows 50",
        )
    };
    let count = thing.attributes.len();
    if count <= limit {
        return Ok(());
    }
    let path = format!("{}.Properties.AttributePayload", thing.path);
    Err(TemplateError::new(
        path,
        Problem::TooMany {
            what: "attributes",
            count,
            limit,
            remedy,
        },
    ))
}

/// The status, if `evaluate` knows it; case does not matter, since the developer guide writes both ACTIVE and Active.
pub(crate) fn certificate_status(
    part: &CertificatePart,
    evaluate: impl Fn(&Text) -> Result<Option<String>, TemplateError>,
) -> Result<CertificateStatus, TemplateError> {
    let Some(text) = &part.status else {
        return Ok(CertificateStatus::Active);
    };
    match evaluate(text)? {
        None => Ok(CertificateStatus::Active),
        Some(word) if word.eq_ignore_ascii_case("ACTIVE") => Ok(CertificateStatus::Active),
        Some(word) if word.eq_ignore_ascii_case("INACTIVE") => Ok(CertificateStatus::Inactive),
        Some(word) => Err(not_one_of(&text.path, &word, &["ACTIVE", "INACTIVE"])),
    }
}

pub(crate) fn thing_principal_type(
    part: &CertificatePart,
    evaluate: impl Fn(&Text) -> Result<Option<String>, TemplateError>,
) -> Result<ThingPrincipalType, TemplateError> {
    let Some(text) = &part.thing_principal_type else {
        return Ok(ThingPrincipalType::NonExclusive);
    };
    match evaluate(text)?.as_deref() {
        None | Some("NON_EXCLUSIVE_THING") => Ok(ThingPrincipalType::NonExclusive),
        Some("EXCLUSIVE_THING") => Ok(ThingPrincipalType::Exclusive),
        Some(word) => Err(not_one_of(
            &text.path,
            word,
            &["EXCLUSIVE_THING", "NON_EXCLUSIVE_THING"],
        )),
    }
}

/// A document is at least a JSON object with statements; its grammar is the policy engine's business.
pub(crate) fn check_document(path: &str, document: &str) -> Result<(), TemplateError> {
    let refuse = |rule: String| {
        let problem = Problem::BadValue {
            what: "policy document",
            value: values::quoted(document),
            rule,
        };
        Err(TemplateError::new(path, problem))
    };
    match json::read(document, 40) {
        Err(error) => refuse(error.to_string()),
        Ok(Value::Object(object)) if object.contains_key("Statement") => Ok(()),
        Ok(Value::Object(_)) => refuse(format!("{} is missing", child("$", "Statement"))),
        Ok(_) => refuse("it is not a JSON object".to_owned()),
    }
}

pub(crate) fn not_one_of(path: &str, found: &str, allowed: &[&str]) -> TemplateError {
    let problem = Problem::NotOneOf {
        found: found.to_owned(),
        suggestion: did_you_mean(found, allowed.iter().copied()),
        allowed: allowed.join(", "),
    };
    TemplateError::new(path, problem)
}
