//! A device as the benchmarks need it: mutual TLS with settings that do not depend on the server, and MQTT
//! packets by `jitp-wire`. Its own costs are counted nowhere.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
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

/// Larger than any packet the benchmarks send.
const PACKET_BYTES: usize = 256 * 1024;

/// Something went wrong that makes the measurement worthless.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A device: its name is thing name, common name and client id.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) name: String,
    chain: Vec<CertificateDer<'static>>,
    issued: Arc<IssuedDevice>,
}

impl Device {
    /// A new device with a P-256 key and a certificate of this CA.
    pub(crate) fn issue(ca: &CertificateAuthority, name: &str) -> Result<Self> {
        let name: ThingName = name.parse()?;
        let issued = ca.issue(&name, &Profile::device(), OffsetDateTime::now_utc())?;
        // As in the file that `provision` writes: the device's certificate, then its CA's.
        let chain = [issued.certificate_der(), ca.certificate().der()]
            .map(|der| CertificateDer::from(der.to_vec()));
        Ok(Self {
            name: issued.thing_name().to_string(),
            chain: chain.into(),
            issued: Arc::new(issued),
        })
    }

    /// Lower-case hex SHA-256 of its certificate.
    pub(crate) fn certificate_id(&self) -> &str {
        self.issued.id().as_str()
    }

    /// Its certificate in PEM.
    pub(crate) fn certificate_pem(&self) -> &str {
        self.issued.certificate_pem()
    }

    /// How it dials a server of this root: TLS 1.3, AES-256-GCM, X25519, every handshake a full one. OpenSSL 3.0
    /// has no post-quantum key exchange, so that it is not offered to anybody.
    pub(crate) fn dialler(&self, server_root_pem: &str, address: SocketAddr) -> Result<Dialler> {
        let mut provider = default_provider();
        provider.cipher_suites = vec![cipher_suite::TLS13_AES_256_GCM_SHA384];
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
pub(crate) struct Dialler {
    pub(crate) name: String,
    tls: TlsConnector,
    address: SocketAddr,
}

impl Dialler {
    /// Handshake and CONNECT. None when the server closes without CONNACK, as it does at a first connection.
    pub(crate) async fn dial(&self, version: Version) -> Result<Option<Connection>> {
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
    pub(crate) async fn connect(&self, version: Version) -> Result<Connection> {
        let connection = self.dial(version).await?;
        connection.ok_or_else(|| format!("{} was closed without CONNACK", self.name).into())
    }
}

/// A connection that CONNACK was received on, or is about to be.
pub(crate) struct Connection {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) version: Version,
    pub(crate) input: BytesMut,
}

impl Connection {
    /// Sends bytes in one TLS record.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next packet; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<FromServer>> {
        next_packet(&mut self.stream, &mut self.input, self.version).await
    }

    /// Subscribes to filters at QoS 1 and waits for the SUBACK.
    pub(crate) async fn subscribe(&mut self, filters: &[&str], qos: QoS) -> Result<()> {
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

/// The next packet of a stream; none at its end. An abrupt end counts as one: the local core closes like that.
pub(crate) async fn next_packet<S>(
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
