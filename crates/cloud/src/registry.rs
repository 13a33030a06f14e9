//! Things, types, groups and policies that a registration template may name.

use jitp_core::failure::{Class, Classified};
use jitp_core::template::Template;

use crate::{Cloud, CloudError};

/// Why the things a template names could not be seen to exist.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// AWS refused, or did not answer.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// It does not exist in the account.
    #[error("the template names the {kind} {name}, which does not exist")]
    Named {
        /// `policy`, `thing type`, `thing group` or `billing group`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The command that makes it.
        remedy: String,
    },
}

impl Classified for Missing {
    fn class(&self) -> Class {
        match self {
            Self::Cloud(error) => error.class(),
            Self::Named { .. } => Class::NotFound,
        }
    }

    fn code(&self) -> String {
        match self {
            Self::Cloud(error) => error.code(),
            Self::Named { .. } => self.class().code().to_owned(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.hint(),
            Self::Named { remedy, .. } => Some(remedy.clone()),
        }
    }

    fn request_id(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.request_id(),
            Self::Named { .. } => None,
        }
    }
}

/// Turns "does not exist" into `false`.
fn exists<T>(answer: Result<T, CloudError>) -> Result<bool, CloudError> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

impl Cloud {
    /// Everything a template names outright must be there before the first device connects.
    pub(crate) async fn check_names(&self, template: &Template) -> Result<(), Missing> {
        self.check_names_but(template, &[]).await
    }

    /// The same, but for what is about to be made: names of policies, types and groups.
    pub(crate) async fn check_names_but(
        &self,
        template: &Template,
        about_to_be_made: &[&str],
    ) -> Result<(), Missing> {
        let is_to_be_there = |name: &String| !about_to_be_made.contains(&name.as_str());
        let missing = |kind, name: String, remedy: String| {
            let remedy = format!("make it: {remedy}");
            Err(Missing::Named { kind, name, remedy })
        };
        for name in template.named_policies().into_iter().filter(is_to_be_there) {
            if !self.policy_exists(&name).await? {
                let remedy = format!(
                    "aws iot create-policy --policy-name {name} --policy-document file://policies/{name}.json"
                );
                return missing("policy", name, remedy);
            }
        }
        for name in template.thing_types().into_iter().filter(is_to_be_there) {
            if !self.thing_type_exists(&name).await? {
                let remedy = format!("aws iot create-thing-type --thing-type-name {name}");
                return missing("thing type", name, remedy);
            }
        }
        for name in template.thing_groups().into_iter().filter(is_to_be_there) {
            if !self.thing_group_exists(&name).await? {
                let remedy = format!("aws iot create-thing-group --thing-group-name {name}");
                return missing("thing group", name, remedy);
            }
        }
        for name in template.billing_groups() {
            if !self.billing_group_exists(&name).await? {
                let remedy = format!("aws iot create-billing-group --billing-group-name {name}");
                return missing("billing group", name, remedy);
            }
        }
        Ok(())
    }

    /// Whether a policy of this name exists.
    ///
    /// # Errors
    /// When the call fails for another reason than that there is none.
    pub async fn policy_exists(&self, name: &str) -> Result<bool, CloudError> {
        let send = || self.iot.get_policy().policy_name(name).send();
        exists(self.call("GetPolicy", send).await)
    }

    /// Whether a thing type of this name exists.
    ///
    /// # Errors
    /// When the call fails for another reason than that there is none.
    pub async fn thing_type_exists(&self, name: &str) -> Result<bool, CloudError> {
        let send = || self.iot.describe_thing_type().thing_type_name(name).send();
        exists(self.call("DescribeThingType", send).await)
    }

    /// Whether a thing group of this name exists.
    ///
    /// # Errors
    /// When the call fails for another reason than that there is none.
    pub async fn thing_group_exists(&self, name: &str) -> Result<bool, CloudError> {
        let send = || {
            self.iot
                .describe_thing_group()
                .thing_group_name(name)
                .send()
        };
        exists(self.call("DescribeThingGroup", send).await)
    }

    /// Whether a billing group of this name exists.
    ///
    /// # Errors
    /// When the call fails for another reason than that there is none.
    pub async fn billing_group_exists(&self, name: &str) -> Result<bool, CloudError> {
        let send = || {
            self.iot
                .describe_billing_group()
                .billing_group_name(name)
                .send()
        };
        exists(self.call("DescribeBillingGroup", send).await)
    }
}
