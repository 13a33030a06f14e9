//! Topic rules, as they are kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::account::clock::Timestamp;
use crate::account::rules::{RulePayload, Understood};

/// A topic rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "StoredTopicRule", try_from = "StoredTopicRule")]
pub struct TopicRule {
    /// Its name.
    pub name: String,
    /// `arn:aws:iot:REGION:ACCOUNT:rule/NAME`.
    pub arn: String,
    /// What it was given.
    pub payload: RulePayload,
    /// That, read once.
    pub understood: Arc<Understood>,
    /// When it was made.
    pub creation_date: Timestamp,
}

/// A rule without what can be read again.
#[derive(Serialize, Deserialize)]
struct StoredTopicRule {
    name: String,
    arn: String,
    payload: RulePayload,
    creation_date: Timestamp,
}

impl From<TopicRule> for StoredTopicRule {
    fn from(rule: TopicRule) -> Self {
        Self {
            name: rule.name,
            arn: rule.arn,
            payload: rule.payload,
            creation_date: rule.creation_date,
        }
    }
}

impl TryFrom<StoredTopicRule> for TopicRule {
    type Error = String;

    fn try_from(stored: StoredTopicRule) -> Result<Self, String> {
        let understood = Understood::read(&stored.payload).map_err(|error| error.to_string())?;
        Ok(Self {
            name: stored.name,
            arn: stored.arn,
            payload: stored.payload,
            understood: Arc::new(understood),
            creation_date: stored.creation_date,
        })
    }
}
