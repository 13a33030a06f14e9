//! What statements ask of the world around them.

use jitp_core::rule::Surroundings;
use serde_json::Value;

/// The world at the moment of one message.
pub(super) struct World<'a> {
    pub(super) now_ms: i64,
    pub(super) account_id: &'a str,
}

impl Surroundings for World<'_> {
    fn now_ms(&self) -> i64 {
        self.now_ms
    }

    fn account_id(&self) -> &str {
        self.account_id
    }

    fn new_uuid(&self) -> String {
        random_uuid()
    }

    fn random(&self) -> f64 {
        rand::random()
    }

    fn external(&self, _: &str, _: &[Option<Value>]) -> Result<Value, String> {
        Err("the local core asks no other service from a statement".to_owned())
    }
}

/// A random UUID, by the generator of the thread, without a system call.
pub(super) fn random_uuid() -> String {
    let uuid = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    uuid.to_string()
}
