//! What an interrupted run has left: certificates that were reserved, of which nobody knows yet whether they exist.

use jitp_core::{
    ca::PrivateKey,
    certificate::{Certificate, CertificateId},
};
use time::OffsetDateTime;

use super::{Batch, worker::key_hash};
use crate::{
    error::IssuingError,
    ledger::{OpenBatch, Reserved},
    output::{Condition, Folder, Format, Layout},
};

impl Batch<'_> {
    /// Looks at everything that was reserved and not completed: what is whole on the disk is issued, and what is not is
    /// taken away and void.
    pub(super) fn settle(&mut self, now: OffsetDateTime) -> Result<(), IssuingError> {
        let unfinished = self.ledger.unfinished()?;
        for rows in unfinished.chunk_by(|one, next| one.batch == next.batch) {
            let open = self.ledger.batch(rows[0].batch)?;
            let outcomes = match open.target.layout {
                // Whatever is in the archive behind what is known to be whole is cut off.
                Layout::Tar | Layout::Zip => vec![None; rows.len()],
                Layout::Folder | Layout::Sharded => self.look(&open, rows)?,
            };
            self.ledger.complete(&open, &outcomes, &open.written)?;
        }
        match unfinished.is_empty() {
            true => Ok(()),
            false => self.ledger.seal(self.ca, now),
        }
    }

    fn look(
        &self,
        open: &OpenBatch,
        rows: &[Reserved],
    ) -> Result<Vec<Option<CertificateId>>, IssuingError> {
        let Some(folder) = Folder::open(&open.target, false)? else {
            return match self.plan.abandon {
                true => Ok(vec![None; rows.len()]),
                false => Err(IssuingError::TargetGone {
                    batch: open.batch,
                    path: open.target.path.clone(),
                }),
            };
        };
        // What is found whole is said to be issued, so it has to be on the disk.
        folder.sync()?;
        let mut outcomes = Vec::with_capacity(rows.len());
        for row in rows {
            let found = match open.target.formats.as_slice() {
                [Format::Pem] => whole(&folder, row, self.ledger.ca())?,
                _ => None,
            };
            if found.is_none() {
                take_away(&folder, row)?;
            }
            outcomes.push(found);
        }
        folder.sync()?;
        Ok(outcomes)
    }
}

/// The certificate of a row whose two files are whole.
fn whole(
    folder: &Folder<'_>,
    row: &Reserved,
    ca: &Certificate,
) -> Result<Option<CertificateId>, IssuingError> {
    let [key, certificate] = ["key", "crt"].map(|ending| format!("{}.{ending}", row.device));
    let Condition::File(certificate) = folder.look(&row.device, &certificate)? else {
        return Ok(None);
    };
    let Ok(chain) = Certificate::all_from_pem(&certificate) else {
        return Ok(None);
    };
    let Some(leaf) = chain.first().filter(|_| chain.len() == 2) else {
        return Ok(None);
    };
    let ours = leaf.serial() == row.serial.octets()
        && key_hash(leaf.public_key_info()) == row.key
        && leaf.is_signed_by(ca);
    if !ours {
        return Ok(None);
    }
    let has_key = match folder.look(&row.device, &key)? {
        Condition::File(pem) => {
            PrivateKey::from_pem(&pem, None).is_ok_and(|key| key.belongs_to(leaf))
        }
        // A device that asked with a request has its key itself.
        Condition::Absent => row.requested,
        Condition::Other => false,
    };
    Ok(has_key.then(|| leaf.id().clone()))
}

/// Takes the files away that the interrupted run may have made for a device. A whole key that is not the one of the row
/// was put there by somebody else, and stays with whatever lies beside it.
fn take_away(folder: &Folder<'_>, row: &Reserved) -> Result<(), IssuingError> {
    let key = format!("{}.key", row.device);
    match folder.look(&row.device, &key)? {
        Condition::File(pem) => {
            let foreign = PrivateKey::from_pem(&pem, None)
                .is_ok_and(|key| key_hash(&key.public_key_info()) != row.key);
            if foreign {
                return Ok(());
            }
        }
        Condition::Other => return Ok(()),
        Condition::Absent => {}
    }
    for format in Format::ALL {
        for file in format.files(&row.device, false) {
            if matches!(folder.look(&row.device, &file)?, Condition::File(_)) {
                folder.remove(&row.device, &file)?;
            }
        }
    }
    Ok(())
}
