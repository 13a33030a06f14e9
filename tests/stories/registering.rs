//! Registering a CA: once, again, otherwise, and wrongly.

use serde_json::{Value, json};

use crate::support::{Folder, Station};

const NOTHING: [&str; 0] = [];

fn template(policy: &str) -> Value {
    json!({
        "Parameters": {"AWS::IoT::Certificate::CommonName": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {
                "ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"}}},
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {
                "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"}},
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": policy}},
        },
    })
}

fn write(folder: &Folder, name: &str, document: &Value) {
    std::fs::write(folder.path(name), document.to_string()).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_changes_nothing_and_another_template_is_brought_into_line() {
    let station = Station::start().await;
    station.run("create-root", &NOTHING).await.ok();
    let first = station.run("register", &NOTHING).await.ok();
    assert!(
        first.starts_with("root\tregistered\tarn:aws:iot:"),
        "{first}"
    );
    let second = station.run("register", &NOTHING).await.ok();
    assert!(second.starts_with("root\tunchanged\t"), "{second}");

    write(&station.folder, "other.json", &template("IoTAccess"));
    let third = station
        .run("register", &["--template", "other.json"])
        .await
        .ok();
    assert!(third.starts_with("root\tupdated\t"), "{third}");
    let fourth = station
        .run("register", &["--template", "other.json"])
        .await
        .ok();
    assert!(fourth.starts_with("root\tunchanged\t"), "{fourth}");
    let role = station
        .run(
            "register",
            &[
                "--template",
                "other.json",
                "--role-arn",
                "arn:aws:iam::123456789012:role/Other",
            ],
        )
        .await
        .ok();
    assert!(role.starts_with("root\tupdated\t"), "{role}");

    let state = station.core.account().snapshot();
    let ca = state.ca_certificates.values().next().expect("one CA");
    assert!(ca.active && ca.auto_registration);
    let config = ca.registration_config.as_ref().expect("a template");
    assert_eq!(
        config.role_arn.as_deref(),
        Some("arn:aws:iam::123456789012:role/Other")
    );
    assert_eq!(
        station.folder.files(),
        ["other.json", "root.ca.key", "root.ca.pem"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_looked_at_before_the_service_is_asked_to_take_it() {
    let station = Station::start().await;
    station.run("create-root", &NOTHING).await.ok();
    let register = async |role| station.run("register", &["--role-arn", role]).await;
    let stderr = register("nonsense").await.fails(2);
    assert!(stderr.contains("not the ARN of a role"), "{stderr}");

    let foreign = "arn:aws:iam::999999999999:role/IoTProvisioning";
    let stderr = register(foreign).await.fails(3);
    assert!(
        stderr.contains("999999999999") && stderr.contains("not of account 123456789012"),
        "{stderr}"
    );
    let body = station.folder.path("other.json");
    std::fs::write(&body, template("IoTAccess").to_string()).expect("written");
    let create = [
        "create",
        "factory",
        "--type",
        "jitp",
        "--body",
        "other.json",
    ];
    let create = [&create[..], &["--role-arn", foreign]].concat();
    let stderr = station.run("template", &create).await.fails(3);
    assert!(stderr.contains("not of account 123456789012"), "{stderr}");
    assert!(station.core.account().snapshot().ca_certificates.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_the_same_in_json() {
    let station = Station::start().await;
    station.run("create-root", &NOTHING).await.ok();
    let answer = station.run("register", &["--output=json"]).await.json();
    assert_eq!(answer[0]["ca"], "root");
    assert_eq!(answer[0]["outcome"], "registered");
    let id = answer[0]["certificateId"].as_str().expect("an id");
    assert!(
        answer[0]["certificateArn"]
            .as_str()
            .is_some_and(|arn| arn.ends_with(id))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_proof_of_possession_it_is_sni_only_for_good() {
    let station = Station::start().await;
    station.run("create-root", &NOTHING).await.ok();
    station.run("register", &["--mode", "sni-only"]).await.ok();
    let stderr = station.run("register", &NOTHING).await.fails(5);
    assert!(stderr.contains("SNI_ONLY"), "{stderr}");
    assert!(stderr.contains("delete-ca-certificate"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_cannot_work_is_refused_before_anything_is_sent() {
    let station = Station::start().await;
    station.run("create-root", &NOTHING).await.ok();

    write(&station.folder, "missing.json", &template("NoSuchPolicy"));
    let stderr = station
        .run("register", &["--template", "missing.json"])
        .await
        .fails(4);
    assert!(stderr.contains("NoSuchPolicy"), "{stderr}");
    assert!(stderr.contains("aws iot create-policy"), "{stderr}");

    for (member, value, command) in [
        ("ThingTypeName", json!("pump"), "aws iot create-thing-type"),
        (
            "ThingGroups",
            json!(["berlin"]),
            "aws iot create-thing-group",
        ),
        (
            "BillingGroup",
            json!("acme"),
            "aws iot create-billing-group",
        ),
    ] {
        let mut document = template("IoTAccess");
        document["Resources"]["thing"]["Properties"][member] = value;
        write(&station.folder, "names.json", &document);
        let stderr = station
            .run("register", &["--template", "names.json"])
            .await
            .fails(4);
        assert!(stderr.contains(command), "{stderr}");
    }

    let mut undeclared = template("IoTAccess");
    undeclared["Resources"]["thing"]["Properties"]["ThingName"] =
        json!({"Ref": "AWS::IoT::Certificate::SerialNumber"});
    write(&station.folder, "undeclared.json", &undeclared);
    let stderr = station
        .run("register", &["--template", "undeclared.json"])
        .await
        .fails(3);
    assert!(
        stderr.contains("$.Resources.thing.Properties.ThingName"),
        "{stderr}"
    );

    let mut hopeless = template("IoTAccess");
    hopeless["Parameters"]["SerialNumber"] = json!({"Type": "String"});
    write(&station.folder, "hopeless.json", &hopeless);
    let stderr = station
        .run("register", &["--template", "hopeless.json"])
        .await
        .fails(3);
    assert!(stderr.contains("$.Parameters.SerialNumber"), "{stderr}");

    std::fs::write(station.folder.path("broken.json"), "{\"Resources\": ").expect("written");
    let stderr = station
        .run("register", &["--template", "broken.json"])
        .await
        .fails(3);
    assert!(stderr.contains("broken.json"), "{stderr}");
    let stderr = station
        .run("register", &["--template", "nowhere.json"])
        .await
        .fails(3);
    assert!(stderr.contains("nowhere.json"), "{stderr}");

    assert!(station.core.account().snapshot().ca_certificates.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_account_stops_everything() {
    let mut station = Station::start().await;
    station.run("create-root", &NOTHING).await.ok();
    station.folder.set("AWS_ACCOUNT", "999999999999");
    let stderr = station.run("register", &NOTHING).await.fails(3);
    assert!(
        stderr.contains("999999999999") && stderr.contains("123456789012"),
        "{stderr}"
    );
    assert!(station.core.account().snapshot().ca_certificates.is_empty());
}

#[test]
fn configuration_that_is_missing_is_named() {
    let mut folder = Folder::new();
    folder.run("create-root", &NOTHING).ok();
    let stderr = folder.run("register", &NOTHING).fails(3);
    assert!(stderr.contains("no AWS region"), "{stderr}");
    folder.set("AWS_REGION", "eu-central-1");
    folder.set("AWS_EC2_METADATA_DISABLED", "true");
    let stderr = folder.run("register", &NOTHING).fails(3);
    assert!(stderr.contains("credentials"), "{stderr}");
    folder.set("AWS_ACCESS_KEY_ID", "x");
    folder.set("AWS_SECRET_ACCESS_KEY", "x");
    // Nothing listens on port 1.
    folder.set("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let stderr = folder.run("register", &NOTHING).fails(7);
    assert!(
        stderr.contains("no answer from AWS after 5 attempts"),
        "{stderr}"
    );
}

#[test]
fn an_environment_that_makes_no_sense_is_named() {
    let mut folder = Folder::new();
    folder.run("create-root", &NOTHING).ok();
    folder.set("AWS_REGION", "");
    let stderr = folder.run("register", &NOTHING).fails(3);
    assert!(stderr.contains("no AWS region"), "{stderr}");
    folder.set("AWS_REGION", "eu-central-1");
    for url in ["", "localhost:4566", "http://", "http://a b"] {
        folder.set("AWS_ENDPOINT_URL", url);
        let stderr = folder.run("register", &NOTHING).fails(3);
        assert!(stderr.contains("AWS_ENDPOINT_URL"), "{url:?}: {stderr}");
    }
    std::fs::write(folder.path("huge"), vec![b' '; 5 * 1024 * 1024]).expect("written");
    let stderr = folder.run("register", &["--template", "huge"]).fails(3);
    assert!(stderr.contains("larger than"), "{stderr}");
}
