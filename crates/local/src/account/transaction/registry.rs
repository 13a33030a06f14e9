//! Changes of the registry: things with their principals, thing types, groups and billing groups, and the events
//! that the registry publishes of them.

use std::sync::Arc;

use super::super::index::{remove_entry, remove_from};
use super::super::records::{BillingGroup, Thing, ThingGroup, ThingPrincipalType, ThingType};
use super::super::registry_events::{Events, RegistryEvent};
use super::super::{ApiError, Change, space};
use super::{Transaction, pair};

impl Transaction {
    pub(crate) fn put_thing(&mut self, thing: Thing) -> Result<(), ApiError> {
        self.keep(space::THING, &thing.name, &thing)?;
        self.tell(Change::Thing {
            name: thing.name.clone(),
        });
        let before = self.state.things.get(thing.name.as_str()).cloned();
        self.announce(|events| events.thing(before.as_deref(), Some(&thing)));
        self.state.insert_thing(thing);
        Ok(())
    }

    pub(crate) fn remove_thing(&mut self, name: &str) {
        for group in self.state.groups_of_thing(name) {
            self.remove_member(&group, name);
        }
        if let Some(thing) = self.state.things.remove(name) {
            self.state.unindex_thing(&thing);
            self.forget(space::THING, name);
            self.tell(Change::Thing {
                name: name.to_owned(),
            });
            self.announce(|events| events.thing(Some(&thing), None));
        }
    }

    pub(crate) fn put_principal(
        &mut self,
        thing: &str,
        principal: &str,
        kind: ThingPrincipalType,
    ) -> Result<(), ApiError> {
        self.keep(space::PRINCIPAL, &pair(thing, principal), &kind)?;
        self.state.insert_principal(thing, principal, kind);
        self.tell_attachment(principal);
        Ok(())
    }

    pub(crate) fn remove_principal(&mut self, thing: &str, principal: &str) {
        remove_entry(&mut self.state.principals_by_thing, thing, principal);
        remove_entry(&mut self.state.things_by_principal, principal, thing);
        self.forget(space::PRINCIPAL, &pair(thing, principal));
        self.tell_attachment(principal);
    }

    pub(crate) fn put_thing_type(&mut self, thing_type: ThingType) -> Result<(), ApiError> {
        self.keep(space::THING_TYPE, &thing_type.name, &thing_type)?;
        let name = thing_type.name.clone();
        let before = self.state.thing_types.get(&name).cloned();
        self.announce(|events| events.thing_type(before.as_deref(), Some(&thing_type)));
        self.state.thing_types.insert(name, Arc::new(thing_type));
        Ok(())
    }

    pub(crate) fn remove_thing_type(&mut self, name: &str) {
        if let Some(thing_type) = self.state.thing_types.remove(name) {
            self.forget(space::THING_TYPE, name);
            self.remove_tags(&thing_type.arn);
            self.announce(|events| events.thing_type(Some(&thing_type), None));
        }
    }

    pub(crate) fn put_thing_group(&mut self, group: ThingGroup) -> Result<(), ApiError> {
        self.keep(space::THING_GROUP, &group.name, &group)?;
        self.tell(Change::Group {
            name: group.name.clone(),
        });
        let before = self.state.thing_groups.get(&group.name).cloned();
        self.announce(|events| events.thing_group(before.as_deref(), Some(&group)));
        self.state.insert_thing_group(group);
        Ok(())
    }

    pub(crate) fn remove_thing_group(&mut self, name: &str) {
        for thing in self.state.things_of_group(name) {
            self.remove_member(name, &thing);
        }
        if let Some(group) = self.state.thing_groups.remove(name) {
            for policy in self.state.policy_names_of_target(&group.arn) {
                self.remove_attachment(&policy, &group.arn);
            }
            if let Some(parent) = &group.parent {
                remove_from(&mut self.state.children_by_group, parent.as_str(), name);
            }
            self.forget(space::THING_GROUP, name);
            self.remove_tags(&group.arn);
            self.tell(Change::Group {
                name: name.to_owned(),
            });
            self.announce(|events| events.thing_group(Some(&group), None));
        }
    }

    pub(crate) fn put_member(&mut self, group: &str, thing: &str) -> Result<(), ApiError> {
        self.keep(space::MEMBER, &pair(group, thing), &())?;
        self.state.insert_member(group, thing);
        self.announce(|events| events.membership(group, thing, true));
        self.tell(Change::Thing {
            name: thing.to_owned(),
        });
        Ok(())
    }

    pub(crate) fn remove_member(&mut self, group: &str, thing: &str) {
        remove_from(&mut self.state.things_by_group, group, thing);
        remove_from(&mut self.state.groups_by_thing, thing, group);
        self.forget(space::MEMBER, &pair(group, thing));
        self.announce(|events| events.membership(group, thing, false));
        self.tell(Change::Thing {
            name: thing.to_owned(),
        });
    }

    pub(crate) fn put_billing_group(&mut self, group: BillingGroup) -> Result<(), ApiError> {
        self.keep(space::BILLING_GROUP, &group.name, &group)?;
        let name = group.name.clone();
        self.state.billing_groups.insert(name, Arc::new(group));
        Ok(())
    }

    /// Its things have no billing group afterwards.
    pub(crate) fn remove_billing_group(&mut self, name: &str) -> Result<(), ApiError> {
        for thing in self.state.things_of_billing_group(name) {
            if let Some(thing) = self.state.things.get(thing.as_str()).cloned() {
                self.put_billing_group_of(&thing, None)?;
            }
        }
        if let Some(group) = self.state.billing_groups.remove(name) {
            self.forget(space::BILLING_GROUP, name);
            self.remove_tags(&group.arn);
        }
        Ok(())
    }

    pub(crate) fn put_billing_group_of(
        &mut self,
        thing: &Thing,
        group: Option<&str>,
    ) -> Result<(), ApiError> {
        if thing.billing_group.as_deref() == group {
            return Ok(());
        }
        self.put_thing(Thing {
            billing_group: group.map(str::to_owned),
            ..thing.clone()
        })
    }

    /// Has the registry say what is said of a change, once it is stored.
    fn announce(&mut self, say: impl FnOnce(&Events<'_>) -> Vec<RegistryEvent>) {
        let events = say(&Events::new(&self.state, self.now));
        self.events.extend(events);
    }
}
