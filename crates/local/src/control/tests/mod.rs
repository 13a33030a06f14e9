//! The control plane as a client sees it: status, error type, body. Every answer is judged by the model.

mod behaviour;
mod breaking;
mod cloudwatch;
mod conformance;
mod iam;
mod interference;
mod judge;
mod registry;
mod samples;
mod sqs;
mod topic_rules;
mod tour;
mod xml;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::Request;
use parking_lot::Mutex;
use serde_json::Value;
use time::macros::datetime;
use tokio_util::sync::CancellationToken;

use super::serve::{BODY_LIMIT, serve};
use super::{ControlSettings, HANDLERS, Server};
use crate::account::{Account, AccountSettings, Clock, ClockHand};
use crate::admit::Admission;
use crate::broker::{Broker, BrokerSettings, Limits};
use crate::data_plane;
use crate::diary::Diary;
use crate::event_sources::{EventSourceSettings, EventSources};
use crate::functions;
use crate::model::{self, Form, Service};
use crate::sqs::{QueueSettings, Queues};
use crate::storage::Storage;

const POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;

/// A control plane of a fresh account, called without sockets.
struct Core {
    server: Arc<Server>,
    hand: ClockHand,
    /// Operations that were answered with success.
    served: Mutex<BTreeSet<String>>,
}

/// An answer.
#[derive(Debug)]
struct Got {
    status: u16,
    error: String,
    body: Value,
}

impl Core {
    fn new() -> Self {
        Self::adjusted(|settings| settings)
    }

    fn adjusted(adjust: impl FnOnce(ControlSettings) -> ControlSettings) -> Self {
        let (clock, hand) = Clock::manual(datetime!(2026-01-01 0:00 UTC));
        let account = Account::open(AccountSettings {
            account_id: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: "localhost:8883".to_owned(),
            clock,
            storage: Storage::memory(),
        });
        let settings = ControlSettings::new(account.unwrap(), Diary::new(100));
        Self {
            hand,
            ..Self::with(adjust(settings))
        }
    }

    fn with(settings: ControlSettings) -> Self {
        Self {
            server: Arc::new(Server::new(settings)),
            hand: Clock::manual(datetime!(2026-01-01 0:00 UTC)).1,
            served: Mutex::default(),
        }
    }

    /// A control plane with the data plane of a broker plugged in.
    fn with_data_plane() -> Self {
        Self::adjusted(|settings| {
            let (account, diary) = (settings.account.clone(), settings.diary.clone());
            let broker = Broker::new(BrokerSettings {
                admission: Arc::new(Admission::new(account.clone(), diary.clone()).0),
                clock: account.clock().clone(),
                account,
                diary,
                storage: Storage::memory(),
                limits: Limits::default(),
            });
            let functions = functions::Functions::new(functions::FunctionSettings {
                account: settings.account.clone(),
                diary: settings.diary.clone(),
                given: Vec::new(),
                environment: Vec::new(),
            });
            let queues = Queues::open(QueueSettings {
                account: settings.account.clone(),
                diary: settings.diary.clone(),
                storage: Storage::memory(),
                url: "http://localhost:4566".to_owned(),
                shutdown: CancellationToken::new(),
            });
            let queues = queues.unwrap();
            let sources = EventSources::new(EventSourceSettings {
                account: settings.account.clone(),
                diary: settings.diary.clone(),
                queues: queues.clone(),
                functions: functions.clone(),
                shutdown: CancellationToken::new(),
            });
            let settings = functions::plug_in(settings, &functions);
            let settings = crate::event_sources::plug_in(settings, &sources);
            let settings = crate::sqs::plug_in(settings, &queues);
            let settings = crate::sqs::plug_metrics_in(settings, &queues);
            data_plane::plug_in(settings, &broker.unwrap())
        })
    }

    fn settings(&self) -> &ControlSettings {
        &self.server.settings
    }

    async fn call(&self, method: &str, target: &str, body: Value) -> Got {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        self.raw(method, target, &[], body.into_bytes()).await
    }

    /// Calls, and has the model judge the answer.
    async fn raw(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Got {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let form = Form::read(&body.clone().into());
        let request = request.body(Body::from(body)).unwrap();
        let response = serve(State(Arc::clone(&self.server)), request).await;
        let header = |name: &str| {
            let value = response.headers().get(name);
            let text = value.map(|value| value.to_str().unwrap().to_owned());
            text.unwrap_or_default()
        };
        assert_eq!(header("x-amzn-requestid").len(), 36);
        let (status, error) = (response.status().as_u16(), header("x-amzn-errortype"));
        let is_xml = header("content-type") == "text/xml";
        let text = to_bytes(response.into_body(), BODY_LIMIT).await.unwrap();
        if is_xml {
            let text = std::str::from_utf8(&text).unwrap();
            return xml::judged(status, text, &form);
        }
        let body = serde_json::from_slice(&text).unwrap_or(Value::Null);
        let got = Got {
            status,
            error,
            body,
        };
        let path = target.split('?').next().unwrap_or_default();
        let named = headers.iter().find(|(name, _)| *name == "x-amz-target");
        let named = named.and_then(|(_, target)| {
            let (service, name) = target.split_once('.')?;
            let table = model::table(match service {
                "AmazonSQS" => Service::Sqs,
                _ => Service::CloudWatch,
            });
            Some((table, table.operation(name)?))
        });
        let operation = named.or_else(|| {
            Service::ALL.into_iter().find_map(|service| {
                let table = model::table(service);
                Some((table, table.route(method, path)?.operation))
            })
        });
        if let Some((table, operation)) = operation {
            let found = judge::findings(table, operation, &got);
            assert!(
                found.is_empty(),
                "{method} {target}: {found:#?} in {got:#?}"
            );
            if status < 300 {
                self.served.lock().insert(operation.name.clone());
            }
        }
        got
    }

    /// Calls, and wants success.
    async fn ok(&self, method: &str, target: &str, body: Value) -> Value {
        let got = self.call(method, target, body).await;
        assert_eq!(got.status, 200, "{method} {target}: {got:?}");
        got.body
    }

    /// Calls, and wants a refusal with this status and exception.
    async fn refused(&self, method: &str, target: &str, body: Value, status: u16, error: &str) {
        let got = self.call(method, target, body).await;
        let told = (got.status, got.error.as_str());
        assert_eq!(told, (status, error), "{method} {target}: {got:?}");
    }
}

#[test]
fn every_handler_is_an_operation_of_the_model() {
    for name in HANDLERS.keys() {
        let operation = model::table(Service::Iot).operation(name);
        assert!(operation.is_some(), "{name}");
    }
}
