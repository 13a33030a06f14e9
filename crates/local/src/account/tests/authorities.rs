//! Certificate authorities: registration and its faults, modes, deletion.

use super::*;

#[test]
fn the_registration_code_stays_until_it_is_deleted() {
    let account = account();
    let code = account.write(ca::registration_code).unwrap();
    assert_eq!(code.len(), 64);
    assert_eq!(account.write(ca::registration_code).unwrap(), code);
    account.write(ca::delete_registration_code).unwrap();
    assert_ne!(account.write(ca::registration_code).unwrap(), code);
}

#[test]
fn a_ca_is_registered_by_proof_of_possession() {
    let account = account();
    let root = Identity::ca("root");
    let id = registered(&account, &root);
    let ca = ca::find(&account.snapshot(), &id).unwrap();
    assert_eq!((ca.status(), ca.mode), ("ACTIVE", CertificateMode::Default));
    let error = refused(&account, ask(&root, &account));
    assert_eq!(error.code, "ResourceAlreadyExistsException");
    assert!(
        error
            .members
            .iter()
            .any(|(name, value)| *name == "resourceId" && *value == id)
    );
}

#[test]
fn every_fault_of_a_ca_registration_has_its_exception() {
    let account = account();
    let (root, other) = (Identity::ca("root"), Identity::ca("root"));
    let good = || ask(&root, &account);
    let code = account.write(ca::registration_code).unwrap();
    let check = |ask: RegisterCa, code: &str| {
        let error = refused(&account, ask);
        assert_eq!(error.code, code, "{error}");
    };
    check(
        RegisterCa {
            verification_pem: None,
            ..good()
        },
        "InvalidRequestException",
    );
    check(
        RegisterCa {
            mode: CertificateMode::SniOnly,
            ..good()
        },
        "InvalidRequestException",
    );
    let wrong_code = root.issue(&named("0000")).pem();
    check(
        RegisterCa {
            verification_pem: Some(wrong_code),
            ..good()
        },
        "RegistrationCodeValidationException",
    );
    let by_another = other.issue(&named(&code)).pem();
    check(
        RegisterCa {
            verification_pem: Some(by_another),
            ..good()
        },
        "CertificateValidationException",
    );
    let expired = root
        .issue(&Wish {
            valid: (0, 1_000_000_000),
            ..named(&code)
        })
        .pem();
    check(
        RegisterCa {
            verification_pem: Some(expired),
            ..good()
        },
        "CertificateValidationException",
    );
    let no_ca = Identity::self_signed(&named("root"), p256());
    check(ask(&no_ca, &account), "CertificateValidationException");
    check(
        RegisterCa {
            certificate_pem: "nonsense".to_owned(),
            ..good()
        },
        "CertificateValidationException",
    );
    let with = |config: RegistrationConfig| RegisterCa {
        registration_config: Some(config),
        ..good()
    };
    let role = Some("arn:aws:iam::123456789012:role/IoTProvisioning".to_owned());
    let body = Some(r#"{"Parameters":{},"Resources":{}}"#.to_owned());
    check(
        with(RegistrationConfig {
            template_body: body.clone(),
            ..Default::default()
        }),
        "InvalidRequestException",
    );
    check(
        with(RegistrationConfig {
            template_body: Some("no template".to_owned()),
            role_arn: role,
            template_name: None,
        }),
        "InvalidRequestException",
    );
    check(
        with(RegistrationConfig {
            template_body: body,
            template_name: Some("t".to_owned()),
            role_arn: None,
        }),
        "InvalidRequestException",
    );
    check(
        with(RegistrationConfig {
            template_name: Some("nowhere".to_owned()),
            ..Default::default()
        }),
        "ResourceNotFoundException",
    );
    assert!(account.snapshot().ca_certificates.is_empty());
}

#[test]
fn the_eleventh_ca_with_one_subject_is_too_many() {
    let account = account();
    for _ in 0..10 {
        registered(&account, &Identity::ca("root"));
    }
    let error = refused(&account, ask(&Identity::ca("root"), &account));
    assert_eq!(error.code, "LimitExceededException");
}

#[test]
fn sni_only_needs_no_proof_and_its_devices_inherit_the_mode() {
    let account = account();
    let root = Identity::ca("root");
    let ask = RegisterCa {
        certificate_pem: root.pem(),
        mode: CertificateMode::SniOnly,
        set_as_active: true,
        ..RegisterCa::default()
    };
    account.write(|tx| ca::register(tx, ask)).unwrap();
    let leaf = root.issue(&named("sensor-17")).pem();
    let active = CertificateStatus::Active;
    let device = account
        .write(|tx| certificates::register(tx, &leaf, None, active))
        .unwrap();
    assert_eq!(device.mode, CertificateMode::SniOnly);
    assert!(device.ca_certificate_id.is_some());
}

#[test]
fn a_ca_is_deleted_only_when_inactive() {
    let account = account();
    let id = registered(&account, &Identity::ca("root"));
    let error = account.write(|tx| ca::delete(tx, &id)).unwrap_err();
    assert_eq!(error.code, "CertificateStateException");
    let off = ca::UpdateCa {
        active: Some(false),
        ..Default::default()
    };
    account.write(|tx| ca::update(tx, &id, off)).unwrap();
    assert_eq!(account.snapshot().ca_certificates[&id].customer_version, 2);
    account.write(|tx| ca::delete(tx, &id)).unwrap();
    assert!(account.snapshot().cas_by_subject.is_empty());
}
