//! Signing requests as devices and their tools make them, certified by a CA of ours.

use std::{path::Path, process::Command};

use jitp_core::{
    ca::{CaError, CertificateAuthority, DeviceRequest, KeyType, SerialNumber, Subject, Validity},
    failure::{Class, Classified},
};
use openssl::x509::{X509, X509Req};
use tempfile::TempDir;

use crate::{NOW, judges, root};

/// Makes a key and a request for it with the `openssl` command; `request` are flags of `openssl req`.
fn request(dir: &Path, key: &[&str], request: &[&str]) -> Vec<u8> {
    let run = |arguments: &[&str]| {
        let run = Command::new("openssl")
            .args(arguments)
            .current_dir(dir)
            .output()
            .expect("openssl");
        assert!(run.status.success(), "{arguments:?}: {run:?}");
        run.stdout
    };
    run(&[&["genpkey", "-out", "key"], key].concat());
    run(&[&["req", "-new", "-key", "key", "-utf8"], request].concat())
}

const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
const P521: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
const RSA1024: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
const RSA2048: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const RSA3072: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"];
const RSA4096: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"];
const RSA5120: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:5120"];
const PSS_ONLY: &[&str] = &["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"];
const ED25519: &[&str] = &["-algorithm", "ED25519"];

fn certify(ca: &CertificateAuthority, asked: &DeviceRequest) -> Result<Vec<u8>, CaError> {
    let window = ca.window(Validity::DEVICE, NOW).unwrap();
    let issuer = ca.device_issuer(window, NOW).unwrap();
    let issued = issuer.certify(asked, SerialNumber::random().unwrap())?;
    Ok(issued.der().to_vec())
}

/// Whatever key and digest: the certificate has the request's key and name byte for byte, and the judges take it.
#[test]
fn every_key_with_every_digest_is_certified_as_it_is() {
    let dir = TempDir::new().unwrap();
    let ca = root(KeyType::P256);
    for key in [P256, P384, P521, RSA2048, RSA3072, RSA4096] {
        for digest in ["-sha256", "-sha384", "-sha512"] {
            let pss: &[&str] = &["-sigopt", "rsa_padding_mode:pss"];
            let paddings = match key[1] {
                "RSA" => vec![&[][..], pss],
                _ => vec![&[][..]],
            };
            for padding in paddings {
                let flags = [&[digest, "-subj", "/CN=sensor-17"], padding].concat();
                let pem = request(dir.path(), key, &flags);
                let asked = DeviceRequest::read(&pem).unwrap();
                assert_eq!(asked.thing_name().as_str(), "sensor-17");
                let der = certify(&ca, &asked).unwrap();
                judges::judge(&der, &[], ca.certificate().der(), NOW)
                    .unwrap_or_else(|why| panic!("{key:?} {flags:?}: {why}"));
                let made = X509::from_der(&der).unwrap();
                let req = X509Req::from_pem(&pem).unwrap();
                let key_of_request = req.public_key().unwrap().public_key_to_der().unwrap();
                assert_eq!(
                    made.public_key().unwrap().public_key_to_der().unwrap(),
                    key_of_request
                );
            }
        }
    }
}

#[test]
fn odd_names_are_taken_byte_for_byte_under_every_kind_of_ca() {
    let dir = TempDir::new().unwrap();
    for ca_key in [KeyType::P384, KeyType::Rsa2048] {
        let ca = root(ca_key);
        for subject in [
            "/C=DE/O=Größe/OU=A/OU=B/CN=sensor-17",
            "/DC=example/DC=corp/CN=sensor-17",
            "/CN=sensor-17/emailAddress=ops@example.com",
            "/OU=pumps+CN=sensor-17",
            "/serialNumber=0815/dnQualifier=q/CN=sensor-17",
        ] {
            let pem = request(dir.path(), P256, &["-multivalue-rdn", "-subj", subject]);
            let asked = DeviceRequest::read(&pem).unwrap();
            assert_eq!(asked.thing_name().as_str(), "sensor-17", "{subject}");
            let der = certify(&ca, &asked).unwrap();
            judges::judge(&der, &[], ca.certificate().der(), NOW)
                .unwrap_or_else(|why| panic!("{subject}: {why}"));
            let made = X509::from_der(&der).unwrap();
            let req = X509Req::from_pem(&pem).unwrap();
            assert_eq!(
                made.subject_name().to_der().unwrap(),
                req.subject_name().to_der().unwrap()
            );
        }
    }
}

/// Only the profile's extensions are granted, whatever a request asks for.
#[test]
fn what_a_request_says_of_extensions_is_not_granted() {
    let dir = TempDir::new().unwrap();
    let ca = root(KeyType::P256);
    let flags = [
        "-subj",
        "/CN=sensor-17",
        "-addext",
        "subjectAltName=DNS:mqtt.example.com",
        "-addext",
        "extendedKeyUsage=serverAuth",
        "-addext",
        "keyUsage=keyEncipherment",
    ];
    let asked = DeviceRequest::read(&request(dir.path(), P256, &flags)).unwrap();
    let made = X509::from_der(&certify(&ca, &asked).unwrap()).unwrap();
    let text = String::from_utf8(made.to_text().unwrap()).unwrap();
    assert!(made.subject_alt_names().is_none());
    assert!(text.contains("TLS Web Client Authentication"), "{text}");
    assert!(!text.contains("TLS Web Server Authentication"), "{text}");
    assert!(!text.contains("Key Encipherment"), "{text}");
}

#[test]
fn requests_that_cannot_be_certified_are_refused_by_what_is_wrong() {
    let dir = TempDir::new().unwrap();
    let read = |key: &[&str], flags: &[&str]| {
        DeviceRequest::read(&request(dir.path(), key, flags)).unwrap_err()
    };
    let named: &[&str] = &["-subj", "/CN=sensor-17"];
    let with = |extension: &'static str| [named, &["-addext", extension]].concat();
    let long = format!("/CN={}", "x".repeat(64));
    let cases = [
        (read(RSA1024, named), "RSA with 1024 bits"),
        (read(RSA5120, named), "RSA with 5120 bits"),
        (read(PSS_ONLY, named), "PSS signatures alone"),
        (read(ED25519, named), "Ed25519"),
        (
            read(P256, &with("basicConstraints=critical,CA:TRUE")),
            "asks for a CA certificate",
        ),
        (
            read(P256, &with("keyUsage=keyCertSign")),
            "asks for a CA certificate",
        ),
        (read(P256, &["-subj", "/O=Acme"]), "0 common names"),
        (read(P256, &["-subj", "/CN=a/CN=b"]), "2 common names"),
        (read(P256, &["-subj", "/CN=no thing"]), "cannot be used"),
        (
            DeviceRequest::read(b"hello").unwrap_err(),
            "no block that begins with",
        ),
        (
            DeviceRequest::read(&[0x30, 0x82, 0xff, 0xff]).unwrap_err(),
            "no certificate signing request",
        ),
    ];
    for (refusal, why) in cases {
        let text = refusal.to_string();
        assert!(text.contains(why), "{why}: {text}");
        assert_eq!(refusal.class(), Class::Configuration);
    }
    assert!(DeviceRequest::read(&request(dir.path(), P256, &["-subj", &long])).is_ok());

    let pem = request(dir.path(), P256, named);
    let twice = [pem.as_slice(), &pem].concat();
    let refusal = DeviceRequest::read(&twice).unwrap_err().to_string();
    assert!(
        refusal.contains("2 certificate signing requests"),
        "{refusal}"
    );

    let mut der = X509Req::from_pem(&pem).unwrap().to_der().unwrap();
    assert!(DeviceRequest::read(&der).is_ok());
    let last = der.len() - 1;
    der[last] ^= 1;
    let refusal = DeviceRequest::read(&der).unwrap_err().to_string();
    assert!(refusal.contains("is not signed by the key"), "{refusal}");
    for cut in 0..der.len() {
        assert!(DeviceRequest::read(&der[..cut]).is_err());
    }
}

#[test]
fn the_subject_of_the_ca_is_nobody_elses() {
    let dir = TempDir::new().unwrap();
    let named = Subject::new("acme").unwrap();
    let ca = CertificateAuthority::create_root(&named, KeyType::P256, Validity::ROOT, NOW).unwrap();
    let asked = DeviceRequest::read(&request(dir.path(), P256, &["-subj", "/CN=acme"])).unwrap();
    let refusal = certify(&ca, &asked).unwrap_err();
    assert!(matches!(refusal, CaError::SameSubject { .. }), "{refusal}");
}

#[test]
fn a_record_is_known_by_its_ca_and_by_no_other() {
    for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
        let [ca, other] = [root(key_type), root(key_type)];
        let signature = ca.sign_record("a ledger").unwrap();
        assert!(ca.certificate().has_signed_record("a ledger", &signature));
        assert!(!ca.certificate().has_signed_record("a Ledger", &signature));
        assert!(
            !other
                .certificate()
                .has_signed_record("a ledger", &signature)
        );
        assert!(!ca.certificate().has_signed_record("a ledger", b""));
    }
}
