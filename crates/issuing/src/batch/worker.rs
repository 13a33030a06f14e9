//! What can be done for many devices at once: keys, signatures, files.

use std::sync::Mutex;

use aws_lc_rs::digest;
use crossbeam_channel::{Receiver, Sender};
use jitp_core::{
    ca::{DeviceIssuer, KeyType, PrivateKey, SerialNumber},
    certificate::CertificateId,
    names::ThingName,
};
use zeroize::Zeroizing;

use super::{Item, What};
use crate::{
    error::IssuingError,
    ledger::Hash,
    output::{Artifact, Folder, Maker, Subject, Target, member},
};

/// A piece of work.
pub(super) enum Job {
    /// Makes the keys of the chunk of this number.
    Keys { number: u64, items: Vec<Item> },
    /// Signs and writes it.
    Sign {
        number: u64,
        prepared: Vec<Prepared>,
        serials: Vec<SerialNumber>,
    },
}

/// A piece of work that is done.
pub(super) enum Done {
    Keys {
        number: u64,
        prepared: Result<Vec<Prepared>, IssuingError>,
    },
    Signed {
        number: u64,
        signed: Signed,
    },
}

/// A device with a key, of a chunk that has no serial numbers yet.
pub(super) struct Prepared {
    pub(super) item: Item,
    pub(super) key: Option<PrivateKey>,
    pub(super) hash: Hash,
}

/// A chunk that was signed, and written as far as its worker writes.
pub(super) struct Signed {
    /// For every device what was made, in the order of the serial numbers; nothing from where it failed on.
    pub(super) made: Vec<Made>,
    /// How many devices the chunk has.
    pub(super) length: usize,
    /// What belongs into the archive.
    pub(super) members: Zeroizing<Vec<u8>>,
    pub(super) failure: Option<IssuingError>,
}

/// A certificate that was made.
pub(super) struct Made {
    pub(super) device: ThingName,
    pub(super) id: CertificateId,
    pub(super) formats: Option<Vec<crate::output::Format>>,
    pub(super) requested: bool,
}

/// What all workers share.
pub(super) struct Shop<'a> {
    pub(super) issuer: &'a DeviceIssuer<'a>,
    pub(super) key_type: KeyType,
    pub(super) target: &'a Target,
    pub(super) maker: Maker<'a>,
    /// Where the files go, unless they go into an archive.
    pub(super) folder: Option<Folder<'a>>,
    /// The time of an archive's members, seconds since 1970.
    pub(super) time: u64,
    /// Buffers for members that were appended, to be used again; wiped when they are dropped.
    pub(super) spare: Mutex<Vec<Zeroizing<Vec<u8>>>>,
}

impl Shop<'_> {
    /// Works until there is nothing more to do.
    pub(super) fn work(&self, jobs: &Receiver<Job>, done: &Sender<Done>) {
        for job in jobs {
            let answer = match job {
                Job::Keys { number, items } => Done::Keys {
                    number,
                    prepared: items.into_iter().map(|item| self.prepare(item)).collect(),
                },
                Job::Sign {
                    number,
                    prepared,
                    serials,
                } => Done::Signed {
                    number,
                    signed: self.sign(prepared, &serials),
                },
            };
            if done.send(answer).is_err() {
                return; // nobody waits for it any more
            }
        }
    }

    fn prepare(&self, item: Item) -> Result<Prepared, IssuingError> {
        let (key, hash) = match &item.what {
            What::Make(_) => {
                let key =
                    PrivateKey::generate(self.key_type).map_err(jitp_core::ca::CaError::from)?;
                let hash = key_hash(&key.public_key_info());
                (Some(key), hash)
            }
            What::Certify(request) => (None, key_hash(request.public_key_info())),
        };
        Ok(Prepared { item, key, hash })
    }

    fn sign(&self, prepared: Vec<Prepared>, serials: &[SerialNumber]) -> Signed {
        let length = prepared.len();
        let mut signed = Signed {
            made: Vec::with_capacity(length),
            length,
            members: match self.folder {
                Some(_) => Zeroizing::default(),
                None => self.buffer(length * 4096 * self.target.formats.len()),
            },
            failure: None,
        };
        let mut artifacts = Vec::new();
        for (prepared, &serial) in prepared.into_iter().zip(serials) {
            artifacts.clear();
            let whole = signed.members.len();
            match self.one(prepared, serial, &mut artifacts, &mut signed.members) {
                Ok(made) => signed.made.push(made),
                Err(error) => {
                    signed.members.truncate(whole);
                    signed.failure = Some(error);
                    break;
                }
            }
        }
        signed
    }

    /// An empty buffer with room for all of it at once: one that grows leaves copies of keys behind.
    fn buffer(&self, room: usize) -> Zeroizing<Vec<u8>> {
        match self.spare.lock().ok().and_then(|mut spare| spare.pop()) {
            Some(buffer) if buffer.capacity() >= room => buffer,
            _ => Zeroizing::new(Vec::with_capacity(room)),
        }
    }

    fn one(
        &self,
        prepared: Prepared,
        serial: SerialNumber,
        artifacts: &mut Vec<Artifact>,
        members: &mut Vec<u8>,
    ) -> Result<Made, IssuingError> {
        let Prepared { item, key, .. } = prepared;
        let (certificate, key) = match (item.what, key) {
            (What::Make(subject), Some(key)) => {
                let (certificate, key) = self.issuer.issue(&subject, key, serial)?.into_parts();
                (certificate, Some(key))
            }
            (What::Certify(request), _) => (self.issuer.certify(&request, serial)?, None),
            // A chunk is prepared before it is signed.
            (What::Make(_), None) => return Err(jitp_core::ca::CaError::Sign.into()),
        };
        let subject = Subject {
            certificate: &certificate,
            key: key.as_ref(),
        };
        for &format in item.formats.as_ref().unwrap_or(&self.target.formats) {
            self.maker.make(format, subject, artifacts)?;
        }
        let device = certificate.thing_name();
        match &self.folder {
            Some(folder) => folder.write(device.as_str(), artifacts)?,
            None => {
                for artifact in artifacts.iter() {
                    member(self.target.layout, members, artifact, self.time).map_err(|source| {
                        IssuingError::Write {
                            path: self.target.path.clone(),
                            source,
                        }
                    })?;
                }
            }
        }
        Ok(Made {
            device: device.clone(),
            id: certificate.id().clone(),
            formats: item.formats,
            requested: key.is_none(),
        })
    }
}

/// What the ledger knows a key by: SHA-256 of its SubjectPublicKeyInfo.
pub(super) fn key_hash(public_key_info: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, public_key_info).as_ref());
    hash
}
