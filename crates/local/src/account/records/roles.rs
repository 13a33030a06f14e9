//! Roles of IAM, as far as an environment for devices needs them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::account::Timestamp;

/// A role that a service may assume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// `AROA…`, never used again.
    pub id: String,
    /// `arn:aws:iam::ACCOUNT:rolePATHNAME`.
    pub arn: String,
    /// Its path, `/` unless given.
    pub path: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who may assume it: the document as it was given.
    pub trust_policy: String,
    /// Seconds a session may last.
    pub session_seconds: u32,
    /// ARNs of the managed policies attached to it.
    pub attached_policies: BTreeSet<String>,
    /// Documents of its own policies by name.
    pub inline_policies: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was made.
    pub creation_date: Timestamp,
}
