//! From an HTTP request to its answer: which service and operation, whether a fault or a quota stands in the
//! way, the model's judgement, the handler, and JSON in every case.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::faults::FaultKind;
use super::scope::Signed;
use super::{Answer, ControlSettings, Meaning, Server, answer, iam, local, query, scope, sts};
use crate::account::ApiError;
use crate::diary::Entry;
use crate::model::{self, Route, Service, read_input};

/// Largest body read, in octets; the largest modelled member is far smaller.
pub(super) const BODY_LIMIT: usize = 1024 * 1024;

/// Largest body that may carry a function's code: AWS Lambda takes 50 MB of it, here in base64.
const CODE_BODY_LIMIT: usize = 70 * 1024 * 1024;

/// How long a body may take; a client that stalls must not be waited for.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// Operations that make keys, sign, or read much, which takes tens of milliseconds.
const SLOW: [&str; 6] = [
    "CreateFunction",
    "CreateKeysAndCertificate",
    "CreateCertificateFromCsr",
    "CreateProvisioningClaim",
    "RegisterThing",
    "UpdateFunctionCode",
];

pub(super) async fn serve(State(server): State<Arc<Server>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let request_id = uuid::Uuid::new_v4().to_string();
    let settings = &server.settings;
    let signed = scope::of(&parts);
    // Code travels in the body, where it is.
    let longest = match signed {
        Signed::Lambda => CODE_BODY_LIMIT,
        _ => BODY_LIMIT,
    };
    let body = match read_body(body, longest).await {
        Ok(body) => body,
        Err(error) => return refuse(settings, None, "", &error, &request_id),
    };
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    if let Some(what) = path.strip_prefix("/_local/") {
        return local::respond(settings, method, what, &body, &request_id);
    }
    if signed == Signed::Iam {
        let found = Found::Iam(iam::action(&body));
        return server.meet(&found, &parts, &body, &request_id).await;
    }
    // A form that nobody signed is taken for STS, which has no other protocol.
    if signed == Signed::Sts || (signed == Signed::No && query::is_query(&parts, &body)) {
        return server.meet(&Found::Sts, &parts, &body, &request_id).await;
    }
    match find(&signed, method, path) {
        Ok(found) => server.meet(&found, &parts, &body, &request_id).await,
        Err(error) => refuse(settings, None, "", &error, &request_id),
    }
}

async fn read_body(body: Body, longest: usize) -> Result<Bytes, ApiError> {
    match timeout(BODY_DEADLINE, to_bytes(body, longest)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(ApiError::new(
            "RequestEntityTooLargeException",
            format!("The body is longer than {longest} bytes or ended early"),
        )),
        Err(_) => Err(ApiError::new(
            "RequestTimeoutException",
            format!("The body did not arrive within {BODY_DEADLINE:?}"),
        )),
    }
}

/// What a request asks for.
enum Found<'a> {
    /// GetCallerIdentity, in the protocol of STS.
    Sts,
    /// An operation of IAM, in its protocol.
    Iam(String),
    /// An operation of the model.
    Modelled(Service, Route<'a>),
}

impl Found<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Sts => sts::OPERATION,
            Self::Iam(action) => action,
            Self::Modelled(_, route) => &route.operation.name,
        }
    }
}

/// The operation that method and path mean. A request that is not signed for a service is looked up in all.
fn find<'a>(signed: &Signed, method: &str, path: &'a str) -> Result<Found<'a>, ApiError> {
    let order = match signed {
        Signed::IotData => [Service::IotData, Service::Iot, Service::Lambda],
        Signed::Lambda => [Service::Lambda, Service::Iot, Service::IotData],
        _ => [Service::Iot, Service::IotData, Service::Lambda],
    };
    let found = order.into_iter().find_map(|service| {
        let route = model::table(service).route(method, path)?;
        Some(Found::Modelled(service, route))
    });
    found.ok_or_else(|| match signed {
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
    })
}

impl Server {
    /// Answers a request, unless a fault was ordered for it or its quota is used up.
    async fn meet(
        self: &Arc<Self>,
        found: &Found<'_>,
        parts: &Parts,
        body: &Bytes,
        request_id: &str,
    ) -> Response {
        let fault = self.settings.faults.strike(found.name());
        let refused = match fault.as_ref().map(|fault| fault.fault) {
            Some(FaultKind::CutBefore) => return answer::cut(),
            Some(FaultKind::Throttle) => Some(throttled()),
            Some(FaultKind::Fail) => Some(ApiError::internal("A fault was ordered for this call")),
            _ if !self.is_within_quota(found) => Some(throttled()),
            _ => None,
        };
        if let Some(error) = refused {
            return self.refuse(found, &error, request_id);
        }
        match fault {
            Some(fault) if fault.fault == FaultKind::Delay => sleep(fault.duration()).await,
            Some(fault) if fault.fault == FaultKind::CutAfter => {
                self.answer(found, parts, body, request_id).await;
                return answer::cut();
            }
            Some(fault) if fault.fault == FaultKind::ServeLate => {
                self.serve_late(fault.duration(), parts.clone(), body.clone());
                return answer::cut();
            }
            _ => {}
        }
        self.answer(found, parts, body, request_id).await
    }

    /// Serves a request after a while, when nobody waits for the answer any more.
    fn serve_late(self: &Arc<Self>, after: Duration, parts: Parts, body: Bytes) {
        let server = Arc::clone(self);
        tokio::spawn(async move {
            sleep(after).await;
            let (method, path) = (parts.method.as_str(), parts.uri.path());
            if let Ok(found) = find(&scope::of(&parts), method, path) {
                server.answer(&found, &parts, &body, "").await;
            }
        });
    }

    fn is_within_quota(&self, found: &Found<'_>) -> bool {
        // AWS Lambda has operations of the same names, and other quotas.
        if matches!(found, Found::Modelled(Service::Lambda, _)) {
            return true;
        }
        let quotas = self.quotas.as_ref();
        quotas.is_none_or(|quotas| quotas.admit(found.name()))
    }

    fn refuse(&self, found: &Found<'_>, error: &ApiError, request_id: &str) -> Response {
        match found {
            Found::Sts => query::refuse(&self.settings, sts::SERVICE, error, request_id),
            Found::Iam(_) => query::refuse(&self.settings, iam::SERVICE, error, request_id),
            Found::Modelled(service, route) => refuse(
                &self.settings,
                Some(*service),
                &route.operation.name,
                error,
                request_id,
            ),
        }
    }

    async fn answer(
        &self,
        found: &Found<'_>,
        parts: &Parts,
        body: &Bytes,
        request_id: &str,
    ) -> Response {
        let (service, route) = match found {
            Found::Sts => return sts::answer(&self.settings, body, request_id),
            Found::Iam(action) => return self.answer_iam(action, body, request_id).await,
            Found::Modelled(service, route) => (*service, route),
        };
        match self.call(service, route, parts, body).await {
            Ok(answer) => answer::success(route.operation, answer, request_id),
            Err(error) => self.refuse(found, &error, request_id),
        }
    }

    async fn answer_iam(&self, action: &str, body: &Bytes, request_id: &str) -> Response {
        let (settings, body, id) = (self.settings.clone(), body.clone(), request_id.to_owned());
        let work = tokio::task::spawn_blocking(move || iam::answer(&settings, &body, &id));
        match work.await {
            Ok(answer) => answer,
            Err(_) => query::refuse(&self.settings, iam::SERVICE, &crashed(action), request_id),
        }
    }

    async fn call(
        &self,
        service: Service,
        route: &Route<'_>,
        parts: &Parts,
        body: &Bytes,
    ) -> Result<Answer, ApiError> {
        let operation = route.operation;
        let name = operation.name.as_str();
        let meaning = self.settings.meaning(service, name).ok_or_else(|| {
            ApiError::new(
                "NotImplementedException",
                format!("The local core does not offer {name}"),
            )
        })?;
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
        let handler = match meaning {
            Meaning::Extension(extension) => return extension(input).await,
            Meaning::Handler(handler) => handler,
        };
        let account = self.settings.account.clone();
        let waits = account.is_durable() && operation.method != "GET";
        if waits || SLOW.contains(&name) {
            let work = tokio::task::spawn_blocking(move || handler(&account, &input));
            let outcome = work.await.unwrap_or_else(|_| Err(crashed(name)));
            return outcome.map(Answer::Json);
        }
        // One bad request must not take the connection, or others on it, down with it.
        catch_unwind(AssertUnwindSafe(|| handler(&account, &input)))
            .unwrap_or_else(|_| Err(crashed(name)))
            .map(Answer::Json)
    }
}

fn throttled() -> ApiError {
    ApiError::new("ThrottlingException", "Rate exceeded")
}

fn crashed(operation: &str) -> ApiError {
    ApiError::internal(format!("{operation} failed inside the local core"))
}

/// Tells the diary of a refusal, and answers it.
pub(super) fn refuse(
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
    settings.diary.record(Entry::answer(error.code, sentence));
    answer::failure(service, error, request_id)
}
