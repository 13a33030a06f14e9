//! Waiting out what AWS does asynchronously: detaching, and forgetting what was attached.

use std::time::{Duration, Instant};

use crate::CloudError;
use crate::call::back_off;

/// How long AWS may take until it agrees that something is detached: a policy may be deleted five minutes
/// after it was detached (API reference, "DeletePolicy").
pub(crate) const DETACHING: Duration = Duration::from_secs(330);

/// Repeats a deletion while AWS still sees something attached, for as long as `patience`.
pub(crate) async fn until_detached(
    patience: Duration,
    delete: impl AsyncFn() -> Result<(), CloudError>,
) -> Result<(), CloudError> {
    let start = Instant::now();
    let mut attempt = 0;
    loop {
        let error = match delete().await {
            Err(error) if is_still_attached(&error) => error,
            other => return other,
        };
        attempt += 1;
        let pause = back_off(attempt);
        if start.elapsed() + pause > patience {
            return Err(CloudError::StillAttached {
                waited: start.elapsed(),
                source: Box::new(error),
            });
        }
        tracing::info!(?pause, "{error}; waiting for AWS to detach");
        tokio::time::sleep(pause).await;
    }
}

/// Whether a deletion was refused because something is, or a moment ago was, attached.
fn is_still_attached(error: &CloudError) -> bool {
    // DeleteThing has no exception of its own for it (developer guide, "Delete a thing").
    let by_words = error.is("InvalidRequestException") || error.is("ConflictException");
    error.is("DeleteConflictException") || by_words && error.service_message().contains("attached")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn refusal(code: &str, message: &str) -> CloudError {
        CloudError::Service {
            operation: "DeleteThing",
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: None,
        }
    }

    const ATTACHED: &str = "Cannot delete. Thing a is still attached to one or more principals";

    #[tokio::test]
    async fn what_is_still_attached_is_tried_again_until_it_goes() {
        let calls = Cell::new(0);
        let outcome = until_detached(DETACHING, async || {
            calls.set(calls.get() + 1);
            match calls.get() {
                1 => Err(refusal("InvalidRequestException", ATTACHED)),
                2 => Err(refusal("DeleteConflictException", "")),
                _ => Ok(()),
            }
        });
        outcome.await.unwrap();
        assert_eq!(calls.get(), 3);
    }

    #[tokio::test]
    async fn patience_ends_and_other_refusals_need_none() {
        let outcome = until_detached(Duration::ZERO, async || {
            Err(refusal("DeleteConflictException", ""))
        });
        let error = outcome.await.unwrap_err();
        assert!(matches!(error, CloudError::StillAttached { .. }));
        let calls = Cell::new(0);
        let outcome = until_detached(DETACHING, async || {
            calls.set(calls.get() + 1);
            Err(refusal("InvalidRequestException", "no such thing"))
        });
        assert!(outcome.await.is_err());
        assert_eq!(calls.get(), 1);
    }
}
