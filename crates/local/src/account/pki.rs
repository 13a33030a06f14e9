//! A certificate authority for tests, made with OpenSSL alone so that nothing under test issues what it judges.

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::BasicConstraints;
use openssl::x509::{X509, X509Builder, X509NameBuilder, X509Req, X509ReqBuilder};

/// Who a certificate is for and how long it lasts, in seconds since 1970.
pub(crate) struct Wish<'a> {
    pub(crate) common_name: &'a str,
    pub(crate) is_ca: bool,
    pub(crate) valid: (i64, i64),
    pub(crate) hash: MessageDigest,
}

/// A subject that does for most tests: valid from 1970 to 2100.
pub(crate) fn named(common_name: &str) -> Wish<'_> {
    Wish {
        common_name,
        is_ca: false,
        valid: (0, 4_102_444_800),
        hash: MessageDigest::sha256(),
    }
}

/// A key with its certificate.
pub(crate) struct Identity {
    pub(crate) key: PKey<Private>,
    pub(crate) certificate: X509,
}

impl Identity {
    /// A CA that signed itself.
    pub(crate) fn ca(common_name: &str) -> Self {
        let wish = Wish {
            is_ca: true,
            ..named(common_name)
        };
        Self::self_signed(&wish, p256())
    }

    /// Any certificate that signed itself.
    pub(crate) fn self_signed(wish: &Wish<'_>, key: PKey<Private>) -> Self {
        let certificate = build(wish, &key, None);
        Self { key, certificate }
    }

    /// A certificate with a fresh key, signed by this one.
    pub(crate) fn issue(&self, wish: &Wish<'_>) -> Self {
        let key = p256();
        let certificate = build(wish, &key, Some(self));
        Self { key, certificate }
    }

    /// The certificate as PEM.
    pub(crate) fn pem(&self) -> String {
        String::from_utf8(self.certificate.to_pem().unwrap()).unwrap()
    }

    /// A certificate signing request with this key and name.
    pub(crate) fn csr(&self) -> String {
        let mut builder = X509ReqBuilder::new().unwrap();
        builder
            .set_subject_name(self.certificate.subject_name())
            .unwrap();
        builder.set_pubkey(&self.key).unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        let request: X509Req = builder.build();
        String::from_utf8(request.to_pem().unwrap()).unwrap()
    }
}

/// A fresh P-256 key.
pub(crate) fn p256() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn build(wish: &Wish<'_>, key: &PKey<Private>, issuer: Option<&Identity>) -> X509 {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", wish.common_name).unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    let issuer_name = issuer.map_or(&*name, |issuer| issuer.certificate.subject_name());
    builder.set_issuer_name(issuer_name).unwrap();
    let (from, to) = wish.valid;
    builder
        .set_not_before(&Asn1Time::from_unix(from).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::from_unix(to).unwrap())
        .unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(128, MsbOption::MAYBE_ZERO, false).unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_pubkey(key).unwrap();
    if wish.is_ca {
        let ca = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(ca).unwrap();
    }
    let signer = issuer.map_or(key, |issuer| &issuer.key);
    builder.sign(signer, wish.hash).unwrap();
    builder.build()
}
