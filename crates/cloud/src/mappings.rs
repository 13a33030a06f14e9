//! Event source mappings: what makes AWS Lambda give a function the messages of a queue, switched on and off.

use std::time::{Duration, Instant};

use aws_sdk_lambda::types::EventSourceMappingConfiguration;
use jitp_core::failure::{Class, Classified};

use crate::call::{back_off, every_page};
use crate::{Change, Cloud, CloudError, Queue};

/// A mapping of a queue to a function.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mapping {
    /// Its id.
    pub uuid: String,
    /// Name of the function; with its version or alias, if the mapping names one.
    pub function: String,
    /// `Enabled`, `Disabled`, or what it is about to become: `Creating`, `Enabling`, `Disabling`, `Updating`, `Deleting`.
    pub state: String,
}

impl Mapping {
    fn read(
        operation: &'static str,
        told: EventSourceMappingConfiguration,
    ) -> Result<Self, CloudError> {
        let missing = |member| CloudError::incomplete(operation, member);
        let arn = told.function_arn.ok_or_else(|| missing("FunctionArn"))?;
        // arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]
        let function = arn
            .split_once(":function:")
            .map(|(_, name)| name.to_owned());
        Ok(Self {
            uuid: told.uuid.ok_or_else(|| missing("UUID"))?,
            function: function.unwrap_or(arn),
            state: told.state.ok_or_else(|| missing("State"))?,
        })
    }

    /// Whether it is about to become something else.
    fn is_changing(&self) -> bool {
        !matches!(self.state.as_str(), "Enabled" | "Disabled")
    }
}

/// Why a mapping could not be switched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// AWS refused, or did not answer.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// It does not get there.
    #[error("the mapping to {function} is still {state} after {} s", .waited.as_secs())]
    Slow {
        /// The function.
        function: String,
        /// The state it is in.
        state: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// It was switched, and then it was otherwise again.
    #[error("the mapping to {function} was switched back by somebody else: it is {state}")]
    SwitchedBack {
        /// The function.
        function: String,
        /// The state it is in.
        state: String,
    },
}

impl Classified for MappingError {
    fn class(&self) -> Class {
        match self {
            Self::Cloud(error) => error.class(),
            Self::Slow { .. } => Class::Temporary,
            Self::SwitchedBack { .. } => Class::Conflict,
        }
    }

    fn code(&self) -> String {
        match self {
            Self::Cloud(error) => error.code(),
            other => other.class().code().to_owned(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.hint(),
            Self::Slow { .. } => Some("AWS goes on by itself; run again to wait for it".to_owned()),
            Self::SwitchedBack { .. } => None,
        }
    }

    fn request_id(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.request_id(),
            Self::Slow { .. } | Self::SwitchedBack { .. } => None,
        }
    }
}

impl Cloud {
    /// The mappings of a queue, by the names of their functions.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn mappings(&self, queue: &Queue) -> Result<Vec<Mapping>, CloudError> {
        const OPERATION: &str = "ListEventSourceMappings";
        let found = every_page(async |marker| {
            let send = || {
                let call = self.lambda().list_event_source_mappings();
                call.event_source_arn(&queue.arn)
                    .set_marker(marker.clone())
                    .send()
            };
            let answer = self.call(OPERATION, send).await?;
            Ok((
                answer.event_source_mappings.unwrap_or_default(),
                answer.next_marker,
            ))
        });
        let found = found.await?.into_iter();
        let mappings: Result<Vec<_>, _> =
            found.map(|told| Mapping::read(OPERATION, told)).collect();
        let mut mappings = mappings?;
        mappings
            .sort_by(|one, other| (&one.function, &one.uuid).cmp(&(&other.function, &other.uuid)));
        Ok(mappings)
    }

    /// Switches a mapping on or off, and waits until it is, for as long as `patience`. Batches that the function has
    /// already it goes on with.
    ///
    /// # Errors
    /// When it does not get there in time, somebody else switches it back, or a call fails.
    pub async fn switch_mapping(
        &self,
        mapping: &Mapping,
        on: bool,
        patience: Duration,
    ) -> Result<Change, MappingError> {
        let wanted = if on { "Enabled" } else { "Disabled" };
        let (start, mut attempt) = (Instant::now(), 0);
        let mut present = self.mapping(&mapping.uuid).await?;
        let mut switched = false;
        loop {
            if present.state == wanted {
                return Ok(match switched {
                    true => Change::Updated,
                    false => Change::Unchanged,
                });
            }
            if !present.is_changing() {
                if switched {
                    return Err(MappingError::SwitchedBack {
                        function: present.function,
                        state: present.state,
                    });
                }
                match self.update_mapping(&mapping.uuid, on).await {
                    Ok(updated) => {
                        (present, switched) = (updated, true);
                        continue;
                    }
                    // Another change is under way.
                    Err(error) if error.is("ResourceInUseException") => {}
                    Err(error) => return Err(error.into()),
                }
            }
            attempt += 1;
            let pause = back_off(attempt).min(LONGEST_PAUSE);
            if start.elapsed() + pause > patience {
                return Err(MappingError::Slow {
                    function: present.function,
                    state: present.state,
                    waited: start.elapsed(),
                });
            }
            tokio::time::sleep(pause).await;
            present = self.mapping(&mapping.uuid).await?;
        }
    }

    /// Waits until a mapping that was made or changed is on or off.
    pub(crate) async fn settled_mapping(
        &self,
        uuid: &str,
        on: bool,
    ) -> Result<Change, MappingError> {
        let mapping = self.mapping(uuid).await?;
        self.switch_mapping(&mapping, on, SETTLING).await
    }

    async fn update_mapping(&self, uuid: &str, on: bool) -> Result<Mapping, CloudError> {
        const OPERATION: &str = "UpdateEventSourceMapping";
        let send = || {
            let call = self.lambda().update_event_source_mapping();
            call.uuid(uuid).enabled(on).send()
        };
        let told = self.call(OPERATION, send).await?;
        let told = EventSourceMappingConfiguration::builder()
            .set_uuid(told.uuid)
            .set_function_arn(told.function_arn)
            .set_state(told.state);
        Mapping::read(OPERATION, told.build())
    }

    async fn mapping(&self, uuid: &str) -> Result<Mapping, CloudError> {
        const OPERATION: &str = "GetEventSourceMapping";
        let send = || self.lambda().get_event_source_mapping().uuid(uuid).send();
        let told = self.call(OPERATION, send).await?;
        let told = EventSourceMappingConfiguration::builder()
            .set_uuid(told.uuid)
            .set_function_arn(told.function_arn)
            .set_state(told.state);
        Mapping::read(OPERATION, told.build())
    }
}

/// AWS switches a mapping within a minute; nobody wants to wait ten seconds more.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long a mapping that was made may take until it is on.
const SETTLING: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_named_by_its_function() {
        let told = |arn: &str| {
            EventSourceMappingConfiguration::builder()
                .uuid("u")
                .function_arn(arn)
                .state("Enabled")
                .build()
        };
        for (arn, function) in [
            ("arn:aws:lambda:eu-central-1:123456789012:function:f", "f"),
            (
                "arn:aws:lambda:eu-central-1:123456789012:function:f:live",
                "f:live",
            ),
            ("f", "f"),
        ] {
            let mapping = Mapping::read("GetEventSourceMapping", told(arn)).unwrap();
            assert_eq!(mapping.function, function);
            assert!(!mapping.is_changing());
        }
    }
}
