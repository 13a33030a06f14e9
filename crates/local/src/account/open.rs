//! Opening an account: every stored record read back into memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::broadcast;

use super::records::Function;
use super::state::{Scope, State};
use super::{Account, AccountSettings, CHANGES_KEPT, Inner, space};
use crate::storage::{Storage, StorageError};

impl Account {
    /// Opens the account that lies in the storage; an empty storage is an empty account.
    ///
    /// # Errors
    /// When the storage cannot be read, or holds a record this program does not understand.
    pub fn open(settings: AccountSettings) -> Result<Self, StorageError> {
        let scope = Scope {
            region: settings.region,
            account_id: settings.account_id,
        };
        let mut state = State::new(scope, &settings.endpoint);
        load(&mut state, &settings.storage)?;
        Ok(Self {
            inner: Arc::new(Inner {
                clock: settings.clock,
                storage: settings.storage,
                state: ArcSwap::from_pointee(state),
                writing: Mutex::new(()),
                changes: broadcast::channel(CHANGES_KEPT).0,
                events: Mutex::new(None),
                issuing_ca: Mutex::new(None),
                topic_rules: AtomicU64::new(0),
            }),
        })
    }
}

fn load(state: &mut State, storage: &Storage) -> Result<(), StorageError> {
    for (_, ca) in records(storage, space::CA_CERTIFICATE)? {
        state.insert_ca(ca);
    }
    for (_, certificate) in records(storage, space::CERTIFICATE)? {
        state.insert_certificate(certificate);
    }
    for (_, thing) in records(storage, space::THING)? {
        state.insert_thing(thing);
    }
    for (_, group) in records(storage, space::THING_GROUP)? {
        state.insert_thing_group(group);
    }
    for (name, policy) in records(storage, space::POLICY)? {
        state.policies.insert(name, Arc::new(policy));
    }
    for (name, thing_type) in records(storage, space::THING_TYPE)? {
        state.thing_types.insert(name, Arc::new(thing_type));
    }
    for (name, group) in records(storage, space::BILLING_GROUP)? {
        state.billing_groups.insert(name, Arc::new(group));
    }
    for (name, template) in records(storage, space::TEMPLATE)? {
        state
            .provisioning_templates
            .insert(name, Arc::new(template));
    }
    for (hash, token) in records(storage, space::OWNERSHIP_TOKEN)? {
        state.insert_ownership_token(hash, token);
    }
    for (id, claim) in records(storage, space::PROVISIONING_CLAIM)? {
        state.provisioning_claims.insert(id, Arc::new(claim));
    }
    for (name, role) in records(storage, space::ROLE)? {
        state.roles.insert(name, Arc::new(role));
    }
    for (id, mapping) in records(storage, space::EVENT_SOURCE)? {
        state.event_sources.insert(id, Arc::new(mapping));
    }
    for (name, rule) in records(storage, space::TOPIC_RULE)? {
        state.topic_rules.insert(name, Arc::new(rule));
    }
    let mut codes: HashMap<Vec<u8>, Vec<u8>> =
        storage.load(space::FUNCTION_CODE)?.into_iter().collect();
    for (name, mut function) in records::<Function>(storage, space::FUNCTION)? {
        function.code = codes.remove(name.as_bytes()).unwrap_or_default().into();
        state.functions.insert(name, Arc::new(function));
    }
    for (arn, tags) in records(storage, space::TAGS)? {
        state.tags.insert(arn, Arc::new(tags));
    }
    for (key, ()) in records(storage, space::ATTACHMENT)? {
        let (policy, target) = split(space::ATTACHMENT, &key)?;
        state.insert_attachment(policy, target);
    }
    for (key, kind) in records(storage, space::PRINCIPAL)? {
        let (thing, principal) = split(space::PRINCIPAL, &key)?;
        state.insert_principal(thing, principal, kind);
    }
    for (key, ()) in records(storage, space::MEMBER)? {
        let (group, thing) = split(space::MEMBER, &key)?;
        state.insert_member(group, thing);
    }
    for (key, value) in records::<serde_json::Value>(storage, space::ACCOUNT)? {
        let unreadable = |reason: String| StorageError::Record {
            space: space::ACCOUNT,
            key: key.clone(),
            reason,
        };
        match key.as_str() {
            super::REGISTRATION_CODE => {
                let code = value
                    .as_str()
                    .ok_or_else(|| unreadable("not a text".to_owned()))?;
                state.registration_code = Some(code.into());
            }
            super::EVENT_CONFIGURATIONS => {
                let configurations =
                    serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))?;
                state.event_configurations = Arc::new(configurations);
            }
            _ => {}
        }
    }
    Ok(())
}

fn records<T: DeserializeOwned>(
    storage: &Storage,
    space: &'static str,
) -> Result<Vec<(String, T)>, StorageError> {
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        let key = String::from_utf8_lossy(&key).into_owned();
        match serde_json::from_slice(&value) {
            Ok(record) => Ok((key, record)),
            Err(error) => Err(StorageError::Record {
                space,
                key,
                reason: error.to_string(),
            }),
        }
    };
    storage.load(space)?.into_iter().map(read).collect()
}

fn split<'a>(space: &'static str, key: &'a str) -> Result<(&'a str, &'a str), StorageError> {
    key.split_once('\n').ok_or_else(|| StorageError::Record {
        space,
        key: key.to_owned(),
        reason: "names no pair".to_owned(),
    })
}
