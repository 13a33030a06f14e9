//! Batches of devices: killed, stopped, out of disk, from bad lists, and from signing requests.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use openssl::pkey::PKey;
use openssl::x509::X509;
use serde_json::Value;

use crate::support::{Folder, program};

fn factory() -> Folder {
    let folder = Folder::new();
    folder.run("create-root", &["root"]).ok();
    folder
}

/// The devices of answers with the ids of their certificates; one device never has two.
fn said(answer: &str, devices: &mut HashMap<String, String>) {
    // A killed program may have written half a line.
    let whole = answer.rfind('\n').map_or("", |end| &answer[..end]);
    for line in whole.lines() {
        let mut columns = line.split('\t');
        let (Some(device), Some(_), Some(id)) = (columns.next(), columns.next(), columns.next())
        else {
            panic!("half a line: {line:?}");
        };
        let before = devices.insert(device.to_owned(), id.to_owned());
        assert!(
            before.is_none_or(|before| before == id),
            "{device} was said to be done twice"
        );
    }
}

/// Key and certificate of a device belong together and are the CA's.
fn judge(folder: &Folder, out: &Path, device: &str, ca: &X509) -> String {
    let [key, chain] = ["key", "crt"].map(|ending| {
        let path = out.join(format!("{device}.{ending}"));
        fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.path("").join(path).display()))
    });
    let key = PKey::private_key_from_pem(&key).expect("a whole key");
    let chain = X509::stack_from_pem(&chain).expect("a whole chain");
    assert_eq!(chain.len(), 2, "{device}");
    assert!(chain[0].public_key().unwrap().public_eq(&key), "{device}");
    assert!(
        chain[0].verify(&ca.public_key().unwrap()).unwrap(),
        "{device}"
    );
    let digest = chain[0]
        .digest(openssl::hash::MessageDigest::sha256())
        .unwrap();
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn a_batch_that_is_killed_a_hundred_times_loses_nothing_and_doubles_nothing() {
    let folder = factory();
    let ca = X509::from_pem(&fs::read(folder.path("root.ca.pem")).unwrap()).unwrap();
    let finished = |batches: usize| {
        let path = folder.path("root.ledger");
        let reading = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let Ok(ledger) = rusqlite::Connection::open_with_flags(path, reading) else {
            return false;
        };
        let count = "SELECT count(*) FROM batch WHERE finished IS NOT NULL";
        ledger
            .query_row(count, [], |row| row.get(0))
            .is_ok_and(|found: usize| found == batches)
    };
    let mut devices = HashMap::new();
    let mut killed = 0;
    let mut batches = 0;
    // The numbers of a linear congruential generator: what fails once fails again.
    let mut random: u64 = 0x5eed;
    while killed < 100 {
        batches += 1;
        let prefix = format!("board-{batches}-");
        let arguments = [
            "--count",
            "10000",
            "--prefix",
            &prefix,
            "--out",
            "out",
            "--operator",
            "ada",
            // Slower than the default, so that there is more to interrupt.
            "--key-type",
            "p384",
            "--threads",
            "1",
        ];
        while killed < 100 && !finished(batches) {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let answer = folder.path("answer");
            let mut child = folder
                .command("provision", &arguments)
                .stdout(File::create(&answer).unwrap())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // From a moment in which it reads its arguments to one in which it has written hundreds of files.
            std::thread::sleep(Duration::from_millis((random >> 33) % 250));
            killed += usize::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
            said(&fs::read_to_string(answer).unwrap(), &mut devices);
        }
        let last = folder.run("provision", &arguments).ok();
        said(&last, &mut devices);
        assert_eq!(devices.len(), batches * 10_000);
    }

    // The union: every device that was said to be done, and nothing else.
    let out = folder.path("out");
    assert_eq!(fs::read_dir(&out).unwrap().count(), devices.len() * 2);
    for (device, id) in &devices {
        assert_eq!(judge(&folder, &out, device, &ca), *id);
    }
    let listed = folder.run("ledger", &["list"]).ok();
    let mut in_ledger = HashMap::new();
    said(&listed, &mut in_ledger);
    assert_eq!(in_ledger, devices);
    let sound = folder.run("ledger", &["verify", "--output", "json"]).json();
    assert_eq!(sound[0]["issued"], devices.len());
    assert_eq!(sound[0]["reserved"], 0);
    let recorded = folder
        .run("ledger", &["batches", "--output", "json"])
        .json();
    assert_eq!(recorded.len(), batches);
    assert_eq!(recorded[0]["operator"], "ada");
}

#[test]
fn a_signal_finishes_what_is_under_way_and_says_how_to_go_on() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let folder = factory();
        let arguments = [
            "--count",
            "100000",
            "--prefix",
            "board-",
            "--out",
            "boards.tar",
        ];
        let answer = folder.path("answer");
        let child = folder
            .command("provision", &arguments)
            .stdout(File::create(&answer).unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while fs::metadata(&answer).unwrap().len() == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let status = Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
        let ended = folder.finish(child);
        assert_eq!(ended.code, code, "{ended:#?}");
        assert!(
            ended.stderr.contains("run the same command again"),
            "{ended:#?}"
        );
        let mut devices = HashMap::new();
        said(&fs::read_to_string(answer).unwrap(), &mut devices);
        let sound = folder.run("ledger", &["verify", "--output", "json"]).json();
        assert_eq!(sound[0]["issued"], devices.len());
        assert_eq!(
            (&sound[0]["reserved"], &sound[0]["unsealed"]),
            (&Value::from(0), &Value::from(0))
        );
    }
}

#[test]
fn a_bad_list_issues_nothing_until_it_is_mended_or_told_to() {
    let folder = factory();
    let list = "device,organization,format\npump-1,Acme,\npump 2,Acme,\npump-1,,\npump-4,,der\n";
    fs::write(folder.path("pumps.csv"), list).unwrap();
    let from = ["--from", "pumps.csv", "--out", "pumps"];
    let refusal = folder.run("provision", &from).fails(3);
    assert!(refusal.contains("line 3: column device"), "{refusal}");
    assert!(
        refusal.contains("line 4: column device: pump-1 is on line 2 already"),
        "{refusal}"
    );
    assert!(refusal.contains("--skip-bad"), "{refusal}");
    assert!(!folder.path("pumps").exists() && !folder.path("root.ledger").exists());

    let skipping = [
        &from[..],
        &[
            "--skip-bad",
            "--junit",
            "report.xml",
            "--manifest",
            "pumps.jsonl",
        ],
    ]
    .concat();
    let ended = folder.run("provision", &skipping);
    assert_eq!(ended.code, 10, "{ended:#?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{ended:#?}");
    assert!(lines[0].starts_with("pump-1\tissued\t") && lines[1].starts_with("pump-4\tissued\t"));
    assert!(lines[2].starts_with("line 3\tskipped\t"), "{ended:#?}");
    assert!(
        folder.path("pumps/pump-4.crt.der").exists() && !folder.path("pumps/pump-4.crt").exists()
    );
    let report = fs::read_to_string(folder.path("report.xml")).unwrap();
    assert!(report.contains("tests=\"4\" failures=\"2\""), "{report}");
    let manifest = fs::read_to_string(folder.path("pumps.jsonl")).unwrap();
    let row: Value = serde_json::from_str(manifest.lines().next().unwrap()).unwrap();
    assert_eq!(row["device"], "pump-1");
    assert_eq!(
        row["certificateId"].as_str().unwrap(),
        lines[0].split('\t').nth(2).unwrap()
    );

    // The same device once more is a conflict, and so is the single device of a CA that has a ledger.
    let refusal = folder
        .run(
            "provision",
            &["--count", "1", "--prefix", "pump-", "--out", "other"],
        )
        .fails(5);
    assert!(
        refusal.contains("pump-1 has certificate") && refusal.contains("--reissue"),
        "{refusal}"
    );
    let refusal = folder.run("provision", &["pump-1"]).fails(5);
    assert!(refusal.contains("pump-1 has certificate"), "{refusal}");
    folder.run("provision", &["pump-5"]).ok();
    let shown = folder.run("ledger", &["show", "pump-5"]).ok();
    assert_eq!(shown.lines().count(), 1);
    folder.run("ledger", &["show", "pump-6"]).fails(4);
}

#[test]
fn signing_requests_are_certified_and_their_keys_stay_away() {
    let folder = factory();
    fs::create_dir(folder.path("requests")).unwrap();
    let make = |name: &str, subject: &str, curve: &str| {
        let key = folder.path(&format!("{name}.devkey"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-new",
                "-newkey",
                "ec",
                "-pkeyopt",
                &format!("ec_paramgen_curve:{curve}"),
            ])
            .args(["-nodes", "-subj", subject, "-keyout"])
            .arg(key)
            .arg("-out")
            .arg(folder.path(&format!("requests/{name}.csr")))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    make("a", "/O=Acme/CN=valve-1", "P-256");
    make("b", "/CN=valve-2", "P-521");
    let csr = ["--csr", "requests", "--out", "certificates"];
    let answer = folder.run("provision", &csr).ok();
    assert_eq!(answer.lines().count(), 2);
    let files: Vec<_> = fs::read_dir(folder.path("certificates")).unwrap().collect();
    assert_eq!(files.len(), 2, "certificates alone");
    let again = folder.run("provision", &csr).ok();
    assert!(
        again.lines().all(|line| line.contains("\tunchanged\t")),
        "{again}"
    );

    make("c", "/CN=not a thing", "P-256");
    let refusal = folder
        .run("provision", &["--csr", "requests", "--out", "more"])
        .fails(3);
    assert!(
        refusal.contains("requests/c.csr") && refusal.contains("white space"),
        "{refusal}"
    );
    fs::remove_file(folder.path("requests/c.csr")).unwrap();
    // One key for two devices.
    let request = Command::new("openssl")
        .args(["req", "-new", "-subj", "/CN=valve-3", "-key"])
        .arg(folder.path("a.devkey"))
        .output()
        .unwrap();
    fs::write(folder.path("copy.csr"), request.stdout).unwrap();
    let refusal = folder
        .run("provision", &["--csr", "copy.csr", "--out", "more"])
        .fails(5);
    assert!(
        refusal.contains("valve-3 asks a certificate for the key of valve-1"),
        "{refusal}"
    );
    let refusal = folder
        .run("provision", &["--csr", "copy.csr", "--format", "nvs"])
        .fails(2);
    assert!(refusal.contains("holds the key"), "{refusal}");
}

#[test]
fn every_form_is_read_by_those_it_is_for() {
    let mut folder = factory();
    let all = "pem,der,pkcs12,encrypted-pem,nvs,nrf,c-header,qr";
    let arguments = [
        "--count", "2", "--prefix", "t-", "--out", "out", "--format", all,
    ];
    let refusal = folder.run("provision", &arguments).fails(3);
    assert!(refusal.contains("JITP_DEVICE_PASSPHRASE"), "{refusal}");
    fs::write(folder.path("list.csv"), "device,format\na,pem\nb,pkcs12\n").unwrap();
    let refusal = folder
        .run("provision", &["--from", "list.csv", "--out", "out"])
        .fails(3);
    assert!(refusal.contains("JITP_DEVICE_PASSPHRASE"), "{refusal}");
    assert!(!folder.path("out").exists());
    folder.set("JITP_DEVICE_PASSPHRASE", "open sesame");
    folder.run("provision", &arguments).ok();
    let out = folder.path("out");
    let openssl = |arguments: &[&str]| {
        let run = Command::new("openssl")
            .args(arguments)
            .current_dir(&out)
            .output()
            .unwrap();
        assert!(run.status.success(), "{arguments:?}: {run:?}");
        String::from_utf8(run.stdout).unwrap()
    };
    let public = openssl(&["x509", "-in", "t-1.crt", "-noout", "-pubkey"]);
    assert_eq!(openssl(&["pkey", "-in", "t-1.key", "-pubout"]), public);
    assert_eq!(
        openssl(&["pkey", "-inform", "DER", "-in", "t-1.key.der", "-pubout"]),
        public
    );
    assert_eq!(
        openssl(&[
            "pkey",
            "-in",
            "t-1.encrypted.key",
            "-passin",
            "pass:open sesame",
            "-pubout"
        ]),
        public
    );
    let p12 = openssl(&[
        "pkcs12",
        "-in",
        "t-1.p12",
        "-passin",
        "pass:open sesame",
        "-nodes",
    ]);
    assert_eq!(p12.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(p12.contains("BEGIN PRIVATE KEY") && p12.contains("friendlyName: t-1"));
    openssl(&["x509", "-inform", "DER", "-in", "t-1.crt.der", "-noout"]);
    let svg = fs::read_to_string(out.join("t-1.svg")).unwrap();
    assert!(
        roxmltree::Document::parse(&svg)
            .unwrap()
            .root_element()
            .has_tag_name(("http://www.w3.org/2000/svg", "svg"))
    );
    // A C compiler and Python's csv are what the others are read by.
    let main = "#include \"t-1.h\"\n#include <stdio.h>\nint main(void) { fputs(DEVICE_PRIVATE_KEY_PEM, stdout); return DEVICE_ID[0] != 't'; }\n";
    fs::write(out.join("main.c"), main).unwrap();
    let built = Command::new("cc")
        .args(["-Wall", "-Werror", "-Wno-unused", "-o", "main", "main.c"])
        .current_dir(&out)
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    let printed = Command::new(out.join("main")).output().unwrap();
    assert_eq!(printed.stdout, fs::read(out.join("t-1.key")).unwrap());
    for (file, rows) in [("t-1.nvs.csv", 6), ("t-1.nrf.csv", 1)] {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_path(out.join(file))
            .unwrap();
        assert_eq!(
            reader.records().filter(Result::is_ok).count(),
            rows,
            "{file}"
        );
    }
}

/// A file system of a few megabytes, in which a shell runs; needs the right to mount in a namespace of its own.
fn in_small_file_system(folder: &Folder, script: &str) -> Option<std::process::Output> {
    let run = |script: &str| {
        Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-ec", script])
            .current_dir(folder.path(""))
            .env("PROVISION", program("provision"))
            .output()
    };
    let able = run("mount -t tmpfs none .").is_ok_and(|run| run.status.success());
    if !able {
        eprintln!("skipped: no file system can be mounted here");
        return None;
    }
    Some(run(script).unwrap())
}

#[test]
fn a_full_disk_names_itself_tears_nothing_and_is_gone_on_from() {
    for (limit, more) in [
        ("size=6m", "size=100m"),
        ("size=100m,nr_inodes=2000", "nr_inodes=30000"),
    ] {
        let folder = factory();
        let arguments = "--count 5000 --prefix board- --out out/boards";
        let script = format!(
            "mkdir out; mount -t tmpfs -o {limit} none out
             \"$PROVISION\" {arguments} >first 2>told && exit 99; echo $? >code
             find out -size 0 -type f >torn
             mount -o remount,{more} out
             \"$PROVISION\" {arguments} >second
             ls out/boards | wc -l >count"
        );
        let Some(run) = in_small_file_system(&folder, &script) else {
            return;
        };
        assert!(run.status.success(), "{run:?}");
        let read = |name: &str| fs::read_to_string(folder.path(name)).unwrap();
        assert!(
            ["10\n", "3\n"].contains(&read("code").as_str()),
            "{}",
            read("code")
        );
        assert!(
            read("told").contains("No space left") && read("told").contains("df -i"),
            "{}",
            read("told")
        );
        assert_eq!(read("torn"), "");
        assert_eq!(read("count").trim(), "10000");
        let mut devices = HashMap::new();
        said(&read("first"), &mut devices);
        said(&read("second"), &mut devices);
        assert_eq!(devices.len(), 5000);
        let sound = folder.run("ledger", &["verify", "--output", "json"]).json();
        assert_eq!(sound[0]["issued"], 5000);
    }
}

#[test]
fn a_ledger_that_was_changed_is_found_out() {
    let folder = factory();
    folder.run("ledger", &["verify"]).fails(4);
    folder
        .run(
            "provision",
            &["--count", "5", "--prefix", "x-", "--out", "out"],
        )
        .ok();
    assert_eq!(
        folder.run("ledger", &["expiring", "--within", "30d"]).ok(),
        ""
    );
    assert_eq!(
        folder
            .run("ledger", &["expiring", "--within", "600d"])
            .ok()
            .lines()
            .count(),
        5
    );
    assert_eq!(folder.run("ledger", &["export"]).json().len(), 5);
    let changed = rusqlite::Connection::open(folder.path("root.ledger")).unwrap();
    changed
        .execute_batch("UPDATE certificate SET device = 'y-1' WHERE sequence = 2")
        .unwrap();
    drop(changed);
    let refusal = folder.run("ledger", &["verify"]).fails(9);
    assert!(refusal.contains("row 2 (y-1)"), "{refusal}");

    folder.run("create-root", &["other"]).ok();
    fs::rename(folder.path("root.ledger"), folder.path("other.ledger")).unwrap();
    let refusal = folder
        .run(
            "provision",
            &["--count", "1", "--prefix", "z", "--ca", "other"],
        )
        .fails(3);
    assert!(refusal.contains("that of another CA"), "{refusal}");
}
