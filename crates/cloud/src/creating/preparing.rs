//! What must be there before a thing is created: its CA registered, its policy.

use jitp_core::names::ThingName;

use super::{Creation, CreationError, Policy, Source};
use crate::Cloud;
use crate::deleting::own_policy;
use crate::policies::PolicyState;

impl Cloud {
    /// Sees, once for any number of things, that their CA is registered and their policy exists; a shared
    /// policy is made. Answers a warning where the account's policy says something else than the document.
    ///
    /// # Errors
    /// When something is missing that creating a thing does not make.
    pub async fn prepare_creation(
        &self,
        creation: &Creation<'_>,
    ) -> Result<Option<String>, CreationError> {
        if let Source::OwnCa { ca, .. } = creation.source {
            let id = ca.certificate().id().as_str();
            let registered = self.registered_ca(id).await?;
            let subject = ca.certificate().subject_line();
            match registered {
                None => return Err(CreationError::CaNotRegistered { subject }),
                Some(found) if !found.active => {
                    let id = id.to_owned();
                    return Err(CreationError::CaNotActive { subject, id });
                }
                Some(_) => {}
            }
        }
        match creation.policy {
            Policy::Existing(name) => match self.policy_exists(name).await? {
                true => Ok(None),
                false => Err(CreationError::NoPolicy(name.to_owned())),
            },
            Policy::Shared { name, document } => self.ensure_document(name, document).await,
            Policy::Own(_) => Ok(None),
        }
    }

    /// The name of the policy to attach; a thing's own is made.
    pub(super) async fn policy_for(
        &self,
        thing: &ThingName,
        policy: Policy<'_>,
    ) -> Result<String, CreationError> {
        match policy {
            Policy::Existing(name) | Policy::Shared { name, .. } => Ok(name.to_owned()),
            Policy::Own(document) => {
                let name = own_policy(thing.as_str());
                let document = document.replace(THING_NAME_VARIABLE, thing.as_str());
                if let Some(warning) = self.ensure_document(&name, &document).await? {
                    tracing::warn!("{warning}");
                }
                Ok(name)
            }
        }
    }

    /// Makes a policy unless there is one of this name; a warning if that says something else.
    async fn ensure_document(
        &self,
        name: &str,
        document: &str,
    ) -> Result<Option<String>, CreationError> {
        let other = self.ensure_policy(name, document).await? == PolicyState::Other;
        Ok(other.then(|| {
            format!("the account's policy {name} says something else than this toolkit's; it is left as it is")
        }))
    }
}

/// What stands for the thing's name in the documents under `policies/`.
const THING_NAME_VARIABLE: &str = "${iot:Connection.Thing.ThingName}";
