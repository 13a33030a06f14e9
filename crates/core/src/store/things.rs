//! The folders `things/` and `certs/` that create-thing fills: `things/THING.json`, `certs/THING.{pem,key,pub}`.

use std::{fs, io, path::Path, path::PathBuf};

use super::{
    DeviceIdentity, Files, Published, Staged, Store, StoreError, file, identity, read_pair, staged,
    sync_directory,
};
use crate::{ca::PrivateKey, certificate::Certificate, names::ThingName};

/// Where the files of a thing lie, whether they exist or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ThingFiles {
    /// What the registry answered: JSON.
    pub record: PathBuf,
    /// The certificate in PEM, followed by its CA's if that is ours.
    pub certificate: PathBuf,
    /// The private key: PKCS#8 in PEM, mode 0600.
    pub key: PathBuf,
    /// The public key in PEM.
    pub public_key: PathBuf,
}

impl ThingFiles {
    /// Key and certificate alone.
    pub(super) fn identity(&self) -> Files {
        Files {
            key: self.key.clone(),
            certificate: self.certificate.clone(),
        }
    }
}

impl Store {
    /// The files of a thing.
    pub fn thing_files(&self, name: &ThingName) -> ThingFiles {
        ThingFiles {
            record: self.path(format!("{THINGS}/{name}.json")),
            certificate: self.path(format!("{CERTIFICATES}/{name}.pem")),
            key: self.path(format!("{CERTIFICATES}/{name}.key")),
            public_key: self.path(format!("{CERTIFICATES}/{name}.pub")),
        }
    }

    /// The folder with keys and certificates of things, whether it exists or not.
    pub fn certificates_dir(&self) -> PathBuf {
        self.path(CERTIFICATES.to_owned())
    }

    /// Key and certificates of a thing; `None` if neither is there.
    ///
    /// # Errors
    /// When one of the two files is missing or not what it should be, or they do not belong together.
    pub fn load_thing(&self, name: &ThingName) -> Result<Option<DeviceIdentity>, StoreError> {
        let files = self.thing_files(name).identity();
        match read_pair(&files)? {
            Some(pair) => identity(name, &pair, files).map(Some),
            None => Ok(None),
        }
    }

    /// The certificate of a thing whose key lies elsewhere; `None` if there is none.
    ///
    /// # Errors
    /// When the file holds no certificate.
    pub fn load_thing_certificate(
        &self,
        name: &ThingName,
    ) -> Result<Option<Certificate>, StoreError> {
        let path = self.thing_files(name).certificate;
        let Some(pem) = file::read(&path)? else {
            return Ok(None);
        };
        match Certificate::all_from_pem(&pem) {
            Ok(certificates) => Ok(certificates.into_iter().next()),
            Err(source) => Err(StoreError::Certificate { path, source }),
        }
    }

    /// Whether this certificate is some thing's here. Files that cannot be read hold none.
    pub fn holds_certificate(&self, id: &str) -> bool {
        let Ok(files) = fs::read_dir(self.path(CERTIFICATES.to_owned())) else {
            return false;
        };
        files.flatten().any(|file| {
            let path = file.path();
            path.extension().is_some_and(|extension| extension == "pem")
                && file::read(&path).ok().flatten().is_some_and(|pem| {
                    let certificates = Certificate::all_from_pem(&pem).unwrap_or_default();
                    let leaf = certificates.first();
                    leaf.is_some_and(|leaf| leaf.id().as_str() == id)
                })
        })
    }

    /// Writes a thing's certificates and, unless it lies elsewhere, its key; the folders are made. The first
    /// certificate of the PEM text must be the key's.
    ///
    /// # Errors
    /// When a file exists, key and certificate do not belong together, or something cannot be written; then
    /// no file is left behind.
    pub fn save_thing(
        &self,
        name: &ThingName,
        certificate_pem: &str,
        key: Option<&PrivateKey>,
    ) -> Result<ThingFiles, StoreError> {
        let files = self.thing_files(name);
        let dir = self.folder(CERTIFICATES)?;
        let certificates = Certificate::all_from_pem(certificate_pem).map_err(|source| {
            StoreError::Certificate {
                path: files.certificate.clone(),
                source,
            }
        })?;
        let Some(certificate) = certificates.first() else {
            return Err(StoreError::KeyMismatch {
                key: files.key,
                certificate: files.certificate,
            });
        };
        let mut staged = Vec::new();
        let mut stage = |path: &PathBuf, contents: &str, mode| {
            let file = Staged::write(&dir, path, contents.as_bytes(), mode)?;
            staged.push((file, path.clone()));
            Ok::<_, StoreError>(())
        };
        if let Some(key) = key {
            if !key.belongs_to(certificate) {
                return Err(StoreError::KeyMismatch {
                    key: files.key,
                    certificate: files.certificate,
                });
            }
            stage(&files.key, &key.to_pem(), staged::SECRET)?;
        }
        // The certificate last: when it has its name, the others have theirs.
        stage(
            &files.public_key,
            &certificate.public_key_pem(),
            staged::PUBLIC,
        )?;
        stage(&files.certificate, certificate_pem, staged::PUBLIC)?;
        let mut published = Published::default();
        for (file, path) in staged {
            published.add(file, &path)?;
        }
        sync_directory(&dir)?;
        published.keep();
        Ok(files)
    }

    /// Whether a thing's key and certificate could be written; to be asked before work that cannot be undone.
    ///
    /// # Errors
    /// As [`Store::save_thing`].
    pub fn check_thing_is_free(&self, name: &ThingName) -> Result<(), StoreError> {
        let files = self.thing_files(name);
        super::check_free(&files.identity())?;
        if file::exists(&files.public_key)? {
            return Err(StoreError::AlreadyExists {
                path: files.public_key,
            });
        }
        self.folder(CERTIFICATES).map(drop)
    }

    /// What was written about a thing; `None` if nothing was.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load_thing_record(&self, name: &ThingName) -> Result<Option<String>, StoreError> {
        let contents = file::read(&self.thing_files(name).record)?;
        Ok(contents.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Writes about a thing, in place of what was written before; the folder is made.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_thing_record(&self, name: &ThingName, record: &str) -> Result<(), StoreError> {
        let path = self.thing_files(name).record;
        let dir = self.folder(THINGS)?;
        file::exists(&path)?; // a link or a folder of that name is not written through or over
        staged::replace(&dir, &path, record.as_bytes(), staged::PUBLIC)?;
        sync_directory(&dir)
    }

    fn folder(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.path(name.to_owned());
        match fs::create_dir(&path) {
            Ok(()) => sync_directory(self.dir())?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(StoreError::Directory { path, source }),
        }
        if Path::is_dir(&path) {
            Ok(path)
        } else {
            Err(StoreError::NotADirectory { path })
        }
    }
}

const THINGS: &str = "things";
const CERTIFICATES: &str = "certs";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use time::OffsetDateTime;

    use super::*;
    use crate::ca::{CertificateAuthority, KeyType, Profile, Subject, Validity};

    fn issued(name: &ThingName) -> crate::ca::IssuedDevice {
        let now = OffsetDateTime::now_utc();
        let subject = Subject::new("root").unwrap();
        let root =
            CertificateAuthority::create_root(&subject, KeyType::P256, Validity::Days(9), now);
        let profile = Profile::device().with_validity(Validity::UntilCaEnds);
        root.unwrap().issue(name, &profile, now).unwrap()
    }

    #[test]
    fn a_thing_s_files_are_whole_private_and_readable_as_a_device_s() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let name: ThingName = "sensor".parse().unwrap();
        assert!(store.load_thing(&name).unwrap().is_none());
        store.check_thing_is_free(&name).unwrap();
        let device = issued(&name);
        let files = store
            .save_thing(
                &name,
                &device.certificate().chain_pem(),
                Some(device.private_key()),
            )
            .unwrap();
        let mode = fs::metadata(&files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let public =
            openssl::pkey::PKey::public_key_from_pem(&fs::read(&files.public_key).unwrap());
        let leaf = openssl::x509::X509::from_pem(&fs::read(&files.certificate).unwrap()).unwrap();
        assert!(leaf.public_key().unwrap().public_eq(&public.unwrap()));
        let loaded = store.load_device(&name).unwrap();
        assert_eq!(loaded.certificate().id(), device.id());
        let again = store.save_thing(
            &name,
            &device.certificate().chain_pem(),
            Some(device.private_key()),
        );
        assert!(matches!(again, Err(StoreError::AlreadyExists { .. })));
        assert!(store.check_thing_is_free(&name).is_err());
    }

    #[test]
    fn a_key_that_is_not_the_certificate_s_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let name: ThingName = "sensor".parse().unwrap();
        let (one, other) = (issued(&name), issued(&name));
        let refusal = store.save_thing(
            &name,
            &one.certificate().chain_pem(),
            Some(other.private_key()),
        );
        assert!(matches!(refusal, Err(StoreError::KeyMismatch { .. })));
        assert_eq!(fs::read_dir(dir.path().join("certs")).unwrap().count(), 0);
    }

    #[test]
    fn a_record_replaces_the_one_before_but_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let name: ThingName = "sensor".parse().unwrap();
        assert_eq!(store.load_thing_record(&name).unwrap(), None);
        for record in ["{}", "{\"thingName\":\"sensor\"}"] {
            store.save_thing_record(&name, record).unwrap();
            let read = store.load_thing_record(&name).unwrap();
            assert_eq!(read.as_deref(), Some(record));
        }
        assert_eq!(fs::read_dir(dir.path().join("things")).unwrap().count(), 1);
        let other: ThingName = "other".parse().unwrap();
        let link = store.thing_files(&other).record;
        std::os::unix::fs::symlink("elsewhere", link).unwrap();
        assert!(store.save_thing_record(&other, "{}").is_err());
    }
}
