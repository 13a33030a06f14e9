//! What is left of what a template made, and the steps that take it down.
//!
//! AWS does not record which template made a thing. What tells is what the template names outright: a thing is its
//! work if it is of its thing type, in all of its thing groups, and has a certificate with one of its policies, or no
//! certificate any more. Without type and group, its policies alone tell.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use jitp_core::template::{Template, is_policy_name_of_document};

use super::{Left, Teardown, TeardownError, TeardownReach, TeardownStep};
use crate::certificates::id_of;
use crate::keeping::KEEP;
use crate::{Cloud, CloudError, RegistrationConfig};

impl Cloud {
    /// Finds out what is left of what a template made; changes nothing. `concurrency` things are looked at together.
    ///
    /// # Errors
    /// When there is no such template, nothing tells its work, or a call fails.
    pub async fn plan_teardown(
        &self,
        name: &str,
        reach: TeardownReach<'_>,
        concurrency: usize,
    ) -> Result<Teardown, TeardownError> {
        let found = self.provisioning_template(name).await?;
        let found = found.ok_or_else(|| TeardownError::NoTemplate(name.to_owned()))?;
        let template = Template::parse(&found.body).map_err(|source| TeardownError::Template {
            name: name.to_owned(),
            source,
        })?;
        let marks = Marks::of(&template);
        if marks.types.is_empty() && marks.groups.is_empty() && marks.all_policies().is_empty() {
            return Err(TeardownError::NoMark(name.to_owned()));
        }
        let mut plan = Teardown::default();
        if found.enabled {
            plan.steps.push(TeardownStep::Disable(name.to_owned()));
        }
        let elsewhere = self.named_elsewhere(name).await?;
        let mut made_policies: BTreeSet<String> = marks.documents.clone();
        let candidates = self.candidates(&marks).await?;
        let mut verdicts = stream::iter(candidates)
            .map(|thing| self.judge_candidate(thing, &marks))
            .buffered(concurrency);
        while let Some(verdict) = verdicts.try_next().await? {
            match verdict {
                Candidate::Made { thing, documents } => {
                    plan.steps.push(TeardownStep::DeleteThing(thing));
                    made_policies.extend(documents);
                }
                Candidate::Stays { thing, reason } => plan.left.push(Left {
                    kind: "thing",
                    name: thing,
                    reason,
                }),
                Candidate::Gone => {}
            }
        }
        for policy in marks.all_policies().difference(&elsewhere.policies) {
            self.plan_certificates(policy, &mut plan).await?;
        }
        if let Some(policy) = reach.claim_policy {
            self.plan_certificates(policy, &mut plan).await?;
        }
        for policy in made_policies {
            if !elsewhere.policies.contains(&policy) && self.policy_exists(&policy).await? {
                plan.steps.push(TeardownStep::DeletePolicy(policy));
            }
        }
        if !reach.keep_thing_type {
            for name in &marks.types {
                self.plan_type(name, &elsewhere, &mut plan).await?;
            }
        }
        plan.steps.sort_by_key(TeardownStep::phase);
        Ok(plan)
    }

    /// Things that are of the types and in the groups, or, without either, have the policies.
    async fn candidates(&self, marks: &Marks) -> Result<BTreeSet<String>, CloudError> {
        let mut sets = Vec::new();
        for name in &marks.types {
            sets.push(self.things_of_type(name).await?);
        }
        for name in &marks.groups {
            sets.push(self.things_of_group(name).await?);
        }
        if sets.is_empty() {
            let mut things = Vec::new();
            for policy in &marks.all_policies() {
                for target in self.targets_or_none(policy).await? {
                    if id_of(&target).is_some() {
                        things.extend(self.things_of(&target).await?);
                    }
                }
            }
            sets.push(things);
        }
        let mut sets = sets.into_iter().map(BTreeSet::from_iter);
        let first = sets.next().unwrap_or_default();
        Ok(sets.fold(first, |all, set: BTreeSet<String>| &all & &set))
    }

    async fn judge_candidate(&self, thing: String, marks: &Marks) -> Result<Candidate, CloudError> {
        let Some(found) = self.thing(&thing).await? else {
            return Ok(Candidate::Gone);
        };
        if found.attributes.contains_key(KEEP) {
            let reason = "attribute keep";
            return Ok(Candidate::Stays { thing, reason });
        }
        let principals = match self.principals(&thing).await {
            Err(error) if error.is_not_found() => return Ok(Candidate::Gone),
            other => other?,
        };
        let mut documents = Vec::new();
        let policies = marks.all_policies();
        let mut marked = principals.is_empty() || policies.is_empty();
        for principal in principals.iter().filter(|arn| id_of(arn).is_some()) {
            let attached = self.attached_policies(principal).await?;
            // One without any policy is what an interrupted deletion leaves.
            marked |= attached.is_empty();
            for policy in attached {
                marked |= policies.contains(&policy);
                if is_policy_name_of_document(&policy) {
                    documents.push(policy);
                }
            }
        }
        Ok(match marked {
            true => Candidate::Made { thing, documents },
            false => Candidate::Stays {
                thing,
                reason: "its certificates have none of the template's policies",
            },
        })
    }

    /// Certificates that have a policy and no thing.
    pub(crate) async fn plan_certificates(
        &self,
        policy: &str,
        plan: &mut Teardown,
    ) -> Result<(), CloudError> {
        for target in self.targets_or_none(policy).await? {
            let Some(id) = id_of(&target) else { continue };
            match self.things_of(&target).await {
                Ok(things) if things.is_empty() => {}
                Ok(_) => continue,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            }
            if self.is_tagged_keep(&target).await? {
                plan.left.push(Left {
                    kind: "certificate",
                    name: id.to_owned(),
                    reason: "tag keep",
                });
                continue;
            }
            let step = TeardownStep::DeleteCertificate(id.to_owned());
            if !plan.steps.contains(&step) {
                plan.steps.push(step);
            }
        }
        Ok(())
    }

    async fn plan_type(
        &self,
        name: &str,
        elsewhere: &Elsewhere,
        plan: &mut Teardown,
    ) -> Result<(), CloudError> {
        let Some(deprecated) = self.thing_type_deprecated(name).await? else {
            return Ok(());
        };
        let goes = |thing: &String| {
            let step = TeardownStep::DeleteThing(thing.clone());
            plan.steps.contains(&step)
        };
        let reason = match elsewhere.types.contains(name) {
            true => Some("another template names it"),
            false => {
                let things = self.things_of_type(name).await?;
                (!things.iter().all(goes)).then_some("other things have it")
            }
        };
        match reason {
            Some(reason) => plan.left.push(Left {
                kind: "thing-type",
                name: name.to_owned(),
                reason,
            }),
            None => {
                if !deprecated {
                    plan.steps.push(TeardownStep::Deprecate(name.to_owned()));
                }
                plan.steps
                    .push(TeardownStep::DeleteThingType(name.to_owned()));
            }
        }
        Ok(())
    }

    async fn targets_or_none(&self, policy: &str) -> Result<Vec<String>, CloudError> {
        match self.targets_of_policy(policy).await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            other => other,
        }
    }

    /// What other templates, and those kept with CAs, name. One that cannot be read names nothing that is known.
    async fn named_elsewhere(&self, but: &str) -> Result<Elsewhere, CloudError> {
        let mut bodies = Vec::new();
        for summary in self.provisioning_templates().await? {
            if summary.name != but
                && let Some(found) = self.provisioning_template(&summary.name).await?
            {
                bodies.push(found.body);
            }
        }
        for id in self.registered_ca_ids().await? {
            let ca = self.registered_ca(&id).await?;
            if let Some(RegistrationConfig::Body { template_body, .. }) =
                ca.and_then(|ca| ca.registration_config)
            {
                bodies.push(template_body);
            }
        }
        let mut elsewhere = Elsewhere::default();
        for template in bodies.iter().filter_map(|body| Template::parse(body).ok()) {
            let marks = Marks::of(&template);
            elsewhere.policies.extend(marks.policies);
            elsewhere.policies.extend(marks.documents);
            elsewhere.types.extend(marks.types);
        }
        Ok(elsewhere)
    }
}

/// What a template names outright.
struct Marks {
    types: BTreeSet<String>,
    groups: BTreeSet<String>,
    policies: BTreeSet<String>,
    /// Names of the policies that are made from its documents.
    documents: BTreeSet<String>,
}

impl Marks {
    fn of(template: &Template) -> Self {
        Self {
            types: template.thing_types().into_iter().collect(),
            groups: template.thing_groups().into_iter().collect(),
            policies: template.named_policies().into_iter().collect(),
            documents: template.document_policies().into_iter().collect(),
        }
    }

    fn all_policies(&self) -> BTreeSet<String> {
        &self.policies | &self.documents
    }
}

#[derive(Default)]
struct Elsewhere {
    policies: BTreeSet<String>,
    types: BTreeSet<String>,
}

enum Candidate {
    Made {
        thing: String,
        documents: Vec<String>,
    },
    Stays {
        thing: String,
        reason: &'static str,
    },
    Gone,
}
