//! The folder `DEVICE.provisioning/`: the next identity of a device while it is not yet its identity.
//!
//! Nothing in it is named like an identity's files, and nobody but its owner can look into it. It goes when the
//! provisioning ends, either way.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{
    DeviceIdentity, Files, Store, StoreError, file, identity, read_pair, staged, sync_directory,
};
use crate::{ca::PrivateKey, names::ThingName};

/// The folder of a device that is being provisioned, held by one run at a time.
#[derive(Debug)]
pub struct ProvisioningFolder {
    store: Store,
    device: ThingName,
    path: PathBuf,
    /// Locked as long as it is open.
    lock: File,
}

impl Store {
    /// What was written when a device was provisioned; `None` if it was not.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load_fleet_record(&self, device: &ThingName) -> Result<Option<String>, StoreError> {
        text(&self.fleet_record(device))
    }

    /// Whether a provisioning of the device was begun and not ended.
    pub fn is_provisioning(&self, device: &ThingName) -> bool {
        self.provisioning_path(device).exists()
    }

    /// Takes hold of the folder in which a device is provisioned, making it if need be; `None` if another run holds it.
    ///
    /// # Errors
    /// When it cannot be made or used.
    pub fn open_provisioning(
        &self,
        device: &ThingName,
    ) -> Result<Option<ProvisioningFolder>, StoreError> {
        let path = self.provisioning_path(device);
        loop {
            let cannot = |source| StoreError::Directory {
                path: path.clone(),
                source,
            };
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => sync_directory(self.dir())?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(cannot(source)),
            }
            let metadata = fs::symlink_metadata(&path).map_err(cannot)?;
            if !metadata.is_dir() {
                return Err(StoreError::NotADirectory { path });
            }
            let lock = match File::open(&path) {
                Ok(lock) => lock,
                // Another run has just ended, and taken it away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(cannot(source)),
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(cannot(source)),
            }
            if same_file(&lock, &path) {
                return Ok(Some(ProvisioningFolder {
                    store: self.clone(),
                    device: device.clone(),
                    path,
                    lock,
                }));
            }
        }
    }

    /// The device's identity, if it is caught in the middle of the swap: one of its files is already that of a next
    /// one, which happens only after that was accepted and proved.
    pub(super) fn half_swapped(&self, device: &ThingName) -> Option<DeviceIdentity> {
        let files = self.device_files(device);
        let same = |path: &Path, next: &file::Contents| {
            file::read(path).is_ok_and(|found| found.is_some_and(|found| found == *next))
        };
        // The folder may have the name that the device had before the template named its thing.
        for folder in fs::read_dir(self.dir()).ok()?.flatten() {
            if !folder.file_name().to_string_lossy().ends_with(FOLDER) {
                continue;
            }
            let next = next_files(&folder.path());
            if let Ok(Some(pair)) = read_pair(&next)
                && (same(&files.key, &pair.key) || same(&files.certificate, &pair.certificate))
            {
                return identity(device, &pair, next).ok();
            }
        }
        None
    }

    fn provisioning_path(&self, device: &ThingName) -> PathBuf {
        self.path(format!("{device}{FOLDER}"))
    }

    fn fleet_record(&self, device: &ThingName) -> PathBuf {
        self.path(format!("{device}.fleet.json"))
    }
}

impl ProvisioningFolder {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is known of the attempt; `None` if there is none yet.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load_attempt(&self) -> Result<Option<String>, StoreError> {
        text(&self.path.join(ATTEMPT))
    }

    /// Writes what is known of the attempt.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_attempt(&self, attempt: &str) -> Result<(), StoreError> {
        self.save(&self.path.join(ATTEMPT), attempt.as_bytes())
    }

    /// Writes the next key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_key(&self, key: &PrivateKey) -> Result<(), StoreError> {
        self.save(&next_files(&self.path).key, key.to_pem().as_bytes())
    }

    /// Writes the next certificate, with its issuers if there are any.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_certificate(&self, chain_pem: &str) -> Result<(), StoreError> {
        self.save(&next_files(&self.path).certificate, chain_pem.as_bytes())
    }

    /// The next key; `None` if there is none.
    ///
    /// # Errors
    /// When the file cannot be read or holds no key.
    pub fn load_key(&self) -> Result<Option<PrivateKey>, StoreError> {
        let path = next_files(&self.path).key;
        let Some(pem) = file::read(&path)? else {
            return Ok(None);
        };
        let key = PrivateKey::from_pem(&pem, None);
        key.map(Some)
            .map_err(|source| StoreError::Key { path, source })
    }

    /// The next identity; `None` unless both its files are there.
    ///
    /// # Errors
    /// When the files are not what they should be, or do not belong together.
    pub fn load_next(&self) -> Result<Option<DeviceIdentity>, StoreError> {
        let files = next_files(&self.path);
        match read_pair(&files) {
            Ok(Some(pair)) => identity(&self.device, &pair, files).map(Some),
            Ok(None) | Err(StoreError::KeyWithoutCertificate { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the next identity's files as those of a thing, in place of its present ones if they are to be replaced.
    /// Each file appears whole; what is so already stays, so that this may be broken off and done again.
    ///
    /// # Errors
    /// When the thing has other files and they are not to be replaced, or something cannot be written.
    pub fn publish(
        &self,
        thing: &ThingName,
        replace: bool,
        mut published: impl FnMut(&Path),
    ) -> Result<Files, StoreError> {
        let next = next_files(&self.path);
        let pair = read_pair(&next)?.ok_or(StoreError::CertificateWithoutKey {
            key: next.key,
            certificate: next.certificate,
        })?;
        let files = self.store.device_files(thing);
        let parts = [
            (&files.key, &pair.key, staged::SECRET),
            (&files.certificate, &pair.certificate, staged::PUBLIC),
        ];
        for (path, contents, _) in &parts {
            let present = file::read(path)?;
            if !replace && present.is_some_and(|present| present != **contents) {
                return Err(StoreError::AlreadyExists {
                    path: (*path).clone(),
                });
            }
        }
        let mut ready = Vec::new();
        for (path, contents, mode) in parts {
            if file::read(path)?.is_none_or(|present| present != *contents) {
                // In here, so that what a crash leaves of it goes with the folder.
                let staged = staged::Replacement::write(&self.path, path, contents, mode)?;
                ready.push((staged, path));
            }
        }
        // Both are on the disk under other names: between their renames nothing is left to fail but the machine.
        for (staged, path) in ready {
            staged.rename(path, replace)?;
            published(path);
        }
        sync_directory(self.store.dir())?;
        Ok(files)
    }

    /// Writes what the device was provisioned with.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_fleet_record(&self, record: &str) -> Result<(), StoreError> {
        let path = self.store.fleet_record(&self.device);
        file::exists(&path)?;
        staged::replace(self.store.dir(), &path, record.as_bytes(), staged::SECRET)?;
        sync_directory(self.store.dir())
    }

    /// Takes away what was written for an attempt, and keeps the folder.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear(&self) -> Result<(), StoreError> {
        let next = next_files(&self.path);
        // What is known of the attempt goes first: without it the rest means nothing.
        for path in [self.path.join(ATTEMPT), next.certificate, next.key] {
            remove(&path, |path| fs::remove_file(path))?;
        }
        Ok(())
    }

    /// Takes away the folder with everything in it.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(self) -> Result<(), StoreError> {
        self.clear()?;
        // What a crash left under a temporary name.
        remove(&self.path, |path| fs::remove_dir_all(path))?;
        let synced = sync_directory(self.store.dir());
        drop(self.lock);
        synced
    }

    fn save(&self, path: &Path, contents: &[u8]) -> Result<(), StoreError> {
        staged::replace(&self.path, path, contents, staged::SECRET)?;
        sync_directory(&self.path)
    }
}

fn next_files(folder: &Path) -> Files {
    Files {
        key: folder.join("next.key"),
        certificate: folder.join("next.crt"),
    }
}

fn text(path: &Path) -> Result<Option<String>, StoreError> {
    let contents = file::read(path)?;
    Ok(contents.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Whether the folder that was opened is still the one of that name.
fn same_file(opened: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (opened.metadata(), fs::symlink_metadata(path)) {
        (Ok(opened), Ok(named)) => (opened.dev(), opened.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

fn remove(path: &Path, how: impl Fn(&Path) -> io::Result<()>) -> Result<(), StoreError> {
    match how(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError::Write {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

const ATTEMPT: &str = "attempt.json";
const FOLDER: &str = ".provisioning";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use time::OffsetDateTime;

    use super::*;
    use crate::ca::{Profile, SelfSigned};

    fn made(name: &ThingName) -> SelfSigned {
        SelfSigned::create(name, &Profile::device(), OffsetDateTime::now_utc()).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_next_identity_is_private_and_becomes_the_identity_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let name: ThingName = "sensor".parse().unwrap();
        let folder = store.open_provisioning(&name).unwrap().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        let made = made(&name);
        folder.save_key(made.private_key()).unwrap();
        folder.save_attempt("{}").unwrap();
        for file in ["next.key", "attempt.json"] {
            assert_eq!(mode(&folder.path().join(file)), 0o600, "{file}");
        }
        assert!(folder.load_next().unwrap().is_none());
        folder
            .save_certificate(&made.certificate().to_pem())
            .unwrap();
        assert!(folder.load_next().unwrap().is_some());
        assert!(store.load_device(&name).is_err(), "no identity yet");
        for _ in 0..2 {
            let files = folder.publish(&name, false, |_| ()).unwrap();
            assert_eq!(mode(&files.key), 0o600);
        }
        folder.save_fleet_record("{}").unwrap();
        folder.remove().unwrap();
        let left = ["sensor.crt", "sensor.fleet.json", "sensor.key"];
        assert_eq!(names(dir.path()), left);
        let id = made.certificate().id();
        assert_eq!(store.load_device(&name).unwrap().certificate().id(), id);
    }

    #[test]
    fn an_identity_that_is_there_stays_unless_it_is_to_be_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let name: ThingName = "sensor".parse().unwrap();
        let folder = store.open_provisioning(&name).unwrap().unwrap();
        let (first, second) = (made(&name), made(&name));
        for (number, made) in [&first, &second].into_iter().enumerate() {
            folder.clear().unwrap();
            folder.save_key(made.private_key()).unwrap();
            folder
                .save_certificate(&made.certificate().to_pem())
                .unwrap();
            let outcome = folder.publish(&name, false, |_| ());
            match number {
                0 => drop(outcome.unwrap()),
                _ => assert!(matches!(outcome, Err(StoreError::AlreadyExists { .. }))),
            }
        }
        let present = |store: &Store| store.load_device(&name).unwrap().certificate().id().clone();
        assert_eq!(present(&store), *first.certificate().id());
        // The machine stops between the two renames: whoever loads the device gets the new identity.
        let key = store.device_files(&name).key;
        fs::copy(folder.path().join("next.key"), key).unwrap();
        assert_eq!(present(&store), *second.certificate().id());
        folder.publish(&name, true, |_| ()).unwrap();
        folder.remove().unwrap();
        assert_eq!(present(&store), *second.certificate().id());
        assert_eq!(names(dir.path()), ["sensor.crt", "sensor.key"]);
    }

    #[test]
    fn one_run_at_a_time_holds_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let name: ThingName = "sensor".parse().unwrap();
        let folder = store.open_provisioning(&name).unwrap().unwrap();
        assert!(store.open_provisioning(&name).unwrap().is_none());
        folder.remove().unwrap();
        let again = store.open_provisioning(&name).unwrap();
        assert!(again.is_some());
        drop(again);
        std::fs::remove_dir(dir.path().join("sensor.provisioning")).unwrap();
        std::os::unix::fs::symlink("elsewhere", dir.path().join("sensor.provisioning")).unwrap();
        assert!(store.open_provisioning(&name).is_err());
    }
}
