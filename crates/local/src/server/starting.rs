//! How a local core comes up: storage, account, server certificate, and everything that serves, plugged together.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jitp_core::failure::{Class, Classified};
use jitp_wire::QoS;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use super::{Local, Options};
use crate::account::{Account, AccountSettings, ApiError, policies};
use crate::admit::{Admission, Announcement};
use crate::broker::{Broker, BrokerSettings, Limits};
use crate::control::{self, ControlSettings, Faults};
use crate::data_plane;
use crate::diary::Diary;
use crate::event_sources::{self, EventSourceSettings, EventSources};
use crate::fleet::{self, FleetProvisioning};
use crate::functions::{self, FunctionSettings, Functions};
use crate::gate::Gate;
use crate::http::{self, HEAD_DEADLINE};
use crate::identity::{IdentityError, ServerCa};
use crate::rules::{Engine, EngineSettings};
use crate::sqs::{self, QueueSettings, Queues};
use crate::storage::{Storage, StorageError};
use crate::tls;

/// Refusals and steps the diary keeps.
const DIARY_ENTRIES: usize = 10_000;
/// The access policy that an account is prepared with, under this name.
const ACCESS_POLICY: (&str, &str) = (
    "IoTAccess",
    include_str!("../../../../policies/IoTAccess.json"),
);

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

impl Local {
    pub(super) async fn assemble(options: Options) -> Result<Self, StartError> {
        let (storage, folder, scratch) = open_storage(options.data.as_deref())?;
        let control_listener = bind(options.control)?;
        let mqtt_listener = bind(options.mqtt)?;
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
            storage: storage.clone(),
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
        let queues = Queues::open(QueueSettings {
            account: account.clone(),
            diary: diary.clone(),
            storage,
            url: local.control_url(),
            shutdown: shutdown.clone(),
        })?;
        local.tasks.push(tokio::spawn(queues.clone().watch()));
        let event_sources = EventSources::new(EventSourceSettings {
            account: account.clone(),
            diary: diary.clone(),
            queues: queues.clone(),
            functions: functions.clone(),
            shutdown: shutdown.clone(),
        });
        local.tasks.push(tokio::spawn(event_sources.clone().run()));
        if let Some(outlet) = broker.outlet() {
            let republishing = broker.clone();
            let engine = Engine::new(EngineSettings {
                account: account.clone(),
                diary: diary.clone(),
                queues: queues.clone(),
                functions: functions.clone(),
                republisher: Arc::new(move |message, origin| {
                    republishing.republish(message, origin);
                }),
                objects: options
                    .objects
                    .or_else(|| options.data.map(|folder| folder.join("s3"))),
            });
            let running = engine.run(outlet, shutdown.clone());
            local.tasks.push(tokio::spawn(running));
        }
        let mut registry_events = account.registry_events();
        let settings = ControlSettings {
            allow_reset: options.reset,
            allow_faults: options.faults,
            enforce_quotas: options.enforce_quotas,
            faults: local.faults.clone(),
            ..ControlSettings::new(account, diary)
        };
        let settings = functions::plug_in(settings, &functions);
        let settings = sqs::plug_in(settings, &queues);
        let settings = sqs::plug_metrics_in(settings, &queues);
        let settings = event_sources::plug_in(settings, &event_sources);
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

/// Most connections that wait to be accepted; the system may allow fewer (Linux: net.core.somaxconn, 4096 unless changed).
/// A device that finds no room knocks again after a second, then after three and seven more, whoever is busy meanwhile.
const BACKLOG: u32 = 4096;

fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // The port of a core that has just ended can be taken again.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| StartError::Listen { address, source })
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
