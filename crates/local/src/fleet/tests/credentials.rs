//! Certificates handed out: both operations, both forms, and what cannot be signed.

use serde_json::{Value, json};

use super::Lab;
use crate::account::CertificateStatus;
use crate::account::pki::{Identity, named, p256};
use crate::fleet::payload::Format;
use crate::x509::X509;

#[tokio::test]
async fn keys_come_with_a_certificate_that_waits_and_a_token_in_either_form() {
    let lab = Lab::start();
    for format in [Format::Json, Format::Cbor] {
        let told = lab.ask_in(format, "certificates/create", &json!({})).await;
        assert!(told.accepted, "{told:?}");
        let names: Vec<_> = told.body.keys().map(String::as_str).collect();
        let expected = [
            "certificateId",
            "certificatePem",
            "certificateOwnershipToken",
            "privateKey",
        ];
        assert_eq!(names, expected);
        let x509 = X509::from_pem(told.text("certificatePem")).unwrap();
        assert_eq!(x509.id, told.text("certificateId"));
        let key = openssl::pkey::PKey::private_key_from_pem(told.text("privateKey").as_bytes());
        let certificate = openssl::x509::X509::from_der(&x509.der).unwrap();
        let theirs = certificate.public_key().unwrap();
        assert!(key.unwrap().public_eq(&theirs), "key and certificate");
        assert_eq!(
            lab.status(&x509.id),
            Some(CertificateStatus::PendingActivation)
        );
    }
    // The guide has an empty payload there.
    let answer = lab.ask_bytes("$aws/certificates/create/json", b"").await;
    assert_eq!(answer.topic, "$aws/certificates/create/json/accepted");
}

#[tokio::test]
async fn a_signing_request_becomes_a_certificate_for_its_key_and_subject() {
    let lab = Lab::start();
    let device = Identity::self_signed(&named("pump-7"), p256());
    let ask = json!({ "certificateSigningRequest": device.csr() });
    for format in [Format::Json, Format::Cbor] {
        let told = lab
            .ask_in(format, "certificates/create-from-csr", &ask)
            .await;
        assert!(told.accepted, "{told:?}");
        assert!(!told.body.contains_key("privateKey"));
        let pem = told.text("certificatePem").as_bytes();
        let certificate = openssl::x509::X509::from_pem(pem).unwrap();
        assert!(device.key.public_eq(&certificate.public_key().unwrap()));
        assert_eq!(
            certificate.subject_name().to_der().unwrap(),
            device.certificate.subject_name().to_der().unwrap()
        );
    }
}

#[tokio::test]
async fn what_is_no_signing_request_is_rejected_with_the_reason() {
    let lab = Lab::start();
    let request = Identity::self_signed(&named("x"), p256()).csr();
    let tampered = request.replacen('A', "B", 1);
    for (value, code) in [
        (json!({}), "InvalidPayload"),
        (json!({ "certificateSigningRequest": 7 }), "InvalidPayload"),
        (
            json!({ "certificateSigningRequest": "" }),
            "InvalidCertificateSigningRequest",
        ),
        (
            json!({ "certificateSigningRequest": "-----BEGIN" }),
            "InvalidCertificateSigningRequest",
        ),
        (
            json!({ "certificateSigningRequest": tampered }),
            "InvalidCertificateSigningRequest",
        ),
        (
            json!({ "certificateSigningRequest": "x".repeat(5000) }),
            "InvalidCertificateSigningRequest",
        ),
    ] {
        let told = lab.ask("certificates/create-from-csr", &value).await;
        assert_eq!(told.code(), code, "{value}");
        assert_eq!(told.body["statusCode"], 400);
        assert!(lab.says("FLEET_REJECTED", "CreateCertificateFromCsr rejected"));
    }
    assert!(lab.account.snapshot().certificates.is_empty());
}

#[tokio::test]
async fn payloads_that_are_broken_are_rejected_in_the_form_they_came() {
    let lab = Lab::start();
    for payload in [&b""[..], b"{", b"[]", b"null", b"\xff\xff", b"{}{}"] {
        let topic = "$aws/certificates/create-from-csr/json";
        let answer = lab.ask_bytes(topic, payload).await;
        assert_eq!(answer.topic, format!("{topic}/rejected"));
        let body: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(body["errorCode"], "InvalidPayload");
    }
    for payload in [&b""[..], b"\xa1", b"\x80", b"\xf6", b"\xff", b"\xa0\xa0"] {
        let topic = "$aws/provisioning-templates/Fleet/provision/cbor";
        let answer = lab.ask_bytes(topic, payload).await;
        assert_eq!(answer.topic, format!("{topic}/rejected"));
        let body: Value = ciborium::from_reader(&*answer.payload).unwrap();
        assert_eq!(body["errorCode"], "InvalidPayload", "{payload:?}");
    }
}

#[tokio::test]
async fn more_than_the_quota_in_a_second_is_rejected_as_throttled() {
    let lab = Lab::with(crate::storage::Storage::memory(), Vec::new(), true);
    let ask = json!({ "certificateSigningRequest": "x" });
    let mut throttled = 0;
    for _ in 0..30 {
        let told = lab.ask("certificates/create-from-csr", &ask).await;
        throttled += usize::from(told.code() == "Throttling");
    }
    assert_eq!(throttled, 10);
    let told = lab.register("", "1").await;
    assert_eq!(told.code(), "InvalidCertificateOwnershipToken", "its own");
    lab.hand.advance(::time::Duration::seconds(1));
    let told = lab.ask("certificates/create-from-csr", &ask).await;
    assert_eq!(told.code(), "InvalidCertificateSigningRequest");
}
