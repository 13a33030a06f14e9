//! The rules of the account, told as behaviour.

use time::macros::datetime;

use super::ca::RegisterCa;
use super::pki::{Identity, Wish, named, p256};
use super::things::{CreateThing, UpdateThing};
use super::*;

const POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;

fn account_with(storage: Storage) -> (Account, ClockHand) {
    let (clock, hand) = Clock::manual(datetime!(2026-01-01 0:00 UTC));
    let settings = AccountSettings {
        account_id: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        endpoint: "localhost:8883".to_owned(),
        clock,
        storage,
    };
    (Account::open(settings).unwrap(), hand)
}

fn account() -> Account {
    account_with(Storage::memory()).0
}

fn ask(ca: &Identity, account: &Account) -> RegisterCa {
    let code = account.write(ca::registration_code).unwrap();
    RegisterCa {
        certificate_pem: ca.pem(),
        verification_pem: Some(ca.issue(&named(&code)).pem()),
        set_as_active: true,
        ..RegisterCa::default()
    }
}

fn refused(account: &Account, ask: RegisterCa) -> ApiError {
    account.write(|tx| ca::register(tx, ask)).unwrap_err()
}

fn registered(account: &Account, ca: &Identity) -> String {
    let ask = ask(ca, account);
    account
        .write(|tx| ca::register(tx, ask))
        .unwrap()
        .id
        .clone()
}

fn certificate(account: &Account, status: CertificateStatus) -> (String, String) {
    let pem = Identity::self_signed(&named("device"), p256()).pem();
    let certificate = account
        .write(|tx| certificates::register_without_ca(tx, &pem, status))
        .unwrap();
    (certificate.id.clone(), certificate.arn.clone())
}

fn thing(account: &Account, name: &str) {
    let ask = CreateThing {
        name: name.to_owned(),
        ..CreateThing::default()
    };
    account.write(|tx| things::create(tx, ask)).unwrap();
}

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

#[test]
fn a_device_certificate_needs_the_ca_that_signed_it() {
    let account = account();
    let (root, stranger) = (Identity::ca("root"), Identity::ca("root"));
    registered(&account, &root);
    let register = |pem: &str, status| {
        account
            .write(|tx| certificates::register(tx, pem, None, status))
            .map_err(|error| error.code)
    };
    let inactive = CertificateStatus::Inactive;
    let leaf = root.issue(&named("sensor-17")).pem();
    assert_eq!(
        register(&leaf, CertificateStatus::PendingActivation).unwrap_err(),
        "CertificateStateException"
    );
    assert!(register(&leaf, inactive).is_ok());
    assert_eq!(
        register(&leaf, inactive).unwrap_err(),
        "ResourceAlreadyExistsException"
    );
    let foreign = stranger.issue(&named("sensor-18")).pem();
    assert_eq!(
        register(&foreign, inactive).unwrap_err(),
        "CertificateValidationException"
    );
    let unknown = Identity::ca("unknown").issue(&named("sensor-19")).pem();
    assert_eq!(
        register(&unknown, inactive).unwrap_err(),
        "InvalidRequestException"
    );
}

#[test]
fn a_certificate_leaves_in_the_order_aws_wants() {
    let account = account();
    let (id, arn) = certificate(&account, CertificateStatus::Active);
    thing(&account, "sensor-17");
    account
        .write(|tx| {
            policies::create(tx, "p", POLICY, Default::default())?;
            policies::attach(tx, "p", &arn)?;
            principals::attach(tx, "sensor-17", &arn, None)
        })
        .unwrap();
    let delete = |force| {
        let outcome = account.write(|tx| certificates::delete(tx, &id, force));
        outcome.map_err(|error| (error.code, error.message))
    };
    let (code, message) = delete(true).unwrap_err();
    assert_eq!(code, "CertificateStateException");
    assert_eq!(
        message,
        format!("Certificate must be deactivated (not ACTIVE) before deletion. Id: {id}")
    );
    let inactive = CertificateStatus::Inactive;
    account
        .write(|tx| certificates::update(tx, &id, inactive))
        .unwrap();
    assert_eq!(delete(true).unwrap_err().0, "DeleteConflictException");
    let error = account
        .write(|tx| things::delete(tx, "sensor-17", None))
        .unwrap_err();
    assert_eq!(
        error.message,
        "Cannot delete. Thing sensor-17 is still attached to one or more principals"
    );
    account
        .write(|tx| principals::detach(tx, "sensor-17", &arn))
        .unwrap();
    assert_eq!(delete(false).unwrap_err().0, "DeleteConflictException");
    delete(true).unwrap();
    account.write(|tx| policies::delete(tx, "p")).unwrap();
    account
        .write(|tx| things::delete(tx, "sensor-17", None))
        .unwrap();
    account
        .write(|tx| things::delete(tx, "sensor-17", None))
        .unwrap();
}

#[test]
fn revoked_is_final_and_pending_statuses_cannot_be_set() {
    let account = account();
    let (id, _) = certificate(&account, CertificateStatus::Inactive);
    let update = |status| {
        let outcome = account.write(|tx| certificates::update(tx, &id, status));
        outcome.map_err(|error| error.code)
    };
    assert_eq!(
        update(CertificateStatus::PendingActivation),
        Err("CertificateStateException")
    );
    assert_eq!(update(CertificateStatus::Revoked), Ok(()));
    assert_eq!(update(CertificateStatus::Revoked), Ok(()));
    assert_eq!(
        update(CertificateStatus::Active),
        Err("CertificateStateException")
    );
}

#[test]
fn an_issued_certificate_looks_like_amazons() {
    let account = account();
    let request = Identity::self_signed(&named("from-a-csr"), p256()).csr();
    let now = account.clock().timestamp().whole_seconds();
    let ca = account.issuing_ca().unwrap();
    let (first, second) = (
        ca.issue_for_csr(&request, now).unwrap(),
        ca.issue_for_csr(&request, now).unwrap(),
    );
    assert_ne!(first.x509.id, second.x509.id);
    assert_eq!(first.x509.common_name(), Some("from-a-csr"));
    assert_eq!(first.x509.not_after, 2_524_607_999);
    assert!(!first.x509.is_ca && first.x509.version == 3);
    let garbage = request.replace('M', "N");
    let error = ca.issue_for_csr(&garbage, now).unwrap_err();
    assert_eq!(error.code, "InvalidRequestException");
}

#[test]
fn creating_a_thing_again_is_the_same_thing_unless_it_differs() {
    let account = account();
    let ask = |value: &str| CreateThing {
        name: "sensor-17".to_owned(),
        attributes: [("colour".to_owned(), value.to_owned())].into(),
        ..CreateThing::default()
    };
    let first = account.write(|tx| things::create(tx, ask("red"))).unwrap();
    let again = account.write(|tx| things::create(tx, ask("red"))).unwrap();
    assert_eq!(first.id, again.id);
    let error = account
        .write(|tx| things::create(tx, ask("blue")))
        .unwrap_err();
    assert_eq!(error.code, "ResourceAlreadyExistsException");
}

#[test]
fn attributes_merge_vanish_and_are_counted() {
    let account = account();
    thing(&account, "t");
    let update = |pairs: &[(&str, &str)], merge, expected_version| {
        let attributes = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let ask = UpdateThing {
            attributes: Some(attributes.collect()),
            merge,
            expected_version,
            ..UpdateThing::default()
        };
        account
            .write(|tx| things::update(tx, "t", ask))
            .map_err(|error| error.code)
    };
    update(&[("a", "1"), ("b", "2")], false, Some(1)).unwrap();
    update(&[("a", ""), ("c", "3")], true, Some(2)).unwrap();
    assert_eq!(update(&[], true, Some(2)), Err("VersionConflictException"));
    assert_eq!(
        update(&[("d", "4"), ("e", "5")], true, None),
        Err("InvalidRequestException")
    );
    let thing = things::find(&account.snapshot(), "t").unwrap();
    assert_eq!(thing.version, 3);
    assert_eq!(thing.attributes.keys().collect::<Vec<_>>(), ["b", "c"]);
}

#[test]
fn an_exclusive_attachment_stands_alone() {
    let account = account();
    let (id, arn) = certificate(&account, CertificateStatus::Inactive);
    thing(&account, "one");
    thing(&account, "two");
    let exclusive = Some(ThingPrincipalType::ExclusiveThing);
    let attach = |thing: &str, kind| {
        let outcome = account.write(|tx| principals::attach(tx, thing, &arn, kind));
        outcome.map_err(|error| error.code)
    };
    attach("one", exclusive).unwrap();
    attach("one", exclusive).unwrap();
    attach("one", None).unwrap();
    assert_eq!(attach("two", None), Err("InvalidRequestException"));
    assert_eq!(attach("two", exclusive), Err("InvalidRequestException"));
    let state = account.snapshot();
    assert_eq!(
        state.exclusive_thing_of_certificate(&id).unwrap().name,
        "one"
    );
    account
        .write(|tx| principals::detach(tx, "one", &arn))
        .unwrap();
    attach("one", None).unwrap();
    attach("two", None).unwrap();
    assert_eq!(attach("two", exclusive), Err("InvalidRequestException"));
}

#[test]
fn policies_have_five_versions_ten_a_certificate_and_leave_last() {
    let account = account();
    let (_, arn) = certificate(&account, CertificateStatus::Inactive);
    account
        .write(|tx| policies::create(tx, "p", POLICY, Default::default()))
        .unwrap();
    for _ in 0..4 {
        account
            .write(|tx| policies::create_version(tx, "p", POLICY, false))
            .unwrap();
    }
    let sixth = account.write(|tx| policies::create_version(tx, "p", POLICY, true));
    assert_eq!(sixth.unwrap_err().code, "VersionsLimitExceededException");
    let error = account.write(|tx| policies::delete(tx, "p")).unwrap_err();
    assert_eq!(
        error.message,
        "The policy cannot be deleted as versions other than than default version exist"
    );
    account
        .write(|tx| policies::delete_version(tx, "p", "5"))
        .unwrap();
    let number = account
        .write(|tx| policies::create_version(tx, "p", POLICY, true))
        .unwrap();
    assert_eq!(number, 6);
    for index in 0..10 {
        let name = format!("p{index}");
        account
            .write(|tx| {
                policies::create(tx, &name, POLICY, Default::default())?;
                policies::attach(tx, &name, &arn)
            })
            .unwrap();
    }
    let eleventh = account.write(|tx| policies::attach(tx, "p", &arn));
    assert_eq!(eleventh.unwrap_err().code, "LimitExceededException");
    let error = account.write(|tx| policies::delete(tx, "p1")).unwrap_err();
    assert_eq!(
        error.message,
        "The policy cannot be deleted as the policy is attached to one or more principals (name=p1)"
    );
    let malformed = account.write(|tx| policies::create(tx, "q", "{", Default::default()));
    assert_eq!(malformed.unwrap_err().code, "MalformedPolicyException");
}

#[test]
fn a_thing_type_leaves_five_minutes_after_its_deprecation() {
    let (account, clock) = account_with(Storage::memory());
    account
        .write(|tx| types::create(tx, "bulb", Default::default(), Default::default()))
        .unwrap();
    let delete = || {
        account
            .write(|tx| types::delete(tx, "bulb"))
            .map_err(|error| error.code)
    };
    assert_eq!(delete(), Err("InvalidRequestException"));
    account
        .write(|tx| types::deprecate(tx, "bulb", false))
        .unwrap();
    clock.advance(time::Duration::seconds(299));
    assert_eq!(delete(), Err("InvalidRequestException"));
    let ask = CreateThing {
        name: "t".to_owned(),
        type_name: Some("bulb".to_owned()),
        ..CreateThing::default()
    };
    let error = account.write(|tx| things::create(tx, ask)).unwrap_err();
    assert_eq!(
        error.message,
        "Can not create new thing with depreated thing type:bulb"
    );
    clock.advance(time::Duration::seconds(1));
    assert_eq!(delete(), Ok(()));
}

#[test]
fn a_thing_is_in_one_group_of_a_hierarchy() {
    let account = account();
    thing(&account, "t");
    let group = |name: &str, parent: Option<&str>| {
        let properties = groups::GroupProperties::default();
        let outcome =
            account.write(|tx| groups::create(tx, name, parent, properties, Default::default()));
        outcome.map(|_| ()).map_err(|error| error.code)
    };
    group("root", None).unwrap();
    group("left", Some("root")).unwrap();
    group("right", Some("root")).unwrap();
    group("left", Some("root")).unwrap();
    assert_eq!(group("left", None), Err("ResourceAlreadyExistsException"));
    assert_eq!(
        group("lost", Some("nowhere")),
        Err("InvalidRequestException")
    );
    account
        .write(|tx| groups::add_thing(tx, "left", "t"))
        .unwrap();
    let twice = account.write(|tx| groups::add_thing(tx, "right", "t"));
    assert_eq!(twice.unwrap_err().code, "InvalidRequestException");
    let error = account
        .write(|tx| groups::delete(tx, "root", None))
        .unwrap_err();
    assert!(error.message.contains("child groups"), "{error}");
    account
        .write(|tx| groups::delete(tx, "left", None))
        .unwrap();
    assert!(account.snapshot().groups_of_thing("t").is_empty());
}

#[test]
fn policies_of_groups_reach_a_thing_through_its_ancestors() {
    let account = account();
    thing(&account, "t");
    account
        .write(|tx| {
            let none = groups::GroupProperties::default;
            groups::create(tx, "root", None, none(), Default::default())?;
            groups::create(tx, "leaf", Some("root"), none(), Default::default())?;
            groups::add_thing(tx, "leaf", "t")?;
            policies::create(tx, "p", POLICY, Default::default())?;
            let arn = tx.scope.arn("thinggroup", "root");
            policies::attach(tx, "p", &arn)
        })
        .unwrap();
    let names: Vec<_> = account
        .snapshot()
        .policies_of_thing_groups("t")
        .into_iter()
        .map(|policy| policy.name)
        .collect();
    assert_eq!(names, ["p"]);
}

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
