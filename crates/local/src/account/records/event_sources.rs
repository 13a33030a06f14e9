//! Event source mappings of AWS Lambda, as they are kept.

use serde::{Deserialize, Serialize};

use crate::account::clock::Timestamp;

/// What takes messages from a queue and gives them to a function.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct EventSourceMapping {
    /// A UUID, by which it is named.
    pub id: String,
    /// ARN of the queue.
    pub queue_arn: String,
    /// Name of the function.
    pub function: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Most messages of a batch.
    pub batch_size: u32,
    /// Seconds it waits for a batch to become full.
    pub window: u64,
    /// Whether the function says which messages of a batch failed.
    pub reports_failures: bool,
    /// Most batches at once, where that is limited.
    pub most_at_once: Option<u32>,
    /// When it was last changed.
    pub last_modified: Timestamp,
}
