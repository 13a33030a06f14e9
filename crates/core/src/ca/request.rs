//! Certificate signing requests (PKCS #10, RFC 2986) that a CA of ours is asked to certify.
//!
//! What a request says of its extensions is not granted: a device gets those of its profile. Subject and key are taken
//! byte for byte.

use openssl::{
    bn::BigNumRef,
    nid::Nid,
    pkey::{Id, PKey, Public},
    x509::X509Req,
};
use x509_parser::{
    certification_request::X509CertificationRequest, extensions::ParsedExtension, prelude::FromDer,
};

use crate::{
    certificate::{COMMON_NAME, attributes, pem},
    failure::{Class, Classified},
    names::{NameError, ThingName},
};

/// A request with a good signature, a key that AWS IoT takes, and a thing name for a common name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceRequest {
    thing_name: ThingName,
    pub(super) subject_der: Vec<u8>,
    pub(super) public_key_info: Vec<u8>,
    pub(super) public_key: Vec<u8>,
}

/// Why a request is not certified.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceRequestError {
    /// Neither DER nor PEM of a request.
    #[error("it is no certificate signing request: {detail}")]
    Unreadable {
        /// What the reader stumbled over.
        detail: String,
    },
    /// More than one request in a PEM text.
    #[error("there are {count} certificate signing requests in it and one was expected")]
    Several {
        /// How many there are.
        count: usize,
    },
    /// Whoever made the request does not hold the key.
    #[error("the request is not signed by the key it asks a certificate for")]
    Signature,
    /// A key that a device of AWS IoT cannot have.
    #[error(
        "the request's key is {found}; AWS IoT takes RSA of 2048 to 4096 bits, and EC on P-256, P-384 and P-521"
    )]
    Key {
        /// What it is.
        found: String,
    },
    /// It asks to be a CA.
    #[error("the request asks for a CA certificate, and a device is none")]
    AsksForCa,
    /// No common name, or several.
    #[error("the request has {count} common names, and a device has one, its thing name")]
    CommonNames {
        /// How many it has.
        count: usize,
    },
    /// The common name cannot be a thing name.
    #[error("the request's common name cannot be used")]
    Name(#[from] NameError),
    /// A thing name that no certificate has room for.
    #[error(
        "the request's common name has {length} characters, and X.509 allows 64 (RFC 5280, appendix A.1)"
    )]
    LongName {
        /// Its length.
        length: usize,
    },
    /// A control character in the subject.
    #[error("the request's subject has a control character in its attribute {oid}")]
    ControlCharacter {
        /// The attribute's type as a dotted object identifier.
        oid: String,
    },
}

impl Classified for DeviceRequestError {
    fn class(&self) -> Class {
        Class::Configuration
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Signature => "make the request again with the key it is for".to_owned(),
            Self::AsksForCa => {
                "make the request without basicConstraints CA:TRUE; a CA of your own is made by create-intermediate"
                    .to_owned()
            }
            Self::CommonNames { .. } | Self::Name(_) | Self::LongName { .. } => {
                "make the request with the thing name as its only common name, for example: \
                 openssl req -new -key device.key -subj /CN=sensor-17"
                    .to_owned()
            }
            _ => return None,
        })
    }
}

impl DeviceRequest {
    /// Reads a request in DER, or the only one of a PEM text, and judges it.
    ///
    /// # Errors
    /// When it is none, is not signed by its own key (RSA with PKCS #1 or PSS padding, ECDSA; SHA-1 or better), asks to
    /// be a CA, or has a key or a name that a device cannot have.
    pub fn read(bytes: &[u8]) -> Result<Self, DeviceRequestError> {
        let unreadable = |detail: String| DeviceRequestError::Unreadable { detail };
        let der = match bytes.first() {
            Some(0x30) => bytes.to_vec(),
            _ => only_block(bytes)?,
        };
        let (rest, request) = X509CertificationRequest::from_der(&der)
            .map_err(|error| unreadable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable(format!("{} bytes follow it", rest.len())));
        }
        let info = &request.certification_request_info;
        if asks_for_ca(&request) {
            return Err(DeviceRequestError::AsksForCa);
        }
        // OpenSSL verifies what x509-parser cannot: P-521, SHA-512, PSS.
        let judge = X509Req::from_der(&der).map_err(|error| unreadable(error.to_string()))?;
        let key = judge.public_key().map_err(|_| DeviceRequestError::Key {
            found: "of a kind unknown here".to_owned(),
        })?;
        if let Some(found) = unfit(&key) {
            return Err(DeviceRequestError::Key { found });
        }
        if !judge.verify(&key).unwrap_or(false) {
            return Err(DeviceRequestError::Signature);
        }
        Ok(Self {
            thing_name: thing_name(&request)?,
            subject_der: info.subject.as_raw().to_vec(),
            public_key_info: info.subject_pki.raw.to_vec(),
            public_key: info.subject_pki.subject_public_key.data.to_vec(),
        })
    }

    /// The thing name, which is the request's common name.
    pub fn thing_name(&self) -> &ThingName {
        &self.thing_name
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn public_key_info(&self) -> &[u8] {
        &self.public_key_info
    }
}

/// The DER of the only request of a PEM text.
fn only_block(text: &[u8]) -> Result<Vec<u8>, DeviceRequestError> {
    use rustls_pki_types::{CertificateSigningRequestDer, pem::PemObject};
    // The old label of RFC 7468, appendix A, which some tools still write.
    let text =
        String::from_utf8_lossy(text).replace("NEW CERTIFICATE REQUEST", "CERTIFICATE REQUEST");
    let found: Result<Vec<_>, _> =
        CertificateSigningRequestDer::pem_slice_iter(text.as_bytes()).collect();
    let mut found = found.map_err(|error| DeviceRequestError::Unreadable {
        detail: pem::fault(&error),
    })?;
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only.as_ref().to_vec()),
        (Some(_), others) => Err(DeviceRequestError::Several { count: others + 1 }),
        (None, _) => Err(DeviceRequestError::Unreadable {
            detail: "no block that begins with -----BEGIN CERTIFICATE REQUEST-----".to_owned(),
        }),
    }
}

fn asks_for_ca(request: &X509CertificationRequest<'_>) -> bool {
    let Some(mut extensions) = request.requested_extensions() else {
        return false;
    };
    extensions.any(|extension| match extension {
        ParsedExtension::BasicConstraints(constraints) => constraints.ca,
        ParsedExtension::KeyUsage(usage) => usage.key_cert_sign(),
        _ => false,
    })
}

/// What is wrong with a key, if anything is.
fn unfit(key: &PKey<Public>) -> Option<String> {
    match key.id() {
        Id::RSA => {
            let rsa = key.rsa().ok()?;
            let bits = key.bits();
            if !(2048..=4096).contains(&bits) {
                return Some(format!("RSA with {bits} bits"));
            }
            let weak = |e: &BigNumRef| e.num_bits() < 2 || !e.is_bit_set(0);
            weak(rsa.e()).then(|| "RSA with a public exponent that is no good".to_owned())
        }
        Id::EC => {
            let curve = key.ec_key().ok().and_then(|key| key.group().curve_name());
            match curve {
                Some(Nid::X9_62_PRIME256V1 | Nid::SECP384R1 | Nid::SECP521R1) => None,
                Some(other) => Some(format!(
                    "EC on {}",
                    other.long_name().unwrap_or("another curve")
                )),
                None => Some("EC with parameters instead of a named curve".to_owned()),
            }
        }
        Id::RSA_PSS => Some("RSA for PSS signatures alone".to_owned()),
        Id::ED25519 => Some("Ed25519".to_owned()),
        Id::ED448 => Some("Ed448".to_owned()),
        Id::DSA => Some("DSA".to_owned()),
        _ => Some("of another kind".to_owned()),
    }
}

fn thing_name(request: &X509CertificationRequest<'_>) -> Result<ThingName, DeviceRequestError> {
    let subject = attributes(&request.certification_request_info.subject);
    if let Some(odd) = subject
        .iter()
        .find(|attribute| attribute.value.chars().any(char::is_control))
    {
        return Err(DeviceRequestError::ControlCharacter {
            oid: odd.oid.clone(),
        });
    }
    let mut names = subject
        .iter()
        .filter(|attribute| attribute.oid == COMMON_NAME);
    let (Some(name), others) = (names.next(), names.count()) else {
        return Err(DeviceRequestError::CommonNames { count: 0 });
    };
    if others > 0 {
        return Err(DeviceRequestError::CommonNames { count: others + 1 });
    }
    let name: ThingName = name.value.parse()?;
    match name.as_str().len() {
        0..=64 => Ok(name),
        length => Err(DeviceRequestError::LongName { length }),
    }
}
