//! The CA key where nobody can copy it: encrypted files and tokens.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Folder, Station};

const NOTHING: [&str; 0] = [];
pub(crate) const PIN: &str = "987654";
const ROOT: &str = "pkcs11:token=factory;object=root";

/// Whether SoftHSM is there, which CI installs.
pub(crate) fn has_softhsm() -> bool {
    if Command::new("softhsm2-util")
        .arg("--version")
        .output()
        .is_err()
    {
        assert!(std::env::var_os("CI").is_none(), "CI installs softhsm2");
        eprintln!("skipped: softhsm2-util is missing; remedy: apt-get install softhsm2");
        return false;
    }
    true
}

/// Gives the folder's programs a SoftHSM with one token, `factory`. `false` if SoftHSM is missing.
pub(crate) fn give_token(folder: &mut Folder) -> bool {
    if !has_softhsm() {
        return false;
    }
    let tokens = folder.path("tokens");
    fs::create_dir(&tokens).expect("a folder");
    let configuration = folder.path("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    fs::write(&configuration, text).expect("written");
    let made = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            "factory",
            "--so-pin",
            "12345678",
        ])
        .args(["--pin", PIN])
        .env("SOFTHSM2_CONF", &configuration)
        .output()
        .expect("softhsm2-util runs");
    assert!(made.status.success(), "{made:?}");
    folder.set("SOFTHSM2_CONF", configuration.display().to_string());
    folder.set("JITP_PKCS11_PIN", PIN);
    true
}

/// What openssl says of a device's certificate.
fn verified(folder: &Folder, ca: &str, device: &str) -> bool {
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"])
        .arg(folder.path(ca))
        .arg(folder.path(device))
        .output()
        .expect("openssl is installed");
    output.status.success()
}

fn opens(key: &Path, passphrase: &str) -> bool {
    let output = Command::new("openssl")
        .args([
            "pkey",
            "-noout",
            "-passin",
            &format!("pass:{passphrase}"),
            "-in",
        ])
        .arg(key)
        .output()
        .expect("openssl is installed");
    output.status.success()
}

#[test]
fn a_key_file_is_encrypted_when_there_is_a_passphrase_and_said_to_be_open_when_not() {
    let mut folder = Folder::new();
    let open = folder.run("create-root", &["open"]);
    assert!(
        open.stderr
            .contains("warning: open.ca.key is not encrypted"),
        "{open:?}"
    );
    open.ok();

    fs::write(folder.path("secret"), "correct horse battery\n").expect("written");
    let closed = folder.run("create-root", &["closed", "--passphrase-file", "secret"]);
    assert_eq!(closed.stderr, "");
    closed.ok();
    let key = folder.path("closed.ca.key");
    let text = fs::read_to_string(&key).expect("text");
    assert!(
        text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        "{text}"
    );
    assert!(opens(&key, "correct horse battery") && !opens(&key, "correct horse"));

    let stderr = folder.run("provision", &["a", "closed"]).fails(3);
    assert!(stderr.contains("encrypted and no passphrase"), "{stderr}");
    assert!(stderr.contains("--passphrase-file"), "{stderr}");
    folder
        .run("provision", &["a", "closed", "--passphrase-file=secret"])
        .ok();
    folder.set("JITP_CA_PASSPHRASE", "correct horse battery");
    folder.run("provision", &["b", "closed"]).ok();
    assert!(verified(&folder, "closed.ca.pem", "a.crt"));
    folder.run("create-root", &["another"]).ok();
    assert!(opens(
        &folder.path("another.ca.key"),
        "correct horse battery"
    ));

    folder.set("JITP_CA_PASSPHRASE", "short");
    let stderr = folder.run("create-root", &["weak"]).fails(3);
    assert!(stderr.contains("shorter than 8"), "{stderr}");
    assert!(!folder.path("weak.ca.pem").exists() && !folder.path("weak.ca.key").exists());
    for (contents, why) in [
        ("", "empty"),
        ("\n", "empty"),
        ("a\nb\n", "more than one line"),
    ] {
        fs::write(folder.path("secret"), contents).expect("written");
        let stderr = folder
            .run("provision", &["c", "closed", "--passphrase-file=secret"])
            .fails(3);
        assert!(stderr.contains(why), "{stderr}");
    }
    let stderr = folder
        .run("create-root", &["asked", "--ask-passphrase"])
        .fails(2);
    assert!(stderr.contains("no terminal"), "{stderr}");
    let stderr = folder
        .run(
            "create-root",
            &["asked", "--ask-passphrase", "--ca-key=open.ca.key"],
        )
        .fails(2);
    assert!(stderr.contains("no key file is made"), "{stderr}");
}

#[test]
fn a_key_file_may_lie_elsewhere() {
    let mut folder = Folder::new();
    fs::create_dir(folder.path("stick")).expect("a folder");
    let stick = "--ca-key=stick/root.key";
    let stderr = folder.run("create-root", &["root", stick]).fails(3);
    assert!(stderr.contains("cannot read stick/root.key"), "{stderr}");
    let line = folder
        .run("create-root", &["root", stick, "--generate-key"])
        .ok();
    assert_eq!(line, "stick/root.key\troot.ca.pem\n");
    assert!(!folder.path("root.ca.key").exists());
    let again = folder
        .run("create-root", &["root", stick, "--generate-key"])
        .fails(5);
    assert!(again.contains("already exists"), "{again}");
    // Without making a key, the certificate is what was asked for already.
    assert!(
        folder
            .run("create-root", &["root", stick, "--output=json"])
            .json()[0]["outcome"]
            == "unchanged"
    );

    let stderr = folder.run("provision", &["a"]).fails(4);
    assert!(
        stderr.contains("root.ca.pem is here, but not its key"),
        "{stderr}"
    );
    assert!(
        stderr.contains("hint: say where it is: --ca-key"),
        "{stderr}"
    );
    folder.run("provision", &["a", stick]).ok();
    folder.set("JITP_CA_KEY", "stick/root.key");
    folder.run("provision", &["b"]).ok();
    assert!(verified(&folder, "root.ca.pem", "b.crt"));

    folder
        .run(
            "create-root",
            &["other", "--ca-key=other.ca.key", "--generate-key"],
        )
        .ok();
    let stderr = folder
        .run("provision", &["c", "--ca-key=other.ca.key"])
        .fails(3);
    assert!(stderr.contains("is not the key of root.ca.pem"), "{stderr}");
    for (place, why) in [
        ("", "empty"),
        ("kms:alias/a", "kms: is no place"),
        ("pkcs11:tok=a", "\"tok\""),
    ] {
        let stderr = folder
            .run("provision", &["c", &format!("--ca-key={place}")])
            .fails(2);
        assert!(stderr.contains(why), "{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_whose_key_never_leaves_its_token_is_registered_and_its_device_gets_in() {
    let mut station = Station::start().await;
    if !give_token(&mut station.folder) {
        return;
    }
    station.folder.set("JITP_CA_KEY", ROOT);
    let before = station.folder.files();
    let stderr = station.run("create-root", &NOTHING).await.fails(4);
    assert!(
        stderr.contains("no private key pkcs11:token=factory;object=root"),
        "{stderr}"
    );
    assert_eq!(station.folder.files(), before);
    let line = station.run("create-root", &["--generate-key"]).await.ok();
    assert_eq!(line, format!("{ROOT}\troot.ca.pem\n"));
    let stderr = station
        .run("create-root", &["--generate-key"])
        .await
        .fails(5);
    assert!(stderr.contains("root.ca.pem already exists"), "{stderr}");
    let again = station.run("create-root", &["--output=json"]).await.json();
    assert_eq!(again[0]["outcome"], "unchanged");
    assert_eq!(again[0]["key"], ROOT);
    assert_eq!(again[0].get("keyFile"), None);
    let stderr = station.run("create-root", &["root", "DE"]).await.fails(5);
    assert!(stderr.contains("with another subject"), "{stderr}");

    station.run("register", &NOTHING).await.ok();
    station.run("provision", &["pump", "--connect"]).await.ok();
    assert!(verified(&station.folder, "root.ca.pem", "pump.crt"));
    station.run("create-thing", &["valve"]).await.ok();
    let files = station.folder.files();
    assert!(!files.contains(&"root.ca.key".to_owned()), "{files:?}");
}

#[test]
fn tokens_say_what_is_wrong_and_the_pin_is_never_said() {
    let mut folder = Folder::new();
    if !give_token(&mut folder) {
        return;
    }
    let root = format!("--ca-key={ROOT}");
    for key_type in ["p384", "rsa2048"] {
        let place = format!("--ca-key=pkcs11:token=factory;object={key_type}");
        let kind = format!("--key-type={key_type}");
        folder
            .run("create-root", &[key_type, &place, &kind, "--generate-key"])
            .ok();
        folder
            .run("provision", &[&format!("d-{key_type}"), key_type, &place])
            .ok();
        let (ca, device) = (format!("{key_type}.ca.pem"), format!("d-{key_type}.crt"));
        assert!(verified(&folder, &ca, &device), "{key_type}");
        let stderr = folder
            .run("create-root", &["twin", &place, "--key-type=p256"])
            .fails(5);
        assert!(
            stderr.contains(&format!("the key is {key_type}, and p256 is asked for")),
            "{stderr}"
        );
    }
    folder
        .run("create-root", &["root", &root, "--generate-key"])
        .ok();

    let mut said = String::new();
    let mut refused = |folder: &Folder, place: &str, code: i32, why: &str| {
        let ended = folder.run("provision", &["a", &format!("--ca-key={place}"), "-vv"]);
        let stderr = ended.fails(code);
        assert!(stderr.contains(why), "{place}: {stderr}");
        assert!(stderr.contains("hint: "), "{place}: {stderr}");
        assert!(!folder.path("a.key").exists() && !folder.path("a.crt").exists());
        said.push_str(&stderr);
    };
    refused(
        &folder,
        "pkcs11:token=fabrik;object=root",
        3,
        "there is no token pkcs11:token=fabrik; there is factory",
    );
    refused(
        &folder,
        "pkcs11:token=factory;object=rot",
        4,
        "there is no private key",
    );
    refused(&folder, "pkcs11:token=factory", 3, "3 private keys fit");
    refused(
        &folder,
        "pkcs11:token=factory;object=p384",
        3,
        "is not the key of the CA certificate",
    );
    refused(
        &folder,
        &format!("{ROOT};pin-value={PIN}"),
        2,
        "a PIN does not belong into a URI",
    );
    refused(
        &folder,
        &format!("{ROOT};module-path=/nowhere.so"),
        3,
        "cannot use the PKCS#11 module /nowhere.so",
    );
    refused(
        &folder,
        &format!("{ROOT};pin-source=file:/nowhere"),
        3,
        "cannot use the file of the PIN /nowhere",
    );
    folder.set("JITP_PKCS11_PIN", "135791");
    refused(&folder, ROOT, 3, "the PIN of the token factory is wrong");
    refused(&folder, ROOT, 3, "and has been before");
    folder.set("JITP_PKCS11_PIN", "");
    refused(&folder, ROOT, 3, "wants a PIN and none was given");
    fs::write(folder.path("pin"), format!("{PIN}\n")).expect("written");
    let source = format!(
        "--ca-key={ROOT}?pin-source=file:{}",
        folder.path("pin").display()
    );
    folder.run("provision", &["b", &source, "-vv"]).ok();
    fs::remove_dir_all(folder.path("tokens")).expect("removed");
    fs::create_dir(folder.path("tokens")).expect("a folder");
    refused(&folder, ROOT, 3, "there is no token at all");
    for pin in [PIN, "135791"] {
        assert!(!said.contains(pin), "{said}");
    }
}
