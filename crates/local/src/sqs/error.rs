//! What SQS answers when it refuses, in the names of its JSON protocol.

use crate::account::ApiError;

/// The names of the JSON protocol that are others in the query protocol, which clients still go by
/// (`x-amzn-query-error`): from the `awsQueryError` traits of the service's model.
const QUERY_CODES: [(&str, &str); 14] = [
    (
        "BatchEntryIdsNotDistinct",
        "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    ),
    (
        "BatchRequestTooLong",
        "AWS.SimpleQueueService.BatchRequestTooLong",
    ),
    (
        "EmptyBatchRequest",
        "AWS.SimpleQueueService.EmptyBatchRequest",
    ),
    (
        "InvalidBatchEntryId",
        "AWS.SimpleQueueService.InvalidBatchEntryId",
    ),
    ("InvalidParameterValueException", "InvalidParameterValue"),
    (
        "MessageNotInflight",
        "AWS.SimpleQueueService.MessageNotInflight",
    ),
    ("MissingRequiredParameterException", "MissingParameter"),
    (
        "PurgeQueueInProgress",
        "AWS.SimpleQueueService.PurgeQueueInProgress",
    ),
    (
        "QueueDeletedRecently",
        "AWS.SimpleQueueService.QueueDeletedRecently",
    ),
    (
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
    ),
    ("QueueNameExists", "QueueAlreadyExists"),
    ("ThrottlingException", "RequestThrottled"),
    (
        "TooManyEntriesInBatchRequest",
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    ),
    (
        "UnsupportedOperation",
        "AWS.SimpleQueueService.UnsupportedOperation",
    ),
];

/// What an exception is called in the query protocol.
pub(crate) fn query_code(code: &str) -> &str {
    let known = QUERY_CODES.iter().find(|(json, _)| *json == code);
    known.map_or(code, |(_, query)| query)
}

pub(super) fn invalid_value(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValueException", message)
}

pub(super) fn missing(parameter: &str) -> ApiError {
    ApiError::new(
        "MissingRequiredParameterException",
        format!("The request must contain the parameter {parameter}."),
    )
}

pub(super) fn no_such_queue() -> ApiError {
    ApiError::new("QueueDoesNotExist", "The specified queue does not exist.")
}

pub(super) fn unsupported(message: impl Into<String>) -> ApiError {
    ApiError::new("UnsupportedOperation", message)
}

pub(super) fn invalid_handle(handle: &str) -> ApiError {
    let shown: String = handle.chars().take(80).collect();
    ApiError::new(
        "ReceiptHandleIsInvalid",
        format!("The input receipt handle \"{shown}\" is not a valid receipt handle."),
    )
}

pub(super) fn invalid_contents(letter: char) -> ApiError {
    ApiError::new(
        "InvalidMessageContents",
        format!(
            "Invalid characters found: U+{:04X}. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | \
             #xE000 to #xFFFD | #x10000 to #x10FFFF",
            u32::from(letter)
        ),
    )
}
