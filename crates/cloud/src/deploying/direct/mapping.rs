//! `AWS::Lambda::EventSourceMapping`, of a queue. It belongs to whom its function belongs to: it has no name of its own.

use aws_sdk_lambda::types::{EventSourceMappingConfiguration, FunctionResponseType};
use jitp_stack::Made;

use super::properties::Properties;
use super::{DeployError, Direct, Present};
use crate::call::every_page;
use crate::environment::roles::{Found, gone};
use crate::{CloudError, MappingError};

/// A mapping as it is to be.
struct Wanted<'a> {
    source: &'a str,
    function: &'a str,
    enabled: bool,
    batch: i32,
    window: i32,
    response_types: Vec<FunctionResponseType>,
}

impl<'a> Wanted<'a> {
    fn read(properties: &Properties<'a>) -> Result<Self, DeployError> {
        properties.known(&[
            "EventSourceArn",
            "FunctionName",
            "Enabled",
            "BatchSize",
            "MaximumBatchingWindowInSeconds",
            "FunctionResponseTypes",
        ])?;
        let response_types = properties.texts("FunctionResponseTypes")?.into_iter();
        Ok(Self {
            source: properties.text("EventSourceArn")?,
            function: properties.text("FunctionName")?,
            // What the API takes where nothing is said (AWS Lambda API reference, "CreateEventSourceMapping").
            enabled: properties.boolean("Enabled")?.unwrap_or(true),
            batch: properties.number("BatchSize")?.unwrap_or(10),
            window: properties
                .number("MaximumBatchingWindowInSeconds")?
                .unwrap_or(0),
            response_types: response_types.map(FunctionResponseType::from).collect(),
        })
    }
}

impl Direct<'_> {
    pub(super) async fn mapping(
        &self,
        properties: &Properties<'_>,
    ) -> Result<Present, DeployError> {
        let wanted = Wanted::read(properties)?;
        let name = wanted.function.to_owned();
        let Some(present) = self.found_mapping(&wanted).await? else {
            return Ok(Present {
                name,
                made: Made::default(),
                found: Found::nothing(),
            });
        };
        let owner = self
            .cloud
            .owner_of_function(wanted.function)
            .await?
            .flatten();
        let off = ["Disabled", "Disabling"];
        let enabled = !present
            .state
            .as_deref()
            .is_some_and(|state| off.contains(&state));
        let response_types = present
            .function_response_types
            .as_deref()
            .unwrap_or_default();
        let found = Found::with(
            owner.as_deref() == Some(self.name),
            &[
                ("whether it is enabled", enabled != wanted.enabled),
                ("batch size", present.batch_size != Some(wanted.batch)),
                (
                    "batching window",
                    present.maximum_batching_window_in_seconds.unwrap_or(0) != wanted.window,
                ),
                ("response types", response_types != wanted.response_types),
            ],
        );
        let id = present.uuid.unwrap_or_default();
        Ok(Present {
            name,
            made: Made {
                attributes: [("Id".to_owned(), id.clone())].into(),
                reference: id,
            },
            found,
        })
    }

    pub(super) async fn bring_mapping(
        &self,
        properties: &Properties<'_>,
    ) -> Result<(), DeployError> {
        let wanted = Wanted::read(properties)?;
        let lambda = self.cloud.lambda();
        let id = match self.found_mapping(&wanted).await? {
            None => {
                let send = || {
                    let call = lambda.create_event_source_mapping();
                    call.event_source_arn(wanted.source)
                        .function_name(wanted.function)
                        .enabled(wanted.enabled)
                        .batch_size(wanted.batch)
                        .maximum_batching_window_in_seconds(wanted.window)
                        .set_function_response_types(Some(wanted.response_types.clone()))
                        .send()
                };
                match self.cloud.call("CreateEventSourceMapping", send).await {
                    // The answer to an earlier attempt was lost on the way.
                    Err(error) if error.is("ResourceConflictException") => self
                        .found_mapping(&wanted)
                        .await?
                        .and_then(|found| found.uuid),
                    other => other?.uuid,
                }
            }
            Some(present) => {
                let id = present.uuid.unwrap_or_default();
                let send = || {
                    let call = lambda.update_event_source_mapping().uuid(&id);
                    call.enabled(wanted.enabled)
                        .batch_size(wanted.batch)
                        .maximum_batching_window_in_seconds(wanted.window)
                        .set_function_response_types(Some(wanted.response_types.clone()))
                        .send()
                };
                self.cloud.call("UpdateEventSourceMapping", send).await?;
                Some(id)
            }
        };
        let id = id.ok_or_else(|| CloudError::incomplete("CreateEventSourceMapping", "UUID"))?;
        let settled = self.cloud.settled_mapping(&id, wanted.enabled).await;
        settled.map(drop).map_err(|error| match error {
            MappingError::Cloud(error) => error.into(),
            other => DeployError::Mapping(other),
        })
    }

    pub(super) async fn delete_mapping(&self, id: &str) -> Result<(), DeployError> {
        let send = || {
            self.cloud
                .lambda()
                .delete_event_source_mapping()
                .uuid(id)
                .send()
        };
        Ok(gone(
            self.cloud.call("DeleteEventSourceMapping", send).await,
        )?)
    }

    async fn found_mapping(
        &self,
        wanted: &Wanted<'_>,
    ) -> Result<Option<EventSourceMappingConfiguration>, CloudError> {
        let mappings = every_page(async |marker| {
            let send = || {
                let call = self.cloud.lambda().list_event_source_mappings();
                call.event_source_arn(wanted.source)
                    .function_name(wanted.function)
                    .set_marker(marker.clone())
                    .send()
            };
            let answer = self.cloud.call("ListEventSourceMappings", send).await;
            match answer {
                // There is no such function yet.
                Err(error) if error.is_not_found() => Ok((Vec::new(), None)),
                other => {
                    let answer = other?;
                    Ok((
                        answer.event_source_mappings.unwrap_or_default(),
                        answer.next_marker,
                    ))
                }
            }
        });
        let mut mappings = mappings.await?.into_iter();
        Ok(mappings.find(|one| one.state.as_deref() != Some("Deleting")))
    }
}
