//! The control plane throttles, fails, or loses a connection or an answer, at each single step: what a
//! second run finds to do, and what is left.

use std::sync::Arc;
use std::time::Duration;

use jitp_local::account::State;
use jitp_local::control::{Fault, FaultKind};
use jitp_local::server::{Local, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::Station;

const NOTHING: [&str; 0] = [];
const THING: &str = "sensor-17";
/// More strikes than any program waits out.
const FOR_EVER: u32 = 10_000;

/// Runs a program with this fault ordered, which is gone afterwards; its exit code.
async fn run_with(station: &Station, fault: Fault, program: &str, arguments: &[&str]) -> i32 {
    station.core.faults().order(fault);
    let ended = station.run(program, arguments).await;
    station.core.faults().clear();
    ended.code
}

/// How many calls of the control plane a program makes when all goes well.
async fn calls_of(station: &Station, program: &str, arguments: &[&str]) -> u32 {
    let faults = station.core.faults();
    faults.order(Fault::next("*", FaultKind::Delay).times(FOR_EVER));
    station.run(program, arguments).await.ok();
    let counted = FOR_EVER - faults.waiting()[0].count;
    faults.clear();
    counted
}

/// Everything that was made for the thing, and nothing else: one active certificate with one policy.
fn assert_complete(state: &State, what: &str) {
    assert_eq!(state.things.len(), 1, "{what}");
    assert_eq!(
        state.certificates.len(),
        1,
        "{what}: a certificate too many"
    );
    let (id, certificate) = state.certificates.iter().next().expect("one");
    assert_eq!(certificate.status.as_str(), "ACTIVE", "{what}");
    let principals = state.principals_of_thing(THING);
    assert_eq!(principals.len(), 1, "{what}: {principals:?}");
    assert_eq!(principals[0].0, certificate.arn, "{what}");
    let policies = state.policy_names_of_target(&certificate.arn);
    assert_eq!(policies, [format!("{THING}-policy")], "{what}: {id}");
}

/// Nothing is left of the thing.
fn assert_gone(state: &State, what: &str) {
    assert!(state.things.is_empty(), "{what}");
    assert!(state.certificates.is_empty(), "{what}");
    let policy = format!("{THING}-policy");
    assert!(!state.policies.contains_key(&policy), "{what}");
}

/// One fault at one step of create-thing, then of delete-thing: a program that says it is done is done, one
/// that does not is finished by a second run.
async fn a_fault_at(source: &'static [&'static str], fault: Fault) {
    let station = Station::registered().await;
    let what = format!("{fault:?}");
    let mut create = vec![THING, "--own-policy"];
    create.extend(source);
    let delete = [THING, "--yes"];
    let code = run_with(&station, fault.clone(), "create-thing", &create).await;
    if code != 0 {
        assert_eq!(code, 7, "create-thing: {what}");
        station.run("create-thing", &create).await.ok();
    }
    assert_complete(&station.core.account().snapshot(), &what);

    let code = run_with(&station, fault, "delete-thing", &delete).await;
    if code != 0 {
        assert_eq!(code, 7, "delete-thing: {what}");
        let again = [THING, "--yes", "--if-exists"];
        station.run("delete-thing", &again).await.ok();
    }
    assert_gone(&station.core.account().snapshot(), &what);
}

/// Tries cases side by side, each on a core of its own.
async fn try_each(source: &'static [&'static str], faults: Vec<Fault>) {
    let at_once = Arc::new(Semaphore::new(8));
    let mut cases = JoinSet::new();
    for fault in faults {
        let at_once = Arc::clone(&at_once);
        cases.spawn(async move {
            let _permit = at_once.acquire_owned().await;
            a_fault_at(source, fault).await;
        });
    }
    // All of them are waited for: a core that is dropped would fail the cases still under way.
    let mut failures = Vec::new();
    while let Some(outcome) = cases.join_next().await {
        failures.extend(outcome.err().map(|error| error.to_string()));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// These kinds of fault at every step of create-thing and delete-thing, from the first, which asks STS.
async fn at_every_step(kinds: &[FaultKind], strikes: u32) -> Vec<Fault> {
    let station = Station::registered().await;
    let created = calls_of(&station, "create-thing", &[THING, "--own-policy"]).await;
    let deleted = calls_of(&station, "delete-thing", &[THING, "--yes"]).await;
    assert!(
        created >= 5 && deleted >= 5,
        "{created} and {deleted} calls"
    );
    let steps = 0..created.max(deleted);
    let fault = |step, kind: &FaultKind| Fault::next("*", *kind).after(step).times(strikes);
    steps
        .flat_map(|step| kinds.iter().map(move |kind| fault(step, kind)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn a_fault_at_any_step_leaves_nothing_double_and_nothing_behind() {
    let kinds = [
        FaultKind::Throttle,
        FaultKind::Fail,
        FaultKind::CutBefore,
        FaultKind::CutAfter,
    ];
    try_each(&[], at_every_step(&kinds, 1).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn what_an_outage_interrupts_at_any_step_is_finished_by_a_second_run() {
    try_each(&[], at_every_step(&[FaultKind::CutAfter], FOR_EVER).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn keys_from_aws_are_not_made_twice_when_their_answer_is_lost() {
    let kinds = [
        FaultKind::Throttle,
        FaultKind::Fail,
        FaultKind::CutBefore,
        FaultKind::CutAfter,
    ];
    let faults = kinds.map(|kind| Fault::next("CreateKeysAndCertificate", kind));
    try_each(&["--aws-keys"], faults.into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_is_registered_once_whatever_step_is_lost() {
    let station = Station::start().await;
    station.run("create-root", &NOTHING).await.ok();
    let calls = calls_of(&station, "register", &NOTHING).await;
    for step in 0..calls {
        let station = Station::start().await;
        station.run("create-root", &NOTHING).await.ok();
        let fault = Fault::next("*", FaultKind::CutAfter).after(step);
        let code = run_with(&station, fault, "register", &NOTHING).await;
        if code != 0 {
            assert_eq!(code, 7, "step {step}");
            station.run("register", &NOTHING).await.ok();
        }
        let state = station.core.account().snapshot();
        assert_eq!(state.ca_certificates.len(), 1, "step {step}");
        let (_, ca) = state.ca_certificates.iter().next().expect("one");
        assert!(ca.active && ca.auto_registration, "step {step}");
        assert!(ca.registration_config.is_some(), "step {step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_has_sent_not_one_byte() {
    let core = Local::start(Options::default()).await.expect("starts");
    for kind in [FaultKind::CutBefore, FaultKind::CutAfter] {
        core.faults().order(Fault::next("CreateThing", kind));
        let mut stream = TcpStream::connect(("127.0.0.1", core.control_port()))
            .await
            .expect("connects");
        let request = b"POST /things/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(request).await.expect("sends");
        let mut answer = Vec::new();
        // A reset is as good an end as any.
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, b"", "{kind:?}");
        let acted = core.account().snapshot().things.contains_key("a");
        assert_eq!(acted, kind == FaultKind::CutAfter);
    }
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_is_waited_for() {
    let station = Station::registered().await;
    let slow = Fault {
        milliseconds: 300,
        ..Fault::next("*", FaultKind::Delay).times(3)
    };
    let started = std::time::Instant::now();
    let code = run_with(&station, slow, "create-thing", &[THING, "--own-policy"]).await;
    assert_eq!(code, 0);
    assert!(started.elapsed() >= Duration::from_millis(900));
    assert_complete(&station.core.account().snapshot(), "slow");
}
