//! Things with their certificates and policies: made, made again, made through failures, and removed without a trace.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use jitp_local::account::{State, certificates, policies, principals};
use jitp_local::control::{Fault, FaultKind};
use jitp_local::server::Options;
use serde_json::Value;

use crate::support::Station;

const NOTHING: [&str; 0] = [];

/// Where the certificates of the things come from.
const SOURCES: [&[&str]; 3] = [&[], &["--aws-keys"], &["--csr", "sensor.csr"]];

fn state(station: &Station) -> std::sync::Arc<State> {
    station.core.account().snapshot()
}

/// One thing, one ACTIVE certificate, attached to each other and to one policy: nothing missing, nothing double.
#[track_caller]
fn assert_whole(state: &State, thing: &str, policy: &str) {
    assert!(state.things.contains_key(thing), "{thing} is missing");
    let principals = state.principals_of_thing(thing);
    assert_eq!(principals.len(), 1, "{principals:?}");
    let certificates: Vec<_> = state.certificates.values().collect();
    assert_eq!(certificates.len(), 1, "certificates of {thing}");
    let certificate = certificates[0];
    assert_eq!(certificate.status.as_str(), "ACTIVE");
    assert_eq!(principals[0].0, certificate.arn);
    assert_eq!(state.policy_names_of_target(&certificate.arn), [policy]);
}

/// As the account was before `thing`, apart from the policy that all things share.
#[track_caller]
fn assert_no_trace(state: &State, thing: &str) {
    assert!(!state.things.contains_key(thing), "{thing} is there");
    let left: Vec<_> = state.certificates.keys().collect();
    assert!(left.is_empty(), "left: {left:?}");
    let policies: BTreeSet<&str> = state.policies.keys().map(String::as_str).collect();
    let expected = BTreeSet::from(["IoTAccess", "ThingAccess"]);
    assert!(policies.is_subset(&expected), "{policies:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thing_is_made_gets_in_and_goes_without_a_trace() {
    let station = Station::registered().await;
    let answer = station.run("create-thing", &["sensor"]).await.ok();
    assert!(answer.starts_with("sensor\tcreated\t"), "{answer}");
    assert!(answer.ends_with("\tcerts/sensor.pem\n"), "{answer}");
    assert_whole(&state(&station), "sensor", "ThingAccess");
    let key = station.folder.path("certs/sensor.key");
    let mode = std::fs::metadata(key)
        .expect("the key")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let record = std::fs::read(station.folder.path("things/sensor.json")).expect("a record");
    let record: Value = serde_json::from_slice(&record).expect("JSON");
    assert_eq!(record["thingName"], "sensor");
    assert_eq!(record["policyName"], "ThingAccess");

    // The least it needs, and no more: its own topics, under its own name.
    station.run("pub", &["sensor", "hello"]).await.ok();
    let elsewhere = ["sensor", "hello", "--topic", "other"];
    station.run("pub", &elsewhere).await.fails(6);

    let again = station.run("create-thing", &["sensor"]).await.ok();
    assert!(again.starts_with("sensor\tunchanged\t"), "{again}");
    assert_whole(&state(&station), "sensor", "ThingAccess");

    let plan = station
        .run("delete-thing", &["sensor", "--dry-run"])
        .await
        .ok();
    let steps: Vec<&str> = plan
        .lines()
        .filter_map(|line| line.split('\t').nth(2))
        .collect();
    let expected = [
        "deactivate-certificate",
        "note-certificates",
        "detach-policy",
        "detach-principal",
        "delete-certificate",
        "delete-thing",
    ];
    assert_eq!(steps, expected);
    assert_whole(&state(&station), "sensor", "ThingAccess");

    let deleted = station.run("delete-thing", &["sensor", "--yes"]).await.ok();
    assert!(deleted.starts_with("sensor\tdeleted\t"), "{deleted}");
    assert_no_trace(&state(&station), "sensor");
    let stderr = station
        .run("delete-thing", &["sensor", "--yes"])
        .await
        .fails(4);
    assert!(stderr.contains("there is no thing sensor"), "{stderr}");
    let absent = ["sensor", "--yes", "--if-exists"];
    let absent = station.run("delete-thing", &absent).await.ok();
    assert_eq!(absent, "sensor\tabsent\t\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_asks_and_warns() {
    let station = Station::registered().await;
    station.run("create-thing", &["sensor"]).await.ok();
    let stderr = station.run("delete-thing", &["sensor"]).await.fails(2);
    assert!(stderr.contains("--yes"), "{stderr}");
    assert_whole(&state(&station), "sensor", "ThingAccess");
    let ended = station.run("delete-thing", &["sensor", "--yes"]).await;
    assert!(ended.stderr.contains("gets in again"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_makes_key_and_certificate_or_certifies_a_request() {
    for source in &SOURCES[1..] {
        let station = Station::start().await;
        station.folder.write_request("sensor.csr");
        let arguments = [&["sensor"], *source].concat();
        let answer = station.run("create-thing", &arguments).await.ok();
        assert!(answer.starts_with("sensor\tcreated\t"), "{answer}");
        assert_whole(&state(&station), "sensor", "ThingAccess");
        let has_key = station.folder.path("certs/sensor.key").exists();
        assert_eq!(has_key, source.contains(&"--aws-keys"));
        if has_key {
            station.run("pub", &["sensor", "hello"]).await.ok();
        }
        let again = station.run("create-thing", &arguments).await.ok();
        assert!(again.starts_with("sensor\tunchanged\t"), "{again}");
        station.run("delete-thing", &["sensor", "--yes"]).await.ok();
        assert_no_trace(&state(&station), "sensor");
        // Its key is there, and AWS would certify it only anew: a conflict a person must look at.
        let stderr = station.run("create-thing", &arguments).await.fails(5);
        assert!(stderr.contains("AWS no longer has"), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_shared_chosen_or_the_thing_s_own() {
    let station = Station::registered().await;
    let chosen = ["a", "--policy", "NoSuch"];
    let stderr = station.run("create-thing", &chosen).await.fails(4);
    assert!(stderr.contains("NoSuch"), "{stderr}");
    assert_eq!(station.folder.files(), ["root.ca.key", "root.ca.pem"]);
    assert!(state(&station).things.is_empty());
    station
        .run("create-thing", &["a", "--policy", "IoTAccess"])
        .await
        .ok();
    assert_whole(&state(&station), "a", "IoTAccess");
    station.run("delete-thing", &["a", "--yes"]).await.ok();

    station
        .run("create-thing", &["b", "--own-policy"])
        .await
        .ok();
    assert_whole(&state(&station), "b", "b-policy");
    let document = state(&station).policies["b-policy"].versions[&1]
        .text
        .clone();
    assert!(document.contains(":client/b\""), "{document}");
    // More versions, and another user: first it stays, then it goes.
    let station_state = state(&station);
    let (_, other) = station_state.certificates.iter().next().expect("one");
    let (arn, id) = (other.arn.clone(), other.id.clone());
    station.run("pub", &["b", "hello"]).await.ok();
    station.run("create-thing", &["c"]).await.ok();
    let account = station.core.account();
    let others: Vec<String> = state(&station)
        .certificates
        .values()
        .filter(|certificate| certificate.id != id)
        .map(|certificate| certificate.arn.clone())
        .collect();
    account
        .write(|tx| {
            policies::create_version(tx, "b-policy", &document, true)?;
            policies::attach(tx, "b-policy", &others[0])
        })
        .expect("attached");
    station.run("delete-thing", &["b", "--yes"]).await.ok();
    assert!(state(&station).policies.contains_key("b-policy"));
    assert!(
        !state(&station).certificates.contains_key(id.as_str()),
        "{arn}"
    );
    account
        .write(|tx| policies::detach(tx, "b-policy", &others[0]))
        .expect("detached");
    station
        .run("create-thing", &["b", "--own-policy"])
        .await
        .ok();
    station.run("delete-thing", &["b", "--yes"]).await.ok();
    assert!(!state(&station).policies.contains_key("b-policy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_others_stay_and_all_of_its_own_go() {
    let station = Station::registered().await;
    for thing in ["a", "b", "c"] {
        station.run("create-thing", &[thing]).await.ok();
    }
    // a also has b's certificate, and one of AWS's without anything.
    let id_of = |thing: &str| {
        let (arn, _) = state(&station).principals_of_thing(thing).remove(0);
        arn
    };
    let (own, shared, third) = (id_of("a"), id_of("b"), id_of("c"));
    let account = station.core.account();
    account
        .write(|tx| {
            principals::attach(tx, "a", &shared, Default::default())?;
            principals::attach(tx, "a", &third, Default::default())?;
            principals::detach(tx, "c", &third)
        })
        .expect("attached");
    let stderr = station.run("create-thing", &["c", "--dir", "."]).await.ok();
    assert!(stderr.contains("completed"), "{stderr}");
    account
        .write(|tx| principals::detach(tx, "c", &third))
        .expect("detached");
    let ended = station.run("delete-thing", &["a", "--yes"]).await;
    assert!(
        ended.stderr.contains("other things have it too"),
        "{ended:?}"
    );
    ended.ok();
    let after = state(&station);
    let left: Vec<&String> = after.certificates.values().map(|one| &one.arn).collect();
    assert_eq!(left, [&shared]);
    assert!(!left.contains(&&own));
    let b = after.principals_of_thing("b");
    assert_eq!(b[0].0, shared);
    assert_eq!(after.policy_names_of_target(&shared), ["ThingAccess"]);

    let keep = ["b", "--keep-certificate", "--yes"];
    station.run("delete-thing", &keep).await.ok();
    let after = state(&station);
    assert!(!after.things.contains_key("b"));
    let kept = after.certificates.values().next().expect("kept");
    assert_eq!(kept.status.as_str(), "INACTIVE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thing_with_a_certificate_from_elsewhere_gets_no_second_one() {
    let station = Station::registered().await;
    station.run("create-thing", &["sensor"]).await.ok();
    std::fs::remove_dir_all(station.folder.path("certs")).expect("removed");
    let stderr = station.run("create-thing", &["sensor"]).await.fails(5);
    assert!(stderr.contains("not in this folder"), "{stderr}");
    assert_whole(&state(&station), "sensor", "ThingAccess");
    assert!(!station.folder.path("certs").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_said_before_anything_is_made() {
    let station = Station::start().await;
    let stderr = station.run("create-thing", &["sensor"]).await.fails(4);
    assert!(stderr.contains("create-root"), "{stderr}");
    station.run("create-root", &NOTHING).await.ok();
    let stderr = station.run("create-thing", &["sensor"]).await.fails(4);
    assert!(stderr.contains("not registered"), "{stderr}");
    station.run("register", &NOTHING).await.ok();
    station.run("ca", &["disable", "root"]).await.ok();
    let stderr = station.run("create-thing", &["sensor"]).await.fails(5);
    assert!(stderr.contains("ca enable"), "{stderr}");
    station
        .run("create-thing", &["sensor", "--csr", "nowhere"])
        .await
        .fails(3);
    let two = ["a", "b", "--csr", "nowhere"];
    station.run("create-thing", &two).await.fails(2);
    station.run("create-thing", &NOTHING).await.fails(2);
    assert!(state(&station).things.is_empty());
    assert_eq!(station.folder.files(), ["root.ca.key", "root.ca.pem"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_device_is_not_let_in_by_creating_it_again() {
    let station = Station::registered().await;
    station.run("create-thing", &["sensor"]).await.ok();
    station.run("disable-certificate", &["sensor"]).await.ok();
    let ended = station.run("create-thing", &["sensor"]).await;
    assert!(ended.stderr.contains("INACTIVE"), "{ended:?}");
    assert!(ended.ok().starts_with("sensor\tunchanged\t"));
    let certificate = state(&station).certificates.values().next().cloned();
    assert_eq!(certificate.expect("one").status.as_str(), "INACTIVE");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_things_each_has_its_line_and_failures_have_theirs() {
    let station = Station::registered().await;
    let names: Vec<String> = (0..30).map(|number| format!("sensor-{number}")).collect();
    let created = station.run("create-thing", &names).await.ok();
    let lines: BTreeSet<&str> = created
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(lines, names.iter().map(String::as_str).collect());
    assert_eq!(state(&station).certificates.len(), 30);

    let mut some = vec![
        "sensor-3",
        "nobody",
        "sensor-4",
        "--yes",
        "--concurrency",
        "1",
    ];
    let ended = station.run("delete-thing", &some).await;
    assert_eq!(ended.code, 10, "{ended:?}");
    let lines: Vec<Vec<&str>> = ended
        .stdout
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!((lines[0][0], lines[0][1]), ("sensor-3", "deleted"));
    assert_eq!(lines[1], ["nobody", "failed", "there is no thing nobody"]);
    assert_eq!((lines[2][0], lines[2][1]), ("sensor-4", "deleted"));
    assert!(ended.stderr.contains("1 of 3 things failed"), "{ended:?}");

    some.extend(["--output", "json"]);
    let ended = station.run("delete-thing", &some).await;
    assert_eq!(ended.code, 4, "none of them is there: {ended:?}");
    let line: Value =
        serde_json::from_str(ended.stdout.lines().next().expect("a line")).expect("JSON");
    assert_eq!(line["thing"], "sensor-3");
    assert_eq!(line["error"]["code"], "NotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_slows_down_and_fails_nothing() {
    let options = Options {
        enforce_quotas: true,
        ..Options::default()
    };
    let station = Station::with(options).await;
    station.run("create-root", &NOTHING).await.ok();
    station.run("register", &NOTHING).await.ok();
    let names: Vec<String> = (0..30).map(|number| format!("sensor-{number}")).collect();
    station.run("create-thing", &names).await.ok();
    assert_eq!(state(&station).certificates.len(), 30);
    let status = [
        names.as_slice(),
        &["--expect".to_owned(), "ACTIVE".to_owned()],
    ]
    .concat();
    station.run("device-status", &status).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_aws_quotas_from_the_start_nothing_is_throttled() {
    let options = Options {
        enforce_quotas: true,
        ..Options::default()
    };
    let station = Station::with(options).await;
    station.run("create-root", &NOTHING).await.ok();
    station.run("register", &["--quotas", "aws"]).await.ok();
    let mut names: Vec<String> = (0..25).map(|number| format!("sensor-{number}")).collect();
    names.extend(["--quotas".to_owned(), "aws".to_owned(), "-v".to_owned()]);
    let ended = station.run("create-thing", &names).await;
    assert!(!ended.stderr.contains("ThrottlingException"), "{ended:?}");
    ended.ok();
}

/// The network dies at the `step`-th call, acted upon or not, and stays dead until the program has given up.
async fn broken(
    station: &Station,
    program: &str,
    arguments: &[&str],
    step: u32,
    kind: FaultKind,
) -> i32 {
    let faults = station.core.faults();
    faults.order(Fault::next("*", kind).after(step).times(1));
    faults.order(
        Fault::next("*", FaultKind::CutBefore)
            .after(step)
            .times(1000),
    );
    let ended = station.run(program, arguments).await;
    faults.clear();
    if ended.code != 0 {
        assert_eq!(ended.code, 7, "step {step}: {ended:?}");
        assert_eq!(ended.stdout, "", "step {step}: {ended:?}");
    }
    ended.code
}

/// Breaks creating and deleting at every step, and runs each again.
async fn survive(source: &'static [&'static str], kind: FaultKind) {
    let mut runs = tokio::task::JoinSet::new();
    // More steps than either program takes; those beyond the end break nothing.
    for step in 1..14 {
        runs.spawn(async move {
            let station = Station::registered().await;
            station.folder.write_request("sensor.csr");
            let create = [&["sensor"], source].concat();
            let broke = broken(&station, "create-thing", &create, step, kind).await != 0;
            let second = station.run("create-thing", &create).await;
            let made = state(&station).certificates.len();
            assert_eq!(made, 1, "{source:?}, {kind:?} at step {step}: {second:?}");
            second.ok();
            assert_whole(&state(&station), "sensor", "ThingAccess");
            let delete = ["sensor", "--yes"];
            broken(&station, "delete-thing", &delete, step, kind).await;
            let rest = ["sensor", "--yes", "--if-exists"];
            station.run("delete-thing", &rest).await.ok();
            assert_no_trace(&state(&station), "sensor");
            broke
        });
    }
    let mut broke = 0;
    while let Some(run) = runs.join_next().await {
        broke += u32::from(run.expect("the run's story holds"));
    }
    assert!(broke >= 7, "only {broke} runs were broken");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_anywhere_before_the_call_the_next_run_finishes() {
    for source in &SOURCES[..2] {
        survive(source, FaultKind::CutBefore).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_anywhere_after_the_call_nothing_is_double_and_nothing_is_left() {
    for source in SOURCES {
        survive(source, FaultKind::CutAfter).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_or_a_failing_service_is_got_over_within_the_run() {
    for (operation, kind) in [
        ("CreateThing", FaultKind::CutAfter),
        ("CreateKeysAndCertificate", FaultKind::CutAfter),
        ("CreateKeysAndCertificate", FaultKind::Fail),
        ("AttachPolicy", FaultKind::Fail),
        ("AttachThingPrincipal", FaultKind::Throttle),
        ("UpdateCertificate", FaultKind::CutAfter),
    ] {
        let station = Station::start().await;
        station.core.faults().order(Fault::next(operation, kind));
        station
            .run("create-thing", &["sensor", "--aws-keys"])
            .await
            .ok();
        assert_eq!(
            station.core.faults().waiting().len(),
            0,
            "{operation} was called"
        );
        assert_whole(&state(&station), "sensor", "ThingAccess");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_caller_s_certificate_under_way_is_not_taken_for_a_stray() {
    let station = Station::start().await;
    let account = station.core.account().clone();
    station
        .core
        .faults()
        .order(Fault::next("CreateKeysAndCertificate", FaultKind::CutAfter));
    let run = station.run("create-thing", &["sensor", "--aws-keys"]);
    // A certificate that is attached a moment after it was made, while the program looks for what was lost.
    let other = async {
        let made = loop {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let state = account.snapshot();
            if let Some(certificate) = state.certificates.values().next() {
                break certificate.clone();
            }
        };
        account
            .write(|tx| policies::attach(tx, "IoTAccess", &made.arn))
            .expect("attached");
        made.id.clone()
    };
    let (ended, id) = tokio::join!(run, other);
    ended.ok();
    let state = account.snapshot();
    assert!(
        state.certificates.contains_key(id.as_str()),
        "it was attached in time, and stays"
    );
    assert!(certificates::find(&state, &id).is_ok());
}
