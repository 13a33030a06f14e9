//! IAM roles of an environment: as they are, as they are to be, and gone.

use aws_sdk_iam::types;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::OWNER;
use crate::call::every_page;
use crate::templating::{Change, same_json};
use crate::{Cloud, CloudError};

/// A role as it is to be: with exactly these policies.
#[derive(Clone, Debug)]
pub(crate) struct WantedRole<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) trust: &'a Value,
    /// ARNs of its managed policies.
    pub(crate) managed: Vec<String>,
    /// Names and documents of its inline policies.
    pub(crate) inline: Vec<(&'a str, &'a Value)>,
    /// The environment it belongs to.
    pub(crate) owner: &'a str,
}

/// What is there under a name.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// What bringing it into line takes.
    pub(crate) change: Change,
    /// Whether it is tagged as this environment's.
    pub(crate) ours: bool,
    /// What is otherwise than it is to be.
    pub(crate) differences: Vec<&'static str>,
}

impl Found {
    pub(crate) fn nothing() -> Self {
        Self {
            change: Change::Created,
            ours: false,
            differences: Vec::new(),
        }
    }

    pub(crate) fn with(ours: bool, differs: &[(&'static str, bool)]) -> Self {
        let differences = differs.iter().filter(|(_, differs)| *differs);
        let differences: Vec<&str> = differences.map(|(what, _)| *what).collect();
        Self {
            change: match differences.is_empty() {
                true => Change::Unchanged,
                false => Change::Updated,
            },
            ours,
            differences,
        }
    }
}

/// A role as it is.
struct Present {
    trust: String,
    tags: Vec<types::Tag>,
    managed: Vec<String>,
    inline: Vec<(String, String)>,
}

impl Cloud {
    /// How a role stands to what it is to be.
    pub(crate) async fn role_state(&self, wanted: &WantedRole<'_>) -> Result<Found, CloudError> {
        let Some(present) = self.role(wanted.name).await? else {
            return Ok(Found::nothing());
        };
        let same = |(name, document): &(&str, &Value)| {
            let mut found = present.inline.iter();
            found.any(|(known, text)| known == name && same_json(text, &document.to_string()))
        };
        let inline = present.inline.len() == wanted.inline.len() && wanted.inline.iter().all(same);
        let managed = present.managed.len() == wanted.managed.len()
            && wanted
                .managed
                .iter()
                .all(|arn| present.managed.contains(arn));
        Ok(Found::with(
            owner(&present.tags) == Some(wanted.owner),
            &[
                (
                    "trust",
                    !same_json(&present.trust, &wanted.trust.to_string()),
                ),
                ("managed policies", !managed),
                ("inline policies", !inline),
            ],
        ))
    }

    /// Makes a role, or brings the one of this name into line; what an interrupted run began is finished.
    pub(crate) async fn bring_role(&self, wanted: &WantedRole<'_>) -> Result<(), CloudError> {
        let name = wanted.name;
        if self.role(name).await?.is_none() {
            let tag = iam_tag(OWNER, wanted.owner)?;
            let send = || {
                let call = self.iam().create_role().role_name(name).tags(tag.clone());
                call.description(wanted.description)
                    .assume_role_policy_document(wanted.trust.to_string())
                    .send()
            };
            self.call("CreateRole", send).await?;
        }
        let Some(present) = self.role(name).await? else {
            return Err(CloudError::incomplete("GetRole", "the role"));
        };
        if !same_json(&present.trust, &wanted.trust.to_string()) {
            let send = || {
                let call = self.iam().update_assume_role_policy().role_name(name);
                call.policy_document(wanted.trust.to_string()).send()
            };
            self.call("UpdateAssumeRolePolicy", send).await?;
        }
        for arn in present
            .managed
            .iter()
            .filter(|arn| !wanted.managed.contains(arn))
        {
            self.detach_role_policy(name, arn).await?;
        }
        for arn in wanted
            .managed
            .iter()
            .filter(|arn| !present.managed.contains(arn))
        {
            let send = || {
                let call = self.iam().attach_role_policy().role_name(name);
                call.policy_arn(arn).send()
            };
            self.call("AttachRolePolicy", send).await?;
        }
        let kept = |policy: &str| wanted.inline.iter().any(|(name, _)| *name == policy);
        for (policy, _) in present.inline.iter().filter(|(policy, _)| !kept(policy)) {
            self.delete_inline_policy(name, policy).await?;
        }
        for (policy, document) in &wanted.inline {
            let send = || {
                let call = self.iam().put_role_policy().role_name(name);
                call.policy_name(*policy)
                    .policy_document(document.to_string())
                    .send()
            };
            self.call("PutRolePolicy", send).await?;
        }
        Ok(())
    }

    /// Deletes a role with what is attached to it; one that does not exist is deleted already.
    pub(crate) async fn delete_role(&self, name: &str) -> Result<(), CloudError> {
        let Some(present) = self.role(name).await? else {
            return Ok(());
        };
        for arn in &present.managed {
            self.detach_role_policy(name, arn).await?;
        }
        for (policy, _) in &present.inline {
            self.delete_inline_policy(name, policy).await?;
        }
        let send = || self.iam().delete_role().role_name(name).send();
        gone(self.call("DeleteRole", send).await)
    }

    /// The environment that a role is tagged as belonging to: outer `None` if there is no such role.
    pub(crate) async fn owner_of_role(
        &self,
        name: &str,
    ) -> Result<Option<Option<String>>, CloudError> {
        let present = self.role(name).await?;
        Ok(present.map(|present| owner(&present.tags).map(ToOwned::to_owned)))
    }

    /// A tag of a role.
    pub(crate) async fn role_tag(
        &self,
        name: &str,
        key: &str,
    ) -> Result<Option<String>, CloudError> {
        let present = self.role(name).await?;
        let tags = present.map(|present| present.tags).unwrap_or_default();
        let tag = tags.into_iter().find(|tag| tag.key == key);
        Ok(tag.map(|tag| tag.value))
    }

    /// Tags a role, in place of what this key said before.
    pub(crate) async fn tag_role(
        &self,
        name: &str,
        key: &str,
        value: &str,
    ) -> Result<(), CloudError> {
        let tag = iam_tag(key, value)?;
        let send = || {
            self.iam()
                .tag_role()
                .role_name(name)
                .tags(tag.clone())
                .send()
        };
        self.call("TagRole", send).await.map(drop)
    }

    async fn role(&self, name: &str) -> Result<Option<Present>, CloudError> {
        let send = || self.iam().get_role().role_name(name).send();
        let role = match self.call("GetRole", send).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?.role,
        };
        let role = role.ok_or_else(|| CloudError::incomplete("GetRole", "Role"))?;
        let managed = every_page(async |marker| {
            let send = || {
                let call = self.iam().list_attached_role_policies().role_name(name);
                call.set_marker(marker.clone()).send()
            };
            let answer = self.call("ListAttachedRolePolicies", send).await?;
            let page = answer.attached_policies.unwrap_or_default().into_iter();
            Ok((
                page.filter_map(|policy| policy.policy_arn).collect(),
                answer.marker,
            ))
        });
        let managed = managed.await?;
        let names = every_page(async |marker| {
            let send = || {
                let call = self.iam().list_role_policies().role_name(name);
                call.set_marker(marker.clone()).send()
            };
            let answer = self.call("ListRolePolicies", send).await?;
            Ok((answer.policy_names, answer.marker))
        });
        let mut inline = Vec::new();
        for policy in names.await? {
            let send = || {
                let call = self.iam().get_role_policy().role_name(name);
                call.policy_name(&policy).send()
            };
            let answer = self.call("GetRolePolicy", send).await?;
            inline.push((policy, decoded(&answer.policy_document)));
        }
        Ok(Some(Present {
            trust: decoded(
                role.assume_role_policy_document
                    .as_deref()
                    .unwrap_or_default(),
            ),
            tags: role.tags.unwrap_or_default(),
            managed,
            inline,
        }))
    }

    async fn detach_role_policy(&self, name: &str, arn: &str) -> Result<(), CloudError> {
        let send = || {
            let call = self.iam().detach_role_policy().role_name(name);
            call.policy_arn(arn).send()
        };
        gone(self.call("DetachRolePolicy", send).await)
    }

    async fn delete_inline_policy(&self, name: &str, policy: &str) -> Result<(), CloudError> {
        let send = || {
            let call = self.iam().delete_role_policy().role_name(name);
            call.policy_name(policy).send()
        };
        gone(self.call("DeleteRolePolicy", send).await)
    }
}

pub(crate) fn gone<T>(answer: Result<T, CloudError>) -> Result<(), CloudError> {
    match answer {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}

fn owner(tags: &[types::Tag]) -> Option<&str> {
    let tag = tags.iter().find(|tag| tag.key == OWNER);
    tag.map(|tag| tag.value.as_str())
}

fn iam_tag(key: &str, value: &str) -> Result<types::Tag, CloudError> {
    let tag = types::Tag::builder().key(key).value(value).build();
    tag.map_err(|error| CloudError::Incomprehensible {
        operation: "TagRole",
        reason: error.to_string(),
    })
}

/// Documents come percent-encoded (IAM API reference, "GetRole").
fn decoded(document: &str) -> String {
    percent_decode_str(document)
        .decode_utf8_lossy()
        .into_owned()
}
