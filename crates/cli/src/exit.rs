//! Exit codes: one table, the same for every program.

use jitp_core::failure::Class;

/// What a program's exit code means; scripts and factory stations act on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or already so.
    Done = 0,
    /// Unexpected failure.
    Unexpected = 1,
    /// Wrong usage.
    Usage = 2,
    /// Configuration, credentials or an input file missing or invalid.
    Configuration = 3,
    /// Thing, certificate or CA not found.
    NotFound = 4,
    /// Conflict: exists with other content, or wrong state.
    Conflict = 5,
    /// Refused by the service or a policy.
    Refused = 6,
    /// Temporary: throttled, timed out or unreachable, after the retries.
    Temporary = 7,
    /// Device not accepted: provisioning did not finish in time.
    NotAccepted = 8,
    /// A check failed.
    CheckFailed = 9,
    /// A batch is partly done.
    Partial = 10,
    /// Interrupted by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

impl From<Class> for Exit {
    fn from(class: Class) -> Self {
        match class {
            Class::Unexpected => Self::Unexpected,
            Class::Usage => Self::Usage,
            Class::Configuration => Self::Configuration,
            Class::NotFound => Self::NotFound,
            Class::Conflict => Self::Conflict,
            Class::Refused => Self::Refused,
            Class::Temporary => Self::Temporary,
            Class::NotAccepted => Self::NotAccepted,
            Class::CheckFailed => Self::CheckFailed,
            Class::Partial => Self::Partial,
        }
    }
}
