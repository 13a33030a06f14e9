//! The environment of a fleet that is provisioned by claim: stood up, compared, taken down.
//!
//! Everything it makes is tagged with its name, which is how it knows what it may change and remove.

mod apply;
mod destroy;
mod documents;
mod error;
pub(crate) mod function;
mod package;
pub(crate) mod roles;
mod things;

use std::time::{Duration, Instant};

pub use apply::{Part, PartState};
pub use destroy::{EnvironmentPlan, EnvironmentStep};
pub use documents::{Documents, EVENTS, Environment, Hook, Place};
pub use error::EnvironmentError;
pub use package::HookError;

use crate::CloudError;
use crate::call::back_off;

/// Key of the tag with the environment's name, or with that of a stack that is made without CloudFormation.
pub(crate) const OWNER: &str = "jitp:environment";

/// Key of the provisioning role's tag with the events that the environment has switched on.
const SWITCHED_ON: &str = "jitp:events";

/// How long a new role may be unknown to other services (IAM user guide, "Changes that I make are not always
/// immediately visible").
const ROLE_UNKNOWN_FOR: Duration = Duration::from_secs(90);

/// Repeats a call while its service does not see a role yet that was made just now.
pub(crate) async fn once_role_is_known(
    call: impl AsyncFn() -> Result<(), CloudError>,
) -> Result<(), CloudError> {
    let (start, mut attempt) = (Instant::now(), 0);
    loop {
        let error = match call().await {
            Err(error) if is_about_role(&error) => error,
            other => return other,
        };
        attempt += 1;
        let pause = back_off(attempt);
        if start.elapsed() + pause > ROLE_UNKNOWN_FOR {
            return Err(error);
        }
        tracing::info!(?pause, "{error}; waiting for the role to be known");
        tokio::time::sleep(pause).await;
    }
}

/// "The role defined for the function cannot be assumed by Lambda." and its like; they have no code of their own.
fn is_about_role(error: &CloudError) -> bool {
    let code = error.is("InvalidParameterValueException") || error.is("InvalidRequestException");
    code && error.service_message().contains("assume")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn refusal(message: &str) -> CloudError {
        CloudError::Service {
            operation: "CreateFunction",
            code: "InvalidParameterValueException".to_owned(),
            message: message.to_owned(),
            request_id: None,
        }
    }

    #[tokio::test]
    async fn a_role_that_is_not_known_yet_is_waited_for_and_other_refusals_are_not() {
        let calls = Cell::new(0);
        let outcome = once_role_is_known(async || {
            calls.set(calls.get() + 1);
            match calls.get() {
                1 => Err(refusal(
                    "The role defined for the function cannot be assumed by Lambda.",
                )),
                _ => Ok(()),
            }
        });
        outcome.await.unwrap();
        assert_eq!(calls.get(), 2);
        let outcome = once_role_is_known(async || Err(refusal("Could not unzip")));
        assert!(outcome.await.is_err());
    }
}
