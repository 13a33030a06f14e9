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
            .get(&certificate.id)
            .is_some_and(|before| {
                before.creation_date == certificate.creation_date
                    && before.ca_certificate_id == certificate.ca_certificate_id
            });
        if !stands {
            let age = (certificate.creation_date, certificate.id.clone());
            if let Some(ca) = &certificate.ca_certificate_id {
                let of_ca = self.certificates_by_ca.entry(ca.clone()).or_default();
                of_ca.insert(age.clone());
            }
            self.certificates_by_age.insert(age);
        }
        self.certificates
            .insert(certificate.id.clone(), Arc::new(certificate));
    }

    pub(super) fn insert_ownership_token(&mut self, hash: String, token: OwnershipToken) {
        self.ownership_tokens_by_expiry
            .insert((token.expires_at, hash.clone()));
        self.ownership_tokens.insert(hash, Arc::new(token));
    }

    pub(super) fn insert_thing(&mut self, thing: Thing) {
        if let Some(before) = self.things.get(&thing.name).cloned() {
            self.unindex_thing(&before);
        }
        let name = &thing.name;
        self.things_by_age
            .insert((thing.creation_date, name.clone()));
        if let Some(thing_type) = &thing.type_name {
            let of_type = self.things_by_type.entry(thing_type.clone()).or_default();
            of_type.insert(name.clone());
        }
        if let Some(group) = &thing.billing_group {
            let of_group = self
                .things_by_billing_group
                .entry(group.clone())
                .or_default();
            of_group.insert(name.clone());
        }
        self.things.insert(name.clone(), Arc::new(thing));
    }

    pub(super) fn unindex_thing(&mut self, thing: &Thing) {
        let age = (thing.creation_date, thing.name.clone());
        self.things_by_age.remove(&age);
        if let Some(thing_type) = &thing.type_name {
            remove_from(&mut self.things_by_type, thing_type, &thing.name);
        }
        if let Some(group) = &thing.billing_group {
            remove_from(&mut self.things_by_billing_group, group, &thing.name);
        }
    }

    pub(super) fn insert_thing_group(&mut self, group: ThingGroup) {
        if let Some(parent) = &group.parent {
            let children = self.children_by_group.entry(parent.clone()).or_default();
            children.insert(group.name.clone());
        }
        self.thing_groups
            .insert(group.name.clone(), Arc::new(group));
    }

    pub(super) fn insert_attachment(&mut self, policy: &str, target: &str) {
        let policies = self
            .policies_by_target
            .entry(target.to_owned())
            .or_default();
        policies.insert(policy.to_owned());
        let targets = self.targets_by_policy.entry(policy.to_owned()).or_default();
        targets.insert(target.to_owned());
    }

    pub(super) fn insert_principal(
        &mut self,
        thing: &str,
        principal: &str,
        kind: ThingPrincipalType,
    ) {
        let principals = self
            .principals_by_thing
            .entry(thing.to_owned())
            .or_default();
        principals.insert(principal.to_owned(), kind);
        let things = self
            .things_by_principal
            .entry(principal.to_owned())
            .or_default();
        things.insert(thing.to_owned(), kind);
    }

    pub(super) fn insert_member(&mut self, group: &str, thing: &str) {
        let things = self.things_by_group.entry(group.to_owned()).or_default();
        things.insert(thing.to_owned());
        let groups = self.groups_by_thing.entry(thing.to_owned()).or_default();
        groups.insert(group.to_owned());
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
    index: &mut OrdMap<String, OrdMap<String, ThingPrincipalType>>,
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
