//! The folder: files whole or not at all, closed to others, never overwritten, no link followed.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use jitp_core::{
    ca::{IssuedDevice, KeyType, Profile},
    failure::{Class, Classified},
    names::CaName,
    store::{KeyFile, Store, StoreError},
};
use openssl::{nid::Nid, pkey::PKey, rsa::Rsa, symm::Cipher};
use tempfile::TempDir;

use crate::{NOW, foreign, root, thing};

fn folder() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn device(name: &str) -> IssuedDevice {
    root(KeyType::P256)
        .issue(&thing(name), &Profile::device(), NOW)
        .unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_ca_and_a_device_lie_under_the_names_of_the_old_scripts_and_load_again() {
    let (dir, store) = folder();
    let ca = root(KeyType::P256);
    let name = CaName::default();
    store.save_ca(&name, &ca).unwrap();
    let loaded = store.load_ca(&name).unwrap();
    assert_eq!(loaded.certificate(), ca.certificate());
    assert_eq!(&store.load_ca_certificate(&name).unwrap(), ca.certificate());

    let issued = loaded
        .issue(&thing("sensor-17"), &Profile::device(), NOW)
        .unwrap();
    let files = store.save_device(&issued).unwrap();
    assert_eq!(
        names(dir.path()),
        [
            "root.ca.key",
            "root.ca.pem",
            "sensor-17.crt",
            "sensor-17.key"
        ]
    );
    assert_eq!(mode(&files.key), 0o600);
    assert_eq!(mode(&store.ca_files(&name).key), 0o600);
    assert_eq!(mode(&files.certificate) & 0o133, 0);

    let identity = store.load_device(&thing("sensor-17")).unwrap();
    assert_eq!(identity.certificate().id(), issued.id());
    assert_eq!(identity.certificates()[1], *ca.certificate());
    assert_eq!(identity.chain().len(), 2);
    assert_eq!(store.device_key_warning(&thing("sensor-17")), None);
}

#[test]
fn what_exists_is_never_overwritten() {
    let (dir, store) = folder();
    let name = CaName::default();
    store.save_ca(&name, &root(KeyType::P256)).unwrap();
    let first = device("a");
    store.save_device(&first).unwrap();
    let before = fs::read(dir.path().join("a.key")).unwrap();

    let refusal = store.save_device(&device("a")).unwrap_err();
    assert!(matches!(refusal, StoreError::AlreadyExists { .. }));
    assert_eq!(refusal.class(), Class::Conflict);
    assert!(refusal.to_string().ends_with("a.key already exists"));
    let refusal = store.save_ca(&name, &root(KeyType::P256)).unwrap_err();
    assert!(matches!(refusal, StoreError::AlreadyExists { .. }));
    assert!(store.check_ca_is_free(&name).is_err());
    assert_eq!(fs::read(dir.path().join("a.key")).unwrap(), before);
    assert_eq!(names(dir.path()).len(), 4);
}

#[test]
fn a_certificate_in_the_way_leaves_no_key_behind() {
    let (dir, store) = folder();
    fs::write(dir.path().join("a.crt"), "precious").unwrap();
    let refusal = store.save_device(&device("a")).unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("a.crt exists without its key ")
    );
    assert_eq!(names(dir.path()), ["a.crt"]);
    assert_eq!(fs::read(dir.path().join("a.crt")).unwrap(), b"precious");
}

#[test]
fn a_run_that_died_between_key_and_certificate_is_recognised() {
    let (dir, store) = folder();
    let issued = device("a");
    store.save_device(&issued).unwrap();
    fs::remove_file(dir.path().join("a.crt")).unwrap();
    let key = fs::read(dir.path().join("a.key")).unwrap();
    for refusal in [
        store.load_device(&thing("a")).unwrap_err(),
        store.save_device(&device("a")).unwrap_err(),
    ] {
        assert!(matches!(refusal, StoreError::KeyWithoutCertificate { .. }));
        assert!(refusal.hint().unwrap().contains("a.key"), "{refusal}");
    }
    assert_eq!(fs::read(dir.path().join("a.key")).unwrap(), key);

    fs::rename(dir.path().join("a.key"), dir.path().join("elsewhere")).unwrap();
    store.save_device(&issued).unwrap();
    fs::remove_file(dir.path().join("a.key")).unwrap();
    let refusal = store.load_device(&thing("a")).unwrap_err();
    assert!(matches!(refusal, StoreError::CertificateWithoutKey { .. }));
}

#[test]
fn links_are_neither_followed_nor_replaced() {
    let (dir, store) = folder();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    for link in ["a.key", "a.crt"] {
        let link = dir.path().join(link);
        symlink(&target, &link).unwrap();
        let refusal = store.save_device(&device("a")).unwrap_err();
        assert!(refusal.to_string().contains("symbolic link"), "{refusal}");
        assert!(!target.exists());
        fs::remove_file(&link).unwrap();
    }
    let files = store.save_device(&device("a")).unwrap();
    fs::rename(&files.key, &target).unwrap();
    symlink(&target, &files.key).unwrap();
    let refusal = store.load_device(&thing("a")).unwrap_err();
    assert!(matches!(refusal, StoreError::NotAFile { .. }));
    assert!(refusal.hint().unwrap().contains("--dir"));
}

#[test]
fn pipes_and_folders_in_the_way_are_refused_without_waiting() {
    let (dir, store) = folder();
    let pipe = dir.path().join("a.key");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    fs::create_dir(dir.path().join("b.crt")).unwrap();
    for (name, what) in [("a", "a pipe"), ("b", "a folder")] {
        let refusal = store.save_device(&device(name)).unwrap_err();
        assert!(refusal.to_string().contains(what), "{refusal}");
        let refusal = store.load_device(&thing(name)).unwrap_err();
        assert!(refusal.to_string().contains(what), "{refusal}");
    }
    assert_eq!(names(dir.path()), ["a.key", "b.crt"]);
}

#[test]
fn a_key_open_to_others_is_loaded_with_a_warning() {
    let (_dir, store) = folder();
    let files = store.save_device(&device("a")).unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(store.load_device(&thing("a")).is_ok());
    let warning = store.device_key_warning(&thing("a")).unwrap().to_string();
    assert!(
        warning.contains("mode 0644") && warning.contains("chmod 600"),
        "{warning}"
    );
}

#[test]
fn a_key_of_another_certificate_is_refused_by_both_names() {
    let (dir, store) = folder();
    store.save_device(&device("a")).unwrap();
    store.save_device(&device("b")).unwrap();
    fs::rename(dir.path().join("b.key"), dir.path().join("a.key")).unwrap();
    let refusal = store.load_device(&thing("a")).unwrap_err().to_string();
    assert!(
        refusal.contains("a.key") && refusal.contains("a.crt"),
        "{refusal}"
    );
}

fn with(passphrase: &[u8]) -> KeyFile<'_> {
    KeyFile {
        passphrase: Some(passphrase),
        path: None,
    }
}

#[test]
fn a_ca_key_is_saved_encrypted_and_where_it_is_to_be() {
    let (dir, store) = folder();
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("stick.key");
    let file = KeyFile {
        path: Some(&path),
        passphrase: Some(b"open sesame"),
    };
    let (name, ca) = (CaName::default(), root(KeyType::P256));
    let short = KeyFile {
        passphrase: Some(b"short"),
        ..file
    };
    let refusal = store.save_ca_with(&name, &ca, short).unwrap_err();
    assert!(matches!(refusal, StoreError::Key { .. }), "{refusal}");
    store.save_ca_with(&name, &ca, file).unwrap();
    assert_eq!(names(dir.path()), ["root.ca.pem"]);
    assert_eq!(names(elsewhere.path()), ["stick.key"]);
    assert_eq!(mode(&path), 0o600);
    let text = fs::read(&path).unwrap();
    assert!(PKey::private_key_from_pem_passphrase(&text, b"open sesame").is_ok());
    store.load_ca_with(&name, file).unwrap();

    let refusal = store.load_ca(&name).unwrap_err();
    assert!(
        matches!(refusal, StoreError::CaWithoutKey { .. }),
        "{refusal}"
    );
    assert!(refusal.hint().unwrap().contains("--ca-key"));
    let again = store.save_ca_with(&name, &ca, file).unwrap_err();
    assert_eq!(again.class(), Class::Conflict);
}

#[test]
fn an_encrypted_ca_key_is_loaded_with_its_passphrase() {
    let (_dir, store) = folder();
    let name = CaName::default();
    let ca = root(KeyType::P256);
    let files = store.save_ca(&name, &ca).unwrap();
    let key = PKey::private_key_from_pem(ca.private_key().unwrap().to_pem().as_bytes()).unwrap();
    let closed = key
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret")
        .unwrap();
    fs::write(&files.key, closed).unwrap();
    let refusal = store.load_ca(&name).unwrap_err();
    assert!(matches!(refusal, StoreError::Key { .. }));
    assert!(store.load_ca_with(&name, with(b"wrong")).is_err());
    let loaded = store.load_ca_with(&name, with(b"secret")).unwrap();
    assert_eq!(loaded.certificate(), ca.certificate());
}

#[test]
fn missing_damaged_and_huge_files_are_told_apart() {
    let (dir, store) = folder();
    let name: CaName = "acme".parse().unwrap();
    let refusal = store.load_ca(&name).unwrap_err();
    assert_eq!(refusal.class(), Class::NotFound);
    assert!(refusal.hint().unwrap().contains("create-root acme"));

    let key = Rsa::generate(2048).unwrap().private_key_to_pem().unwrap();
    fs::write(dir.path().join("acme.ca.key"), key).unwrap();
    fs::write(dir.path().join("acme.ca.pem"), "garbage").unwrap();
    let refusal = store.load_ca(&name).unwrap_err();
    assert!(
        matches!(refusal, StoreError::Certificate { .. }),
        "{refusal}"
    );
    fs::write(dir.path().join("acme.ca.pem"), vec![b'x'; 2 << 20]).unwrap();
    let refusal = store.load_ca(&name).unwrap_err();
    assert!(matches!(refusal, StoreError::TooLarge { .. }), "{refusal}");
}

#[test]
fn a_folder_that_is_missing_or_goes_away_is_an_error_with_its_cause() {
    let (dir, store) = folder();
    let refusal = Store::open(dir.path().join("nowhere")).unwrap_err();
    assert!(refusal.hint().unwrap().contains("mkdir"));
    fs::write(dir.path().join("file"), "").unwrap();
    let refusal = Store::open(dir.path().join("file")).unwrap_err();
    assert!(matches!(refusal, StoreError::NotADirectory { .. }));

    drop(dir);
    let refusal = store.save_device(&device("a")).unwrap_err();
    let cause = std::error::Error::source(&refusal).unwrap().to_string();
    assert!(matches!(refusal, StoreError::Write { .. }));
    assert!(cause.contains("No such file"), "{cause}");
}

#[test]
fn two_runs_at_once_leave_one_whole_pair() {
    let (dir, store) = folder();
    let candidates: Vec<_> = (0..8).map(|_| device("a")).collect();
    let saved = std::thread::scope(|scope| {
        let runs: Vec<_> = candidates
            .iter()
            .map(|candidate| scope.spawn(|| store.save_device(candidate).is_ok()))
            .collect();
        runs.into_iter()
            .map(|run| run.join().unwrap())
            .filter(|saved| *saved)
            .count()
    });
    assert_eq!(saved, 1);
    assert_eq!(names(dir.path()), ["a.crt", "a.key"]);
    store.load_device(&thing("a")).unwrap();
    assert_eq!(fs::metadata(dir.path().join("a.key")).unwrap().nlink(), 1);
}

#[test]
fn files_that_passed_through_windows_are_read() {
    let (_dir, store) = folder();
    let files = store.save_device(&device("a")).unwrap();
    for path in [&files.key, &files.certificate] {
        let text = fs::read_to_string(path).unwrap().replace('\n', "\r\n");
        fs::write(path, text).unwrap();
    }
    store.load_device(&thing("a")).unwrap();
}

#[test]
fn a_device_of_the_old_scripts_is_loaded() {
    let (_dir, store) = folder();
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let name = [(Nid::COMMONNAME, "old")];
    let certificate = foreign::self_signed(&key, &name, foreign::Extensions::None);
    let files = store.device_files(&thing("old"));
    fs::write(&files.certificate, certificate.to_pem().unwrap()).unwrap();
    let pkcs1 = key.rsa().unwrap().private_key_to_pem().unwrap();
    fs::write(&files.key, pkcs1).unwrap();
    let device = store.load_device(&thing("old")).unwrap();
    assert_eq!(device.certificate().version(), 1);
    assert_eq!(device.private_key().key_type(), KeyType::Rsa2048);
}
