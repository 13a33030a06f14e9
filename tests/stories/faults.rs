//! The control plane throttles, fails, or loses a connection or an answer, at each single step: what a
//! second run finds to do, and what is left.

use std::sync::Arc;
use std::time::Duration;

use jitp_local::account::State;
use jitp_local::control::{Fault, FaultKind};
use jitp_local::server::{Local, Options};
use serde_json::{Value, json};
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

/// Everything that was made for these things, and nothing else: each has one active certificate with one policy.
fn assert_complete(state: &State, things: &[&str], what: &str) {
    assert_eq!(state.things.len(), things.len(), "{what}");
    let certificates = state.certificates.len();
    assert_eq!(certificates, things.len(), "{what}: certificates");
    for thing in things {
        let principals = state.principals_of_thing(thing);
        assert_eq!(principals.len(), 1, "{what}: {thing}: {principals:?}");
        let mut certificates = state.certificates.values();
        let certificate = certificates
            .find(|certificate| certificate.arn == principals[0].0)
            .unwrap_or_else(|| panic!("{what}: {thing}: {principals:?}"));
        assert_eq!(certificate.status.as_str(), "ACTIVE", "{what}: {thing}");
        let policies = state.policy_names_of_target(&certificate.arn);
        assert_eq!(policies, [format!("{thing}-policy")], "{what}: {thing}");
    }
}

/// Nothing is left of any thing.
fn assert_gone(state: &State, what: &str) {
    assert!(state.things.is_empty(), "{what}");
    let left: Vec<_> = state.certificates.keys().collect();
    assert!(left.is_empty(), "{what}: {left:?}");
    let own = |name: &&String| name.ends_with("-policy");
    let left: Vec<_> = state.policies.keys().filter(own).collect();
    assert!(left.is_empty(), "{what}: {left:?}");
}

/// Things to create, and where their certificates come from.
#[derive(Clone, Copy)]
struct Job {
    things: &'static [&'static str],
    source: &'static [&'static str],
}

impl Job {
    async fn station(self) -> Station {
        let station = Station::registered().await;
        if self.source.first() == Some(&"--csr") {
            station.folder.write_request("request.pem");
        }
        station
    }

    fn create(self) -> Vec<&'static str> {
        let flags = ["--own-policy", "--concurrency", "4"].as_slice();
        [self.things, flags, self.source].concat()
    }

    fn delete(self) -> Vec<&'static str> {
        [self.things, &["--yes", "--concurrency", "4"]].concat()
    }

    /// These kinds of fault at every step of creating and deleting, from the first, which asks STS.
    async fn at_every_step(self, kinds: &[FaultKind], strikes: u32) -> Vec<Fault> {
        let station = self.station().await;
        let created = calls_of(&station, "create-thing", &self.create()).await;
        let deleted = calls_of(&station, "delete-thing", &self.delete()).await;
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

    /// One fault in creating, then in deleting: a program that says it is done is done, one that does not is
    /// finished by a second run.
    async fn with(self, fault: Fault) {
        let station = self.station().await;
        let what = format!("{fault:?}");
        let create = self.create();
        let code = run_with(&station, fault.clone(), "create-thing", &create).await;
        tokio::time::sleep(fault.duration()).await;
        if code != 0 {
            assert!([7, 10].contains(&code), "create-thing: {code}: {what}");
            station.run("create-thing", &create).await.ok();
        }
        let state = station.core.account().snapshot();
        assert_complete(&state, self.things, &what);

        let delete = self.delete();
        let code = run_with(&station, fault, "delete-thing", &delete).await;
        if code != 0 {
            assert!([7, 10].contains(&code), "delete-thing: {code}: {what}");
            let again = [&delete[..], &["--if-exists"]].concat();
            station.run("delete-thing", &again).await.ok();
        }
        assert_gone(&station.core.account().snapshot(), &what);
    }

    /// Tries faults side by side, each on a core of its own.
    async fn with_each(self, faults: Vec<Fault>) {
        let at_once = Arc::new(Semaphore::new(8));
        let mut cases = JoinSet::new();
        for fault in faults {
            let at_once = Arc::clone(&at_once);
            cases.spawn(async move {
                let _permit = at_once.acquire_owned().await;
                self.with(fault).await;
            });
        }
        // All of them are waited for: a core that is dropped would fail the cases still under way.
        let mut failures = Vec::new();
        while let Some(outcome) = cases.join_next().await {
            failures.extend(outcome.err().map(|error| error.to_string()));
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    async fn survives_any_fault(self) {
        let faults = self.at_every_step(&EVERY_KIND, 1).await;
        self.with_each(faults).await;
    }

    async fn survives_an_outage(self) {
        let outages = self.at_every_step(&[FaultKind::CutAfter], FOR_EVER).await;
        self.with_each(outages).await;
    }
}

const EVERY_KIND: [FaultKind; 4] = [
    FaultKind::Throttle,
    FaultKind::Fail,
    FaultKind::CutBefore,
    FaultKind::CutAfter,
];
const OWN_CA: Job = Job {
    things: &[THING],
    source: &[],
};
const AWS_KEYS: Job = Job {
    things: &[THING],
    source: &["--aws-keys"],
};
const CSR: Job = Job {
    things: &[THING],
    source: &["--csr", "request.pem"],
};

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn a_fault_at_any_step_leaves_nothing_double_and_nothing_behind() {
    OWN_CA.survives_any_fault().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn what_an_outage_interrupts_at_any_step_is_finished_by_a_second_run() {
    OWN_CA.survives_an_outage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn keys_from_aws_are_not_made_twice_whatever_is_lost() {
    AWS_KEYS.survives_any_fault().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn keys_from_aws_survive_an_outage_at_any_step() {
    AWS_KEYS.survives_an_outage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn a_request_is_certified_once_whatever_is_lost() {
    CSR.survives_any_fault().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn a_request_survives_an_outage_at_any_step() {
    CSR.survives_an_outage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn several_things_at_once_survive_a_lost_answer_at_any_step() {
    let several = Job {
        things: &["a", "b", "c", "d", "e"],
        ..OWN_CA
    };
    let lost = several.at_every_step(&[FaultKind::CutAfter], 1).await;
    several.with_each(lost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn several_keys_from_aws_at_once_survive_lost_answers() {
    let several = Job {
        things: &["a", "b", "c", "d"],
        ..AWS_KEYS
    };
    let lost = |skip, count| {
        let fault = Fault::next("CreateKeysAndCertificate", FaultKind::CutAfter);
        fault.after(skip).times(count)
    };
    let slow = Fault {
        milliseconds: 2_000,
        ..Fault::next("AttachPolicy", FaultKind::Delay)
    };
    let mut faults = vec![lost(0, 1), lost(1, 2), lost(0, 4), lost(2, FOR_EVER), slow];
    // The first run leaves some keys on the disk whose certificates are attached to nothing yet.
    let outage = |step| {
        Fault::next("*", FaultKind::CutAfter)
            .after(step)
            .times(FOR_EVER)
    };
    faults.extend((8..24).step_by(2).map(outage));
    several.with_each(faults).await;
}

/// The service makes a certificate so late that its caller has given up, and then asked again.
fn served_late(operation: &str, milliseconds: u64) -> Fault {
    Fault {
        milliseconds,
        ..Fault::next(operation, FaultKind::ServeLate)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 9)]
async fn a_certificate_made_after_the_caller_gave_up_is_waited_for_and_removed() {
    let late = |operation: &str| served_late(operation, 2_000);
    AWS_KEYS.with(late("CreateKeysAndCertificate")).await;
    CSR.with(late("CreateCertificateFromCsr")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_made_after_everything_was_done_is_removed_by_the_next_run() {
    for (job, operation) in [
        (AWS_KEYS, "CreateKeysAndCertificate"),
        (CSR, "CreateCertificateFromCsr"),
    ] {
        let station = job.station().await;
        let late = served_late(operation, 15_000);
        let code = run_with(&station, late.clone(), "create-thing", &job.create()).await;
        assert_eq!(code, 0);
        tokio::time::sleep(late.duration()).await;
        let certificates = station.core.account().snapshot().certificates.len();
        assert_eq!(certificates, 2, "the late one is there");
        station.run("create-thing", &job.create()).await.ok();
        assert_complete(&station.core.account().snapshot(), job.things, operation);
        let again = station.run("create-thing", &job.create()).await.ok();
        assert!(again.contains("unchanged"), "{again}");
    }
}

impl Job {
    /// The operation that makes a certificate known.
    fn certifying(self) -> &'static str {
        match self.source.first() {
            None => "RegisterCertificate",
            Some(&"--csr") => "CreateCertificateFromCsr",
            Some(_) => "CreateKeysAndCertificate",
        }
    }

    /// Makes the certificate of the first thing known, as a call does whose caller has given up.
    async fn certify(self, station: &Station) {
        let read = |name: &str| std::fs::read_to_string(station.folder.path(name)).expect(name);
        let (path, body) = match self.source {
            [] => {
                let chain = read(&format!("certs/{}.pem", self.things[0]));
                let leaf = chain.split_inclusive("-----END CERTIFICATE-----").next();
                let body = json!({"certificatePem": leaf, "caCertificatePem": read("root.ca.pem")});
                ("/certificate/register", body)
            }
            ["--csr", name] => {
                let body = json!({"certificateSigningRequest": read(name)});
                ("/certificates", body)
            }
            _ => ("/keys-and-certificate", json!({})),
        };
        post(station, path, &body).await;
    }

    /// A creation that gives up; a deletion, or none; then the certificate is made after all, and the next deletion
    /// finds it.
    async fn is_removed_although_unheard(self, deletions_before: usize) {
        let station = self.station().await;
        let name = self.certifying();
        let unheard = Fault::next(name, FaultKind::CutBefore).times(FOR_EVER);
        let code = run_with(&station, unheard, "create-thing", &self.create()).await;
        assert_eq!(code, 7, "{name}");
        let delete = [&self.delete()[..], &["--if-exists"]].concat();
        for _ in 0..deletions_before {
            station.run("delete-thing", &delete).await.ok();
        }
        self.certify(&station).await;
        assert_eq!(station.core.account().snapshot().certificates.len(), 1);
        let plan = [self.things, &["--dry-run"]].concat();
        let plan = station.run("delete-thing", &plan).await.ok();
        assert!(plan.contains("certificate\t"), "{name}: {plan}");
        let deleted = station.run("delete-thing", &delete).await.ok();
        assert!(deleted.contains("\tdeleted\t"), "{name}: {deleted}");
        assert_gone(&station.core.account().snapshot(), name);
        let again = station.run("delete-thing", &delete).await.ok();
        assert!(again.contains("\tabsent"), "{name}: {again}");
    }
}

/// Calls the control plane as a program that nobody hears of any more has.
async fn post(station: &Station, path: &str, body: &Value) {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let stream = TcpStream::connect(("127.0.0.1", station.core.control_port())).await;
    let mut stream = stream.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_certificate_nobody_heard_of_is_deleted_with_its_thing() {
    for job in [OWN_CA, AWS_KEYS, CSR] {
        job.is_removed_although_unheard(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_certificate_made_after_its_thing_was_deleted_is_deleted_by_the_next_run() {
    for job in [OWN_CA, AWS_KEYS, CSR] {
        job.is_removed_although_unheard(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_kept_certificate_is_nothing_left_behind() {
    let station = OWN_CA.station().await;
    station.run("create-thing", &OWN_CA.create()).await.ok();
    let keep = [&OWN_CA.delete()[..], &["--keep-certificate"]].concat();
    station.run("delete-thing", &keep).await.ok();
    let delete = [&OWN_CA.delete()[..], &["--if-exists"]].concat();
    let absent = station.run("delete-thing", &delete).await.ok();
    assert!(absent.contains("\tabsent"), "{absent}");
    let kept = station.core.account().snapshot().certificates.len();
    assert_eq!(kept, 1);
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
    assert_complete(&station.core.account().snapshot(), &[THING], "slow");
}
