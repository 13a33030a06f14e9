//! What just-in-time provisioning asks of a template beyond the grammar.

use super::{
    CertificateSourcePart, Template,
    error::{Problem, TemplateError},
    expression::{CERTIFICATE_ID, Values},
    json::child,
    suggest::did_you_mean,
};

/// The parameters that just-in-time provisioning can give a value: seven from the certificate, and its AWS id.
///
/// `SerialNumber` is the serial number of the certificate in decimal, not the attribute of the subject. There is none
/// for locality, e-mail, alternative names or validity (AWS IoT developer guide, "Just-in-time provisioning").
pub const JITP_PARAMETERS: [&str; 8] = [
    "AWS::IoT::Certificate::Country",
    "AWS::IoT::Certificate::Organization",
    "AWS::IoT::Certificate::OrganizationalUnit",
    "AWS::IoT::Certificate::DistinguishedNameQualifier",
    "AWS::IoT::Certificate::StateName",
    "AWS::IoT::Certificate::CommonName",
    "AWS::IoT::Certificate::SerialNumber",
    CERTIFICATE_ID,
];

pub(crate) fn check(template: &Template) -> Vec<TemplateError> {
    let mut faults = super::certain::faults(template);
    for parameter in &template.parameters {
        if JITP_PARAMETERS.contains(&parameter.name.as_str()) || parameter.default.is_some() {
            continue;
        }
        faults.push(TemplateError::new(
            child("$.Parameters", &parameter.name),
            Problem::Jitp(format!(
                "no certificate can give `{}` a value{}; just-in-time provisioning knows only {}; use one of those, or \
                 add a Default",
                parameter.name,
                did_you_mean(&parameter.name, JITP_PARAMETERS),
                JITP_PARAMETERS.join(", "),
            )),
        ));
    }
    match &template.certificate {
        None => faults.push(TemplateError::new(
            "$.Resources",
            Problem::Jitp(
                "there is no certificate resource, so the certificate would stay PENDING_ACTIVATION; add {\"Type\": \
                 \"AWS::IoT::Certificate\", \"Properties\": {\"CertificateId\": {\"Ref\": \
                 \"AWS::IoT::Certificate::Id\"}, \"Status\": \"ACTIVE\"}}"
                    .to_owned(),
            ),
        )),
        Some(certificate) => {
            let properties = format!("{}.Properties", certificate.path);
            let is_own_id = match &certificate.source {
                CertificateSourcePart::Id(text) => {
                    // Whatever functions are in between, the result must be the id and nothing else.
                    let marker = "0".repeat(64);
                    let parameter = |name: &str| (name == CERTIFICATE_ID).then(|| marker.clone());
                    let values = Values { parameter: &parameter, mappings: &template.mappings };
                    text.constant(&template.mappings).is_none() && text.evaluate(&values).is_ok_and(|id| id == marker)
                }
                _ => false,
            };
            if !is_own_id {
                faults.push(TemplateError::new(
                    properties,
                    Problem::Jitp(
                        "just-in-time provisioning knows the certificate only by its id; write \"CertificateId\": \
                         {\"Ref\": \"AWS::IoT::Certificate::Id\"}"
                            .to_owned(),
                    ),
                ));
            }
        }
    }
    faults
}

pub(crate) fn warnings(template: &Template) -> Vec<TemplateError> {
    let mut warnings = Vec::new();
    let mut warn = |path: String, sentence: String| {
        warnings.push(TemplateError::new(path, Problem::Jitp(sentence)));
    };
    const FLEET_ONLY: &str = "is documented for fleet provisioning templates only; whether just-in-time provisioning \
                              accepts it is not documented";
    for (path, function) in &template.functions {
        warn(path.clone(), format!("{function} {FLEET_ONLY}"));
    }
    if template.has_mappings {
        warn("$.Mappings".to_owned(), format!("Mappings {FLEET_ONLY}"));
    }
    if template.device_configuration.is_some() {
        warn(
            "$.DeviceConfiguration".to_owned(),
            format!("DeviceConfiguration {FLEET_ONLY}, and no device would get it"),
        );
    }
    if let Some(thing) = &template.thing
        && let Some(name) = thing.thing_name.constant(&template.mappings)
    {
        warn(
            thing.thing_name.path.clone(),
            format!(
                "every device would become the same thing `{name}`; refer to a parameter that differs, for example \
                 {{\"Ref\": \"AWS::IoT::Certificate::CommonName\"}}"
            ),
        );
    }
    if template.certificate.is_some() && template.policies.is_empty() {
        warn(
            "$.Resources".to_owned(),
            "there is no policy resource; a device without a policy is refused at every connection"
                .to_owned(),
        );
    }
    warnings
}
