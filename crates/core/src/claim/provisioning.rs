//! What is to be provisioned, what it came to, and what is told on the way.

use std::{collections::BTreeMap, fmt, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::{
    error::{ClaimError, Rejection},
    exchange::Patience,
    format::Format,
    run::Run,
};
use crate::{
    ca::KeyType,
    mqtt::{Event, Options},
    names::{TemplateName, ThingName},
    store::{Files, Store},
};

/// Whose key the new certificate is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keys {
    /// Ours: it is made here and never leaves the device.
    Own(KeyType),
    /// Made by AWS, RSA-2048, and sent along with the certificate.
    Aws,
}

/// One device that is to get an identity, or a new one.
#[derive(Clone, Copy, Debug)]
pub struct Provisioning<'a> {
    /// Folder of the device's files.
    pub store: &'a Store,
    /// What the device is called until the template has given its thing a name; best that name itself.
    pub device: &'a ThingName,
    /// Template that registers it.
    pub template: &'a TemplateName,
    /// What the template is told of the device.
    pub parameters: &'a BTreeMap<String, String>,
    /// How to connect with the claim, or, for a renewal, with the present certificate.
    pub connection: &'a Options,
    /// Whose key.
    pub keys: Keys,
    /// Form of the payloads.
    pub format: Format,
    /// Whether the new certificate must connect before it takes the place of what the device has.
    pub prove: bool,
    /// Whether the device has an identity, whose thing gets a new certificate.
    pub renew: bool,
    /// Waits.
    pub patience: Patience,
    /// Who hears of the connections.
    pub listener: &'a Listener,
}

/// Who hears what happens to connections, with the claim, the present and the new certificate.
#[derive(Clone)]
pub struct Listener(Arc<dyn Fn(&Event) + Send + Sync>);

impl Listener {
    /// Whoever wants to hear.
    pub fn new(hear: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    pub(super) fn hear(&self, event: &Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// What a provisioning came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The device has its identity.
    Provisioned,
    /// The device has a new certificate in place of the one before.
    Renewed,
    /// It had its identity already.
    Unchanged,
}

impl Outcome {
    /// In a word, for tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::Renewed => "renewed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// A device that has its identity.
#[derive(Clone, Debug)]
pub struct Provisioned {
    /// What this run came to.
    pub outcome: Outcome,
    /// The thing, which its files are named after.
    pub thing_name: ThingName,
    /// Id of its certificate.
    pub certificate_id: String,
    /// Its files.
    pub files: Files,
    /// What the template had to tell the device; `None` if the answer that told it was lost.
    pub device_configuration: Option<Map<String, Value>>,
}

/// What happens on the way; each is told when it is done.
#[derive(Clone, Debug)]
pub enum Progress {
    /// An attempt that was broken off goes on.
    Resumed,
    /// A request was throttled, and is made again after a pause.
    Paused(Rejection, Duration),
    /// The new key is on the disk.
    KeyWritten,
    /// What was asked for is on the disk.
    AttemptWritten,
    /// A certificate was issued.
    Issued(String),
    /// The certificate is on the disk.
    CertificateWritten,
    /// RegisterThing was accepted before, and what the answer told the device is lost.
    AnswerLost,
    /// RegisterThing was accepted, and called the thing so.
    Accepted(ThingName),
    /// That is on the disk.
    AcceptanceWritten,
    /// The new certificate has connected, after so many attempts.
    Proved(u32),
    /// That is on the disk, or that no proof is wanted.
    ProofWritten,
    /// A file has taken its place.
    FileSwapped(PathBuf),
    /// What the device was provisioned with is on the disk.
    RecordWritten,
    /// What was written for the attempt is gone.
    Cleaned,
}

/// A provisioning that did not end.
#[derive(Debug)]
pub struct ProvisioningStopped {
    /// Why.
    pub error: ClaimError,
    /// Where the attempt is kept, for another run to go on with; none if nothing is left of it.
    pub kept: Option<PathBuf>,
}

/// Provisions a device, or goes on with what an earlier run began.
///
/// # Errors
/// When it stopped. Until the last step the device has what it had.
// Boxed, so that it is compiled here once and not again in every program.
pub fn provision<'a>(
    provisioning: &'a Provisioning<'a>,
    progress: &'a mut dyn FnMut(&Progress),
) -> Pin<Box<dyn Future<Output = Result<Provisioned, Box<ProvisioningStopped>>> + 'a>> {
    Box::pin(Run::new(provisioning, progress).finish())
}
