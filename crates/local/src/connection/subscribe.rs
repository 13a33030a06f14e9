//! SUBSCRIBE and UNSUBSCRIBE.

use std::sync::Arc;

use bytestring::ByteString;
use jitp_wire::topic::{check_filter, has_wildcard, split_share};
use jitp_wire::{Filter, QoS, Subscribe, Unsubscribe, Version};
use jitp_wire::{encode_suback, encode_unsuback, reason};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Connection;
use super::ending::Ending;
use crate::policy::Action;
use crate::reserved;
use crate::router::Subscriber;
use crate::session::Subscription;

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), Ending> {
        self.check_number(subscribe.filters.len(), "SUBSCRIBE")?;
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut new = 0;
        for filter in &subscribe.filters {
            // [MQTT-3.8.3-4] A protocol error, whatever the policy says of the filter.
            if filter.no_local && split_share(&filter.filter).is_some() {
                let name = &*filter.filter;
                let sentence =
                    format!("SUBSCRIBE to {name:?}: a shared subscription has no \"no local\"");
                self.refuse("FILTER_REFUSED", sentence);
                return Err(Ending::Fault(reason::PROTOCOL_ERROR));
            }
            if filter.qos == QoS::ExactlyOnce {
                let sentence = format!("SUBSCRIBE to {:?} with QoS 2", &*filter.filter);
                self.refuse("QOS_NOT_SUPPORTED", sentence);
                return Err(Ending::Fault(reason::QOS_NOT_SUPPORTED));
            }
            let code = match self.judge(filter, &mut new) {
                Ok(()) => filter.qos as u8,
                // 3.1.1 clients are disconnected for a filter that is refused.
                Err(ending) if self.version == Version::V3 => return Err(ending),
                Err(ending) => ending.reason_code().unwrap_or(reason::UNSPECIFIED),
            };
            codes.push(code);
        }
        let granted = subscribe.filters.iter().zip(&codes);
        let granted: Vec<&Filter> = granted
            .filter(|(_, code)| **code < reason::UNSPECIFIED)
            .map(|(filter, _)| filter)
            .collect();
        let added: Vec<bool> = granted.iter().map(|filter| self.file(filter)).collect();
        self.writes.extend(self.session.write_of());
        encode_suback(&mut self.reply, self.version, subscribe.packet_id, &codes);
        for (filter, new) in granted.iter().zip(added) {
            self.send_retained(filter, new);
        }
        let topics: Vec<&str> = granted.iter().map(|filter| &*filter.filter).collect();
        if !topics.is_empty() {
            self.client.subscribed(&self.core, &topics);
        }
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, unsubscribe: Unsubscribe) -> Result<(), Ending> {
        self.check_number(unsubscribe.filters.len(), "UNSUBSCRIBE")?;
        let mut gone = Vec::new();
        for filter in &unsubscribe.filters {
            if self.session.forget(filter) {
                self.core.router.unsubscribe(filter, &self.session);
                gone.push(&**filter);
            }
        }
        self.writes.extend(self.session.write_of());
        // AWS does not document 0x11 (no subscription existed): success either way.
        let codes = vec![reason::SUCCESS; unsubscribe.filters.len()];
        encode_unsuback(&mut self.reply, self.version, unsubscribe.packet_id, &codes);
        if !gone.is_empty() {
            self.client.unsubscribed(&self.core, &gone);
        }
        Ok(())
    }

    fn check_number(&self, filters: usize, packet: &str) -> Result<(), Ending> {
        let most = self.core.limits.filters_per_subscribe;
        if filters <= most {
            return Ok(());
        }
        let sentence = format!("{packet} with {filters} filters; {most} are allowed");
        self.refuse("TOO_MANY_FILTERS", sentence);
        Err(Ending::Fault(reason::QUOTA_EXCEEDED))
    }

    /// Whether a filter may be subscribed to; otherwise how a 3.1.1 connection ends for it, whose
    /// reason code is the one an MQTT 5 client finds in its SUBACK.
    fn judge(&mut self, filter: &Filter, new: &mut usize) -> Result<(), Ending> {
        let name = &*filter.filter;
        if let Err(fault) = check_filter(name) {
            self.refuse("FILTER_REFUSED", format!("SUBSCRIBE to {name:?}: {fault}"));
            return Err(Ending::Fault(reason::TOPIC_FILTER_INVALID));
        }
        if !reserved::may_subscribe(name) {
            let sentence = format!("SUBSCRIBE to {name:?}: no such reserved topic is served here");
            self.refuse("RESERVED_TOPIC", sentence);
            return Err(Ending::Fault(reason::TOPIC_FILTER_INVALID));
        }
        let (count, known) = self.session.subscriptions(name);
        let most = self.core.limits.subscriptions_per_connection;
        if !known {
            *new += 1;
            if count + *new > most {
                *new -= 1;
                let sentence = format!("SUBSCRIBE to {name:?}: {most} subscriptions are the most");
                self.refuse("TOO_MANY_SUBSCRIPTIONS", sentence);
                return Err(Ending::Fault(reason::QUOTA_EXCEEDED));
            }
        }
        let what = format!("SUBSCRIBE to {name:?} refused");
        if self.allows(Action::Subscribe, name, &what) {
            Ok(())
        } else {
            *new -= usize::from(!known);
            Err(Ending::Denied)
        }
    }

    /// Files a subscription with the session and in the topic tree; whether it is a new one.
    fn file(&self, filter: &Filter) -> bool {
        // Copied, so that it does not keep the SUBSCRIBE it came in alive.
        let name = ByteString::from(&*filter.filter);
        let new = self.session.remember(Subscription {
            filter: name,
            qos: filter.qos,
            no_local: filter.no_local,
            retain_as_published: filter.retain_as_published,
        });
        self.core.router.subscribe(
            &filter.filter,
            Subscriber {
                session: Arc::clone(&self.session),
                qos: filter.qos,
                no_local: filter.no_local,
                retain_as_published: filter.retain_as_published,
            },
        );
        if !self.session.subscriptions(&filter.filter).1 {
            // The session ended in between (it was taken over): nobody else would clear this up.
            self.core.router.unsubscribe(&filter.filter, &self.session);
        }
        new
    }

    /// A retained message answers a subscription to exactly its topic; AWS sends none for wildcards
    /// and for shared subscriptions.
    fn send_retained(&self, filter: &Filter, new: bool) {
        let wanted = match filter.retain_handling {
            0 => true,
            1 => new,
            _ => false,
        };
        if !wanted || has_wildcard(&filter.filter) || split_share(&filter.filter).is_some() {
            return;
        }
        if let Some(kept) = self.core.retained.get(&filter.filter) {
            let now = self.core.now();
            self.session
                .deliver_retained(&kept.message, filter.qos, now);
        }
    }
}
