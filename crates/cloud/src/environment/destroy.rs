//! Taking an environment down: what devices made first, then its own parts, each only if it is tagged as this
//! environment's.

use std::fmt;
use std::time::Duration;

use super::EnvironmentError;
use super::apply::Part;
use super::documents::{Environment, Place};
use crate::waiting::{DETACHING, until_detached};
use crate::{Cloud, CloudError, Left, Teardown, TeardownReach, TeardownStep};

/// A step of taking an environment down.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EnvironmentStep {
    /// Of what devices made.
    Teardown(TeardownStep),
    /// A part of the environment itself, by its name.
    Delete(Part, String),
}

impl EnvironmentStep {
    /// What is done, in words without spaces, for tables.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Teardown(step) => step.action(),
            Self::Delete(Part::Role | Part::HookRole, _) => "delete-role",
            Self::Delete(Part::DevicePolicy | Part::ClaimPolicy, _) => "delete-policy",
            Self::Delete(Part::ThingGroup, _) => "delete-thing-group",
            Self::Delete(Part::ThingType, _) => "delete-thing-type",
            Self::Delete(Part::Hook | Part::HookPermission, _) => "delete-function",
            Self::Delete(Part::Template, _) => "delete-template",
            Self::Delete(Part::Events, _) => "switch-off-events",
        }
    }

    /// What it is done to.
    pub fn object(&self) -> &str {
        match self {
            Self::Teardown(step) => step.object(),
            Self::Delete(_, name) => name,
        }
    }

    /// Every step of a phase needs those of the phases before it.
    pub fn phase(&self) -> u8 {
        match self {
            Self::Teardown(step) => step.phase(),
            Self::Delete(Part::Template, _) => 10,
            Self::Delete(Part::Hook | Part::HookPermission, _) => 11,
            Self::Delete(Part::Events, _) => 12,
            // The role remembers which events to switch off.
            Self::Delete(Part::ThingType, _) => 14,
            Self::Delete(..) => 13,
        }
    }
}

impl fmt::Display for EnvironmentStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action(), self.object())
    }
}

/// What taking an environment down takes, in its order.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentPlan {
    /// The steps; none if nothing is left.
    pub steps: Vec<EnvironmentStep>,
    /// What stays, and why.
    pub left: Vec<Left>,
}

/// Why something of an environment's names stays.
const NOT_OURS: &str = "was not made by this environment";

impl Cloud {
    /// Finds out what is left of an environment and of what its devices made; changes nothing.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn plan_environment_removal(
        &self,
        environment: &Environment,
        place: &Place,
        concurrency: usize,
    ) -> Result<EnvironmentPlan, EnvironmentError> {
        let mut plan = EnvironmentPlan::default();
        let mut own = Vec::new();
        for part in [
            Part::Template,
            Part::Hook,
            Part::HookRole,
            Part::ThingGroup,
            Part::DevicePolicy,
            Part::ClaimPolicy,
            Part::Role,
            Part::ThingType,
        ] {
            match self.is_part_ours(environment, place, part).await? {
                None => {}
                Some(true) => own.push(part),
                Some(false) => plan.left.push(Left {
                    kind: part.kind(),
                    name: part.name(environment),
                    reason: NOT_OURS,
                }),
            }
        }
        let teardown = self.plan_devices(environment, &own, concurrency).await?;
        let kept = !teardown.left.is_empty();
        plan.left.extend(teardown.left);
        let deprecates = own.contains(&Part::ThingType)
            && !kept
            && self.thing_type_deprecated(&environment.thing_type).await? == Some(false);
        let mut steps: Vec<_> = teardown
            .steps
            .into_iter()
            .map(EnvironmentStep::Teardown)
            .collect();
        if deprecates {
            let step = TeardownStep::Deprecate(environment.thing_type.clone());
            steps.push(EnvironmentStep::Teardown(step));
        }
        if own.contains(&Part::Role) {
            let switched = self.events_switched_on(&environment.role).await?;
            let on = self.events_on().await?;
            let switched: Vec<String> = switched
                .into_iter()
                .filter(|event| on.contains(event))
                .collect();
            if !switched.is_empty() {
                steps.push(EnvironmentStep::Delete(Part::Events, switched.join(",")));
            }
        }
        for part in own {
            let name = part.name(environment);
            let held = matches!(
                part,
                Part::DevicePolicy | Part::ClaimPolicy | Part::ThingType
            );
            match kept && held {
                true => plan.left.push(Left {
                    kind: part.kind(),
                    name,
                    reason: "what stays has it",
                }),
                false => steps.push(EnvironmentStep::Delete(part, name)),
            }
        }
        steps.sort_by_key(EnvironmentStep::phase);
        plan.steps = steps;
        Ok(plan)
    }

    /// Takes one step. `waiting` is told how long AWS has been waited for.
    ///
    /// # Errors
    /// When the step fails; what it had done is done, and the next run goes on from there.
    pub async fn take_environment_down(
        &self,
        step: &EnvironmentStep,
        waiting: impl Fn(Duration),
    ) -> Result<(), CloudError> {
        let (part, name) = match step {
            EnvironmentStep::Teardown(step) => return self.take_down(step, waiting).await,
            EnvironmentStep::Delete(part, name) => (part, name),
        };
        match part {
            Part::Template => self.delete_template(name).await,
            Part::Hook | Part::HookPermission => self.delete_function(name).await,
            Part::Role | Part::HookRole => self.delete_role(name).await,
            Part::ThingGroup => self.delete_thing_group(name).await,
            Part::ThingType => self.delete_thing_type(name, waiting).await,
            Part::DevicePolicy | Part::ClaimPolicy => {
                until_detached(DETACHING, async || self.delete_policy(name).await).await
            }
            Part::Events => {
                let events: Vec<_> = name
                    .split(',')
                    .map(|event| (event.to_owned(), false))
                    .collect();
                self.set_events(&events).await
            }
        }
    }

    /// Whether a part is tagged as this environment's; `None` if there is no such thing.
    async fn is_part_ours(
        &self,
        environment: &Environment,
        place: &Place,
        part: Part,
    ) -> Result<Option<bool>, CloudError> {
        let owner = environment.template.as_str();
        let name = part.name(environment);
        let is_ours =
            |found: Option<Option<String>>| found.map(|found| found.as_deref() == Some(owner));
        let (exists, arn) = match part {
            Part::Role | Part::HookRole => {
                return Ok(is_ours(self.owner_of_role(&name).await?));
            }
            Part::Hook | Part::HookPermission => {
                return Ok(is_ours(self.owner_of_function(&name).await?));
            }
            Part::Template => (
                self.provisioning_template(&name).await?.is_some(),
                place.arn("iot", &format!("provisioningtemplate/{name}")),
            ),
            Part::ThingGroup => (
                self.thing_group_exists(&name).await?,
                place.arn("iot", &format!("thinggroup/{name}")),
            ),
            Part::ThingType => (
                self.thing_type_exists(&name).await?,
                place.arn("iot", &format!("thingtype/{name}")),
            ),
            Part::DevicePolicy | Part::ClaimPolicy => (
                self.policy(&name).await?.is_some(),
                place.arn("iot", &format!("policy/{name}")),
            ),
            Part::Events => (false, String::new()),
        };
        match exists {
            true => Ok(Some(self.is_owned(&arn, owner).await?)),
            false => Ok(None),
        }
    }

    /// What devices made: by the template as long as it is there, by the policies afterwards.
    async fn plan_devices(
        &self,
        environment: &Environment,
        own: &[Part],
        concurrency: usize,
    ) -> Result<Teardown, EnvironmentError> {
        let claim_policy = own
            .contains(&Part::ClaimPolicy)
            .then_some(environment.claim_policy.as_str());
        if own.contains(&Part::Template) {
            let reach = TeardownReach {
                claim_policy,
                keep_thing_type: true,
            };
            let plan = self.plan_teardown(&environment.template, reach, concurrency);
            return Ok(plan.await?);
        }
        let mut plan = Teardown::default();
        let device_policy = own
            .contains(&Part::DevicePolicy)
            .then_some(environment.device_policy.as_str());
        for policy in [claim_policy, device_policy].into_iter().flatten() {
            self.plan_certificates(policy, &mut plan).await?;
        }
        Ok(plan)
    }
}
