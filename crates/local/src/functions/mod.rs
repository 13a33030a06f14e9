//! Functions: what a pre-provisioning hook's ARN leads to.

use std::time::Duration;

use bytes::Bytes;

/// Who calls a function, as its permissions judge it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    /// Service principal, for example `iot.amazonaws.com`.
    pub(crate) service: &'a str,
    /// ARN on whose behalf it is called.
    pub(crate) source_arn: &'a str,
    /// Account on whose behalf it is called.
    pub(crate) source_account: &'a str,
}

/// Why a function gave no answer. Reads on after its name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("leads to no function of this local core")]
    Unknown,
}

/// The functions of a local core. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Functions {}

impl Functions {
    pub(crate) async fn call(
        &self,
        _arn: &str,
        _payload: Bytes,
        caller: &Caller<'_>,
        _deadline: Duration,
    ) -> Result<Bytes, CallError> {
        tracing::debug!(
            service = caller.service,
            source_arn = caller.source_arn,
            source_account = caller.source_account,
            "a function was called"
        );
        Err(CallError::Unknown)
    }
}
