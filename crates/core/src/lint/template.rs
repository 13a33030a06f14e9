//! Templates: the grammar, what the kind of provisioning asks beyond it, and the policies written into them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Finding, Severity, lint_policy};
use crate::template::{JITP_PARAMETERS, Template, TemplateError, json, json::child};

/// What a template is to be used for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TemplateUse {
    /// Fleet provisioning.
    Fleet,
    /// Just-in-time provisioning.
    Jitp,
}

/// How a template is looked at.
#[derive(Clone, Debug)]
pub struct TemplateLint {
    /// What it is for.
    pub used_for: TemplateUse,
    /// The parameters that devices send, if that is known.
    pub sent: Option<BTreeSet<String>>,
}

/// Everything found in a template, in the order of how bad it is.
pub fn lint_template(text: &str, lint: &TemplateLint) -> Vec<Finding> {
    let template = match Template::parse(text) {
        Ok(template) => template,
        // Whatever else there is cannot be told before this is mended.
        Err(error) => return vec![finding(Severity::Error, &error)],
    };
    let (faults, warnings) = match lint.used_for {
        TemplateUse::Fleet => (template.check_fleet(), template.fleet_warnings()),
        TemplateUse::Jitp => (template.check_jitp(), template.warnings()),
    };
    let mut findings: Vec<Finding> = faults
        .iter()
        .map(|fault| finding(Severity::Error, fault))
        .collect();
    findings.extend(
        warnings
            .iter()
            .map(|warning| finding(Severity::Warning, warning)),
    );
    findings.extend(never_sent(&template, lint));
    if let Ok(root) = json::read(text, DEEPEST) {
        findings.extend(policies(&root));
        findings.extend(overrides(&root));
    }
    findings.extend(needed(&template));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

fn finding(severity: Severity, error: &TemplateError) -> Finding {
    Finding::new(
        severity,
        "template",
        error.path(),
        error.problem().to_string(),
    )
}

/// Parameters that no device will send.
fn never_sent(template: &Template, lint: &TemplateLint) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, has_default) in template.parameters_with_defaults() {
        let path = child("$.Parameters", name);
        let from_certificate = JITP_PARAMETERS.contains(&name);
        match (lint.used_for, &lint.sent) {
            // Without a default it is an error, and found already.
            (TemplateUse::Jitp, _) if !from_certificate && has_default => {
                let message =
                    format!("no certificate gives `{name}` a value: every device gets the Default");
                findings.push(Finding::new(
                    Severity::Warning,
                    "template-parameter",
                    path,
                    message,
                ));
            }
            (TemplateUse::Fleet, _) if from_certificate && name != OWN_ID && has_default => {
                let message = format!("no device sends `{name}`: every device gets the Default");
                findings.push(Finding::new(
                    Severity::Warning,
                    "template-parameter",
                    path,
                    message,
                ));
            }
            (TemplateUse::Fleet, Some(sent)) if !from_certificate && !sent.contains(name) => {
                let message = match has_default {
                    true => format!("no device sends `{name}`: every device gets the Default"),
                    false => format!(
                        "no device sends `{name}`, and it has no Default: every device is refused, unless the hook \
                         gives it a value"
                    ),
                };
                findings.push(Finding::new(
                    Severity::Warning,
                    "template-parameter",
                    path,
                    message,
                ));
            }
            _ => {}
        }
    }
    if let (TemplateUse::Fleet, Some(sent)) = (lint.used_for, &lint.sent) {
        let declared = template.declared_parameters();
        for name in sent
            .iter()
            .filter(|name| !declared.contains(&name.as_str()))
        {
            let message = format!("devices send `{name}`, which is not declared and does nothing");
            findings.push(Finding::new(
                Severity::Warning,
                "template-parameter",
                "$.Parameters",
                message,
            ));
        }
    }
    findings
}

/// The policies whose documents are written into the template.
fn policies(root: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let resources = root.get("Resources").and_then(Value::as_object);
    for (id, resource) in resources.into_iter().flatten() {
        let Some(document) = resource.pointer("/Properties/PolicyDocument") else {
            continue;
        };
        let path = format!("{}.Properties.PolicyDocument", child("$.Resources", id));
        let (text, place) = match document {
            Value::String(text) => (text.clone(), format!("{path}, in the string: ")),
            // A function gives it, and only a device's values tell what.
            Value::Object(object) if !object.contains_key("Statement") => continue,
            other => (other.to_string(), path),
        };
        let found = lint_policy(&text).into_iter().map(|finding| Finding {
            path: match place.ends_with(' ') {
                true => format!("{place}{}", finding.path),
                false => finding.path.replacen('$', &place, 1),
            },
            ..finding
        });
        findings.extend(found);
    }
    findings
}

/// What happens to a thing that exists already is not documented unless the template says it.
fn overrides(root: &Value) -> Vec<Finding> {
    let resources = root.get("Resources").and_then(Value::as_object);
    let things = resources.into_iter().flatten().filter(|(_, resource)| {
        resource.get("Type").and_then(Value::as_str) == Some("AWS::IoT::Thing")
            && resource.get("OverrideSettings").is_none()
    });
    things
        .map(|(id, _)| {
            Finding::new(
                Severity::Note, "template-override",
                child("$.Resources", id),
                "without OverrideSettings AWS does not document what becomes of a thing that exists already, as it does \
                 when a device is provisioned again",
            )
        })
        .collect()
}

/// What must be there before the first device comes.
fn needed(template: &Template) -> Vec<Finding> {
    let kinds = [
        ("policy", template.named_policies()),
        ("thing type", template.thing_types()),
        ("thing group", template.thing_groups()),
        ("billing group", template.billing_groups()),
    ];
    let note = |kind, name| {
        let message = format!("the {kind} {name} must exist before a device comes");
        Finding::new(
            Severity::Note,
            "template-prerequisite",
            "$.Resources",
            message,
        )
    };
    let notes = kinds
        .into_iter()
        .flat_map(|(kind, names)| names.into_iter().map(move |name| note(kind, name)));
    notes.collect()
}

const OWN_ID: &str = "AWS::IoT::Certificate::Id";
/// As deep as a template is read.
const DEEPEST: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = r#""certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"}}"#;

    fn template(parameters: &str, policy: &str) -> String {
        format!(
            r#"{{"Parameters": {{{parameters}}}, "Resources": {{
                "thing": {{"Type": "AWS::IoT::Thing", "OverrideSettings": {{"AttributePayload": "MERGE"}},
                           "Properties": {{"ThingName": {{"Ref": "Serial"}}}}}},
                {CERTIFICATE},
                "policy": {{"Type": "AWS::IoT::Policy", "Properties": {{{policy}}}}}}}}}"#
        )
    }

    const SERIAL: &str = r#""Serial": {"Type": "String"}"#;
    const NAMED: &str = r#""PolicyName": "Fleet""#;

    fn found(text: &str, sent: Option<&[&str]>) -> Vec<(Severity, String)> {
        let sent = sent.map(|sent| sent.iter().map(|name| (*name).to_owned()).collect());
        let lint = TemplateLint {
            used_for: TemplateUse::Fleet,
            sent,
        };
        let findings = lint_template(text, &lint).into_iter();
        findings
            .filter(|finding| finding.severity != Severity::Note)
            .map(|finding| (finding.severity, finding.path))
            .collect()
    }

    #[test]
    fn a_good_template_has_nothing_but_notes_of_what_it_needs() {
        let good = template(SERIAL, NAMED);
        assert_eq!(found(&good, Some(&["Serial"])), []);
        let lint = TemplateLint {
            used_for: TemplateUse::Fleet,
            sent: None,
        };
        let notes = lint_template(&good, &lint);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].message.contains("policy Fleet must exist"));
    }

    #[test]
    fn a_parameter_that_no_device_sends_is_named_by_its_path() {
        let more = format!(r#"{SERIAL}, "Site": {{"Type": "String"}}"#);
        let warning = (Severity::Warning, "$.Parameters.Site".to_owned());
        let both = found(&template(&more, NAMED), Some(&["Serial"]));
        assert_eq!(both, [warning.clone(), warning.clone()]);
        assert_eq!(found(&template(&more, NAMED), None), [warning]);
        let undeclared = found(&template(SERIAL, NAMED), Some(&["Serial", "Licence"]));
        assert_eq!(undeclared, [(Severity::Warning, "$.Parameters".to_owned())]);
    }

    #[test]
    fn policies_in_a_template_are_looked_at_as_object_and_as_string() {
        let wide = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}"#;
        let object = found(
            &template(SERIAL, &format!(r#""PolicyDocument": {wide}"#)),
            None,
        );
        let path = "$.Resources.policy.Properties.PolicyDocument.Statement[0]";
        assert_eq!(object, [(Severity::Warning, path.to_owned())]);
        let string = serde_json::to_string(wide).unwrap();
        let string = found(
            &template(SERIAL, &format!(r#""PolicyDocument": {string}"#)),
            None,
        );
        let path = "$.Resources.policy.Properties.PolicyDocument, in the string: $.Statement[0]";
        assert_eq!(string, [(Severity::Warning, path.to_owned())]);
    }

    #[test]
    fn a_template_that_is_none_is_one_error() {
        let findings = found("{", None);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].0, Severity::Error);
    }
}
