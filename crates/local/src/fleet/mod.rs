//! Fleet provisioning over MQTT: a device with a claim certificate asks for a certificate of its own,
//! and registers itself by a provisioning template (developer guide, "Device provisioning MQTT API").

mod credentials;
mod hook;
mod payload;
mod register;
mod rejection;
mod sweep;
#[cfg(test)]
mod tests;
mod topics;

use std::sync::Arc;

use futures::future::BoxFuture;
use jitp_core::quotas;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::account::{Account, ApiError};
use crate::broker::{Answer, Handler, Request};
use crate::diary::{Diary, Entry};
use crate::functions::Functions;
use crate::quotas::Quotas;
use rejection::Rejection;
use topics::{Ask, Operation};

pub(crate) use sweep::sweep;

/// Requests that may wait for their turn; what comes on top is rejected, not remembered.
const WAITING: usize = 4096;

/// The service behind `$aws/certificates/…` and `$aws/provisioning-templates/…`. Clones share it.
#[derive(Clone)]
pub(crate) struct FleetProvisioning {
    inner: Arc<Inner>,
}

struct Inner {
    account: Account,
    diary: Diary,
    functions: Functions,
    quotas: Option<Quotas>,
    /// Places of those that are waiting or being served.
    waiting: Semaphore,
    /// Turns at the processors.
    working: Arc<Semaphore>,
}

impl FleetProvisioning {
    /// The service of an account; hooks are called as `functions`.
    pub(crate) fn new(
        account: Account,
        diary: Diary,
        functions: Functions,
        enforce_quotas: bool,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let quotas = enforce_quotas.then(|| Quotas::new(account.clock().clone()));
        Self {
            inner: Arc::new(Inner {
                account,
                diary,
                functions,
                quotas,
                waiting: Semaphore::new(WAITING),
                working: Arc::new(Semaphore::new(processors)),
            }),
        }
    }
}

impl Handler for FleetProvisioning {
    fn takes(&self, topic: &str) -> bool {
        Ask::read(topic).is_some()
    }

    fn handle(&self, request: Request) -> BoxFuture<'static, Vec<Answer>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.serve(request).await.into_iter().collect() })
    }
}

/// Who asks, for the diary and the hook.
#[derive(Clone, Debug)]
struct Asking {
    client_id: String,
    certificate_id: Arc<str>,
}

impl Asking {
    fn about(&self, entry: Entry) -> Entry {
        entry
            .client(self.client_id.clone())
            .certificate(&*self.certificate_id)
    }
}

impl Inner {
    async fn serve(self: Arc<Self>, request: Request) -> Option<Answer> {
        let ask = Ask::read(&request.topic)?;
        let asking = Asking {
            client_id: request.client_id,
            certificate_id: request.certificate_id,
        };
        let outcome = match self.refuse_for_now(&ask.operation) {
            Some(rejection) => Err(rejection),
            None => {
                // Never closed; held until the answer is made.
                let _place = self.waiting.try_acquire();
                self.answer(&ask, &asking, &request.payload).await
            }
        };
        let (ending, body) = match outcome {
            Ok(body) => ("accepted", body),
            Err(rejection) => {
                let sentence = format!("{} rejected: {}", ask.operation, rejection.reason());
                let entry = Entry::refusal(rejection.diary_code(), sentence);
                self.diary.record(asking.about(entry));
                ("rejected", rejection.body())
            }
        };
        Some(Answer {
            topic: format!("{}/{ending}", request.topic),
            payload: ask.format.write(&body).into(),
        })
    }

    /// Why a request is not even looked at.
    fn refuse_for_now(&self, operation: &Operation) -> Option<Rejection> {
        if self.waiting.available_permits() == 0 {
            let sentence = format!("{WAITING} requests are waiting already");
            return Some(Rejection::throttled(sentence));
        }
        let rate = quotas::mqtt_calls_per_second(operation.name())?;
        let within = self
            .quotas
            .as_ref()
            .is_none_or(|quotas| quotas.admit_at(operation.name(), rate));
        (!within).then(|| {
            let name = operation.name();
            Rejection::throttled(format!("more than {rate} {name} a second"))
        })
    }

    async fn answer(
        self: &Arc<Self>,
        ask: &Ask<'_>,
        asking: &Asking,
        payload: &[u8],
    ) -> Result<Map<String, Value>, Rejection> {
        match &ask.operation {
            Operation::CreateKeysAndCertificate => self.create_keys(asking).await,
            Operation::CreateCertificateFromCsr => {
                let body = ask.format.read(payload)?;
                self.create_from_csr(asking, body).await
            }
            Operation::RegisterThing { template } => {
                let body = ask.format.read(payload)?;
                self.register(asking, template, body).await
            }
        }
    }

    /// Does work that takes a processor or waits for the disk, in its turn and beside everything else.
    async fn work<T, W>(self: &Arc<Self>, work: W) -> Result<T, Rejection>
    where
        T: Send + 'static,
        W: FnOnce(&Self) -> Result<T, Rejection> + Send + 'static,
    {
        let turn = Arc::clone(&self.working).acquire_owned().await;
        let inner = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&inner)
        });
        done.await.unwrap_or_else(|_| {
            Err(ApiError::internal("the request failed inside the local core").into())
        })
    }

    fn tell(&self, asking: &Asking, code: &'static str, sentence: String) {
        self.diary.record(asking.about(Entry::step(code, sentence)));
    }
}
