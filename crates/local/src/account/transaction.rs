//! One change of an account: a private copy of the state, the records to write, and what to tell listeners.

mod registry;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;

use super::clock::Timestamp;
use super::error::ApiError;
use super::index::remove_from;
use super::records::{
    CaCertificate, Certificate, EventConfigurations, EventSourceMapping, Function, OwnershipToken,
    Policy, ProvisioningClaim, ProvisioningTemplate, Role, TopicRule,
};
use super::registry_events::RegistryEvent;
use super::state::State;
use super::{Change, space};
use crate::storage::Write;

/// A change under way. Reads see what it has written so far; it is dropped whole when its closure fails.
pub struct Transaction {
    state: State,
    now: Timestamp,
    durable: bool,
    writes: Vec<Write>,
    changes: Vec<Change>,
    events: Vec<RegistryEvent>,
}

/// What a change has come to.
pub(super) struct Finished {
    pub(super) state: State,
    pub(super) writes: Vec<Write>,
    pub(super) changes: Vec<Change>,
    pub(super) events: Vec<RegistryEvent>,
}

impl Deref for Transaction {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl Transaction {
    pub(super) fn new(state: State, now: Timestamp, durable: bool) -> Self {
        Self {
            state,
            now,
            durable,
            writes: Vec::new(),
            changes: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Finished {
        Finished {
            state: self.state,
            writes: self.writes,
            changes: self.changes,
            events: self.events,
        }
    }

    /// The moment of this change.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// A fresh UUID, as ids of things, types and groups are.
    pub(crate) fn new_id(&self) -> String {
        uuid::Uuid::new_v4().to_string()
    }

    fn tell(&mut self, change: Change) {
        if !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    fn keep<T: Serialize>(
        &mut self,
        space: &'static str,
        key: &str,
        record: &T,
    ) -> Result<(), ApiError> {
        if self.durable {
            let value = serde_json::to_vec(record)
                .map_err(|error| ApiError::internal(format!("cannot store {key}: {error}")))?;
            self.writes.push(Write {
                space,
                key: key.into(),
                value: Some(value),
            });
        }
        Ok(())
    }

    fn forget(&mut self, space: &'static str, key: &str) {
        if self.durable {
            self.writes.push(Write {
                space,
                key: key.into(),
                value: None,
            });
        }
    }

    // CA certificates

    pub(crate) fn put_ca(&mut self, ca: CaCertificate) -> Result<(), ApiError> {
        self.keep(space::CA_CERTIFICATE, &ca.id, &ca)?;
        self.tell(Change::Ca { id: ca.id.clone() });
        self.state.insert_ca(ca);
        Ok(())
    }

    pub(crate) fn remove_ca(&mut self, id: &str) {
        if let Some(ca) = self.state.ca_certificates.remove(id) {
            remove_from(&mut self.state.cas_by_subject, &ca.x509.subject_der, id);
            self.forget(space::CA_CERTIFICATE, id);
            self.remove_tags(&ca.arn);
            self.tell(Change::Ca { id: id.to_owned() });
        }
    }

    // Device certificates

    pub(crate) fn put_certificate(&mut self, certificate: Certificate) -> Result<(), ApiError> {
        self.keep(space::CERTIFICATE, &certificate.id, &certificate)?;
        self.tell(Change::Certificate {
            id: certificate.id.clone(),
        });
        self.state.insert_certificate(certificate);
        Ok(())
    }

    pub(crate) fn remove_certificate(&mut self, id: &str) {
        if let Some(certificate) = self.state.certificates.remove(id) {
            let age = (certificate.creation_date, Arc::from(id));
            if let Some(ca) = &certificate.ca_certificate_id {
                remove_from(&mut self.state.certificates_by_ca, ca.as_str(), &age);
            }
            self.state.certificates_by_age.remove(&age);
            self.forget(space::CERTIFICATE, id);
            self.tell(Change::Certificate { id: id.to_owned() });
        }
    }

    // What fleet provisioning hands out

    pub(super) fn put_ownership_token(
        &mut self,
        hash: String,
        token: OwnershipToken,
    ) -> Result<(), ApiError> {
        self.keep(space::OWNERSHIP_TOKEN, &hash, &token)?;
        self.state.insert_ownership_token(hash, token);
        Ok(())
    }

    pub(super) fn remove_ownership_token(&mut self, hash: &str) {
        if let Some(token) = self.state.ownership_tokens.remove(hash) {
            let expiry = (token.expires_at, hash.to_owned());
            self.state.ownership_tokens_by_expiry.remove(&expiry);
            self.forget(space::OWNERSHIP_TOKEN, hash);
        }
    }

    pub(super) fn put_claim(&mut self, claim: ProvisioningClaim) -> Result<(), ApiError> {
        let id = claim.id.clone();
        self.keep(space::PROVISIONING_CLAIM, &id, &claim)?;
        self.tell(Change::Certificate { id: id.clone() });
        self.state.provisioning_claims.insert(id, Arc::new(claim));
        Ok(())
    }

    pub(super) fn remove_claim(&mut self, id: &str) {
        if self.state.provisioning_claims.remove(id).is_some() {
            self.forget(space::PROVISIONING_CLAIM, id);
        }
    }

    // Functions

    /// Keeps a function; its code only where it is new.
    pub(super) fn put_function(
        &mut self,
        function: Function,
        code_is_new: bool,
    ) -> Result<(), ApiError> {
        let name = function.name.clone();
        self.keep(space::FUNCTION, &name, &function)?;
        if self.durable && code_is_new {
            self.writes.push(Write {
                space: space::FUNCTION_CODE,
                key: name.clone().into(),
                value: Some(function.code.to_vec()),
            });
        }
        self.state.functions.insert(name, Arc::new(function));
        Ok(())
    }

    pub(super) fn remove_function(&mut self, name: &str) {
        if self.state.functions.remove(name).is_some() {
            self.forget(space::FUNCTION, name);
            self.forget(space::FUNCTION_CODE, name);
        }
    }

    pub(super) fn put_event_source(&mut self, mapping: EventSourceMapping) -> Result<(), ApiError> {
        self.keep(space::EVENT_SOURCE, &mapping.id, &mapping)?;
        let id = mapping.id.clone();
        self.state.event_sources.insert(id, Arc::new(mapping));
        Ok(())
    }

    pub(super) fn remove_event_source(&mut self, id: &str) {
        if self.state.event_sources.remove(id).is_some() {
            self.forget(space::EVENT_SOURCE, id);
        }
    }

    // Policies

    pub(crate) fn put_policy(&mut self, policy: Policy) -> Result<(), ApiError> {
        self.keep(space::POLICY, &policy.name, &policy)?;
        self.tell(Change::Policy {
            name: policy.name.clone(),
        });
        self.state
            .policies
            .insert(policy.name.clone(), Arc::new(policy));
        Ok(())
    }

    pub(crate) fn remove_policy(&mut self, name: &str) {
        if let Some(policy) = self.state.policies.remove(name) {
            self.forget(space::POLICY, name);
            self.remove_tags(&policy.arn);
            self.tell(Change::Policy {
                name: name.to_owned(),
            });
        }
    }

    // Policy attachments

    pub(crate) fn put_attachment(&mut self, policy: &str, target: &str) -> Result<(), ApiError> {
        self.keep(space::ATTACHMENT, &pair(policy, target), &())?;
        self.state.insert_attachment(policy, target);
        self.tell_attachment(target);
        Ok(())
    }

    pub(crate) fn remove_attachment(&mut self, policy: &str, target: &str) {
        remove_from(&mut self.state.policies_by_target, target, policy);
        remove_from(&mut self.state.targets_by_policy, policy, target);
        self.forget(space::ATTACHMENT, &pair(policy, target));
        self.tell_attachment(target);
    }

    fn tell_attachment(&mut self, target: &str) {
        if let Some(id) = self.state.scope.name_in(target, "cert") {
            let certificate_id = id.to_owned();
            self.tell(Change::Attachments { certificate_id });
        } else if let Some(group) = self.state.scope.name_in(target, "thinggroup") {
            let name = group.to_owned();
            self.tell(Change::Group { name });
        }
    }

    // Provisioning templates

    pub(crate) fn put_template(&mut self, template: ProvisioningTemplate) -> Result<(), ApiError> {
        self.keep(space::TEMPLATE, &template.name, &template)?;
        let name = template.name.clone();
        self.state
            .provisioning_templates
            .insert(name, Arc::new(template));
        Ok(())
    }

    pub(crate) fn remove_template(&mut self, name: &str) {
        if let Some(template) = self.state.provisioning_templates.remove(name) {
            self.forget(space::TEMPLATE, name);
            self.remove_tags(&template.arn);
        }
    }

    // Roles

    pub(crate) fn put_role(&mut self, role: Role) -> Result<(), ApiError> {
        self.keep(space::ROLE, &role.name, &role)?;
        self.state.roles.insert(role.name.clone(), Arc::new(role));
        Ok(())
    }

    pub(crate) fn remove_role(&mut self, name: &str) {
        if self.state.roles.remove(name).is_some() {
            self.forget(space::ROLE, name);
        }
    }

    // Topic rules

    pub(crate) fn put_topic_rule(&mut self, rule: TopicRule) -> Result<(), ApiError> {
        self.keep(space::TOPIC_RULE, &rule.name, &rule)?;
        let name = rule.name.clone();
        self.tell(Change::TopicRule { name: name.clone() });
        self.state.topic_rules.insert(name, Arc::new(rule));
        Ok(())
    }

    pub(crate) fn remove_topic_rule(&mut self, name: &str) {
        if let Some(rule) = self.state.topic_rules.remove(name) {
            self.forget(space::TOPIC_RULE, name);
            self.remove_tags(&rule.arn);
            let name = name.to_owned();
            self.tell(Change::TopicRule { name });
        }
    }

    // Tags, and the single records of the account

    pub(crate) fn put_tags(
        &mut self,
        arn: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        if tags.is_empty() {
            self.remove_tags(arn);
            return Ok(());
        }
        self.keep(space::TAGS, arn, &tags)?;
        self.state.tags.insert(arn.to_owned(), Arc::new(tags));
        Ok(())
    }

    pub(crate) fn remove_tags(&mut self, arn: &str) {
        if self.state.tags.remove(arn).is_some() {
            self.forget(space::TAGS, arn);
        }
    }

    pub(crate) fn put_registration_code(&mut self, code: Option<&str>) -> Result<(), ApiError> {
        match code {
            Some(code) => self.keep(space::ACCOUNT, super::REGISTRATION_CODE, &code)?,
            None => self.forget(space::ACCOUNT, super::REGISTRATION_CODE),
        }
        self.state.registration_code = code.map(Into::into);
        Ok(())
    }

    pub(crate) fn put_event_configurations(
        &mut self,
        configurations: EventConfigurations,
    ) -> Result<(), ApiError> {
        self.keep(space::ACCOUNT, super::EVENT_CONFIGURATIONS, &configurations)?;
        self.state.event_configurations = Arc::new(configurations);
        Ok(())
    }
}

/// Key of a record about two names; neither may contain a line feed.
fn pair(left: &str, right: &str) -> String {
    format!("{left}\n{right}")
}
