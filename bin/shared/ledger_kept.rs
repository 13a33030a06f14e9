//! Whether what is issued one by one is recorded.

use jitp_core::ca::{CertificateAuthority, Station};
use jitp_core::store::Store;
use jitp_issuing::{IssuingError, Ledger, ledger_file, ledgers_beside};

use crate::signing::Signing;

/// The ledger of a CA that keeps one: one that has a ledger signs nothing without it, and one under a quota is counted in
/// it. Other CAs have none before their first batch.
pub(crate) fn ledger_kept(
    signing: &Signing<'_>,
    store: &Store,
    ca: &CertificateAuthority,
) -> Result<Option<Ledger>, IssuingError> {
    let station = signing.station.station;
    let kept = ledger_file(store.dir(), signing.ca, station)
        .symlink_metadata()
        .is_ok()
        || station != Station::FIRST
        || !ledgers_beside(store.dir(), signing.ca, station).is_empty()
        || ca.quota().is_some();
    kept.then(|| signing.ledger(store, ca)).transpose()
}
