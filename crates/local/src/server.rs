//! The whole local core: its listeners, its own server CA, and the policy an account is prepared with.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use jitp_core::failure::{Class, Classified};
use jitp_wire::QoS;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::account::{Account, AccountSettings, ApiError, Clock, policies};
use crate::admit::{Admission, Announcement};
use crate::broker::{Broker, BrokerSettings, Limits};
use crate::control::{self, ControlSettings, Faults, Offered};
use crate::data_plane;
use crate::diary::Diary;
use crate::fleet::{self, FleetProvisioning};
use crate::functions::{self, FunctionSettings, Functions, GivenFunction};
use crate::gate::Gate;
use crate::http::{self, HEAD_DEADLINE};
use crate::identity::{IdentityError, ServerCa};
use crate::storage::{Storage, StorageError};
use crate::tls;

/// How long connections have to end when the core stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// Refusals and steps the diary keeps.
const DIARY_ENTRIES: usize = 10_000;
/// The access policy that an account is prepared with, under this name.
const ACCESS_POLICY: (&str, &str) = (
    "IoTAccess",
    include_str!("../../../policies/IoTAccess.json"),
);

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
    control::offered(data_plane::operations().chain(functions::operations()))
}

/// Why a local core could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The data folder cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The server's own certificate cannot be made or read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// TLS does not take the server's certificate.
    #[error("TLS does not take the server's certificate")]
    Tls(#[from] rustls::Error),
    /// The account cannot be loaded.
    #[error("cannot load the account: {0}")]
    Account(String),
    /// The file with the server's root certificate cannot be written.
    #[error("cannot write {}", .path.display())]
    RootFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
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

    async fn assemble(options: Options) -> Result<Self, StartError> {
        let (storage, folder, scratch) = open_storage(options.data.as_deref())?;
        let control_listener = bind(options.control).await?;
        let mqtt_listener = bind(options.mqtt).await?;
        let control = local_address(&control_listener, options.control)?;
        let mqtt = local_address(&mqtt_listener, options.mqtt)?;

        let diary = Diary::new(DIARY_ENTRIES);
        let account = Account::open(AccountSettings {
            account_id: options.account_id,
            region: options.region.clone(),
            endpoint: endpoint(mqtt.port()),
            clock: options.clock.clone(),
            storage: storage.clone(),
        })
        .map_err(|error| StartError::Account(error.to_string()))?;
        if !options.empty {
            seed(&account).map_err(|error| StartError::Account(error.message))?;
        }

        let server_ca = ServerCa::open(&storage, options.clock.now())?;
        let identity = server_ca.issue(&options.region, options.clock.now())?;
        let root_pem = server_ca.certificate_pem().to_owned();
        // Whoever reads the environment may stand in another folder.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let root_file = folder.join("server-root.pem");
        std::fs::write(&root_file, &root_pem).map_err(|source| StartError::RootFile {
            path: root_file.clone(),
            source,
        })?;

        let (admission, mut announcements) = Admission::new(account.clone(), diary.clone());
        let admission = Arc::new(admission);
        let broker = Broker::new(BrokerSettings {
            account: account.clone(),
            admission: Arc::clone(&admission) as Arc<dyn Gate>,
            diary: diary.clone(),
            storage,
            clock: options.clock,
            limits: Limits {
                enforce_rates: options.enforce_quotas,
                ..Limits::default()
            },
        })?;

        let shutdown = CancellationToken::new();
        let mut local = Self {
            account: account.clone(),
            broker: broker.clone(),
            diary: diary.clone(),
            faults: Faults::default(),
            control,
            mqtt,
            root_pem,
            root_file,
            region: options.region,
            shutdown: shutdown.clone(),
            tasks: Vec::new(),
            functions: None,
            _scratch: scratch,
        };
        let functions = Functions::new(FunctionSettings {
            account: account.clone(),
            diary: diary.clone(),
            given: options.functions,
            environment: local.environment(),
        });
        local.functions = Some(functions.clone());
        broker.install(Arc::new(FleetProvisioning::new(
            account.clone(),
            diary.clone(),
            functions.clone(),
            options.enforce_quotas,
        )));
        local.tasks.push(tokio::spawn(fleet::sweep(
            account.clone(),
            diary.clone(),
            shutdown.clone(),
        )));
        let mut registry_events = account.registry_events();
        let settings = ControlSettings {
            allow_reset: options.reset,
            allow_faults: options.faults,
            enforce_quotas: options.enforce_quotas,
            faults: local.faults.clone(),
            ..ControlSettings::new(account, diary)
        };
        let settings = functions::plug_in(settings, &functions);
        let service = control::service(data_plane::plug_in(settings, &broker));
        let router = local.own_routes().fallback_service(service);
        let (entries, stop) = (local.diary.clone(), shutdown.clone());
        local.tasks.push(tokio::spawn(async move {
            http::serve(control_listener, router, entries, HEAD_DEADLINE, stop).await;
        }));
        let tls = tls::server_config(identity)?;
        let events = broker.clone();
        // Ends when the broker, which holds the admission, is gone.
        tokio::spawn(async move {
            while let Some(Announcement { topic, payload }) = announcements.recv().await {
                events.inject(&topic, payload, QoS::AtLeastOnce, false);
            }
        });
        let events = broker.clone();
        let stop = shutdown.clone();
        local.tasks.push(tokio::spawn(async move {
            // The account, which sends them, may outlive this core.
            while let Some(Some(event)) = stop.run_until_cancelled(registry_events.recv()).await {
                events.inject(&event.topic, event.payload, QoS::AtLeastOnce, false);
            }
        }));
        admission.finish_interrupted();
        local.tasks.push(tokio::spawn(async move {
            broker.serve(mqtt_listener, tls, shutdown).await;
        }));
        Ok(local)
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

impl Classified for StartError {
    fn class(&self) -> Class {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Class::Conflict
            }
            Self::Storage(StorageError::Locked { .. }) => Class::Conflict,
            _ => Class::Configuration,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Some(
                "another local core may be running; choose other ports, 0 takes a free one"
                    .to_owned(),
            ),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need privileges; choose another".to_owned())
            }
            _ => None,
        }
    }
}

/// A proxy of the caller's knows nothing of this machine's loopback.
fn no_proxy() -> String {
    match std::env::var("NO_PROXY") {
        Ok(present) if !present.is_empty() => format!("{present},localhost,127.0.0.1"),
        _ => "localhost,127.0.0.1".to_owned(),
    }
}

/// What DescribeEndpoint answers: AWS names no port, so the standard one is left out.
fn endpoint(port: u16) -> String {
    match port {
        8883 => "localhost".to_owned(),
        port => format!("localhost:{port}"),
    }
}

fn open_storage(
    data: Option<&Path>,
) -> Result<(Storage, PathBuf, Option<tempfile::TempDir>), StartError> {
    match data {
        Some(folder) => Ok((Storage::open(folder)?, folder.to_owned(), None)),
        None => {
            let scratch = tempfile::tempdir().map_err(|source| StartError::RootFile {
                path: std::env::temp_dir(),
                source,
            })?;
            let folder = scratch.path().to_owned();
            Ok((Storage::memory(), folder, Some(scratch)))
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

fn local_address(listener: &TcpListener, asked: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen {
        address: asked,
        source,
    })
}

/// Creates what an account is prepared with, unless the data folder has it already.
fn seed(account: &Account) -> Result<(), ApiError> {
    let (name, document) = ACCESS_POLICY;
    if account.snapshot().policies.contains_key(name) {
        return Ok(());
    }
    account.write(|tx| policies::create(tx, name, document, BTreeMap::new()).map(drop))
}
