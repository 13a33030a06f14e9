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
use super::query::QueryService;
use super::scope::Signed;
use super::{
    Answer, Meaning, QUERY_SERVICES, Server, answer, cloudwatch, local, query, scope, sts, target,
};
use crate::account::ApiError;
use crate::model::{self, Form, Route, Service, read_input};

/// Largest body read, in octets; the largest modelled member is far smaller.
pub(super) const BODY_LIMIT: usize = 1024 * 1024;

/// Largest body that may carry a function's code: AWS Lambda takes 50 MB of it, here in base64.
const CODE_BODY_LIMIT: usize = 70 * 1024 * 1024;

/// Largest body of SQS: a mebibyte of messages, each character of which JSON may write as six.
const MESSAGES_BODY_LIMIT: usize = 8 * 1024 * 1024;

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
        Signed::Sqs => MESSAGES_BODY_LIMIT,
        _ => BODY_LIMIT,
    };
    let body = match read_body(body, longest).await {
        Ok(body) => body,
        Err(error) => return answer::refuse(settings, None, "", &error, &request_id),
    };
    if let Some(what) = parts.uri.path().strip_prefix("/_local/") {
        return local::respond(settings, parts.method.as_str(), what, &body, &request_id);
    }
    match find(&signed, &parts, &body) {
        Ok(found) => server.meet(&found, &parts, &body, &request_id).await,
        Err(error) if signed == Signed::Sqs => {
            target::refuse(settings, &target::SQS, "", &error, &request_id)
        }
        Err(error) if is_watched(&signed, &parts) => {
            cloudwatch::refuse(settings, cloudwatch::wire(&parts), "", &error, &request_id)
        }
        Err(error) => answer::refuse(settings, None, "", &error, &request_id),
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
    /// An operation of a service that takes forms.
    Query(&'static QueryService, Form),
    /// An operation with a path of its own.
    Modelled(Service, Route<'a>),
    /// An operation of CloudWatch, in one of its protocols.
    Watched(cloudwatch::Asked),
}

impl Found<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Query(_, form) => form.action(),
            Self::Modelled(_, route) => &route.operation.name,
            Self::Watched(asked) => &asked.operation.name,
        }
    }
}

/// The operation that a request means. One that is not signed for a service is looked up in all.
fn find<'a>(signed: &Signed, parts: &'a Parts, body: &Bytes) -> Result<Found<'a>, ApiError> {
    if is_watched(signed, parts) {
        return Ok(Found::Watched(cloudwatch::find(parts, body)?));
    }
    let names_sqs = || target::names(&target::SQS, parts);
    if *signed == Signed::Sqs || (*signed == Signed::No && names_sqs()) {
        return Ok(Found::Modelled(Service::Sqs, target::find(parts)?));
    }
    let signed_for = match signed {
        Signed::Iam => Some(Service::Iam),
        Signed::Sts => Some(Service::Sts),
        _ => None,
    };
    if signed_for.is_some() || (*signed == Signed::No && query::is_form(parts)) {
        let form = Form::read(body);
        let service = query_service(signed_for, form.action());
        return Ok(Found::Query(service, form));
    }
    let (method, path) = (parts.method.as_str(), parts.uri.path());
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

/// Whether a request is for CloudWatch.
fn is_watched(signed: &Signed, parts: &Parts) -> bool {
    *signed == Signed::CloudWatch || (*signed == Signed::No && cloudwatch::is_meant(parts))
}

/// The service a form is for: that it is signed for, else the one that has the operation, else STS.
fn query_service(signed_for: Option<Service>, action: &str) -> &'static QueryService {
    let is_meant = |query: &QueryService| match signed_for {
        Some(service) => query.service == service,
        None => model::table(query.service).operation(action).is_some(),
    };
    let found = QUERY_SERVICES.into_iter().find(|query| is_meant(query));
    found.unwrap_or(&sts::SERVICE)
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
            if let Ok(found) = find(&scope::of(&parts), &parts, &body) {
                server.answer(&found, &parts, &body, "").await;
            }
        });
    }

    fn is_within_quota(&self, found: &Found<'_>) -> bool {
        // These have quotas of their own, and AWS Lambda operations of the same names.
        if matches!(
            found,
            Found::Modelled(Service::Lambda | Service::Sqs, _) | Found::Watched(_)
        ) {
            return true;
        }
        let quotas = self.quotas.as_ref();
        quotas.is_none_or(|quotas| quotas.admit(found.name()))
    }

    fn refuse(&self, found: &Found<'_>, error: &ApiError, request_id: &str) -> Response {
        match found {
            Found::Query(service, _) => query::refuse(&self.settings, service, error, request_id),
            Found::Modelled(service, route) if target::is_for(*service) => {
                let name = &route.operation.name;
                target::refuse(&self.settings, &target::SQS, name, error, request_id)
            }
            Found::Watched(asked) => {
                let name = &asked.operation.name;
                cloudwatch::refuse(&self.settings, asked.wire, name, error, request_id)
            }
            Found::Modelled(service, route) => answer::refuse(
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
            Found::Query(service, form) => {
                return match self.call_query(service, form).await {
                    Ok(result) => {
                        query::success(service, form.action(), result.as_deref(), request_id)
                    }
                    Err(error) => self.refuse(found, &error, request_id),
                };
            }
            Found::Modelled(service, route) => (*service, route),
            Found::Watched(asked) => {
                return match self.call_watched(asked, parts, body).await {
                    Ok(answer) => cloudwatch::success(asked, answer, request_id),
                    Err(error) => self.refuse(found, &error, request_id),
                };
            }
        };
        match self.call(service, route, parts, body).await {
            Ok(answer) if target::is_for(service) => {
                target::success(route.operation, answer, request_id)
            }
            Ok(answer) => answer::success(route.operation, answer, request_id),
            Err(error) => self.refuse(found, &error, request_id),
        }
    }

    async fn call_query(
        &self,
        service: &'static QueryService,
        form: &Form,
    ) -> Result<Option<String>, ApiError> {
        let (account, asked) = (self.settings.account.clone(), form.clone());
        let work = tokio::task::spawn_blocking(move || query::call(service, &account, &asked));
        let outcome = work.await;
        outcome.unwrap_or_else(|_| Err(crashed(form.action())))
    }

    async fn call_watched(
        &self,
        asked: &cloudwatch::Asked,
        parts: &Parts,
        body: &Bytes,
    ) -> Result<Answer, ApiError> {
        let route = Route {
            operation: asked.operation,
            labels: Vec::new(),
        };
        let members = cloudwatch::members(asked, body)?;
        self.call(Service::CloudWatch, &route, parts, &members)
            .await
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
        let input = read_input(model::table(service), route, &request).map_err(|message| {
            ApiError::new(answer::validation_code(service, operation), message)
        })?;
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
