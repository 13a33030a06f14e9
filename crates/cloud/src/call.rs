//! One call of the control plane: paced, repeated while that can help, and never repeated where it could act twice.

use std::time::{Duration, Instant};

use aws_sdk_iot::config::http::HttpResponse;
use aws_sdk_iot::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iot::operation::RequestId;
use jitp_core::failure::{Class, Classified};

use crate::{Cloud, CloudError};

/// Whether a call may be made again when nobody knows if it was acted upon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Repeat {
    /// Made twice, it has the same effect, or answers that it was made before.
    Harmless,
    /// Every call makes something new: only a refusal is a reason to call again.
    MakesAnother,
}

impl Cloud {
    /// Calls an operation that may be repeated.
    pub(crate) async fn call<T, E>(
        &self,
        operation: &'static str,
        send: impl AsyncFn() -> Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<T, CloudError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        SdkError<E, HttpResponse>: RequestId,
    {
        self.call_with(Repeat::Harmless, operation, send).await
    }

    /// Calls an operation. The SDK's own repetitions are switched off: it would repeat a
    /// CreateKeysAndCertificate whose answer was lost, and knows nothing of quotas.
    pub(crate) async fn call_with<T, E>(
        &self,
        repeat: Repeat,
        operation: &'static str,
        send: impl AsyncFn() -> Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<T, CloudError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        SdkError<E, HttpResponse>: RequestId,
    {
        let (mut throttled, mut failed) = (0, 0);
        loop {
            let wait = self.pace.reserve(operation, Instant::now());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let mut error = match send().await {
                Ok(answer) => {
                    self.pace.served(operation, Instant::now());
                    return Ok(answer);
                }
                Err(error) => CloudError::from_sdk(operation, error),
            };
            let pause = if error.is_throttling() {
                self.pace.throttled(operation, Instant::now());
                throttled += 1;
                (throttled < THROTTLED_ATTEMPTS).then(|| back_off(throttled))
            } else {
                // An answer that is no error of the service's counts as a call served.
                if error.class() != Class::Temporary {
                    self.pace.served(operation, Instant::now());
                }
                failed += 1;
                let again = error.class() == Class::Temporary
                    && repeat == Repeat::Harmless
                    && failed < FAILED_ATTEMPTS;
                again.then(|| back_off(failed))
            };
            let Some(pause) = pause else {
                if let CloudError::NoAnswer { attempts, .. } = &mut error {
                    *attempts = failed;
                }
                return Err(error);
            };
            if error.is_throttling() {
                tracing::info!(operation, ?pause, "{error}; calling again");
            } else {
                // Whoever waits for time-outs wants to know it.
                tracing::warn!("{error}; calling again ({failed} of {FAILED_ATTEMPTS} failed)");
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// Doubles from [`FIRST_PAUSE`] to [`LONGEST_PAUSE`]; half of it is chance, so that callers who were
/// refused together do not come back together.
pub(crate) fn back_off(attempt: u32) -> Duration {
    let pause = FIRST_PAUSE
        .saturating_mul(1 << attempt.saturating_sub(1).min(16))
        .min(LONGEST_PAUSE);
    pause.mul_f64(rand::random_range(0.5..=1.0))
}

/// Follows the markers of a list to its end.
pub(crate) async fn every_page<T>(
    mut page: impl AsyncFnMut(Option<String>) -> Result<(Vec<T>, Option<String>), CloudError>,
) -> Result<Vec<T>, CloudError> {
    let mut items = Vec::new();
    let mut marker = None;
    loop {
        let (more, next) = page(marker).await?;
        items.extend(more);
        // Some servers answer an empty marker instead of none.
        match next.filter(|next| !next.is_empty()) {
            Some(next) => marker = Some(next),
            None => return Ok(items),
        }
    }
}

/// Items AWS answers at most in one page of a list.
pub(crate) const PAGE: i32 = 250;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Calls until an operation that does not answer, or answers with a failure, counts as unreachable.
const FAILED_ATTEMPTS: u32 = 5;
/// Calls until a throttled operation is given up; about a minute, besides the waits of the pace.
const THROTTLED_ATTEMPTS: u32 = 12;
