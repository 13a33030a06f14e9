//! What other tools made: CAs with unusual names, CAs of the old shell scripts, X.509 version 1, and what is no CA.

use jitp_core::{
    ca::{CaError, CertificateAuthority, KeyType, Profile},
    certificate::{Certificate, CertificateError},
    failure::Classified,
};
use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{
        X509, X509Builder, X509NameBuilder,
        extension::{BasicConstraints, KeyUsage, SubjectKeyIdentifier},
    },
};

use crate::{NOW, judges, root, thing};

/// What a certificate made by OpenSSL carries.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Extensions {
    /// `openssl x509 -req` without any: version 1.
    None,
    /// AWS's walk-throughs: basicConstraints alone.
    CaOnly,
    /// `openssl req -x509`: with a subject key identifier.
    CaAndKeyId,
    /// CA:TRUE, but its key may only sign CRLs.
    CaWithoutCertSign,
    /// CA:FALSE.
    NotCa,
}

fn p256() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

pub(crate) fn self_signed(
    key: &PKey<Private>,
    name: &[(Nid, &str)],
    extensions: Extensions,
) -> X509 {
    let mut subject = X509NameBuilder::new().unwrap();
    for (kind, value) in name {
        subject.append_entry_by_nid(*kind, value).unwrap();
    }
    let subject = subject.build();
    let mut builder = X509Builder::new().unwrap();
    let version = if extensions == Extensions::None { 0 } else { 2 };
    builder.set_version(version).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(152, MsbOption::MAYBE_ZERO, false).unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    let day = |days: i64| Asn1Time::from_unix(NOW.unix_timestamp() + days * 86_400).unwrap();
    builder.set_not_before(&day(-10)).unwrap();
    builder.set_not_after(&day(1024)).unwrap();
    builder.set_pubkey(key).unwrap();
    let constraints = match extensions {
        Extensions::None => None,
        Extensions::NotCa => Some(BasicConstraints::new().build().unwrap()),
        _ => Some(BasicConstraints::new().critical().ca().build().unwrap()),
    };
    if let Some(constraints) = constraints {
        builder.append_extension(constraints).unwrap();
    }
    if extensions == Extensions::CaAndKeyId {
        let context = builder.x509v3_context(None, None);
        let id = SubjectKeyIdentifier::new().build(&context).unwrap();
        builder.append_extension(id).unwrap();
        let usage = KeyUsage::new().critical().key_cert_sign().build().unwrap();
        builder.append_extension(usage).unwrap();
    }
    if extensions == Extensions::CaWithoutCertSign {
        let usage = KeyUsage::new().critical().crl_sign().build().unwrap();
        builder.append_extension(usage).unwrap();
    }
    builder.sign(key, MessageDigest::sha256()).unwrap();
    builder.build()
}

fn load(certificate: &X509, key: &PKey<Private>) -> Result<CertificateAuthority, CaError> {
    CertificateAuthority::load(
        certificate.to_pem().unwrap(),
        key.private_key_to_pem_pkcs8().unwrap(),
        None,
    )
}

#[test]
fn a_ca_whose_name_repeats_attributes_signs_devices_that_chain() {
    let name = [
        (Nid::DOMAINCOMPONENT, "corp"),
        (Nid::DOMAINCOMPONENT, "example"),
        (Nid::ORGANIZATIONALUNITNAME, "Factory"),
        (Nid::ORGANIZATIONALUNITNAME, "Line 4"),
        (Nid::COMMONNAME, "repeats"),
    ];
    let key = p256();
    let certificate = self_signed(&key, &name, Extensions::CaAndKeyId);
    let ca = load(&certificate, &key).unwrap();
    let line = "DC=corp, DC=example, OU=Factory, OU=Line 4, CN=repeats";
    assert_eq!(ca.certificate().subject_line(), line);
    let device = ca.issue(&thing("a"), &Profile::device(), NOW).unwrap();
    let der = certificate.to_der().unwrap();
    judges::judge(device.certificate().der(), &[], &der, NOW).unwrap();
    let issued = Certificate::from_der(device.certificate().der()).unwrap();
    assert_eq!(issued.issuer_der(), ca.certificate().subject_der());
}

#[test]
fn a_ca_name_of_an_old_string_type_is_copied_byte_for_byte() {
    // OpenSSL writes what is not ASCII as it is told; T61String and BMPString are what old CAs have.
    for value_type in [
        openssl::asn1::Asn1Type::T61STRING,
        openssl::asn1::Asn1Type::BMPSTRING,
    ] {
        let key = p256();
        let mut subject = X509NameBuilder::new().unwrap();
        subject
            .append_entry_by_nid_with_type(Nid::COMMONNAME, "Zentrale", value_type)
            .unwrap();
        let subject = subject.build();
        let plain = self_signed(&key, &[(Nid::COMMONNAME, "x")], Extensions::CaAndKeyId);
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        builder.set_serial_number(plain.serial_number()).unwrap();
        builder.set_subject_name(&subject).unwrap();
        builder.set_issuer_name(&subject).unwrap();
        builder.set_not_before(plain.not_before()).unwrap();
        builder.set_not_after(plain.not_after()).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder
            .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
            .unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let ca = load(&builder.build(), &key).unwrap();
        let device = ca.issue(&thing("a"), &Profile::device(), NOW).unwrap();
        let issued = Certificate::from_der(device.certificate().der()).unwrap();
        assert_eq!(issued.issuer_der(), ca.certificate().subject_der());
    }
}

#[test]
fn a_ca_of_the_old_scripts_still_signs() {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let certificate = self_signed(&key, &[(Nid::COMMONNAME, "root")], Extensions::CaOnly);
    let pkcs1 = key.rsa().unwrap().private_key_to_pem().unwrap();
    let ca = CertificateAuthority::load(certificate.to_pem().unwrap(), pkcs1, None).unwrap();
    assert_eq!(ca.key_type(), KeyType::Rsa2048);
    let device = ca.issue(&thing("a"), &Profile::device(), NOW).unwrap();
    let issued = Certificate::from_der(device.certificate().der()).unwrap();
    assert!(issued.authority_key_id().is_some());
    let signer = certificate.public_key().unwrap();
    let judged = X509::from_der(device.certificate().der()).unwrap();
    assert!(judged.verify(&signer).unwrap());
}

#[test]
fn a_version_1_certificate_is_read_for_all_that_it_says() {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let made = self_signed(&key, &[(Nid::COMMONNAME, "device")], Extensions::None);
    let certificate = Certificate::from_pem(made.to_pem().unwrap()).unwrap();
    assert_eq!(certificate.version(), 1);
    assert_eq!(certificate.common_name(), Some("device"));
    assert!(!certificate.is_ca() && certificate.subject_key_id().is_none());
    assert!(certificate.is_valid_at(NOW));
    let parameters = certificate.template_parameters();
    assert_eq!(parameters.len(), 3, "{parameters:?}");
}

#[test]
fn what_is_no_ca_is_refused_by_what_it_lacks() {
    let key = p256();
    let refusal = |extensions| {
        let certificate = self_signed(&key, &[(Nid::COMMONNAME, "x")], extensions);
        load(&certificate, &key).unwrap_err()
    };
    assert!(refusal(Extensions::None).to_string().contains("version 1"));
    assert!(refusal(Extensions::NotCa).to_string().contains("CA:TRUE"));
    let no_sign = refusal(Extensions::CaWithoutCertSign);
    assert!(no_sign.to_string().contains("keyCertSign"), "{no_sign}");
    let device = root(KeyType::P256)
        .issue(&thing("a"), &Profile::device(), NOW)
        .unwrap();
    let refusal = CertificateAuthority::load(
        device.certificate().to_pem(),
        device.private_key().to_pem().as_str(),
        None,
    )
    .unwrap_err();
    assert!(matches!(refusal, CaError::NotACa { .. }));
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let certificate = self_signed(&p256(), &[(Nid::COMMONNAME, "x")], Extensions::CaAndKeyId);
    let refusal = load(&certificate, &p256()).unwrap_err();
    assert!(matches!(refusal, CaError::KeyMismatch { .. }));
    assert!(refusal.to_string().contains("CN=x"), "{refusal}");
}

#[test]
fn garbage_and_heaps_of_certificates_are_refused() {
    let ca = root(KeyType::P256);
    let key = ca.private_key().unwrap().to_pem();
    let load = |certificate: &str| match CertificateAuthority::load(certificate, key.as_str(), None)
        .unwrap_err()
    {
        CaError::Certificate(error) => error,
        other => panic!("{other}"),
    };
    let pem = ca.certificate_pem();
    assert_eq!(load(""), CertificateError::Missing);
    assert_eq!(load("garbage \u{0} here"), CertificateError::Missing);
    assert_eq!(load(&key), CertificateError::Missing);
    assert_eq!(
        load(&[pem, pem].concat()),
        CertificateError::Several { count: 2 }
    );
    assert!(matches!(
        load(&pem[..pem.len() / 2]),
        CertificateError::Pem { .. }
    ));
    let wrong = pem.replace("MII", "AAA");
    assert!(matches!(load(&wrong), CertificateError::Der { .. }));
    let error = CaError::Certificate(CertificateError::Several { count: 2 });
    assert!(error.hint().is_some());
}

#[test]
fn no_prefix_and_no_flipped_bit_of_a_certificate_makes_the_reader_panic() {
    let ca = root(KeyType::P256);
    let der = ca.certificate().der();
    for end in 0..der.len() {
        assert!(Certificate::from_der(&der[..end]).is_err());
    }
    for place in 0..der.len() {
        for bit in 0..8 {
            let mut bent = der.to_vec();
            bent[place] ^= 1 << bit;
            if let Ok(certificate) = Certificate::from_der(&bent) {
                let _ = (
                    certificate.template_parameters(),
                    certificate.subject_line(),
                );
            }
        }
    }
}
