//! Device certificates and the policies on them.

use super::*;

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
