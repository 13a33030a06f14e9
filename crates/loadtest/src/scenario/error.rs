//! Why a scenario cannot be run.

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// No TOML, or not the members it must have.
    #[error("the scenario {name} cannot be read: {detail}")]
    Unreadable {
        /// File or name.
        name: String,
        /// What the reader said, with the line.
        detail: String,
    },
    /// A value that makes no sense.
    #[error("{member}: {why}")]
    Value {
        /// Member of the scenario.
        member: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// What subscribers forward comes back to them.
    #[error(
        "subscribers forward to {forward}, which {filter} matches: every message would come back and be forwarded for ever"
    )]
    FeedsItself {
        /// The topic.
        forward: String,
        /// The filter.
        filter: String,
    },
}
