//! Taking down what a template made, until nothing is left that terraform destroy would stumble over.

use std::time::Instant;

use jitp_local::account::{Clock, things};
use jitp_local::server::Options;
use time::OffsetDateTime;

use crate::support::Station;
use crate::templates::{create_fleet, with_what_a_fleet_needs_of};

/// A core whose time runs a hundred times as fast: five minutes are three seconds.
fn fast() -> Options {
    let (start, began) = (OffsetDateTime::now_utc(), Instant::now());
    let clock = Clock::from_fn(move || start + began.elapsed() * 100);
    Options {
        clock,
        ..Options::default()
    }
}

async fn fleet_of_three() -> Station {
    let station = with_what_a_fleet_needs_of(fast()).await;
    create_fleet(&station, &[]).await;
    station.run("create-claim", &["fleet"]).await.ok();
    for license in ["1", "2", "3"] {
        let (device, parameter) = (format!("iot-{license}"), format!("License={license}"));
        let arguments = [
            device.as_str(),
            "--template",
            "fleet",
            "--parameter",
            &parameter,
        ];
        station.run("fleet-provision", &arguments).await.ok();
    }
    // Not of the fleet: neither its type nor its group.
    station
        .run("create-thing", &["other", "--aws-keys"])
        .await
        .ok();
    station
}

/// Action and outcome of each line.
fn lines(answer: &str) -> Vec<(String, String)> {
    let lines = answer.lines().map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        (
            format!("{} {}", columns[0], columns[1]),
            columns[2].to_owned(),
        )
    });
    let mut lines: Vec<(String, String)> = lines.collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_template_made_goes_and_the_rest_stays_for_terraform() {
    let station = fleet_of_three().await;
    station.run("teardown", &["fleet"]).await.fails(2);
    station.run("teardown", &["none", "--yes"]).await.fails(4);
    let before = station.core.account().snapshot();
    let plan = station.run("teardown", &["fleet", "--dry-run"]).await.ok();
    let planned = |step: &str| (step.to_owned(), "planned".to_owned());
    assert_eq!(
        lines(&plan),
        [
            planned("delete-thing iot-1"),
            planned("delete-thing iot-2"),
            planned("delete-thing iot-3"),
            planned("delete-thing-type Sensor"),
            planned("deprecate-thing-type Sensor"),
            planned("disable-template fleet"),
        ]
    );
    let after = station.core.account().snapshot();
    assert_eq!(before.things.len(), after.things.len());

    let done = station.run("teardown", &["fleet", "--yes"]).await;
    assert!(
        done.stderr.contains("safe to run terraform destroy"),
        "{done:?}"
    );
    let done = done.ok();
    assert!(done.ends_with("template\tfleet\ttorn-down\n"), "{done}");
    let state = station.core.account().snapshot();
    let things: Vec<&str> = state.things.keys().map(|name| &**name).collect();
    assert_eq!(things, ["other"]);
    assert!(!state.thing_types.contains_key("Sensor"));
    assert!(
        state.policies.contains_key("FleetDevice"),
        "terraform's own"
    );
    assert!(state.thing_groups.contains_key("Fleet"), "terraform's own");
    assert!(!state.provisioning_templates["fleet"].enabled);
    // The claim's, and that of the other thing.
    assert_eq!(state.certificates.len(), 2);

    let again = station.run("teardown", &["fleet", "--yes"]).await.ok();
    assert_eq!(again, "template\tfleet\ttorn-down\n");
    let claims = ["fleet", "--claims", "--yes"];
    station.run("teardown", &claims).await.ok();
    let state = station.core.account().snapshot();
    assert_eq!(state.certificates.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_be_kept_stays_and_so_does_its_type() {
    let station = fleet_of_three().await;
    let account = station.core.account();
    account
        .write(|tx| {
            let change = things::UpdateThing {
                attributes: Some([("keep".to_owned(), "yes".to_owned())].into()),
                merge: true,
                ..Default::default()
            };
            things::update(tx, "iot-2", change)
        })
        .expect("kept");
    let done = station.run("teardown", &["fleet", "--yes"]).await;
    assert!(done.stderr.contains("2 that stay"), "{done:?}");
    let done = done.ok();
    assert!(
        done.contains("thing\tiot-2\tstays\tattribute keep\n"),
        "{done}"
    );
    assert!(done.contains("thing-type\tSensor\tstays\t"), "{done}");
    let state = account.snapshot();
    let things: Vec<&str> = state.things.keys().map(|name| &**name).collect();
    assert_eq!(things, ["iot-2", "other"]);
    assert!(state.thing_types["Sensor"].deprecation_date.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_teardown_is_finished_by_another() {
    use jitp_local::control::{Fault, FaultKind};
    let station = fleet_of_three().await;
    let faults = station.core.faults();
    faults.order(Fault::next("DeleteCertificate", FaultKind::Fail).times(10_000));
    let failed = station.run("teardown", &["fleet", "--yes"]).await;
    faults.clear();
    assert!([7, 10].contains(&failed.code), "{failed:?}");
    let done = station.run("teardown", &["fleet", "--yes"]).await.ok();
    assert!(done.ends_with("template\tfleet\ttorn-down\n"), "{done}");
    let state = station.core.account().snapshot();
    assert_eq!(state.things.len(), 1);
    assert_eq!(state.certificates.len(), 2);
}
