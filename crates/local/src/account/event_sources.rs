//! Event source mappings: made, changed, deleted. Executing them is at `crate::event_sources`.

use std::sync::Arc;

use super::records::EventSourceMapping;
use super::{ApiError, State, Transaction};

/// What can be given; absent members stay as they are, or are as AWS Lambda has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct MappingSettings {
    /// Whether it is switched on; so it is unless told otherwise.
    pub enabled: Option<bool>,
    /// Most messages of a batch; 10 unless given.
    pub batch_size: Option<u32>,
    /// Seconds it waits for a batch to become full; 0 unless given.
    pub window: Option<u64>,
    /// Whether the function says which messages of a batch failed; it does not unless told otherwise.
    pub reports_failures: Option<bool>,
    /// Most batches at once; none for no limit.
    pub most_at_once: Option<Option<u32>>,
}

/// A mapping of the account.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find(state: &State, id: &str) -> Result<Arc<EventSourceMapping>, ApiError> {
    let mapping = state.event_sources.get(id).cloned();
    mapping.ok_or_else(|| ApiError::not_found("The resource you requested does not exist."))
}

/// Makes a mapping.
///
/// # Errors
/// `ResourceConflictException` when the queue and the function have one, `InvalidParameterValueException`.
pub fn create(
    tx: &mut Transaction,
    queue_arn: &str,
    function: &str,
    settings: &MappingSettings,
) -> Result<Arc<EventSourceMapping>, ApiError> {
    judge_unique(tx, queue_arn, function, "")?;
    let mapping = EventSourceMapping {
        id: tx.new_id(),
        queue_arn: queue_arn.to_owned(),
        function: function.to_owned(),
        enabled: true,
        batch_size: 10,
        window: 0,
        reports_failures: false,
        most_at_once: None,
        last_modified: tx.now(),
    };
    put(tx, mapping, settings)
}

/// Changes a mapping.
///
/// # Errors
/// `ResourceNotFoundException`, `ResourceConflictException`, `InvalidParameterValueException`.
pub fn update(
    tx: &mut Transaction,
    id: &str,
    function: Option<&str>,
    settings: &MappingSettings,
) -> Result<Arc<EventSourceMapping>, ApiError> {
    let mut mapping = EventSourceMapping::clone(&*find(tx, id)?);
    if let Some(function) = function {
        judge_unique(tx, &mapping.queue_arn, function, id)?;
        function.clone_into(&mut mapping.function);
    }
    mapping.last_modified = tx.now();
    put(tx, mapping, settings)
}

/// Deletes a mapping; what it was.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn delete(tx: &mut Transaction, id: &str) -> Result<Arc<EventSourceMapping>, ApiError> {
    let mapping = find(tx, id)?;
    tx.remove_event_source(id);
    Ok(mapping)
}

fn judge_unique(state: &State, queue_arn: &str, function: &str, but: &str) -> Result<(), ApiError> {
    let same = |mapping: &&Arc<EventSourceMapping>| {
        mapping.queue_arn == queue_arn && mapping.function == function && mapping.id != but
    };
    match state.event_sources.values().find(same) {
        Some(mapping) => Err(ApiError::new(
            "ResourceConflictException",
            format!(
                "An event source mapping with SQS arn (\" {queue_arn} \") and function (\" {function} \") already \
                 exists. Please update or delete the existing mapping with UUID {}",
                mapping.id
            ),
        )),
        None => Ok(()),
    }
}

fn put(
    tx: &mut Transaction,
    mut mapping: EventSourceMapping,
    settings: &MappingSettings,
) -> Result<Arc<EventSourceMapping>, ApiError> {
    mapping.enabled = settings.enabled.unwrap_or(mapping.enabled);
    mapping.batch_size = settings.batch_size.unwrap_or(mapping.batch_size);
    mapping.window = settings.window.unwrap_or(mapping.window);
    mapping.reports_failures = settings
        .reports_failures
        .unwrap_or(mapping.reports_failures);
    mapping.most_at_once = settings.most_at_once.unwrap_or(mapping.most_at_once);
    if mapping.batch_size > 10 && mapping.window == 0 {
        return Err(ApiError::new(
            "InvalidParameterValueException",
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        ));
    }
    let id = mapping.id.clone();
    tx.put_event_source(mapping)?;
    find(tx, &id)
}
