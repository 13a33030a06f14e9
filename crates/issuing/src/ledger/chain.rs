//! The chain of hashes over the rows of a ledger, and what a CA signs of it.

use aws_lc_rs::digest::{Context, SHA256};

/// SHA-256.
pub(crate) type Hash = [u8; 32];

/// What the chain begins with.
pub(super) const START: Hash = [0; 32];

/// SHA-256 of fields, each preceded by its length, so that no two lists of fields have the same octets.
pub(crate) fn hash(fields: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for field in fields {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field);
    }
    let mut hash = START;
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A row that does not change any more.
pub(super) struct Row<'a> {
    pub(super) sequence: u64,
    pub(super) batch: &'a Hash,
    pub(super) device: &'a str,
    pub(super) serial: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) origin: i64,
    pub(super) state: i64,
    pub(super) certificate: &'a [u8],
}

impl Row<'_> {
    /// The hash of this row after the one with `before`.
    pub(super) fn after(&self, before: &Hash) -> Hash {
        hash(&[
            before,
            &self.sequence.to_be_bytes(),
            self.batch,
            self.device.as_bytes(),
            self.serial,
            self.key,
            &[self.origin as u8, self.state as u8],
            self.certificate,
        ])
    }
}

/// The text that a CA signs: up to where its ledger goes, and what is in it.
pub(super) fn sealed(station: u8, sequence: u64, made: i64, hash: &Hash) -> String {
    format!(
        "ledger {station}\nsequence {sequence}\nmade {made}\nhash {}\n",
        hex::encode(hash)
    )
}
