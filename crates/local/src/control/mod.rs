//! The control plane over HTTP: one port for AWS IoT, its data plane and STS, told apart by how a request is signed.
//!
//! The model table routes and judges a request; a handler says only what the operation means, in one
//! file a resource family. Whatever goes wrong is answered in JSON that AWS's clients understand.

mod answer;
mod authorization;
mod billing_groups;
mod ca;
mod certificates;
mod endpoint;
mod events;
mod fields;
mod paging;
mod policies;
mod principals;
mod registration;
mod scope;
mod sts;
mod tags;
mod templates;
#[cfg(test)]
mod tests;
mod thing_groups;
mod thing_types;
mod things;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::timeout;

use crate::account::{Account, ApiError};
use crate::diary::{Diary, Entry};
use crate::model::{self, Input, Route, Service, read_input};
use scope::Signed;

pub use answer::Answer;

/// Largest body read, in octets; the largest modelled member is far smaller.
const BODY_LIMIT: usize = 1024 * 1024;

/// How long a body may take; a client that stalls must not be waited for.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

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
            extensions: HashMap::new(),
        }
    }

    /// Adds an operation given from outside.
    #[must_use]
    pub fn with(mut self, service: Service, operation: &'static str, extension: Extension) -> Self {
        self.extensions.insert((service, operation), extension);
        self
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
    Router::new().fallback(serve).with_state(Arc::new(settings))
}

/// The operations answered by [`service`] with these settings: service and name, ordered.
pub fn operations(settings: &ControlSettings) -> Vec<(Service, &'static str)> {
    let own = HANDLERS.keys().map(|name| (Service::Iot, *name));
    let mut all: Vec<_> = own.chain(settings.extensions.keys().copied()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The meaning of an operation: members in, body out; `Value::Null` for no members.
type Handler = fn(&Account, &Input) -> Result<Value, ApiError>;

static HANDLERS: LazyLock<HashMap<&'static str, Handler>> = LazyLock::new(|| {
    let families: [&[(&'static str, Handler)]; 14] = [
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
    ];
    families.into_iter().flatten().copied().collect()
});

/// Operations that make keys, which takes tens of milliseconds.
const SLOW: [&str; 3] = [
    "CreateKeysAndCertificate",
    "CreateCertificateFromCsr",
    "RegisterThing",
];

async fn serve(State(settings): State<Arc<ControlSettings>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let request_id = uuid::Uuid::new_v4().to_string();
    let body = match timeout(BODY_DEADLINE, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let error = ApiError::new(
                "RequestEntityTooLargeException",
                format!("The body is longer than {BODY_LIMIT} bytes or ended early"),
            );
            return refuse(&settings, None, "", &error, &request_id);
        }
        Err(_) => {
            let error = ApiError::new(
                "RequestTimeoutException",
                format!("The body did not arrive within {BODY_DEADLINE:?}"),
            );
            return refuse(&settings, None, "", &error, &request_id);
        }
    };
    let signed = scope::of(&parts);
    if signed == Signed::Sts || (signed == Signed::No && sts::is_for(&parts, &body)) {
        return sts::answer(&settings, &body, &request_id);
    }
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    if let Some(what) = path.strip_prefix("/_local/") {
        return local(&settings, method, what, &request_id);
    }
    let order = match signed {
        Signed::IotData => [Service::IotData, Service::Iot],
        _ => [Service::Iot, Service::IotData],
    };
    let found = order.into_iter().find_map(|service| {
        let route = model::table(service).route(method, path)?;
        Some((service, route))
    });
    let Some((service, route)) = found else {
        let error = match signed {
            Signed::Other(name) => ApiError {
                // Services of the JSON protocols carry the type in the body.
                members: vec![("__type", "NotImplementedException".to_owned())],
                ..ApiError::new(
                    "NotImplementedException",
                    format!("The local core does not offer the service {name}"),
                )
            },
            _ => ApiError::new(
                "UnknownOperationException",
                format!("{method} {path} is no operation of AWS IoT"),
            ),
        };
        return refuse(&settings, None, "", &error, &request_id);
    };
    let name = route.operation.name.as_str();
    match call(&settings, service, &route, &parts, &body).await {
        Ok(answer) => answer::success(route.operation, answer, &request_id),
        Err(error) => refuse(&settings, Some(service), name, &error, &request_id),
    }
}

async fn call(
    settings: &Arc<ControlSettings>,
    service: Service,
    route: &Route<'_>,
    parts: &Parts,
    body: &Bytes,
) -> Result<Answer, ApiError> {
    let operation = route.operation;
    let name = operation.name.as_str();
    let extension = settings
        .extensions
        .iter()
        .find_map(|((of, known), extension)| {
            (*of == service && *known == name).then_some(extension)
        });
    let handler = match service {
        Service::Iot => HANDLERS.get(name).copied(),
        Service::IotData => None,
    };
    if extension.is_none() && handler.is_none() {
        return Err(ApiError::new(
            "NotImplementedException",
            format!("The local core does not offer {name}"),
        ));
    }
    let headers = parts
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let request = model::Request {
        query: parts.uri.query().unwrap_or_default(),
        headers,
        body,
    };
    let input = read_input(model::table(service), route, &request)
        .map_err(|message| ApiError::new(answer::validation_code(operation), message))?;
    if let Some(extension) = extension {
        return extension(input).await;
    }
    let Some(handler) = handler else {
        return Err(ApiError::internal("unreachable: handled above"));
    };
    let waits = settings.account.is_durable() && operation.method != "GET";
    if waits || SLOW.contains(&name) {
        let account = settings.account.clone();
        let work = tokio::task::spawn_blocking(move || handler(&account, &input));
        let outcome = work.await.unwrap_or_else(|_| Err(crashed(name)));
        return outcome.map(Answer::Json);
    }
    // One bad request must not take the connection, or others on it, down with it.
    catch_unwind(AssertUnwindSafe(|| handler(&settings.account, &input)))
        .unwrap_or_else(|_| Err(crashed(name)))
        .map(Answer::Json)
}

fn crashed(operation: &str) -> ApiError {
    ApiError::internal(format!("{operation} failed inside the local core"))
}

fn refuse(
    settings: &ControlSettings,
    service: Option<Service>,
    operation: &str,
    error: &ApiError,
    request_id: &str,
) -> Response {
    let sentence = match operation {
        "" => error.message.clone(),
        operation => format!("{operation}: {}", error.message),
    };
    settings.diary.record(Entry::refusal(error.code, sentence));
    answer::failure(service, error, request_id)
}

/// What the local core offers beyond AWS.
fn local(settings: &ControlSettings, method: &str, what: &str, request_id: &str) -> Response {
    let outcome = match (method, what) {
        ("POST", "reset") if settings.allow_reset => settings.account.reset(),
        ("POST", "reset") => Err(ApiError::new(
            "NotImplementedException",
            "Resetting is not enabled in this local core",
        )),
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("{method} /_local/{what} is no operation of the local core"),
        )),
    };
    match outcome {
        Ok(()) => answer::json(200, &Value::Object(serde_json::Map::new()), request_id),
        Err(error) => refuse(settings, None, "", &error, request_id),
    }
}
