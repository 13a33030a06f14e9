//! The brokers that are loaded, with a CA whose devices they serve.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jitp_core::names::CaName;
use jitp_core::store::Store;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use jitp_bench::process::Process;
use jitp_bench::{Device, Result, program};

/// A folder with a CA `root`, its devices, and mosquitto's certificate.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
    bin: PathBuf,
}

/// A broker that runs.
pub(crate) struct Broker {
    name: &'static str,
    environment: Vec<(String, String)>,
    _process: Process,
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

    /// Whether it provisions devices on their first connection.
    pub(crate) fn provisions(&self) -> bool {
        self.name == "iot-local"
    }
}

impl Lab {
    pub(crate) fn new(bin: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let dir = folder.path();
        run(Command::new(program(bin, "create-root")?)
            .args(["--quiet"])
            .current_dir(dir))?;
        let mut root = CertificateParams::new(Vec::new())?;
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &root)?;
        fs::write(dir.join("server-root.pem"), root.pem())?;
        fs::write(dir.join("server.pem"), certificate.pem())?;
        fs::write(dir.join("server.priv"), key.serialize_pem())?;
        Ok(Self {
            folder,
            bin: bin.to_owned(),
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Debian's mosquitto with everything off that is not asked for.
    pub(crate) fn mosquitto(&self) -> Result<Broker> {
        let system = Path::new("/usr/sbin/mosquitto");
        let program = if system.exists() {
            system
        } else {
            Path::new("mosquitto")
        };
        let dir = self.dir();
        // Free now, and nobody else here asks for ports in between.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let config = dir.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\ncafile {dir}/root.ca.pem\ncertfile {dir}/server.pem\nkeyfile {dir}/server.priv\n\
             require_certificate true\nallow_anonymous true\ntls_version tlsv1.3\npersistence false\nlog_type none\n\
             sys_interval 0\nmax_inflight_messages 100\nmax_queued_messages 0\nuser root\n",
            dir = dir.display()
        );
        fs::write(&config, text)?;
        let process = Process::start(
            Command::new(program)
                .arg("-c")
                .arg(&config)
                .stderr(Stdio::null()),
        )?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = Instant::now() + Duration::from_secs(5);
        while let Err(error) = TcpStream::connect(address) {
            if Instant::now() > deadline {
                return Err(format!("mosquitto does not listen on {address}: {error}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let root = dir.join("server-root.pem").display().to_string();
        Ok(Broker {
            name: "mosquitto",
            environment: vec![
                ("AWS_IOT_ENDPOINT".to_owned(), format!("localhost:{port}")),
                ("AWS_IOT_CAFILE".to_owned(), root),
            ],
            _process: process,
        })
    }

    /// The local core as it is shipped, in memory, with the policy of load-test devices and the CA registered.
    pub(crate) fn iot_local(&self) -> Result<Broker> {
        let iot_local = program(&self.bin, "iot-local")?;
        let mut process = Process::start(
            Command::new(&iot_local)
                .args([
                    "serve",
                    "--quiet",
                    "--control-port",
                    "0",
                    "--mqtt-port",
                    "0",
                ])
                .stdout(Stdio::piped()),
        )?;
        let stdout = process.child().stdout.take().ok_or("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let control = line
            .split('\t')
            .next()
            .and_then(|url| url.trim().rsplit_once(':'))
            .ok_or("iot-local does not say where it serves")?
            .1;
        let environment = run(Command::new(&iot_local).args([
            "env",
            "--output",
            "json",
            "--control-port",
            control,
        ]))?
        .lines()
        .map(|line| -> Result<(String, String)> {
            let object: serde_json::Value = serde_json::from_str(line)?;
            let text = |member: &str| object[member].as_str().map(str::to_owned);
            text("name")
                .zip(text("value"))
                .ok_or_else(|| "a line without name or value".into())
        })
        .collect::<Result<Vec<_>>>()?;
        let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc");
        let variables = || environment.iter().map(|(name, value)| (name, value));
        run(Command::new(program(&self.bin, "deploy")?)
            .arg(etc.join("cloudformation/loadtest.yaml"))
            .args(["--stack", "loadtest", "--quiet"])
            .current_dir(self.dir())
            .envs(variables()))?;
        run(Command::new(program(&self.bin, "register")?)
            .args(["--quiet", "--template"])
            .arg(etc.join("templates/loadtest.json"))
            .current_dir(self.dir())
            .envs(variables()))?;
        Ok(Broker {
            name: "iot-local",
            environment,
            _process: process,
        })
    }
}

/// How long bare handshakes are counted.
const HANDSHAKES: Duration = Duration::from_secs(4);

/// Full mutual-TLS handshakes a second that the same TLS library makes in memory, client and server, on all cores.
pub(crate) fn bare_handshakes(lab: &Lab) -> Result<f64> {
    let ca = Store::open(lab.dir())?.load_ca(&"root".parse::<CaName>()?)?;
    let device = Device::issue(&ca, "bare")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let root = fs::read(lab.dir().join("server-root.pem"))?;
    let _ = device.dialler(&String::from_utf8(root.clone())?, address)?;
    let mut clients = RootCertStore::empty();
    clients.add(CertificateDer::from(ca.certificate().der().to_vec()))?;
    let server = ServerConfig::builder()
        .with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(clients)).build()?)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(lab.dir().join("server.pem"))?],
            PrivateKeyDer::from_pem_file(lab.dir().join("server.priv"))?,
        )?;
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
    let mut client = ClientConfig::builder()
        .with_root_certificates(servers)
        .with_client_auth_cert(chain, issued.private_key().to_rustls())?;
    client.resumption = Resumption::disabled();
    let (server, client) = (Arc::new(server), Arc::new(client));
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let made = AtomicU64::new(0);
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
    Ok(made.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
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

fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?} failed: {stderr}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
