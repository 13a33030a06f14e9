//! What an account keeps of AWS Lambda: functions, their code, and who may call them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::account::clock::Timestamp;

/// A function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// `arn:aws:lambda:REGION:ACCOUNT:function:NAME`.
    pub arn: String,
    /// `provided.al2023` or `provided.al2`.
    pub runtime: String,
    /// The role it runs under; the local core takes any.
    pub role: String,
    /// What the program is told as `_HANDLER`.
    pub handler: String,
    /// A description.
    pub description: String,
    /// Seconds a call may take.
    pub timeout: u64,
    /// Megabytes; told to the program, not enforced.
    pub memory_size: u64,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// SHA-256 of the code, in base64.
    pub code_sha256: String,
    /// The code: a zip file. It is stored beside the record.
    #[serde(skip)]
    pub code: Bytes,
    /// Who may call it, by statement id.
    pub permissions: BTreeMap<String, Permission>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was last changed.
    pub last_modified: Timestamp,
    /// Opaque, new with every change of the function.
    pub revision_id: String,
    /// Opaque, new with every change of the permissions.
    pub policy_revision_id: String,
}

/// A permission to call a function.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Permission {
    /// What may be done, for example `lambda:InvokeFunction`.
    pub action: String,
    /// Who may do it: a service such as `iot.amazonaws.com`, an account, an ARN, or `*`.
    pub principal: String,
    /// On whose behalf, as an ARN that may have `*` in it.
    pub source_arn: Option<String>,
    /// On behalf of which account.
    pub source_account: Option<String>,
}
