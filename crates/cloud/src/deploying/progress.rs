//! How a stack stands, what happens to it, and waiting until nothing does.

use std::time::{Duration, Instant};

use aws_sdk_cloudformation::types::{self, StackStatus};

use super::DeployError;
use crate::{Cloud, CloudError};

/// How a stack stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StackState {
    /// Its id, by which it is found even when it is deleted.
    pub id: String,
    /// Its state, for example `CREATE_COMPLETE`.
    pub status: String,
    /// Names of its parameters.
    pub parameters: Vec<String>,
    /// Its outputs, in the order of their names: name and value.
    pub outputs: Vec<(String, String)>,
}

impl StackState {
    /// Whether something is under way.
    pub fn is_changing(&self) -> bool {
        self.status.ends_with("_IN_PROGRESS") && !self.is_empty()
    }

    /// Whether it has only change sets, and was never made.
    pub fn is_empty(&self) -> bool {
        self.status == StackStatus::ReviewInProgress.as_str()
    }

    /// Whether it is as its last template says.
    pub fn is_complete(&self) -> bool {
        let complete = [
            StackStatus::CreateComplete,
            StackStatus::UpdateComplete,
            StackStatus::ImportComplete,
        ];
        complete.iter().any(|status| status.as_str() == self.status)
    }

    /// Whether it can be changed: one that was never complete cannot, nor one that could not be rolled back.
    pub fn is_changeable(&self) -> bool {
        self.is_complete()
            || self.status == StackStatus::UpdateRollbackComplete.as_str()
            || self.status == StackStatus::ImportRollbackComplete.as_str()
    }

    fn read(stack: types::Stack) -> Result<Self, CloudError> {
        let missing = |member| CloudError::incomplete("DescribeStacks", member);
        let status = stack.stack_status.ok_or_else(|| missing("StackStatus"))?;
        let parameters = stack.parameters.unwrap_or_default().into_iter();
        let outputs = stack.outputs.unwrap_or_default().into_iter();
        let mut outputs: Vec<_> = outputs
            .filter_map(|output| Some((output.output_key?, output.output_value?)))
            .collect();
        outputs.sort();
        Ok(Self {
            id: stack.stack_id.ok_or_else(|| missing("StackId"))?,
            status: status.as_str().to_owned(),
            parameters: parameters
                .filter_map(|parameter| parameter.parameter_key)
                .collect(),
            outputs,
        })
    }
}

/// Something that happened to a stack or to a resource of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StackEvent {
    /// The resource's name in the template; of the stack itself, the stack's.
    pub resource: String,
    /// What it is, for example `AWS::SQS::Queue`.
    pub kind: String,
    /// The state it came to, for example `CREATE_FAILED`.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    id: String,
}

impl StackEvent {
    fn read(event: types::StackEvent) -> Self {
        let status = event.resource_status;
        Self {
            resource: event.logical_resource_id.unwrap_or_default(),
            kind: event.resource_type.unwrap_or_default(),
            status: status.map_or_else(String::new, |status| status.as_str().to_owned()),
            reason: event
                .resource_status_reason
                .filter(|reason| !reason.is_empty()),
            id: event.event_id.unwrap_or_default(),
        }
    }

    /// Whether it is about the stack itself.
    fn is_of_stack(&self) -> bool {
        self.kind == "AWS::CloudFormation::Stack"
    }

    /// Whether something failed by itself, and not because something else had failed before.
    fn is_cause(&self) -> bool {
        let follows = self
            .reason
            .as_deref()
            .is_some_and(|reason| reason.contains("cancelled"));
        self.status.ends_with("_FAILED") && !self.is_of_stack() && !follows
    }

    /// Whether it is the first of what was asked for last.
    fn is_beginning(&self) -> bool {
        let begins = [
            "CREATE_IN_PROGRESS",
            "UPDATE_IN_PROGRESS",
            "DELETE_IN_PROGRESS",
        ];
        self.is_of_stack() && begins.contains(&self.status.as_str())
    }
}

impl Cloud {
    /// Whether there is CloudFormation where calls go; the local core has none.
    ///
    /// # Errors
    /// When the call fails for another reason.
    pub async fn has_cloudformation(&self) -> Result<bool, CloudError> {
        // What a stack of any name would be asked by.
        match self.stack("deploy").await {
            Err(error) if is_missing(&error) => Ok(false),
            other => other.map(|_| true),
        }
    }

    /// The stack of a name or an id; `None` if there is none.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn stack(&self, name: &str) -> Result<Option<StackState>, CloudError> {
        let send = || {
            self.cloudformation()
                .describe_stacks()
                .stack_name(name)
                .send()
        };
        let stacks = match self.call("DescribeStacks", send).await {
            // It has no code of its own (CloudFormation API reference, "DescribeStacks").
            Err(error)
                if error.is("ValidationError")
                    && error.service_message().contains("does not exist") =>
            {
                return Ok(None);
            }
            other => other?.stacks.unwrap_or_default(),
        };
        let stack = stacks
            .into_iter()
            .next()
            .map(StackState::read)
            .transpose()?;
        Ok(stack.filter(|stack| stack.status != StackStatus::DeleteComplete.as_str()))
    }

    /// Waits until nothing is under way in a stack, and hands on what happens meanwhile; `None` if it is gone then.
    ///
    /// # Errors
    /// When it takes longer than `patience`, or a call fails.
    pub async fn settled_stack(
        &self,
        name: &str,
        patience: Duration,
        mut tell: impl FnMut(&StackEvent),
    ) -> Result<Option<StackState>, DeployError> {
        let start = Instant::now();
        let Some(first) = self.stack(name).await? else {
            return Ok(None);
        };
        // By its id, or it could not be asked for once it is deleted.
        let id = first.id.clone();
        let mut last = match first.is_changing() {
            true => self.newest_event(&id).await?,
            false => return Ok(Some(first)),
        };
        loop {
            tokio::time::sleep(PAUSE).await;
            let state = self.stack(&id).await?;
            for event in self.events_after(&id, last.as_deref()).await? {
                tell(&event);
                last = Some(event.id);
            }
            match state {
                Some(state) if state.is_changing() => {
                    if start.elapsed() > patience {
                        return Err(DeployError::Slow {
                            stack: name.to_owned(),
                            status: state.status,
                        });
                    }
                }
                other => return Ok(other),
            }
        }
    }

    /// What failed in the last operation of a stack, in the order in which it did.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn stack_failures(&self, id: &str) -> Result<Vec<StackEvent>, CloudError> {
        let mut failures = Vec::new();
        self.newest_events(id, |event| {
            let begins = event.is_beginning();
            if event.is_cause() {
                failures.push(event);
            }
            begins
        })
        .await?;
        failures.reverse();
        Ok(failures)
    }

    /// Deletes a stack and waits until it is gone; one that does not exist is deleted already.
    ///
    /// # Errors
    /// When a resource cannot be deleted, it takes longer than `patience`, or a call fails.
    pub async fn delete_stack(
        &self,
        name: &str,
        patience: Duration,
        tell: impl FnMut(&StackEvent),
    ) -> Result<bool, DeployError> {
        let Some(present) = self.stack(name).await? else {
            return Ok(false);
        };
        let send = || {
            self.cloudformation()
                .delete_stack()
                .stack_name(&present.id)
                .send()
        };
        self.call("DeleteStack", send).await?;
        match self.settled_stack(&present.id, patience, tell).await? {
            None => Ok(true),
            Some(state) => Err(DeployError::Failed {
                stack: name.to_owned(),
                failures: self.stack_failures(&state.id).await?,
                status: state.status,
            }),
        }
    }

    /// Id of the last event.
    async fn newest_event(&self, id: &str) -> Result<Option<String>, CloudError> {
        let mut newest = None;
        self.newest_events(id, |event| {
            newest = Some(event.id);
            true
        })
        .await?;
        Ok(newest)
    }

    /// What happened after an event, in its order.
    async fn events_after(
        &self,
        id: &str,
        last: Option<&str>,
    ) -> Result<Vec<StackEvent>, CloudError> {
        let mut events = Vec::new();
        self.newest_events(id, |event| {
            let known = last == Some(event.id.as_str());
            if !known {
                events.push(event);
            }
            known
        })
        .await?;
        events.reverse();
        Ok(events)
    }

    /// The events of a stack, the newest first, until `enough`.
    async fn newest_events(
        &self,
        id: &str,
        mut enough: impl FnMut(StackEvent) -> bool,
    ) -> Result<(), CloudError> {
        let mut marker: Option<String> = None;
        loop {
            let send = || {
                let call = self.cloudformation().describe_stack_events();
                call.stack_name(id).set_next_token(marker.clone()).send()
            };
            let answer = self.call("DescribeStackEvents", send).await?;
            for event in answer.stack_events.unwrap_or_default() {
                if enough(StackEvent::read(event)) {
                    return Ok(());
                }
            }
            match answer.next_token.filter(|marker| !marker.is_empty()) {
                Some(next) => marker = Some(next),
                None => return Ok(()),
            }
        }
    }
}

/// "Not implemented", of a server that has other services only.
fn is_missing(error: &CloudError) -> bool {
    error.is("NotImplementedException") || matches!(error, CloudError::Nameless { status: 501, .. })
}

/// Between two looks at a stack. A resource takes seconds.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: &str) -> StackState {
        StackState {
            id: "id".to_owned(),
            status: status.to_owned(),
            parameters: Vec::new(),
            outputs: Vec::new(),
        }
    }

    #[test]
    fn states_are_told_apart() {
        for (status, changing, changeable) in [
            ("CREATE_IN_PROGRESS", true, false),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", true, false),
            ("REVIEW_IN_PROGRESS", false, false),
            ("CREATE_COMPLETE", false, true),
            ("UPDATE_ROLLBACK_COMPLETE", false, true),
            ("ROLLBACK_COMPLETE", false, false),
            ("UPDATE_ROLLBACK_FAILED", false, false),
        ] {
            let state = state(status);
            assert_eq!(
                (state.is_changing(), state.is_changeable()),
                (changing, changeable),
                "{status}"
            );
        }
    }

    #[test]
    fn what_failed_only_because_something_else_had_is_no_cause() {
        let event = |kind: &str, reason: &str| StackEvent {
            resource: "Queue".to_owned(),
            kind: kind.to_owned(),
            status: "CREATE_FAILED".to_owned(),
            reason: Some(reason.to_owned()),
            id: String::new(),
        };
        assert!(event("AWS::SQS::Queue", "no such queue").is_cause());
        assert!(!event("AWS::SQS::Queue", "Resource creation cancelled").is_cause());
        assert!(
            !event(
                "AWS::CloudFormation::Stack",
                "The following resource(s) failed"
            )
            .is_cause()
        );
    }
}
