//! Certificates read and judged.

use super::*;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::pkey::Private;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509Builder, X509NameBuilder};

fn ec(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn issue(
    key: &PKey<Private>,
    ca: Option<(&X509, &PKey<Private>)>,
    names: &[(&str, &str)],
    hash: MessageDigest,
    is_ca: bool,
) -> X509 {
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    for (field, value) in names {
        name.append_entry_by_text(field, value).unwrap();
    }
    let name = name.build();
    builder.set_subject_name(&name).unwrap();
    let signer = match ca {
        Some((ca, signer)) => {
            let issuer = openssl::x509::X509::from_der(&ca.der).unwrap();
            builder.set_issuer_name(issuer.subject_name()).unwrap();
            signer
        }
        None => {
            builder.set_issuer_name(&name).unwrap();
            key
        }
    };
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(30).unwrap())
        .unwrap();
    let serial = BigNum::from_dec_str("340282366920938463463374607431768211455").unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_pubkey(key).unwrap();
    if is_ca {
        builder
            .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
            .unwrap();
    }
    let san = SubjectAlternativeName::new()
        .dns("sensor.example")
        .ip("127.0.0.1")
        .build(&builder.x509v3_context(None, None))
        .unwrap();
    builder.append_extension(san).unwrap();
    builder.sign(signer, hash).unwrap();
    X509::from_der(&builder.build().to_der().unwrap()).unwrap()
}

#[test]
fn a_leaf_is_told_from_an_impostor_with_the_same_ca_name() {
    let sha256 = MessageDigest::sha256();
    let (ca_key, other_key, leaf_key) = (
        ec(Nid::SECP521R1),
        ec(Nid::SECP521R1),
        ec(Nid::X9_62_PRIME256V1),
    );
    let ca = issue(&ca_key, None, &[("CN", "root")], sha256, true);
    let impostor = issue(&other_key, None, &[("CN", "root")], sha256, true);
    let sha512 = MessageDigest::sha512();
    let leaf = issue(
        &leaf_key,
        Some((&ca, &ca_key)),
        &[("CN", "sensor-17")],
        sha512,
        false,
    );
    assert_eq!(leaf.verify_signed_by(&ca), Ok(()));
    assert_eq!(
        leaf.verify_signed_by(&impostor),
        Err(X509Fault::BadSignature)
    );
    assert_eq!(leaf.verify_signed_by(&leaf), Err(X509Fault::IssuerMismatch));
    assert!(ca.is_ca && !leaf.is_ca && ca.is_self_signed());
    assert_eq!(leaf.check_algorithms(), Ok(()));
}

#[test]
fn a_signature_is_judged_as_openssl_judges_the_whole_certificate() {
    let rsa = PKey::from_rsa(openssl::rsa::Rsa::generate(2048).unwrap()).unwrap();
    let hashes = [
        MessageDigest::sha1(),
        MessageDigest::sha256(),
        MessageDigest::sha384(),
        MessageDigest::sha512(),
    ];
    for ca_key in [
        ec(Nid::X9_62_PRIME256V1),
        ec(Nid::SECP384R1),
        ec(Nid::SECP521R1),
        rsa,
    ] {
        let ca = issue(&ca_key, None, &[("CN", "root")], hashes[1], true);
        let key = ec(Nid::X9_62_PRIME256V1);
        for hash in hashes {
            let leaf = issue(&key, Some((&ca, &ca_key)), &[("CN", "a")], hash, false);
            assert_eq!(leaf.verify_signed_by(&ca), Ok(()));
        }
        let good = issue(&key, Some((&ca, &ca_key)), &[("CN", "a")], hashes[1], false).der;
        let judge = ca.public_key().unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x01;
            // What OpenSSL cannot read, or reads as something else, is none of its judgement.
            if let (Ok(ours), Ok(theirs)) =
                (X509::from_der(&bad), openssl::x509::X509::from_der(&bad))
            {
                let theirs = theirs.verify(judge).unwrap_or(false);
                assert_eq!(
                    ours.is_signed_with(judge).unwrap_or(false),
                    theirs,
                    "octet {at}"
                );
            }
        }
    }
}

#[test]
fn a_signature_has_one_encoding() {
    let ca_key = ec(Nid::X9_62_PRIME256V1);
    let hash = MessageDigest::sha256();
    let ca = issue(&ca_key, None, &[("CN", "root")], hash, true);
    let leaf = issue(&ca_key, Some((&ca, &ca_key)), &[("CN", "a")], hash, false);
    let judge = ca.public_key().unwrap();
    assert_eq!(leaf.is_signed_with(judge), Ok(true));
    // The same two numbers, the length of their sequence in two octets where one would do.
    let mut other = leaf.der.clone();
    let length = leaf.signed.as_ref().unwrap().signature.len();
    let start = other.len() - length;
    assert_eq!(usize::from(other[start + 1]), length - 2);
    other.insert(start + 1, 0x81);
    other[start - 2] += 1;
    other[3] += 1;
    let theirs = openssl::x509::X509::from_der(&other).unwrap();
    let ours = X509::from_der(&other).unwrap();
    assert!(!theirs.verify(judge).unwrap_or(false));
    assert_eq!(ours.is_signed_with(judge), Ok(false));
}

#[test]
fn what_aws_does_not_support_is_named() {
    let key = ec(Nid::SECP256K1);
    let fault = issue(&key, None, &[("CN", "a")], MessageDigest::sha256(), true)
        .check_algorithms()
        .unwrap_err();
    assert!(fault.to_string().contains("secp256k1"), "{fault}");
    let key = ec(Nid::X9_62_PRIME256V1);
    let fault = issue(&key, None, &[("CN", "a")], MessageDigest::sha1(), true)
        .check_algorithms()
        .unwrap_err();
    assert!(fault.to_string().contains("SHA-1"), "{fault}");
    let short = PKey::from_rsa(openssl::rsa::Rsa::generate(1024).unwrap()).unwrap();
    let fault = issue(&short, None, &[("CN", "a")], MessageDigest::sha256(), true)
        .check_algorithms()
        .unwrap_err();
    assert!(fault.to_string().contains("1024 bits"), "{fault}");
}

#[test]
fn template_parameters_and_policy_variables_come_from_the_subject_and_the_serial() {
    let key = ec(Nid::X9_62_PRIME256V1);
    let names = [
        ("C", "LU"),
        ("ST", "Luxembourg"),
        ("OU", "first"),
        ("OU", "second"),
        ("CN", "sensor-17"),
    ];
    let certificate = issue(&key, None, &names, MessageDigest::sha256(), false);
    let parameters = certificate.template_parameters();
    let get = |name: &str| parameters[&format!("AWS::IoT::Certificate::{name}")].as_str();
    assert_eq!(get("CommonName"), "sensor-17");
    assert_eq!(get("StateName"), "Luxembourg");
    assert_eq!(get("OrganizationalUnit"), "first");
    assert_eq!(
        get("SerialNumber"),
        "340282366920938463463374607431768211455"
    );
    assert_eq!(get("Id"), certificate.id);
    let variables = certificate.variables();
    assert_eq!(variables["Subject.OrganizationalUnit"], ["first", "second"]);
    assert_eq!(variables["Issuer.Country"], ["LU"]);
    assert_eq!(
        variables["Subject.AlternativeName.DNSName"],
        ["sensor.example"]
    );
    assert_eq!(
        variables["Subject.AlternativeName.IPAddress"],
        ["127.0.0.1"]
    );
}

#[test]
fn a_modulus_is_as_long_as_its_first_bit_that_is_set() {
    assert_eq!(bits(&[]), 0);
    assert_eq!(bits(&[0, 0]), 0);
    assert_eq!(bits(&[0, 0x80, 0]), 16);
    assert_eq!(bits(&[0x7F; 256]), 2047);
    assert_eq!(bits(&[0xC0; 256]), 2048);
}

#[test]
fn damaged_der_is_an_error_and_never_a_panic() {
    let key = ec(Nid::X9_62_PRIME256V1);
    let good = issue(&key, None, &[("CN", "a")], MessageDigest::sha256(), true).der;
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            if let Ok(certificate) = X509::from_der(&bad) {
                let _ = certificate.check_algorithms();
                let _ = certificate.check_algorithms_of_proven();
                let _ = certificate.verify_signed_by(&certificate);
                let _ = certificate.variables();
            }
        }
        assert!(X509::from_der(&good[..at]).is_err());
    }
    assert!(X509::from_pem("-----BEGIN CERTIFICATE-----\n????\n").is_err());
}

#[test]
fn pem_round_trips_and_the_id_is_the_hash_of_the_der() {
    let key = ec(Nid::SECP384R1);
    let certificate = issue(&key, None, &[("CN", "a")], MessageDigest::sha384(), true);
    let again = X509::from_pem(&certificate.to_pem()).unwrap();
    assert_eq!(again.id, certificate.id);
    let judge = openssl::x509::X509::from_pem(certificate.to_pem().as_bytes()).unwrap();
    assert_eq!(
        hex::encode(judge.digest(MessageDigest::sha256()).unwrap()),
        certificate.id
    );
}
