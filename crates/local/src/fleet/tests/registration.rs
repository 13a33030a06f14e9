//! RegisterThing: what a template makes of a device, and every reason why not.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Lab, TEMPLATE, body};
use crate::account::{CertificateStatus, TemplateType, certificates, templates};
use crate::fleet::payload::Format;

#[tokio::test]
async fn a_registered_device_is_whole_and_told_its_name_and_configuration() {
    let lab = Lab::start();
    for (format, serial) in [(Format::Json, "1"), (Format::Cbor, "2")] {
        let (id, token) = lab.certificate().await;
        let ask = json!({ "certificateOwnershipToken": token, "parameters": { "Serial": serial } });
        let path = "provisioning-templates/Fleet/provision";
        let told = lab.ask_in(format, path, &ask).await;
        assert!(told.accepted, "{told:?}");
        assert_eq!(told.text("thingName"), format!("pump-{serial}"));
        let configuration = json!({ "Url": "https://example.com", "Serial": serial });
        assert_eq!(told.body["deviceConfiguration"], configuration);
        let state = lab.account.snapshot();
        assert_eq!(lab.status(&id), Some(CertificateStatus::Active));
        assert!(state.attachment(&format!("pump-{serial}"), &id).is_some());
        let arn = state.certificate_arn(&id);
        assert_eq!(state.policy_names_of_target(&arn), ["Device"]);
    }
    let steps = lab.diary.recent();
    assert!(steps.iter().any(|entry| entry.code == "FLEET_STEP"
        && entry.sentence == "fleet provisioning: thing pump-1 created"));
}

#[tokio::test]
async fn a_token_is_taken_once() {
    let lab = Lab::start();
    let (_, token) = lab.certificate().await;
    assert!(lab.register(&token, "1").await.accepted);
    let again = lab.register(&token, "2").await;
    assert_eq!(again.code(), "InvalidCertificateOwnershipToken");
    assert!(!lab.account.snapshot().things.contains_key("pump-2"));
    let empty = lab.register("", "1").await;
    assert_eq!(
        empty.text("errorMessage"),
        "Certificate ownership token cannot be empty."
    );
    let unknown = lab.register("eyJh", "1").await;
    assert_eq!(unknown.code(), "InvalidCertificateOwnershipToken");
    assert!(lab.says("FLEET_REJECTED", "not known"));
}

#[tokio::test]
async fn of_many_requests_with_one_token_at_once_one_is_accepted() {
    let lab = Lab::start();
    let (_, token) = lab.certificate().await;
    let asked = (0..8).map(|number| {
        let (lab, token) = (&lab, &token);
        async move { lab.register(token, &number.to_string()).await.accepted }
    });
    let accepted = futures::future::join_all(asked).await;
    assert_eq!(accepted.iter().filter(|accepted| **accepted).count(), 1);
    assert_eq!(lab.account.snapshot().things.len(), 1);
}

#[tokio::test]
async fn two_devices_with_one_serial_number_at_once_share_its_thing() {
    let lab = Lab::start();
    let ((first, one), (second, two)) = (lab.certificate().await, lab.certificate().await);
    let (a, b) = tokio::join!(lab.register(&one, "7"), lab.register(&two, "7"));
    assert!(a.accepted && b.accepted, "{a:?} {b:?}");
    let state = lab.account.snapshot();
    assert_eq!(state.things.len(), 1);
    let principals = state.principals_of_thing("pump-7").into_iter();
    let principals: BTreeSet<_> = principals.map(|(arn, _)| arn).collect();
    let expected = [&first, &second].map(|id| state.certificate_arn(id));
    assert_eq!(principals, BTreeSet::from(expected));
}

#[tokio::test]
async fn a_template_may_refuse_a_second_device_with_the_same_serial_number() {
    let lab = Lab::start();
    let mut strict = body();
    strict["Resources"]["thing"]["Properties"]["AttributePayload"] =
        json!({ "certificate": { "Ref": "AWS::IoT::Certificate::Id" } });
    strict["Resources"]["thing"]["OverrideSettings"] = json!({ "AttributePayload": "FAIL" });
    lab.template("Strict", &strict, |_| {});
    let ((first, one), (second, two)) = (lab.certificate().await, lab.certificate().await);
    let parameters = || json!({ "Serial": "7" });
    let (a, b) = tokio::join!(
        lab.register_by("Strict", &one, parameters()),
        lab.register_by("Strict", &two, parameters())
    );
    assert_ne!(a.accepted, b.accepted);
    let refused = if a.accepted { b } else { a };
    assert_eq!(refused.code(), "ResourceConflicts");
    let statuses = BTreeSet::from([&first, &second].map(|id| lab.status(id).unwrap().as_str()));
    assert_eq!(statuses, BTreeSet::from(["ACTIVE", "PENDING_ACTIVATION"]));
}

#[tokio::test]
async fn every_rejection_names_its_cause_and_leaves_the_token_good() {
    let lab = Lab::start();
    let off = |ask: &mut templates::CreateTemplate| ask.enabled = false;
    lab.template("Off", &body(), off);
    let jitp = |ask: &mut templates::CreateTemplate| ask.kind = TemplateType::Jitp;
    lab.template("Jitp", &body(), jitp);
    let mut foreign = body();
    foreign["Resources"]["certificate"]["Properties"]["CertificateId"] = "0".repeat(64).into();
    lab.template("Foreign", &foreign, |_| {});
    let mut lacking = body();
    lacking["Resources"]["policy"]["Properties"]["PolicyName"] = "Nowhere".into();
    lab.template("Lacking", &lacking, |_| {});
    let mut grouped = body();
    grouped["Resources"]["thing"]["Properties"]["ThingGroups"] = json!(["Nowhere"]);
    lab.template("Grouped", &grouped, |_| {});

    let (id, token) = lab.certificate().await;
    let serial = || json!({ "Serial": "1" });
    for (template, parameters, code, cause) in [
        ("Nowhere", serial(), "TemplateNotFound", "does not exist"),
        ("Jitp", serial(), "TemplateNotFound", "type JITP"),
        ("Off", serial(), "TemplateDisabled", "not enabled"),
        ("Foreign", serial(), "InvalidTemplate", "CertificateId"),
        (TEMPLATE, json!({}), "InvalidParameters", "Serial"),
        (
            TEMPLATE,
            json!({ "Serial": "a b" }),
            "InvalidParameters",
            "thing name",
        ),
        (
            TEMPLATE,
            json!({ "Serial": "1", "AWS::IoT::Certificate::Id": "2" }),
            "InvalidParameters",
            "AWS IoT's own",
        ),
        (
            "Lacking",
            serial(),
            "ResourceRegistrationFailure",
            "Nowhere",
        ),
        (
            "Grouped",
            serial(),
            "ResourceRegistrationFailure",
            "Nowhere",
        ),
    ] {
        let told = lab.register_by(template, &token, parameters).await;
        assert_eq!(told.code(), code, "{template}");
        assert!(
            lab.says("FLEET_REJECTED", cause),
            "{template}: {:?}",
            lab.diary.recent().last()
        );
        assert_eq!(lab.status(&id), Some(CertificateStatus::PendingActivation));
        assert!(lab.account.snapshot().things.is_empty(), "{template}");
    }
    assert!(lab.register(&token, "1").await.accepted);
}

#[tokio::test]
async fn defaults_stand_in_and_the_version_that_applies_is_executed() {
    let lab = Lab::start();
    let mut next = body();
    next["Parameters"]["Serial"]["Default"] = "none".into();
    next["DeviceConfiguration"] = Value::Null;
    next.as_object_mut().unwrap().remove("DeviceConfiguration");
    let create = |tx: &mut _| templates::create_version(tx, TEMPLATE, &next.to_string(), false);
    lab.account.write(create).unwrap();
    let (_, token) = lab.certificate().await;
    let told = lab.register_by(TEMPLATE, &token, json!({})).await;
    assert_eq!(told.code(), "InvalidParameters", "version 1 applies");
    let update = templates::UpdateTemplate {
        default_version: Some(2),
        ..templates::UpdateTemplate::default()
    };
    lab.account
        .write(|tx| templates::update(tx, TEMPLATE, update))
        .unwrap();
    let told = lab.register_by(TEMPLATE, &token, json!({})).await;
    assert!(told.accepted);
    assert_eq!(told.text("thingName"), "pump-none");
    assert_eq!(told.body["deviceConfiguration"], json!({}));
}

#[tokio::test]
async fn a_certificate_that_was_taken_away_is_not_registered() {
    let lab = Lab::start();
    let (id, token) = lab.certificate().await;
    let revoked = CertificateStatus::Revoked;
    lab.account
        .write(|tx| certificates::update(tx, &id, revoked))
        .unwrap();
    let told = lab.register(&token, "1").await;
    assert_eq!(told.code(), "ResourceRegistrationFailure");
    lab.account
        .write(|tx| certificates::delete(tx, &id, false))
        .unwrap();
    let told = lab.register(&token, "1").await;
    assert_eq!(told.code(), "InvalidCertificateOwnershipToken");
    assert!(lab.account.snapshot().things.is_empty());
}

#[tokio::test]
async fn a_hook_that_leads_nowhere_denies_and_the_diary_says_so() {
    let lab = Lab::start();
    lab.template("Hooked", &body(), |ask| {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:allow-list";
        ask.hook = Some(json!({ "payloadVersion": "2020-04-01", "targetArn": arn }));
    });
    let (_, token) = lab.certificate().await;
    let told = lab
        .register_by("Hooked", &token, json!({ "Serial": "1" }))
        .await;
    assert_eq!(told.code(), "ACCESS_DENIED");
    assert_eq!(told.body["statusCode"], 403);
    assert_eq!(told.text("errorMessage"), "Access denied");
    assert!(lab.says("FLEET_HOOK_DENIED", "function:allow-list"));
}
