//! Things, types, groups and policies that a registration template may name.

use crate::{Cloud, CloudError};

/// Turns "does not exist" into `false`.
fn exists<T>(answer: Result<T, CloudError>) -> Result<bool, CloudError> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

impl Cloud {
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
