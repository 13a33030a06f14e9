//! What is written into a ledger, in the order in which it happens: a batch begins, certificates are reserved and
//! completed, the CA signs, the batch is done.

use jitp_core::{
    ca::{CertificateAuthority, SerialNumber},
    certificate::CertificateId,
};
use rusqlite::{Connection, ErrorCode, Transaction, params};
use time::OffsetDateTime;

use super::{
    Ledger, NewBatch, OpenBatch, Reservation, Reserved, State,
    chain::{Row, hash, sealed},
    unusable,
};
use crate::{error::IssuingError, output::Written};

impl Ledger {
    /// Records that a batch begins.
    pub(crate) fn begin(
        &mut self,
        new: &NewBatch<'_>,
        now: OffsetDateTime,
    ) -> Result<OpenBatch, IssuingError> {
        let output = new.target.to_json();
        let written = Written::default();
        let [begin, end] =
            [new.window.not_before(), new.window.not_after()].map(|at| at.unix_timestamp());
        let created = now.unix_timestamp();
        let hash = hash(&[
            &new.request,
            &created.to_be_bytes(),
            new.operator.as_bytes(),
            new.profile.as_bytes(),
            &begin.to_be_bytes(),
            &end.to_be_bytes(),
            output.as_bytes(),
        ]);
        self.connection
            .execute(
                "INSERT INTO batch (request, created, operator, profile, not_before, not_after, output, hash, written)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    new.request,
                    created,
                    new.operator,
                    new.profile,
                    begin,
                    end,
                    output,
                    hash,
                    written.to_json()
                ],
            )
            .map_err(|source| unusable(&self.path, source))?;
        let batch = self.connection.last_insert_rowid();
        self.batch(batch.unsigned_abs())
    }

    /// Takes a serial number for each, in one durable step: all or none. With `reissue` a device may have a certificate
    /// already, which stays its present one until the new one is complete.
    pub(crate) fn reserve(
        &mut self,
        batch: &OpenBatch,
        reservations: &[Reservation<'_>],
        reissue: bool,
    ) -> Result<Vec<SerialNumber>, IssuingError> {
        let mut taken = Vec::with_capacity(reservations.len());
        let first = self.reserved() + 1;
        let serials = SerialNumber::in_sequence(self.station, first, reservations.len())?;
        let mut refused = None;
        let outcome = write(&mut self.connection, |transaction| {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO certificate
                     (sequence, batch, device, serial, key, origin, state, current, formats)
                 VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)",
            )?;
            for ((sequence, &serial), reservation) in (first..).zip(&serials).zip(reservations) {
                let current = match reissue {
                    true => !has_current(transaction, reservation.device)?,
                    false => true,
                };
                let formats = reservation.formats.map(serde_json::to_string);
                let inserted = insert.execute(params![
                    sequence,
                    batch.batch,
                    reservation.device,
                    serial.octets(),
                    reservation.key,
                    reservation.origin.number(),
                    current,
                    formats.transpose().unwrap_or_default(), // names can always be written
                ]);
                if let Err(error) = inserted {
                    refused = Some(reservation.device);
                    return Err(error);
                }
                taken.push(Reserved {
                    batch: batch.batch,
                    device: reservation.device.to_owned(),
                    serial,
                    key: reservation.key,
                    origin: reservation.origin,
                    formats: reservation.formats.map(<[_]>::to_vec),
                    current,
                });
            }
            Ok(())
        });
        match outcome {
            Ok(()) => {
                self.pending.extend(taken);
                Ok(serials)
            }
            Err(source) => Err(match refused {
                Some(device)
                    if source.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) =>
                {
                    self.taken(device)
                }
                _ => unusable(&self.path, source),
            }),
        }
    }

    /// Records what became of the next certificates in the sequence, of which none may be left out: the id of one that
    /// was issued, or nothing for one that is void. `written` is how far the batch's outputs are on the disk.
    pub(crate) fn complete(
        &mut self,
        batch: &OpenBatch,
        outcomes: &[Option<&CertificateId>],
        written: &Written,
    ) -> Result<(), IssuingError> {
        let (mut sequence, mut head) = (self.completed, self.head);
        let pending = &self.pending;
        let outcome = write(&mut self.connection, |transaction| {
            let mut update = transaction.prepare_cached(
                "UPDATE certificate SET state = ?, certificate = ?, hash = ? WHERE sequence = ?",
            )?;
            if outcomes.len() > pending.len() {
                return Err(rusqlite::Error::QueryReturnedNoRows);
            }
            for (outcome, reserved) in outcomes.iter().zip(pending) {
                sequence += 1;
                let state = match outcome {
                    Some(_) => State::Issued,
                    None => State::Void,
                };
                let certificate = outcome.map(CertificateId::octets);
                let row = Row {
                    sequence,
                    batch: &batch.hash,
                    device: &reserved.device,
                    serial: reserved.serial.octets(),
                    key: &reserved.key,
                    origin: reserved.origin.number(),
                    state: state.number(),
                    certificate: certificate.as_ref().map_or(&[], <[u8; 32]>::as_slice),
                };
                head = row.after(&head);
                let updated =
                    update.execute(params![state.number(), certificate, head, sequence])?;
                if updated != 1 {
                    return Err(rusqlite::Error::StatementChangedRows(updated));
                }
                match (state, reserved.current) {
                    (State::Issued, false) => replace(transaction, &reserved.device, sequence)?,
                    (State::Void, true) => {
                        transaction
                            .prepare_cached(
                                "UPDATE certificate SET current = 0 WHERE sequence = ?",
                            )?
                            .execute([sequence])?;
                    }
                    _ => {}
                }
            }
            transaction
                .prepare_cached("UPDATE batch SET written = ? WHERE batch = ?")?
                .execute(params![written.to_json(), batch.batch])?;
            Ok(())
        });
        outcome.map_err(|source| unusable(&self.path, source))?;
        self.pending.drain(..outcomes.len());
        (self.completed, self.head) = (sequence, head);
        Ok(())
    }

    /// Records that a batch is done.
    pub(crate) fn finish(
        &mut self,
        batch: &OpenBatch,
        now: OffsetDateTime,
    ) -> Result<(), IssuingError> {
        self.connection
            .execute(
                "UPDATE batch SET finished = ? WHERE batch = ?",
                params![now.unix_timestamp(), batch.batch],
            )
            .map(drop)
            .map_err(|source| unusable(&self.path, source))
    }

    /// Has the CA sign the chain up to where it goes; nothing if that has been done.
    pub(crate) fn seal(
        &mut self,
        ca: &CertificateAuthority,
        now: OffsetDateTime,
    ) -> Result<(), IssuingError> {
        let failed = |source| unusable(&self.path, source);
        let sealed_up_to: Option<u64> = self
            .connection
            .query_row("SELECT max(sequence) FROM seal", [], |row| row.get(0))
            .map_err(failed)?;
        if self.completed == 0 || sealed_up_to == Some(self.completed) {
            return Ok(());
        }
        let made = now.unix_timestamp();
        let text = sealed(self.station.get(), self.completed, made, &self.head);
        let signature = ca.sign_record(&text)?;
        self.connection
            .execute(
                "INSERT INTO seal (sequence, made, hash, signature) VALUES (?, ?, ?, ?)",
                params![self.completed, made, self.head, signature],
            )
            .map(drop)
            .map_err(failed)
    }
}

fn has_current(transaction: &Transaction<'_>, device: &str) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached("SELECT 1 FROM certificate WHERE device = ? AND current = 1")?
        .exists([device])
}

/// The new certificate of a device takes the place of its old one.
fn replace(transaction: &Transaction<'_>, device: &str, sequence: u64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE certificate SET current = 0 WHERE device = ? AND current = 1")?
        .execute([device])?;
    transaction
        .prepare_cached("UPDATE certificate SET current = 1 WHERE sequence = ?")?
        .execute([sequence])?;
    Ok(())
}

/// One transaction, which is on the disk when this returns, or did not happen.
fn write(
    connection: &mut Connection,
    change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    change(&transaction)?;
    transaction.commit()
}
