//! Making a CA and device certificates, without any network.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use jitp_core::ca::{CertificateAuthority, KeyType, Subject, Validity};
use jitp_core::names::CaName;
use jitp_core::store::Store;
use time::{Duration, OffsetDateTime};

use crate::support::Folder;

const NOTHING: [&str; 0] = [];

fn mode(folder: &Folder, name: &str) -> u32 {
    let metadata = std::fs::metadata(folder.path(name)).expect("the file is there");
    metadata.permissions().mode() & 0o777
}

fn read(folder: &Folder, name: &str) -> String {
    std::fs::read_to_string(folder.path(name)).expect("the file is text")
}

#[test]
fn a_root_and_a_device_that_openssl_believes() {
    let folder = Folder::new();
    assert_eq!(
        folder.run("create-root", &NOTHING).ok(),
        "root.ca.key\troot.ca.pem\n"
    );
    let line = folder.run("provision", &["sensor-17"]).ok();
    let columns: Vec<&str> = line.trim_end().split('\t').collect();
    assert_eq!(columns[..2], ["sensor-17", "issued"]);
    assert_eq!(columns[3..], ["sensor-17.key", "sensor-17.crt"]);
    assert_eq!(
        folder.files(),
        [
            "root.ca.key",
            "root.ca.pem",
            "sensor-17.crt",
            "sensor-17.key"
        ]
    );
    assert_eq!(mode(&folder, "root.ca.key"), 0o600);
    assert_eq!(mode(&folder, "sensor-17.key"), 0o600);

    let verified = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"])
        .arg(folder.path("root.ca.pem"))
        .arg(folder.path("sensor-17.crt"))
        .output()
        .expect("openssl is installed");
    assert!(verified.status.success(), "{verified:?}");
    let chain = read(&folder, "sensor-17.crt");
    assert!(
        chain.ends_with(&read(&folder, "root.ca.pem")),
        "leaf, then CA"
    );
}

#[test]
fn json_says_the_same_in_the_words_of_the_api() {
    let folder = Folder::new();
    let root = folder.run("create-root", &["--output", "json"]).json();
    assert_eq!(root[0]["ca"], "root");
    assert_eq!(root[0]["keyFile"], "root.ca.key");
    let device = folder.run("provision", &["a", "--output", "json"]).json();
    assert_eq!(device[0]["outcome"], "issued");
    assert_eq!(device[0]["certificateFile"], "a.crt");
    assert_eq!(device[0]["certificateId"].as_str().map(str::len), Some(64));
}

#[test]
fn a_device_is_not_called_unchanged_when_something_else_was_asked_for() {
    let folder = Folder::new();
    folder.run("create-root", &NOTHING).ok();
    let made = ["pump", "--organization=Acme", "--validity=30"];
    folder.run("provision", &made).ok();
    for same in [&made[..], &["pump"], &["pump", "--key-type=p256"]] {
        assert!(folder.run("provision", same).ok().contains("unchanged"));
    }
    for (other, says) in [
        ("--key-type=rsa2048", "rsa2048 is asked for"),
        ("--organization=Emca", "Emca is asked for"),
        ("--serial-number=7", "=7 is asked for"),
        ("--validity=60", "60d is asked for"),
    ] {
        let stderr = folder.run("provision", &["pump", other]).fails(5);
        assert!(stderr.contains(says), "{stderr}");
    }
}

#[test]
fn the_subject_takes_the_seeds_places_and_more_for_templates() {
    let folder = Folder::new();
    folder
        .run(
            "create-root",
            &["factory7", "DE", "Berlin", "BE", "Acme", "Pumps"],
        )
        .ok();
    let subject = openssl_subject(&folder, "factory7.ca.pem");
    assert_eq!(subject, "CN=factory7,C=DE,L=Berlin,ST=BE,O=Acme,OU=Pumps");
    folder
        .run(
            "provision",
            &[
                "pump-1",
                "factory7",
                "--country=DE",
                "--organization=Acme",
                "--organizational-unit=Pumps",
                "--state=BE",
                "--dn-qualifier=rev2",
                "--serial-number=0007",
            ],
        )
        .ok();
    let subject = openssl_subject(&folder, "pump-1.crt");
    for part in [
        "CN=pump-1",
        "C=DE",
        "O=Acme",
        "OU=Pumps",
        "ST=BE",
        "dnQualifier=rev2",
        "serialNumber=0007",
    ] {
        assert!(subject.contains(part), "{part} in {subject}");
    }
}

fn openssl_subject(folder: &Folder, file: &str) -> String {
    let output = Command::new("openssl")
        .args([
            "x509",
            "-noout",
            "-subject",
            "-nameopt",
            "compat,sep_comma_plus,sname",
            "-in",
        ])
        .arg(folder.path(file))
        .output()
        .expect("openssl is installed");
    let line = String::from_utf8(output.stdout).expect("text");
    line.trim().trim_start_matches("subject=").trim().to_owned()
}

#[test]
fn nothing_that_exists_is_overwritten() {
    let folder = Folder::new();
    folder.run("create-root", &NOTHING).ok();
    let key = read(&folder, "root.ca.key");
    let stderr = folder.run("create-root", &NOTHING).fails(5);
    assert!(stderr.contains("root.ca.key already exists"), "{stderr}");
    assert!(stderr.contains("hint: "), "{stderr}");
    assert_eq!(read(&folder, "root.ca.key"), key);

    folder.run("provision", &["a"]).ok();
    let key = read(&folder, "a.key");
    let again = folder.run("provision", &["a"]);
    assert!(again.stderr.contains("nothing changed"), "{again:?}");
    assert!(again.ok().starts_with("a\tunchanged\t"));
    assert_eq!(read(&folder, "a.key"), key);

    folder.run("create-root", &["other"]).ok();
    let stderr = folder.run("provision", &["a", "other"]).fails(5);
    assert!(stderr.contains("signed by another CA"), "{stderr}");
    assert_eq!(read(&folder, "a.key"), key);
}

#[test]
fn half_an_identity_is_named_and_left_alone() {
    let folder = Folder::new();
    folder.run("create-root", &NOTHING).ok();
    folder.run("provision", &["a"]).ok();
    std::fs::remove_file(folder.path("a.crt")).expect("removed");
    let key = read(&folder, "a.key");
    let stderr = folder.run("provision", &["a"]).fails(5);
    assert!(stderr.contains("a.key"), "{stderr}");
    assert_eq!(read(&folder, "a.key"), key);

    folder.run("provision", &["b"]).ok();
    std::fs::remove_file(folder.path("b.key")).expect("removed");
    let certificate = read(&folder, "b.crt");
    let stderr = folder.run("provision", &["b"]).fails(5);
    assert!(
        stderr.contains("b.crt exists without its key b.key"),
        "{stderr}"
    );
    assert_eq!(read(&folder, "b.crt"), certificate);
}

#[test]
fn what_is_in_the_way_is_neither_followed_nor_replaced() {
    let folder = Folder::new();
    folder.run("create-root", &NOTHING).ok();
    symlink(folder.path("elsewhere"), folder.path("a.key")).expect("a link");
    let stderr = folder.run("provision", &["a"]).fails(5);
    assert!(stderr.contains("a.key"), "{stderr}");
    assert!(
        !folder.path("elsewhere").exists(),
        "the link was not followed"
    );

    std::fs::create_dir(folder.path("b.key")).expect("a folder");
    let stderr = folder.run("provision", &["b"]).fails(5);
    assert!(stderr.contains("b.key"), "{stderr}");
    assert!(!folder.path("b.crt").exists());
}

#[test]
fn a_name_that_aws_or_a_file_system_would_refuse_is_wrong_usage() {
    let folder = Folder::new();
    folder.run("create-root", &NOTHING).ok();
    let long = "x".repeat(129);
    for name in ["a/b", "..", "", "é", "a b", "a.b", "a@b", &long] {
        let stderr = folder.run("provision", &[name]).fails(2);
        assert!(
            stderr.contains("thing name") || stderr.contains("value is required"),
            "{name:?}: {stderr}"
        );
    }
    folder.run("provision", &["--", "-a"]).fails(2);
    // 65 to 128 bytes are a thing name, but no common name (RFC 5280, appendix A.1, ub-common-name).
    let stderr = folder.run("provision", &["x".repeat(65).as_str()]).fails(2);
    assert!(stderr.contains("64"), "{stderr}");
    assert_eq!(folder.files(), ["root.ca.key", "root.ca.pem"]);
}

#[test]
fn a_ca_that_cannot_sign_says_why() {
    let folder = Folder::new();
    let stderr = folder.run("provision", &["a"]).fails(4);
    assert!(stderr.contains("no CA root"), "{stderr}");
    assert!(
        stderr.contains("hint: make it with: create-root"),
        "{stderr}"
    );

    folder.run("create-root", &["one"]).ok();
    folder.run("create-root", &["two"]).ok();
    std::fs::copy(folder.path("one.ca.key"), folder.path("mixed.ca.key")).expect("copied");
    std::fs::copy(folder.path("two.ca.pem"), folder.path("mixed.ca.pem")).expect("copied");
    let stderr = folder.run("provision", &["a", "mixed"]).fails(3);
    assert!(stderr.contains("mixed.ca.key"), "{stderr}");

    std::fs::write(folder.path("bad.ca.key"), "garbage").expect("written");
    std::fs::write(folder.path("bad.ca.pem"), "garbage").expect("written");
    let stderr = folder.run("provision", &["a", "bad"]).fails(3);
    assert!(stderr.contains("bad.ca."), "{stderr}");

    let whole = read(&folder, "one.ca.pem");
    let (cut, _) = whole.split_once("-----END").expect("an end");
    std::fs::copy(folder.path("one.ca.key"), folder.path("cut.ca.key")).expect("copied");
    std::fs::write(folder.path("cut.ca.pem"), cut).expect("written");
    let stderr = folder.run("provision", &["a", "cut"]).fails(3);
    assert!(
        stderr.contains("no line -----END CERTIFICATE-----"),
        "{stderr}"
    );

    // A link is said to be one, and nothing about the mode that every link has.
    symlink("one.ca.key", folder.path("link.ca.key")).expect("a link");
    std::fs::copy(folder.path("one.ca.pem"), folder.path("link.ca.pem")).expect("copied");
    let stderr = folder.run("provision", &["a", "link"]).fails(5);
    assert!(
        stderr.contains("link.ca.key is a symbolic link"),
        "{stderr}"
    );
    assert!(!stderr.contains("chmod"), "{stderr}");

    let name: CaName = "old".parse().expect("a name");
    let past = OffsetDateTime::now_utc() - Duration::days(20);
    let subject = Subject::positional(&["old"]).expect("a subject");
    let old = CertificateAuthority::create_root(&subject, KeyType::P256, Validity::Days(10), past)
        .expect("a CA");
    Store::open(folder.path(""))
        .and_then(|store| store.save_ca(&name, &old))
        .expect("saved");
    let stderr = folder.run("provision", &["a", "old"]).fails(3);
    assert!(stderr.contains("expired"), "{stderr}");
    assert!(!folder.path("a.key").exists());
}

#[test]
fn a_leaf_never_outlives_its_ca() {
    let folder = Folder::new();
    folder
        .run("create-root", &["root", "--validity", "30"])
        .ok();
    let stderr = folder.run("provision", &["a"]).fails(3);
    assert!(stderr.contains("longer than its CA"), "{stderr}");
    folder.run("provision", &["a", "--validity", "ca"]).ok();
}

#[test]
fn an_open_key_file_is_pointed_out() {
    let folder = Folder::new();
    folder.run("create-root", &NOTHING).ok();
    let path = folder.path("root.ca.key");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("opened");
    let ended = folder.run("provision", &["a"]);
    assert!(ended.stderr.contains("warning: "), "{ended:?}");
    ended.ok();
    let quiet = folder.run("provision", &["b", "--quiet"]);
    assert_eq!(quiet.stderr, "");
    quiet.ok();
}

#[test]
fn an_encrypted_ca_key_opens_with_the_passphrase_from_the_environment() {
    let mut folder = Folder::new();
    folder.run("create-root", &NOTHING).ok();
    let encrypted = Command::new("openssl")
        .args([
            "pkcs8",
            "-topk8",
            "-v2",
            "aes-256-cbc",
            "-passout",
            "pass:secret",
            "-in",
        ])
        .arg(folder.path("root.ca.key"))
        .output()
        .expect("openssl is installed");
    assert!(encrypted.status.success());
    std::fs::write(folder.path("root.ca.key"), encrypted.stdout).expect("written");
    let stderr = folder.run("provision", &["a"]).fails(3);
    assert!(stderr.contains("encrypted"), "{stderr}");
    folder.set("JITP_CA_PASSPHRASE", "wrong");
    let stderr = folder.run("provision", &["a"]).fails(3);
    assert!(
        !stderr.contains("wrong\n") && stderr.contains("passphrase"),
        "{stderr}"
    );
    folder.set("JITP_CA_PASSPHRASE", "secret");
    folder.run("provision", &["a"]).ok();
}

#[test]
fn another_ca_of_the_same_name_is_another_ca() {
    let folder = Folder::new();
    folder.run("create-root", &NOTHING).ok();
    folder.run("provision", &["a"]).ok();
    for file in ["root.ca.key", "root.ca.pem"] {
        std::fs::remove_file(folder.path(file)).expect("removed");
    }
    folder.run("create-root", &NOTHING).ok();
    let stderr = folder.run("provision", &["a"]).fails(5);
    assert!(stderr.contains("signed by another CA"), "{stderr}");
}
