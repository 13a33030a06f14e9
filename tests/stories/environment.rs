//! The environment of a fleet: stood up, compared, used, taken down, and nothing of it left.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::PathBuf;

use jitp_cloud::{Documents, Environment, Hook, Place};
use jitp_local::account::{Clock, policies};
use jitp_local::control::{Fault, FaultKind};
use jitp_local::server::Options;
use serde_json::Value;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::support::Station;

/// A hook that knows the devices that are listed. The one that is deployed is in `crates/lambda`, and takes minutes to build.
const HOOK: &str = r#"#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while :; do
  headers=$(mktemp)
  payload=$(curl -sS --noproxy '*' -D "$headers" "$api/invocation/next") || exit 3
  id=$(tr -d '\r' <"$headers" | sed -n 's/^lambda-runtime-aws-request-id: //p')
  rm -f "$headers"
  case $payload in
    LISTED) allow=true ;;
    *) allow=false ;;
  esac
  curl -sS --noproxy '*' -o /dev/null -d "{\"allowProvisioning\":$allow}" "$api/invocation/$id/response"
done
"#;

/// A package with a hook that lets devices of these licenses in.
pub(crate) fn package(licenses: &[&str]) -> Vec<u8> {
    let listed = licenses
        .iter()
        .map(|one| format!(r#"*'"License":"{one}"'*"#));
    let program = HOOK.replacen("LISTED", &listed.collect::<Vec<_>>().join("|"), 1);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let executable = SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bootstrap", executable).expect("a file");
    zip.write_all(program.as_bytes()).expect("written");
    zip.finish().expect("a zip file").into_inner()
}

/// A station whose core's time runs a hundred times as fast: five minutes are three seconds.
pub(crate) async fn fast_station() -> Station {
    Station::with(Options {
        clock: Clock::running(100),
        ..Options::default()
    })
    .await
}

async fn station() -> (Station, PathBuf) {
    let station = fast_station().await;
    let path = station.folder.path("hook.zip");
    std::fs::write(&path, package(&["1", "2", "3"])).expect("written");
    (station, path)
}

/// Outcomes in their order.
fn outcomes(answer: &str) -> Vec<&str> {
    let lines = answer.lines();
    lines
        .map(|line| line.split('\t').nth(2).expect("an outcome"))
        .collect()
}

const APPLY: [&str; 4] = ["apply", "fleet", "--hook", "hook.zip"];

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_provisions_refuses_and_leaves_nothing() {
    let (station, _) = station().await;
    let before = station.core.account().snapshot();

    let plan = ["plan", "fleet", "--hook", "hook.zip"];
    let planned = station.run("environment", &plan).await;
    assert_eq!(planned.code, 9, "{planned:?}");
    let planned = outcomes(&planned.stdout).join(" ");
    assert_eq!(
        planned,
        format!("{}to-update to-create", "to-create ".repeat(9))
    );
    let untouched = station.core.account().snapshot();
    assert!(untouched.roles.is_empty() && untouched.functions.is_empty());
    assert_eq!(station.folder.files(), ["hook.zip"]);

    let applied = station.run("environment", &APPLY).await.ok();
    assert_eq!(outcomes(&applied)[..9], ["created"; 9], "{applied}");
    let again = station.run("environment", &APPLY).await.ok();
    assert_eq!(outcomes(&again), ["unchanged"; 11], "{again}");
    let planned = station.run("environment", &plan).await.ok();
    assert_eq!(outcomes(&planned), ["unchanged"; 11]);

    for license in ["1", "2", "3"] {
        let (device, parameter) = (format!("iot-{license}"), format!("License={license}"));
        let asks = [&device, "--template", "fleet", "--parameter", &parameter];
        station.run("fleet-provision", &asks).await.ok();
        let topic = format!("{device}/telemetry");
        let publish = [device.as_str(), "--topic", &topic, "hello"];
        station.run("pub", &publish).await.ok();
    }
    let fourth = ["iot-4", "--template", "fleet", "--parameter", "License=4"];
    station.run("fleet-provision", &fourth).await.fails(8);
    assert_eq!(station.core.account().snapshot().things.len(), 3);

    station
        .run("environment", &["destroy", "fleet"])
        .await
        .fails(2);
    let dry = station
        .run("environment", &["destroy", "fleet", "--dry-run"])
        .await;
    let dry = dry.ok();
    assert!(dry.contains("delete-thing\tiot-2\tplanned"), "{dry}");
    assert_eq!(station.core.account().snapshot().things.len(), 3);
    let destroy = ["destroy", "fleet", "--yes"];
    let gone = station.run("environment", &destroy).await.ok();
    assert!(gone.ends_with("environment\tfleet\tdestroyed\n"), "{gone}");
    let after = station.core.account().snapshot();
    assert!(after.roles.is_empty() && after.functions.is_empty());
    assert!(after.things.is_empty() && after.thing_types.is_empty());
    assert!(after.thing_groups.is_empty() && after.provisioning_templates.is_empty());
    let policies =
        |state: &jitp_local::account::State| state.policies.keys().cloned().collect::<Vec<_>>();
    assert_eq!(policies(&after), policies(&before));
    assert!(!after.event_configurations.enabled.values().any(|on| *on));
    // The certificate that the refused device asked for is left to AWS, which deletes it within the hour.
    let pending = |state: &jitp_local::account::State| {
        let statuses = state.certificates.values();
        statuses
            .filter(|one| one.status.as_str() != "PENDING_ACTIVATION")
            .count()
    };
    assert_eq!(pending(&after), 0);
    let again = station.run("environment", &destroy).await.ok();
    assert_eq!(again, "environment\tfleet\tdestroyed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_answer_is_lost_a_second_run_finishes_it() {
    let (station, _) = station().await;
    let faults = station.core.faults();
    faults.order(Fault::next("*", FaultKind::Delay).times(1_000));
    station.run("environment", &APPLY).await.ok();
    let calls = 1_000 - faults.waiting()[0].count;
    faults.clear();
    assert!(calls >= 30, "{calls} calls");
    for step in (0..calls).step_by(17) {
        station
            .run("environment", &["destroy", "fleet", "--yes"])
            .await
            .ok();
        let fault = Fault::next("*", FaultKind::CutAfter).after(step).times(100);
        faults.order(fault);
        let failed = station.run("environment", &APPLY).await;
        faults.clear();
        assert_ne!(failed.code, 0, "step {step}: {failed:?}");
        station.run("environment", &APPLY).await.ok();
        let again = station.run("environment", &APPLY).await.ok();
        assert_eq!(outcomes(&again), ["unchanged"; 11], "step {step}: {again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_made_is_neither_changed_nor_removed() {
    let (station, _) = station().await;
    let account = station.core.account();
    let everything = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;
    account
        .write(|tx| policies::create(tx, "fleet-device", everything, Default::default()).map(drop))
        .expect("made");
    let refusal = station.run("environment", &APPLY).await.fails(5);
    assert!(refusal.contains("fleet-device"), "{refusal}");
    assert!(
        account.snapshot().roles.is_empty(),
        "found before the first change"
    );
    let other = [&APPLY[..], &["--device-policy", "devices"]].concat();
    station.run("environment", &other).await.ok();
    let gone = station
        .run("environment", &["destroy", "fleet", "--yes"])
        .await;
    let gone = gone.ok();
    assert!(
        gone.contains("policy\tfleet-device\tstays\twas not made"),
        "{gone}"
    );
    assert!(account.snapshot().policies.contains_key("fleet-device"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_work_is_found_before_anything_is_made() {
    let (station, hook) = station().await;
    let account = station.core.account();
    let before = account.snapshot();
    let write = |name: &str, text: &str| {
        std::fs::write(station.folder.path(name), text).expect("written");
    };
    let whole = std::fs::read(&hook).expect("a zip file");
    std::fs::write(station.folder.path("cut.zip"), &whole[..whole.len() - 30]).expect("written");
    write("text.zip", "#!/bin/sh\n");
    let body = include_str!("../../etc/templates/fleet.json");
    let (cut, _) = body.trim_end().rsplit_once('}').expect("an object");
    write("broken.json", cut);
    let other = |name: &str, from: &str, to: &str| {
        assert!(body.contains(from), "{from}");
        write(name, &body.replacen(from, to, 1));
    };
    other(
        "no-certificate.json",
        "AWS::IoT::Certificate\"",
        "AWS::IoT::Thing\"",
    );
    other("undeclared.json", "\"License\": {", "\"Licence\": {");
    other(
        "group.json",
        "\"${ThingGroupName}\"",
        "\"${ThingGroupName}\", \"nowhere\"",
    );
    let with = |flags: &[&'static str]| [&["apply", "fleet"][..], flags].concat();
    for (flags, code, told) in [
        (with(&["--hook", "text.zip"]), 3, "no zip file"),
        (with(&["--hook", "cut.zip"]), 3, "no zip file"),
        (with(&["--hook", "missing.zip"]), 3, "missing.zip"),
        (
            with(&["--hook", "hook.zip", "--hook-variable", "A-B=1"]),
            2,
            "A-B",
        ),
        (
            with(&["--hook", "hook.zip", "--hook-variable", "AWS_REGION=x"]),
            2,
            "AWS_REGION",
        ),
        (with(&["--no-hook", "--validity", "0"]), 2, "0 days"),
        (
            with(&["--no-hook", "--searchable-attributes", "a,b,c,d"]),
            2,
            "4 searchable",
        ),
        (with(&["--no-hook", "--body", "broken.json"]), 3, "JSON"),
        (
            with(&["--no-hook", "--body", "no-certificate.json"]),
            3,
            "$.Resources",
        ),
        (
            with(&["--no-hook", "--body", "undeclared.json"]),
            3,
            "`License`, which is not declared",
        ),
        (with(&["--no-hook", "--body", "group.json"]), 4, "nowhere"),
    ] {
        let ended = station.run("environment", &flags).await;
        assert!(ended.stderr.contains(told), "{flags:?}: {ended:#?}");
        ended.fails(code);
        let mut plan = flags.clone();
        plan[0] = "plan";
        let planned = station.run("environment", &plan).await;
        assert_eq!(planned.code, code, "plan says the same: {planned:#?}");
        let after = account.snapshot();
        assert!(
            after.roles.is_empty() && after.functions.is_empty(),
            "{flags:?}"
        );
        assert!(after.thing_groups.is_empty() && after.thing_types.is_empty());
        assert_eq!(after.policies.len(), before.policies.len(), "{flags:?}");
        assert!(!station.folder.path("fleet.claim.key").exists());
    }
}

/// Every document of an environment, by the name of its file.
fn rendered(environment: &Environment) -> BTreeMap<&'static str, Value> {
    let place = Place::new("eu-central-1", "123456789012");
    let documents = Documents::of(environment, &place).expect("rendered");
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    BTreeMap::from([
        ("device-policy", read(&documents.device_policy)),
        ("claim-policy", read(&documents.claim_policy)),
        ("template", read(&documents.template)),
        ("provisioning-role-trust", documents.role_trust),
        ("hook-role-trust", documents.hook_trust),
        ("hook-role-policy", documents.hook_policy),
        ("hook-permission", documents.hook_permission),
        ("event-configurations", documents.events),
    ])
}

/// The documents that Terraform and CloudFormation must come to as well, by the name of their file.
fn golden(folder: &str) -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(format!("tests/golden/{folder}")).expect("golden documents");
    let paths = files.map(|file| file.expect("a file").path());
    let documents = paths.filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    documents
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            let text = std::fs::read_to_string(&path).expect("readable");
            (
                name.into_owned(),
                serde_json::from_str(&text).expect("JSON"),
            )
        })
        .collect()
}

#[test]
fn its_documents_are_those_of_terraform_and_cloudformation() {
    let mut environment = Environment::named("fleet");
    let (documents, golden_ones) = (rendered(&environment), golden("fleet"));
    assert!(documents.keys().eq(golden_ones.keys()), "{documents:#?}");
    for (name, document) in documents {
        assert_eq!(document, golden_ones[name], "{name}");
    }
    assert_eq!(environment.searchable_attributes, ["license"]);

    environment.hook = Some(Hook {
        package: Vec::new(),
        architecture: "x86_64".to_owned(),
        variables: BTreeMap::from([("ALLOW_TABLE".to_owned(), "devices".to_owned())]),
    });
    let documents = rendered(&environment);
    for (name, document) in golden("fleet-table") {
        assert_eq!(documents[name.as_str()], document, "{name}");
    }
}
