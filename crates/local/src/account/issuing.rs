//! The CA that stands in for Amazon's: it issues what CreateKeysAndCertificate and
//! CreateCertificateFromCsr answer. Its key lies in the storage of the local core, and nowhere else.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, PKeyRef, Private, Public};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectKeyIdentifier,
};
use openssl::x509::{X509Builder, X509Name, X509NameBuilder, X509NameRef, X509Req};

use super::{Account, ApiError};
use crate::storage::Write;
use crate::x509::{X509, check_key};

const SPACE: &str = "issuing-ca";
const KEY: &[u8] = b"key";
const CERTIFICATE: &[u8] = b"certificate";

/// End of every certificate Amazon issues for devices.
const NOT_AFTER: &str = "20491231235959Z";

/// The key and certificate of the stand-in CA.
pub struct IssuingCa {
    key: PKey<Private>,
    certificate: openssl::x509::X509,
}

impl fmt::Debug for IssuingCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IssuingCa([redacted])")
    }
}

/// A certificate just issued, in the forms its receivers want.
#[derive(Debug)]
pub struct Issued {
    /// The certificate as PEM.
    pub pem: String,
    /// The certificate read back.
    pub x509: X509,
}

/// A key pair the local core made for a device; it keeps no copy.
pub struct DeviceKeys {
    key: PKey<Private>,
}

impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKeys([redacted])")
    }
}

impl DeviceKeys {
    /// Makes an RSA key of 2048 bits, as AWS does. Takes about a tenth of a second.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn generate() -> Result<Self, ApiError> {
        // Several times as fast as the OpenSSL of today's distributions.
        let der: Pkcs8V1Der<'_> = KeyPair::generate(KeySize::Rsa2048)
            .and_then(|key| key.as_der())
            .map_err(|_| ApiError::internal("no RSA key could be made"))?;
        let key = PKey::private_key_from_pkcs8(der.as_ref()).map_err(failed)?;
        Ok(Self { key })
    }

    /// The private key as PKCS#1 PEM, the form AWS answers.
    ///
    /// # Errors
    /// When OpenSSL fails.
    pub fn private_pem(&self) -> Result<String, ApiError> {
        let pem = self
            .key
            .rsa()
            .and_then(|rsa| rsa.private_key_to_pem())
            .map_err(failed)?;
        Ok(String::from_utf8_lossy(&pem).into_owned())
    }

    /// The public key as PEM.
    ///
    /// # Errors
    /// When OpenSSL fails.
    pub fn public_pem(&self) -> Result<String, ApiError> {
        let pem = self.key.public_key_to_pem().map_err(failed)?;
        Ok(String::from_utf8_lossy(&pem).into_owned())
    }
}

impl IssuingCa {
    /// Issues the certificate of a key pair made here, with the subject AWS gives (`CN=AWS IoT Certificate`).
    ///
    /// # Errors
    /// When OpenSSL fails.
    pub fn issue_for_keys(&self, keys: &DeviceKeys, now: i64) -> Result<Issued, ApiError> {
        let name = name(&[("CN", "AWS IoT Certificate")]).map_err(failed)?;
        let public = keys
            .key
            .public_key_to_der()
            .and_then(|der| PKey::public_key_from_der(&der))
            .map_err(failed)?;
        self.issue(&name, &public, now)
    }

    /// Issues the certificate of a certificate signing request, with its subject.
    ///
    /// # Errors
    /// `InvalidRequestException` when the request is unreadable, not signed by its own key, or its key is
    /// not one AWS supports.
    pub fn issue_for_csr(&self, pem: &str, now: i64) -> Result<Issued, ApiError> {
        let refuse = |fault: &dyn fmt::Display| {
            ApiError::invalid_request(format!(
                "The certificate signing request is not valid: {fault}"
            ))
        };
        let request = X509Req::from_pem(pem.as_bytes())
            .map_err(|_| refuse(&"it is not a PKCS #10 request in PEM"))?;
        let key = request
            .public_key()
            .map_err(|_| refuse(&"its key is unreadable"))?;
        check_key(&key).map_err(|fault| refuse(&fault))?;
        if !request.verify(&key).unwrap_or(false) {
            return Err(refuse(&"it was not signed by its own key"));
        }
        self.issue(request.subject_name(), &key, now)
    }

    fn issue(
        &self,
        subject: &X509NameRef,
        key: &PKeyRef<Public>,
        now: i64,
    ) -> Result<Issued, ApiError> {
        let build = || -> Result<Vec<u8>, ErrorStack> {
            let mut builder = builder(subject, self.certificate.subject_name(), key, now)?;
            let context = builder.x509v3_context(Some(&self.certificate), None);
            let extensions = [
                AuthorityKeyIdentifier::new().keyid(true).build(&context)?,
                SubjectKeyIdentifier::new().build(&context)?,
                BasicConstraints::new().critical().build()?,
                KeyUsage::new().critical().digital_signature().build()?,
            ];
            for extension in extensions {
                builder.append_extension(extension)?;
            }
            builder.sign(&self.key, MessageDigest::sha256())?;
            builder.build().to_der()
        };
        let der = build().map_err(failed)?;
        let x509 = X509::from_der(&der).map_err(|fault| ApiError::internal(fault.to_string()))?;
        Ok(Issued {
            pem: x509.to_pem(),
            x509,
        })
    }

    fn generate(now: i64) -> Result<Self, ErrorStack> {
        let key = PKey::from_rsa(Rsa::generate(2048)?)?;
        let public = PKey::public_key_from_der(&key.public_key_to_der()?)?;
        // The name Amazon's CA has in the certificates it issues, most specific part first.
        let name = name(&[
            ("OU", "Amazon Web Services"),
            ("O", "Amazon.com Inc."),
            ("L", "Seattle"),
            ("ST", "Washington"),
            ("C", "US"),
        ])?;
        let mut builder = builder(&name, &name, &public, now)?;
        let context = builder.x509v3_context(None, None);
        let extensions = [
            SubjectKeyIdentifier::new().build(&context)?,
            BasicConstraints::new().critical().ca().build()?,
            KeyUsage::new()
                .critical()
                .key_cert_sign()
                .crl_sign()
                .build()?,
        ];
        for extension in extensions {
            builder.append_extension(extension)?;
        }
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self {
            key,
            certificate: builder.build(),
        })
    }
}

impl Account {
    /// The stand-in for Amazon's CA, made and stored when first needed (an RSA key: tens of milliseconds).
    ///
    /// # Errors
    /// When the storage or OpenSSL fails.
    pub fn issuing_ca(&self) -> Result<Arc<IssuingCa>, ApiError> {
        let mut kept = self.inner.issuing_ca.lock();
        if let Some(ca) = kept.as_ref() {
            return Ok(Arc::clone(ca));
        }
        let stored = self.inner.storage.load(SPACE)?;
        let value = |wanted: &[u8]| {
            let record = stored.iter().find(|(key, _)| key == wanted);
            record.map(|(_, value)| value.as_slice())
        };
        let ca = match (value(KEY), value(CERTIFICATE)) {
            (Some(key), Some(certificate)) => IssuingCa {
                key: PKey::private_key_from_der(key).map_err(failed)?,
                certificate: openssl::x509::X509::from_der(certificate).map_err(failed)?,
            },
            _ => {
                let ca = IssuingCa::generate(self.inner.clock.timestamp().whole_seconds())
                    .map_err(failed)?;
                let put = |key: &[u8], value: Vec<u8>| Write {
                    space: SPACE,
                    key: key.to_vec(),
                    value: Some(value),
                };
                self.inner.storage.commit(vec![
                    put(KEY, ca.key.private_key_to_der().map_err(failed)?),
                    put(CERTIFICATE, ca.certificate.to_der().map_err(failed)?),
                ])?;
                ca
            }
        };
        let ca = Arc::new(ca);
        *kept = Some(Arc::clone(&ca));
        Ok(ca)
    }
}

fn builder(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    key: &PKeyRef<Public>,
    now: i64,
) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509Builder::new()?;
    builder.set_version(2)?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*Asn1Time::from_unix(now)?)?;
    builder.set_not_after(&*Asn1Time::from_str_x509(NOT_AFTER)?)?;
    let mut serial = BigNum::new()?;
    // 159 bits: positive, and at most 20 octets (RFC 5280, 4.1.2.2).
    serial.rand(159, openssl::bn::MsbOption::MAYBE_ZERO, false)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    Ok(builder)
}

fn name(entries: &[(&str, &str)]) -> Result<X509Name, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    for (field, value) in entries {
        name.append_entry_by_text(field, value)?;
    }
    Ok(name.build())
}

fn failed(error: ErrorStack) -> ApiError {
    ApiError::internal(format!("OpenSSL failed: {error}"))
}
