//! Names in certificates, in the words AWS IoT has for their attributes.

use x509_parser::asn1_rs::Tag;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The attributes of a name that AWS IoT has words for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Field {
    DistinguishedNameQualifier,
    Country,
    Organization,
    OrganizationalUnit,
    State,
    CommonName,
    SerialNumber,
    Title,
    Surname,
    GivenName,
    Initials,
    Pseudonym,
    GenerationQualifier,
}

impl Field {
    pub(super) fn of(oid: &str) -> Option<Self> {
        Some(match oid {
            "2.5.4.3" => Self::CommonName,
            "2.5.4.4" => Self::Surname,
            "2.5.4.5" => Self::SerialNumber,
            "2.5.4.6" => Self::Country,
            "2.5.4.8" => Self::State,
            "2.5.4.10" => Self::Organization,
            "2.5.4.11" => Self::OrganizationalUnit,
            "2.5.4.12" => Self::Title,
            "2.5.4.42" => Self::GivenName,
            "2.5.4.43" => Self::Initials,
            "2.5.4.44" => Self::GenerationQualifier,
            "2.5.4.46" => Self::DistinguishedNameQualifier,
            "2.5.4.65" => Self::Pseudonym,
            _ => return None,
        })
    }

    pub(super) fn variable(self) -> &'static str {
        match self {
            Self::DistinguishedNameQualifier => "DistinguishedNameQualifier",
            Self::Country => "Country",
            Self::Organization => "Organization",
            Self::OrganizationalUnit => "OrganizationalUnit",
            Self::State => "State",
            Self::CommonName => "CommonName",
            Self::SerialNumber => "SerialNumber",
            Self::Title => "Title",
            Self::Surname => "Surname",
            Self::GivenName => "GivenName",
            Self::Initials => "Initials",
            Self::Pseudonym => "Pseudonym",
            Self::GenerationQualifier => "GenerationQualifier",
        }
    }

    pub(super) fn template_parameter(self) -> Option<&'static str> {
        Some(match self {
            Self::Country => "Country",
            Self::Organization => "Organization",
            Self::OrganizationalUnit => "OrganizationalUnit",
            Self::DistinguishedNameQualifier => "DistinguishedNameQualifier",
            Self::State => "StateName",
            Self::CommonName => "CommonName",
            _ => return None,
        })
    }
}

pub(super) fn first(fields: &[(Field, String)], wanted: Field) -> Option<&str> {
    fields
        .iter()
        .find_map(|(field, value)| (*field == wanted).then_some(value.as_str()))
}

pub(super) fn fields(name: &X509Name<'_>) -> Vec<(Field, String)> {
    name.iter_attributes()
        .filter_map(|attribute| {
            let field = Field::of(&attribute.attr_type().to_id_string())?;
            Some((field, text(attribute)?))
        })
        .collect()
}

/// The text of a name attribute, whichever string type it uses.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let octets = attribute.as_slice();
    match attribute.attr_value().tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            String::from_utf8(octets.to_vec()).ok()
        }
        // In practice T.61 strings hold Latin-1.
        Tag::T61String => Some(octets.iter().map(|octet| char::from(*octet)).collect()),
        Tag::BmpString => {
            let units: Vec<u16> = octets
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
}

pub(super) fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<(&'static str, String)> {
    let mut names = Vec::new();
    for extension in certificate.extensions() {
        let (general_names, keys) = match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san) => (&san.general_names, SUBJECT_KEYS),
            ParsedExtension::IssuerAlternativeName(ian) => (&ian.general_names, ISSUER_KEYS),
            _ => continue,
        };
        for name in general_names {
            match name {
                GeneralName::RFC822Name(value) => names.push((keys[0], (*value).to_owned())),
                GeneralName::DNSName(value) => names.push((keys[1], (*value).to_owned())),
                GeneralName::DirectoryName(value) => names.push((keys[2], value.to_string())),
                GeneralName::URI(value) => names.push((keys[3], (*value).to_owned())),
                GeneralName::IPAddress(octets) => {
                    if let Some(address) = ip_text(octets) {
                        names.push((keys[4], address));
                    }
                }
                _ => {}
            }
        }
    }
    names
}

pub(super) const SUBJECT_KEYS: [&str; 5] = [
    "Subject.AlternativeName.RFC822Name",
    "Subject.AlternativeName.DNSName",
    "Subject.AlternativeName.DirectoryName",
    "Subject.AlternativeName.UniformResourceIdentifier",
    "Subject.AlternativeName.IPAddress",
];

pub(super) const ISSUER_KEYS: [&str; 5] = [
    "Issuer.AlternativeName.RFC822Name",
    "Issuer.AlternativeName.DNSName",
    "Issuer.AlternativeName.DirectoryName",
    "Issuer.AlternativeName.UniformResourceIdentifier",
    "Issuer.AlternativeName.IPAddress",
];

fn ip_text(octets: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    let sixteen = <[u8; 16]>::try_from(octets).ok()?;
    Some(std::net::Ipv6Addr::from(sixteen).to_string())
}
