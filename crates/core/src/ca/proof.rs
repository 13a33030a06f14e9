//! Reading drafts back in number: what all of one shape have in common is read once, and then compared octet by octet.
//!
//! The first draft of a shape goes through the whole of [`lint`]. Of every further one, whatever may not differ is compared
//! with that first one; its serial number, key and key identifier have to stand, as asked for, where the parser found the
//! first one's, and its subject is read back by the parser again.

use std::{ops::Range, sync::RwLock};

use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    draft::Request,
    key_type::KeyType,
    lint::{self, LintError},
};
use crate::certificate::Certificate;

/// The shapes of one kind of certificate that were read back.
#[derive(Debug, Default)]
pub(super) struct Proofs(RwLock<Vec<Proof>>);

/// A draft that was read back, and where in it stands what differs from one certificate of its shape to the next.
#[derive(Debug)]
struct Proof {
    der: Vec<u8>,
    key_type: KeyType,
    serial: Range<usize>,
    subject: Range<usize>,
    /// The key itself; what stands before it says of which kind it is.
    key: Range<usize>,
    key_id: Range<usize>,
}

impl Proofs {
    /// Compares a draft with the request. All requests must be of the one kind that this is kept for.
    pub(super) fn check(
        &self,
        der: &[u8],
        request: &Request<'_>,
        ca: Option<&Certificate>,
    ) -> Result<(), LintError> {
        // A key that somebody else has encoded may look like none before.
        let Some(key_type) = request.public_key.key_type else {
            return lint::check(der, request, ca);
        };
        let is_proven = self.0.read().is_ok_and(|proofs| {
            let mut same = proofs
                .iter()
                .filter(|proof| proof.key_type == key_type && proof.der.len() == der.len());
            same.any(|proof| proof.covers(der, request))
        });
        if is_proven {
            return lint::check_name(request);
        }
        lint::check(der, request, ca)?;
        if let (Some(proof), Ok(mut proofs)) = (Proof::of(der, request), self.0.write())
            && proofs.len() < MOST
        {
            proofs.push(proof);
        }
        Ok(())
    }
}

impl Proof {
    /// Of a draft that was read back and found good.
    fn of(der: &[u8], request: &Request<'_>) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(der).ok()?;
        let tbs = &read.tbs_certificate;
        let at = |part: &[u8]| {
            let start = (part.as_ptr() as usize).checked_sub(der.as_ptr() as usize)?;
            (der.get(start..start + part.len())? == part).then_some(start..start + part.len())
        };
        let key_id =
            tbs.extensions()
                .iter()
                .find_map(|extension| match extension.parsed_extension() {
                    x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => at(id.0),
                    _ => None,
                });
        Some(Self {
            der: der.to_vec(),
            key_type: request.public_key.key_type?,
            serial: at(tbs.raw_serial())?,
            subject: at(tbs.subject().as_raw())?,
            key: at(&tbs.public_key().subject_public_key.data)?,
            key_id: key_id?,
        })
    }

    /// Whether a draft is as good as this one.
    fn covers(&self, der: &[u8], request: &Request<'_>) -> bool {
        let asked: [(&Range<usize>, &[u8]); 4] = [
            (&self.serial, request.serial.octets()),
            (&self.subject, request.subject.der),
            (&self.key, request.public_key.bits),
            (&self.key_id, &request.key_id),
        ];
        let mut before = 0;
        for (range, asked) in asked {
            if der.get(before..range.start) != self.der.get(before..range.start)
                || der.get(range.clone()) != Some(asked)
            {
                return false;
            }
            before = range.end;
        }
        der.get(before..) == self.der.get(before..) && lint::reads_back(&request.subject)
    }
}

/// More shapes than a list of devices has: names and attributes of every length.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::ca::{
        Attribute, CertificateAuthority, PrivateKey, SerialNumber, Subject, Validity,
        certify::Certified, draft::placeholder, public_half::PublicHalf,
    };

    #[test]
    fn a_draft_that_differs_anywhere_is_not_covered_by_the_first_of_its_shape() {
        let now = OffsetDateTime::now_utc();
        let days = Validity::Days(100);
        let root = Subject::default();
        let ca = CertificateAuthority::create_root(&root, KeyType::P256, days, now).unwrap();
        let issuer = ca
            .device_issuer(ca.window(Validity::UntilCaEnds, now).unwrap(), now)
            .unwrap();
        let subject = |name| {
            let subject = Subject::new(name).unwrap();
            subject.with(Attribute::Organization, "Acme").unwrap()
        };
        let draft = |request: &Request<'_>| {
            let draft = issuer.stencil.fill(request);
            draft.certificate(&placeholder(KeyType::P256))
        };
        let keys = [(); 3].map(|()| PrivateKey::generate(KeyType::P256).unwrap());
        let subjects = ["sensor-1", "sensor-2", "sensor-3"].map(subject);
        let [first, second, third] =
            [0, 1, 2].map(|at| Certified::new(&subjects[at], PublicHalf::from(&keys[at])));
        let [first, second, third] = [&first, &second, &third]
            .map(|certified| certified.request(issuer.kind, SerialNumber::random().unwrap()));
        let proof = Proof::of(&draft(&first), &first).unwrap();
        let good = draft(&second);
        assert!(proof.covers(&good, &second));

        for at in 0..good.len() {
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[at] ^= 1 << bit;
                assert!(!proof.covers(&changed, &second), "bit {bit} of octet {at}");
            }
        }
        assert!(!proof.covers(&good[..good.len() - 1], &second));
        assert!(!proof.covers(&[good.as_slice(), &[0]].concat(), &second));
        // What stands in it is one thing, what was asked for another.
        for asked in [
            Request {
                serial: third.serial,
                ..second
            },
            Request {
                subject: third.subject,
                ..second
            },
            Request {
                public_key: third.public_key,
                ..second
            },
            Request {
                key_id: third.key_id,
                ..second
            },
        ] {
            assert!(!proof.covers(&good, &asked));
        }
        // A subject whose encoding does not say what was asked for.
        let mut lying = second;
        lying.subject.subject = third.subject.subject;
        assert!(!proof.covers(&good, &lying));
    }

    #[test]
    fn what_no_proof_covers_is_read_back_as_a_whole() {
        let now = OffsetDateTime::now_utc();
        let root = Subject::default();
        let ca = CertificateAuthority::create_root(&root, KeyType::P256, Validity::Days(9), now)
            .unwrap();
        let window = ca.window(Validity::UntilCaEnds, now).unwrap();
        let issuer = ca.device_issuer(window, now).unwrap();
        let key = PrivateKey::generate(KeyType::P256).unwrap();
        let subject = Subject::new("sensor-1").unwrap();
        let certified = Certified::new(&subject, PublicHalf::from(&key));
        let request = certified.request(issuer.kind, SerialNumber::random().unwrap());
        let draft = issuer.stencil.fill(&request);
        let good = draft.certificate(&placeholder(KeyType::P256));
        for _ in 0..2 {
            issuer
                .proofs
                .check(&good, &request, Some(ca.certificate()))
                .unwrap();
        }
        assert_eq!(issuer.proofs.0.read().unwrap().len(), 1);
        let mut changed = good.clone();
        let last = changed.len() - 12; // in the extensions or the signature's algorithm
        changed[last] ^= 1;
        let refusal = issuer
            .proofs
            .check(&changed, &request, Some(ca.certificate()));
        assert!(refusal.is_err());
        let bad = Subject::new("sensor/1").unwrap(); // of the same shape
        let certified = Certified::new(&bad, PublicHalf::from(&key));
        let request = certified.request(issuer.kind, SerialNumber::random().unwrap());
        let draft = issuer.stencil.fill(&request);
        let unsigned = draft.certificate(&placeholder(KeyType::P256));
        let refusal = issuer
            .proofs
            .check(&unsigned, &request, Some(ca.certificate()));
        assert!(refusal.unwrap_err().fault.contains("thing name"));
    }
}
