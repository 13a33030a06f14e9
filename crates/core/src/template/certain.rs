//! What fails for every device, whatever its values are.

use super::{CertificateSourcePart, PolicySourcePart, Template, error::TemplateError};

/// The faults that do not depend on any parameter.
pub(crate) fn faults(template: &Template) -> Vec<TemplateError> {
    let mappings = &template.mappings;
    let mut faults = Vec::new();
    let mut texts = Vec::new();
    if let Some(thing) = &template.thing {
        texts.push(&thing.thing_name);
        texts.extend(thing.attributes.iter().map(|(_, text)| text));
        texts.extend(thing.thing_type_name.as_ref());
        texts.extend(thing.billing_group.as_ref());
        texts.extend(thing.package_versions.iter().map(|(_, text)| text));
        if let Some(groups) = &thing.thing_groups {
            groups.faults(mappings, &mut faults);
        }
    }
    if let Some(certificate) = &template.certificate {
        match &certificate.source {
            CertificateSourcePart::Id(text) | CertificateSourcePart::Csr(text) => texts.push(text),
            CertificateSourcePart::Pem {
                certificate_pem,
                ca_certificate_pem,
            } => {
                texts.push(certificate_pem);
                texts.extend(ca_certificate_pem.as_ref());
            }
        }
        texts.extend(certificate.status.as_ref());
        texts.extend(certificate.thing_principal_type.as_ref());
    }
    for policy in &template.policies {
        match &policy.source {
            PolicySourcePart::Name(text) | PolicySourcePart::Text(text) => texts.push(text),
            PolicySourcePart::Object(node) => node.faults(mappings, &mut faults),
        }
    }
    for (_, node) in template.device_configuration.iter().flatten() {
        node.faults(mappings, &mut faults);
    }
    for text in texts {
        text.faults(mappings, &mut faults);
    }
    faults
}
