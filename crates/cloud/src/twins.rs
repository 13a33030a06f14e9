//! Registered CAs that have the same subject: AWS takes ten of them, and re-made test CAs get there.

use futures::{StreamExt, TryStreamExt, stream};
use jitp_core::certificate::Certificate;

use crate::{Cloud, CloudError, RegisteredCa};

impl Cloud {
    /// Every registered CA, the oldest first.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn registered_cas(&self) -> Result<Vec<RegisteredCa>, CloudError> {
        let ids = self.registered_ca_ids().await?;
        stream::iter(ids)
            .map(async |id| self.registered_ca(&id).await)
            .buffered(AT_ONCE)
            .try_filter_map(async |ca| Ok(ca))
            .try_collect()
            .await
    }

    /// Ids of the registered CAs that have the same subject as this one, itself left out.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn twins(&self, ca: &Certificate) -> Result<Vec<String>, CloudError> {
        let mut twins = Vec::new();
        for registered in self.registered_cas().await? {
            let is_twin = registered.certificate().is_ok_and(|other| {
                other.subject_der() == ca.subject_der() && other.id() != ca.id()
            });
            if is_twin {
                twins.push(registered.certificate_id);
            }
        }
        Ok(twins)
    }
}

/// CAs that are asked for together.
const AT_ONCE: usize = 4;
