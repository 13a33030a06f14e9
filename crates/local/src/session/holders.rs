//! Client ids of the connections there are, by what changes are told of: certificate and thing.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use bytestring::ByteString;

use super::Link;

/// Who holds a connection. One that is added is to be removed once.
#[derive(Debug, Default)]
pub(super) struct Holders {
    by_certificate: HashMap<Arc<str>, Vec<ByteString>>,
    /// Of connections whose client id is not the name of their thing.
    by_thing: HashMap<Box<str>, Vec<ByteString>>,
}

impl Holders {
    pub(super) fn add(&mut self, client_id: &ByteString, link: &Link) {
        let certificate = Arc::clone(&link.certificate_id);
        add(&mut self.by_certificate, certificate, client_id);
        if let Some(thing) = other_name(client_id, link) {
            add(&mut self.by_thing, thing.into(), client_id);
        }
    }

    pub(super) fn remove(&mut self, client_id: &ByteString, link: &Link) {
        remove(&mut self.by_certificate, &link.certificate_id, client_id);
        if let Some(thing) = other_name(client_id, link) {
            remove(&mut self.by_thing, thing, client_id);
        }
    }

    /// Client ids that may be connected with one of these certificates, for one of these things, or under the name of
    /// one: each once.
    pub(super) fn of(
        &self,
        certificates: &HashSet<String>,
        things: &HashSet<String>,
    ) -> HashSet<ByteString> {
        let by_certificate = certificates
            .iter()
            .filter_map(|id| self.by_certificate.get(id.as_str()));
        let by_thing = things
            .iter()
            .filter_map(|name| self.by_thing.get(name.as_str()));
        let named = things.iter().map(|name| ByteString::from(name.as_str()));
        by_certificate
            .chain(by_thing)
            .flatten()
            .cloned()
            .chain(named)
            .collect()
    }
}

fn other_name<'a>(client_id: &ByteString, link: &'a Link) -> Option<&'a str> {
    link.thing_name
        .as_deref()
        .filter(|thing| *thing != &**client_id)
}

fn add<K: Hash + Eq>(map: &mut HashMap<K, Vec<ByteString>>, key: K, client: &ByteString) {
    // One, as a rule: a certificate is a device's.
    map.entry(key)
        .or_insert_with(|| Vec::with_capacity(1))
        .push(client.clone());
}

fn remove<K: Hash + Eq + Borrow<str>>(
    map: &mut HashMap<K, Vec<ByteString>>,
    key: &str,
    client: &ByteString,
) {
    let Some(clients) = map.get_mut(key) else {
        return;
    };
    if let Some(at) = clients.iter().position(|held| held == client) {
        clients.swap_remove(at);
    }
    if clients.is_empty() {
        map.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(certificate: &str, thing: Option<&str>) -> Link {
        Link::new(certificate.into(), thing)
    }

    fn of(holders: &Holders, certificates: &[&str], things: &[&str]) -> Vec<String> {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let found = holders.of(&set(certificates), &set(things));
        let mut found: Vec<_> = found.iter().map(ToString::to_string).collect();
        found.sort();
        found
    }

    #[test]
    fn connections_are_found_by_certificate_thing_and_client_id() {
        let mut holders = Holders::default();
        holders.add(&"a".into(), &link("1", Some("pump")));
        holders.add(&"b".into(), &link("1", None));
        holders.add(&"c".into(), &link("2", Some("c")));
        assert_eq!(of(&holders, &["1"], &[]), ["a", "b"]);
        assert_eq!(of(&holders, &["2", "3"], &[]), ["c"]);
        assert_eq!(of(&holders, &["1"], &["pump"]), ["a", "b", "pump"]);
        assert_eq!(of(&holders, &[], &["c"]), ["c"]);
    }

    #[test]
    fn one_of_two_connections_under_a_client_id_goes_and_the_other_stays() {
        let mut holders = Holders::default();
        let (old, new) = (link("1", Some("pump")), link("1", Some("pump")));
        holders.add(&"a".into(), &old);
        holders.add(&"a".into(), &new);
        holders.remove(&"a".into(), &old);
        assert_eq!(of(&holders, &["1"], &["pump"]), ["a", "pump"]);
        holders.remove(&"a".into(), &new);
        assert!(of(&holders, &["1"], &[]).is_empty());
        assert!(holders.by_certificate.is_empty() && holders.by_thing.is_empty());
    }
}
