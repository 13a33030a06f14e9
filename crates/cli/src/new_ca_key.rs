//! The key of a new CA: made, or there already.

use std::path::{Path, PathBuf};

use clap::Args;
use jitp_core::ca::{CaKey, CertificateAuthority, ExternalKey, KeyError, KeyType, PrivateKey};
use jitp_core::certificate::Certificate;
use jitp_core::failure::Class;
use jitp_core::names::CaName;
use jitp_core::store::{KeyFile, Store, StoreError};
use jitp_custody::KeyPlace;
use zeroize::Zeroizing;

use crate::ca_key::{external_key, open_token};
use crate::common::Common;
use crate::environment;
use crate::failure::{Failure, Result};
use crate::memory::keep_to_itself;
use crate::secret;

// What encrypts a new key file. (No docstring: clap would show it as what the program does.)
#[derive(Args, Clone, Debug, Default)]
pub struct NewPassphraseFlags {
    /// File with the passphrase to encrypt the new key file with [default: JITP_NEW_CA_PASSPHRASE]
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,

    /// Type that passphrase on the terminal
    #[arg(long, conflicts_with = "new_passphrase_file")]
    ask_new_passphrase: bool,
}

impl NewPassphraseFlags {
    /// The passphrase for the key of the new CA `of`, if there is to be one; `file` says whether a key file is made at all.
    ///
    /// # Errors
    /// When the file cannot be used, or nobody can be asked.
    pub async fn get(&self, of: &str, file: bool) -> Result<Option<Zeroizing<Vec<u8>>>> {
        keep_to_itself();
        match &self.new_passphrase_file {
            Some(path) => secret::from_file(path, "the file of the new passphrase").map(Some),
            None if self.ask_new_passphrase => ask_new_passphrase(of, file).await.map(Some),
            None => Ok(secret::from_environment(
                environment::JITP_NEW_CA_PASSPHRASE,
            )),
        }
    }
}

/// What is wanted of a new CA's key.
pub struct NewCaKey<'a> {
    /// Where it is or is to be; `None` for a new file beside the certificate.
    pub place: Option<KeyPlace>,
    /// Whether to make it there. A file beside the certificate is always made.
    pub generate: bool,
    /// The kind of key, if the caller cares: a key that is there already must be of that kind.
    pub key_type: Option<KeyType>,
    /// What opens an encrypted key file, or is to encrypt a new one.
    pub passphrase: Option<&'a [u8]>,
    /// The environment variable of that passphrase, for advice.
    pub encrypted_by: &'static str,
}

/// Where a new CA lies, for the answer.
pub struct NewCaFiles {
    /// The file of the key, if it is in one.
    pub key_file: Option<PathBuf>,
    /// The place of the key.
    pub key: String,
    /// The file of the certificate.
    pub certificate: PathBuf,
}

impl NewCaKey<'_> {
    /// Sees that nothing is in the way of the files, before anything is made. Where the key is there already, so may its
    /// certificate be, and is answered.
    ///
    /// # Errors
    /// When something is in the way.
    pub fn check(&self, store: &Store, ca: &CaName) -> Result<Option<Certificate>> {
        match &self.place {
            None => store.check_ca_is_free(ca)?,
            Some(KeyPlace::File(path)) if self.generate => {
                store.check_ca_is_free_with(ca, Some(path))?;
            }
            Some(_) if self.generate => store.check_ca_certificate_is_free(ca)?,
            Some(_) => match store.load_ca_certificate(ca) {
                Ok(certificate) => return Ok(Some(certificate)),
                Err(StoreError::CaNotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            },
        }
        Ok(None)
    }

    /// The key: made, or opened where it is. `open` opens and `make` makes a key of AWS KMS.
    ///
    /// # Errors
    /// When it cannot be had, or is of another kind than asked for.
    pub async fn obtain(
        &self,
        open: impl AsyncFnOnce(&str) -> Result<Box<dyn ExternalKey>>,
        make: impl AsyncFnOnce(&str, KeyType) -> Result<Box<dyn ExternalKey>>,
    ) -> Result<CaKey> {
        keep_to_itself();
        let new_type = self.key_type.unwrap_or_default();
        let key = match (&self.place, self.generate) {
            (None, _) | (Some(KeyPlace::File(_)), true) => {
                return Ok(CaKey::Held(PrivateKey::generate(new_type)?));
            }
            (Some(KeyPlace::File(path)), false) => CaKey::Held(self.read(path).await?),
            (Some(KeyPlace::Token(uri)), true) => {
                let token = open_token(uri, true).await?;
                CaKey::External(Box::new(token.generate(uri, new_type)?))
            }
            (Some(KeyPlace::Kms(name)), true) => CaKey::External(make(name, new_type).await?),
            (Some(place), false) => CaKey::External(external_key(place, None, open).await?),
        };
        let found = key.key_type();
        match self.key_type {
            Some(asked) if asked != found => Err(Failure::new(
                Class::Conflict,
                format!("the key is {found}, and {asked} is asked for"),
            )
            .hint("leave --key-type out, or name another key")),
            _ => Ok(key),
        }
    }

    async fn read(&self, path: &Path) -> Result<PrivateKey> {
        let read = |passphrase| Store::read_key(path, passphrase);
        match read(self.passphrase) {
            Err(StoreError::Key {
                source: KeyError::PassphraseNeeded,
                ..
            }) if secret::can_ask() => {
                let typed = secret::ask(&format!("passphrase of {}", path.display())).await?;
                Ok(read(Some(typed.as_bytes()))?)
            }
            read => Ok(read?),
        }
    }

    /// Writes what is new: the certificate, and the key if it was made in this process.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(
        &self,
        common: &Common,
        store: &Store,
        name: &CaName,
        ca: &CertificateAuthority,
    ) -> Result<()> {
        let path = match &self.place {
            None => None,
            Some(KeyPlace::File(path)) if self.generate => Some(path.as_path()),
            Some(_) => {
                let saved = store.save_ca_certificate(name, ca.certificate_pem());
                saved.map_err(|error| self.key_stays(error.into()))?;
                return Ok(());
            }
        };
        let key_file = KeyFile {
            path,
            passphrase: self.passphrase,
        };
        let files = store.save_ca_with(name, ca, key_file)?;
        if self.passphrase.is_none() {
            common.warn(format!(
                "{} is not encrypted: whoever copies it can make devices; {} encrypts it, and a key in a token cannot \
                 be copied at all",
                files.key.display(),
                self.encrypted_by,
            ));
        }
        Ok(())
    }

    /// Says of a failure what it leaves behind: a key that was made where it stays.
    #[must_use]
    pub fn key_stays(&self, failure: Failure) -> Failure {
        match &self.place {
            Some(place @ (KeyPlace::Token(_) | KeyPlace::Kms(_))) if self.generate => failure
                .context(format!(
                    "the key {place} is made and stays there for a run without --generate-key"
                )),
            _ => failure,
        }
    }

    /// Where key and certificate lie.
    pub fn files(&self, store: &Store, name: &CaName) -> NewCaFiles {
        let files = store.ca_files(name);
        let key_file = match &self.place {
            None => Some(files.key),
            Some(KeyPlace::File(path)) => Some(path.clone()),
            Some(_) => None,
        };
        let key = match (&self.place, &key_file) {
            (Some(place), _) => place.to_string(),
            (None, file) => file.iter().map(|path| path.display().to_string()).collect(),
        };
        NewCaFiles {
            key_file,
            key,
            certificate: files.certificate,
        }
    }
}

/// Whether a key file is going to be made: not for a key that is there already, or is made elsewhere.
pub fn makes_key_file(place: Option<&KeyPlace>, generate: bool) -> bool {
    match place {
        None => true,
        Some(KeyPlace::File(_)) => generate,
        Some(_) => false,
    }
}

/// Asks twice for the passphrase of a new key file; `file` says whether there will be one.
///
/// # Errors
/// When there will be none, there is no terminal, or the two differ.
pub async fn ask_new_passphrase(of: &str, file: bool) -> Result<Zeroizing<Vec<u8>>> {
    if !file {
        return Err(
            Failure::usage("no key file is made, and a passphrase is for a new one")
                .hint("leave the question for a passphrase out"),
        );
    }
    if !secret::can_ask() {
        return Err(
            Failure::usage("there is no terminal to type a passphrase on")
                .hint("set JITP_CA_PASSPHRASE, or pass --passphrase-file"),
        );
    }
    keep_to_itself();
    let first = secret::ask(&format!("passphrase for {of}")).await?;
    let second = secret::ask("the same again").await?;
    match *first == *second {
        true => Ok(Zeroizing::new(first.as_bytes().to_vec())),
        false => Err(Failure::new(
            Class::Configuration,
            "the two passphrases differ, and nothing was made",
        )),
    }
}
