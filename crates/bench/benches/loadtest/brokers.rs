//! The brokers that are loaded, with a CA whose devices they serve.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jitp_core::names::CaName;
use jitp_core::store::Store;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use jitp_bench::local_core::LocalCore;
use jitp_bench::mosquitto::{Mosquitto, write_server_identity};
use jitp_bench::process::{Process, cpu_of_this_process};
use jitp_bench::{Result, program};

/// A folder with a CA `root`, its devices, and mosquitto's certificate.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
    bin: PathBuf,
}

/// A broker that runs.
pub(crate) struct Broker {
    name: &'static str,
    environment: BTreeMap<String, String>,
    process: Process,
}

impl Broker {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// What programs are pointed at it by.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// CPU its process has used.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.process.cpu()
    }

    /// Whether it provisions devices on their first connection.
    pub(crate) fn provisions(&self) -> bool {
        self.name == "iot-local"
    }
}

impl Lab {
    pub(crate) fn new(bin: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let dir = folder.path();
        let made = Command::new(program(bin, "create-root")?)
            .arg("--quiet")
            .current_dir(dir)
            .stdout(Stdio::null())
            .status()?;
        if !made.success() {
            return Err("create-root failed".into());
        }
        // For the bare handshakes, where there is no mosquitto.
        write_server_identity(dir)?;
        Ok(Self {
            folder,
            bin: bin.to_owned(),
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn mosquitto(&self) -> Result<Broker> {
        let mosquitto = Mosquitto::start(self.dir())?;
        let endpoint = format!("localhost:{}", mosquitto.address.port());
        let root = mosquitto.root_file.display().to_string();
        let environment = [("AWS_IOT_ENDPOINT", endpoint), ("AWS_IOT_CAFILE", root)];
        Ok(Broker {
            name: "mosquitto",
            environment: environment
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            process: mosquitto.process,
        })
    }

    /// The local core as it is shipped, in memory, with the policy of load-test devices and the CA registered.
    pub(crate) fn iot_local(&self) -> Result<Broker> {
        let core = LocalCore::start(&self.bin)?;
        let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc");
        let mut deploy = Command::new(program(&self.bin, "deploy")?);
        deploy
            .arg(etc.join("cloudformation/loadtest.yaml"))
            .args(["--stack", "loadtest", "--quiet"]);
        core.run(&mut deploy, self.dir())?;
        let mut register = Command::new(program(&self.bin, "register")?);
        register
            .args(["--quiet", "--template"])
            .arg(etc.join("templates/loadtest.json"));
        core.run(&mut register, self.dir())?;
        Ok(Broker {
            name: "iot-local",
            environment: core.environment,
            process: core.process,
        })
    }
}

/// How long bare handshakes are counted.
const HANDSHAKES: Duration = Duration::from_secs(4);

/// Full mutual-TLS handshakes that the same TLS library makes in memory, client and server, on all cores and nothing
/// else: with certificates of the same CA, and with what load tester and local core agree on.
#[derive(Clone, Copy)]
pub(crate) struct Bare {
    /// Handshakes a second.
    pub(crate) rate: f64,
    /// CPU of both sides of one of them, in seconds.
    pub(crate) cpu: f64,
}

impl Bare {
    /// Counts them for some seconds.
    pub(crate) fn measure(lab: &Lab) -> Result<Self> {
        let (client, server) = ends(lab)?;
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let made = AtomicU64::new(0);
        let cpu = cpu_of_this_process()?;
        let started = Instant::now();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        while started.elapsed() < HANDSHAKES {
                            handshake(&client, &server)?;
                            made.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(())
                    })
                })
                .collect();
            for worker in workers {
                worker.join().map_err(|_| "a thread failed")??;
            }
            Result::Ok(())
        })?;
        let made = made.load(Ordering::Relaxed) as f64;
        let used = cpu_of_this_process()?.saturating_sub(cpu);
        Ok(Self {
            rate: made / started.elapsed().as_secs_f64(),
            cpu: used.as_secs_f64() / made,
        })
    }

    /// Between two measurements, one before and one after something else.
    pub(crate) fn between(before: Self, after: Self) -> Self {
        Self {
            rate: f64::midpoint(before.rate, after.rate),
            cpu: f64::midpoint(before.cpu, after.cpu),
        }
    }
}

/// Both ends of a bare handshake.
fn ends(lab: &Lab) -> Result<(Arc<ClientConfig>, Arc<ServerConfig>)> {
    let mut provider = default_provider();
    // Whatever the library would choose by itself, and the features that other crates have switched on in it.
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![kx_group::X25519];
    let provider = Arc::new(provider);
    let ca = Store::open(lab.dir())?.load_ca(&"root".parse::<CaName>()?)?;
    let root = fs::read(lab.dir().join("server-root.pem"))?;
    let mut clients = RootCertStore::empty();
    clients.add(CertificateDer::from(ca.certificate().der().to_vec()))?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), provider.clone());
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients.build()?)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(lab.dir().join("server.pem"))?],
            PrivateKeyDer::from_pem_file(lab.dir().join("server.priv"))?,
        )?;
    server.send_tls13_tickets = 0;
    let mut servers = RootCertStore::empty();
    servers.add(CertificateDer::from_pem_slice(&root)?)?;
    let issued = ca.issue(
        &"bare-client".parse::<jitp_core::names::ThingName>()?,
        &jitp_core::ca::Profile::device(),
        time::OffsetDateTime::now_utc(),
    )?;
    let chain = vec![
        CertificateDer::from(issued.certificate().der().to_vec()),
        CertificateDer::from(ca.certificate().der().to_vec()),
    ];
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(servers)
        .with_client_auth_cert(chain, issued.private_key().to_rustls())?;
    client.resumption = Resumption::disabled();
    Ok((Arc::new(client), Arc::new(server)))
}

fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Result<()> {
    let mut client = ClientConnection::new(Arc::clone(client), ServerName::try_from("localhost")?)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        wire.clear();
        client.write_tls(&mut wire)?;
        let mut bytes = &wire[..];
        while !bytes.is_empty() {
            server.read_tls(&mut bytes)?;
            server.process_new_packets()?;
        }
        wire.clear();
        server.write_tls(&mut wire)?;
        let mut bytes = &wire[..];
        while !bytes.is_empty() {
            client.read_tls(&mut bytes)?;
            client.process_new_packets()?;
        }
    }
    Ok(())
}
