//! The AWS IoT side of an environment: policies, thing group, thing type, template, events.

use std::collections::HashMap;

use aws_sdk_iot::types;
use jitp_core::template::Template;

use super::documents::Environment;
use super::roles::Found;
use super::{EnvironmentError, OWNER, SWITCHED_ON};
use crate::templating::same_json;
use crate::{Cloud, CloudError, NewTemplate, TemplateKind, TemplatingError, VersionRoom};

/// Versions a policy may have (AWS General Reference; not adjustable).
const MOST_POLICY_VERSIONS: usize = 5;

impl Cloud {
    /// Whether something of AWS IoT is tagged as an environment's.
    pub(crate) async fn is_owned(&self, arn: &str, owner: &str) -> Result<bool, CloudError> {
        let tags = self.tags_of(arn).await?;
        Ok(tags
            .iter()
            .any(|tag| tag.key == OWNER && tag.value.as_deref() == Some(owner)))
    }

    pub(crate) async fn policy_state(
        &self,
        name: &str,
        document: &str,
        owner: &str,
    ) -> Result<Found, CloudError> {
        let Some(present) = self.policy(name).await? else {
            return Ok(Found::nothing());
        };
        let ours = self.is_owned(&present.arn, owner).await?;
        let differs = !same_json(&present.document, document);
        Ok(Found::with(ours, &[("document", differs)]))
    }

    pub(crate) async fn bring_policy(
        &self,
        name: &str,
        document: &str,
        owner: &str,
    ) -> Result<(), CloudError> {
        if self.policy(name).await?.is_none() {
            let tag = iot_tag(owner)?;
            let send = || {
                let call = self.iot.create_policy().policy_name(name);
                call.policy_document(document).tags(tag.clone()).send()
            };
            return self.call("CreatePolicy", send).await.map(drop);
        }
        // The oldest that does not apply makes room.
        let mut others = self.other_versions(name).await?;
        others.sort_by_key(|version| version.parse::<u32>().unwrap_or_default());
        if others.len() + 1 >= MOST_POLICY_VERSIONS
            && let Some(oldest) = others.first()
        {
            let send = || {
                let call = self.iot.delete_policy_version().policy_name(name);
                call.policy_version_id(oldest).send()
            };
            self.call("DeletePolicyVersion", send).await?;
        }
        let send = || {
            let call = self.iot.create_policy_version().policy_name(name);
            call.policy_document(document).set_as_default(true).send()
        };
        self.call("CreatePolicyVersion", send).await.map(drop)
    }

    pub(super) async fn group_state(
        &self,
        name: &str,
        arn: &str,
        owner: &str,
    ) -> Result<Found, CloudError> {
        match self.thing_group_exists(name).await? {
            false => Ok(Found::nothing()),
            true => Ok(Found::with(self.is_owned(arn, owner).await?, &[])),
        }
    }

    pub(super) async fn make_owned_group(&self, name: &str, owner: &str) -> Result<(), CloudError> {
        let tag = iot_tag(owner)?;
        let send = || {
            let call = self.iot.create_thing_group().thing_group_name(name);
            call.tags(tag.clone()).send()
        };
        self.call("CreateThingGroup", send).await.map(drop)
    }

    /// How the thing type stands; its searchable attributes cannot be changed.
    pub(super) async fn type_state(
        &self,
        environment: &Environment,
        arn: &str,
    ) -> Result<Found, EnvironmentError> {
        let name = &environment.thing_type;
        let send = || self.iot.describe_thing_type().thing_type_name(name).send();
        let found = match self.call("DescribeThingType", send).await {
            Err(error) if error.is_not_found() => return Ok(Found::nothing()),
            other => other?,
        };
        let properties = found.thing_type_properties;
        let mut searchable = properties
            .and_then(|properties| properties.searchable_attributes)
            .unwrap_or_default();
        let mut wanted = environment.searchable_attributes.clone();
        searchable.sort();
        wanted.sort();
        if searchable != wanted {
            return Err(EnvironmentError::Unchangeable {
                kind: "thing type",
                name: name.clone(),
                differences: vec!["searchable attributes"],
            });
        }
        let deprecated = found
            .thing_type_metadata
            .is_some_and(|metadata| metadata.deprecated);
        let ours = self.is_owned(arn, &environment.template).await?;
        Ok(Found::with(ours, &[("deprecated", deprecated)]))
    }

    pub(super) async fn bring_type(&self, environment: &Environment) -> Result<(), CloudError> {
        let name = &environment.thing_type;
        if self.thing_type_exists(name).await? {
            let send = || {
                let call = self.iot.deprecate_thing_type().thing_type_name(name);
                call.undo_deprecate(true).send()
            };
            return self.call("DeprecateThingType", send).await.map(drop);
        }
        let tag = iot_tag(&environment.template)?;
        let searchable = &environment.searchable_attributes;
        let send = || {
            let properties = types::ThingTypeProperties::builder()
                .set_searchable_attributes((!searchable.is_empty()).then(|| searchable.clone()));
            let call = self.iot.create_thing_type().thing_type_name(name);
            call.thing_type_properties(properties.build())
                .tags(tag.clone())
                .send()
        };
        self.call("CreateThingType", send).await.map(drop)
    }

    /// What would make the template of no use to any device: found before anything is made for it.
    pub(super) async fn check_body(
        &self,
        environment: &Environment,
        body: &str,
    ) -> Result<(), EnvironmentError> {
        let template = Template::parse(body).map_err(TemplatingError::from)?;
        if let Some(fault) = template.check_fleet().into_iter().next() {
            return Err(TemplatingError::from(fault).into());
        }
        let ours = [
            environment.device_policy.as_str(),
            &environment.thing_type,
            &environment.thing_group,
        ];
        Ok(self.check_names_but(&template, &ours).await?)
    }

    pub(super) async fn template_state(
        &self,
        new: &NewTemplate<'_>,
    ) -> Result<Found, EnvironmentError> {
        let Some(present) = self.provisioning_template(new.name).await? else {
            return Ok(Found::nothing());
        };
        if present.kind != new.kind {
            return Err(EnvironmentError::Unchangeable {
                kind: "template",
                name: present.name,
                differences: vec!["type"],
            });
        }
        let ours = self.is_owned(&present.arn, new.name).await?;
        Ok(Found::with(
            ours,
            &[
                ("body", !same_json(&present.body, new.body)),
                ("enabled flag", present.enabled != new.enabled),
                ("role", present.role_arn != new.role_arn),
                ("hook", present.hook_arn.as_deref() != new.hook_arn),
                ("description", present.description != new.description),
            ],
        ))
    }

    pub(super) async fn bring_template(
        &self,
        new: &NewTemplate<'_>,
    ) -> Result<(), EnvironmentError> {
        let (start, mut attempt) = (std::time::Instant::now(), 0);
        loop {
            let error = match self.apply_template(new, VersionRoom::DropOldest).await {
                Err(TemplatingError::Cloud(error)) if super::is_about_role(&error) => error,
                other => return Ok(other.map(drop)?),
            };
            attempt += 1;
            let pause = crate::call::back_off(attempt);
            if start.elapsed() + pause > super::ROLE_UNKNOWN_FOR {
                return Err(error.into());
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Which events are published now.
    pub(super) async fn events_on(&self) -> Result<Vec<String>, CloudError> {
        let send = || self.iot.describe_event_configurations().send();
        let answer = self.call("DescribeEventConfigurations", send).await?;
        let all = answer.event_configurations.unwrap_or_default().into_iter();
        let on = all.filter(|(_, configuration)| configuration.enabled);
        let mut on: Vec<String> = on.map(|(event, _)| event.as_str().to_owned()).collect();
        on.sort();
        Ok(on)
    }

    pub(super) async fn event_state(
        &self,
        environment: &Environment,
    ) -> Result<Found, EnvironmentError> {
        let on = self.events_on().await?;
        let switched = self.events_switched_on(&environment.role).await?;
        let wanted = &environment.events;
        let others = on
            .iter()
            .filter(|event| !wanted.contains(event) && !switched.contains(event));
        let others: Vec<String> = others.cloned().collect();
        if !others.is_empty() {
            return Err(EnvironmentError::OtherEvents(others));
        }
        let same = wanted.len() == on.len() && wanted.iter().all(|event| on.contains(event));
        Ok(Found::with(true, &[("events", !same)]))
    }

    /// Publishes these events and no others; the role remembers which of them were off before.
    pub(super) async fn bring_events(&self, environment: &Environment) -> Result<(), CloudError> {
        let on = self.events_on().await?;
        let mut switched = self.events_switched_on(&environment.role).await?;
        let news = environment
            .events
            .iter()
            .filter(|event| !on.contains(event));
        switched.extend(news.cloned());
        switched.retain(|event| environment.events.contains(event));
        switched.sort();
        switched.dedup();
        self.tag_role(&environment.role, SWITCHED_ON, &switched.join(" "))
            .await?;
        let all = super::EVENTS.map(|event| {
            let enabled = environment.events.iter().any(|wanted| wanted == event);
            (event.to_owned(), enabled)
        });
        self.set_events(&all).await
    }

    /// The events that the environment has switched on.
    pub(super) async fn events_switched_on(&self, role: &str) -> Result<Vec<String>, CloudError> {
        let tag = self.role_tag(role, SWITCHED_ON).await?.unwrap_or_default();
        Ok(tag.split_whitespace().map(str::to_owned).collect())
    }

    pub(super) async fn set_events(&self, events: &[(String, bool)]) -> Result<(), CloudError> {
        let configurations: HashMap<_, _> = events
            .iter()
            .map(|(event, enabled)| {
                let configuration = types::Configuration::builder().enabled(*enabled).build();
                (types::EventType::from(event.as_str()), configuration)
            })
            .collect();
        let send = || {
            let call = self.iot.update_event_configurations();
            call.set_event_configurations(Some(configurations.clone()))
                .send()
        };
        self.call("UpdateEventConfigurations", send).await.map(drop)
    }
}

fn iot_tag(owner: &str) -> Result<types::Tag, CloudError> {
    crate::templates::tag((OWNER, owner))
        .ok_or_else(|| CloudError::incomplete("TagResource", "Key"))
}

/// A template as it is made: for claims, enabled.
pub(super) fn new_template<'a>(
    environment: &'a Environment,
    body: &'a str,
    role_arn: &'a str,
    hook_arn: Option<&'a str>,
) -> NewTemplate<'a> {
    NewTemplate {
        name: &environment.template,
        kind: TemplateKind::Fleet,
        description: "",
        body,
        enabled: true,
        role_arn,
        hook_arn,
        tag: Some((OWNER, &environment.template)),
    }
}
