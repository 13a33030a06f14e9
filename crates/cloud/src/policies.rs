//! IoT policies: read, listed, made, attached, detached, deleted with all their versions.

use time::OffsetDateTime;

use crate::call::{PAGE, every_page};
use crate::certificates::moment;
use crate::templating::same_json;
use crate::{Cloud, CloudError};

/// How the account's policy of a name stands to a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PolicyState {
    /// There was none; it is made.
    Made,
    /// It says the same.
    Same,
    /// It says something else, and is left as it is.
    Other,
}

/// A policy with its default version.
#[derive(Clone, Debug)]
pub struct PolicyDetails {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Document of the default version, as it was given.
    pub document: String,
    /// When it, or its default version, was made.
    pub changed: Option<OffsetDateTime>,
}

impl Cloud {
    /// A policy by its name; `None` if there is none.
    ///
    /// # Errors
    /// When the call fails for another reason than that there is none.
    pub async fn policy(&self, name: &str) -> Result<Option<PolicyDetails>, CloudError> {
        let send = || self.iot.get_policy().policy_name(name).send();
        match self.call("GetPolicy", send).await {
            Ok(found) => Ok(Some(PolicyDetails {
                name: name.to_owned(),
                arn: found.policy_arn.unwrap_or_default(),
                document: found.policy_document.unwrap_or_default(),
                changed: moment(found.last_modified_date).or(moment(found.creation_date)),
            })),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a policy.
    ///
    /// # Errors
    /// `ResourceAlreadyExistsException` if there is one of this name, whatever it says.
    pub async fn make_policy(&self, name: &str, document: &str) -> Result<(), CloudError> {
        let send = || {
            let call = self.iot.create_policy().policy_name(name);
            call.policy_document(document).send()
        };
        self.call("CreatePolicy", send).await.map(drop)
    }

    /// Makes a policy unless there is one of this name, which is compared as JSON and left as it is.
    ///
    /// # Errors
    /// When AWS refuses it.
    pub async fn ensure_policy(
        &self,
        name: &str,
        document: &str,
    ) -> Result<PolicyState, CloudError> {
        let existing = match self.policy(name).await? {
            Some(existing) => existing,
            None => match self.make_policy(name, document).await {
                Ok(()) => return Ok(PolicyState::Made),
                // Another run was faster, or the answer to an earlier attempt was lost on the way.
                Err(error) if error.is("ResourceAlreadyExistsException") => {
                    match self.policy(name).await? {
                        Some(existing) => existing,
                        None => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            },
        };
        Ok(match same_json(&existing.document, document) {
            true => PolicyState::Same,
            false => PolicyState::Other,
        })
    }

    /// Names of all policies, in the order of the account.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn policies(&self) -> Result<Vec<String>, CloudError> {
        let policies = every_page(async |marker| {
            let send = || {
                let call = self.iot.list_policies().page_size(PAGE);
                call.set_marker(marker.clone()).send()
            };
            let answer = self.call("ListPolicies", send).await?;
            Ok((names(answer.policies), answer.next_marker))
        });
        policies.await
    }

    /// Names of the policies attached to a certificate or thing group, in alphabetical order.
    ///
    /// # Errors
    /// When there is no such target.
    pub async fn attached_policies(&self, target: &str) -> Result<Vec<String>, CloudError> {
        let policies = every_page(async |marker| {
            let send = || {
                let call = self.iot.list_attached_policies().target(target);
                call.page_size(PAGE).set_marker(marker.clone()).send()
            };
            let answer = self.call("ListAttachedPolicies", send).await?;
            Ok((names(answer.policies), answer.next_marker))
        });
        let mut policies = policies.await?;
        policies.sort_unstable();
        Ok(policies)
    }

    /// ARNs of everything a policy is attached to.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if there is no such policy.
    pub async fn targets_of_policy(&self, policy: &str) -> Result<Vec<String>, CloudError> {
        let targets = every_page(async |marker| {
            let send = || {
                let call = self.iot.list_targets_for_policy().policy_name(policy);
                call.page_size(PAGE).set_marker(marker.clone()).send()
            };
            let answer = self.call("ListTargetsForPolicy", send).await?;
            Ok((answer.targets.unwrap_or_default(), answer.next_marker))
        });
        targets.await
    }

    /// Attaches a policy to a certificate or thing group; twice is once.
    ///
    /// # Errors
    /// When either does not exist, or the target has as many policies as it may.
    pub async fn attach_policy(&self, policy: &str, target: &str) -> Result<(), CloudError> {
        let send = || {
            let call = self.iot.attach_policy().policy_name(policy);
            call.target(target).send()
        };
        self.call("AttachPolicy", send).await.map(drop)
    }

    /// Detaches a policy; what is not attached is detached already.
    ///
    /// # Errors
    /// When the call fails for another reason than that there is nothing to detach.
    pub async fn detach_policy(&self, policy: &str, target: &str) -> Result<(), CloudError> {
        let send = || {
            let call = self.iot.detach_policy().policy_name(policy);
            call.target(target).send()
        };
        match self.call("DetachPolicy", send).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Deletes a policy with all its versions; one that does not exist is deleted already.
    ///
    /// # Errors
    /// When it is attached to something, which AWS may believe for up to five minutes after it was
    /// detached (API reference, "DeletePolicy").
    pub async fn delete_policy(&self, name: &str) -> Result<(), CloudError> {
        for version in self.other_versions(name).await? {
            let send = || {
                let call = self.iot.delete_policy_version().policy_name(name);
                call.policy_version_id(&version).send()
            };
            match self.call("DeletePolicyVersion", send).await {
                Err(error) if error.is_not_found() => {}
                other => drop(other?),
            }
        }
        let send = || self.iot.delete_policy().policy_name(name).send();
        match self.call("DeletePolicy", send).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Ids of the versions that are not the default, which must go before the policy can.
    pub(crate) async fn other_versions(&self, name: &str) -> Result<Vec<String>, CloudError> {
        let send = || self.iot.list_policy_versions().policy_name(name).send();
        let answer = match self.call("ListPolicyVersions", send).await {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            other => other?,
        };
        let versions = answer.policy_versions.unwrap_or_default().into_iter();
        Ok(versions
            .filter(|version| !version.is_default_version)
            .filter_map(|version| version.version_id)
            .collect())
    }
}

fn names(policies: Option<Vec<aws_sdk_iot::types::Policy>>) -> Vec<String> {
    let policies = policies.unwrap_or_default().into_iter();
    policies.filter_map(|policy| policy.policy_name).collect()
}
