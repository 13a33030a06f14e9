//! What a process does to keep a key to itself.

use rustix::process::{Resource, Rlimit, setrlimit};

/// From here on a crash leaves no image of this process's memory behind, and no other process of the same user may look
/// into it. To be called before a secret comes in.
pub(crate) fn keep_to_itself() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let limited = setrlimit(Resource::Core, none);
    // The limit is for files; a pipe in core_pattern gets its image all the same, unless the process is not dumpable
    // (core(5)).
    #[cfg(target_os = "linux")]
    let limited = limited.and(rustix::process::set_dumpable_behavior(
        rustix::process::DumpableBehavior::NotDumpable,
    ));
    if let Err(error) = limited {
        tracing::warn!("a crash may leave the CA key in a core file: {error}");
    }
}
