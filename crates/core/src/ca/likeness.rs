//! A device that has its certificate, and what it is asked for again: is it the same?

use time::Duration;

use super::{DeviceSubject, KeyType, Validity};
use crate::certificate::Certificate;

/// What somebody said outright of a certificate; what is `None` or absent was left to the defaults and is no
/// reason to find a certificate different.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The subject, with the attributes that were given.
    pub subject: &'a DeviceSubject,
    /// The kind of key.
    pub key_type: Option<KeyType>,
    /// How long it was to be valid.
    pub validity: Option<Validity>,
}

impl Asked<'_> {
    /// The first thing in which a certificate of `ca`, whose key is of `key_type`, is not what was asked for, as the
    /// end of a sentence about the certificate; none when it is.
    #[must_use]
    pub fn difference(
        &self,
        certificate: &Certificate,
        key_type: KeyType,
        ca: &Certificate,
    ) -> Option<String> {
        if let Some(asked) = self.key_type
            && asked != key_type
        {
            return Some(format!("with a {key_type} key, and {asked} is asked for"));
        }
        for (attribute, asked) in self.subject.subject().attributes() {
            let mut values = certificate
                .subject()
                .iter()
                .filter(|found| found.oid == attribute.oid())
                .map(|found| found.value.as_str());
            let found = values.next();
            if found != Some(asked) {
                let label = attribute.label();
                return Some(match found {
                    Some(found) => format!("with {label}={found}, and {asked} is asked for"),
                    None => format!("without {label}, and {label}={asked} is asked for"),
                });
            }
        }
        let asked = self.validity?;
        let (begin, end) = (certificate.not_before(), certificate.not_after());
        let same = match asked {
            // It was made at some other time of some other day, and back-dated.
            Validity::Days(days) => {
                (end - begin - Duration::days(days.into())).abs() < Duration::DAY
            }
            Validity::Until(asked) => (end - asked).abs() < Duration::SECOND,
            Validity::UntilCaEnds => end == ca.not_after(),
        };
        (!same).then(|| {
            let days = (end - begin).whole_days();
            format!("valid for {days} days until {end}, and {asked} is asked for")
        })
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::ca::{Attribute, CertificateAuthority, Profile, Subject};

    #[test]
    fn only_what_was_said_outright_makes_a_difference() {
        let now = OffsetDateTime::now_utc();
        let root = Subject::new("root").unwrap();
        let ca = CertificateAuthority::create_root(&root, KeyType::P256, Validity::ROOT, now);
        let ca = ca.unwrap();
        let plain = DeviceSubject::new("pump".parse().unwrap()).unwrap();
        let of_acme = plain.clone().with(Attribute::Organization, "Acme").unwrap();
        let issued = ca.issue(of_acme.clone(), &Profile::device(), now).unwrap();
        let certificate = Certificate::from_pem(issued.certificate().to_pem()).unwrap();
        let difference = |subject, key_type, validity| {
            let asked = Asked {
                subject,
                key_type,
                validity,
            };
            asked.difference(&certificate, KeyType::P256, ca.certificate())
        };

        assert_eq!(difference(&plain, None, None), None);
        let days = Some(Validity::Days(500));
        assert_eq!(difference(&of_acme, Some(KeyType::P256), days), None);
        let until = Some(Validity::Until(certificate.not_after()));
        assert_eq!(difference(&plain, None, until), None);

        let other = difference(&plain, Some(KeyType::Rsa2048), None).unwrap();
        assert!(other.contains("rsa2048 is asked for"), "{other}");
        let emca = plain.clone().with(Attribute::Organization, "Emca").unwrap();
        let other = difference(&emca, None, None).unwrap();
        assert!(other.contains("=Acme, and Emca"), "{other}");
        let unit = plain
            .clone()
            .with(Attribute::OrganizationalUnit, "x")
            .unwrap();
        let other = difference(&unit, None, None).unwrap();
        assert!(other.contains("without organizational unit"), "{other}");
        for validity in [Validity::Days(30), Validity::UntilCaEnds] {
            assert!(difference(&plain, None, Some(validity)).is_some());
        }
    }
}
