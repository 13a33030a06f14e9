//! A CA for one line: below the root, with a quota, and without the root's key.

use std::fs;
use std::process::Command;

use crate::custody::give_token;
use crate::support::{Folder, Station};

const QUOTA: [&str; 4] = ["--count", "10", "--prefix", "pump-"];

fn make_line(folder: &Folder) {
    folder.run("create-root", &["root"]).ok();
    let line = folder
        .run("create-intermediate", &[&["line-4"], &QUOTA[..]].concat())
        .ok();
    assert_eq!(
        line,
        "line-4\tcreated\tline-4.ca.key\tline-4.ca.pem\tline-4.ca.quota.json\n"
    );
}

/// What openssl says of a device below the line.
fn verified(folder: &Folder, line: &str, device: &str) -> bool {
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"])
        .arg(folder.path("root.ca.pem"))
        .arg("-untrusted")
        .arg(folder.path(line))
        .arg(folder.path(device))
        .output()
        .expect("openssl is installed");
    output.status.success()
}

#[test]
fn a_line_has_three_files_and_never_the_key_of_the_root() {
    let office = Folder::new();
    make_line(&office);
    let line = Folder::new();
    for file in ["line-4.ca.key", "line-4.ca.pem", "line-4.ca.quota.json"] {
        fs::copy(office.path(file), line.path(file)).expect("copied");
    }
    let made = line.run("provision", &["pump-1", "line-4"]);
    assert_eq!(made.stderr, "");
    made.ok();
    let chain = fs::read_to_string(line.path("pump-1.crt")).expect("text");
    let ca = fs::read_to_string(line.path("line-4.ca.pem")).expect("text");
    assert!(chain.ends_with(&ca), "leaf, then the CA that signed it");
    fs::copy(line.path("pump-1.crt"), office.path("pump-1.crt")).expect("copied");
    assert!(verified(&office, "line-4.ca.pem", "pump-1.crt"));
    let stderr = line
        .run(
            "create-intermediate",
            &["deeper", "line-4", "--validity", "ca"],
        )
        .fails(6);
    assert!(stderr.contains("may not make another CA"), "{stderr}");
}

#[test]
fn the_quota_bounds_what_a_line_makes_and_shows_every_change() {
    let folder = Folder::new();
    make_line(&folder);
    let stderr = folder.run("provision", &["valve-1", "line-4"]).fails(6);
    assert!(
        stderr.contains("names that begin with pump-, and valve-1 does not"),
        "{stderr}"
    );
    assert!(
        stderr.contains("hint: ask whoever holds the CA above"),
        "{stderr}"
    );
    assert!(!folder.path("valve-1.key").exists());

    let file = folder.path("line-4.ca.quota.json");
    let document = fs::read_to_string(&file).expect("text");
    for (from, to, why) in [
        (
            "\"count\": 10",
            "\"count\": 99",
            "its signature is not that of the CA above",
        ),
        ("{", "[", "it is no quota"),
    ] {
        fs::write(&file, document.replacen(from, to, 1)).expect("written");
        let stderr = folder.run("provision", &["pump-1", "line-4"]).fails(3);
        assert!(
            stderr.contains("line-4.ca.quota.json") && stderr.contains(why),
            "{stderr}"
        );
    }
    // The one of another line, from the same root.
    folder
        .run("create-intermediate", &["line-5", "--count", "9"])
        .ok();
    fs::copy(folder.path("line-5.ca.quota.json"), &file).expect("copied");
    let stderr = folder.run("provision", &["pump-1", "line-4"]).fails(3);
    assert!(stderr.contains("quota of another CA"), "{stderr}");
    fs::remove_file(&file).expect("removed");
    let without = folder.run("provision", &["pump-1", "line-4"]);
    assert!(
        without
            .stderr
            .contains("warning: line-4 is a CA below another one"),
        "{without:?}"
    );
    without.ok();

    // Whatever signs keeps to the quota, before anybody else is asked.
    folder
        .run("create-intermediate", &[&["line-4"], &QUOTA[..]].concat())
        .ok();
    for (program, arguments) in [
        ("create-thing", ["valve-2", "--ca", "line-4"]),
        ("create-claim", ["fleet", "--ca", "line-4"]),
    ] {
        let stderr = folder.run(program, &arguments).fails(6);
        assert!(stderr.contains("names that begin with pump-"), "{stderr}");
    }

    // Time is a bound too.
    let over = ["--count", "10", "--until", "2020-01-01"];
    let stderr = folder
        .run("create-intermediate", &[&["line-4"], &over[..]].concat())
        .fails(2);
    assert!(stderr.contains("cannot end in the past"), "{stderr}");
}

#[test]
fn run_again_it_signs_another_quota_for_the_same_ca() {
    let folder = Folder::new();
    make_line(&folder);
    let before = fs::read(folder.path("line-4.ca.key")).expect("a key");
    let again =
        |arguments: &[&str]| folder.run("create-intermediate", &[&["line-4"], arguments].concat());
    assert!(again(&QUOTA).ok().starts_with("line-4\tunchanged\t"));
    assert!(again(&[]).ok().starts_with("line-4\tunchanged\t"));
    assert!(
        again(&["--count", "20"])
            .ok()
            .starts_with("line-4\tupdated\t")
    );
    let document = fs::read_to_string(folder.path("line-4.ca.quota.json")).expect("text");
    assert!(document.contains("\"count\": 20"), "{document}");
    assert_eq!(
        fs::read(folder.path("line-4.ca.key")).expect("a key"),
        before
    );

    let stderr = again(&["--organization", "Acme"]).fails(5);
    assert!(stderr.contains("with another subject"), "{stderr}");
    folder.run("create-root", &["other"]).ok();
    let stderr = again(&["other", "--count", "5"]).fails(5);
    assert!(stderr.contains("signed by another CA"), "{stderr}");
    // A crash between key and certificate is named, as with a root.
    fs::remove_file(folder.path("line-4.ca.pem")).expect("removed");
    let stderr = again(&[]).fails(5);
    assert!(
        stderr.contains("exists without its certificate"),
        "{stderr}"
    );
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let mut folder = Folder::new();
    folder
        .run("create-root", &["root", "--validity", "100"])
        .ok();
    let before = folder.files();
    for (arguments, code, why) in [
        (&["line", "nowhere"][..], 4, "no CA nowhere"),
        (&["line", "--validity", "200"], 3, "longer than its CA"),
        (&["root"], 5, "signed by another CA"),
        (&["line", "--prefix", "a"], 2, "--count"),
        (&["line", "--count", "0"], 2, "--count"),
        (
            &["line", "--validity=50", "--count=1", "--prefix=a b"],
            2,
            "no thing name begins with",
        ),
        (
            &["line", "--validity=50", "--ask-new-passphrase"],
            2,
            "no terminal",
        ),
    ] {
        let ended = folder.run("create-intermediate", arguments);
        // A root is signed by itself, which is no CA of the same name below it.
        if arguments == ["root"] {
            assert_ne!(ended.code, 1, "{ended:?}");
            continue;
        }
        let stderr = ended.fails(code);
        assert!(stderr.contains(why), "{arguments:?}: {stderr}");
        assert_eq!(folder.files(), before, "{arguments:?}");
    }
    folder
        .run(
            "create-intermediate",
            &["plant", "--validity=ca", "--path-length=1"],
        )
        .ok();
    folder
        .run("create-intermediate", &["line", "plant", "--validity=ca"])
        .ok();
    let stderr = folder
        .run("create-intermediate", &["deeper", "line", "--validity=ca"])
        .fails(3);
    assert!(stderr.contains("allows 0 CAs below it"), "{stderr}");

    let before = folder.files();
    folder.set("JITP_NEW_CA_PASSPHRASE", "short");
    let arguments = ["weak", "--validity=ca", "--count=5"];
    let stderr = folder.run("create-intermediate", &arguments).fails(3);
    assert!(stderr.contains("shorter than 8"), "{stderr}");
    assert_eq!(folder.files(), before);
    folder.set("JITP_NEW_CA_PASSPHRASE", "correct horse battery");
    let closed = folder.run("create-intermediate", &["closed", "--validity=ca"]);
    assert_eq!(closed.stderr, "");
    closed.ok();
    let key = fs::read_to_string(folder.path("closed.ca.key")).expect("text");
    assert!(
        key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"),
        "{key}"
    );
}

#[test]
fn a_quota_runs_out_and_another_one_goes_on() {
    let folder = Folder::new();
    folder.run("create-root", &["root"]).ok();
    let two = ["line", "--count", "2", "--prefix", "pump-"];
    folder.run("create-intermediate", &two).ok();
    for device in ["pump-1", "pump-2"] {
        folder.run("provision", &[device, "line"]).ok();
        // Once more is no device more.
        assert!(
            folder
                .run("provision", &[device, "line"])
                .ok()
                .contains("unchanged")
        );
    }
    let stderr = folder.run("provision", &["pump-3", "line"]).fails(6);
    assert!(
        stderr.contains("the quota of the CA is 2 devices; 2 are made"),
        "{stderr}"
    );
    assert!(
        stderr.contains("hint: ask whoever holds the CA above"),
        "{stderr}"
    );
    assert!(!folder.path("pump-3.key").exists() && !folder.path("pump-3.crt").exists());
    let three = ["line", "--count", "3", "--prefix", "pump-"];
    assert!(
        folder
            .run("create-intermediate", &three)
            .ok()
            .contains("\tupdated\t")
    );
    folder.run("provision", &["pump-3", "line"]).ok();
    folder.run("provision", &["pump-4", "line"]).fails(6);
}

#[test]
fn a_manufacturer_keeps_its_key_and_sends_a_request() {
    let (office, plant) = (Folder::new(), Folder::new());
    office.run("create-root", &["root"]).ok();
    let openssl = |arguments: &[&str]| {
        let ended = Command::new("openssl")
            .args(arguments)
            .current_dir(plant.path(""))
            .output();
        let ended = ended.expect("openssl is installed");
        assert!(ended.status.success(), "{ended:?}");
    };
    openssl(&[
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-out",
        "line.ca.key",
    ]);
    // What it asks for besides is not granted.
    let asked = [
        "req",
        "-new",
        "-key",
        "line.ca.key",
        "-subj",
        "/CN=anything",
        "-out",
        "line.csr",
    ];
    openssl(&asked);
    fs::copy(plant.path("line.csr"), office.path("line.csr")).expect("copied");

    let arguments = [
        "line", "--csr", "line.csr", "--count", "3", "--prefix", "pump-",
    ];
    let line = office.run("create-intermediate", &arguments).ok();
    assert_eq!(line, "line\tcreated\t-\tline.ca.pem\tline.ca.quota.json\n");
    assert!(!office.path("line.ca.key").exists());
    assert!(
        office
            .run("create-intermediate", &arguments)
            .ok()
            .contains("\tunchanged\t")
    );
    for file in ["line.ca.pem", "line.ca.quota.json"] {
        fs::copy(office.path(file), plant.path(file)).expect("copied");
    }
    let key = plant.path("line.ca.key");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("closed");
    plant.run("provision", &["pump-1", "line"]).ok();
    fs::copy(plant.path("pump-1.crt"), office.path("pump-1.crt")).expect("copied");
    assert!(verified(&office, "line.ca.pem", "pump-1.crt"));

    fs::write(office.path("line.csr"), "garbage").expect("written");
    let stderr = office.run("create-intermediate", &arguments).fails(3);
    assert!(
        stderr.contains("line.csr") && stderr.contains("no certificate signing request"),
        "{stderr}"
    );
    office.write_request("line.csr");
    let stderr = office.run("create-intermediate", &arguments).fails(5);
    assert!(
        stderr.contains("with another key than the request"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_registered_and_its_devices_get_in() {
    let mut station = Station::start().await;
    make_line(&station.folder);
    // What is in the office is not needed here.
    fs::remove_file(station.folder.path("root.ca.key")).expect("removed");
    station.run("register", &["line-4"]).await.ok();
    station
        .run("provision", &["pump-1", "line-4", "--connect"])
        .await
        .ok();
    let state = station.core.account().snapshot();
    assert!(state.things.contains_key("pump-1"));

    if give_token(&mut station.folder) {
        station.run("create-root", &["second"]).await.ok();
        let place = "pkcs11:token=factory;object=line";
        let arguments = [
            "line",
            "second",
            "--new-key",
            place,
            "--generate-key",
            "--count=5",
        ];
        let line = station.run("create-intermediate", &arguments).await.ok();
        assert_eq!(
            line,
            format!("line\tcreated\t{place}\tline.ca.pem\tline.ca.quota.json\n")
        );
        let signed = ["valve-1", "line", "--ca-key", place];
        station.run("provision", &signed).await.ok();
    }
}

#[test]
fn the_ledger_counts_against_the_quota() {
    let folder = Folder::new();
    make_line(&folder);
    let many = |count: &str, start: &str| {
        folder.run(
            "provision",
            &[
                "--ca", "line-4", "--prefix", "pump-", "--count", count, "--start", start, "--out",
                "out",
            ],
        )
    };
    let refusal = many("11", "1").fails(6);
    assert!(
        refusal.contains("10 devices; 0 are made, and 11 more are asked for"),
        "{refusal}"
    );
    assert!(!folder.path("out").exists());
    many("8", "1").ok();
    many("8", "1").ok();
    folder.run("provision", &["pump-a", "line-4"]).ok();
    let refusal = many("2", "20").fails(6);
    assert!(refusal.contains("9 are made, and 2 more"), "{refusal}");
    folder.run("provision", &["pump-b", "line-4"]).ok();
    let refusal = folder.run("provision", &["pump-c", "line-4"]).fails(6);
    assert!(refusal.contains("10 are made, and 1 more"), "{refusal}");
    assert!(!folder.path("pump-c.key").exists());
}
