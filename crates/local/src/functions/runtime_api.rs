//! The Lambda Runtime API (AWS Lambda developer guide, "Using the Lambda runtime API"): where one process
//! fetches what it is to do, and leaves what has become of it. Each process has an address of its own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// Longest answer of a function, as on AWS: 6 MB.
pub(super) const LONGEST_ANSWER: usize = 6 * 1024 * 1024;

/// What a process is to do.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) arn: String,
    /// How long it has.
    pub(super) time: Duration,
}

/// What has become of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The function's answer.
    Answer(Bytes),
    /// The function's own report of its failure.
    Error(Bytes),
}

/// What the process and the pool share.
#[derive(Debug)]
pub(super) struct Desk {
    work: tokio::sync::Mutex<mpsc::Receiver<Work>>,
    waiting: Mutex<Option<Waiting>>,
    /// What the process said as it failed to start.
    init_error: Mutex<Option<Bytes>>,
}

#[derive(Debug)]
struct Waiting {
    request_id: String,
    fetched: bool,
    outcome: oneshot::Sender<Outcome>,
}

impl Desk {
    pub(super) fn new(work: mpsc::Receiver<Work>) -> Self {
        Self {
            work: tokio::sync::Mutex::new(work),
            waiting: Mutex::default(),
            init_error: Mutex::default(),
        }
    }

    /// Where the outcome of a request will come out.
    pub(super) fn expect(&self, request_id: &str) -> oneshot::Receiver<Outcome> {
        let (outcome, receiver) = oneshot::channel();
        *self.waiting.lock() = Some(Waiting {
            request_id: request_id.to_owned(),
            fetched: false,
            outcome,
        });
        receiver
    }

    /// Whether the process has fetched what was expected last.
    pub(super) fn was_fetched(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.as_ref().is_none_or(|waiting| waiting.fetched)
    }

    /// What the process said as it failed to start.
    pub(super) fn init_error(&self) -> Option<Bytes> {
        self.init_error.lock().clone()
    }

    fn settle(&self, request_id: &str, outcome: Outcome) -> Response {
        let mut waiting = self.waiting.lock();
        match waiting.take_if(|waiting| waiting.fetched && waiting.request_id == request_id) {
            Some(waiting) => {
                // Nobody waits any more for what comes too late.
                let _ = waiting.outcome.send(outcome);
                accepted()
            }
            None => refused(&format!("there is no request {request_id} under way")),
        }
    }
}

/// The API of one process.
pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route(
            "/2018-06-01/runtime/invocation/{id}/response",
            post(response),
        )
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::max(LONGEST_ANSWER))
        .with_state(desk)
}

async fn next(State(desk): State<Arc<Desk>>) -> Response {
    let Some(work) = desk.work.lock().await.recv().await else {
        return refused("the local core has no more work");
    };
    if let Some(waiting) = &mut *desk.waiting.lock()
        && waiting.request_id == work.request_id
    {
        waiting.fetched = true;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let deadline = now.unwrap_or_default() + work.time;
    let mut response = Response::new(Body::from(work.payload));
    let headers: &mut HeaderMap = response.headers_mut();
    let root = uuid::Uuid::new_v4().simple().to_string();
    for (name, value) in [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", work.request_id),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        ),
        ("lambda-runtime-invoked-function-arn", work.arn),
        (
            "lambda-runtime-trace-id",
            format!("Root=1-{}-{};Sampled=0", &root[..8], &root[8..]),
        ),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

async fn response(
    State(desk): State<Arc<Desk>>,
    Path(request_id): Path<String>,
    body: Bytes,
) -> Response {
    desk.settle(&request_id, Outcome::Answer(body))
}

async fn error(
    State(desk): State<Arc<Desk>>,
    Path(request_id): Path<String>,
    body: Bytes,
) -> Response {
    desk.settle(&request_id, Outcome::Error(body))
}

async fn init_error(State(desk): State<Arc<Desk>>, body: Bytes) -> Response {
    *desk.init_error.lock() = Some(body);
    accepted()
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, json!({ "status": "OK" }).to_string()).into_response()
}

fn refused(why: &str) -> Response {
    let body: Value = json!({ "errorMessage": why, "errorType": "InvalidRequestID" });
    (StatusCode::BAD_REQUEST, body.to_string()).into_response()
}
