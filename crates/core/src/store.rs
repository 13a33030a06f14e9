//! The folder with the keys and certificates: `CN.ca.key`, `CN.ca.pem`, `DEVICE.key`, `DEVICE.crt`.
//!
//! What a script can rely on: a file appears whole or not at all, a key is for its owner only from its first byte on,
//! nothing that exists is ever overwritten, and no symbolic link is followed, neither in reading nor in writing.

mod claims;
mod error;
mod file;
mod provisioning;
mod staged;
mod things;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

pub use error::StoreError;
pub use provisioning::ProvisioningFolder;
use staged::{Published, Staged, sync_directory};
pub use things::ThingFiles;

use crate::{
    ca::{CaError, CertificateAuthority, ExternalKey, IssuedDevice, PrivateKey, Quota},
    certificate::Certificate,
    names::{CaName, ThingName},
};

/// A folder of keys and certificates.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
}

/// Where a key and its certificate lie.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Files {
    /// The private key: PKCS#8 in PEM, mode 0600.
    pub key: PathBuf,
    /// The certificate in PEM; for a device followed by its CA's.
    pub certificate: PathBuf,
}

/// The file of a CA's key.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyFile<'a> {
    /// Where it is; `None` for beside the certificate, `CN.ca.key`.
    pub path: Option<&'a Path>,
    /// What encrypts it. Without, it is not encrypted.
    pub passphrase: Option<&'a [u8]>,
}

/// A device's key and certificates, read from its files and found to belong together.
#[derive(Clone, Debug)]
pub struct DeviceIdentity {
    thing_name: ThingName,
    private_key: PrivateKey,
    certificates: Vec<Certificate>,
}

/// A key file that others than its owner may read or write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LooseMode {
    /// The key file.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

impl fmt::Display for LooseMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(
            f,
            "{path} is open to other users (mode {:04o}); close it with: chmod 600 {path}",
            self.mode
        )
    }
}

impl Store {
    /// Opens a folder, which must exist.
    ///
    /// # Errors
    /// When it does not exist, is no folder, or cannot be looked at.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        let dir = dir.as_ref();
        // An empty path is what is left of a relative one; it means here.
        let dir = if dir.as_os_str().is_empty() {
            Path::new(".")
        } else {
            dir
        };
        let metadata = fs::metadata(dir).map_err(|source| StoreError::Directory {
            path: dir.to_owned(),
            source,
        })?;
        if !metadata.is_dir() {
            return Err(StoreError::NotADirectory {
                path: dir.to_owned(),
            });
        }
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The files of a CA, whether they exist or not.
    pub fn ca_files(&self, name: &CaName) -> Files {
        Files {
            key: self.path(format!("{name}.ca.key")),
            certificate: self.path(format!("{name}.ca.pem")),
        }
    }

    fn ca_files_with(&self, name: &CaName, key: Option<&Path>) -> Files {
        let files = self.ca_files(name);
        match key {
            Some(key) => Files {
                key: key.to_owned(),
                ..files
            },
            None => files,
        }
    }

    /// The files of a device, whether they exist or not.
    pub fn device_files(&self, name: &ThingName) -> Files {
        Files {
            key: self.path(format!("{name}.key")),
            certificate: self.path(format!("{name}.crt")),
        }
    }

    /// Whether the files of a CA could be written; to be asked before work that takes long.
    ///
    /// # Errors
    /// As [`Store::save_ca`].
    pub fn check_ca_is_free(&self, name: &CaName) -> Result<(), StoreError> {
        self.check_ca_is_free_with(name, None)
    }

    /// As [`Store::check_ca_is_free`], with the key in another file than `CN.ca.key`.
    ///
    /// # Errors
    /// As [`Store::save_ca_with`].
    pub fn check_ca_is_free_with(
        &self,
        name: &CaName,
        key: Option<&Path>,
    ) -> Result<(), StoreError> {
        check_free(&self.ca_files_with(name, key))
    }

    /// Whether a CA's certificate could be written, whose key is there already.
    ///
    /// # Errors
    /// As [`Store::save_ca_certificate`].
    pub fn check_ca_certificate_is_free(&self, name: &CaName) -> Result<(), StoreError> {
        let path = self.ca_files(name).certificate;
        match file::exists(&path)? {
            true => Err(StoreError::AlreadyExists { path }),
            false => Ok(()),
        }
    }

    /// Whether the files of a device could be written; to be asked before work that takes long.
    ///
    /// # Errors
    /// As [`Store::save_device`].
    pub fn check_device_is_free(&self, name: &ThingName) -> Result<(), StoreError> {
        check_free(&self.device_files(name))
    }

    /// Writes a CA's certificate and, unless it is held elsewhere, its key, which is not encrypted.
    ///
    /// # Errors
    /// When one of the files exists, something else is in its way, or it cannot be written; then neither of them is left
    /// behind by this call.
    pub fn save_ca(&self, name: &CaName, ca: &CertificateAuthority) -> Result<Files, StoreError> {
        self.save_ca_with(name, ca, KeyFile::default())
    }

    /// As [`Store::save_ca`], with the key in a file as told.
    ///
    /// # Errors
    /// As [`Store::save_ca`], and when the passphrase is too short.
    pub fn save_ca_with(
        &self,
        name: &CaName,
        ca: &CertificateAuthority,
        key_file: KeyFile<'_>,
    ) -> Result<Files, StoreError> {
        let files = self.ca_files_with(name, key_file.path);
        let key = match (ca.private_key(), key_file.passphrase) {
            (None, _) => None,
            (Some(key), None) => Some(key.to_pem()),
            (Some(key), Some(passphrase)) => {
                let pem = key.to_encrypted_pem(passphrase);
                Some(pem.map_err(|source| StoreError::Key {
                    path: files.key.clone(),
                    source,
                })?)
            }
        };
        self.publish(&files, key, ca.certificate_pem())?;
        Ok(files)
    }

    /// Writes a CA's certificate alone, and answers its path: its key is in a token, or in a file already.
    ///
    /// # Errors
    /// When there is one, something else is in its way, or it cannot be written.
    pub fn save_ca_certificate(
        &self,
        name: &CaName,
        certificate_pem: &str,
    ) -> Result<PathBuf, StoreError> {
        self.check_ca_certificate_is_free(name)?;
        let files = self.ca_files(name);
        self.publish(&files, None, certificate_pem)?;
        Ok(files.certificate)
    }

    /// The file of a CA's quota, `CN.ca.quota.json`, whether it exists or not.
    pub fn quota_file(&self, name: &CaName) -> PathBuf {
        self.path(format!("{name}.ca.quota.json"))
    }

    /// Loads the quota of a CA, if it has one, and sees that it comes from the CA above.
    ///
    /// # Errors
    /// When the file holds no quota for the CA with this certificate.
    pub fn load_quota(&self, name: &CaName, ca: &Certificate) -> Result<Option<Quota>, StoreError> {
        let path = self.quota_file(name);
        let Some(contents) = file::read(&path)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&contents);
        Quota::verify(&text, ca)
            .map(Some)
            .map_err(|source| StoreError::Quota { path, source })
    }

    /// Writes the document of a CA's quota, in place of the one that is there, and answers its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_quota(&self, name: &CaName, document: &str) -> Result<PathBuf, StoreError> {
        let path = self.quota_file(name);
        write_file(&path, document.as_bytes())?;
        Ok(path)
    }

    /// Reads a private key from any file.
    ///
    /// # Errors
    /// When it is missing or holds no usable key, or the passphrase does not open it.
    pub fn read_key(path: &Path, passphrase: Option<&[u8]>) -> Result<PrivateKey, StoreError> {
        let missing = || StoreError::Read {
            path: path.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let pem = file::read(path)?.ok_or_else(missing)?;
        PrivateKey::from_pem(&pem, passphrase).map_err(|source| StoreError::Key {
            path: path.to_owned(),
            source,
        })
    }

    /// Writes a device's key and certificate, the latter followed by its CA's.
    ///
    /// # Errors
    /// As [`Store::save_ca`].
    pub fn save_device(&self, device: &IssuedDevice) -> Result<Files, StoreError> {
        let files = self.device_files(device.thing_name());
        self.publish(
            &files,
            Some(device.private_key().to_pem()),
            &device.certificate().chain_pem(),
        )?;
        Ok(files)
    }

    /// Loads a CA whose key is not encrypted.
    ///
    /// # Errors
    /// When a file is missing or is not what it should be, or key and certificate do not belong together.
    pub fn load_ca(&self, name: &CaName) -> Result<CertificateAuthority, StoreError> {
        self.load_ca_with(name, KeyFile::default())
    }

    /// Loads a CA whose key is in a file as told. A passphrase for a key that is not encrypted is ignored.
    ///
    /// # Errors
    /// As [`Store::load_ca`].
    pub fn load_ca_with(
        &self,
        name: &CaName,
        key_file: KeyFile<'_>,
    ) -> Result<CertificateAuthority, StoreError> {
        let files = self.ca_files_with(name, key_file.path);
        let pair = match read_pair(&files) {
            Ok(Some(pair)) => pair,
            Ok(None) => {
                return Err(StoreError::CaNotFound {
                    name: name.clone(),
                    path: files.certificate,
                });
            }
            Err(StoreError::CertificateWithoutKey { key, certificate }) => {
                return Err(StoreError::CaWithoutKey { key, certificate });
            }
            Err(error) => return Err(error),
        };
        CertificateAuthority::load(&pair.certificate, &pair.key, key_file.passphrase)
            .map_err(|error| unusable(error, files))
    }

    /// Loads a CA whose key is held elsewhere.
    ///
    /// # Errors
    /// When the certificate is missing or is not what it should be, or the key is not that of the certificate.
    pub fn load_external_ca(
        &self,
        name: &CaName,
        key: Box<dyn ExternalKey>,
    ) -> Result<CertificateAuthority, StoreError> {
        let certificate = self.load_ca_certificate(name)?;
        CertificateAuthority::load_external(certificate.to_pem(), key)
            .map_err(|error| unusable(error, self.ca_files(name)))
    }

    /// Loads a CA's certificate without its key, which may be elsewhere.
    ///
    /// # Errors
    /// When the file is missing or does not hold exactly one certificate.
    pub fn load_ca_certificate(&self, name: &CaName) -> Result<Certificate, StoreError> {
        let path = self.ca_files(name).certificate;
        let pem = file::read(&path)?.ok_or_else(|| StoreError::CaNotFound {
            name: name.clone(),
            path: path.clone(),
        })?;
        Certificate::from_pem(&pem).map_err(|source| StoreError::Certificate { path, source })
    }

    /// Loads a device's key and certificates, from `DEVICE.key` and `DEVICE.crt` or, without them, from
    /// `certs/DEVICE.key` and `certs/DEVICE.pem`. Takes the files of the old shell scripts as well: RSA keys, X.509
    /// version 1. Whether the certificate is valid now is not asked.
    ///
    /// # Errors
    /// When a file is missing or is not what it should be, or the key is not that of the file's first certificate.
    pub fn load_device(&self, name: &ThingName) -> Result<DeviceIdentity, StoreError> {
        for files in [self.device_files(name), self.thing_files(name).identity()] {
            let found = match read_pair(&files) {
                Ok(None) => continue,
                Ok(Some(pair)) => identity(name, &pair, files),
                Err(error) => Err(error),
            };
            // A machine that stopped while a new identity took the place of the old one has one of each.
            return match found {
                Err(error) => self.half_swapped(name).ok_or(error),
                found => found,
            };
        }
        Err(StoreError::DeviceNotFound {
            name: name.clone(),
            path: self.device_files(name).certificate,
        })
    }

    /// A warning for the user if the CA's key file, `CN.ca.key` or another, is open to others.
    pub fn ca_key_warning(&self, name: &CaName, key: Option<&Path>) -> Option<LooseMode> {
        file::loose_mode(self.ca_files_with(name, key).key)
    }

    /// A warning for the user if the device's key file is open to others.
    pub fn device_key_warning(&self, name: &ThingName) -> Option<LooseMode> {
        let files = [self.device_files(name), self.thing_files(name).identity()];
        file::loose_mode(
            files
                .into_iter()
                .map(|files| files.key)
                .find(|key| key.exists())?,
        )
    }

    /// The path as a user would write it: without `./` in front for the current folder.
    fn path(&self, name: String) -> PathBuf {
        if self.dir == Path::new(".") {
            PathBuf::from(name)
        } else {
            self.dir.join(name)
        }
    }

    /// Both files or none; the certificate alone if its key is not to be in a file. A crash in between can leave the key alone, which the next run recognises.
    fn publish(
        &self,
        files: &Files,
        key: Option<Zeroizing<String>>,
        certificate: &str,
    ) -> Result<(), StoreError> {
        if key.is_some() {
            check_free(files)?;
        }
        // Both are on the disk before the first has its name: what can fail (no space, no right to write) fails here,
        // and leaves nothing.
        let key = key
            .map(|pem| {
                Staged::write(
                    folder_of(&files.key),
                    &files.key,
                    pem.as_bytes(),
                    staged::SECRET,
                )
            })
            .transpose()?;
        let certificate = Staged::write(
            &self.dir,
            &files.certificate,
            certificate.as_bytes(),
            staged::PUBLIC,
        )?;
        let mut published = Published::default();
        if let Some(key) = key {
            published.add(key, &files.key)?;
            sync_directory(folder_of(&files.key))?;
        }
        published.add(certificate, &files.certificate)?;
        sync_directory(&self.dir)?;
        published.keep();
        Ok(())
    }
}

impl DeviceIdentity {
    /// The thing name that the files are named after.
    pub fn thing_name(&self) -> &ThingName {
        &self.thing_name
    }

    /// The device's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificates[0] // load_device() has seen the first one
    }

    /// Every certificate of the file: the device's, then usually its CA's.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The certificates as PEM text, in the order of the file.
    pub fn chain_pem(&self) -> String {
        self.certificates.iter().map(Certificate::to_pem).collect()
    }

    /// The certificates as rustls takes them, in the order of the file.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.certificates
            .iter()
            .map(|certificate| CertificateDer::from(certificate.der().to_vec()))
            .collect()
    }

    /// The device's key. Secret.
    pub fn private_key(&self) -> &PrivateKey {
        &self.private_key
    }
}

/// Writes a file that holds no secret, whole or not at all, in place of what has its name.
///
/// # Errors
/// When it cannot be written.
pub fn write_file(path: &Path, contents: &[u8]) -> Result<(), StoreError> {
    check_file(path)?;
    let dir = folder_of(path);
    staged::replace(dir, path, contents, staged::PUBLIC)?;
    sync_directory(dir)
}

/// Whether [`write_file`] has a chance; to be asked before work that cannot be undone.
///
/// # Errors
/// When its folder is not there, or something else than a file has its name.
pub fn check_file(path: &Path) -> Result<(), StoreError> {
    Store::open(folder_of(path))?;
    file::exists(path).map(drop)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Why a CA's files are of no use, by the name of the one at fault.
fn unusable(error: CaError, files: Files) -> StoreError {
    match error {
        CaError::Key(source) => StoreError::Key {
            path: files.key,
            source,
        },
        CaError::Certificate(source) => StoreError::Certificate {
            path: files.certificate,
            source,
        },
        CaError::KeyMismatch { .. } if files.key.exists() => StoreError::KeyMismatch {
            key: files.key,
            certificate: files.certificate,
        },
        source => StoreError::Ca {
            path: files.certificate,
            source: Box::new(source),
        },
    }
}

struct Pair {
    key: file::Contents,
    certificate: file::Contents,
}

/// Key and certificates of a device, found to belong together.
fn identity(name: &ThingName, pair: &Pair, files: Files) -> Result<DeviceIdentity, StoreError> {
    let private_key = PrivateKey::from_pem(&pair.key, None).map_err(|source| StoreError::Key {
        path: files.key.clone(),
        source,
    })?;
    let certificates =
        Certificate::all_from_pem(&pair.certificate).map_err(|source| StoreError::Certificate {
            path: files.certificate.clone(),
            source,
        })?;
    let matches = |certificate| private_key.belongs_to(certificate);
    if !certificates.first().is_some_and(matches) {
        return Err(StoreError::KeyMismatch {
            key: files.key,
            certificate: files.certificate,
        });
    }
    Ok(DeviceIdentity {
        thing_name: name.clone(),
        private_key,
        certificates,
    })
}

/// `None` if neither file exists.
fn read_pair(files: &Files) -> Result<Option<Pair>, StoreError> {
    match (file::read(&files.key)?, file::read(&files.certificate)?) {
        (Some(key), Some(certificate)) => Ok(Some(Pair { key, certificate })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(StoreError::KeyWithoutCertificate {
            key: files.key.clone(),
            certificate: files.certificate.clone(),
        }),
        (None, Some(_)) => Err(StoreError::CertificateWithoutKey {
            key: files.key.clone(),
            certificate: files.certificate.clone(),
        }),
    }
}

fn check_free(files: &Files) -> Result<(), StoreError> {
    match (file::exists(&files.key)?, file::exists(&files.certificate)?) {
        (false, false) => Ok(()),
        (true, false) => Err(StoreError::KeyWithoutCertificate {
            key: files.key.clone(),
            certificate: files.certificate.clone(),
        }),
        (true, true) => Err(StoreError::AlreadyExists {
            path: files.key.clone(),
        }),
        (false, true) => Err(StoreError::CertificateWithoutKey {
            key: files.key.clone(),
            certificate: files.certificate.clone(),
        }),
    }
}
