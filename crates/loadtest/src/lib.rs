//! The load test: thousands of devices in one process, each with a certificate of its own, and what came of it.
//!
//! Open loop: the schedule does not wait for the system, and latencies are counted from when something was due.

mod asking;
mod assertion;
mod claim;
mod clock;
mod compressed;
mod conclusion;
mod device;
mod endings;
mod fleet;
mod gatherer;
pub mod hdr_log;
mod identities;
mod integrity;
mod line;
mod measure;
mod merge;
mod metrics;
mod outcome;
mod payload;
pub mod prometheus;
mod queue;
pub mod quota;
mod recorders;
mod report;
mod run;
mod scenario;
mod schedule;
mod session;
mod shared;
mod snapshot;
mod timeline;
mod usage;

pub use assertion::{Assertion, AssertionError, Held, main_latency};
pub use claim::Claim;
pub use fleet::{names, places};
pub use gatherer::Tick;
pub use hdr_log::{HdrLog, HdrLogError};
pub use identities::{Files, Fresh, Identities};
pub use measure::{Counts, Histograms, Latency, Recorder, histogram};
pub use merge::{LATENCIES, MergeError, RESULT, lost, merge, merge_logs};
pub use metrics::Metrics;
pub use outcome::{Expected, Generator, Outcome, Rates, SCHEMA, Second, Shard, Summary};
pub use payload::{Stamp, Template, TemplateError, topic};
pub use queue::Bodies;
pub use report::{Chart, PlotError, Report, Tone, Verdict};
pub use run::{Plan, run};
pub use scenario::{
    Arrivals, Connect, Holds, Matching, MqttVersion, Names, Origin, Phase, Publish, Queue,
    Scenario, ScenarioError, Span, Storm, Subscribe, matches,
};
pub use snapshot::Snapshot;
pub use usage::{LimitError, check_sources, make_room};
