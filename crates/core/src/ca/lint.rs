//! Lint: a draft is read back by a parser that did not write it, and compared with what was asked, before the CA signs.

use time::OffsetDateTime;
use x509_parser::{
    asn1_rs::Tag,
    certificate::{TbsCertificate, X509Certificate},
    extensions::ParsedExtension,
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
        OID_PKCS1_SHA256WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, Oid,
    },
    prelude::FromDer,
    time::ASN1Time,
    x509::{X509Name, X509Version},
};

use super::{
    attribute::Attribute,
    draft::{Name, Purpose, Request},
    key_type::KeyType,
    serial::SerialNumber,
};
use crate::{
    certificate::Certificate,
    names::{RegistrationCode, ThingName},
};

/// What is wrong with a draft. The CA's key has signed nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the certificate for {subject} was not signed: {fault}")]
pub struct LintError {
    /// The common name asked for.
    pub subject: String,
    /// What was found, in one clause.
    pub fault: String,
}

/// Reads the draft in `der` (its signature is a placeholder) and compares it with the request; `ca` is `None` for a
/// root.
pub(super) fn check(
    der: &[u8],
    request: &Request<'_>,
    ca: Option<&Certificate>,
) -> Result<(), LintError> {
    examine(der, request, ca).map_err(|fault| LintError {
        subject: request.subject.common_name.to_owned(),
        fault,
    })
}

/// Whether the common name is one that a certificate of this purpose may have.
pub(super) fn check_name(request: &Request<'_>) -> Result<(), LintError> {
    common_name(request).map_err(|fault| LintError {
        subject: request.subject.common_name.to_owned(),
        fault,
    })
}

/// Whether a name reads back as the subject that was asked for.
pub(super) fn reads_back(name: &Name<'_>) -> bool {
    X509Name::from_der(name.der)
        .is_ok_and(|(rest, found)| rest.is_empty() && subject(&found, name).is_ok())
}

fn examine(der: &[u8], request: &Request<'_>, ca: Option<&Certificate>) -> Result<(), String> {
    let (rest, draft) =
        X509Certificate::from_der(der).map_err(|e| format!("it does not read back: {e}"))?;
    let tbs = &draft.tbs_certificate;
    ensure(rest.is_empty(), "bytes follow it")?;
    ensure(tbs.version() == X509Version::V3, "it is not version 3")?;
    serial(tbs.raw_serial(), request.serial)?;
    let algorithm = signature_algorithm(request.kind.signer);
    ensure(
        *tbs.signature.oid() == algorithm && *draft.signature_algorithm.oid() == algorithm,
        "its signature algorithm is not the CA key's",
    )?;
    match (request.kind.issuer, ca) {
        (Some(above), Some(ca)) => {
            ensure(
                tbs.issuer().as_raw() == ca.subject_der() && above.name == ca.subject_der(),
                "its issuer is not the CA's subject byte for byte",
            )?;
            ensure(
                request.kind.window.not_before() >= ca.not_before()
                    && request.kind.window.not_after() <= ca.not_after(),
                "it is valid outside the CA's life",
            )?;
        }
        (None, None) => ensure(
            tbs.issuer().as_raw() == tbs.subject().as_raw(),
            "it is a root whose issuer is not its subject",
        )?,
        _ => return Err("its issuer is unclear".to_owned()),
    }
    date(tbs.validity().not_before, request.kind.window.not_before())?;
    date(tbs.validity().not_after, request.kind.window.not_after())?;
    subject(tbs.subject(), &request.subject)?;
    common_name(request)?;
    public_key(tbs, request)?;
    extensions(tbs, request)
}

fn ensure(holds: bool, fault: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault.to_owned()) }
}

fn serial(found: &[u8], asked: SerialNumber) -> Result<(), String> {
    ensure(
        found == asked.octets(),
        "its serial number is not the one drawn",
    )
}

/// RFC 5280, 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
fn date(found: ASN1Time, asked: OffsetDateTime) -> Result<(), String> {
    ensure(
        found.to_datetime() == asked,
        "its validity is not the one asked for",
    )?;
    ensure(
        found.is_utctime() == (1950..2050).contains(&asked.year()),
        "a date of its validity is in the wrong encoding",
    )
}

fn subject(found: &X509Name<'_>, asked: &Name<'_>) -> Result<(), String> {
    ensure(
        found.as_raw() == asked.der,
        "its subject is not the one asked for",
    )?;
    let Some(subject) = asked.subject else {
        return Ok(());
    };
    let mut found = found.iter_attributes();
    for (attribute, value) in subject.attributes() {
        let same = found.next().is_some_and(|f| {
            f.as_str() == Ok(value) && f.attr_type().as_bytes() == attribute.oid_der()
        });
        ensure(same, "its subject is not the one asked for")?;
    }
    ensure(
        found.next().is_none(),
        "its subject has more than was asked for",
    )
}

fn common_name(request: &Request<'_>) -> Result<(), String> {
    let name = request.subject.common_name;
    match request.kind.purpose {
        Purpose::Ca { .. } => Ok(()),
        Purpose::Device => name
            .parse::<ThingName>()
            .map(drop)
            .map_err(|e| e.to_string()),
        Purpose::Verification => name
            .parse::<RegistrationCode>()
            .map(drop)
            .map_err(|e| e.to_string()),
    }?;
    ensure(
        (1..=Attribute::CommonName.limit()).contains(&name.chars().count()),
        "its common name is not 1 to 64 characters",
    )
}

fn public_key(tbs: &TbsCertificate<'_>, request: &Request<'_>) -> Result<(), String> {
    let found = tbs.public_key();
    ensure(
        found.raw == request.public_key.info,
        "its key is not the one asked for",
    )?;
    let Some(key_type) = request.public_key.key_type else {
        return Ok(());
    };
    let (kind, curve) = match key_type {
        KeyType::P256 => (OID_KEY_TYPE_EC_PUBLIC_KEY, Some(OID_EC_P256)),
        KeyType::P384 => (OID_KEY_TYPE_EC_PUBLIC_KEY, Some(OID_NIST_EC_P384)),
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => (OID_PKCS1_RSAENCRYPTION, None),
    };
    let parameters = found.algorithm.parameters();
    let right = match curve {
        // RFC 5480, 2.1.1: the curve by its name. RFC 3279, 2.3.1: NULL for RSA.
        Some(curve) => parameters.is_some_and(|p| p.as_oid() == Ok(curve)),
        None => parameters.is_some_and(|p| p.tag() == Tag::Null),
    };
    ensure(
        *found.algorithm.oid() == kind && right,
        "its key is of another kind than the one asked for",
    )
}

fn signature_algorithm(signer: KeyType) -> Oid<'static> {
    match signer {
        KeyType::P256 => OID_SIG_ECDSA_WITH_SHA256,
        KeyType::P384 => OID_SIG_ECDSA_WITH_SHA384,
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => OID_PKCS1_SHA256WITHRSA,
    }
}

/// Exactly the extensions of the purpose, each once, with the right content and criticality.
fn extensions(tbs: &TbsCertificate<'_>, request: &Request<'_>) -> Result<(), String> {
    const DIGITAL_SIGNATURE: u16 = 1;
    const KEY_CERT_SIGN_AND_CRL_SIGN: u16 = 1 << 5 | 1 << 6;
    let (ca, path_length, usage) = match request.kind.purpose {
        Purpose::Ca { path_length } => {
            (true, path_length.map(u32::from), KEY_CERT_SIGN_AND_CRL_SIGN)
        }
        Purpose::Device | Purpose::Verification => (false, None, DIGITAL_SIGNATURE),
    };
    ensure(tbs.is_ca() == ca, "its CA flag is wrong")?;
    let [
        mut constraints,
        mut key_usage,
        mut client,
        mut own_id,
        mut ca_id,
    ] = [0u8; 5];
    for extension in tbs.extensions() {
        let (right, count) = match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(found) => {
                let right = extension.critical
                    && found.ca == ca
                    && found.path_len_constraint == path_length;
                (right, &mut constraints)
            }
            ParsedExtension::KeyUsage(found) => {
                (extension.critical && found.flags == usage, &mut key_usage)
            }
            ParsedExtension::ExtendedKeyUsage(found) => {
                let others = found.any
                    || found.server_auth
                    || found.code_signing
                    || found.email_protection
                    || found.time_stamping
                    || found.ocsp_signing
                    || !found.other.is_empty();
                (found.client_auth && !others, &mut client)
            }
            ParsedExtension::SubjectKeyIdentifier(found) => (
                !extension.critical && found.0 == request.key_id,
                &mut own_id,
            ),
            ParsedExtension::AuthorityKeyIdentifier(found) => {
                let found = found.key_identifier.as_ref().map(|id| id.0);
                let asked = request.kind.issuer.map(|issuer| issuer.key_id);
                (!extension.critical && found == asked, &mut ca_id)
            }
            _ => return Err(format!("it has the extension {}", extension.oid)),
        };
        if !right {
            return Err(format!("its extension {} is wrong", extension.oid));
        }
        *count += 1;
    }
    let wanted = [
        1,
        1,
        u8::from(request.kind.purpose == Purpose::Device),
        1,
        u8::from(request.kind.issuer.is_some()),
    ];
    ensure(
        [constraints, key_usage, client, own_id, ca_id] == wanted,
        "an extension is missing or repeated",
    )
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::datetime};

    use super::*;
    use crate::ca::{
        CertificateAuthority, PrivateKey, Subject, Validity, Window,
        draft::{CertifiedKey, IssuerName, Kind, Stencil, placeholder},
        public_half::PublicHalf,
    };

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    struct Bench {
        ca: CertificateAuthority,
        subject: Subject,
        name: Vec<u8>,
        key_info: Vec<u8>,
    }

    impl Bench {
        fn new(common_name: &str) -> Self {
            let root = Subject::default();
            let days = Validity::Days(100);
            let subject = Subject::new(common_name).unwrap();
            Self {
                ca: CertificateAuthority::create_root(&root, KeyType::P256, days, NOW).unwrap(),
                name: subject.to_der(),
                subject,
                key_info: PublicHalf::from(&PrivateKey::generate(KeyType::P256).unwrap()).info(),
            }
        }

        fn request(&self) -> Request<'_> {
            Request {
                kind: Kind {
                    purpose: Purpose::Device,
                    window: Window::new(NOW, NOW + Duration::DAY),
                    issuer: Some(IssuerName {
                        name: self.ca.certificate().subject_der(),
                        key_id: &[9; 20],
                    }),
                    signer: KeyType::P256,
                },
                subject: Name {
                    der: &self.name,
                    common_name: self.subject.common_name(),
                    subject: Some(&self.subject),
                },
                public_key: CertifiedKey {
                    info: &self.key_info,
                    bits: &self.key_info[26..],
                    key_type: Some(KeyType::P256),
                },
                key_id: [7; 20],
                serial: SerialNumber::from_octets(&[0x11; 20]).unwrap(),
            }
        }

        /// Drafts one thing and checks it against another.
        fn fault(&self, drafted: &Request<'_>, asked: &Request<'_>) -> String {
            let stencil = Stencil::new(&drafted.kind).unwrap();
            let der = stencil
                .fill(drafted)
                .certificate(&placeholder(drafted.kind.signer));
            match check(&der, asked, Some(self.ca.certificate())) {
                Ok(()) => String::new(),
                Err(error) => error.fault,
            }
        }
    }

    #[test]
    fn a_draft_that_is_what_was_asked_for_passes() {
        let bench = Bench::new("sensor-17");
        assert_eq!(bench.fault(&bench.request(), &bench.request()), "");
    }

    #[test]
    fn a_draft_that_is_not_what_was_asked_for_is_caught() {
        type Change<'a> = &'a dyn Fn(&mut Request<'a>);
        let bench = Bench::new("sensor-17");
        let other = Bench::new("sensor-18");
        let asked = bench.request();
        let ca_name = bench.ca.certificate().subject_der();
        let cases: [(Change<'_>, &str); 13] = [
            (
                &|r| r.kind.purpose = Purpose::Ca { path_length: None },
                "CA flag",
            ),
            (&|r| r.kind.purpose = Purpose::Verification, "missing"),
            (&|r| r.subject = other.request().subject, "subject"),
            (
                &|r| r.subject.subject = other.request().subject.subject,
                "subject",
            ),
            (&|r| r.public_key.info = &other.key_info, "its key is not"),
            (
                &|r| r.public_key.key_type = Some(KeyType::P384),
                "another kind",
            ),
            (&|r| r.key_id = [8; 20], "2.5.29.14 is wrong"),
            (
                &|r| r.serial = SerialNumber::from_octets(&[0x12; 20]).unwrap(),
                "not the one drawn",
            ),
            (
                &|r| r.kind.window = Window::new(NOW, NOW + Duration::days(2)),
                "validity",
            ),
            (
                &|r| {
                    r.kind.issuer = Some(IssuerName {
                        name: &[0x30, 0],
                        key_id: &[9; 20],
                    });
                },
                "byte for byte",
            ),
            (
                &|r| {
                    r.kind.issuer = Some(IssuerName {
                        key_id: &[8; 20],
                        name: ca_name,
                    });
                },
                "2.5.29.35 is wrong",
            ),
            (&|r| r.kind.issuer = None, "byte for byte"),
            (&|r| r.kind.signer = KeyType::P384, "signature algorithm"),
        ];
        for (change, fault) in cases {
            let mut changed = asked;
            change(&mut changed);
            // What only the asking side knows is changed on that side.
            let found = [bench.fault(&changed, &asked), bench.fault(&asked, &changed)];
            assert!(
                found.iter().any(|found| found.contains(fault)),
                "{fault}: {found:?}"
            );
        }
    }

    #[test]
    fn what_should_not_have_been_asked_for_is_caught_too() {
        let bench = Bench::new("no thing/name");
        let fault = bench.fault(&bench.request(), &bench.request());
        assert!(fault.contains("thing name"), "{fault}");

        let bench = Bench::new("sensor-17");
        let late = bench.ca.certificate().not_after() + Duration::SECOND;
        let mut request = bench.request();
        request.kind.window = Window::new(NOW, late);
        let fault = bench.fault(&request, &request);
        assert!(fault.contains("outside the CA's life"), "{fault}");
    }
}
