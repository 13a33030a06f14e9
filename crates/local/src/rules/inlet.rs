//! From a published message to the rules that see it. It is asked for every message, and costs next to nothing where
//! there are no rules.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::account::{Account, TopicRule};
use crate::diary::{Diary, Entry, PerSecond};
use crate::router::{Message, Trie};

/// Messages that wait for rules from which on publishers are slowed down.
const CONGESTED: usize = 4_096;
/// Messages that wait for rules from which on rules do not see further ones, as when AWS's quotas are exceeded.
const FULL: usize = 100_000;

/// Where a message comes from, as rules see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// MQTT client id; none for what did not come over MQTT.
    pub(crate) client_id: Option<Arc<str>>,
    /// Certificate id of the connection.
    pub(crate) principal: Option<Arc<str>>,
    /// Address it came from.
    pub(crate) address: Option<IpAddr>,
    /// How often rules have republished it.
    pub(crate) republished: u32,
}

/// A message and the rules that see it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) message: Message,
    pub(super) origin: Origin,
    pub(super) rules: Vec<Arc<TopicRule>>,
}

/// What came of a message to one rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ingested {
    /// The rule has it.
    Taken {
        /// Rules cannot keep up: whoever publishes should slow down.
        congested: bool,
    },
    /// There is no such rule.
    NoSuchRule,
    /// The rule is switched off.
    Disabled,
}

/// The rules of one moment.
#[derive(Debug, Default)]
struct RuleSet {
    generation: u64,
    by_filter: Trie<Arc<TopicRule>>,
    by_name: HashMap<String, Arc<TopicRule>>,
    is_empty: bool,
}

/// Where messages are offered to rules.
#[derive(Debug)]
pub(crate) struct Inlet {
    account: Account,
    rules: ArcSwap<RuleSet>,
    compiling: Mutex<()>,
    jobs: mpsc::UnboundedSender<Job>,
    waiting: Arc<AtomicUsize>,
    diary: Diary,
    told: PerSecond,
}

/// Where an engine takes from.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(super) jobs: mpsc::UnboundedReceiver<Job>,
    pub(super) waiting: Arc<AtomicUsize>,
}

impl Inlet {
    /// An inlet for the rules of an account, and its other end.
    pub(crate) fn new(account: Account, diary: Diary) -> (Self, Outlet) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let rules = RuleSet::of(&account);
        let inlet = Self {
            account,
            rules: ArcSwap::from_pointee(rules),
            compiling: Mutex::default(),
            jobs: sender,
            waiting: Arc::clone(&waiting),
            diary,
            told: PerSecond::default(),
        };
        let outlet = Outlet {
            jobs: receiver,
            waiting,
        };
        (inlet, outlet)
    }

    /// Whether a rule sees messages on this topic.
    pub(crate) fn sees(&self, topic: &str) -> bool {
        self.refresh();
        let rules = self.rules.load();
        let mut seen = false;
        if !rules.is_empty {
            rules.by_filter.for_each(topic, |_| seen = true);
        }
        seen
    }

    /// Hands a message to the rules that see it; whether they cannot keep up.
    pub(crate) fn offer(&self, message: &Message, origin: impl FnOnce() -> Origin) -> bool {
        self.refresh();
        let rules = self.rules.load();
        if rules.is_empty {
            return false;
        }
        let mut wanted: Vec<Arc<TopicRule>> = Vec::new();
        rules
            .by_filter
            .for_each(&message.topic, |rule| wanted.push(Arc::clone(rule)));
        if wanted.is_empty() {
            return false;
        }
        self.hand_over(message.detached(), origin(), wanted)
    }

    /// Hands a message to one rule, whatever topics that sees (basic ingest).
    pub(crate) fn offer_to(
        &self,
        rule: &str,
        message: Message,
        origin: impl FnOnce() -> Origin,
    ) -> Ingested {
        self.refresh();
        match self.rules.load().by_name.get(rule) {
            None => Ingested::NoSuchRule,
            Some(rule) if rule.payload.disabled => Ingested::Disabled,
            Some(rule) => Ingested::Taken {
                congested: self.hand_over(message, origin(), vec![Arc::clone(rule)]),
            },
        }
    }

    fn hand_over(&self, message: Message, origin: Origin, rules: Vec<Arc<TopicRule>>) -> bool {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let job = Job {
            message,
            origin,
            rules,
        };
        // Without an engine, which is gone when the core stops, nobody would take it.
        if waiting >= FULL || self.jobs.send(job).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            let now = self.account.clock().now().unix_timestamp();
            if self.told.once_more(now, 1) {
                self.diary.record(Entry::refusal(
                    "RULES_OVERLOADED",
                    format!(
                        "messages are not seen by rules: {waiting} others wait for them already"
                    ),
                ));
            }
        }
        waiting >= CONGESTED
    }

    /// Sorts the rules anew if they have changed; a rule is seen by the next message after its call was answered.
    fn refresh(&self) {
        if self.rules.load().generation == self.account.topic_rules_generation() {
            return;
        }
        let _compiling = self.compiling.lock();
        if self.rules.load().generation != self.account.topic_rules_generation() {
            self.rules.store(Arc::new(RuleSet::of(&self.account)));
        }
    }
}

impl RuleSet {
    fn of(account: &Account) -> Self {
        // Read first: what changes meanwhile is looked at again.
        let generation = account.topic_rules_generation();
        let state = account.snapshot();
        let mut by_filter = Trie::default();
        let mut by_name = HashMap::new();
        for (name, rule) in &state.topic_rules {
            by_name.insert(name.clone(), Arc::clone(rule));
            let filter = rule.understood.statement.topic_filter();
            if let Some(filter) = filter.filter(|_| !rule.payload.disabled) {
                by_filter.values_mut(filter).push(Arc::clone(rule));
            }
        }
        Self {
            generation,
            is_empty: by_name.is_empty(),
            by_filter,
            by_name,
        }
    }
}
