//! A scripted MQTT server on loopback: real TLS, raw MQTT bytes, and a list of how it behaves on each connection.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::aws_lc_rs::default_provider,
    server::danger::{ClientCertVerified, ClientCertVerifier},
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What the server does with one connection.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Holds the socket and says nothing, not even TLS.
    StallInTls,
    /// Resets the socket at once.
    Reset,
    /// Closes the socket at once.
    CloseTcp,
    /// Answers TLS with a line of HTTP.
    NotTls,
    /// TLS, then silence.
    NoConnack,
    /// TLS, reads CONNECT, closes in good order: what AWS IoT does with an unknown certificate.
    CloseBeforeConnack,
    /// TLS, reads CONNECT, resets.
    ResetBeforeConnack,
    /// TLS, reads CONNECT, sends these bytes and closes.
    Answer(Vec<u8>),
    /// An MQTT server with manners, and the exceptions given.
    Serve(Manners),
}

/// How an accepted connection is served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manners {
    /// Hang up after this many PUBLISH packets, without acknowledging the last.
    pub(crate) die_after: Option<usize>,
    /// …with a reset instead of in good order.
    pub(crate) die_by_reset: bool,
    /// Publishing on this topic closes the connection (MQTT 3.1.1).
    pub(crate) hang_up_on: Option<&'static str>,
    /// PUBACK with this reason code (MQTT 5).
    pub(crate) puback: u8,
    /// SUBACK with this code instead of the QoS asked for.
    pub(crate) suback: Option<u8>,
    /// SUBSCRIBE closes the connection (MQTT 3.1.1).
    pub(crate) hang_up_on_subscribe: bool,
    /// Never acknowledges a PUBLISH.
    pub(crate) no_puback: bool,
    /// DISCONNECT with this reason code after the first PUBLISH (MQTT 5).
    pub(crate) disconnect: Option<u8>,
    /// Sends these after SUBACK: topic and payload, at QoS 1; then hangs up if the flag says so.
    pub(crate) deliver: Vec<(&'static str, &'static str)>,
    /// Closes in good order once everything of `deliver` is acknowledged.
    pub(crate) hang_up_when_delivered: bool,
    /// Resets the connection instead of answering UNSUBSCRIBE.
    pub(crate) reset_on_unsubscribe: bool,
    /// Reads and answers nothing.
    pub(crate) mute: bool,
    /// Closes this long after CONNACK.
    pub(crate) hang_up_after: Option<Duration>,
    /// Answers messages with messages.
    pub(crate) service: Option<Service>,
}

/// What answers a message, topic and payload, with messages; at QoS 0, on the connection that asked. A message without a
/// topic breaks the connection.
#[derive(Clone)]
pub(crate) struct Service(pub(crate) Arc<Answering>);

/// The messages that answer a topic and a payload.
pub(crate) type Answering = dyn Fn(&str, &[u8]) -> Vec<(String, Vec<u8>)> + Send + Sync;

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

/// What the server saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) accepted: Vec<Instant>,
    pub(crate) connects: Vec<(u8, String)>,
    pub(crate) sni: Vec<Option<String>>,
    pub(crate) alpn: Vec<Option<Vec<u8>>>,
    pub(crate) certificates: Vec<Vec<CertificateDer<'static>>>,
    pub(crate) published: Vec<(String, Vec<u8>)>,
    pub(crate) subscribed: Vec<String>,
    pub(crate) most_in_flight: usize,
    pub(crate) disconnects: usize,
    pub(crate) close_notifies: usize,
}

/// Which TLS the server speaks, and to whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    pub(crate) tls12_only: bool,
    pub(crate) refuse_clients: bool,
    pub(crate) alpn: Vec<&'static str>,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Serves connection *n* by `acts[n]`, and every one after the last like the last.
    pub(crate) async fn start(pki: &Pki, tls: Tls, acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let acceptor = acceptor(pki, &tls);
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            for number in 0_usize.. {
                let Ok((socket, _)) = listener.accept().await else {
                    return;
                };
                shared.lock().unwrap().accepted.push(Instant::now());
                let act = acts[number.min(acts.len() - 1)].clone();
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move { act_out(act, socket, acceptor, seen).await });
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    pub(crate) fn attempts(&self) -> usize {
        self.seen.lock().unwrap().accepted.len()
    }

    pub(crate) fn payloads(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let text = |(_, payload): &(String, Vec<u8>)| String::from_utf8(payload.clone()).unwrap();
        seen.published.iter().map(text).collect()
    }
}

async fn act_out(act: Act, mut socket: TcpStream, acceptor: TlsAcceptor, seen: Arc<Mutex<Seen>>) {
    match act {
        Act::StallInTls => tokio::time::sleep(Duration::from_secs(3600)).await,
        Act::Reset => reset(&socket),
        Act::CloseTcp => {}
        Act::NotTls => {
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = socket.read(&mut [0; 1024]).await;
        }
        act => {
            let Ok(mut stream) = acceptor.accept(socket).await else {
                return;
            };
            {
                let (_, connection) = stream.get_ref();
                let mut seen = seen.lock().unwrap();
                seen.sni.push(connection.server_name().map(str::to_owned));
                seen.alpn
                    .push(connection.alpn_protocol().map(<[u8]>::to_vec));
                seen.certificates
                    .push(connection.peer_certificates().unwrap_or_default().to_vec());
            }
            let Some((0x10, body)) = packet(&mut stream).await else {
                return;
            };
            let level = body[6];
            let mut at = 10;
            if level == 5 {
                at += 1 + usize::from(body[at]);
            }
            let client_id = string(&body, &mut at);
            seen.lock().unwrap().connects.push((level, client_id));
            match act {
                Act::NoConnack => tokio::time::sleep(Duration::from_secs(3600)).await,
                Act::CloseBeforeConnack => {
                    let _ = stream.shutdown().await;
                }
                Act::ResetBeforeConnack => reset(stream.get_ref().0),
                Act::Answer(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.flush().await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let _ = stream.shutdown().await;
                }
                Act::Serve(manners) => serve(stream, level, manners, seen).await,
                _ => unreachable!("handled above"),
            }
        }
    }
}

async fn serve(
    mut stream: TlsStream<TcpStream>,
    level: u8,
    manners: Manners,
    seen: Arc<Mutex<Seen>>,
) {
    let v5 = level == 5;
    let connack: &[u8] = if v5 {
        &[0x20, 3, 0, 0, 0]
    } else {
        &[0x20, 2, 0, 0]
    };
    stream.write_all(connack).await.unwrap();
    stream.flush().await.unwrap();
    let deadline = manners
        .hang_up_after
        .map(|after| tokio::time::Instant::now() + after);
    let mut publishes = 0;
    let mut unacknowledged = 0;
    let mut to_deliver = usize::MAX;
    loop {
        let next = async {
            match deadline {
                Some(at) => tokio::time::timeout_at(at, packet(&mut stream))
                    .await
                    .ok()
                    .flatten(),
                None => packet(&mut stream).await,
            }
        };
        let Some((first, body)) = next.await else {
            let _ = stream.shutdown().await;
            return;
        };
        if manners.mute {
            continue;
        }
        let mut reply = Vec::new();
        match first & 0xF0 {
            0x30 => {
                publishes += 1;
                let qos = (first >> 1) & 3;
                let mut at = 0;
                let topic = string(&body, &mut at);
                let mut id = [0, 0];
                if qos > 0 {
                    id = [body[at], body[at + 1]];
                    at += 2;
                }
                if v5 {
                    at += 1 + usize::from(body[at]);
                }
                if manners.hang_up_on == Some(topic.as_str()) {
                    let _ = stream.shutdown().await;
                    return;
                }
                if manners.die_after == Some(publishes) {
                    if manners.die_by_reset {
                        reset(stream.get_ref().0);
                    } else {
                        let _ = stream.shutdown().await;
                    }
                    return;
                }
                if let Some(code) = manners.disconnect {
                    let _ = stream.write_all(&[0xE0, 2, code, 0]).await;
                    let _ = stream.shutdown().await;
                    return;
                }
                if qos > 0 && !manners.no_puback {
                    if v5 {
                        reply.extend([0x40, 4, id[0], id[1], manners.puback, 0]);
                    } else {
                        reply.extend([0x40, 2, id[0], id[1]]);
                    }
                } else if qos > 0 {
                    unacknowledged += 1;
                }
                let mut seen = seen.lock().unwrap();
                seen.most_in_flight = seen.most_in_flight.max(unacknowledged);
                if manners.puback < 0x80 {
                    if let Some(Service(answer)) = &manners.service {
                        for (topic, payload) in answer(&topic, &body[at..]) {
                            if topic.is_empty() {
                                return;
                            }
                            reply.extend(publish(&topic, &payload, v5));
                        }
                    }
                    seen.published.push((topic, body[at..].to_vec()));
                }
            }
            0x80 => {
                if manners.hang_up_on_subscribe {
                    let _ = stream.shutdown().await;
                    return;
                }
                let mut at = 2;
                if v5 {
                    at += 1 + usize::from(body[at]);
                }
                let mut codes = Vec::new();
                while at < body.len() {
                    let filter = string(&body, &mut at);
                    codes.push(manners.suback.unwrap_or(body[at] & 3));
                    at += 1;
                    seen.lock().unwrap().subscribed.push(filter);
                }
                reply.extend([0x90, (2 + codes.len() + usize::from(v5)) as u8]);
                reply.extend(&body[..2]);
                if v5 {
                    reply.push(0);
                }
                reply.extend(&codes);
                to_deliver = manners.deliver.len();
                for (number, (topic, payload)) in manners.deliver.iter().enumerate() {
                    let mut publish = Vec::new();
                    publish.extend((topic.len() as u16).to_be_bytes());
                    publish.extend(topic.as_bytes());
                    publish.extend((number as u16 + 1).to_be_bytes());
                    if v5 {
                        publish.push(0);
                    }
                    publish.extend(payload.as_bytes());
                    reply.extend([0x32, publish.len() as u8]);
                    reply.extend(publish);
                }
            }
            0xA0 if manners.reset_on_unsubscribe => {
                reset(stream.get_ref().0);
                return;
            }
            0xA0 => {
                reply.extend([0xB0, if v5 { 4 } else { 2 }]);
                reply.extend(&body[..2]);
                if v5 {
                    reply.extend([0, 0x11]);
                }
            }
            0x40 => {
                to_deliver = to_deliver.saturating_sub(1);
                if to_deliver == 0 && manners.hang_up_when_delivered {
                    let _ = stream.shutdown().await;
                    return;
                }
            }
            0xC0 => reply.extend([0xD0, 0]),
            0xE0 => {
                seen.lock().unwrap().disconnects += 1;
                // Ok(0) is a close_notify; without one rustls reports an unexpected end.
                if matches!(stream.read(&mut [0; 16]).await, Ok(0)) {
                    seen.lock().unwrap().close_notifies += 1;
                }
                let _ = stream.shutdown().await;
                return;
            }
            other => panic!("unexpected packet {other:#x}"),
        }
        if stream.write_all(&reply).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// A PUBLISH at QoS 0.
fn publish(topic: &str, payload: &[u8], v5: bool) -> Vec<u8> {
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend(topic.as_bytes());
    if v5 {
        body.push(0);
    }
    body.extend(payload);
    let mut packet = vec![0x30];
    let mut length = body.len();
    loop {
        let more = length >= 128;
        packet.push((length % 128) as u8 | if more { 0x80 } else { 0 });
        length /= 128;
        if !more {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// The next packet: first byte and body. `None` at the end.
async fn packet(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = stream.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((first, body))
}

fn string(body: &[u8], at: &mut usize) -> String {
    let length = usize::from(u16::from_be_bytes([body[*at], body[*at + 1]]));
    let text = String::from_utf8(body[*at + 2..*at + 2 + length].to_vec()).unwrap();
    *at += 2 + length;
    text
}

#[allow(deprecated)]
fn reset(socket: &TcpStream) {
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// A server root, a server certificate, and a device certificate with its CA.
pub(crate) struct Pki {
    pub(crate) root_pem: String,
    server_chain: Vec<CertificateDer<'static>>,
    server_key: PrivateKeyDer<'static>,
    pub(crate) device_pem: String,
    pub(crate) device_key: String,
}

/// Dates and names to deviate from.
pub(crate) struct Shape {
    pub(crate) root: (OffsetDateTime, OffsetDateTime),
    pub(crate) server: (OffsetDateTime, OffsetDateTime),
    pub(crate) names: Vec<String>,
}

impl Default for Shape {
    fn default() -> Self {
        let now = OffsetDateTime::now_utc();
        let year = time::Duration::days(365);
        Self {
            root: (now - year, now + year),
            server: (now - year, now + year),
            names: vec!["localhost".into(), "127.0.0.1".into()],
        }
    }
}

impl Pki {
    pub(crate) fn new(shape: Shape) -> Self {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name
            .push(DnType::CommonName, "server root");
        (root.not_before, root.not_after) = shape.root;
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        let mut server = CertificateParams::new(shape.names).unwrap();
        server.distinguished_name.push(DnType::CommonName, "server");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (server.not_before, server.not_after) = shape.server;
        let server_key = KeyPair::generate().unwrap();
        let server = server.signed_by(&server_key, &root).unwrap();

        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "root");
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let mut device = CertificateParams::default();
        device
            .distinguished_name
            .push(DnType::CommonName, "sensor-17");
        let device_key = KeyPair::generate().unwrap();
        let device = device.signed_by(&device_key, &ca).unwrap();
        Self {
            root_pem: root.pem(),
            server_chain: vec![server.der().clone()],
            server_key: PrivateKeyDer::from_pem_slice(server_key.serialize_pem().as_bytes())
                .unwrap(),
            device_pem: format!("{}{}", device.pem(), ca.pem()),
            device_key: device_key.serialize_pem(),
        }
    }
}

fn acceptor(pki: &Pki, tls: &Tls) -> TlsAcceptor {
    let versions: &[&rustls::SupportedProtocolVersion] = if tls.tls12_only {
        &[&TLS12]
    } else {
        &[&TLS12, &TLS13]
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(Arc::new(Doorman {
            refuse: tls.refuse_clients,
        }))
        .with_single_cert(pki.server_chain.clone(), pki.server_key.clone_key())
        .unwrap();
    config.alpn_protocols = tls.alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Lets everybody in, X.509 v1 included, or nobody.
#[derive(Debug)]
struct Doorman {
    refuse: bool,
}

impl ClientCertVerifier for Doorman {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.refuse {
            return Err(CertificateError::Revoked.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
