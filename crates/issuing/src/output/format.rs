//! The forms in which a device's key and certificate are handed out.

use std::{fmt, str::FromStr};

use jitp_core::ca::{IssuedCertificate, PrivateKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::IssuingError;

/// A form of a device's key and certificate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `DEVICE.key`, PKCS#8 in PEM, and `DEVICE.crt`, the certificate and its CA's in PEM.
    Pem,
    /// `DEVICE.key.der`, PKCS#8, and `DEVICE.crt.der`, the certificate alone.
    Der,
}

/// A file of a device.
#[derive(Debug)]
pub(crate) struct Artifact {
    pub(crate) file: String,
    pub(crate) contents: Zeroizing<Vec<u8>>,
    pub(crate) secret: bool,
}

/// A certificate with its key, or without for a device that made its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) certificate: &'a IssuedCertificate,
    pub(crate) key: Option<&'a PrivateKey>,
}

/// Makes the files of devices.
#[derive(Debug, Default)]
pub(crate) struct Maker {}

impl Format {
    /// Every form, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Pem, Self::Der];

    /// The name in flags and lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pem => "pem",
            Self::Der => "der",
        }
    }

    /// The names of the files of a device in this form; those with the key first.
    pub(crate) fn files(self, device: &str) -> Vec<String> {
        let endings: &[&str] = match self {
            Self::Pem => &["key", "crt"],
            Self::Der => &["key.der", "crt.der"],
        };
        endings
            .iter()
            .map(|ending| format!("{device}.{ending}"))
            .collect()
    }
}

impl Maker {
    /// The files of a device in one form.
    pub(crate) fn make(
        &self,
        format: Format,
        of: Subject<'_>,
        artifacts: &mut Vec<Artifact>,
    ) -> Result<(), IssuingError> {
        let device = of.certificate.thing_name();
        let mut push = |ending: &str, contents: Zeroizing<Vec<u8>>, secret| {
            artifacts.push(Artifact {
                file: format!("{device}.{ending}"),
                contents,
                secret,
            });
        };
        match format {
            Format::Pem => {
                if let Some(key) = of.key {
                    push("key", text(key.to_pem()), true);
                }
                let chain = of.certificate.chain_pem();
                push("crt", Zeroizing::new(chain.into_bytes()), false);
            }
            Format::Der => {
                if let Some(key) = of.key {
                    push("key.der", Zeroizing::new(key.pkcs8_der().to_vec()), true);
                }
                let der = of.certificate.der().to_vec();
                push("crt.der", Zeroizing::new(der), false);
            }
        }
        Ok(())
    }
}

/// The octets of a secret text, without a copy of it left behind.
fn text(mut text: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
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
