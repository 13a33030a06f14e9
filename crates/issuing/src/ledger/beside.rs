//! Several stations that sign with one CA, each with a ledger of its own: where the others' are, and that nothing is
//! in two.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use jitp_core::{ca::Station, names::CaName};
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use super::{Ledger, LedgerReader, chain::Hash, unusable};
use crate::error::IssuingError;

/// Where a station keeps its ledger of a CA: `CA.ledger`, and from the second station on `CA.station-N.ledger`.
pub fn ledger_file(dir: &Path, ca: &CaName, station: Station) -> PathBuf {
    dir.join(match station {
        Station::FIRST => format!("{ca}.ledger"),
        other => format!("{ca}.station-{other}.ledger"),
    })
}

/// The ledgers of other stations that lie beside that of `station`.
pub fn ledgers_beside(dir: &Path, ca: &CaName, station: Station) -> Vec<PathBuf> {
    Station::all()
        .filter(|other| *other != station)
        .map(|other| ledger_file(dir, ca, other))
        .filter(|path| path.symlink_metadata().is_ok())
        .collect()
}

/// Something that two ledgers of one CA both have.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Double {
    /// `station`, `device` or `key`.
    pub what: &'static str,
    /// Its number, its name, or its SHA-256 in hexadecimal digits.
    pub value: String,
}

impl Ledger {
    /// The same ledger, which issues nothing that one of these has, those of other stations.
    ///
    /// # Errors
    /// When one of them cannot be read, is that of another CA, or of this very station.
    pub fn beside(mut self, paths: &[PathBuf]) -> Result<Self, IssuingError> {
        for path in paths {
            let other = LedgerReader::open(path)?;
            if other.ca().id() != self.ca.id() {
                return Err(IssuingError::OtherCa {
                    path: path.clone(),
                    found: other.ca().subject_line(),
                });
            }
            if other.station() == self.station {
                return Err(IssuingError::SameStation {
                    path: path.clone(),
                    station: self.station,
                });
            }
            self.others.push(other);
        }
        Ok(self)
    }

    /// Whether other stations issue with the same CA.
    pub(crate) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// No other station has, or is making, a certificate for one of these devices.
    ///
    /// Asked once a device is reserved here: of two stations that reserve it at the same time, at least one sees the other.
    pub(crate) fn check_elsewhere<'d>(
        &self,
        devices: impl Iterator<Item = &'d str>,
    ) -> Result<(), IssuingError> {
        if self.others.is_empty() {
            return Ok(());
        }
        for device in devices {
            for other in &self.others {
                let found = has(&other.connection, device);
                if found.map_err(|source| unusable(&other.path, source))? {
                    return Err(IssuingError::TakenElsewhere {
                        device: device.to_owned(),
                        path: other.path.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}

impl LedgerReader {
    /// What this ledger and another one of the same CA both have: the station, devices that have a certificate in both,
    /// keys.
    ///
    /// # Errors
    /// When one of them cannot be read, or they are of different CAs.
    pub fn in_common_with(&self, other: &Self) -> Result<Vec<Double>, IssuingError> {
        if other.ca().id() != self.ca().id() {
            return Err(IssuingError::OtherCa {
                path: other.path.clone(),
                found: other.ca().subject_line(),
            });
        }
        let mut doubles = Vec::new();
        if other.station() == self.station() {
            doubles.push(Double {
                what: "station",
                value: self.station().to_string(),
            });
        }
        let here = self.keys();
        let here = here.map_err(|source| unusable(&self.path, source))?;
        let mut compare = || -> rusqlite::Result<()> {
            let mut statement = other
                .connection
                .prepare("SELECT device, key, current FROM certificate WHERE state <> 2")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let device: String = row.get(0)?;
                let key: Hash = row.get(1)?;
                if row.get(2)? && has(&self.connection, &device)? {
                    doubles.push(Double {
                        what: "device",
                        value: device,
                    });
                }
                if here.contains(&key) {
                    doubles.push(Double {
                        what: "key",
                        value: hex::encode(key),
                    });
                }
            }
            Ok(())
        };
        compare().map_err(|source| unusable(&other.path, source))?;
        Ok(doubles)
    }

    fn keys(&self) -> rusqlite::Result<HashSet<Hash>> {
        self.connection
            .prepare("SELECT key FROM certificate WHERE state <> 2")?
            .query_map([], |row| row.get(0))?
            .collect()
    }
}

/// Whether a device has a present certificate, or one that is being made.
fn has(connection: &Connection, device: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM certificate WHERE device = ? AND current = 1")?
        .query_row([device], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
}
