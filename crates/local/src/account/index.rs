//! How records enter the state and its indices, when they are written and when they are loaded.

use std::borrow::Borrow;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::records::{
    CaCertificate, Certificate, OwnershipToken, Thing, ThingGroup, ThingPrincipalType,
};
use super::state::State;

impl State {
    pub(super) fn insert_ca(&mut self, ca: CaCertificate) {
        let ids = self
            .cas_by_subject
            .entry(ca.x509.subject_der.clone())
            .or_default();
        ids.insert(ca.id.clone());
        self.ca_certificates.insert(ca.id.clone(), Arc::new(ca));
    }

    pub(super) fn insert_certificate(&mut self, certificate: Certificate) {
        // Most changes are of its status, and leave it where it stands.
        let stands = self
            .certificates
            .get(certificate.id.as_str())
            .is_some_and(|before| {
                before.creation_date == certificate.creation_date
                    && before.ca_certificate_id == certificate.ca_certificate_id
            });
        let id: Arc<str> = certificate.id.as_str().into();
        if !stands {
            let age = (certificate.creation_date, Arc::clone(&id));
            if let Some(ca) = &certificate.ca_certificate_id {
                let of_ca = self.certificates_by_ca.entry(ca.as_str().into());
                of_ca.or_default().insert(age.clone());
            }
            self.certificates_by_age.insert(age);
        }
        self.certificates.insert(id, Arc::new(certificate));
    }

    pub(super) fn insert_ownership_token(&mut self, hash: String, token: OwnershipToken) {
        self.ownership_tokens_by_expiry
            .insert((token.expires_at, hash.clone()));
        self.ownership_tokens.insert(hash, Arc::new(token));
    }

    pub(super) fn insert_thing(&mut self, thing: Thing) {
        if let Some(before) = self.things.get(thing.name.as_str()).cloned() {
            self.unindex_thing(&before);
        }
        let name: Arc<str> = thing.name.as_str().into();
        self.things_by_age
            .insert((thing.creation_date, Arc::clone(&name)));
        if let Some(thing_type) = &thing.type_name {
            let of_type = self.things_by_type.entry(thing_type.as_str().into());
            of_type.or_default().insert(Arc::clone(&name));
        }
        if let Some(group) = &thing.billing_group {
            let of_group = self.things_by_billing_group.entry(group.as_str().into());
            of_group.or_default().insert(Arc::clone(&name));
        }
        self.things.insert(name, Arc::new(thing));
    }

    pub(super) fn unindex_thing(&mut self, thing: &Thing) {
        let age = (thing.creation_date, Arc::from(thing.name.as_str()));
        self.things_by_age.remove(&age);
        if let Some(thing_type) = &thing.type_name {
            remove_from(
                &mut self.things_by_type,
                thing_type.as_str(),
                thing.name.as_str(),
            );
        }
        if let Some(group) = &thing.billing_group {
            remove_from(
                &mut self.things_by_billing_group,
                group.as_str(),
                thing.name.as_str(),
            );
        }
    }

    pub(super) fn insert_thing_group(&mut self, group: ThingGroup) {
        if let Some(parent) = &group.parent {
            let children = self.children_by_group.entry(parent.as_str().into());
            children.or_default().insert(group.name.as_str().into());
        }
        self.thing_groups
            .insert(group.name.clone(), Arc::new(group));
    }

    pub(super) fn insert_attachment(&mut self, policy: &str, target: &str) {
        let (policy, target): (Arc<str>, Arc<str>) = (policy.into(), target.into());
        let policies = self.policies_by_target.entry(Arc::clone(&target));
        policies.or_default().insert(Arc::clone(&policy));
        let targets = self.targets_by_policy.entry(policy);
        targets.or_default().insert(target);
    }

    pub(super) fn insert_principal(
        &mut self,
        thing: &str,
        principal: &str,
        kind: ThingPrincipalType,
    ) {
        let (thing, principal): (Arc<str>, Arc<str>) = (thing.into(), principal.into());
        let principals = self.principals_by_thing.entry(Arc::clone(&thing));
        principals.or_default().insert(Arc::clone(&principal), kind);
        let things = self.things_by_principal.entry(principal);
        things.or_default().insert(thing, kind);
    }

    pub(super) fn insert_member(&mut self, group: &str, thing: &str) {
        let (group, thing): (Arc<str>, Arc<str>) = (group.into(), thing.into());
        let things = self.things_by_group.entry(Arc::clone(&group));
        things.or_default().insert(Arc::clone(&thing));
        let groups = self.groups_by_thing.entry(thing);
        groups.or_default().insert(group);
    }
}

/// Removes a value from the set under a key, and the key with the last value.
pub(super) fn remove_from<K, Q, V, W>(index: &mut OrdMap<K, OrdSet<V>>, key: &Q, value: &W)
where
    K: Ord + Clone + Borrow<Q>,
    Q: Ord + ?Sized,
    V: Ord + Clone + Borrow<W>,
    W: Ord + ?Sized,
{
    let empty = match index.get_mut(key) {
        Some(values) => {
            values.remove(value);
            values.is_empty()
        }
        None => false,
    };
    if empty {
        index.remove(key);
    }
}

/// Removes an attachment, and the key with the last one.
pub(super) fn remove_entry(
    index: &mut OrdMap<Arc<str>, OrdMap<Arc<str>, ThingPrincipalType>>,
    key: &str,
    value: &str,
) {
    let empty = match index.get_mut(key) {
        Some(values) => {
            values.remove(value);
            values.is_empty()
        }
        None => false,
    };
    if empty {
        index.remove(key);
    }
}
