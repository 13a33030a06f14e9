//! The key of a CA, wherever it is: the flags of every program that signs, and where the secrets that open it come from.

use std::path::{Path, PathBuf};

use clap::Args;
use jitp_core::ca::{CertificateAuthority, ExternalKey, KeyError};
use jitp_core::certificate::Certificate;
use jitp_core::failure::Class;
use jitp_core::names::CaName;
use jitp_core::store::{KeyFile, Store, StoreError};
use jitp_custody::{KeyPlace, Pin, Token, TokenUri, module_path};
use zeroize::Zeroizing;

use crate::common::Common;
use crate::environment;
use crate::failure::{Failure, Result};
use crate::memory::keep_to_itself;
use crate::secret;

// Where the CA's key is, and what opens it. (No docstring: clap would show it as what the program does.)
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "CA key options")]
pub struct CaKeyFlags {
    /// Where the CA's key is: a file, pkcs11:token=…;object=…, or awskms:alias/… [default: JITP_CA_KEY, then CA.ca.key]
    // Read as it is: clap repeats what it does not take, and somebody may have written a PIN into it.
    #[arg(long, value_name = "KEY", env = environment::JITP_CA_KEY, hide_env = true, hide_env_values = true)]
    ca_key: Option<String>,

    /// File with the passphrase of an encrypted CA key [default: JITP_CA_PASSPHRASE, then the terminal]
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl CaKeyFlags {
    /// Where the key is; `None` for in a file beside the certificate.
    ///
    /// # Errors
    /// When what was given names no place.
    pub fn place(&self) -> Result<Option<KeyPlace>> {
        key_place(self.ca_key.as_deref())
    }

    /// Loads a CA to sign with, under its quota if it has one. `kms` opens a key of AWS KMS.
    ///
    /// # Errors
    /// When the CA's certificate, its key or its quota cannot be had, or they do not belong together.
    pub async fn load(
        &self,
        common: &Common,
        store: &Store,
        ca: &CaName,
        kms: impl AsyncFnOnce(&str) -> Result<Box<dyn ExternalKey>>,
    ) -> Result<CertificateAuthority> {
        let loaded = self.load_alone(common, store, ca, kms).await?;
        let certificate = loaded.certificate();
        match store.load_quota(ca, certificate)? {
            Some(quota) => Ok(loaded.under(quota)),
            None => {
                if certificate.issuer_der() != certificate.subject_der() {
                    common.warn(format!(
                        "{ca} is a CA below another one and has no quota here: nothing limits what it makes"
                    ));
                }
                Ok(loaded)
            }
        }
    }

    async fn load_alone(
        &self,
        common: &Common,
        store: &Store,
        ca: &CaName,
        kms: impl AsyncFnOnce(&str) -> Result<Box<dyn ExternalKey>>,
    ) -> Result<CertificateAuthority> {
        let path = match self.place()? {
            None => None,
            Some(KeyPlace::File(path)) => Some(path),
            Some(elsewhere) => {
                let certificate = store.load_ca_certificate(ca)?;
                let key = external_key(&elsewhere, Some(&certificate), kms).await?;
                return Ok(store.load_external_ca(ca, key)?);
            }
        };
        if let Some(warning) = store.ca_key_warning(ca, path.as_deref()) {
            common.warn(warning.to_string());
        }
        let passphrase = self.passphrase()?;
        self.load_from_file(store, ca, path.as_deref(), passphrase)
            .await
    }

    async fn load_from_file(
        &self,
        store: &Store,
        ca: &CaName,
        path: Option<&Path>,
        passphrase: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<CertificateAuthority> {
        keep_to_itself();
        let load = |passphrase| store.load_ca_with(ca, KeyFile { path, passphrase });
        match load(passphrase.as_deref().map(Vec::as_slice)) {
            Err(StoreError::Key {
                source: KeyError::PassphraseNeeded,
                path: file,
            }) if secret::can_ask() => {
                let typed = secret::ask(&format!("passphrase of {}", file.display())).await?;
                Ok(load(Some(typed.as_bytes()))?)
            }
            loaded => Ok(loaded?),
        }
    }

    /// The passphrase, as far as nobody has to be asked for it.
    ///
    /// # Errors
    /// When the passphrase file cannot be used.
    pub fn passphrase(&self) -> Result<Option<Zeroizing<Vec<u8>>>> {
        keep_to_itself();
        match &self.passphrase_file {
            Some(path) => secret::from_file(path, "the passphrase file").map(Some),
            None => Ok(secret::from_environment(environment::JITP_CA_PASSPHRASE)),
        }
    }
}

/// The place that a text names.
///
/// # Errors
/// When it names none. It is not repeated in full: somebody may have written a PIN into it.
pub fn key_place(text: Option<&str>) -> Result<Option<KeyPlace>> {
    Ok(text.map(str::parse).transpose()?)
}

/// Opens a key in a token or in AWS KMS; `certificate` is the one it is meant to belong to.
pub(crate) async fn external_key(
    place: &KeyPlace,
    certificate: Option<&Certificate>,
    kms: impl AsyncFnOnce(&str) -> Result<Box<dyn ExternalKey>>,
) -> Result<Box<dyn ExternalKey>> {
    match place {
        KeyPlace::Token(uri) => {
            let token = open_token(uri, false).await?;
            Ok(Box::new(token.key(uri, certificate)?))
        }
        KeyPlace::Kms(name) => kms(name).await,
        KeyPlace::File(path) => Err(Failure::new(
            Class::Unexpected,
            format!("{} is a file", path.display()),
        )),
    }
}

/// Finds a token and logs in to it.
pub(crate) async fn open_token(uri: &TokenUri, writable: bool) -> Result<Token> {
    keep_to_itself();
    let named = uri.module_path().cloned();
    let module = module_path(named.or_else(|| {
        std::env::var_os(environment::JITP_PKCS11_MODULE)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    }))?;
    let token = Token::find(uri, &module, writable)?;
    let pin = match token.wants_pin() {
        true => pin(uri, token.label()).await?,
        false => None,
    };
    token.login(pin)?;
    Ok(token)
}

/// The PIN from where the URI says, else from the environment, else from a person.
async fn pin(uri: &TokenUri, token: &str) -> Result<Option<Pin>> {
    let stored = match uri.pin_file() {
        Some(path) => Some(secret::from_file(path, "the file of the PIN")?),
        None => secret::from_environment(environment::JITP_PKCS11_PIN),
    };
    match stored {
        Some(bytes) => {
            let text = std::str::from_utf8(&bytes).map_err(|_| {
                Failure::new(Class::Configuration, "the PIN of the token is no UTF-8")
            })?;
            Ok(Some(Pin::stored(text.to_owned().into())))
        }
        None if secret::can_ask() => {
            let typed = secret::ask(&format!("PIN of the token {token}")).await?;
            Ok(Some(Pin::typed(typed)))
        }
        None => Ok(None),
    }
}
