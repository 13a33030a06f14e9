//! Provisioning templates: made, changed by versions, bound to a CA, linted.

use jitp_local::server::Options;
use serde_json::Value;

use crate::support::Station;

const FLEET: &str = "etc/templates/fleet.json";

/// A file of the repository, for a program that runs elsewhere.
fn repository(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// A station with the type, the group and the policy that the fleet's template names.
pub(crate) async fn with_what_a_fleet_needs() -> Station {
    with_what_a_fleet_needs_of(Default::default()).await
}

/// The same, of a core of another kind.
pub(crate) async fn with_what_a_fleet_needs_of(options: Options) -> Station {
    use jitp_local::account::{groups, policies, types};
    let station = Station::with(options).await;
    let policy = jitp_cloud::device_policy("fleet").expect("a policy");
    station
        .core
        .account()
        .write(|tx| {
            policies::create(tx, "FleetDevice", &policy, Default::default())?;
            types::create(tx, "Sensor", Default::default(), Default::default())?;
            groups::create(tx, "Fleet", None, Default::default(), Default::default())?;
            Ok(())
        })
        .expect("made");
    station
}

pub(crate) const VALUES: [&str; 6] = [
    "--set",
    "PolicyName=FleetDevice",
    "--set",
    "ThingTypeName=Sensor",
    "--set",
    "ThingGroupName=Fleet",
];

/// `template create fleet` of the shipped template, with more flags.
pub(crate) async fn create_fleet(station: &Station, more: &[&str]) -> String {
    let body = repository(FLEET);
    let mut arguments = vec!["create", "fleet", "--body", &body];
    arguments.extend(VALUES);
    arguments.extend(more);
    station.run("template", &arguments).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_made_once_and_another_of_its_name_is_a_conflict() {
    let station = with_what_a_fleet_needs().await;
    let made = create_fleet(&station, &["--description", "the fleet"]).await;
    assert!(
        made.starts_with("fleet\tcreated\t1\tarn:aws:iot:"),
        "{made}"
    );
    let again = create_fleet(&station, &["--description", "the fleet"]).await;
    assert!(again.starts_with("fleet\tunchanged\t1\t"), "{again}");
    let body = repository(FLEET);
    let mut other = vec!["create", "fleet", "--disabled", "--body", &body];
    other.extend(VALUES);
    let refusal = station.run("template", &other).await.fails(5);
    assert!(refusal.contains("description, enabled flag"), "{refusal}");
    let shown = station
        .run("template", &["show", "fleet", "--output", "json"])
        .await
        .json();
    assert_eq!(shown[0]["type"], "FLEET_PROVISIONING");
    assert_eq!(shown[0]["enabled"], true);
    assert_eq!(shown[0]["versionIds"], serde_json::json!([1]));
    let listed = station.run("template", &["list"]).await.ok();
    assert_eq!(listed, "fleet\tFLEET_PROVISIONING\tenabled\tthe fleet\n");
    let body = station
        .run("template", &["show", "fleet", "--body"])
        .await
        .ok();
    assert_eq!(body.lines().count(), 1, "AWS counts white space: {body}");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        body["Resources"]["policy"]["Properties"]["PolicyName"],
        "FleetDevice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_template_names_must_exist_and_the_remedy_is_told() {
    let station = Station::start().await;
    let body = repository(FLEET);
    let mut arguments = vec!["create", "fleet", "--body", &body];
    arguments.extend(VALUES);
    let refusal = station.run("template", &arguments).await.fails(4);
    assert!(refusal.contains("policy FleetDevice"), "{refusal}");
    assert!(refusal.contains("aws iot create-policy"), "{refusal}");
    let templates = &station.core.account().snapshot().provisioning_templates;
    assert!(templates.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_changes_by_versions_and_room_is_made_only_when_told() {
    let station = with_what_a_fleet_needs().await;
    create_fleet(&station, &[]).await;
    let text = std::fs::read_to_string(repository(FLEET)).expect("the template");
    let mut bodies = Vec::new();
    for number in 2..=6 {
        let name = format!("version-{number}.json");
        let text = text.replace("iot-", &format!("iot{number}-"));
        std::fs::write(station.folder.path(&name), text).expect("written");
        bodies.push(name);
    }
    let update = async |body: &str, more: &[&str]| {
        let mut arguments = vec!["update", "fleet", "--body", body];
        arguments.extend(VALUES);
        arguments.extend(more);
        station.run("template", &arguments).await
    };
    for (index, body) in bodies[..4].iter().enumerate() {
        let updated = update(body, &[]).await.ok();
        let number = index + 2;
        assert!(
            updated.starts_with(&format!("fleet\tupdated\t{number}\t")),
            "{updated}"
        );
    }
    let full = update(&bodies[4], &[]).await.fails(5);
    assert!(full.contains("--drop-oldest-version"), "{full}");
    let versions = || {
        let state = station.core.account().snapshot();
        let template = &state.provisioning_templates["fleet"];
        let numbers: Vec<u32> = template.versions.keys().copied().collect();
        (template.default_version, numbers)
    };
    assert_eq!(versions(), (5, vec![1, 2, 3, 4, 5]));
    // Going back takes no new version.
    let back = update(&bodies[1], &[]).await.ok();
    assert!(back.starts_with("fleet\tupdated\t3\t"), "{back}");
    assert_eq!(versions(), (3, vec![1, 2, 3, 4, 5]));
    update(&bodies[4], &["--drop-oldest-version"]).await.ok();
    assert_eq!(versions(), (6, vec![2, 3, 4, 5, 6]));
    let same = update(&bodies[4], &[]).await.ok();
    assert!(same.starts_with("fleet\tunchanged\t6\t"), "{same}");
    station
        .run("template", &["update", "fleet", "--disable"])
        .await
        .ok();
    let state = station.core.account().snapshot();
    assert!(!state.provisioning_templates["fleet"].enabled);
    station.run("template", &["update", "fleet"]).await.fails(2);
    station
        .run("template", &["update", "none", "--enable"])
        .await
        .fails(4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_for_fleets_and_can_be_taken_away() {
    let station = with_what_a_fleet_needs().await;
    let hook = "arn:aws:lambda:eu-central-1:123456789012:function:allow";
    create_fleet(&station, &["--hook", hook]).await;
    let hook_of = |station: &Station| {
        let state = station.core.account().snapshot();
        state.provisioning_templates["fleet"].hook.clone()
    };
    let found = hook_of(&station).expect("a hook");
    assert_eq!(found["targetArn"], hook);
    assert_eq!(found["payloadVersion"], "2020-04-01");
    station
        .run("template", &["update", "fleet", "--no-hook"])
        .await
        .ok();
    assert_eq!(hook_of(&station), None);
    let device = repository("etc/templates/device.json");
    let arguments = [
        "create", "factory", "--type", "jitp", "--body", &device, "--hook", hook,
    ];
    station.run("template", &arguments).await.fails(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_is_bound_to_a_template_and_its_devices_get_in() {
    let station = Station::start().await;
    station.run("create-root", &[] as &[&str]).await.ok();
    station
        .run("register", &["--template-name", "factory"])
        .await
        .fails(4);
    let device = repository("etc/templates/device.json");
    let arguments = ["create", "factory", "--type", "jitp", "--body", &device];
    station.run("template", &arguments).await.ok();
    let bound = ["register", "--template-name", "factory"];
    let registered = station.run("register", &bound[1..]).await.ok();
    assert!(registered.contains("\tregistered\t"), "{registered}");
    let again = station.run("register", &bound[1..]).await.ok();
    assert!(again.contains("\tunchanged\t"), "{again}");
    station
        .run("register", &["--template-name", "factory", "--drift"])
        .await
        .ok();
    station
        .run("provision", &["sensor", "--connect"])
        .await
        .ok();
    assert!(
        station
            .core
            .account()
            .snapshot()
            .things
            .contains_key("sensor")
    );
    let yes = ["delete", "factory", "--yes"];
    station.run("template", &yes).await.fails(5);
    // Back to a template that is kept with the CA.
    let back = station.run("register", &[] as &[&str]).await.ok();
    assert!(back.contains("\tupdated\t"), "{back}");
    station
        .run("template", &["delete", "factory"])
        .await
        .fails(2);
    station.run("template", &yes).await.ok();
    station.run("template", &yes).await.fails(4);
}

#[test]
fn lint_finds_by_json_path_and_answers_by_exit_code() {
    use crate::support::Folder;
    let folder = Folder::new();
    let fleet = repository(FLEET);
    let mut good = vec!["lint", &fleet, "--sends", "License"];
    good.extend(VALUES);
    let notes = folder.run("template", &good).ok();
    assert!(
        notes.lines().all(|line| line.contains("\tnote\t")),
        "{notes}"
    );
    let claim = repository("policies/FleetClaim.json");
    assert_eq!(folder.run("template", &["lint", &claim]).ok(), "");

    let wide = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"iot:*","Resource":"*"},
        {"Effect":"Allow","Action":"iot:Subscribe","Resource":"arn:aws:iot:*:*:topic/a"}]}"#;
    std::fs::write(folder.path("wide.json"), wide).expect("written");
    let found = folder.run("template", &["lint", "wide.json"]);
    assert_eq!(found.code, 9, "{found:?}");
    let paths: Vec<&str> = found
        .stdout
        .lines()
        .map(|line| line.split('\t').nth(2).expect("a path"))
        .collect();
    let expected = [
        "$.Statement[0]",
        "$.Statement[1].Action",
        "$.Statement[1].Resource",
    ];
    assert_eq!(paths, expected);
    folder
        .run("template", &["lint", "wide.json", "--allow-warnings"])
        .ok();

    let mut unsent = vec!["lint", &fleet, "--sends", "Serial", "--output", "json"];
    unsent.extend(VALUES);
    let found = folder.run("template", &unsent);
    assert_eq!(found.code, 9);
    assert!(found.stdout.contains("$.Parameters.License"), "{found:?}");
    // Placeholders that are not filled in are no names.
    assert_eq!(folder.run("template", &["lint", &fleet]).code, 9);
    let jitp = repository("etc/templates/device.json");
    folder
        .run("template", &["lint", &jitp, "--type", "jitp"])
        .ok();
    assert_eq!(folder.run("template", &["lint", &jitp]).code, 9);
}
