//! What the benchmarks share: the programs as they are shipped, and a device whose own costs are counted nowhere.
//!
//! The device speaks mutual TLS with settings that do not depend on the server, and MQTT packets by `jitp-wire`.

pub mod local_core;
pub mod mosquitto;
pub mod process;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use jitp_core::ca::{CertificateAuthority, IssuedDevice, Profile};
use jitp_core::names::ThingName;
use jitp_wire::{
    ClientConnect, Frames, FromServer, QoS, Version, decode_from_server, encode_connect,
    encode_subscribe,
};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use time::OffsetDateTime;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Larger than any packet the benchmarks send, in bytes.
const PACKET_BYTES: usize = 256 * 1024;

/// An error makes a measurement worthless, whatever it is.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The folder `make` puts the programs into.
#[must_use]
pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bin")
}

/// A program in a folder.
///
/// # Errors
/// It is not there.
pub fn program(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is missing; remedy: make programs", path.display()).into())
}

/// A device: its name is thing name, common name and client id.
#[derive(Clone, Debug)]
pub struct Device {
    name: String,
    chain: Vec<CertificateDer<'static>>,
    issued: Arc<IssuedDevice>,
}

impl Device {
    /// A new device with a P-256 key and a certificate of this CA.
    ///
    /// # Errors
    /// The name is no thing name, or the CA refuses it.
    pub fn issue(ca: &CertificateAuthority, name: &str) -> Result<Self> {
        let name: ThingName = name.parse()?;
        let issued = ca.issue(&name, &Profile::device(), OffsetDateTime::now_utc())?;
        // As in the file that `provision` writes: the device's certificate, then its CA's.
        let chain = [issued.certificate().der(), ca.certificate().der()]
            .map(|der| CertificateDer::from(der.to_vec()));
        Ok(Self {
            name: name.to_string(),
            chain: chain.into(),
            issued: Arc::new(issued),
        })
    }

    /// Lower-case hex SHA-256 of its certificate.
    #[must_use]
    pub fn certificate_id(&self) -> &str {
        self.issued.id().as_str()
    }

    /// Its certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.issued.certificate().to_pem()
    }

    /// How it dials a server of this root: TLS 1.3, AES-128-GCM, X25519, every handshake a full one. OpenSSL 3.0
    /// has no post-quantum key exchange, so that it is not offered to anybody.
    ///
    /// # Errors
    /// The root is no certificate.
    pub fn dialler(&self, server_root_pem: &str, address: SocketAddr) -> Result<Dialler> {
        let mut provider = default_provider();
        provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
        provider.kx_groups = vec![kx_group::X25519];
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(server_root_pem.as_bytes())?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(self.chain.clone(), self.issued.private_key().to_rustls())?;
        config.resumption = Resumption::disabled();
        Ok(Dialler {
            name: self.name.clone(),
            tls: TlsConnector::from(Arc::new(config)),
            address,
        })
    }
}

/// A device that knows its server.
#[derive(Clone)]
pub struct Dialler {
    /// Its name.
    pub name: String,
    tls: TlsConnector,
    address: SocketAddr,
}

impl Dialler {
    /// Handshake and CONNECT. None when the server closes without CONNACK, as it does at a first connection.
    ///
    /// # Errors
    /// The connection or the handshake fails, or something else than a CONNACK of success is answered.
    pub async fn dial(&self, version: Version) -> Result<Option<Connection>> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let server = ServerName::try_from("localhost")?;
        let mut connection = Connection {
            stream: self.tls.connect(server, socket).await?,
            version,
            input: BytesMut::new(),
        };
        let mut packet = Vec::new();
        let connect = ClientConnect {
            client_id: self.name.clone(),
            clean_start: true,
            keep_alive: 1200,
            ..ClientConnect::default()
        };
        encode_connect(&mut packet, version, &connect)?;
        connection.send(&packet).await?;
        match connection.next().await? {
            Some(FromServer::ConnAck { reason: 0, .. }) => Ok(Some(connection)),
            Some(other) => Err(format!("instead of a CONNACK came {other:?}").into()),
            None => Ok(None),
        }
    }

    /// As [`Dialler::dial`], for a device that the server knows.
    ///
    /// # Errors
    /// As there, and when the connection is closed without CONNACK.
    pub async fn connect(&self, version: Version) -> Result<Connection> {
        let connection = self.dial(version).await?;
        connection.ok_or_else(|| format!("{} was closed without CONNACK", self.name).into())
    }
}

/// A connection of a device.
#[derive(Debug)]
pub struct Connection {
    /// The stream.
    pub stream: TlsStream<TcpStream>,
    /// The MQTT version spoken on it.
    pub version: Version,
    /// What was read and not yet looked at.
    pub input: BytesMut,
}

impl Connection {
    /// Sends bytes in one TLS record.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next packet; none at the end of the stream.
    ///
    /// # Errors
    /// As [`next_packet`].
    pub async fn next(&mut self) -> Result<Option<FromServer>> {
        next_packet(&mut self.stream, &mut self.input, self.version).await
    }

    /// Subscribes to filters and waits for the SUBACK.
    ///
    /// # Errors
    /// One of them is refused, or the connection is lost.
    pub async fn subscribe(&mut self, filters: &[&str], qos: QoS) -> Result<()> {
        let mut packet = Vec::new();
        let filters: Vec<_> = filters.iter().map(|filter| (*filter, qos)).collect();
        encode_subscribe(&mut packet, self.version, NonZeroU16::MIN, &filters);
        self.send(&packet).await?;
        match self.next().await? {
            Some(FromServer::SubAck { codes, .. }) if codes.iter().all(|code| *code < 0x80) => {
                Ok(())
            }
            other => Err(format!("instead of a SUBACK came {other:?}").into()),
        }
    }
}

/// The next packet of a stream; none at its end. An abrupt end counts as one: mosquitto closes like that.
///
/// # Errors
/// What arrives is no packet of a server, or the socket fails.
pub async fn next_packet<S>(
    stream: &mut S,
    input: &mut BytesMut,
    version: Version,
) -> Result<Option<FromServer>>
where
    S: AsyncRead + Unpin,
{
    let frames = Frames::new(PACKET_BYTES);
    loop {
        if let Some((first, body)) = frames.next(input)? {
            return Ok(Some(decode_from_server(version, first, body)?));
        }
        input.reserve(4 * 1024);
        match stream.read_buf(input).await {
            Ok(1..) => {}
            Ok(0) => return Ok(None),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
