//! Functions of AWS Lambda: as they are, as they are to be, and gone; and the permission of a hook.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{self, Architecture, LastUpdateStatus, Runtime, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::roles::{Found, gone};
use super::{OWNER, once_role_is_known};
use crate::call::back_off;
use crate::{Cloud, CloudError};

/// Statement of the function's policy that lets AWS IoT call it.
const STATEMENT: &str = "iot-provisioning";
/// How long a new or changed function may take until it can be called.
const SETTLING: Duration = Duration::from_secs(120);

/// A function as it is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedFunction<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) role_arn: &'a str,
    /// Its zip file.
    pub(crate) package: &'a [u8],
    /// `x86_64` or `arm64`.
    pub(crate) architecture: &'a str,
    pub(crate) runtime: &'a str,
    pub(crate) handler: &'a str,
    /// How long it may run.
    pub(crate) seconds: i32,
    pub(crate) megabytes: i32,
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// The environment it belongs to.
    pub(crate) owner: &'a str,
}

impl WantedFunction<'_> {
    fn code_differs(&self, present: &types::FunctionConfiguration) -> bool {
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, self.package));
        let architectures = present.architectures.as_deref().unwrap_or_default();
        present.code_sha256.as_deref() != Some(hash.as_str())
            || !architectures
                .iter()
                .map(Architecture::as_str)
                .eq([self.architecture])
    }

    fn settings_differ(&self, present: &types::FunctionConfiguration) -> bool {
        let variables = present.environment.as_ref();
        let variables = variables.and_then(|environment| environment.variables.as_ref());
        let same_variables = match variables {
            Some(found) => {
                found.len() == self.variables.len()
                    && self
                        .variables
                        .iter()
                        .all(|(name, value)| found.get(name) == Some(value))
            }
            None => self.variables.is_empty(),
        };
        present.role.as_deref() != Some(self.role_arn)
            || present.runtime.as_ref().map(Runtime::as_str) != Some(self.runtime)
            || present.handler.as_deref() != Some(self.handler)
            || present.memory_size != Some(self.megabytes)
            || present.timeout != Some(self.seconds)
            || !same_variables
    }

    fn variables(&self) -> types::Environment {
        let variables = self.variables.clone().into_iter().collect();
        types::Environment::builder()
            .set_variables(Some(variables))
            .build()
    }
}

impl Cloud {
    /// How the function stands to what it is to be.
    pub(crate) async fn function_state(
        &self,
        wanted: &WantedFunction<'_>,
    ) -> Result<Found, CloudError> {
        let Some((present, owner)) = self.function(wanted.name).await? else {
            return Ok(Found::nothing());
        };
        Ok(Found::with(
            owner.as_deref() == Some(wanted.owner),
            &[
                ("code", wanted.code_differs(&present)),
                ("settings", wanted.settings_differ(&present)),
            ],
        ))
    }

    /// Makes the function, or brings the one of this name into line, and waits until it can be called.
    pub(crate) async fn bring_function(
        &self,
        wanted: &WantedFunction<'_>,
    ) -> Result<(), CloudError> {
        let Some((present, _)) = self.function(wanted.name).await? else {
            once_role_is_known(async || self.make_function(wanted).await).await?;
            return self.function_settled(wanted.name).await;
        };
        if wanted.code_differs(&present) {
            let send = || {
                let call = self.lambda().update_function_code();
                call.function_name(wanted.name)
                    .zip_file(Blob::new(wanted.package.to_vec()))
                    .architectures(Architecture::from(wanted.architecture))
                    .send()
            };
            self.call("UpdateFunctionCode", send).await?;
            self.function_settled(wanted.name).await?;
        }
        if wanted.settings_differ(&present) {
            once_role_is_known(async || {
                let send = || {
                    let call = self.lambda().update_function_configuration();
                    call.function_name(wanted.name)
                        .role(wanted.role_arn)
                        .runtime(Runtime::from(wanted.runtime))
                        .handler(wanted.handler)
                        .timeout(wanted.seconds)
                        .memory_size(wanted.megabytes)
                        .description(wanted.description)
                        .environment(wanted.variables())
                        .send()
                };
                self.call("UpdateFunctionConfiguration", send)
                    .await
                    .map(drop)
            })
            .await?;
            self.function_settled(wanted.name).await?;
        }
        Ok(())
    }

    async fn make_function(&self, wanted: &WantedFunction<'_>) -> Result<(), CloudError> {
        let send = || {
            let code = types::FunctionCode::builder()
                .zip_file(Blob::new(wanted.package.to_vec()))
                .build();
            let call = self.lambda().create_function().function_name(wanted.name);
            call.description(wanted.description)
                .code(code)
                .runtime(Runtime::from(wanted.runtime))
                .handler(wanted.handler)
                .role(wanted.role_arn)
                .architectures(Architecture::from(wanted.architecture))
                .timeout(wanted.seconds)
                .memory_size(wanted.megabytes)
                .environment(wanted.variables())
                .tags(OWNER, wanted.owner)
                .send()
        };
        match self.call("CreateFunction", send).await {
            // The answer to an earlier attempt was lost on the way.
            Err(error) if error.is("ResourceConflictException") => {
                match self.function(wanted.name).await? {
                    Some((_, owner)) if owner.as_deref() == Some(wanted.owner) => Ok(()),
                    _ => Err(error),
                }
            }
            other => other.map(drop),
        }
    }

    /// How the permission of AWS IoT stands to what it is to be.
    pub(crate) async fn permission_state(
        &self,
        function: &str,
        wanted: &Value,
        environment: &str,
    ) -> Result<Found, CloudError> {
        let Some((_, owner)) = self.function(function).await? else {
            return Ok(Found::nothing());
        };
        let Some(statement) = self.permission(function).await? else {
            return Ok(Found::nothing());
        };
        let says = |pointer: &str| statement.pointer(pointer).cloned().unwrap_or_default();
        let ours = owner.as_deref() == Some(environment);
        Ok(Found::with(
            ours,
            &[
                (
                    "principal",
                    says("/Principal/Service") != wanted["Principal"],
                ),
                ("action", says("/Action") != wanted["Action"]),
                (
                    "source account",
                    says("/Condition/StringEquals/AWS:SourceAccount") != wanted["SourceAccount"],
                ),
                (
                    "source ARN",
                    says("/Condition/ArnLike/AWS:SourceArn") != wanted["SourceArn"],
                ),
            ],
        ))
    }

    /// Gives AWS IoT the permission, in place of what the statement said before.
    pub(crate) async fn bring_permission(
        &self,
        function: &str,
        wanted: &Value,
    ) -> Result<(), CloudError> {
        if self.permission(function).await?.is_some() {
            let send = || {
                let call = self.lambda().remove_permission().function_name(function);
                call.statement_id(STATEMENT).send()
            };
            gone(self.call("RemovePermission", send).await)?;
        }
        let member = |name: &str| wanted[name].as_str().unwrap_or_default();
        let send = || {
            let call = self.lambda().add_permission().function_name(function);
            call.statement_id(STATEMENT)
                .action(member("Action"))
                .principal(member("Principal"))
                .source_account(member("SourceAccount"))
                .source_arn(member("SourceArn"))
                .send()
        };
        match self.call("AddPermission", send).await {
            // The answer to an earlier attempt was lost on the way.
            Err(error) if error.is("ResourceConflictException") => Ok(()),
            other => other.map(drop),
        }
    }

    /// Deletes the function with its permissions; one that does not exist is deleted already.
    pub(crate) async fn delete_function(&self, name: &str) -> Result<(), CloudError> {
        let send = || self.lambda().delete_function().function_name(name).send();
        gone(self.call("DeleteFunction", send).await)
    }

    /// The environment that a function is tagged as belonging to: outer `None` if there is no such function.
    pub(crate) async fn owner_of_function(
        &self,
        name: &str,
    ) -> Result<Option<Option<String>>, CloudError> {
        Ok(self.function(name).await?.map(|(_, owner)| owner))
    }

    /// The function of a name, and the environment it is tagged as belonging to.
    async fn function(
        &self,
        name: &str,
    ) -> Result<Option<(types::FunctionConfiguration, Option<String>)>, CloudError> {
        let send = || self.lambda().get_function().function_name(name).send();
        let answer = match self.call("GetFunction", send).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let owner = answer.tags.and_then(|mut tags| tags.remove(OWNER));
        let present = answer.configuration;
        let present =
            present.ok_or_else(|| CloudError::incomplete("GetFunction", "Configuration"))?;
        Ok(Some((present, owner)))
    }

    async fn permission(&self, function: &str) -> Result<Option<Value>, CloudError> {
        let send = || self.lambda().get_policy().function_name(function).send();
        let answer = match self.call("GetPolicy", send).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let policy: Value = serde_json::from_str(answer.policy.as_deref().unwrap_or_default())
            .map_err(|error| CloudError::Incomprehensible {
                operation: "GetPolicy",
                reason: error.to_string(),
            })?;
        let statements = policy["Statement"].as_array().cloned().unwrap_or_default();
        Ok(statements.into_iter().find(|one| one["Sid"] == STATEMENT))
    }

    /// Waits until a function that was made or changed can be called, and changed again.
    async fn function_settled(&self, name: &str) -> Result<(), CloudError> {
        let (start, mut attempt) = (Instant::now(), 0);
        loop {
            let Some((present, _)) = self.function(name).await? else {
                return Err(CloudError::incomplete("GetFunction", "the function"));
            };
            let failed = present.state == Some(State::Failed)
                || present.last_update_status == Some(LastUpdateStatus::Failed);
            let pending = present.state == Some(State::Pending)
                || present.last_update_status == Some(LastUpdateStatus::InProgress);
            let reason = present.last_update_status_reason.or(present.state_reason);
            if failed || start.elapsed() > SETTLING {
                return Err(CloudError::Incomprehensible {
                    operation: "GetFunction",
                    reason: format!(
                        "the function {name} does not become ready: {}",
                        reason.as_deref().unwrap_or("no reason is told")
                    ),
                });
            }
            if !pending {
                return Ok(());
            }
            attempt += 1;
            tokio::time::sleep(back_off(attempt)).await;
        }
    }
}
