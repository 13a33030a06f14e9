//! What a run leaves that was killed before it completed the ledger, and what the next one makes of it.

use jitp_core::ca::DeviceRequest;
use jitp_issuing::{Named, Passphrase, State};
use openssl::{
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    symm::Cipher,
    x509::{X509NameBuilder, X509ReqBuilder},
};

use super::*;

/// As if the last run had been killed before it completed the rows after this one, and before it wrote to an archive.
fn interrupt_after(factory: &Factory, sequence: u64) {
    let database = rusqlite::Connection::open(factory.ledger_path()).unwrap();
    database
        .execute_batch(&format!(
            "UPDATE batch SET finished = NULL, written = '{{\"archive\":0}}'
                 WHERE batch IN (SELECT batch FROM certificate WHERE sequence > {sequence});
             UPDATE certificate SET state = 0, certificate = NULL, hash = NULL WHERE sequence > {sequence};
             UPDATE certificate SET current = 0 WHERE sequence > {sequence}
                 AND device IN (SELECT device FROM certificate WHERE sequence <= {sequence} AND state = 1);
             UPDATE certificate SET current = 1 WHERE sequence IN
                 (SELECT max(sequence) FROM certificate WHERE sequence <= {sequence} AND state = 1 GROUP BY device);
             DELETE FROM seal WHERE sequence > {sequence};"
        ))
        .unwrap();
}

/// The ids of a device's certificates that the ledger says are issued and present, and how many are void.
fn recorded(factory: &Factory, device: &str) -> (Vec<String>, usize) {
    let reader = LedgerReader::open(&factory.ledger_path()).unwrap();
    let entries = reader.of_device(device).unwrap();
    let void = entries.iter().filter(|e| e.state == State::Void).count();
    let present = entries
        .into_iter()
        .filter(|entry| entry.state == State::Issued && entry.current);
    (
        present.filter_map(|entry| entry.certificate).collect(),
        void,
    )
}

#[test]
fn half_a_device_is_taken_away_and_a_whole_one_is_kept() {
    let factory = Factory::new();
    let plan = factory.plan("a", factory.folder());
    factory.run(&plan, 10, usize::MAX).unwrap();
    interrupt_after(&factory, 0);
    let file = |name: &str| plan.target.path.join(name);
    fs::write(file("sensor-00000.crt"), "").unwrap();
    fs::write(file("sensor-00001.key"), "-----BEGIN").unwrap();
    fs::remove_file(file("sensor-00002.crt")).unwrap();
    fs::remove_file(file("sensor-00003.key")).unwrap();
    fs::remove_file(file("sensor-00003.crt")).unwrap();
    let kept = fs::read(file("sensor-00005.key")).unwrap();

    let summary = factory.run(&plan, 10, usize::MAX).unwrap();
    assert_eq!(
        (summary.issued, summary.unchanged, summary.finished),
        (4, 6, true)
    );
    assert_eq!(fs::read(file("sensor-00005.key")).unwrap(), kept);
    for number in 0..10 {
        let [key, chain] = ["key", "crt"]
            .map(|ending| fs::read(file(&format!("sensor-{number:05}.{ending}"))).unwrap());
        factory.judge(&key, &chain);
    }
    let verified = factory.verify().unwrap();
    assert_eq!(
        (verified.issued, verified.void, verified.reserved),
        (10, 4, 0)
    );
}

#[test]
fn outputs_that_are_gone_are_asked_for_before_anything_else_is_done() {
    let factory = Factory::new();
    let mut plan = factory.plan("a", factory.folder());
    factory.run(&plan, 10, usize::MAX).unwrap();
    interrupt_after(&factory, 5);
    fs::rename(&plan.target.path, factory.dir.path().join("unmounted")).unwrap();
    let refusal = factory.run(&plan, 10, usize::MAX).unwrap_err();
    assert!(
        matches!(refusal, IssuingError::TargetGone { batch: 1, .. }),
        "{refusal}"
    );
    plan.abandon = true;
    let summary = factory.run(&plan, 10, usize::MAX).unwrap();
    assert_eq!((summary.issued, summary.unchanged), (5, 5));
    assert_eq!(factory.verify().unwrap().void, 5);
}

#[test]
fn in_a_form_that_is_not_read_back_the_first_certificate_is_void_and_nowhere() {
    let factory = Factory::new();
    let target = Target {
        formats: vec![Format::Der, Format::Nvs, Format::Pkcs12, Format::Qr],
        ..factory.folder()
    };
    let mut plan = factory.plan("a", target);
    plan.passphrase = Some(Passphrase(b"twelve frogs".to_vec().into()));
    factory.run(&plan, 3, usize::MAX).unwrap();
    let read = |ending: &str| {
        let file = plan.target.path.join(format!("sensor-00001.{ending}"));
        fs::read(file).unwrap()
    };
    let first = read("crt.der");
    let keys = ["key.der", "nvs.csv", "p12"].map(read);
    interrupt_after(&factory, 0);
    fs::remove_file(plan.target.path.join("sensor-00002.nvs.csv")).unwrap();

    let summary = factory.run(&plan, 3, usize::MAX).unwrap();
    assert_eq!((summary.issued, summary.unchanged), (3, 0));
    let verified = factory.verify().unwrap();
    assert_eq!((verified.issued, verified.void), (3, 3));
    let second = Certificate::from_der(&read("crt.der")).unwrap();
    assert_ne!(second.der(), first);
    let (present, void) = recorded(&factory, "sensor-00001");
    assert_eq!((present, void), (vec![second.id().to_string()], 1));
    for (then, now) in keys
        .into_iter()
        .zip(["key.der", "nvs.csv", "p12"].map(read))
    {
        assert_ne!(then, now, "a key of a certificate that is void");
    }
}

#[test]
fn forms_that_another_batch_has_made_stay() {
    let factory = Factory::new();
    let der = Target {
        formats: vec![Format::Der],
        ..factory.folder()
    };
    let first = factory.plan("a", der);
    factory.run(&first, 2, usize::MAX).unwrap();
    let key = first.target.path.join("sensor-00001.key.der");
    let kept = fs::read(&key).unwrap();
    let mut second = factory.plan("b", factory.folder());
    second.reissue = true;
    factory.run(&second, 2, usize::MAX).unwrap();
    interrupt_after(&factory, 2);
    let torn = first.target.path.join("sensor-00001.crt");
    fs::write(&torn, "").unwrap();

    // Whatever is issued next settles it.
    let other = factory.plan("c", Target::folder(factory.dir.path().join("elsewhere")));
    assert!(
        factory.run(&other, 2, usize::MAX).is_err(),
        "they have theirs"
    );
    assert_eq!(fs::read(&key).unwrap(), kept);
    assert!(!torn.exists());
    let (present, void) = recorded(&factory, "sensor-00001");
    let first =
        Certificate::from_der(&fs::read(key.with_file_name("sensor-00001.crt.der")).unwrap());
    assert_eq!((present, void), (vec![first.unwrap().id().to_string()], 1));
}

#[test]
fn the_key_of_a_device_that_asked_is_never_touched() {
    let factory = Factory::new();
    let key = PKey::from_ec_key(
        EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap(),
    )
    .unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "pump-1").unwrap();
    let mut request = X509ReqBuilder::new().unwrap();
    request.set_subject_name(&name.build()).unwrap();
    request.set_pubkey(&key).unwrap();
    request.sign(&key, MessageDigest::sha256()).unwrap();
    let request = DeviceRequest::read(&request.build().to_pem().unwrap()).unwrap();
    let source = Named::requests([request]);
    let plan = factory.plan("a", factory.folder());
    let run = || {
        let mut ledger = factory.ledger();
        let batch = Batch {
            ledger: &mut ledger,
            ca: &factory.ca,
            plan: &plan,
        };
        batch
            .run(&source, &AtomicBool::new(false), |_| true)
            .unwrap()
    };
    fs::create_dir(&plan.target.path).unwrap();
    let own = plan.target.path.join("pump-1.key");
    for pem in [
        key.private_key_to_pem_pkcs8().unwrap(),
        key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret")
            .unwrap(),
    ] {
        fs::write(&own, &pem).unwrap();
        run();
        interrupt_after(&factory, 0);
        // Whole: it is found again, whatever the key beside it looks like.
        assert_eq!(run().unchanged, 1);
        interrupt_after(&factory, 0);
        fs::write(plan.target.path.join("pump-1.crt"), "-----BEGIN").unwrap();
        assert_eq!(run().issued, 1);
        assert_eq!(fs::read(&own).unwrap(), pem);
        let database = rusqlite::Connection::open(factory.ledger_path()).unwrap();
        database
            .execute_batch("DELETE FROM seal; DELETE FROM certificate; DELETE FROM batch;")
            .unwrap();
        fs::remove_file(plan.target.path.join("pump-1.crt")).unwrap();
    }
}

#[test]
fn an_archive_holds_nothing_that_is_void_whatever_is_issued_next() {
    let factory = Factory::new();
    let archive = Target {
        layout: Layout::Tar,
        path: factory.dir.path().join("all.tar"),
        formats: vec![Format::Pem],
    };
    let mut plan = factory.plan("a", archive);
    factory.run(&plan, 3, usize::MAX).unwrap();
    interrupt_after(&factory, 0);
    let other = factory.plan("b", factory.folder());
    factory.run(&other, 3, usize::MAX).unwrap();
    assert_eq!(fs::metadata(&plan.target.path).unwrap().len(), 0);
    assert_eq!(recorded(&factory, "sensor-00001").0.len(), 1);

    // Gone for good after something was written: those who were in it need another certificate, if they are to have one.
    plan.request = "c".to_owned();
    plan.target.path = factory.dir.path().join("more.tar");
    plan.reissue = true;
    factory.run(&plan, 3, usize::MAX).unwrap();
    interrupt_after(&factory, 8);
    let database = rusqlite::Connection::open(factory.ledger_path()).unwrap();
    database
        .execute_batch("UPDATE batch SET written = '{\"archive\":4096}' WHERE batch = 3")
        .unwrap();
    drop(database);
    fs::remove_file(&plan.target.path).unwrap();
    let refusal = factory.run(&plan, 3, usize::MAX).unwrap_err();
    assert!(
        matches!(refusal, IssuingError::TargetGone { batch: 3, .. }),
        "{refusal}"
    );
    plan.abandon = true;
    let summary = factory.run(&plan, 3, usize::MAX).unwrap();
    assert_eq!((summary.issued, summary.finished), (3, true));
    for device in ["sensor-00000", "sensor-00001", "sensor-00002"] {
        assert_eq!(recorded(&factory, device).0.len(), 1);
    }
    factory.verify().unwrap();
}

#[test]
fn a_ledger_of_the_version_before_is_gone_on_with() {
    let factory = Factory::new();
    let plan = factory.plan("a", factory.folder());
    factory.run(&plan, 3, usize::MAX).unwrap();
    interrupt_after(&factory, 0);
    let database = rusqlite::Connection::open(factory.ledger_path()).unwrap();
    database
        .execute_batch("ALTER TABLE certificate DROP COLUMN formats; PRAGMA user_version = 1;")
        .unwrap();
    drop(database);
    LedgerReader::open(&factory.ledger_path()).unwrap();
    let summary = factory.run(&plan, 4, usize::MAX).unwrap();
    assert_eq!((summary.issued, summary.unchanged), (1, 3));
    factory.verify().unwrap();
}
