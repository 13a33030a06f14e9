//! Batches and their ledger: what is on the disk afterwards, and what a change of it shows.

mod interrupted;

use std::{
    collections::HashSet,
    fs,
    num::NonZero,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use jitp_core::{
    ca::{CertificateAuthority, DeviceSubject, KeyType, Station, Subject, Validity},
    certificate::Certificate,
};
use jitp_issuing::{
    Batch, Fault, Format, IssuingError, Item, Layout, Ledger, LedgerReader, Outcome, Plan, Source,
    Summary, Target, What,
};
use openssl::{pkey::PKey, x509::X509};
use tempfile::TempDir;
use time::OffsetDateTime;

struct Numbered(usize);

impl Source for Numbered {
    fn items(&self) -> Box<dyn Iterator<Item = Item> + '_> {
        Box::new((0..self.0).map(|number| Item {
            what: What::Make(
                DeviceSubject::new(format!("sensor-{number:05}").parse().unwrap()).unwrap(),
            ),
            formats: None,
        }))
    }
}

/// In memory where there is such a place: a disk that others write to makes syncing slow.
fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .unwrap()
}

struct Factory {
    dir: TempDir,
    ca: CertificateAuthority,
}

impl Factory {
    fn new() -> Self {
        let now = OffsetDateTime::now_utc();
        let subject = Subject::default();
        Self {
            dir: scratch(),
            ca: CertificateAuthority::create_root(&subject, KeyType::P256, Validity::ROOT, now)
                .unwrap(),
        }
    }

    fn ledger_path(&self) -> PathBuf {
        self.dir.path().join("root.ledger")
    }

    fn ledger(&self) -> Ledger {
        Ledger::open(
            &self.ledger_path(),
            self.ca.certificate(),
            Station::new(1).unwrap(),
        )
        .unwrap()
    }

    fn plan(&self, request: &str, target: Target) -> Plan {
        let now = OffsetDateTime::now_utc();
        Plan {
            request: request.to_owned(),
            operator: "test".to_owned(),
            key_type: KeyType::P256,
            window: self.ca.window(Validity::DEVICE, now).unwrap(),
            target,
            reissue: false,
            abandon: false,
            passphrase: None,
            threads: NonZero::new(2).unwrap(),
        }
    }

    fn folder(&self) -> Target {
        Target::folder(self.dir.path().join("out"))
    }

    /// Runs a batch and stops it after `limit` devices were said.
    fn run(&self, plan: &Plan, count: usize, limit: usize) -> Result<Summary, IssuingError> {
        let stop = AtomicBool::new(false);
        let mut said = HashSet::new();
        let summary = Batch {
            ledger: &mut self.ledger(),
            ca: &self.ca,
            plan,
        }
        .run(&Numbered(count), &stop, |order| {
            assert!(
                said.insert(order.device.to_owned()),
                "{} twice",
                order.device
            );
            if !matches!(plan.target.layout, Layout::Tar | Layout::Zip)
                && order.outcome == Outcome::Issued
            {
                assert!(
                    order.files.iter().all(|file| file.is_file()),
                    "{:?}",
                    order.files
                );
            }
            said.len() < limit
        })?;
        assert_eq!(said.len() as u64, summary.issued + summary.unchanged);
        Ok(summary)
    }

    fn verify(&self) -> Result<jitp_issuing::Verified, Fault> {
        LedgerReader::open(&self.ledger_path())
            .unwrap()
            .verify()
            .unwrap()
    }

    fn judge(&self, key: &[u8], chain: &[u8]) -> Certificate {
        let ca = X509::from_der(self.ca.certificate().der()).unwrap();
        let leaf = X509::from_pem(chain).unwrap();
        assert!(leaf.verify(&ca.public_key().unwrap()).unwrap());
        let key = PKey::private_key_from_pem(key).unwrap();
        assert!(leaf.public_key().unwrap().public_eq(&key));
        Certificate::from_der(&leaf.to_der().unwrap()).unwrap()
    }
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

#[test]
fn a_batch_is_on_the_disk_as_the_ledger_says_and_doing_it_again_changes_nothing() {
    let factory = Factory::new();
    let plan = factory.plan("2500", factory.folder());
    let summary = factory.run(&plan, 2500, usize::MAX).unwrap();
    assert_eq!((summary.issued, summary.finished), (2500, true));
    assert_eq!(entries(&plan.target.path), 5000);

    let reader = LedgerReader::open(&factory.ledger_path()).unwrap();
    let mut serials = HashSet::new();
    reader
        .each(|entry| {
            let [key, chain] = ["key", "crt"]
                .map(|ending| plan.target.path.join(format!("{}.{ending}", entry.device)));
            assert_eq!(
                fs::metadata(&key).unwrap().permissions().mode() & 0o777,
                0o600
            );
            let certificate = factory.judge(&fs::read(key).unwrap(), &fs::read(chain).unwrap());
            assert_eq!(certificate.common_name(), Some(entry.device.as_str()));
            assert_eq!(certificate.serial(), entry.serial.octets());
            assert_eq!(
                entry.certificate.as_deref(),
                Some(certificate.id().as_str())
            );
            serials.insert(entry.serial)
        })
        .unwrap();
    assert_eq!(serials.len(), 2500);
    let verified = factory.verify().unwrap();
    assert_eq!(
        (verified.issued, verified.unsealed, verified.seals),
        (2500, 0, 1)
    );

    let again = factory.run(&plan, 2500, usize::MAX).unwrap();
    assert_eq!(
        (again.issued, again.unchanged, again.finished),
        (0, 2500, true)
    );
    assert_eq!(factory.verify().unwrap().rows, 2500);
}

#[test]
fn a_batch_that_was_stopped_goes_on_where_it_was() {
    for layout in [Layout::Folder, Layout::Sharded, Layout::Tar, Layout::Zip] {
        let factory = Factory::new();
        let target = Target {
            layout,
            path: factory.dir.path().join("out"),
            formats: vec![Format::Pem, Format::Der],
        };
        let plan = factory.plan("20000", target);
        let first = factory.run(&plan, 20_000, 1).unwrap();
        assert!(first.issued > 0 && !first.finished, "{first:?}");
        let second = factory.run(&plan, 20_000, usize::MAX).unwrap();
        assert!(second.finished);
        assert_eq!(second.unchanged, first.issued);
        assert_eq!(first.issued + second.issued, 20_000);
        assert_eq!(factory.verify().unwrap().issued, 20_000);
        match layout {
            Layout::Folder => assert_eq!(entries(&plan.target.path), 80_000),
            Layout::Sharded => assert_eq!(entries(&plan.target.path), 256),
            Layout::Zip => {
                // More members than the first kind of zip could count.
                let mut archive =
                    zip::ZipArchive::new(fs::File::open(&plan.target.path).unwrap()).unwrap();
                assert_eq!(archive.len(), 80_000);
                let mut member = archive.by_name("sensor-19999.key").unwrap();
                assert_eq!(member.unix_mode(), Some(0o100_600));
                let mut key = Vec::new();
                std::io::Read::read_to_end(&mut member, &mut key).unwrap();
                PKey::private_key_from_pem(&key).unwrap();
                drop(member);
                let judge = std::process::Command::new("python3")
                    .args(["-m", "zipfile", "-t"])
                    .arg(&plan.target.path)
                    .output()
                    .unwrap();
                assert!(judge.status.success(), "{judge:?}");
            }
            Layout::Tar => {
                let mut archive = tar::Archive::new(fs::File::open(&plan.target.path).unwrap());
                let names: HashSet<_> = archive
                    .entries()
                    .unwrap()
                    .map(|entry| entry.unwrap().path().unwrap().into_owned())
                    .collect();
                assert_eq!(names.len(), 80_000);
            }
        }
    }
}

#[test]
fn a_device_has_one_certificate_unless_it_is_to_have_another() {
    let factory = Factory::new();
    factory
        .run(&factory.plan("a", factory.folder()), 10, usize::MAX)
        .unwrap();
    let elsewhere = Target::folder(factory.dir.path().join("elsewhere"));
    let mut plan = factory.plan("b", elsewhere);
    let refusal = factory.run(&plan, 10, usize::MAX).unwrap_err();
    assert!(
        matches!(&refusal, IssuingError::DeviceTaken { device, batch: 1, .. } if device == "sensor-00000")
    );
    assert!(!plan.target.path.exists());

    plan.reissue = true;
    assert_eq!(factory.run(&plan, 10, usize::MAX).unwrap().issued, 10);
    let reader = LedgerReader::open(&factory.ledger_path()).unwrap();
    let current: Vec<_> = reader
        .of_device("sensor-00003")
        .unwrap()
        .iter()
        .map(|entry| entry.current)
        .collect();
    assert_eq!(current, [false, true]);
    assert!(factory.verify().is_ok());
}

#[test]
fn what_lies_in_the_way_is_found_before_anything_is_issued() {
    let factory = Factory::new();
    let plan = factory.plan("a", factory.folder());
    fs::create_dir(&plan.target.path).unwrap();
    let link = plan.target.path.join("sensor-00007.crt");
    std::os::unix::fs::symlink("/nowhere", &link).unwrap();
    let refusal = factory.run(&plan, 10, usize::MAX).unwrap_err();
    assert!(
        matches!(&refusal, IssuingError::Exists { path } if *path == link),
        "{refusal}"
    );
    assert_eq!(entries(&plan.target.path), 1);
    assert_eq!(factory.ledger().issued().unwrap(), 0);

    fs::remove_file(&link).unwrap();
    let file = Target::folder(factory.dir.path().join("file"));
    fs::write(&file.path, "").unwrap();
    let refusal = factory.run(&factory.plan("b", file), 1, 1).unwrap_err();
    assert!(matches!(refusal, IssuingError::Exists { .. }), "{refusal}");
    let pipe = Target::folder(factory.dir.path().join("pipe"));
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe.path)
        .status();
    assert!(made.unwrap().success());
    let refusal = factory.run(&factory.plan("c", pipe), 1, 1).unwrap_err();
    assert!(matches!(refusal, IssuingError::Exists { .. }), "{refusal}");
}

#[test]
fn only_one_run_has_the_ledger_and_only_of_its_ca() {
    let factory = Factory::new();
    let ledger = factory.ledger();
    let instance = Station::new(1).unwrap();
    let again = Ledger::open(&factory.ledger_path(), factory.ca.certificate(), instance);
    assert!(matches!(again, Err(IssuingError::Busy { .. })));
    drop(ledger);
    let other = Factory::new();
    let foreign = Ledger::open(&factory.ledger_path(), other.ca.certificate(), instance);
    assert!(matches!(foreign, Err(IssuingError::OtherCa { .. })));
    let text = factory.dir.path().join("text");
    fs::write(&text, "x".repeat(4096)).unwrap();
    let text = Ledger::open(&text, factory.ca.certificate(), instance);
    assert!(
        matches!(text, Err(IssuingError::NotALedger { .. })),
        "{text:?}"
    );
    let none = LedgerReader::open(&factory.dir.path().join("none"));
    assert!(matches!(none, Err(IssuingError::NoLedger { .. })));
}

#[test]
fn every_change_of_a_ledger_shows() {
    let factory = Factory::new();
    factory
        .run(&factory.plan("a", factory.folder()), 20, usize::MAX)
        .unwrap();
    let sound = fs::read(factory.ledger_path()).unwrap();
    let changes = [
        (
            "UPDATE certificate SET device = 'mine' WHERE sequence = 7",
            "row 7 (mine)",
        ),
        (
            "UPDATE certificate SET certificate = zeroblob(32) WHERE sequence = 20",
            "row 20",
        ),
        (
            "UPDATE certificate SET state = 2 WHERE sequence = 3",
            "row 3",
        ),
        (
            "DELETE FROM certificate WHERE sequence = 5",
            "row 5 is missing",
        ),
        (
            "DELETE FROM certificate WHERE sequence = 20",
            "sealed 20 rows, and 19 are there",
        ),
        ("UPDATE batch SET operator = 'nobody'", "batch 1"),
        (
            "UPDATE seal SET signature = zeroblob(70)",
            "the seal at row 20",
        ),
        (
            "UPDATE certificate SET current = 0 WHERE sequence = 4",
            "present certificate of sensor-00003",
        ),
    ];
    for (change, fault) in changes {
        fs::write(factory.ledger_path(), &sound).unwrap();
        let database = rusqlite::Connection::open(factory.ledger_path()).unwrap();
        database.execute_batch(change).unwrap();
        drop(database);
        let found = factory.verify().unwrap_err().to_string();
        assert!(found.contains(fault), "{change}: {found}");
    }
}

#[test]
fn a_stop_before_the_first_device_leaves_nothing_unfinished() {
    let factory = Factory::new();
    let plan = factory.plan("a", factory.folder());
    let stop = AtomicBool::new(true);
    let mut ledger = factory.ledger();
    let batch = Batch {
        ledger: &mut ledger,
        ca: &factory.ca,
        plan: &plan,
    };
    let summary = batch.run(&Numbered(10), &stop, |_| true).unwrap();
    assert_eq!((summary.issued, summary.finished), (0, false));
    drop(ledger);
    stop.store(false, Ordering::Relaxed);
    assert_eq!(factory.run(&plan, 10, usize::MAX).unwrap().issued, 10);
}
