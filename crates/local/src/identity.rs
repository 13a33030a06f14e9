//! The local core's own server CA and certificate: what devices judge it by.
//!
//! It plays the part of the Amazon roots. With a data folder the CA is kept, so that a device's
//! `--cafile` stays right across restarts; the server certificate is new at every start.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use crate::storage::{Storage, StorageError, Write};
use crate::tls::ServerIdentity;

/// Space of the storage that keeps the server CA.
const SPACE: &str = "server-ca";
const KEY: &[u8] = b"key";
const CERTIFICATE: &[u8] = b"certificate";
/// Slow clocks on devices are common; a certificate that is valid a little earlier forgives them.
const BACKDATE: Duration = Duration::hours(1);

/// Why the server has no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The CA cannot be kept or loaded.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A certificate cannot be made, or the one kept cannot be used.
    #[error("the local core's server certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// The CA kept in the data folder is no text.
    #[error("the server CA in the data folder is damaged; remove the folder to start anew")]
    Damaged,
}

/// The CA that signs the server certificate.
#[derive(Debug)]
pub(crate) struct ServerCa {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl ServerCa {
    /// Loads the CA the storage keeps, or makes one and keeps it.
    pub(crate) fn open(storage: &Storage, now: OffsetDateTime) -> Result<Self, IdentityError> {
        let kept = storage.load(SPACE)?;
        let find = |name: &[u8]| kept.iter().find(|(key, _)| key == name);
        if let (Some((_, key)), Some((_, certificate))) = (find(KEY), find(CERTIFICATE)) {
            let text = |bytes: &[u8]| {
                String::from_utf8(bytes.to_vec()).map_err(|_| IdentityError::Damaged)
            };
            let certificate_pem = text(certificate)?;
            let key = KeyPair::from_pem(&text(key)?)?;
            let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)?;
            return Ok(Self {
                issuer,
                certificate_pem,
            });
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("iot-local server CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = now - BACKDATE;
        params.not_after = now + Duration::days(3650);
        params.serial_number = Some(random_serial());
        let certificate_pem = params.self_signed(&key)?.pem();
        storage.commit(vec![
            keep(KEY, key.serialize_pem()),
            keep(CERTIFICATE, certificate_pem.clone()),
        ])?;
        let issuer = Issuer::new(params, key);
        Ok(Self {
            issuer,
            certificate_pem,
        })
    }

    /// The root certificate, in PEM.
    pub(crate) fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A server certificate for this machine's loopback names, and for the name an endpoint of
    /// that region would have, so that clients which insist on one can be pointed here.
    pub(crate) fn issue(
        &self,
        region: &str,
        now: OffsetDateTime,
    ) -> Result<ServerIdentity, IdentityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![
            "localhost".to_owned(),
            format!("local-ats.iot.{region}.amazonaws.com"),
        ])?;
        params.subject_alt_names.extend([
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()),
        ]);
        params.distinguished_name = common_name("localhost");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = now - BACKDATE;
        params.not_after = now + Duration::days(365);
        params.serial_number = Some(random_serial());
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ServerIdentity {
            chain: vec![CertificateDer::from(certificate.der().to_vec())],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        })
    }
}

fn keep(name: &[u8], pem: String) -> Write {
    Write {
        space: SPACE,
        key: name.to_vec(),
        value: Some(pem.into_bytes()),
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

/// 159 random bits: positive and at most 20 octets (RFC 5280, 4.1.2.2).
fn random_serial() -> SerialNumber {
    let mut octets: [u8; 20] = rand::random();
    octets[0] = octets[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&octets)
}
