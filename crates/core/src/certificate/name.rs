//! Distinguished names as text: the attributes of a subject or an issuer, in their order.

use std::fmt;

use x509_parser::{asn1_rs::Tag, x509::X509Name};

use crate::visible::visible;

/// One attribute of a distinguished name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameAttribute {
    /// The type as a dotted object identifier, for example `2.5.4.3` for a common name.
    pub oid: String,
    /// The value as text, whatever string type the certificate used.
    pub value: String,
}

impl fmt::Display for NameAttribute {
    /// `CN=sensor-17`; types without a usual abbreviation as their object identifier.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.oid.as_str() {
            COMMON_NAME => "CN",
            COUNTRY => "C",
            LOCALITY => "L",
            STATE => "ST",
            ORGANIZATION => "O",
            ORGANIZATIONAL_UNIT => "OU",
            SERIAL_NUMBER => "serialNumber",
            DN_QUALIFIER => "dnQualifier",
            "0.9.2342.19200300.100.1.25" => "DC",
            "1.2.840.113549.1.9.1" => "emailAddress",
            other => other,
        };
        // Control characters of a hostile certificate stay out of the terminal.
        write!(f, "{kind}={}", visible(&self.value))
    }
}

pub(crate) const COMMON_NAME: &str = "2.5.4.3";
pub(crate) const SERIAL_NUMBER: &str = "2.5.4.5";
pub(crate) const COUNTRY: &str = "2.5.4.6";
pub(crate) const LOCALITY: &str = "2.5.4.7";
pub(crate) const STATE: &str = "2.5.4.8";
pub(crate) const ORGANIZATION: &str = "2.5.4.10";
pub(crate) const ORGANIZATIONAL_UNIT: &str = "2.5.4.11";
pub(crate) const DN_QUALIFIER: &str = "2.5.4.46";

/// Every attribute in the order of the certificate, repeated ones included.
pub(crate) fn attributes(name: &X509Name<'_>) -> Vec<NameAttribute> {
    name.iter_attributes()
        .map(|attribute| NameAttribute {
            oid: attribute.attr_type().to_id_string(),
            value: text(attribute.attr_value().tag(), attribute.as_slice()),
        })
        .collect()
}

/// A directory string as text. Old string types are read as what they held in practice: TeletexString as Latin-1.
fn text(tag: Tag, bytes: &[u8]) -> String {
    match tag {
        Tag::BmpString => char::decode_utf16(
            bytes
                .chunks(2)
                .map(|pair| pair.iter().fold(0, |unit, &b| unit << 8 | u16::from(b))),
        )
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect(),
        Tag::UniversalString => bytes
            .chunks(4)
            .map(|unit| unit.iter().fold(0, |c, &b| c << 8 | u32::from(b)))
            .map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect(),
        Tag::TeletexString => bytes.iter().map(|&b| char::from(b)).collect(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_type_becomes_text() {
        assert_eq!(text(Tag::Utf8String, "é".as_bytes()), "é");
        assert_eq!(text(Tag::TeletexString, &[0xe9]), "é");
        assert_eq!(text(Tag::BmpString, &[0x00, 0xe9, 0xd8]), "é\u{d8}");
        assert_eq!(text(Tag::UniversalString, &[0, 0, 0, 0xe9]), "é");
        assert_eq!(text(Tag::Utf8String, &[0xff]), "\u{fffd}");
    }

    #[test]
    fn control_characters_are_shown_and_not_sent_to_the_terminal() {
        let attribute = NameAttribute {
            oid: COMMON_NAME.to_owned(),
            value: "a\u{1b}[31m".to_owned(),
        };
        assert_eq!(attribute.to_string(), r"CN=a\u{1b}[31m");
    }
}
