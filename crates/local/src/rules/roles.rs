//! Whether the role of an action lets the service do it: decided once, until the role changes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::account::permissions::{Behalf, may_assume, may_do, role_of_arn};
use crate::account::{Role, State};

/// Verdicts remembered.
const MOST: usize = 1024;

/// The verdicts asked for last.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    known: HashMap<String, (Arc<Role>, Result<(), String>)>,
    key: String,
}

impl Verdicts {
    /// Whether a role lets the service do an action on a resource, on behalf of a rule; the role's id.
    ///
    /// # Errors
    /// A sentence why not.
    pub(super) fn ask(
        &mut self,
        state: &State,
        role_arn: &str,
        action: &str,
        resource: &str,
        behalf: &Behalf<'_>,
    ) -> Result<Arc<Role>, String> {
        let Some(role) = role_of_arn(state, role_arn) else {
            return Err(format!("there is no role {role_arn}"));
        };
        self.key.clear();
        for part in [role_arn, action, resource, behalf.source_arn] {
            self.key.push_str(part);
            self.key.push('\n');
        }
        let known = self.known.get(&self.key);
        let known = known.filter(|(of, _)| Arc::ptr_eq(of, &role));
        let verdict = match known {
            Some((_, verdict)) => verdict.clone(),
            None => {
                let verdict = may_assume(&role, behalf)
                    .and_then(|()| may_do(&role, action, resource, behalf));
                if self.known.len() >= MOST {
                    self.known.clear();
                }
                let kept = (Arc::clone(&role), verdict.clone());
                self.known.insert(self.key.clone(), kept);
                verdict
            }
        };
        verdict.map(|()| role)
    }
}
