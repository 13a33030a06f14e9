//! The topics of fleet provisioning: which operation a topic asks for, and in which form.

use std::fmt;

use super::payload::Format;

/// What a topic asks for.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Ask<'a> {
    pub(super) operation: Operation<'a>,
    pub(super) format: Format,
}

/// The operations of the MQTT API.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Operation<'a> {
    CreateKeysAndCertificate,
    CreateCertificateFromCsr,
    RegisterThing { template: &'a str },
}

impl<'a> Ask<'a> {
    /// Reads a request topic; none for every other one, those of the answers included.
    pub(super) fn read(topic: &'a str) -> Option<Self> {
        let rest = topic.strip_prefix("$aws/")?;
        let (head, last) = rest.rsplit_once('/')?;
        let operation = match head {
            "certificates/create" => Operation::CreateKeysAndCertificate,
            "certificates/create-from-csr" => Operation::CreateCertificateFromCsr,
            _ => {
                let name = head.strip_prefix("provisioning-templates/")?;
                let template = name.strip_suffix("/provision")?;
                if template.is_empty() || template.contains('/') {
                    return None;
                }
                Operation::RegisterThing { template }
            }
        };
        let format = match last {
            "json" => Format::Json,
            "cbor" => Format::Cbor,
            _ => return None,
        };
        Some(Self { operation, format })
    }
}

impl Operation<'_> {
    /// As AWS's documentation names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::CreateKeysAndCertificate => "CreateKeysAndCertificate",
            Self::CreateCertificateFromCsr => "CreateCertificateFromCsr",
            Self::RegisterThing { .. } => "RegisterThing",
        }
    }
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::RegisterThing { template } => write!(f, " by template {template:?}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_topics_are_told_from_all_others() {
        let read = |topic| Ask::read(topic).map(|ask| (ask.operation, ask.format));
        assert_eq!(
            read("$aws/certificates/create/json"),
            Some((Operation::CreateKeysAndCertificate, Format::Json))
        );
        assert_eq!(
            read("$aws/certificates/create-from-csr/cbor"),
            Some((Operation::CreateCertificateFromCsr, Format::Cbor))
        );
        assert_eq!(
            read("$aws/provisioning-templates/Fleet-1/provision/json"),
            Some((
                Operation::RegisterThing {
                    template: "Fleet-1"
                },
                Format::Json
            ))
        );
        for other in [
            "$aws/certificates/create/json/accepted",
            "$aws/certificates/create/xml",
            "$aws/certificates/create",
            "$aws/provisioning-templates//provision/json",
            "$aws/provisioning-templates/a/b/provision/json",
            "$aws/provisioning-templates/a/provision/json/rejected",
            "$aws/provisioning-templates/provision/json",
            "aws/certificates/create/json",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
