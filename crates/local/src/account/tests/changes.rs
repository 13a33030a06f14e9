//! Changes: all of it or nothing, and there again after a restart.

use super::*;

#[test]
fn a_failed_change_leaves_no_trace_and_tells_nobody() {
    let account = account();
    let mut changes = account.changes();
    let outcome: Result<(), _> = account.write(|tx| {
        let ask = CreateThing {
            name: "half".to_owned(),
            ..CreateThing::default()
        };
        things::create(tx, ask)?;
        Err(ApiError::internal("later"))
    });
    assert!(outcome.is_err());
    assert!(account.snapshot().things.is_empty());
    assert!(changes.try_recv().is_err());
    thing(&account, "whole");
    let expected = Change::Thing {
        name: "whole".to_owned(),
    };
    assert_eq!(changes.try_recv().unwrap(), expected);
}

#[test]
fn a_change_that_cannot_be_stored_is_not_made() {
    let dir = std::env::temp_dir().join(format!("iot-local-account-{}", uuid::Uuid::new_v4()));
    let storage = Storage::open(&dir).unwrap();
    let (account, _) = account_with(storage.clone());
    storage.fill_up();
    let error = (0..1000)
        .find_map(|index| {
            let ask = CreateThing {
                name: format!("t{index}"),
                ..CreateThing::default()
            };
            account.write(|tx| things::create(tx, ask)).err()
        })
        .unwrap();
    assert_eq!(error.code, "ServiceUnavailableException");
    let stored = storage.load(space::THING).unwrap().len();
    assert_eq!(account.snapshot().things.len(), stored);
    drop((account, storage));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn everything_is_there_again_after_a_restart() {
    let dir = std::env::temp_dir().join(format!("iot-local-account-{}", uuid::Uuid::new_v4()));
    let (account, _) = account_with(Storage::open(&dir).unwrap());
    let root = Identity::ca("root");
    let ca_id = registered(&account, &root);
    let leaf = root.issue(&named("sensor-17")).pem();
    let active = CertificateStatus::Active;
    let device = account
        .write(|tx| certificates::register(tx, &leaf, None, active))
        .unwrap();
    thing(&account, "sensor-17");
    account
        .write(|tx| {
            policies::create(tx, "p", POLICY, [("k".to_owned(), "v".to_owned())].into())?;
            policies::attach(tx, "p", &device.arn)?;
            let exclusive = Some(ThingPrincipalType::ExclusiveThing);
            principals::attach(tx, "sensor-17", &device.arn, exclusive)
        })
        .unwrap();
    let role = roles::CreateRole {
        name: "fleet".to_owned(),
        path: "/".to_owned(),
        trust_policy:
            r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}"#
                .to_owned(),
        ..roles::CreateRole::default()
    };
    account.write(|tx| roles::create(tx, role)).unwrap();
    let issuing = account.issuing_ca().unwrap().issue_for_csr(
        &Identity::self_signed(&named("x"), p256()).csr(),
        account.clock().timestamp().whole_seconds(),
    );
    let code = account.snapshot().registration_code.clone();
    drop(account);
    let (again, _) = account_with(Storage::open(&dir).unwrap());
    let state = again.snapshot();
    assert_eq!(state.registration_code, code);
    assert_eq!(state.cas_that_signed(&device.x509)[0].id, ca_id);
    assert_eq!(state.policies_of_certificate(&device.id)[0].name, "p");
    assert_eq!(
        state
            .exclusive_thing_of_certificate(&device.id)
            .unwrap()
            .name,
        "sensor-17"
    );
    assert_eq!(state.certificates_of_ca(&ca_id).unwrap().len(), 1);
    assert_eq!(state.tags.len(), 1);
    assert_eq!(state.roles.len(), 1);
    let reissued = again.issuing_ca().unwrap().issue_for_csr(
        &Identity::self_signed(&named("y"), p256()).csr(),
        again.clock().timestamp().whole_seconds(),
    );
    assert_eq!(
        issuing.unwrap().x509.issuer_der,
        reissued.unwrap().x509.issuer_der
    );
    again.reset().unwrap();
    drop(state);
    drop(again);
    let (empty, _) = account_with(Storage::open(&dir).unwrap());
    assert!(empty.snapshot().things.is_empty());
    drop(empty);
    std::fs::remove_dir_all(&dir).unwrap();
}
