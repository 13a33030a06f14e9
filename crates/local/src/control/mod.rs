//! The control plane over HTTP: one port for AWS IoT, its data plane, AWS Lambda, IAM, STS, SQS and CloudWatch, told
//! apart by how a request is signed.
//!
//! The model table routes and judges a request; a handler says only what the operation means, in one
//! file a resource family. Whatever goes wrong is answered in JSON that AWS's clients understand.

mod answer;
mod authorization;
mod billing_groups;
mod ca;
mod certificates;
mod cloudwatch;
mod endpoint;
mod events;
mod faults;
mod fields;
mod functions;
mod iam;
mod local;
mod paging;
mod policies;
mod principals;
mod query;
mod registration;
mod scope;
mod serve;
mod sts;
mod tags;
mod target;
mod templates;
#[cfg(test)]
mod tests;
mod thing_groups;
mod thing_types;
mod things;
mod topic_rules;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use axum::Router;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::account::{Account, ApiError};
use crate::diary::Diary;
use crate::model::{self, Input, Service};
use crate::quotas::Quotas;

pub use answer::Answer;
pub use faults::{Fault, FaultKind, Faults};
pub(crate) use paging::Page;

/// An operation given from outside this module, for example `Publish` by the broker.
pub type Extension =
    Arc<dyn Fn(Input) -> BoxFuture<'static, Result<Answer, ApiError>> + Send + Sync>;

/// What the control plane serves, and to whom it reports.
#[derive(Clone)]
pub struct ControlSettings {
    /// The account it acts on.
    pub account: Account,
    /// Where refusals go.
    pub diary: Diary,
    /// Whether `POST /_local/reset` deletes everything; for tests.
    pub allow_reset: bool,
    /// Whether calls beyond AWS's quotas are answered with ThrottlingException.
    pub enforce_quotas: bool,
    /// Whether `/_local/faults` takes orders; for tests.
    pub allow_faults: bool,
    /// The faults on order.
    pub faults: Faults,
    /// Operations given from outside, by service and name; they win over those in here.
    pub extensions: HashMap<(Service, &'static str), Extension>,
}

impl ControlSettings {
    /// The plain control plane of an account.
    pub fn new(account: Account, diary: Diary) -> Self {
        Self {
            account,
            diary,
            allow_reset: false,
            enforce_quotas: false,
            allow_faults: false,
            faults: Faults::default(),
            extensions: HashMap::new(),
        }
    }

    /// Adds an operation given from outside.
    #[must_use]
    pub fn with(mut self, service: Service, operation: &'static str, extension: Extension) -> Self {
        self.extensions.insert((service, operation), extension);
        self
    }

    /// What an operation means, if it is offered.
    fn meaning(&self, service: Service, operation: &str) -> Option<Meaning<'_>> {
        let from_outside = self
            .extensions
            .iter()
            .find(|((of, name), _)| *of == service && *name == operation);
        if let Some((_, extension)) = from_outside {
            return Some(Meaning::Extension(extension));
        }
        match service {
            Service::Iot => HANDLERS.get(operation).copied().map(Meaning::Handler),
            // The data plane is a broker's, queues are elsewhere, and the others speak another protocol.
            Service::IotData | Service::Iam | Service::Sts | Service::Sqs | Service::CloudWatch => {
                None
            }
            Service::Lambda => {
                let known = functions::OPERATIONS.iter();
                let mut known = known.filter(|(name, _)| *name == operation);
                known.next().map(|(_, handler)| Meaning::Handler(*handler))
            }
        }
    }
}

impl std::fmt::Debug for ControlSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlSettings")
            .field("account", &self.account)
            .field("allow_reset", &self.allow_reset)
            .finish_non_exhaustive()
    }
}

/// The control plane as a router to serve on a listener; it takes every path.
pub fn service(settings: ControlSettings) -> Router {
    let server = Arc::new(Server::new(settings));
    Router::new().fallback(serve::serve).with_state(server)
}

/// The control plane being served.
struct Server {
    settings: ControlSettings,
    quotas: Option<Quotas>,
}

impl Server {
    fn new(settings: ControlSettings) -> Self {
        let quotas = settings.enforce_quotas;
        Self {
            quotas: quotas.then(|| Quotas::new(settings.account.clock().clone())),
            settings,
        }
    }
}

/// An operation that is offered.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Offered {
    /// The service as SDKs name it: `iot`, `iot-data`, `lambda`, `iam`, `sts`, `sqs` or `cloudwatch`.
    pub service: &'static str,
    /// The operation's name.
    pub name: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// Path with `{labels}`.
    pub path: &'static str,
}

/// The operations answered by [`service`] with these settings, ordered by service and name.
pub fn operations(settings: &ControlSettings) -> Vec<Offered> {
    offered(settings.extensions.keys().copied())
}

/// The operations in here and those given from outside, ordered by service and name.
pub(crate) fn offered(
    from_outside: impl IntoIterator<Item = (Service, &'static str)>,
) -> Vec<Offered> {
    let own = HANDLERS.keys().map(|name| (Service::Iot, *name));
    let lambda = functions::OPERATIONS.iter();
    let lambda = lambda.map(|(name, _)| (Service::Lambda, *name));
    let queries = QUERY_SERVICES.iter().flat_map(|query| {
        let names = query.operations.iter();
        names.map(|(name, _)| (query.service, *name))
    });
    let named = own.chain(lambda).chain(queries).chain(from_outside);
    let mut all: Vec<_> = named
        .filter_map(|(service, name)| {
            let operation = model::table(service).operation(name)?;
            Some(Offered {
                service: service.name(),
                name: &operation.name,
                method: &operation.method,
                path: &operation.path,
            })
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The services of the query protocol.
static QUERY_SERVICES: [&query::QueryService; 2] = [&iam::SERVICE, &sts::SERVICE];

/// The meaning of an operation: members in, body out; `Value::Null` for no members.
type Handler = fn(&Account, &Input) -> Result<Value, ApiError>;

/// Where the meaning of an operation comes from.
enum Meaning<'a> {
    Handler(Handler),
    Extension(&'a Extension),
}

static HANDLERS: LazyLock<HashMap<&'static str, Handler>> = LazyLock::new(|| {
    let families: [&[(&'static str, Handler)]; 15] = [
        authorization::OPERATIONS,
        billing_groups::OPERATIONS,
        ca::OPERATIONS,
        certificates::OPERATIONS,
        endpoint::OPERATIONS,
        events::OPERATIONS,
        policies::OPERATIONS,
        principals::OPERATIONS,
        registration::OPERATIONS,
        tags::OPERATIONS,
        templates::OPERATIONS,
        thing_groups::OPERATIONS,
        thing_types::OPERATIONS,
        things::OPERATIONS,
        topic_rules::OPERATIONS,
    ];
    families.into_iter().flatten().copied().collect()
});
