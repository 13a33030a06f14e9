//! Standing an environment up: part by part, each compared first, in an order in which all that a part needs is there.

use super::EnvironmentError;
use super::documents::{Documents, Environment, Place, REGISTRATION_POLICY};
use super::function::WantedFunction;
use super::roles::{Found, WantedRole};
use super::things::new_template;
use crate::templating::Change;
use crate::{Cloud, CloudError};

/// A part of an environment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Part {
    /// The role that provisioning assumes.
    Role,
    /// The policy of the devices.
    DevicePolicy,
    /// Their thing group.
    ThingGroup,
    /// Their thing type.
    ThingType,
    /// The role of the hook.
    HookRole,
    /// The hook.
    Hook,
    /// The permission of AWS IoT to call it.
    HookPermission,
    /// The provisioning template.
    Template,
    /// The policy of the claims.
    ClaimPolicy,
    /// What the account publishes.
    Events,
}

impl Part {
    /// All parts of an environment, in their order.
    pub fn all(environment: &Environment) -> Vec<Self> {
        let hook = [Self::HookRole, Self::Hook, Self::HookPermission];
        let mut parts = vec![
            Self::Role,
            Self::DevicePolicy,
            Self::ThingGroup,
            Self::ThingType,
        ];
        parts.extend(hook.iter().filter(|_| environment.hook.is_some()));
        parts.extend([Self::Template, Self::ClaimPolicy, Self::Events]);
        parts
    }

    /// What it is, in words without spaces, for tables.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Role | Self::HookRole => "role",
            Self::DevicePolicy | Self::ClaimPolicy => "policy",
            Self::ThingGroup => "thing-group",
            Self::ThingType => "thing-type",
            Self::Hook => "function",
            Self::HookPermission => "function-permission",
            Self::Template => "template",
            Self::Events => "event-configurations",
        }
    }

    /// Its name.
    pub fn name(self, environment: &Environment) -> String {
        match self {
            Self::Role => environment.role.clone(),
            Self::DevicePolicy => environment.device_policy.clone(),
            Self::ThingGroup => environment.thing_group.clone(),
            Self::ThingType => environment.thing_type.clone(),
            Self::HookRole | Self::Hook | Self::HookPermission => environment.hook_name.clone(),
            Self::Template => environment.template.clone(),
            Self::ClaimPolicy => environment.claim_policy.clone(),
            Self::Events if environment.events.is_empty() => "-".to_owned(),
            Self::Events => environment.events.join(","),
        }
    }
}

/// How a part stands to what it is to be.
#[derive(Clone, Debug)]
pub struct PartState {
    /// What bringing it into line takes.
    pub change: Change,
    /// In what it differs.
    pub differences: Vec<&'static str>,
}

impl Cloud {
    /// Where the environment is made.
    ///
    /// # Errors
    /// When STS cannot be asked for the account.
    pub async fn place(&self) -> Result<Place, CloudError> {
        Ok(Place::new(self.region(), &self.account().await?))
    }

    /// How a part of an environment stands to what it is to be; changes nothing.
    ///
    /// # Errors
    /// When it is somebody else's and differs, or a call fails.
    pub async fn compare_part(
        &self,
        environment: &Environment,
        place: &Place,
        part: Part,
    ) -> Result<PartState, EnvironmentError> {
        let documents = Documents::of(environment, place)?;
        let owner = environment.template.as_str();
        let found: Found = match part {
            Part::Role => {
                let wanted = provisioning_role(environment, place, &documents);
                self.role_state(&wanted).await?
            }
            Part::HookRole => self.role_state(&hook_role(environment, &documents)).await?,
            Part::DevicePolicy => {
                let (name, document) = (&environment.device_policy, &documents.device_policy);
                self.policy_state(name, document, owner).await?
            }
            Part::ClaimPolicy => {
                let (name, document) = (&environment.claim_policy, &documents.claim_policy);
                self.policy_state(name, document, owner).await?
            }
            Part::ThingGroup => {
                let name = &environment.thing_group;
                let arn = place.arn("iot", &format!("thinggroup/{name}"));
                self.group_state(name, &arn, owner).await?
            }
            Part::ThingType => {
                let name = &environment.thing_type;
                let arn = place.arn("iot", &format!("thingtype/{name}"));
                self.type_state(environment, &arn).await?
            }
            Part::Hook => match function(environment, &role_arn(place, &environment.hook_name)) {
                Some(wanted) => self.function_state(&wanted).await?,
                None => Found::with(true, &[]),
            },
            Part::HookPermission => {
                let name = &environment.hook_name;
                self.permission_state(name, &documents.hook_permission, owner)
                    .await?
            }
            Part::Template => {
                self.check_body(environment, &documents.template).await?;
                let (role_arn, hook_arn) = arns(environment, place);
                let new = new_template(
                    environment,
                    &documents.template,
                    &role_arn,
                    hook_arn.as_deref(),
                );
                self.template_state(&new).await?
            }
            Part::Events => self.event_state(environment).await?,
        };
        if found.change == Change::Updated && !found.ours {
            return Err(EnvironmentError::NotOurs {
                kind: part.kind(),
                name: part.name(environment),
                differences: found.differences,
            });
        }
        Ok(PartState {
            change: found.change,
            differences: found.differences,
        })
    }

    /// Makes a part of an environment, or brings it into line; what is so already is left alone.
    ///
    /// # Errors
    /// As [`Cloud::compare_part`]; the next run goes on from there.
    pub async fn apply_part(
        &self,
        environment: &Environment,
        place: &Place,
        part: Part,
    ) -> Result<PartState, EnvironmentError> {
        let state = self.compare_part(environment, place, part).await?;
        if state.change == Change::Unchanged {
            return Ok(state);
        }
        let documents = Documents::of(environment, place)?;
        let owner = environment.template.as_str();
        match part {
            Part::Role => {
                let wanted = provisioning_role(environment, place, &documents);
                self.bring_role(&wanted).await?;
            }
            Part::HookRole => self.bring_role(&hook_role(environment, &documents)).await?,
            Part::DevicePolicy => {
                let (name, document) = (&environment.device_policy, &documents.device_policy);
                self.bring_policy(name, document, owner).await?;
            }
            Part::ClaimPolicy => {
                let (name, document) = (&environment.claim_policy, &documents.claim_policy);
                self.bring_policy(name, document, owner).await?;
            }
            Part::ThingGroup => {
                self.make_owned_group(&environment.thing_group, owner)
                    .await?
            }
            Part::ThingType => self.bring_type(environment).await?,
            Part::Hook => {
                let role_arn = role_arn(place, &environment.hook_name);
                if let Some(wanted) = function(environment, &role_arn) {
                    self.bring_function(&wanted).await?;
                }
            }
            Part::HookPermission => {
                let name = &environment.hook_name;
                self.bring_permission(name, &documents.hook_permission)
                    .await?;
            }
            Part::Template => {
                let (role_arn, hook_arn) = arns(environment, place);
                let new = new_template(
                    environment,
                    &documents.template,
                    &role_arn,
                    hook_arn.as_deref(),
                );
                self.bring_template(&new).await?;
            }
            Part::Events => self.bring_events(environment).await?,
        }
        Ok(state)
    }
}

fn provisioning_role<'a>(
    environment: &'a Environment,
    place: &Place,
    documents: &'a Documents,
) -> WantedRole<'a> {
    WantedRole {
        name: &environment.role,
        description: "Registers the devices of a fleet",
        trust: &documents.role_trust,
        managed: vec![format!("arn:{}:{REGISTRATION_POLICY}", place.partition)],
        inline: Vec::new(),
        owner: &environment.template,
    }
}

fn hook_role<'a>(environment: &'a Environment, documents: &'a Documents) -> WantedRole<'a> {
    WantedRole {
        name: &environment.hook_name,
        description: "The pre-provisioning hook of a fleet",
        trust: &documents.hook_trust,
        managed: Vec::new(),
        inline: vec![(&environment.hook_name, &documents.hook_policy)],
        owner: &environment.template,
    }
}

fn function<'a>(environment: &'a Environment, role_arn: &'a str) -> Option<WantedFunction<'a>> {
    let hook = environment.hook.as_ref()?;
    Some(WantedFunction {
        name: &environment.hook_name,
        description: "Asked before a device is provisioned",
        role_arn,
        package: &hook.package,
        architecture: &hook.architecture,
        // Its program is `bootstrap`.
        runtime: "provided.al2023",
        handler: "bootstrap",
        // AWS IoT waits five seconds for an answer (developer guide, "Pre-provisioning hooks").
        seconds: 5,
        megabytes: 128,
        variables: &hook.variables,
        owner: &environment.template,
    })
}

fn role_arn(place: &Place, name: &str) -> String {
    format!("arn:{}:iam::{}:role/{name}", place.partition, place.account)
}

/// ARNs of the provisioning role and of the hook.
fn arns(environment: &Environment, place: &Place) -> (String, Option<String>) {
    let hook = environment.hook.as_ref();
    let hook = hook.map(|_| place.arn("lambda", &format!("function:{}", environment.hook_name)));
    (role_arn(place, &environment.role), hook)
}
