//! Roots and devices made here: accepted by the judges, and saying what was asked.

use std::collections::BTreeSet;

use jitp_core::{
    ca::{
        Attribute, CaError, CertificateAuthority, DeviceSubject, KeyType, Profile, Subject,
        Validity,
    },
    certificate::{Certificate, CertificateId},
};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer, x509::X509};
use time::Duration;

use crate::{NOW, code, judges::judge, root, thing};

#[test]
fn devices_of_every_key_type_are_accepted_under_roots_of_every_key_type() {
    // RSA keys take long to make, so each kind of root signs only the devices it is not yet known to get right.
    let pairs: [(KeyType, &[KeyType]); 5] = [
        (
            KeyType::P256,
            &[KeyType::P256, KeyType::P384, KeyType::Rsa2048],
        ),
        (KeyType::P384, &[KeyType::P256, KeyType::P384]),
        (KeyType::Rsa2048, &[KeyType::P256]),
        (KeyType::Rsa3072, &[KeyType::P256]),
        (KeyType::Rsa4096, &[KeyType::P384]),
    ];
    for (ca_type, device_types) in pairs {
        let ca = root(ca_type);
        assert_eq!(ca.key_type(), ca_type);
        for &key_type in device_types {
            let profile = Profile::device().with_key_type(key_type);
            let device = ca.issue(&thing("sensor-17"), &profile, NOW).unwrap();
            judge(device.certificate().der(), &[], ca.certificate().der(), NOW)
                .unwrap_or_else(|why| panic!("{key_type} under {ca_type}: {why}"));
            let judged = X509::from_pem(device.certificate().to_pem().as_bytes()).unwrap();
            let key = PKey::private_key_from_pem(device.private_key().to_pem().as_bytes()).unwrap();
            assert!(judged.public_key().unwrap().public_eq(&key));
        }
    }
}

#[test]
fn the_key_of_a_device_signs_what_its_certificate_verifies() {
    let ca = root(KeyType::P256);
    for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
        let profile = Profile::device().with_key_type(key_type);
        let device = ca.issue(&thing("a"), &profile, NOW).unwrap();
        let key = PKey::private_key_from_pkcs8(device.private_key().pkcs8_der()).unwrap();
        let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
        let signature = signer.sign_oneshot_to_vec(b"challenge").unwrap();
        let public = X509::from_der(device.certificate().der())
            .unwrap()
            .public_key()
            .unwrap();
        let mut verifier = openssl::sign::Verifier::new(MessageDigest::sha256(), &public).unwrap();
        assert!(verifier.verify_oneshot(&signature, b"challenge").unwrap());
    }
}

#[test]
fn a_root_says_who_it_is_in_the_order_of_the_arguments() {
    let ca = root(KeyType::P256);
    let line = "CN=root, C=LU, L=Luxembourg, ST=Luxembourg, O=AWS, OU=Demo";
    assert_eq!(ca.certificate().subject_line(), line);
    assert_eq!(ca.certificate().version(), 3);
    assert!(ca.certificate().is_ca());
    assert_eq!(ca.certificate().path_length(), None);
    assert_eq!(ca.certificate().not_before(), NOW - Duration::MINUTE);
    assert_eq!(ca.certificate().not_after(), NOW + Duration::days(3650));
    assert_eq!(
        ca.certificate().subject_der(),
        ca.certificate().issuer_der()
    );
}

#[test]
fn a_device_carries_every_attribute_that_a_template_may_ask_for() {
    let ca = root(KeyType::P256);
    let subject = DeviceSubject::new(thing("sensor-17"))
        .and_then(|s| s.with(Attribute::Country, "LU"))
        .and_then(|s| s.with(Attribute::State, "Vianden"))
        .and_then(|s| s.with(Attribute::Organization, "Ünïcode & Söhne"))
        .and_then(|s| s.with(Attribute::OrganizationalUnit, "Line 4"))
        .and_then(|s| s.with(Attribute::DnQualifier, "batch-7"))
        .and_then(|s| s.with(Attribute::SerialNumber, "SN-0042"))
        .unwrap();
    let device = ca.issue(&subject, &Profile::device(), NOW).unwrap();
    judge(device.certificate().der(), &[], ca.certificate().der(), NOW).unwrap();

    let certificate = Certificate::from_der(device.certificate().der()).unwrap();
    let parameters = certificate.template_parameters();
    let value = |name: &str| {
        parameters
            .get(&format!("AWS::IoT::Certificate::{name}"))
            .map(String::as_str)
    };
    assert_eq!(value("CommonName"), Some("sensor-17"));
    assert_eq!(value("Country"), Some("LU"));
    assert_eq!(value("StateName"), Some("Vianden"));
    assert_eq!(value("Organization"), Some("Ünïcode & Söhne"));
    assert_eq!(value("OrganizationalUnit"), Some("Line 4"));
    assert_eq!(value("DistinguishedNameQualifier"), Some("batch-7"));
    assert_eq!(value("Id"), Some(device.id().as_str()));
    let judged = X509::from_der(device.certificate().der()).unwrap();
    let serial = judged.serial_number().to_bn().unwrap();
    assert_eq!(value("SerialNumber"), Some(&**serial.to_dec_str().unwrap()));
    assert_eq!(parameters.len(), 8);
}

#[test]
fn the_id_is_the_sha_256_of_the_der() {
    let device = root(KeyType::P256)
        .issue(&thing("a"), &Profile::device(), NOW)
        .unwrap();
    let judged = X509::from_pem(device.certificate().to_pem().as_bytes()).unwrap();
    let digest = judged.digest(MessageDigest::sha256()).unwrap();
    assert_eq!(device.id().as_str(), hex::encode(digest));
    assert_eq!(
        device.id().as_str().parse::<CertificateId>().unwrap(),
        *device.id()
    );
    assert!("ABC".parse::<CertificateId>().is_err());
}

#[test]
fn serial_numbers_are_positive_random_and_never_the_same() {
    let ca = root(KeyType::P256);
    let mut serials = BTreeSet::new();
    for _ in 0..300 {
        let device = ca.issue(&thing("a"), &Profile::device(), NOW).unwrap();
        let judged = X509::from_der(device.certificate().der()).unwrap();
        let serial = judged.serial_number().to_bn().unwrap();
        assert!(!serial.is_negative() && serial.num_bits() <= 159);
        assert!(serial.num_bits() > 64);
        serials.insert(serial.to_vec());
    }
    assert_eq!(serials.len(), 300);
    let first_octets: BTreeSet<_> = serials.iter().map(|serial| serial[0]).collect();
    assert!(first_octets.len() > 50, "the top bits vary");
}

#[test]
fn a_device_chain_is_the_leaf_and_then_its_ca() {
    let ca = root(KeyType::P256);
    let device = ca.issue(&thing("a"), &Profile::device(), NOW).unwrap();
    let chain = Certificate::all_from_pem(device.certificate().chain_pem()).unwrap();
    assert_eq!(chain.len(), 2);
    assert_eq!(chain[0].der(), device.certificate().der());
    assert_eq!(&chain[1], ca.certificate());
    assert_eq!(
        chain[0].authority_key_id(),
        ca.certificate().subject_key_id()
    );
}

#[test]
fn a_thing_name_that_fits_no_common_name_is_refused() {
    let ca = root(KeyType::P256);
    let longest = ca.issue(&thing(&"x".repeat(64)), &Profile::device(), NOW);
    judge(
        longest.unwrap().certificate().der(),
        &[],
        ca.certificate().der(),
        NOW,
    )
    .unwrap();
    let refusal = ca
        .issue(&thing(&"x".repeat(65)), &Profile::device(), NOW)
        .unwrap_err();
    assert!(refusal.to_string().contains("X.509 allows 64"), "{refusal}");
}

#[test]
fn a_verification_certificate_names_the_code_and_lives_a_week() {
    for key_type in [KeyType::P256, KeyType::Rsa2048] {
        let ca = root(key_type);
        let proof = ca.verification_certificate(&code(), NOW).unwrap();
        // It says nothing of TLS clients, so WebPKI and OpenSSL ask only whether the chain holds.
        judge(proof.der(), &[], ca.certificate().der(), NOW).unwrap();
        let certificate = Certificate::from_pem(proof.to_pem()).unwrap();
        assert_eq!(certificate.common_name(), Some(code().as_str()));
        assert_eq!(certificate.not_after(), NOW + Duration::WEEK);
        assert_ne!(certificate.public_key(), ca.certificate().public_key());
    }
}

#[test]
fn a_verification_certificate_ends_with_a_ca_that_is_about_to() {
    let validity = Validity::Days(3);
    let ca = CertificateAuthority::create_root(&Subject::default(), KeyType::P256, validity, NOW)
        .unwrap();
    let proof = ca.verification_certificate(&code(), NOW).unwrap();
    let certificate = Certificate::from_der(proof.der()).unwrap();
    assert_eq!(certificate.not_after(), ca.certificate().not_after());
}

#[test]
fn a_root_read_back_from_its_files_signs_as_before() {
    let made = root(KeyType::P384);
    let ca = CertificateAuthority::load(
        made.certificate_pem(),
        made.private_key().unwrap().to_pem().as_str(),
        None,
    )
    .unwrap();
    let device = ca.issue(&thing("a"), &Profile::device(), NOW).unwrap();
    judge(
        device.certificate().der(),
        &[],
        made.certificate().der(),
        NOW,
    )
    .unwrap();
}

#[test]
fn nothing_that_holds_a_key_shows_it() {
    let ca = root(KeyType::P256);
    let device = ca.issue(&thing("a"), &Profile::device(), NOW).unwrap();
    for shown in [format!("{ca:?}"), format!("{device:?}")] {
        assert!(shown.contains("[redacted]"), "{shown}");
        assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    }
}

#[test]
fn a_root_that_could_never_be_valid_is_not_made() {
    let make = |validity| {
        CertificateAuthority::create_root(&Subject::default(), KeyType::P256, validity, NOW)
            .unwrap_err()
    };
    assert!(matches!(make(Validity::Days(0)), CaError::ValidityEmpty));
    assert!(matches!(
        make(Validity::Until(NOW)),
        CaError::ValidityPast { .. }
    ));
    assert!(matches!(
        make(Validity::UntilCaEnds),
        CaError::ValidityOfRoot
    ));
    assert!(matches!(
        make(Validity::Days(u32::MAX)),
        CaError::ValidityBeyond9999
    ));
}
