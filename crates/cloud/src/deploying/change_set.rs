//! Change sets: what would become of a stack, withdrawn or executed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, Parameter, ResourceChange as Told, Tag,
};

use super::DeployError;
use super::progress::{StackEvent, StackState};
use crate::call::{Repeat, back_off};
use crate::{Cloud, CloudError};

/// A stack as it is to be.
#[derive(Clone, Debug)]
pub struct NewStack<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its template, with what it is made of in a bucket.
    pub body: &'a str,
    /// Where that template is, if it is too large for a request.
    pub url: Option<&'a str>,
    /// Parameters that are given; those of the template that are not keep what they were, or have their default.
    pub parameters: &'a BTreeMap<String, String>,
    /// Parameters that the template declares.
    pub declared: Vec<String>,
    /// Tags of the stack and its resources.
    pub tags: &'a BTreeMap<String, String>,
    /// What the template may do, for example `CAPABILITY_NAMED_IAM`.
    pub capabilities: &'a [String],
}

/// A change set that can be executed.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// What it changes.
    pub changes: Vec<ResourceChange>,
    /// Whether the stack is new.
    pub creates: bool,
    /// Its id.
    id: String,
    /// Id of the stack.
    stack: String,
}

/// What becomes of a resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResourceChange {
    /// `Add`, `Modify`, `Remove`, `Import` or `Dynamic`.
    pub action: String,
    /// Its name in the template.
    pub resource: String,
    /// What it is, for example `AWS::SQS::Queue`.
    pub kind: String,
    /// Of what is modified, whether it is made anew: `True`, `False` or `Conditional`.
    pub replacement: Option<String>,
}

impl ResourceChange {
    fn read(told: Told) -> Self {
        let text = |value: Option<String>| value.unwrap_or_default();
        Self {
            action: told
                .action
                .map_or_else(String::new, |action| action.as_str().to_owned()),
            resource: text(told.logical_resource_id),
            kind: text(told.resource_type),
            replacement: told.replacement.map(|value| value.as_str().to_owned()),
        }
    }
}

impl Cloud {
    /// Makes a change set; `None` if nothing would change.
    ///
    /// # Errors
    /// When CloudFormation does not take it, the stack is in a state in which it cannot be changed, or a call fails.
    pub async fn propose(
        &self,
        wanted: &NewStack<'_>,
        present: Option<&StackState>,
    ) -> Result<Option<Proposal>, DeployError> {
        let creates = present.is_none_or(StackState::is_empty);
        if let Some(present) = present.filter(|present| !creates && !present.is_changeable()) {
            return Err(DeployError::Stuck {
                stack: wanted.name.to_owned(),
                status: present.status.clone(),
                failures: self.stack_failures(&present.id).await?,
            });
        }
        let known = present.filter(|_| !creates);
        let parameters = parameters(wanted, known.map(|known| known.parameters.as_slice()));
        let capabilities = wanted.capabilities.iter();
        let capabilities: Vec<_> = capabilities
            .map(|one| Capability::from(one.as_str()))
            .collect();
        let tags = wanted.tags.iter();
        let tags: Vec<_> = tags
            .map(|(key, value)| Tag::builder().key(key).value(value).build())
            .collect();
        let name = format!("deploy-{:016x}", rand::random::<u64>());
        let send = || {
            let call = self
                .cloudformation()
                .create_change_set()
                .stack_name(wanted.name);
            let call = match wanted.url {
                Some(url) => call.template_url(url),
                None => call.template_body(wanted.body),
            };
            call.change_set_name(&name)
                .change_set_type(match creates {
                    true => ChangeSetType::Create,
                    false => ChangeSetType::Update,
                })
                .set_parameters(Some(parameters.clone()))
                .set_capabilities(Some(capabilities.clone()))
                .set_tags(Some(tags.clone()))
                .send()
        };
        let made = match self
            .call_with(Repeat::Harmless, "CreateChangeSet", send)
            .await
        {
            // The answer to an earlier attempt was lost on the way; the name is ours alone.
            Err(error) if error.is("AlreadyExistsException") => None,
            other => other?.id,
        };
        self.proposal(wanted.name, made.as_deref().unwrap_or(&name), creates)
            .await
    }

    /// Waits until a change set is made.
    async fn proposal(
        &self,
        stack: &str,
        change_set: &str,
        creates: bool,
    ) -> Result<Option<Proposal>, DeployError> {
        let (start, mut attempt) = (Instant::now(), 0);
        loop {
            let (status, reason, proposal) = self.change_set(stack, change_set, creates).await?;
            match status {
                ChangeSetStatus::CreateComplete => return Ok(Some(proposal)),
                ChangeSetStatus::CreatePending | ChangeSetStatus::CreateInProgress => {}
                _ => {
                    self.withdraw(&proposal).await?;
                    return match changes_nothing(&reason) {
                        true => Ok(None),
                        false => Err(DeployError::Refused {
                            stack: stack.to_owned(),
                            reason,
                        }),
                    };
                }
            }
            if start.elapsed() > MAKING {
                self.withdraw(&proposal).await?;
                return Err(DeployError::Slow {
                    stack: stack.to_owned(),
                    status: status.as_str().to_owned(),
                });
            }
            attempt += 1;
            tokio::time::sleep(back_off(attempt).min(Duration::from_secs(2))).await;
        }
    }

    /// A change set with all its changes, its state, and the reason of that.
    async fn change_set(
        &self,
        stack: &str,
        change_set: &str,
        creates: bool,
    ) -> Result<(ChangeSetStatus, String, Proposal), CloudError> {
        const OPERATION: &str = "DescribeChangeSet";
        let (mut changes, mut marker) = (Vec::new(), None::<String>);
        loop {
            let send = || {
                let call = self.cloudformation().describe_change_set();
                call.stack_name(stack)
                    .change_set_name(change_set)
                    .set_next_token(marker.clone())
                    .send()
            };
            let answer = self.call(OPERATION, send).await?;
            let page = answer.changes.unwrap_or_default().into_iter();
            changes.extend(
                page.filter_map(|change| change.resource_change)
                    .map(ResourceChange::read),
            );
            match answer.next_token.filter(|marker| !marker.is_empty()) {
                Some(next) => marker = Some(next),
                None => {
                    let missing = |member| CloudError::incomplete(OPERATION, member);
                    let proposal = Proposal {
                        changes,
                        creates,
                        id: answer.change_set_id.ok_or_else(|| missing("ChangeSetId"))?,
                        stack: answer.stack_id.ok_or_else(|| missing("StackId"))?,
                    };
                    let status = answer.status.ok_or_else(|| missing("Status"))?;
                    return Ok((status, answer.status_reason.unwrap_or_default(), proposal));
                }
            }
        }
    }

    /// Removes a change set, and the stack with it if it was only made for it.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn withdraw(&self, proposal: &Proposal) -> Result<(), CloudError> {
        let send = || {
            let call = self.cloudformation().delete_change_set();
            call.change_set_name(&proposal.id)
                .stack_name(&proposal.stack)
                .send()
        };
        self.call("DeleteChangeSet", send).await?;
        let present = match proposal.creates {
            true => self.stack(&proposal.stack).await?,
            false => None,
        };
        if present.is_some_and(|present| present.is_empty()) {
            let send = || {
                self.cloudformation()
                    .delete_stack()
                    .stack_name(&proposal.stack)
                    .send()
            };
            self.call("DeleteStack", send).await?;
        }
        Ok(())
    }

    /// Executes a change set, and waits until the stack is as it says.
    ///
    /// # Errors
    /// When a resource cannot be made or changed, it takes longer than `patience`, or a call fails.
    pub async fn execute(
        &self,
        name: &str,
        proposal: &Proposal,
        patience: Duration,
        tell: impl FnMut(&StackEvent),
    ) -> Result<StackState, DeployError> {
        let send = || {
            let call = self.cloudformation().execute_change_set();
            call.change_set_name(&proposal.id)
                .stack_name(&proposal.stack)
                .send()
        };
        match self.call("ExecuteChangeSet", send).await {
            // The answer to an earlier attempt was lost on the way: it is being executed.
            Err(error)
                if error.is("InvalidChangeSetStatus")
                    || error.is("InvalidChangeSetStatusException") => {}
            other => drop(other?),
        }
        // For a moment it may still be as if nothing had been asked for.
        let start = Instant::now();
        let mut state = self.settled_stack(&proposal.stack, patience, tell).await?;
        while state.as_ref().is_some_and(StackState::is_empty) && start.elapsed() < BEGINNING {
            tokio::time::sleep(Duration::from_millis(500)).await;
            state = self
                .settled_stack(&proposal.stack, patience, |_| ())
                .await?;
        }
        let state = state.ok_or_else(|| CloudError::incomplete("DescribeStacks", "the stack"))?;
        match state.is_complete() {
            true => Ok(state),
            false => Err(DeployError::Failed {
                stack: name.to_owned(),
                failures: self.stack_failures(&state.id).await?,
                status: state.status,
            }),
        }
    }
}

/// What is given; and of what the stack has and the template still declares, what it is.
fn parameters(wanted: &NewStack<'_>, present: Option<&[String]>) -> Vec<Parameter> {
    let given = wanted.parameters.iter().map(|(key, value)| {
        Parameter::builder()
            .parameter_key(key)
            .parameter_value(value)
            .build()
    });
    let kept = present.unwrap_or_default().iter();
    let kept = kept
        .filter(|key| !wanted.parameters.contains_key(*key) && wanted.declared.contains(key))
        .map(|key| {
            Parameter::builder()
                .parameter_key(key)
                .use_previous_value(true)
                .build()
        });
    given.chain(kept).collect()
}

/// A change set without changes fails, and only its reason says so (CloudFormation user guide, "Troubleshooting").
fn changes_nothing(reason: &str) -> bool {
    ["didn't contain changes", "No updates are to be performed"]
        .iter()
        .any(|words| reason.contains(words))
}

/// How long a change set may take until it is made.
const MAKING: Duration = Duration::from_secs(300);
/// How long a stack may seem untouched after it was asked for.
const BEGINNING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_stays_as_it_is_if_the_template_still_has_it() {
        let given = BTreeMap::from([("Topic".to_owned(), "other".to_owned())]);
        let wanted = NewStack {
            name: "stack",
            body: "{}",
            url: None,
            parameters: &given,
            declared: vec!["Topic".to_owned(), "Batch".to_owned(), "New".to_owned()],
            tags: &BTreeMap::new(),
            capabilities: &[],
        };
        let present = ["Topic".to_owned(), "Batch".to_owned(), "Gone".to_owned()];
        let told = |present| {
            let parameters = parameters(&wanted, present).into_iter();
            parameters
                .map(|one| (one.parameter_key.unwrap(), one.parameter_value))
                .collect::<Vec<_>>()
        };
        let topic = ("Topic".to_owned(), Some("other".to_owned()));
        assert_eq!(told(None), std::slice::from_ref(&topic));
        assert_eq!(told(Some(&present)), [topic, ("Batch".to_owned(), None)]);
    }

    #[test]
    fn a_change_set_without_changes_is_known_by_its_reason() {
        let without = "The submitted information didn't contain changes. Submit different information to create a change set.";
        assert!(changes_nothing(without));
        assert!(!changes_nothing("Template error"));
    }
}
