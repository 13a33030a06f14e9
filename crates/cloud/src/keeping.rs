//! What must not be taken away lightly: tagged resources, policies that templates name, CAs that let devices back in.

use std::collections::HashSet;

use aws_sdk_iot::types::Tag;
use jitp_core::failure::Classified;
use jitp_core::template::Template;

use crate::call::every_page;
use crate::{Cloud, CloudError, RegistrationConfig};

/// Key of the tag, and name of the thing attribute, that protects a resource from `sweep`.
pub const KEEP: &str = "keep";

impl Cloud {
    /// Whether a resource has the tag `keep`, with whatever value. Kinds that AWS cannot tag have none.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn is_tagged_keep(&self, arn: &str) -> Result<bool, CloudError> {
        let tags = self.tags_of(arn).await?;
        Ok(tags.iter().any(|tag| tag.key == KEEP))
    }

    /// The tags of a resource; none of what does not exist, or of a kind that AWS cannot tag.
    pub(crate) async fn tags_of(&self, arn: &str) -> Result<Vec<Tag>, CloudError> {
        let tags = every_page(async |token| {
            let send = || {
                let call = self.iot.list_tags_for_resource().resource_arn(arn);
                call.set_next_token(token.clone()).send()
            };
            let answer = self.call("ListTagsForResource", send).await?;
            Ok((answer.tags.unwrap_or_default(), answer.next_token))
        });
        match tags.await {
            Err(error) if error.is_not_found() || error.is("InvalidRequestException") => {
                Ok(Vec::new())
            }
            other => other,
        }
    }

    /// Whether the CA is ACTIVE and registers unknown certificates: then a device whose certificate was
    /// deleted gets in again with its next connection. Asked once for each CA.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn is_auto_registering(&self, ca_certificate_id: &str) -> Result<bool, CloudError> {
        if let Some(known) = self.known_ca(ca_certificate_id, None) {
            return Ok(known);
        }
        let ca = self.registered_ca(ca_certificate_id).await?;
        let answer = ca.is_some_and(|ca| ca.active && ca.auto_registration);
        self.known_ca(ca_certificate_id, Some(answer));
        Ok(answer)
    }

    fn known_ca(&self, id: &str, answer: Option<bool>) -> Option<bool> {
        let lock = self.auto_registering.lock();
        let mut known = lock.unwrap_or_else(|poisoned| poisoned.into_inner());
        match answer {
            Some(answer) => known.insert(id.to_owned(), answer),
            None => known.get(id).copied(),
        }
    }

    /// Names of the policies that registration templates of CAs and provisioning templates name. A first
    /// connection fails without them, also while nothing is attached to them.
    ///
    /// # Errors
    /// When a template cannot be read: what it names is then not known.
    pub async fn policies_of_templates(&self) -> Result<HashSet<String>, CloudError> {
        let mut bodies = Vec::new();
        for id in self.registered_ca_ids().await? {
            let ca = self.registered_ca(&id).await?;
            if let Some(RegistrationConfig::Body { template_body, .. }) =
                ca.and_then(|ca| ca.registration_config)
            {
                bodies.push(("RegisterCACertificate", template_body));
            }
        }
        for summary in self.provisioning_templates().await? {
            if let Some(template) = self.provisioning_template(&summary.name).await? {
                bodies.push(("DescribeProvisioningTemplate", template.body));
            }
        }
        let mut names = HashSet::new();
        for (operation, body) in bodies {
            let template =
                Template::parse(&body).map_err(|error| CloudError::Incomprehensible {
                    operation,
                    reason: format!(
                        "a registered template cannot be read: {error} ({})",
                        error.code()
                    ),
                })?;
            names.extend(template.named_policies());
        }
        Ok(names)
    }
}
