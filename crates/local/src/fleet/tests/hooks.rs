//! Hooks: what they are told, what they may change, and that everything but a clear yes is a no.

use serde_json::{Value, json};

use super::{Lab, body};
use crate::functions::tests::{given, program};
use crate::storage::Storage;

/// A lab whose template "Hooked" has a program of this body for its hook.
fn lab(folder: &tempfile::TempDir, script: &str) -> Lab {
    let hook = given("hook", program(folder.path(), "hook", script));
    let lab = Lab::with(Storage::memory(), vec![hook], false);
    lab.template("Hooked", &body(), |ask| {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:hook";
        ask.hook = Some(json!({ "payloadVersion": "2020-04-01", "targetArn": arn }));
    });
    lab
}

#[tokio::test]
async fn a_hook_is_told_everything_and_may_change_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let script = format!(
        r#"printf %s "$payload" >{}; answer '{{"allowProvisioning":true,"parameterOverrides":{{"Serial":"42","Unused":"x"}}}}'"#,
        seen.display()
    );
    let lab = lab(&folder, &script);
    let (id, token) = lab.certificate().await;
    let parameters = json!({ "Serial": "1", "License": "L" });
    let told = lab.register_by("Hooked", &token, parameters.clone()).await;
    assert!(told.accepted, "{told:?} {:?}", lab.diary.recent());
    assert_eq!(told.text("thingName"), "pump-42");
    let event: Value = serde_json::from_slice(&std::fs::read(seen).unwrap()).unwrap();
    let expected = json!({
        "claimCertificateId": "claim",
        "certificateId": id,
        "certificatePem": lab.stored(&id).unwrap().pem,
        "templateArn": "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/Hooked",
        "clientId": "claimer",
        "parameters": parameters,
    });
    assert_eq!(event, expected);
}

#[tokio::test]
async fn everything_but_a_clear_yes_is_a_no() {
    let folder = tempfile::tempdir().unwrap();
    // What it answers is what the device's licence asks for.
    let script = r#"
  case $payload in
    *crash*) exit 1 ;;
    *error*) failure '{"errorMessage":"broken"}' ;;
    *denied*) answer '{"allowProvisioning":false}' ;;
    *word*) answer '{"allowProvisioning":"true"}' ;;
    *empty*) answer '{}' ;;
    *null*) answer 'null' ;;
    *noise*) answer 'yes, of course' ;;
    *number*) answer '{"allowProvisioning":true,"parameterOverrides":{"Serial":7}}' ;;
    *steal*) answer '{"allowProvisioning":true,"parameterOverrides":{"AWS::IoT::Certificate::Id":"0"}}' ;;
    *) answer '{"allowProvisioning":true}' ;;
  esac"#;
    let lab = lab(&folder, script);
    let (id, token) = lab.certificate().await;
    for (license, cause) in [
        ("crash", "exit status: 1"),
        ("error", "broken"),
        ("denied", "allowProvisioning false"),
        ("word", "nonsense"),
        ("empty", "nonsense"),
        ("null", "nonsense"),
        ("noise", "nonsense"),
        ("number", "nonsense"),
        ("steal", "may not"),
    ] {
        let parameters = json!({ "Serial": "1", "License": license });
        let told = lab.register_by("Hooked", &token, parameters).await;
        assert_eq!(told.code(), "ACCESS_DENIED", "{license}");
        assert!(
            lab.says("FLEET_HOOK_DENIED", cause),
            "{license}: {:?}",
            lab.diary.recent().last()
        );
        assert!(lab.account.snapshot().things.is_empty());
    }
    let told = lab
        .register_by("Hooked", &token, json!({ "Serial": "1" }))
        .await;
    assert!(told.accepted, "{told:?}");
    assert!(lab.account.snapshot().attachment("pump-1", &id).is_some());
}

#[tokio::test]
async fn a_hook_that_hangs_is_a_no_after_five_seconds_and_others_do_not_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let lab = lab(&folder, "sleep 60");
    let (_, slow) = lab.certificate().await;
    let (_, quick) = lab.certificate().await;
    let begun = std::time::Instant::now();
    let hanging = lab.register_by("Hooked", &slow, json!({ "Serial": "1" }));
    let beside = async {
        let told = lab.register(&quick, "2").await;
        (told.accepted, begun.elapsed())
    };
    let (hung, (accepted, waited)) = tokio::join!(hanging, beside);
    assert_eq!(hung.code(), "ACCESS_DENIED");
    assert!(lab.says("FLEET_HOOK_DENIED", "within 5 s"));
    let took = begun.elapsed().as_secs_f64();
    assert!((4.9..8.0).contains(&took), "{took}");
    assert!(accepted && waited.as_secs_f64() < 3.0, "{waited:?}");
}
