//! What fleet provisioning asks of a template beyond the grammar.

use super::{
    CertificateSourcePart, Template,
    error::{Problem, TemplateError},
    expression::{CERTIFICATE_ID, Values},
    jitp::JITP_PARAMETERS,
    json::child,
};

/// What would make fleet provisioning fail for every device.
pub(crate) fn check(template: &Template) -> Vec<TemplateError> {
    let mut faults = super::certain::faults(template);
    for parameter in &template.parameters {
        let name = parameter.name.as_str();
        // The id is the service's to give; everything else the device must send.
        if name == CERTIFICATE_ID || parameter.default.is_some() || !JITP_PARAMETERS.contains(&name)
        {
            continue;
        }
        faults.push(fault(
            child("$.Parameters", name),
            format!(
                "no device sends `{name}`: it is taken from the certificate in just-in-time provisioning, and there is \
                 no such value in fleet provisioning; use a name of your own, or add a Default"
            ),
        ));
    }
    match &template.certificate {
        None => faults.push(fault(
            "$.Resources".to_owned(),
            "there is no certificate resource, so the certificate would stay PENDING_ACTIVATION and be deleted; add \
             {\"Type\": \"AWS::IoT::Certificate\", \"Properties\": {\"CertificateId\": {\"Ref\": \
             \"AWS::IoT::Certificate::Id\"}, \"Status\": \"ACTIVE\"}}"
                .to_owned(),
        )),
        Some(certificate) if !is_own_id(template, &certificate.source) => faults.push(fault(
            format!("{}.Properties", certificate.path),
            "fleet provisioning knows the certificate only by its id; write \"CertificateId\": {\"Ref\": \
             \"AWS::IoT::Certificate::Id\"}"
                .to_owned(),
        )),
        Some(_) => {}
    }
    faults
}

/// What is allowed but probably not meant.
pub(crate) fn warnings(template: &Template) -> Vec<TemplateError> {
    let mut warnings = Vec::new();
    for parameter in &template.parameters {
        let name = parameter.name.as_str();
        if name != CERTIFICATE_ID && !template.references.contains(name) {
            warnings.push(fault(
                child("$.Parameters", name),
                format!(
                    "nothing refers to `{name}`{}",
                    match parameter.default {
                        Some(_) => "",
                        None => ", and a device that does not send it may be refused; drop it",
                    }
                ),
            ));
        }
    }
    match &template.thing {
        None => warnings.push(fault(
            "$.Resources".to_owned(),
            "there is no thing resource; the device would be told no thing name".to_owned(),
        )),
        Some(thing) => {
            if let Some(name) = thing.thing_name.constant(&template.mappings) {
                warnings.push(fault(
                    thing.thing_name.path.clone(),
                    format!(
                        "every device would become the same thing `{name}`; refer to a parameter that differs"
                    ),
                ));
            }
        }
    }
    if template.certificate.is_some() && template.policies.is_empty() {
        warnings.push(fault(
            "$.Resources".to_owned(),
            "there is no policy resource; a device without a policy is refused at every connection"
                .to_owned(),
        ));
    }
    warnings
}

fn fault(path: String, sentence: String) -> TemplateError {
    TemplateError::new(path, Problem::Fleet(sentence))
}

/// Whatever functions are in between, the result must be the certificate's id and nothing else.
fn is_own_id(template: &Template, source: &CertificateSourcePart) -> bool {
    let CertificateSourcePart::Id(text) = source else {
        return false;
    };
    let marker = "0".repeat(64);
    let parameter = |name: &str| (name == CERTIFICATE_ID).then(|| marker.clone());
    let values = Values {
        parameter: &parameter,
        mappings: &template.mappings,
    };
    text.constant(&template.mappings).is_none()
        && text.evaluate(&values).is_ok_and(|id| id == marker)
}
