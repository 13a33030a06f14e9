//! `AWS::IoT::Policy`.

use jitp_stack::Made;

use super::properties::Properties;
use super::{DeployError, Direct, Present};

impl Direct<'_> {
    pub(super) async fn policy(&self, properties: &Properties<'_>) -> Result<Present, DeployError> {
        let (name, document) = name_and_document(properties)?;
        let arn = self.place.arn("iot", &format!("policy/{name}"));
        let attributes = [("Arn", arn), ("Id", name.to_owned())];
        Ok(Present {
            name: name.to_owned(),
            made: Made {
                reference: name.to_owned(),
                attributes: attributes
                    .map(|(name, value)| (name.to_owned(), value))
                    .into(),
            },
            found: self.cloud.policy_state(name, &document, self.name).await?,
        })
    }

    pub(super) async fn bring_policy(
        &self,
        properties: &Properties<'_>,
    ) -> Result<(), DeployError> {
        let (name, document) = name_and_document(properties)?;
        Ok(self.cloud.bring_policy(name, &document, self.name).await?)
    }
}

fn name_and_document<'a>(properties: &Properties<'a>) -> Result<(&'a str, String), DeployError> {
    properties.known(&["PolicyName", "PolicyDocument"])?;
    let document = properties.get("PolicyDocument");
    let document = document.ok_or_else(|| properties.wrong("PolicyDocument", "a policy"))?;
    let text = match document.as_str() {
        Some(text) => text.to_owned(),
        None => document.to_string(),
    };
    Ok((properties.text("PolicyName")?, text))
}
