//! Functions called by rules. Of an action nobody waits for the answer, and a call that fails is tried twice more (Lambda
//! developer guide, "Asynchronous invocation"); `aws_lambda` in a statement is answered, or fails.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::diary::{Diary, Entry};
use crate::functions::{CallError, Caller, Functions};

/// Longest that a statement waits for a function (AWS IoT developer guide, "aws_lambda").
const LONGEST_IN_STATEMENT: Duration = Duration::from_secs(2);
/// Longest a function may run.
const LONGEST: Duration = Duration::from_secs(900);
/// How long it is waited before each further try.
const PAUSES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];
/// Most calls that wait or run.
const MOST: usize = 10_000;

/// Calls functions without waiting for them.
#[derive(Debug)]
pub(super) struct Invocations {
    functions: Functions,
    diary: Diary,
    places: Arc<Semaphore>,
}

impl Invocations {
    pub(super) fn new(functions: Functions, diary: Diary) -> Self {
        Self {
            functions,
            diary,
            places: Arc::new(Semaphore::new(MOST)),
        }
    }

    /// Calls the function behind an ARN, and waits for its answer.
    ///
    /// # Errors
    /// A sentence why there is none.
    pub(super) async fn ask(
        &self,
        arn: &str,
        payload: String,
        caller: &Caller<'_>,
    ) -> Result<Value, String> {
        let told = |error: CallError| format!("the function {arn} {error}");
        let name = self.functions.callable(arn, caller).map_err(told)?;
        let answer = self
            .functions
            .invoke(name, Bytes::from(payload), LONGEST_IN_STATEMENT);
        let answer = answer.await.map_err(told)?;
        serde_json::from_slice(&answer)
            .map_err(|_| format!("the function {arn} answered what is no JSON"))
    }

    /// Begins a call of the function behind an ARN.
    ///
    /// # Errors
    /// A sentence why the function does not take it; what becomes of a call that began is in the diary.
    pub(super) fn begin(
        &self,
        arn: &str,
        payload: Vec<u8>,
        caller: &Caller<'_>,
    ) -> Result<(), String> {
        let told = |error: CallError| format!("the function {arn} {error}");
        let name = self
            .functions
            .callable(arn, caller)
            .map_err(told)?
            .to_owned();
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(format!("{MOST} calls wait already"));
        };
        let (functions, diary) = (self.functions.clone(), self.diary.clone());
        let payload = Bytes::from(payload);
        tokio::spawn(async move {
            let _place = place;
            let mut pauses = PAUSES.into_iter();
            loop {
                let error = match functions.invoke(&name, payload.clone(), LONGEST).await {
                    Ok(_) => return,
                    Err(error) => error,
                };
                let pause = pauses.next();
                let what = match pause {
                    Some(pause) => format!("is called again in {} s", pause.as_secs()),
                    None => "is not called again".to_owned(),
                };
                let sentence = format!("the function {name}, called by a rule, {error}; it {what}");
                diary.record(Entry::refusal("FUNCTION_FAILED", sentence));
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return,
                }
            }
        });
        Ok(())
    }
}
