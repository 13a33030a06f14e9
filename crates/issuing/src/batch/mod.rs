//! A batch of certificates: issued on every core, and resumed from wherever it was interrupted.
//!
//! Keys, signatures and files are made by workers, in chunks; the order of things is kept by one coordinator, who alone
//! has the ledger. A chunk goes keys → reserved in the ledger → signed and written → on the disk → completed in the
//! ledger → said to the caller.

mod pipeline;
pub(crate) mod settle;
mod worker;

use std::{
    collections::HashMap,
    fmt,
    num::NonZero,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use jitp_core::{
    ca::{CaError, CertificateAuthority, DeviceRequest, DeviceSubject, KeyType, Station, Window},
    certificate::CertificateId,
    names::ThingName,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{
    error::IssuingError,
    ledger::{Hash, Ledger, NewBatch, OpenBatch, hash},
    output::{Condition, Folder, Format, Layout, Target},
};

/// What a certificate is wanted for.
#[derive(Clone, Debug)]
pub enum What {
    /// A device for which a key is made.
    Make(DeviceSubject),
    /// A device that has made its key and asks for a certificate.
    Certify(DeviceRequest),
}

impl What {
    /// The device.
    pub fn thing_name(&self) -> &ThingName {
        match self {
            Self::Make(subject) => subject.thing_name(),
            Self::Certify(request) => request.thing_name(),
        }
    }

    /// The device's name.
    pub fn device(&self) -> &str {
        self.thing_name().as_str()
    }
}

/// One device of a batch.
#[derive(Clone, Debug)]
pub struct Item {
    /// What is wanted.
    pub what: What,
    /// Other forms than those of the batch.
    pub formats: Option<Vec<Format>>,
}

/// The devices of a batch, in their order. They are gone over more than once, and are the same each time.
pub trait Source {
    /// All devices, no two with the same name.
    fn items(&self) -> Box<dyn Iterator<Item = Item> + '_>;
}

/// What a batch is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What tells it from other batches: everything that was asked for. The same text again resumes a batch that was
    /// interrupted, and does nothing when it is done.
    pub request: String,
    /// Who asks.
    pub operator: String,
    /// The kind of key that is made.
    pub key_type: KeyType,
    /// When the certificates are valid; of a batch that is resumed its own.
    pub window: Window,
    /// Where the outputs go.
    pub target: Target,
    /// Whether devices that have a certificate get another.
    pub reissue: bool,
    /// Whether what an interrupted batch has reserved is void when its outputs are gone.
    pub abandon: bool,
    /// What encrypts keys, in the formats that do.
    pub passphrase: Option<Passphrase>,
    /// Threads that make keys and sign.
    pub threads: NonZero<usize>,
}

/// A passphrase, wiped when it is dropped.
#[derive(Clone)]
pub struct Passphrase(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What became of one device.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The device.
    pub device: &'a str,
    /// What became of it.
    pub outcome: Outcome,
    /// What AWS IoT will call its certificate.
    pub certificate: CertificateId,
    /// Its files, absolute, or the names of its members in the archive.
    pub files: Vec<PathBuf>,
}

/// Whether a device got a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// In this run.
    Issued,
    /// In an earlier run of the same batch.
    Unchanged,
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Summary {
    /// The batch's number.
    pub batch: u64,
    /// Certificates issued in this run.
    pub issued: u64,
    /// Devices that had theirs from an earlier run.
    pub unchanged: u64,
    /// Whether there is nothing left to do.
    pub finished: bool,
    /// What went wrong; everything else is as it is said to be.
    pub failure: Option<IssuingError>,
}

/// A batch that can be run.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The ledger of the CA.
    pub ledger: &'a mut Ledger,
    /// The CA, with its key.
    pub ca: &'a CertificateAuthority,
    /// What is wanted.
    pub plan: &'a Plan,
}

impl Batch<'_> {
    /// Issues what has not been issued yet. `said` hears of every device once what was made for it is on the disk, and
    /// answers whether to go on; `stop` ends the batch after what is under way.
    ///
    /// # Errors
    /// Before anything is issued: a device that has a certificate, a file in the way, outputs of an interrupted batch
    /// that are gone. What goes wrong later is in the summary.
    pub fn run(
        mut self,
        source: &dyn Source,
        stop: &AtomicBool,
        mut said: impl FnMut(&Order<'_>) -> bool,
    ) -> Result<Summary, IssuingError> {
        let now = OffsetDateTime::now_utc();
        if self.ca.quota().is_some()
            && (self.ledger.station() != Station::FIRST || self.ledger.has_others())
        {
            return Err(IssuingError::QuotaOfStations);
        }
        settle::settle(self.ledger, self.ca, self.plan.abandon, now)?;
        let request = hash(&[self.plan.request.as_bytes()]);
        let (open, resumed) = match self.ledger.batch_of(&request)? {
            Some((open, true)) if !self.plan.reissue => {
                return self.all_unchanged(&open, source, said);
            }
            Some((open, false)) if !self.is_lost(&open) => (open, true),
            _ => (self.begin(request, source, now)?, false),
        };
        let issuer = self.ca.device_issuer(open.window, now)?;
        let left = match self.ca.quota() {
            Some(quota) => Some(quota.count().saturating_sub(self.ledger.issued()?)),
            None => None,
        };
        let mut summary = Summary {
            batch: open.batch,
            ..Summary::default()
        };
        let ended = pipeline::run(
            &mut pipeline::Run {
                ledger: self.ledger,
                issuer: &issuer,
                plan: self.plan,
                open: &open,
                resumed,
                left,
                stop,
                summary: &mut summary,
            },
            source,
            &mut said,
        );
        let sealed = self.ledger.seal(self.ca, now);
        summary.failure = ended.and(sealed).err();
        if summary.failure.is_none() && !stop.load(Ordering::Relaxed) {
            self.ledger.finish(&open, OffsetDateTime::now_utc())?;
            summary.finished = true;
        }
        Ok(summary)
    }

    /// Whether a batch cannot be gone on with, because its archive is gone for good: whoever has been issued a
    /// certificate in it needs another one.
    fn is_lost(&self, open: &OpenBatch) -> bool {
        let target = &open.target;
        self.plan.abandon && target.layout.is_archive() && !target.path.exists()
    }

    /// Looks whether everything can be issued, and records that it begins.
    fn begin(
        &mut self,
        request: Hash,
        source: &dyn Source,
        now: OffsetDateTime,
    ) -> Result<OpenBatch, IssuingError> {
        self.check_items(source)?;
        self.check_files(source)?;
        self.ledger.begin(
            &NewBatch {
                request,
                operator: &self.plan.operator,
                profile: self.plan.key_type.as_str(),
                window: self.plan.window,
                target: &self.plan.target,
            },
            now,
        )
    }

    /// Every device can have what it is to have, or nothing is begun: its forms can be made, the quota of the CA allows
    /// it, it has no certificate yet, and its key is nobody else's.
    fn check_items(&self, source: &dyn Source) -> Result<(), IssuingError> {
        let look_up = !self.ledger.is_empty() && !self.plan.reissue;
        let mut asked = 0;
        let mut asking = HashMap::new();
        for item in source.items() {
            asked += 1;
            self.check_formats(&item)?;
            if let Some(quota) = self.ca.quota() {
                let name = item.what.thing_name();
                quota.check_name(name).map_err(CaError::from)?;
            }
            let device = item.what.device();
            if look_up && self.ledger.current(device)?.is_some() {
                return Err(self.ledger.taken(device));
            }
            self.ledger.check_elsewhere([device].into_iter())?;
            if let What::Certify(request) = &item.what {
                let key = worker::key_hash(request.public_key_info());
                if let Some(other) = asking.insert(key, device.to_owned()) {
                    return Err(IssuingError::KeyTaken {
                        device: device.to_owned(),
                        other,
                    });
                }
            }
        }
        if let Some(quota) = self.ca.quota() {
            let allowed = quota.check_count(self.ledger.issued()?, asked);
            allowed.map_err(CaError::from)?;
        }
        self.check_keys(asking)
    }

    /// No row of a list asks for a form that cannot be made.
    fn check_formats(&self, item: &Item) -> Result<(), IssuingError> {
        let formats = item.formats.as_deref().unwrap_or_default();
        let wanting = formats.iter().find(|format| format.wants_passphrase());
        match (wanting, &self.plan.passphrase) {
            (Some(format), None) => Err(IssuingError::PassphraseNeeded {
                format: format.as_str(),
            }),
            _ => Ok(()),
        }
    }

    /// No other device of the ledger has one of these keys.
    fn check_keys(&self, mut asking: HashMap<Hash, String>) -> Result<(), IssuingError> {
        if asking.is_empty() || self.ledger.is_empty() && !self.ledger.has_others() {
            return Ok(());
        }
        match self.ledger.key_of_another(&asking)? {
            Some((key, other)) => Err(IssuingError::KeyTaken {
                device: asking.remove(&key).unwrap_or_default(),
                other,
            }),
            None => Ok(()),
        }
    }

    /// Nothing lies where the batch is going to write.
    fn check_files(&self, source: &dyn Source) -> Result<(), IssuingError> {
        let target = &self.plan.target;
        if target.layout.is_archive() {
            return match target.path.symlink_metadata() {
                Ok(_) => Err(IssuingError::Exists {
                    path: target.path.clone(),
                }),
                Err(_) => Ok(()),
            };
        }
        let Some(folder) = Folder::open(target, false)? else {
            return Ok(());
        };
        let empty = |path| std::fs::read_dir(path).is_ok_and(|mut files| files.next().is_none());
        if empty(&target.path) {
            return Ok(());
        }
        for item in source.items() {
            let device = item.what.device();
            for format in item.formats.as_ref().unwrap_or(&target.formats) {
                let requested = matches!(item.what, What::Certify(_));
                for file in format.files(device, requested) {
                    if !matches!(folder.look(device, &file)?, Condition::Absent) {
                        return Err(IssuingError::Exists {
                            path: folder.path(device, &file),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// The batch was done before.
    fn all_unchanged(
        &self,
        open: &OpenBatch,
        source: &dyn Source,
        mut said: impl FnMut(&Order<'_>) -> bool,
    ) -> Result<Summary, IssuingError> {
        let mut summary = Summary {
            batch: open.batch,
            finished: true,
            ..Summary::default()
        };
        for item in source.items() {
            let Some(order) = pipeline::unchanged(self.ledger, open, &item)? else {
                return Err(self.ledger.taken(item.what.device()));
            };
            summary.unchanged += 1;
            if !said(&order) {
                break;
            }
        }
        Ok(summary)
    }
}

impl OpenBatch {
    /// The files of a device, as they are named to people.
    pub(crate) fn files(&self, device: &str, formats: &[Format], requested: bool) -> Vec<PathBuf> {
        let files = formats
            .iter()
            .flat_map(|format| format.files(device, requested));
        let mut seen = Vec::new();
        for file in files {
            if !seen.contains(&file) {
                seen.push(file);
            }
        }
        seen.into_iter()
            .map(|file| match self.target.layout {
                Layout::Tar | Layout::Zip => PathBuf::from(file),
                _ => self.target.path.join(self.target.place(device, &file)),
            })
            .collect()
    }
}
