//! The storage told as behaviour: durability, damage, locks, groups of writes.

use super::*;

fn put(key: &str, value: &str) -> Write {
    Write {
        space: "thing",
        key: key.into(),
        value: Some(value.into()),
    }
}

fn directory() -> PathBuf {
    let name = format!("iot-local-storage-{}", uuid::Uuid::new_v4());
    std::env::temp_dir().join(name)
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let dir = directory();
    let storage = Storage::open(&dir).unwrap();
    storage.commit(vec![put("a", "1"), put("b", "2")]).unwrap();
    let delete = Write {
        space: "thing",
        key: b"a".to_vec(),
        value: None,
    };
    storage.commit(vec![delete]).unwrap();
    drop(storage);
    let again = Storage::open(&dir).unwrap();
    assert_eq!(
        again.load("thing").unwrap(),
        [(b"b".to_vec(), b"2".to_vec())]
    );
    drop(again);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_directory_in_use_is_refused_with_a_reason() {
    let dir = directory();
    let storage = Storage::open(&dir).unwrap();
    let refused = Storage::open(&dir).unwrap_err();
    assert!(matches!(refused, StorageError::Locked { .. }));
    assert!(refused.to_string().contains("another process"));
    drop(storage);
    Storage::open(&dir).unwrap();
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_directory_of_a_newer_version_is_refused() {
    let dir = directory();
    drop(Storage::open(&dir).unwrap());
    let connection = Connection::open(dir.join(DATABASE)).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let refused = Storage::open(&dir).unwrap_err();
    assert!(refused.to_string().contains("newer version"), "{refused}");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = directory();
    let storage = Storage::open(&dir).unwrap();
    storage.commit(vec![put("a", "1")]).unwrap();
    for entry in fs::read_dir(&dir).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
    drop(storage);
    fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn queued_writes_keep_their_order() {
    let dir = directory();
    let storage = Storage::open(&dir).unwrap();
    let queued: Vec<_> = (0..500)
        .map(|value| storage.commit_async(vec![put("a", &value.to_string())]))
        .collect();
    for outcome in queued {
        outcome.await.unwrap();
    }
    let records = storage.load("thing").unwrap();
    assert_eq!(records, [(b"a".to_vec(), b"499".to_vec())]);
    drop(storage);
    fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_what_was_there_stays() {
    let dir = directory();
    let storage = Storage::open(&dir).unwrap();
    storage.commit(vec![put("a", "1")]).unwrap();
    storage.fill_up();
    let large = "x".repeat(1_000_000);
    let refused = storage.commit(vec![put("b", &large)]).unwrap_err();
    assert!(matches!(refused, StorageError::Full { .. }), "{refused}");
    let refused = storage.commit_async(vec![put("b", &large)]).await;
    assert!(matches!(refused, Err(StorageError::Full { .. })));
    assert_eq!(storage.load("thing").unwrap().len(), 1);
    drop(storage);
    fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn memory_keeps_nothing_and_never_fails() {
    let storage = Storage::memory();
    storage.commit(vec![put("a", "1")]).unwrap();
    storage.commit_async(vec![put("a", "1")]).await.unwrap();
    assert!(!storage.is_durable());
    assert!(storage.load("thing").unwrap().is_empty());
}
