//! Whether a server is believed: WebPKI's rules and the dates of the roots, judged once a minute for a chain.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustls::{
    CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::trust::{Root, ServerFault, Trust};

/// How long the judgement of a chain holds, in seconds. Thousands of devices that connect to one endpoint are shown the
/// same chain; the key of its first certificate is asked for a signature every time.
const HOLDS: u64 = 60;

/// WebPKI's rules for a server's certificate, with the dates of the roots looked at too.
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    issuer: Arc<Mutex<Option<String>>>,
    believed: Mutex<Option<Believed>>,
}

/// The last chain that was believed.
#[derive(Debug)]
struct Believed {
    end_entity: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
    /// Seconds since 1970 in which the judgement holds: from when it was made, and while everything in the chain and
    /// all the roots there are to choose from stay valid.
    seconds: RangeInclusive<u64>,
}

impl Verifier {
    /// `issuer` is left holding the issuer name of the last certificate of a server that was not believed.
    pub(super) fn new(
        trust: Trust,
        provider: Arc<CryptoProvider>,
        issuer: Arc<Mutex<Option<String>>>,
    ) -> Self {
        Self {
            trust,
            provider,
            issuer,
            believed: Mutex::new(None),
        }
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let date = i64::try_from(now.as_secs())
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .ok_or_else(|| rustls::Error::General("the clock is out of range".to_owned()))?;
        let (valid, out_of_date): (Vec<&Root>, Vec<&Root>) = self
            .trust
            .roots
            .iter()
            .partition(|root| root.fault(date).is_none());
        let verdict = self.verify_under(&valid, end_entity, intermediates, name, now);
        if verdict.is_ok() {
            *lock(&self.believed) = Believed::new(end_entity, intermediates, name, now, &valid);
        }
        if !matches!(
            verdict,
            Err(rustls::Error::InvalidCertificate(
                // A root of the same name with another key makes a bad signature.
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            ))
        ) {
            return verdict;
        }
        // Would one of the roots left out have been the issuer? Then its dates are the reason.
        for root in out_of_date {
            let under = self.verify_under(&[root], end_entity, intermediates, name, now);
            if let (Ok(_), Some(fault)) = (under, root.fault(date)) {
                let fault = ServerFault::Root {
                    root: root.subject.clone(),
                    fault,
                };
                return Err(CertificateError::Other(OtherError(Arc::new(fault))).into());
            }
        }
        verdict
    }

    fn verify_under(
        &self,
        roots: &[&Root],
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if roots.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().map(|root| root.der.clone()));
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, name, &[], now)
    }
}

impl Believed {
    /// What is to be remembered of a chain that has just been believed under one of these roots.
    fn new(
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
        roots: &[&Root],
    ) -> Option<Self> {
        let mut until = now.as_secs() + HOLDS;
        for root in roots {
            until = until.min(root.not_after.unix_timestamp().try_into().ok()?);
        }
        for der in std::iter::once(end_entity).chain(intermediates) {
            let (_, certificate) = X509Certificate::from_der(der).ok()?;
            until = until.min(
                certificate
                    .validity()
                    .not_after
                    .timestamp()
                    .try_into()
                    .ok()?,
            );
        }
        Some(Self {
            end_entity: end_entity.clone().into_owned(),
            intermediates: intermediates
                .iter()
                .map(|der| der.clone().into_owned())
                .collect(),
            name: name.to_owned(),
            seconds: now.as_secs()..=until,
        })
    }

    fn is(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> bool {
        self.seconds.contains(&now.as_secs())
            && self.end_entity == *end_entity
            && self.intermediates.as_slice() == intermediates
            && self.name == *name
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let known = lock(&self.believed)
            .as_ref()
            .is_some_and(|believed| believed.is(end_entity, intermediates, server_name, now));
        if known {
            return Ok(ServerCertVerified::assertion());
        }
        let verdict = self.judge(end_entity, intermediates, server_name, now);
        if verdict.is_err() {
            *lock(&self.issuer) =
                X509Certificate::from_der(intermediates.last().unwrap_or(end_entity))
                    .ok()
                    .map(|(_, certificate)| certificate.issuer().to_string());
        }
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-12-01 12:00 UTC);

    fn root(not_after: OffsetDateTime) -> (Trust, Issuer<'static, KeyPair>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "root");
        params.not_before = NOW - Duration::from_secs(3600);
        params.not_after = not_after;
        let pem = params.self_signed(&key).unwrap().pem();
        let trust = Trust::from_pem(pem.as_bytes(), "root.pem").unwrap();
        (trust, Issuer::new(params, key))
    }

    fn server(issuer: &Issuer<'_, KeyPair>, not_after: OffsetDateTime) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = NOW - Duration::from_secs(3600);
        params.not_after = not_after;
        params.signed_by(&key, issuer).unwrap().der().clone()
    }

    fn verifier(trust: Trust) -> Verifier {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Verifier::new(trust, provider, Arc::new(Mutex::new(None)))
    }

    fn ask(
        verifier: &Verifier,
        der: &CertificateDer<'_>,
        name: &'static str,
        at: OffsetDateTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seconds = at.unix_timestamp().try_into().unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let name = ServerName::try_from(name).unwrap();
        verifier.verify_server_cert(der, &[], &name, &[], now)
    }

    fn remembers(verifier: &Verifier, der: &CertificateDer<'_>, at: OffsetDateTime) -> bool {
        let seconds = at.unix_timestamp().try_into().unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let name = ServerName::try_from("localhost").unwrap();
        lock(&verifier.believed)
            .as_ref()
            .is_some_and(|believed| believed.is(der, &[], &name, now))
    }

    #[test]
    fn a_chain_is_judged_once_a_minute() {
        let later = NOW + Duration::from_secs(86_400);
        let (trust, issuer) = root(later);
        let (server, verifier) = (server(&issuer, later), verifier(trust));
        assert!(!remembers(&verifier, &server, NOW));
        ask(&verifier, &server, "localhost", NOW).unwrap();
        assert!(remembers(&verifier, &server, NOW + Duration::from_secs(60)));
        assert!(!remembers(
            &verifier,
            &server,
            NOW + Duration::from_secs(61)
        ));
        // A clock that was set back.
        assert!(!remembers(&verifier, &server, NOW - Duration::from_secs(1)));
    }

    #[test]
    fn what_was_believed_says_nothing_of_another_name_or_another_certificate() {
        let later = NOW + Duration::from_secs(86_400);
        let (trust, issuer) = root(later);
        let (_, stranger) = root(later);
        let (own, verifier) = (server(&issuer, later), verifier(trust));
        ask(&verifier, &own, "localhost", NOW).unwrap();
        assert!(ask(&verifier, &own, "example.org", NOW).is_err());
        assert!(ask(&verifier, &server(&stranger, later), "localhost", NOW).is_err());
        ask(&verifier, &own, "localhost", NOW).unwrap();
    }

    #[test]
    fn what_was_believed_is_not_believed_beyond_the_dates_of_server_and_root() {
        let (soon, later) = (
            NOW + Duration::from_secs(10),
            NOW + Duration::from_secs(86_400),
        );
        for (of_root, of_server) in [(soon, later), (later, soon)] {
            let (trust, issuer) = root(of_root);
            let (server, verifier) = (server(&issuer, of_server), verifier(trust));
            ask(&verifier, &server, "localhost", NOW).unwrap();
            ask(&verifier, &server, "localhost", soon).unwrap();
            let expired = ask(
                &verifier,
                &server,
                "localhost",
                soon + Duration::from_secs(1),
            );
            assert!(expired.is_err());
        }
    }

    #[test]
    fn a_server_with_a_certificate_of_version_1_is_told_so_in_words() {
        use openssl::{asn1::Asn1Time, hash::MessageDigest, pkey::PKey, x509::X509Builder};
        let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1);
        let key = openssl::ec::EcKey::generate(&group.unwrap()).unwrap();
        let key = PKey::from_ec_key(key).unwrap();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(0).unwrap();
        builder.set_pubkey(&key).unwrap();
        let serial = openssl::bn::BigNum::from_u32(1).unwrap();
        let serial = serial.to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder
            .set_not_before(&Asn1Time::days_from_now(0).unwrap())
            .unwrap();
        builder
            .set_not_after(&Asn1Time::days_from_now(2).unwrap())
            .unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let der = CertificateDer::from(builder.build().to_der().unwrap());

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let issuer = Arc::new(Mutex::new(None));
        let trust = Trust::amazon_roots();
        let verifier = Verifier::new(trust.clone(), provider, Arc::clone(&issuer));
        let name = ServerName::try_from("localhost").unwrap();
        let verdict = verifier.verify_server_cert(&der, &[], &name, &[], UnixTime::now());
        let Err(rustls::Error::InvalidCertificate(fault)) = verdict else {
            panic!("{verdict:?}");
        };
        let said = ServerFault::of(&fault, None, &trust).to_string();
        assert!(said.contains("it is X.509 version 1"), "{said}");
    }
}
