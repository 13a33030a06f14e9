//! Routing: from a message to the sessions that subscribed to its topic.

mod message;
mod retained;
mod trie;

use std::sync::Arc;

use jitp_wire::QoS;
use jitp_wire::topic::split_share;
use parking_lot::RwLock;

pub(crate) use message::{Copies, Message, outline};
pub(crate) use retained::{Kept, Retained, SPACE as RETAINED_SPACE};
pub(crate) use trie::Trie;

use crate::session::{Delivery, Session};
use crate::storage::Write;

/// One session's interest in one filter.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    pub(crate) session: Arc<Session>,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
}

/// What is filed under a filter: sessions one by one, or a `$share` group of which one member is served.
#[derive(Debug)]
enum Target {
    One(Subscriber),
    Group {
        name: Box<str>,
        members: Vec<Subscriber>,
    },
}

/// How the routing of a message went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Routed {
    /// A subscriber has much waiting for it: whoever publishes should slow down.
    pub(crate) congested: bool,
}

/// The topic tree, shared by all connections. Readers do not wait for each other, and no lock is held
/// across an await.
#[derive(Debug, Default)]
pub(crate) struct Router {
    tree: RwLock<Trie<Target>>,
}

impl Router {
    /// Files a subscription; one for the same session and filter is replaced.
    pub(crate) fn subscribe(&self, filter: &str, subscriber: Subscriber) {
        let mut tree = self.tree.write();
        match split_share(filter) {
            None => {
                let targets = tree.values_mut(filter);
                let old = targets.iter_mut().find_map(|target| match target {
                    Target::One(old) if same(old, &subscriber.session) => Some(old),
                    _ => None,
                });
                match old {
                    Some(old) => *old = subscriber,
                    None => targets.push(Target::One(subscriber)),
                }
            }
            Some((group, filter)) => {
                let targets = tree.values_mut(filter);
                let found = targets.iter_mut().find_map(|target| match target {
                    Target::Group { name, members } if **name == *group => Some(members),
                    _ => None,
                });
                match found {
                    Some(members) => {
                        members.retain(|old| !same(old, &subscriber.session));
                        members.push(subscriber);
                    }
                    None => targets.push(Target::Group {
                        name: group.into(),
                        members: vec![subscriber],
                    }),
                }
            }
        }
    }

    /// Takes a subscription out of the tree.
    pub(crate) fn unsubscribe(&self, filter: &str, session: &Arc<Session>) {
        let mut tree = self.tree.write();
        match split_share(filter) {
            None => tree.retain(filter, |target| match target {
                Target::One(subscriber) => !same(subscriber, session),
                Target::Group { .. } => true,
            }),
            Some((group, filter)) => tree.retain(filter, |target| match target {
                Target::Group { name, members } if **name == *group => {
                    members.retain(|member| !same(member, session));
                    !members.is_empty()
                }
                _ => true,
            }),
        }
    }

    /// Whether anybody would get a message on this topic.
    pub(crate) fn has_subscriber(&self, topic: &str) -> bool {
        let mut found = false;
        self.tree.read().for_each(topic, |_| found = true);
        found
    }

    /// Hands a message to every subscriber, each once, with the highest QoS it asked for. Of a
    /// `$share` group one member gets it: a random one that is connected, else one with a session.
    /// What has to be durable before the publisher is answered is added to `writes`.
    pub(crate) fn publish(
        &self,
        message: &Message,
        now: i64,
        mut writes: Option<&mut Vec<Write>>,
    ) -> Routed {
        let tree = self.tree.read();
        let mut first: Option<&Subscriber> = None;
        let mut more: Vec<(&Subscriber, QoS)> = Vec::new();
        let mut groups: Vec<&[Subscriber]> = Vec::new();
        tree.for_each(&message.topic, |target| match target {
            Target::One(subscriber) if first.is_none() => first = Some(subscriber),
            Target::One(subscriber) => more.push((subscriber, subscriber.qos)),
            Target::Group { members, .. } => groups.push(members),
        });
        let mut routed = Routed::default();
        let Ok(mut copies) = Copies::new(message, now, !more.is_empty() || !groups.is_empty())
        else {
            return routed;
        };
        let mut deliver = |subscriber: &Subscriber, qos: QoS, online_only: bool| {
            let delivery = subscriber.session.deliver(
                &mut copies,
                subscriber,
                qos,
                online_only,
                writes.as_deref_mut(),
            );
            routed.congested |= delivery == Delivery::Congested;
            delivery
        };
        if let Some(subscriber) = first {
            if more.is_empty() {
                deliver(subscriber, subscriber.qos, false);
            } else {
                more.push((subscriber, subscriber.qos));
                merge_overlapping(&mut more);
                for (subscriber, qos) in &more {
                    deliver(subscriber, *qos, false);
                }
            }
        }
        for members in groups {
            let start = rand::random_range(0..members.len());
            let in_turn = || members[start..].iter().chain(&members[..start]);
            let served =
                in_turn().any(|member| deliver(member, member.qos, true) != Delivery::NotDelivered);
            if !served {
                let _ = in_turn()
                    .any(|member| deliver(member, member.qos, false) != Delivery::NotDelivered);
            }
        }
        routed
    }
}

/// A session whose filters overlap gets a message once, with the highest QoS of them.
fn merge_overlapping(subscribers: &mut Vec<(&Subscriber, QoS)>) {
    subscribers.sort_by_key(|(subscriber, _)| Arc::as_ptr(&subscriber.session) as usize);
    subscribers.dedup_by(|gone, kept| {
        let same = same(gone.0, &kept.0.session);
        if same {
            kept.1 = kept.1.max(gone.1);
        }
        same
    });
}

fn same(subscriber: &Subscriber, session: &Arc<Session>) -> bool {
    Arc::ptr_eq(&subscriber.session, session)
}
