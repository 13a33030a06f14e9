//! Debian's mosquitto in a process of its own, with TLS 1.3 and client certificates.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::Result;
use crate::process::Process;

/// A mosquitto that runs. It ends with this value.
#[derive(Debug)]
pub struct Mosquitto {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// PEM file of the root that its certificate leads to.
    pub root_file: PathBuf,
}

impl Mosquitto {
    /// Starts it with everything off that is not asked for: persistence, logs, $SYS, access lists. Queues are unlimited, so
    /// that no message is dropped, and 100 messages may be in flight, as at AWS. It takes devices of the CA `root` in this
    /// folder, into which its own files go.
    ///
    /// # Errors
    /// It is not installed, or does not listen.
    pub fn start(dir: &Path) -> Result<Self> {
        write_server_identity(dir)?;
        // Free now, and nobody else here asks for ports in between.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let config = dir.join("mosquitto.conf");
        fs::write(
            &config,
            format!(
                "listener {port} 127.0.0.1\n\
                 cafile {dir}/root.ca.pem\n\
                 certfile {dir}/server.pem\n\
                 keyfile {dir}/server.priv\n\
                 require_certificate true\n\
                 allow_anonymous true\n\
                 tls_version tlsv1.3\n\
                 ciphers_tls1.3 {SUITE}\n\
                 persistence false\n\
                 log_type none\n\
                 sys_interval 0\n\
                 max_inflight_messages 100\n\
                 max_queued_messages 0\n\
                 user root\n",
                dir = dir.display()
            ),
        )?;
        // The local core sends no session tickets; mosquitto has no setting for them, OpenSSL has.
        let openssl = dir.join("openssl.cnf");
        fs::write(
            &openssl,
            "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n[all]\nNumTickets = 0\n",
        )?;
        let process = Process::start(
            Command::new(program())
                .arg("-c")
                .arg(&config)
                .env("OPENSSL_CONF", &openssl)
                .stderr(Stdio::null()),
        )?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_for(address)?;
        Ok(Self {
            process,
            address,
            root_file: dir.join(ROOT),
        })
    }
}

/// What the local core takes of what clients offer. mosquitto would take its own favourite, AES-256 with SHA-384.
const SUITE: &str = "TLS_AES_128_GCM_SHA256";

/// Its certificate's root.
const ROOT: &str = "server-root.pem";

/// The version of the mosquitto there is; none when there is none.
#[must_use]
pub fn version() -> Option<String> {
    let output = Command::new(program()).arg("-h").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(str::to_owned)
}

/// Debian keeps daemons where ordinary users do not look.
fn program() -> PathBuf {
    let system = Path::new("/usr/sbin/mosquitto");
    if system.exists() {
        system.to_owned()
    } else {
        PathBuf::from("mosquitto")
    }
}

/// A server certificate of the kind the local core makes for itself: P-256, signed by a P-256 root of its own; as
/// `server.pem`, `server.priv` and `server-root.pem`.
///
/// # Errors
/// A file cannot be written.
pub fn write_server_identity(dir: &Path) -> Result<()> {
    let mut root = CertificateParams::new(Vec::new())?;
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &root)?;
    fs::write(dir.join(ROOT), root.pem())?;
    fs::write(dir.join("server.pem"), certificate.pem())?;
    fs::write(dir.join("server.priv"), key.serialize_pem())?;
    Ok(())
}

fn wait_for(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match TcpStream::connect(address) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(format!("nobody listens on {address}: {error}").into());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
