//! What an interrupted run has left: certificates that were reserved, of which nobody knows yet whether they exist.

use jitp_core::{
    ca::{CertificateAuthority, PrivateKey},
    certificate::{Certificate, CertificateId},
};
use time::OffsetDateTime;

use super::worker::key_hash;
use crate::{
    error::IssuingError,
    ledger::{Ledger, OpenBatch, Origin, Reserved},
    output::{Archive, Condition, Folder, Format, Layout},
};

/// Looks at everything that was reserved and not completed: what is whole on the disk is issued, and what is not is
/// taken away and void. With `abandon`, what was written to something that is gone is void too.
pub(crate) fn settle(
    ledger: &mut Ledger,
    ca: &CertificateAuthority,
    abandon: bool,
    now: OffsetDateTime,
) -> Result<(), IssuingError> {
    let unfinished = ledger.unfinished();
    for rows in unfinished.chunk_by(|one, next| one.batch == next.batch) {
        let open = ledger.batch(rows[0].batch)?;
        let is_there = match open.target.layout {
            Layout::Tar | Layout::Zip => cut(&open)?,
            Layout::Folder | Layout::Sharded => Folder::open(&open.target, false)?.is_some(),
        };
        if !is_there && !abandon {
            return Err(IssuingError::TargetGone {
                batch: open.batch,
                path: open.target.path.clone(),
            });
        }
        let outcomes = match open.target.layout {
            Layout::Folder | Layout::Sharded if is_there => look(ledger.ca(), &open, rows)?,
            _ => vec![None; rows.len()],
        };
        let outcomes: Vec<_> = outcomes.iter().map(Option::as_ref).collect();
        ledger.complete(&open, &outcomes, &open.written)?;
    }
    match unfinished.is_empty() {
        true => Ok(()),
        false => ledger.seal(ca, now),
    }
}

/// Cuts off whatever is in an archive behind what is known to be whole: nobody is to find a certificate there that is
/// void. Answers whether the archive is there, if it ever was.
fn cut(open: &OpenBatch) -> Result<bool, IssuingError> {
    match Archive::reopen(&open.target, open.batch, &open.written)? {
        Some(archive) => archive.sync().map(|()| true),
        None => Ok(open.written.archive == 0),
    }
}

/// What of a batch's folder is whole; the rest is taken away.
fn look(
    ca: &Certificate,
    open: &OpenBatch,
    rows: &[Reserved],
) -> Result<Vec<Option<CertificateId>>, IssuingError> {
    let Some(folder) = Folder::open(&open.target, false)? else {
        return Ok(vec![None; rows.len()]);
    };
    // What is found whole is said to be issued, so it has to be on the disk.
    folder.sync()?;
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        let formats = row.formats.as_ref().unwrap_or(&open.target.formats);
        let found = match formats.as_slice() {
            [format] => whole(&folder, *format, row, ca)?,
            _ => None,
        };
        if found.is_none() {
            take_away(&folder, formats, row)?;
        }
        outcomes.push(found);
    }
    folder.sync()?;
    Ok(outcomes)
}

/// The certificate of a row whose files are whole, in a form that can be read back: PEM.
fn whole(
    folder: &Folder<'_>,
    format: Format,
    row: &Reserved,
    ca: &Certificate,
) -> Result<Option<CertificateId>, IssuingError> {
    let Some((key, chain)) = format.pem_endings() else {
        return Ok(None);
    };
    let look = |ending| folder.look(&row.device, &format!("{}.{ending}", row.device));
    let Condition::File(chain) = look(chain)? else {
        return Ok(None);
    };
    let Ok(chain) = Certificate::all_from_pem(&chain) else {
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
    if format == Format::Thing {
        match look("pub")? {
            Condition::File(pem) if *pem == leaf.public_key_pem().into_bytes() => {}
            _ => return Ok(None),
        }
    }
    // A device that asked with a request has its key itself; what lies here is none of ours.
    let has_key = row.origin == Origin::Requested
        || match look(key)? {
            Condition::File(pem) => {
                PrivateKey::from_pem(&pem, None).is_ok_and(|key| key.belongs_to(leaf))
            }
            Condition::Absent | Condition::Other => false,
        };
    Ok(has_key.then(|| leaf.id().clone()))
}

/// Takes the files away that the interrupted run may have made for a device, so that a certificate that is void is
/// nowhere: those of its forms alone, which did not lie there when the batch began. A whole key that is not the one of
/// the row was put there by somebody else since, and stays with whatever lies beside it.
fn take_away(folder: &Folder<'_>, formats: &[Format], row: &Reserved) -> Result<(), IssuingError> {
    let requested = row.origin == Origin::Requested;
    let mut found = Vec::new();
    for format in formats {
        for file in format.files(&row.device, requested) {
            if let Condition::File(contents) = folder.look(&row.device, &file)? {
                let foreign = PrivateKey::from_pem(&contents, None)
                    .is_ok_and(|key| key_hash(&key.public_key_info()) != row.key);
                if foreign {
                    return Ok(());
                }
                found.push(file);
            }
        }
    }
    for file in found {
        folder.remove(&row.device, &file)?;
    }
    Ok(())
}
