//! The forms in which a device's key and certificate are handed out.

use std::{fmt, fmt::Write, mem, str::FromStr};

use jitp_core::ca::{IssuedCertificate, PrivateKey};
use openssl::{nid::Nid, pkcs12::Pkcs12, pkey::PKey, stack::Stack, x509::X509};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::error::IssuingError;

/// A form of a device's key and certificate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `DEVICE.key`, PKCS#8 in PEM, and `DEVICE.crt`, the certificate and its CA's in PEM.
    Pem,
    /// `DEVICE.key.der`, PKCS#8, and `DEVICE.crt.der`, the certificate alone.
    Der,
    /// `DEVICE.p12`, PKCS#12 (RFC 7292) with key, certificate and CA, under a passphrase.
    Pkcs12,
    /// `DEVICE.encrypted.key`, PKCS#8 in PEM under a passphrase (RFC 8018), and `DEVICE.crt`.
    EncryptedPem,
    /// `DEVICE.nvs.csv`, for ESP-IDF's NVS partition generator: namespace `certs` with `device_id`, `certificate`,
    /// `private_key` and `ca_certificate`.
    Nvs,
    /// `DEVICE.nrf.csv`, a row of nRF Cloud's list for onboarding devices in bulk: device id, subtype, tags, firmware types,
    /// certificate. The rows of several devices make one list.
    Nrf,
    /// `DEVICE.h`, a C header with the three in PEM as string constants.
    CHeader,
    /// `DEVICE.svg`, a QR code of the device's name.
    Qr,
    /// `DEVICE.key`, `DEVICE.pub` and `DEVICE.pem`, as create-thing keeps what a thing has; not for lists and flags.
    Thing,
    /// `DEVICE.claim.key` and `DEVICE.claim.pem`, as create-claim keeps a claim; not for lists and flags.
    Claim,
}

/// A file of a device. What is secret is wiped when it is dropped.
pub(crate) struct Artifact {
    pub(crate) file: String,
    pub(crate) contents: Vec<u8>,
    pub(crate) secret: bool,
}

impl Drop for Artifact {
    fn drop(&mut self) {
        if self.secret {
            self.contents.zeroize();
        }
    }
}

/// A certificate with its key, or without for a device that made its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) certificate: &'a IssuedCertificate,
    pub(crate) key: Option<&'a PrivateKey>,
}

/// Makes the files of devices.
pub(crate) struct Maker<'a> {
    /// What encrypts keys.
    pub(crate) passphrase: Option<&'a [u8]>,
}

impl Format {
    /// Every form that can be asked for, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Pem,
        Self::Der,
        Self::Pkcs12,
        Self::EncryptedPem,
        Self::Nvs,
        Self::Nrf,
        Self::CHeader,
        Self::Qr,
    ];

    /// The name in flags and lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pem => "pem",
            Self::Der => "der",
            Self::Pkcs12 => "pkcs12",
            Self::EncryptedPem => "encrypted-pem",
            Self::Nvs => "nvs",
            Self::Nrf => "nrf",
            Self::CHeader => "c-header",
            Self::Qr => "qr",
            Self::Thing => "thing",
            Self::Claim => "claim",
        }
    }

    /// Whether the key in it is encrypted.
    pub fn wants_passphrase(self) -> bool {
        matches!(self, Self::Pkcs12 | Self::EncryptedPem)
    }

    /// Whether it makes sense without the key, for a device that has made its own.
    pub fn works_without_key(self) -> bool {
        matches!(self, Self::Pem | Self::Der | Self::Nrf | Self::Qr)
    }

    /// The endings of a device's files, and whether each holds the key.
    fn endings(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Pem => &[("key", true), ("crt", false)],
            Self::Der => &[("key.der", true), ("crt.der", false)],
            Self::Pkcs12 => &[("p12", true)],
            Self::EncryptedPem => &[("encrypted.key", true), ("crt", false)],
            Self::Nvs => &[("nvs.csv", true)],
            Self::Nrf => &[("nrf.csv", false)],
            Self::CHeader => &[("h", true)],
            Self::Qr => &[("svg", false)],
            // The certificate last: when it is there, the others are.
            Self::Thing => &[("key", true), ("pub", false), ("pem", false)],
            Self::Claim => &[("claim.key", true), ("claim.pem", false)],
        }
    }

    /// The endings of key and chain of a form that is these two in PEM, and can be read back.
    pub(crate) fn pem_endings(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Pem => Some(("key", "crt")),
            Self::Thing => Some(("key", "pem")),
            Self::Claim => Some(("claim.key", "claim.pem")),
            _ => None,
        }
    }

    /// The names of the files of a device in this form, without those that hold a key which the device has made itself.
    pub(crate) fn files(self, device: &str, requested: bool) -> Vec<String> {
        self.endings()
            .iter()
            .filter(|(_, key)| !(requested && *key))
            .map(|(ending, _)| format!("{device}.{ending}"))
            .collect()
    }
}

impl Maker<'_> {
    /// The files of a device in one form, without those that another form has given it already.
    pub(crate) fn make(
        &self,
        format: Format,
        of: Subject<'_>,
        artifacts: &mut Vec<Artifact>,
    ) -> Result<(), IssuingError> {
        let device = of.certificate.thing_name();
        for &(ending, secret) in format.endings() {
            let file = format!("{device}.{ending}");
            if artifacts.iter().any(|made| made.file == file) {
                continue;
            }
            let mut contents = match (ending, of.key) {
                ("crt" | "pem" | "claim.pem", _) => {
                    Zeroizing::new(of.certificate.chain_pem().into_bytes())
                }
                ("crt.der", _) => Zeroizing::new(of.certificate.der().to_vec()),
                ("nrf.csv", _) => Zeroizing::new(nrf(of.certificate).into_bytes()),
                ("svg", _) => Zeroizing::new(qr(device.as_str())?.into_bytes()),
                // The device has it.
                (_, None) if format.works_without_key() => continue,
                (_, None) => {
                    return Err(IssuingError::NoKey {
                        format: format.as_str(),
                        device: device.to_string(),
                    });
                }
                ("key" | "claim.key", Some(key)) => octets(key.to_pem()),
                ("pub", Some(key)) => Zeroizing::new(key.public_key_pem().into_bytes()),
                ("key.der", Some(key)) => Zeroizing::new(key.pkcs8_der().to_vec()),
                ("p12", Some(key)) => pkcs12(of.certificate, key, self.passphrase(format)?)?,
                ("encrypted.key", Some(key)) => {
                    let pem = key.to_encrypted_pem(self.passphrase(format)?);
                    octets(pem.map_err(jitp_core::ca::CaError::from)?)
                }
                ("nvs.csv", Some(key)) => nvs(of.certificate, key),
                (_, Some(key)) => c_header(of.certificate, key),
            };
            artifacts.push(Artifact {
                file,
                contents: mem::take(&mut *contents),
                secret,
            });
        }
        Ok(())
    }

    fn passphrase(&self, format: Format) -> Result<&[u8], IssuingError> {
        self.passphrase.ok_or(IssuingError::PassphraseNeeded {
            format: format.as_str(),
        })
    }
}

/// PKCS#12 with AES-256 and SHA-256 (RFC 8018, PBES2), which every reader of this decade takes.
fn pkcs12(
    certificate: &IssuedCertificate,
    key: &PrivateKey,
    passphrase: &[u8],
) -> Result<Zeroizing<Vec<u8>>, IssuingError> {
    let device = certificate.thing_name().as_str();
    let failed = |detail: String| IssuingError::Encode {
        device: device.to_owned(),
        detail,
    };
    let passphrase = std::str::from_utf8(passphrase)
        .map_err(|_| failed("PKCS#12 takes a passphrase in UTF-8".to_owned()))?;
    let build = || {
        let mut chain = Stack::new()?;
        chain.push(X509::from_pem(certificate.ca_pem().as_bytes())?)?;
        let key = PKey::private_key_from_pkcs8(key.pkcs8_der())?;
        let leaf = X509::from_der(certificate.der())?;
        Pkcs12::builder()
            .name(device)
            .pkey(&key)
            .cert(&leaf)
            .ca(chain)
            .key_algorithm(Nid::AES_256_CBC)
            .cert_algorithm(Nid::AES_256_CBC)
            .key_iter(ITERATIONS)
            .mac_iter(ITERATIONS)
            .mac_md(openssl::hash::MessageDigest::sha256())
            .build2(passphrase)?
            .to_der()
    };
    build()
        .map(Zeroizing::new)
        .map_err(|error: openssl::error::ErrorStack| failed(error.to_string()))
}

/// The passphrase of a batch is one for all: what makes guessing it slow makes the batch slow too.
const ITERATIONS: u32 = 10_000;

/// ESP-IDF programming guide, "NVS Partition Generator Utility": key, type, encoding, value.
fn nvs(certificate: &IssuedCertificate, key: &PrivateKey) -> Zeroizing<Vec<u8>> {
    let key = key.to_pem();
    let leaf = certificate.to_pem();
    let mut text = Zeroizing::new(String::with_capacity(4096));
    text.push_str("key,type,encoding,value\ncerts,namespace,,\n");
    let rows = [
        ("device_id", certificate.thing_name().as_str()),
        ("certificate", &leaf),
        ("private_key", &key),
        ("ca_certificate", certificate.ca_pem()),
    ];
    for (name, value) in rows {
        // PEM and thing names have no quotation mark.
        let _ = writeln!(text, "{name},data,string,\"{value}\"");
    }
    octets(text)
}

/// nRF Cloud utilities, onboarding CSV.
fn nrf(certificate: &IssuedCertificate) -> String {
    format!(
        "{},,,,\"{}\"\n",
        certificate.thing_name(),
        certificate.to_pem()
    )
}

fn c_header(certificate: &IssuedCertificate, key: &PrivateKey) -> Zeroizing<Vec<u8>> {
    let key = key.to_pem();
    let leaf = certificate.to_pem();
    let mut text = Zeroizing::new(String::with_capacity(6144));
    text.push_str("#ifndef DEVICE_CREDENTIALS_H\n#define DEVICE_CREDENTIALS_H\n");
    let constants = [
        ("DEVICE_ID", certificate.thing_name().as_str()),
        ("DEVICE_CERTIFICATE_PEM", &leaf),
        ("DEVICE_PRIVATE_KEY_PEM", &key),
        ("DEVICE_CA_CERTIFICATE_PEM", certificate.ca_pem()),
    ];
    for (name, value) in constants {
        let _ = write!(text, "\nstatic const char {name}[] =");
        for line in value.split_inclusive('\n') {
            // PEM and thing names have nothing that C would take for something else.
            let end = if line.ends_with('\n') { "\\n" } else { "" };
            let _ = write!(text, "\n    \"{}{end}\"", line.trim_end_matches('\n'));
        }
        text.push_str(";\n");
    }
    text.push_str("\n#endif\n");
    octets(text)
}

fn qr(device: &str) -> Result<String, IssuingError> {
    let failed = |error: qrcode::types::QrError| IssuingError::Encode {
        device: device.to_owned(),
        detail: error.to_string(),
    };
    let code = qrcode::QrCode::new(device).map_err(failed)?;
    let picture = code.render::<qrcode::render::svg::Color<'_>>();
    Ok(picture.build())
}

/// The octets of a secret text, without a copy of it left behind.
fn octets(mut text: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(std::mem::take(&mut *text).into_bytes())
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|format| format.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("{name:?} is no format; there are {names}")
        })
    }
}
