//! What nobody gets to see: keys, passphrases and PINs, in no answer, log, error, process list or core file.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use base64::{Engine, prelude::BASE64_STANDARD};
use openssl::pkey::PKey;

use crate::custody::{PIN, give_token};
use crate::support::{Folder, Station, program};
use crate::terminal::Terminal;

const PASSPHRASE: &str = "correct horse battery";

/// Every way in which a key could be written.
fn traces(folder: &Folder, key: &str) -> Vec<String> {
    let pem = fs::read(folder.path(key)).expect("a key");
    let lines = String::from_utf8(pem.clone()).expect("text");
    let mut traces: Vec<String> = lines
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .map(|line| line.chars().take(40).collect())
        .collect();
    let key = PKey::private_key_from_pem_passphrase(&pem, PASSPHRASE.as_bytes()).expect("a key");
    let der = key.private_key_to_pkcs8().expect("DER");
    let scalar = key.ec_key().expect("EC").private_key().to_vec();
    for octets in [&der[..], &scalar] {
        let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        traces.push(hex.to_uppercase());
        traces.push(hex);
        traces.push(format!("{octets:?}"));
        traces.push(BASE64_STANDARD.encode(octets));
    }
    traces
}

#[tokio::test(flavor = "multi_thread")]
async fn no_program_says_a_key_a_passphrase_or_a_pin_whatever_it_is_given() {
    let mut station = Station::start().await;
    // Everything that any library would ever log.
    station.folder.set("RUST_LOG", "trace");
    station.folder.set("JITP_CA_PASSPHRASE", PASSPHRASE);
    let mut said = String::new();
    let mut say = async |station: &Station, program: &str, arguments: &[&str]| {
        let arguments = [arguments, &["-vv"]].concat();
        let ended = station.run(program, &arguments).await;
        said.push_str(&ended.stdout);
        said.push_str(&ended.stderr);
        ended.code
    };
    assert_eq!(say(&station, "create-root", &["closed"]).await, 0);
    station.folder.set("JITP_CA_PASSPHRASE", "");
    assert_eq!(say(&station, "create-root", &["open"]).await, 0);
    for ca in ["open", "closed"] {
        station.folder.set("JITP_CA_PASSPHRASE", PASSPHRASE);
        let key = format!("{ca}.ca.key");
        for (program, arguments) in [
            ("register", vec![ca]),
            ("register", vec![ca, "--template", &key]),
            ("provision", vec!["pump", ca, "--connect"]),
            ("provision", vec!["not a name", ca]),
            ("create-thing", vec!["valve", "--ca", ca]),
            ("create-thing", vec!["valve", "--csr", &key]),
            ("create-claim", vec!["fleet", "--ca", ca]),
            ("create-intermediate", vec!["line", ca, "--count=5"]),
            ("provision", vec!["x", ca, "--passphrase-file", &key]),
            ("provision", vec!["x", ca, "--ca-key", "pkcs11:token=none"]),
            ("provision", vec!["x", "swapped"]),
            ("provision", vec!["x", "cut"]),
            ("lint", vec![&key]),
        ] {
            say(&station, program, &arguments).await;
        }
        // Key and certificate the wrong way round, and half a key.
        let copy =
            |from: String, to: &str| fs::copy(station.folder.path(&from), station.folder.path(to));
        copy(key.clone(), "swapped.ca.pem").expect("copied");
        copy(format!("{ca}.ca.pem"), "swapped.ca.key").expect("copied");
        let whole = fs::read(station.folder.path(&key)).expect("a key");
        fs::write(
            station.folder.path("cut.ca.key"),
            &whole[..whole.len() * 3 / 4],
        )
        .expect("written");
        copy(format!("{ca}.ca.pem"), "cut.ca.pem").expect("copied");
        station
            .folder
            .set("JITP_CA_PASSPHRASE", "the wrong one altogether");
        say(&station, "provision", &["y", ca]).await;
    }
    let mut secrets = vec![PASSPHRASE.to_owned(), "the wrong one altogether".to_owned()];
    secrets.extend(
        ["open.ca.key", "closed.ca.key"]
            .iter()
            .flat_map(|key| traces(&station.folder, key)),
    );
    secrets.extend(traces(&station.folder, "line.ca.key"));
    if give_token(&mut station.folder) {
        let place = "--ca-key=pkcs11:token=factory;object=root";
        assert_eq!(
            say(&station, "create-root", &["held", place, "--generate-key"]).await,
            0
        );
        say(&station, "provision", &["z", "held", place]).await;
        let in_the_uri = format!("{place};pin-value={PIN}");
        say(&station, "provision", &["z2", "held", &in_the_uri]).await;
        secrets.push(PIN.to_owned());
    }
    assert!(said.lines().count() > 100, "something was said: {said}");
    for secret in secrets {
        assert!(!said.contains(&secret), "{secret} was said");
    }
}

#[test]
fn a_crash_with_a_ca_key_in_memory_leaves_no_core_file() {
    let mut folder = Folder::new();
    folder.run("create-root", &["root"]).ok();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    folder.set("AWS_ENDPOINT_URL", format!("http://{address}"));
    folder.set("AWS_REGION", "eu-central-1");
    folder.set("AWS_ACCESS_KEY_ID", "test");
    folder.set("AWS_SECRET_ACCESS_KEY", "test");
    let traces = traces(&folder, "root.ca.key");
    // Ends the program while it waits for an answer that does not come, and says whether there was a core file.
    let crash = |name: &str| {
        let template = folder.command(name, &[] as &[&str]);
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$1\""])
            .arg(program(name))
            .arg("pump")
            .current_dir(folder.path(""))
            .env_clear()
            .envs(
                template
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let (mut connection, _) = silent.accept().expect("it calls");
        connection.read_exact(&mut [0; 4]).expect("a request");
        let shown =
            |file: &str| fs::read(format!("/proc/{}/{file}", child.id())).unwrap_or_default();
        for file in ["cmdline", "environ"] {
            let shown = String::from_utf8_lossy(&shown(file)).into_owned();
            assert!(traces.iter().all(|trace| !shown.contains(trace)), "{file}");
        }
        let limits = String::from_utf8_lossy(&shown("limits")).into_owned();
        let killed = Command::new("kill")
            .args(["-ABRT", &child.id().to_string()])
            .status();
        assert!(killed.expect("kill runs").success());
        (child.wait().expect("an end").core_dumped(), limits)
    };
    let (dumped, limits) = crash("create-thing");
    assert!(!dumped, "a core file with the CA key in it");
    let limit = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = limit.expect("the limit").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");
    // A program without a key crashes as usual, where the machine allows core files at all.
    let (dumped, limits) = crash("device-status");
    if !dumped {
        eprintln!("this machine makes no core files: {limits}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_on_a_terminal_is_not_shown() {
    let mut folder = Folder::new();
    let mut terminal = Terminal::start(&folder, "create-root", &["root", "--ask-passphrase"], "");
    terminal.until("passphrase for root: ");
    terminal.press(&format!("{PASSPHRASE}\n"));
    terminal.until("the same again: ");
    terminal.press(&format!("{PASSPHRASE}\n"));
    let (code, mut written) = terminal.end();
    assert_eq!(code, 0, "{written}");
    let key = fs::read(folder.path("root.ca.key")).expect("a key");
    assert!(PKey::private_key_from_pem_passphrase(&key, PASSPHRASE.as_bytes()).is_ok());

    for (typed, expected) in [(PASSPHRASE, 0), ("something else", 3)] {
        let mut terminal = Terminal::start(&folder, "provision", &[&format!("d-{expected}")], "");
        terminal.until("passphrase of root.ca.key: ");
        terminal.press(&format!("{typed}\n"));
        let (code, more) = terminal.end();
        assert_eq!(code, expected, "{more}");
        written.push_str(&more);
    }
    // Two that differ make nothing, and an interrupt is one.
    let mut terminal = Terminal::start(&folder, "create-root", &["other", "--ask-passphrase"], "");
    terminal.until("passphrase for other: ");
    terminal.press("one of them\n");
    terminal.until("the same again: ");
    terminal.press("and another\n");
    let (code, more) = terminal.end();
    assert_eq!(code, 3, "{more}");
    written.push_str(&more);
    let mut terminal = Terminal::start(&folder, "create-root", &["other", "--ask-passphrase"], "");
    terminal.until("passphrase for other: ");
    terminal.press("\u{3}");
    assert_eq!(terminal.end().0, 130);
    assert!(!folder.path("other.ca.pem").exists());

    if give_token(&mut folder) {
        folder.set("JITP_PKCS11_PIN", "");
        let place = "--ca-key=pkcs11:token=factory;object=held";
        let arguments = ["held", place, "--generate-key"];
        let mut terminal = Terminal::start(&folder, "create-root", &arguments, "");
        terminal.until("PIN of the token factory: ");
        terminal.press(&format!("{PIN}\n"));
        let (code, more) = terminal.end();
        assert_eq!(code, 0, "{more}");
        written.push_str(&more);
    }
    for secret in [
        PASSPHRASE,
        "something else",
        "one of them",
        "and another",
        PIN,
    ] {
        assert!(!written.contains(secret), "{written}");
    }
}
