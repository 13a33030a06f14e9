//! What statements ask of the world around them.

use std::cell::{Cell, RefCell};

use jitp_core::rule::Surroundings;
use serde_json::Value;

/// A call of `aws_lambda` that is still to be made. Evaluating waits for nobody: where it comes upon one it ends, and begins
/// anew when there is an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Call {
    /// What the statement names the function by.
    pub(super) arn: String,
    /// What the function is given.
    pub(super) payload: String,
}

/// What came of a call: the function's answer, or why there is none.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) arn: String,
    pub(super) answer: Result<Value, String>,
}

/// The world at the moment of one message.
pub(super) struct World<'a> {
    now_ms: i64,
    account_id: &'a str,
    /// The calls that were made, in the order in which the statement comes upon them.
    answered: &'a [Answered],
    /// How many of them it has come upon.
    met: Cell<usize>,
    open: RefCell<Option<Call>>,
}

impl<'a> World<'a> {
    pub(super) fn new(now_ms: i64, account_id: &'a str, answered: &'a [Answered]) -> Self {
        Self {
            now_ms,
            account_id,
            answered,
            met: Cell::new(0),
            open: RefCell::default(),
        }
    }

    /// The call that the statement wants and that was not made yet.
    pub(super) fn open(&self) -> Option<Call> {
        self.open.borrow().clone()
    }

    fn call(&self, arn: &str, payload: &Value) -> Result<Value, String> {
        let number = self.met.replace(self.met.get() + 1);
        match self.answered.get(number) {
            Some(answered) if answered.arn == arn => answered.answer.clone(),
            // By chance, as with rand(), it is another than the one that was called.
            Some(answered) => Err(format!("{} was called, and not {arn}", answered.arn)),
            None => {
                let mut open = self.open.borrow_mut();
                open.get_or_insert_with(|| Call {
                    arn: arn.to_owned(),
                    payload: payload.to_string(),
                });
                Err("it is called from a statement, and from nowhere else".to_owned())
            }
        }
    }
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

    fn external(&self, function: &str, arguments: &[Option<Value>]) -> Result<Value, String> {
        match (function, arguments) {
            ("aws_lambda", [Some(Value::String(arn)), Some(payload)]) => self.call(arn, payload),
            ("aws_lambda", _) => {
                Err("it wants the ARN of a function, and what it is given".to_owned())
            }
            _ => Err("the local core asks no other service from a statement".to_owned()),
        }
    }
}

/// A random UUID, by the generator of the thread, without a system call.
pub(super) fn random_uuid() -> String {
    let uuid = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    uuid.to_string()
}
