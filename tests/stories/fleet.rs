//! Fleet provisioning by claim, device and operator, against a local core.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jitp_core::ca::{CertificateAuthority, KeyType, Profile, SelfSigned, Subject, Validity};
use jitp_core::mqtt::{Identity, MqttError, Options as Connection, Publish, Qos, Session, Trust};
use jitp_core::names::ThingName;
use jitp_core::store::Store;
use jitp_local::account::{CertificateStatus, certificates};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::support::{Ended, Station};
use crate::templates::{create_fleet, with_what_a_fleet_needs};

/// A station whose template and claim are made.
pub(crate) async fn fleet() -> Station {
    let station = with_what_a_fleet_needs().await;
    create_fleet(&station, &[]).await;
    station.run("create-claim", &["fleet"]).await.ok();
    station
}

/// `fleet-provision iot-LICENSE` with more flags.
async fn provision(station: &Station, license: &str, more: &[&str]) -> Ended {
    let (device, parameter) = (format!("iot-{license}"), format!("License={license}"));
    let mut arguments = vec![
        device.as_str(),
        "--template",
        "fleet",
        "--parameter",
        parameter.as_str(),
        "--output",
        "json",
    ];
    arguments.extend(more);
    station.run("fleet-provision", &arguments).await
}

fn ids_of(station: &Station, thing: &str) -> Vec<String> {
    let state = station.core.account().snapshot();
    let principals = state.principals_of_thing(thing).into_iter();
    principals
        .filter_map(|(arn, _)| arn.rsplit('/').next().map(str::to_owned))
        .collect()
}

const CLAIM: [&str; 2] = ["fleet.claim.key", "fleet.claim.pem"];

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_becomes_an_identity_that_works() {
    let station = fleet().await;
    let arguments = ["--configuration", "device.json"];
    let done = provision(&station, "123", &arguments).await.json();
    assert_eq!(done[0]["thing"], "iot-123");
    assert_eq!(done[0]["outcome"], "provisioned");
    let configuration = json!({"TelemetryTopic": "iot-123/telemetry"});
    assert_eq!(done[0]["deviceConfiguration"], configuration);
    let file = std::fs::read(station.folder.path("device.json")).expect("the configuration");
    let file: Value = serde_json::from_slice(&file).expect("JSON");
    assert_eq!(file, configuration);

    let state = station.core.account().snapshot();
    let id = done[0]["certificateId"].as_str().expect("an id");
    assert_eq!(state.certificates[id].status, CertificateStatus::Active);
    assert_eq!(ids_of(&station, "iot-123"), [id]);
    let thing = &state.things["iot-123"];
    assert_eq!(thing.attributes["license"], "123");
    let topic = ["iot-123", "hello", "--topic", "iot-123/telemetry"];
    station.run("pub", &topic).await.ok();

    let again = provision(&station, "123", &arguments).await.json();
    assert_eq!(again[0]["outcome"], "unchanged");
    assert_eq!(again[0]["deviceConfiguration"], configuration);
    assert_eq!(ids_of(&station, "iot-123"), [id]);
    // At every start of the device, when the claim may be gone and the network not there yet.
    for file in CLAIM {
        std::fs::remove_file(station.folder.path(file)).expect("removed");
    }
    let (core, offline) = (station.core, station.folder);
    core.stop().await;
    let arguments = [
        "iot-123",
        "--template",
        "fleet",
        "--parameter",
        "License=123",
    ];
    let child = offline.start("fleet-provision", &arguments);
    let answer = tokio::task::block_in_place(|| offline.finish(child)).ok();
    assert!(answer.starts_with("iot-123\tunchanged\t"), "{answer}");
    let files = [
        "device.json",
        "iot-123.crt",
        "iot-123.fleet.json",
        "iot-123.key",
    ];
    assert_eq!(offline.files(), files);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_was_lost_is_not_made_up() {
    let station = fleet().await;
    provision(&station, "1", &[]).await.json();
    // As it is when the service accepted, the answer was lost, and the token could not be shown again.
    let path = station.folder.path("iot-1.fleet.json");
    let record = std::fs::read(&path).expect("a record");
    let mut record: Value = serde_json::from_slice(&record).expect("JSON");
    record["deviceConfiguration"] = Value::Null;
    std::fs::write(&path, record.to_string()).expect("written");
    let arguments = ["--configuration", "device.json"];
    let ended = provision(&station, "1", &arguments).await;
    assert!(ended.stderr.contains("--renew"), "{ended:?}");
    assert_eq!(ended.json()[0]["deviceConfiguration"], Value::Null);
    assert!(!station.folder.path("device.json").exists());
    let renew = ["--configuration", "device.json", "--renew"];
    provision(&station, "1", &renew).await.json();
    let file = std::fs::read(station.folder.path("device.json")).expect("the configuration");
    let file: Value = serde_json::from_slice(&file).expect("JSON");
    assert_eq!(file["TelemetryTopic"], "iot-1/telemetry");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_the_exchange_gets_through() {
    let station = fleet().await;
    let forms: [&[&str]; 6] = [
        &["--mqtt-version", "3.1.1"],
        &["--payload-format", "cbor"],
        &["--aws-keys"],
        &[
            "--aws-keys",
            "--payload-format",
            "cbor",
            "--mqtt-version",
            "3.1.1",
        ],
        &["--key-type", "rsa2048"],
        &["--no-prove", "--key-type", "p384"],
    ];
    for (number, form) in forms.iter().enumerate() {
        provision(&station, &number.to_string(), form).await.json();
        let thing = format!("iot-{number}");
        station.run("pub", &[&thing, "hello"]).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_from_files_of_five_minutes_and_of_our_ca_serve_as_well() {
    let station = fleet().await;
    let files = [
        "--claim-certificate",
        "fleet.claim.pem",
        "--claim-key",
        "fleet.claim.key",
    ];
    provision(&station, "1", &files).await.json();
    let phone = ["fleet", "phone", "--temporary", "--output", "json"];
    let made = station.run("create-claim", &phone).await.json();
    assert!(made[0]["notAfter"].is_string(), "{made:?}");
    station.run("create-claim", &phone).await.fails(5);
    provision(&station, "2", &["--claim", "phone"]).await.json();
    station.run("create-root", &[] as &[&str]).await.ok();
    station.run("register", &[] as &[&str]).await.ok();
    let own = ["fleet", "batch", "--ca", "root"];
    station.run("create-claim", &own).await.ok();
    provision(&station, "3", &["--claim", "batch"]).await.json();
    let refusal = provision(&station, "4", &["--claim", "none"]).await;
    assert!(refusal.fails(4).contains("create-claim"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_leaves_the_disk_as_it_was_and_says_what_to_do() {
    let station = fleet().await;
    let arguments = ["iot-1", "--template", "fleet"];
    let refusal = station.run("fleet-provision", &arguments).await.fails(6);
    assert!(refusal.contains("License"), "{refusal}");
    assert!(refusal.contains("InvalidParameters"), "{refusal}");
    assert!(refusal.contains("hint: "), "{refusal}");
    assert_eq!(station.folder.files(), CLAIM);
    assert!(station.core.account().snapshot().things.is_empty());

    station
        .run("template", &["update", "fleet", "--disable"])
        .await
        .ok();
    let refusal = provision(&station, "1", &[]).await.fails(6);
    assert!(
        refusal.contains("template update NAME --enable"),
        "{refusal}"
    );
    assert_eq!(station.folder.files(), CLAIM);
    station
        .run("template", &["update", "fleet", "--enable"])
        .await
        .ok();
    provision(&station, "1", &[]).await.json();

    // Another template than the claim is for: the policy denies it, which MQTT 3.1.1 tells by hanging up.
    let before = station.folder.files();
    for version in ["5", "3.1.1"] {
        let other = [
            "iot-2",
            "--template",
            "other",
            "--claim",
            "fleet",
            "--mqtt-version",
            version,
        ];
        station.run("fleet-provision", &other).await.fails(6);
        assert_eq!(station.folder.files(), before, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_found_before_anything_is_asked_and_named() {
    let station = fleet().await;
    let swapped = [
        "--claim-certificate",
        "fleet.claim.pem",
        "--claim-key",
        "fleet.claim.pem",
    ];
    let refusal = provision(&station, "1", &swapped).await.fails(3);
    assert!(
        refusal.contains("fleet.claim.pem: there is no private key"),
        "{refusal}"
    );
    for file in ["nowhere/device.json", "fleet.claim.pem/device.json"] {
        let refusal = provision(&station, "1", &["--configuration", file]).await;
        let refusal = refusal.fails(3);
        assert!(
            refusal.contains(file.split('/').next().expect("a folder")),
            "{refusal}"
        );
    }
    let refusal = provision(&station, "1", &["--renew"]).await.fails(4);
    assert!(refusal.contains("leave out --renew"), "{refusal}");
    let issued = station.core.account().snapshot().certificates.len();
    assert_eq!(issued, 1, "only the claim");
    // What the template makes of it is said in the words of the service, as they are.
    let refusal = provision(&station, "ü", &[]).await;
    assert_eq!(refusal.code, 2, "{refusal:?}");
    let odd = ["iot-1", "--template", "fleet", "--parameter", "License=ü"];
    let refusal = station.run("fleet-provision", &odd).await.fails(6);
    assert!(
        refusal.contains("the attribute value \"ü\" is not valid"),
        "{refusal}"
    );
    // The thing's files are named, not the device's.
    let other = ["box", "--template", "fleet", "--parameter", "License=1"];
    station.run("fleet-provision", &other).await.ok();
    let other = ["box", "--template", "fleet", "--parameter", "License=2"];
    let refusal = station.run("fleet-provision", &other).await.fails(5);
    assert!(
        refusal.contains("move iot-1.key, iot-1.crt and box.fleet.json"),
        "{refusal}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_gives_no_answer_is_a_denial_and_the_unit_is_rejected() {
    let station = fleet().await;
    let hook = "arn:aws:lambda:eu-central-1:123456789012:function:nowhere";
    let with = ["update", "fleet", "--hook", hook];
    station.run("template", &with).await.ok();
    let refusal = provision(&station, "1", &[]).await.fails(8);
    let error = refusal.lines().last().expect("an error");
    let error: Value = serde_json::from_str(error).expect("JSON");
    assert_eq!(error["error"]["code"], "ACCESS_DENIED");
    assert_eq!(error["error"]["retryable"], false);
    assert_eq!(station.folder.files(), CLAIM);
    let without = ["update", "fleet", "--no-hook"];
    station.run("template", &without).await.ok();
    provision(&station, "1", &[]).await.json();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_throttled_device_asks_again_and_gets_in() {
    let options = jitp_local::server::Options {
        enforce_quotas: true,
        ..Default::default()
    };
    let station = crate::templates::with_what_a_fleet_needs_of(options).await;
    create_fleet(&station, &[]).await;
    station.run("create-claim", &["fleet"]).await.ok();
    // Somebody uses up the 10 RegisterThing a second.
    let mut options = claimed(&station, "claim-flood");
    options.rate = Some(50);
    let flood = tokio::spawn(async move {
        let mut session = Session::connect(options, |_| ()).await.expect("connected");
        let topic = "$aws/provisioning-templates/fleet/provision/json";
        loop {
            let message = Publish::new(topic, "{}", Qos::AtLeastOnce).expect("a message");
            session.publish(message).await.expect("published");
        }
    });
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    // One in some may find room at once.
    for number in 0..20 {
        let (device, parameter) = (format!("iot-{number}"), format!("License={number}"));
        let arguments = [
            device.as_str(),
            "--template",
            "fleet",
            "--parameter",
            &parameter,
        ];
        let mut child = station.folder.start("fleet-provision", &arguments);
        let stderr = child.stderr.take().expect("a pipe");
        let throttled = tokio::task::block_in_place(|| {
            let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stderr));
            lines.any(|line| line.is_ok_and(|line| line.contains("asking again in")))
        });
        if throttled {
            flood.abort();
        }
        tokio::task::block_in_place(|| station.folder.finish(child)).ok();
        if throttled {
            return;
        }
    }
    panic!("nobody was throttled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_may_do_nothing_but_claim() {
    let station = fleet().await;
    let connection = |client_id: &str| {
        let mut options = claimed(&station, client_id);
        options.retry.attempts = 1;
        options
    };
    // Under the name of a device it would end that device's connection.
    let refused = Session::connect(connection("iot-123"), |_| ()).await;
    assert!(refused.is_err());
    for topic in [
        "iot-123/telemetry",
        "$aws/things/iot-123/shadow/update",
        "$aws/provisioning-templates/other/provision/json",
        "$aws/certificates/elsewhere",
    ] {
        let mut session = Session::connect(connection("claim-x"), |_| ()).await;
        let session = session.as_mut().expect("connected");
        let message = Publish::new(topic, "{}", Qos::AtLeastOnce).expect("a message");
        let refused = session.publish(message).await;
        assert!(
            matches!(refused, Err(MqttError::PublishRefused { .. })),
            "{topic}"
        );
    }
    let session = Session::connect(connection("claim-x"), |_| ()).await;
    let mut session = session.expect("connected");
    let filters = [
        "#".to_owned(),
        "$aws/certificates/create/json/accepted".to_owned(),
    ];
    let answers = session.subscribe(&filters, Qos::AtLeastOnce).await;
    let answers = answers.expect("answered");
    assert!(answers[0].is_err() && answers[1].is_ok(), "{answers:?}");
}

/// How to connect with the claim.
fn claimed(station: &Station, client_id: &str) -> Connection {
    let store = Store::open(station.folder.path("")).expect("a store");
    let claim = store.load_claim(&"fleet".parse().expect("a name"));
    let claim = claim.expect("readable").expect("there");
    let key = claim.private_key().to_pem();
    let identity = Identity::from_pem(claim.chain_pem().as_bytes(), key.as_bytes());
    let root = std::fs::read(cafile(station)).expect("the root");
    let trust = Trust::from_pem(&root, "root").expect("a root");
    let endpoint = station.core.mqtt_endpoint().parse().expect("an endpoint");
    Connection::new(endpoint, client_id, identity.expect("an identity"), trust)
}

fn cafile(station: &Station) -> PathBuf {
    let environment = station.core.environment();
    let found = environment
        .into_iter()
        .find(|(name, _)| *name == "AWS_IOT_CAFILE");
    found.expect("the environment names it").1.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_with_one_serial_number_are_one_thing_with_two_certificates() {
    let station = fleet().await;
    let mut ends = Vec::new();
    for folder in ["one", "other"] {
        std::fs::create_dir(station.folder.path(folder)).expect("a folder");
        let arguments = [
            "iot-7",
            "--template",
            "fleet",
            "--parameter",
            "License=7",
            "--dir",
            folder,
            "--claim-certificate",
            "fleet.claim.pem",
            "--claim-key",
            "fleet.claim.key",
        ];
        ends.push(station.folder.start("fleet-provision", &arguments));
    }
    for child in ends {
        let ended = tokio::task::block_in_place(|| station.folder.finish(child));
        // Without a hook nothing tells the second from the first; neither gets half an identity.
        ended.ok();
    }
    let name: ThingName = "iot-7".parse().expect("a name");
    let mut ids: Vec<String> = ["one", "other"]
        .iter()
        .map(|folder| {
            let store = Store::open(station.folder.path(folder)).expect("a store");
            let device = store.load_device(&name).expect("an identity");
            device.certificate().id().to_string()
        })
        .collect();
    ids.sort();
    let mut attached = ids_of(&station, "iot-7");
    attached.sort();
    assert_eq!(ids, attached);
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_for_one_device_in_one_folder_are_one_at_a_time() {
    let station = fleet().await;
    let arguments = [
        "iot-7",
        "--template",
        "fleet",
        "--parameter",
        "License=7",
        "--key-type",
        "rsa4096",
    ];
    let first = station.folder.start("fleet-provision", &arguments);
    let second = station.folder.start("fleet-provision", &arguments);
    let ends =
        [first, second].map(|child| tokio::task::block_in_place(|| station.folder.finish(child)));
    let mut codes = ends.each_ref().map(|ended| ended.code);
    codes.sort_unstable();
    // The other one found it under way, or done.
    assert!(codes == [0, 5] || codes == [0, 0], "{ends:#?}");
    assert_eq!(ids_of(&station, "iot-7").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_before_its_end() {
    let station = fleet().await;
    let first = provision(&station, "1", &[]).await.json();
    let soon = station.run("needs-renewal", &["iot-1"]).await;
    assert_eq!(soon.code, 9, "AWS issues them until 2049: {soon:?}");
    let within = ["iot-1", "--within", "36500d"];
    station.run("needs-renewal", &within).await.ok();
    station.run("needs-renewal", &["iot-2"]).await.fails(4);

    // The claim is not needed for it.
    for file in CLAIM {
        std::fs::remove_file(station.folder.path(file)).expect("removed");
    }
    let renewed = provision(&station, "1", &["--renew"]).await.json();
    assert_eq!(renewed[0]["outcome"], "renewed");
    assert_ne!(renewed[0]["certificateId"], first[0]["certificateId"]);
    station.run("pub", &["iot-1", "hello"]).await.ok();
    assert_eq!(ids_of(&station, "iot-1").len(), 2, "the old one stays");
    let files = ["iot-1.crt", "iot-1.fleet.json", "iot-1.key"];
    assert_eq!(station.folder.files(), files);

    let refused = [
        "iot-1",
        "--template",
        "fleet",
        "--parameter",
        "License=2",
        "--renew",
    ];
    let refusal = station.run("fleet-provision", &refused).await.fails(5);
    assert!(refusal.contains("iot-2"), "{refusal}");
    station.run("pub", &["iot-1", "hello"]).await.ok();
    assert_eq!(station.folder.files(), files);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_device_has_its_claim_or_its_identity_and_goes_on() {
    let station = fleet().await;
    let mut interrupted = 0;
    for round in 0..24_u64 {
        let (device, license) = (format!("iot-{round}"), format!("License={round}"));
        let arguments = [
            device.as_str(),
            "--template",
            "fleet",
            "--parameter",
            &license,
        ];
        let mut child = station
            .folder
            .command("fleet-provision", &arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        tokio::time::sleep(Duration::from_millis(10 + 8 * round)).await;
        let _ = child.kill();
        let _ = child.wait();
        let identity = |name: &str| station.folder.path(name).exists();
        let done = identity(&format!("{device}.crt"));
        interrupted += usize::from(!done);
        assert!(CLAIM.iter().all(|file| identity(file)), "the claim stays");
        if done {
            let key = std::fs::read(station.folder.path(&format!("{device}.key"))).expect("a key");
            assert!(belongs(
                &key,
                &station.folder.path(&format!("{device}.crt"))
            ));
        }
        provision(&station, &round.to_string(), &[]).await.json();
        assert_eq!(ids_of(&station, &device).len(), 1, "registered once");
        assert!(
            !station
                .folder
                .path(&format!("{device}.provisioning"))
                .exists()
        );
    }
    assert!(interrupted > 0, "every run was faster than its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_has_expired_is_refused_once_and_says_so() {
    let station = with_what_a_fleet_needs().await;
    create_fleet(&station, &[]).await;
    let past = OffsetDateTime::now_utc() - time::Duration::days(20);
    let profile = Profile::device().with_validity(Validity::Days(10));
    let name: ThingName = "fleet".parse().expect("a name");
    let claim = SelfSigned::create(&name, &profile, past).expect("a claim");
    let pem = claim.certificate().to_pem();
    Store::open(station.folder.path(""))
        .and_then(|store| store.save_claim(&name, claim.private_key(), &pem))
        .expect("saved");
    // As a claim that was made in time, and was carried around too long.
    let register = |tx: &mut jitp_local::account::Transaction| {
        certificates::register_without_ca(tx, &pem, CertificateStatus::Active).map(drop)
    };
    station.core.account().write(register).expect("registered");

    let started = std::time::Instant::now();
    let stderr = provision(&station, "1", &[]).await;
    let stderr = stderr.fails(8);
    assert!(stderr.contains(" 1 attempt "), "{stderr}");
    assert!(stderr.contains("certificate expired on"), "{stderr}");
    assert!(started.elapsed() < Duration::from_secs(20), "{stderr}");
    assert!(!station.folder.path("iot-1.provisioning").exists());
    // The local core tells it too.
    let recent = station.core.diary().recent();
    let told = |entry: &jitp_local::diary::Entry| entry.sentence.contains("is expired");
    assert!(recent.iter().any(told), "{recent:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_certificate_has_expired_is_refused_once_and_says_so() {
    let station = Station::start().await;
    let past = OffsetDateTime::now_utc() - time::Duration::days(20);
    let store = Store::open(station.folder.path("")).expect("a folder");
    let subject = Subject::positional(&["root"]).expect("a subject");
    let ca = CertificateAuthority::create_root(&subject, KeyType::P256, Validity::Days(900), past);
    let ca = ca.expect("a CA");
    let name = "root".parse().expect("a name");
    store.save_ca(&name, &ca).expect("saved");
    station.run("register", &[] as &[&str]).await.ok();
    let profile = Profile::device().with_validity(Validity::Days(10));
    let device: ThingName = "sensor".parse().expect("a name");
    let issued = ca.issue(&device, &profile, past).expect("issued");
    store.save_device(&issued).expect("saved");
    for (name, arguments) in [
        ("pub", &["sensor", "hello"][..]),
        ("sub", &["sensor", "--timeout", "5"]),
        ("sub", &["sensor", "--mqtt-version", "3.1.1"]),
    ] {
        let started = std::time::Instant::now();
        let stderr = station.run(name, arguments).await.fails(8);
        assert!(stderr.contains(" 1 attempt "), "{stderr}");
        assert!(stderr.contains("certificate expired on"), "{stderr}");
        assert!(started.elapsed() < Duration::from_secs(20), "{stderr}");
    }
    assert!(station.core.account().snapshot().things.is_empty());
}

fn belongs(key: &[u8], certificate: &Path) -> bool {
    let key = openssl::pkey::PKey::private_key_from_pem(key).expect("a key");
    let pem = std::fs::read(certificate).expect("a certificate");
    let certificate = openssl::x509::X509::from_pem(&pem).expect("readable");
    let public = certificate.public_key().expect("a key");
    public.public_eq(&key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_says_what_is_left_and_another_run_goes_on() {
    let station = fleet().await;
    // Nobody answers on this port: the program waits for its connection.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!(
        "localhost:{}",
        silent.local_addr().expect("its address").port()
    );
    let arguments = [
        "iot-1",
        "--template",
        "fleet",
        "--parameter",
        "License=1",
        "--endpoint",
        &endpoint,
    ];
    let child = station.folder.start("fleet-provision", &arguments);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status();
    assert!(sent.expect("kill is there").success());
    let ended = tokio::task::block_in_place(|| station.folder.finish(child));
    let stderr = ended.fails(143);
    assert!(stderr.contains("iot-1.provisioning"), "{stderr}");
    provision(&station, "1", &[]).await.json();
}
