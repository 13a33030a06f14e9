//! Modules: the shared libraries through which tokens are reached.

use std::path::{Path, PathBuf};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use crate::error::{TokenError, return_code};

/// Where distributions put modules.
const FOLDERS: [&str; 8] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/softhsm",
    "/usr/lib64/softhsm",
    "/usr/local/lib",
    "/usr/local/lib/softhsm",
];

/// The first leads to every module that the machine's owner has registered with p11-kit.
const NAMES: [&str; 2] = ["p11-kit-proxy.so", "libsofthsm2.so"];

/// The module named, or else the one that the machine has: p11-kit's, which knows every other, before SoftHSM's.
///
/// # Errors
/// When none is named and none is found.
pub fn module_path(named: Option<PathBuf>) -> Result<PathBuf, TokenError> {
    if let Some(path) = named {
        return Ok(path);
    }
    NAMES
        .iter()
        .flat_map(|name| FOLDERS.map(|folder| Path::new(folder).join(name)))
        .find(|path| path.exists())
        .ok_or(TokenError::NoModule)
}

/// Loads a module and makes it ready for several threads. It stays for the life of the process: other keys may be in it.
pub(crate) fn load(path: &Path) -> Result<Pkcs11, TokenError> {
    let failed = |reason: String| TokenError::Module {
        path: path.to_owned(),
        reason,
    };
    let said = |error: Error| match error {
        Error::Pkcs11(code, function) => {
            failed(format!("{function} answers {}", return_code(&code)))
        }
        Error::LibraryLoading(error) => failed(error.to_string()),
        other => failed(other.to_string()),
    };
    let module = Pkcs11::new(path).map_err(said)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(said(error)),
    }
}
