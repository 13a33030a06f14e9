//! A running local core: what it is asked to be, what it says of itself, and how it stops.

mod starting;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use starting::StartError;

use crate::account::{Account, Clock};
use crate::broker::Broker;
use crate::control::{self, Faults, Offered};
use crate::data_plane;
use crate::diary::Diary;
use crate::event_sources;
use crate::functions::{self, Functions, GivenFunction};
use crate::sqs;

/// How long connections have to end when the core stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// What a local core is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Account the core pretends to be: 12 digits.
    pub account_id: String,
    /// Region the core pretends to be in.
    pub region: String,
    /// Where the AWS APIs are served, over HTTP; port 0 takes a free one.
    pub control: SocketAddr,
    /// Where MQTT is served, over mutual TLS; port 0 takes a free one.
    pub mqtt: SocketAddr,
    /// Folder that keeps the state; without it, it lives in memory.
    pub data: Option<PathBuf>,
    /// Folder of the buckets that topic rules write to; without it, `s3` in the data folder, if there is one.
    pub objects: Option<PathBuf>,
    /// Start without the access policy.
    pub empty: bool,
    /// Serve `POST /_local/reset`, which empties the account; for test suites.
    pub reset: bool,
    /// Serve `/_local/faults`, which makes calls of the AWS APIs fail on order; for test suites.
    pub faults: bool,
    /// Enforce AWS's rates: calls of each operation and messages of each connection.
    pub enforce_quotas: bool,
    /// Functions that hooks may lead to, beside those created by the Lambda API.
    pub functions: Vec<GivenFunction>,
    /// The clock.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            account_id: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            control: loopback,
            mqtt: loopback,
            data: None,
            objects: None,
            empty: false,
            reset: false,
            faults: false,
            enforce_quotas: false,
            functions: Vec::new(),
            clock: Clock::system(),
        }
    }
}

/// Every operation of AWS a local core serves, ordered by service and name.
pub fn operations() -> Vec<Offered> {
    let plugged = data_plane::operations()
        .chain(functions::operations())
        .chain(event_sources::operations())
        .chain(sqs::operations())
        .chain(sqs::metric_operations());
    control::offered(plugged)
}

/// A running local core. Dropping it stops it without waiting; [`Local::stop`] waits.
#[derive(Debug)]
pub struct Local {
    account: Account,
    broker: Broker,
    diary: Diary,
    faults: Faults,
    control: SocketAddr,
    mqtt: SocketAddr,
    root_pem: String,
    root_file: PathBuf,
    region: String,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    functions: Option<Functions>,
    // Keeps the folder of the root certificate when there is no data folder.
    _scratch: Option<tempfile::TempDir>,
}

impl Local {
    /// Binds both listeners, loads or makes the account, and serves.
    ///
    /// # Errors
    /// When an address is taken or the data folder cannot be used.
    ///
    /// The future is boxed so that the broker behind it is compiled in this crate, with this
    /// crate's optimisation, and not in every program.
    pub fn start(
        options: Options,
    ) -> Pin<Box<dyn Future<Output = Result<Self, StartError>> + Send>> {
        Box::pin(Self::assemble(options))
    }

    /// Base URL of the AWS APIs, for `AWS_ENDPOINT_URL`.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control)
    }

    /// Port of the AWS APIs.
    pub fn control_port(&self) -> u16 {
        self.control.port()
    }

    /// Where devices connect: `localhost:PORT`.
    pub fn mqtt_endpoint(&self) -> String {
        format!("localhost:{}", self.mqtt.port())
    }

    /// Address MQTT is served on.
    pub fn mqtt_address(&self) -> SocketAddr {
        self.mqtt
    }

    /// The root certificate devices judge the broker by, in PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The account behind it.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The broker behind it.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Faults on order; a test in the same process needs no switch.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Why things were refused.
    pub fn diary(&self) -> &Diary {
        &self.diary
    }

    /// The environment that points AWS tools and the programs at this core.
    ///
    /// The Rust SDK reads `AWS_REGION`, awscli v1 and boto3 only `AWS_DEFAULT_REGION`. The
    /// credentials are never checked; tools only insist on having some.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.control_url()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_DEFAULT_REGION", self.region.clone()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            (
                "AWS_ACCOUNT",
                self.account.snapshot().scope.account_id.clone(),
            ),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("NO_PROXY", no_proxy()),
            ("AWS_IOT_ENDPOINT", self.mqtt_endpoint()),
            (
                "AWS_IOT_CAFILE",
                self.root_file.to_string_lossy().into_owned(),
            ),
        ]
    }

    /// Stops serving and waits until both listeners are closed, but not for ever: a client may hold
    /// half a request.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        for mut task in std::mem::take(&mut self.tasks) {
            // A task that panicked has said so already.
            if tokio::time::timeout(FAREWELL, &mut task).await.is_err() {
                task.abort();
            }
        }
        if let Some(functions) = &self.functions {
            functions.stop().await;
        }
    }

    /// What the core serves about itself, beside the AWS APIs.
    fn own_routes(&self) -> Router {
        let environment: serde_json::Map<_, _> = self
            .environment()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let environment = serde_json::Value::from(environment).to_string();
        let json = [(CONTENT_TYPE, "application/json")];
        Router::new()
            .route(
                "/_local/environment",
                get(move || async move { (json, environment).into_response() }),
            )
            .route(
                "/_local/diary",
                get(|State(diary): State<Diary>| async move {
                    let entries = serde_json::to_string(&diary.recent());
                    (
                        [(CONTENT_TYPE, "application/json")],
                        entries.unwrap_or_default(),
                    )
                }),
            )
            .with_state(self.diary.clone())
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A proxy of the caller's knows nothing of this machine's loopback.
fn no_proxy() -> String {
    match std::env::var("NO_PROXY") {
        Ok(present) if !present.is_empty() => format!("{present},localhost,127.0.0.1"),
        _ => "localhost,127.0.0.1".to_owned(),
    }
}
