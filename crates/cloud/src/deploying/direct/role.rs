//! `AWS::IAM::Role`.

use jitp_stack::Made;

use super::properties::Properties;
use super::{DeployError, Direct, Present};
use crate::environment::once_role_is_known;
use crate::environment::roles::WantedRole;

impl Direct<'_> {
    pub(super) async fn role(&self, properties: &Properties<'_>) -> Result<Present, DeployError> {
        let wanted = self.wanted_role(properties)?;
        let arn = format!(
            "arn:{}:iam::{}:role/{}",
            self.place.partition, self.place.account, wanted.name
        );
        Ok(Present {
            name: wanted.name.to_owned(),
            made: Made {
                reference: wanted.name.to_owned(),
                attributes: [("Arn".to_owned(), arn)].into(),
            },
            found: self.cloud.role_state(&wanted).await?,
        })
    }

    pub(super) async fn bring_role(&self, properties: &Properties<'_>) -> Result<(), DeployError> {
        let wanted = self.wanted_role(properties)?;
        Ok(self.cloud.bring_role(&wanted).await?)
    }

    fn wanted_role<'a>(
        &'a self,
        properties: &Properties<'a>,
    ) -> Result<WantedRole<'a>, DeployError> {
        properties.known(&[
            "RoleName",
            "Description",
            "AssumeRolePolicyDocument",
            "ManagedPolicyArns",
            "Policies",
        ])?;
        let trust = properties.get("AssumeRolePolicyDocument");
        let inline = properties.list("Policies")?.iter().map(|policy| {
            let policy = Properties::new(properties.id(), policy);
            let document = policy.get("PolicyDocument");
            let document = document.ok_or_else(|| policy.wrong("PolicyDocument", "a policy"))?;
            Ok((policy.text("PolicyName")?, document))
        });
        let managed = properties.texts("ManagedPolicyArns")?.into_iter();
        Ok(WantedRole {
            name: properties.text("RoleName")?,
            description: properties.optional_text("Description")?.unwrap_or_default(),
            trust: trust.ok_or_else(|| properties.wrong("AssumeRolePolicyDocument", "a policy"))?,
            managed: managed.map(str::to_owned).collect(),
            inline: inline.collect::<Result<_, DeployError>>()?,
            owner: self.name,
        })
    }

    /// Makes a call of a service that is given a role, which it may not know yet.
    pub(super) async fn once_role_is_known(
        &self,
        call: impl AsyncFn() -> Result<(), crate::CloudError>,
    ) -> Result<(), DeployError> {
        Ok(once_role_is_known(call).await?)
    }
}
