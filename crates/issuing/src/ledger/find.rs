//! What a ledger that is being written is asked: batches, devices, keys, and what was not completed.

use std::collections::HashMap;

use jitp_core::ca::Window;
use rusqlite::{Connection, OptionalExtension};
use time::OffsetDateTime;

use super::{Current, Ledger, OpenBatch, Reserved, State, chain::Hash, read, unusable};
use crate::{
    error::IssuingError,
    output::{Target, Written},
};

impl Ledger {
    /// How many certificates have been issued by this ledger, those that were replaced included.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn issued(&self) -> Result<u64, IssuingError> {
        self.connection
            .query_row(
                "SELECT count(*) FROM certificate WHERE state = 1",
                [],
                |row| row.get(0),
            )
            .map_err(|source| unusable(&self.path, source))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.reserved() == 0
    }

    /// The last batch with this request.
    pub(crate) fn batch_of(
        &self,
        request: &Hash,
    ) -> Result<Option<(OpenBatch, bool)>, IssuingError> {
        let sql = format!("{BATCH} WHERE request = ? ORDER BY batch DESC LIMIT 1");
        self.connection
            .query_row(&sql, [request], |row| {
                Ok((open_batch(row)?, row.get::<_, Option<i64>>(6)?.is_some()))
            })
            .optional()
            .map_err(|source| unusable(&self.path, source))
    }

    /// The batch of this number.
    pub(crate) fn batch(&self, batch: u64) -> Result<OpenBatch, IssuingError> {
        let sql = format!("{BATCH} WHERE batch = ?");
        self.connection
            .query_row(&sql, [batch], open_batch)
            .map_err(|source| unusable(&self.path, source))
    }

    /// The present certificate of a device, if it has one: its batch, how far it has come, and its id.
    pub(crate) fn current(&self, device: &str) -> Result<Option<Current>, IssuingError> {
        let query = || {
            self.connection
                .prepare_cached(
                    "SELECT batch, state, certificate FROM certificate WHERE device = ? AND current = 1",
                )?
                .query_row([device], |row| {
                    let certificate: Option<Vec<u8>> = row.get(2)?;
                    Ok(Current {
                        batch: row.get(0)?,
                        state: State::of(row.get(1)?),
                        certificate: certificate.and_then(|id| hex::encode(id).parse().ok()),
                    })
                })
                .optional()
        };
        query().map_err(|source| unusable(&self.path, source))
    }

    /// As an error: the certificate that a device has.
    pub(crate) fn taken(&self, device: &str) -> IssuingError {
        let query = self.connection.query_row(
            "SELECT batch, certificate, created FROM certificate JOIN batch USING (batch)
             WHERE device = ? AND current = 1",
            [device],
            |row| {
                Ok((
                    row.get(0)?,
                    row.get::<_, Option<Vec<u8>>>(1)?,
                    row.get::<_, i64>(2)?,
                ))
            },
        );
        match query {
            Ok((batch, certificate, created)) => IssuingError::DeviceTaken {
                device: device.to_owned(),
                certificate: certificate.map_or_else(|| "(not completed)".to_owned(), hex::encode),
                batch,
                made: read::instant(created),
            },
            Err(source) => unusable(&self.path, source),
        }
    }

    /// A key that another device has, here or at a station beside, than the one that asks with it, and that other device.
    /// Reads whole ledgers, once for all keys.
    pub(crate) fn key_of_another(
        &self,
        asking: &HashMap<Hash, String>,
    ) -> Result<Option<(Hash, String)>, IssuingError> {
        let beside = self
            .others
            .iter()
            .map(|other| (&other.path, &other.connection));
        for (path, connection) in [(&self.path, &self.connection)].into_iter().chain(beside) {
            let found = key_of_another(connection, asking);
            if let Some(found) = found.map_err(|source| unusable(path, source))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Every certificate that was reserved and not completed, in the order of the sequence.
    pub(crate) fn unfinished(&self) -> Vec<Reserved> {
        self.pending.iter().cloned().collect()
    }
}

fn key_of_another(
    connection: &Connection,
    asking: &HashMap<Hash, String>,
) -> rusqlite::Result<Option<(Hash, String)>> {
    let mut statement =
        connection.prepare("SELECT key, device FROM certificate WHERE state <> 2")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key: Hash = row.get(0)?;
        let device: String = row.get(1)?;
        if asking.get(&key).is_some_and(|asks| *asks != device) {
            return Ok(Some((key, device)));
        }
    }
    Ok(None)
}

const BATCH: &str =
    "SELECT batch, not_before, not_after, output, written, hash, finished FROM batch";

fn open_batch(row: &rusqlite::Row<'_>) -> rusqlite::Result<OpenBatch> {
    let at = |index| -> rusqlite::Result<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp(row.get(index)?)
            .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, 0))
    };
    Ok(OpenBatch {
        batch: row.get(0)?,
        window: Window::new(at(1)?, at(2)?),
        target: Target::from_json(&row.get::<_, String>(3)?).map_err(|e| unreadable(3, e))?,
        written: Written::from_json(&row.get::<_, String>(4)?).map_err(|e| unreadable(4, e))?,
        hash: row.get(5)?,
    })
}

/// As an error of SQLite's: JSON in a column that is none.
pub(super) fn unreadable(index: usize, error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, error.into())
}
