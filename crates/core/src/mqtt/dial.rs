//! From an endpoint to an open TLS stream, every step within a deadline.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    AlertDescription, CipherSuite, ClientConfig,
    client::Resumption,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{default_provider, kx_group},
    },
    time_provider::TimeProvider,
};
use rustls_pki_types::{ServerName, UnixTime};
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    endpoint::Endpoint,
    error::MqttError,
    identity::Identity,
    options::{Alpn, Clock, Options},
    reason::{Closed, Stage},
    stream::Fault,
    trust::{ServerFault, Trust},
    verifier::Verifier,
};

/// The port on which AWS IoT tells protocols apart by ALPN.
const ALPN_PORT: u16 = 443;
/// ALPN of MQTT with client certificates (developer guide, "Device communication protocols").
const ALPN_MQTT: &[u8] = b"x-amzn-mqtt-ca";

/// What the connections of all devices to one endpoint have in common: address, roots, TLS settings.
pub struct Network {
    config: ClientConfig,
    name: ServerName<'static>,
    host: String,
    port: u16,
    trust: Trust,
    issuer: Arc<Mutex<Option<String>>>,
}

/// One device's way into the endpoint of a [`Network`].
#[derive(Clone)]
pub struct Entrance(TlsConnector);

impl Network {
    /// Builds the TLS configuration. Nothing is sent. `server_name` is the name sent as SNI and looked for in the
    /// server's certificate; the endpoint's host unless given.
    ///
    /// # Errors
    /// When the roots are out of date, the name cannot be one of a server, or TLS cannot be set up.
    pub fn new(
        endpoint: &Endpoint,
        trust: &Trust,
        alpn: &Alpn,
        server_name: Option<&str>,
        clock: &Clock,
    ) -> Result<Self, MqttError> {
        let provider = default_provider();
        Self::build(provider, endpoint, trust, alpn, server_name, clock)
    }

    /// The way of a fleet: as [`Network::new`], but the handshake is the one that AWS IoT Core and most devices agree on,
    /// whatever server it is with: AES-128 comes first, and keys are exchanged on elliptic curves alone. A post-quantum
    /// exchange beside them would cost the fleet, and every server, what devices do not cost it.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn of_fleet(endpoint: &Endpoint, trust: &Trust) -> Result<Self, MqttError> {
        let mut provider = default_provider();
        provider.kx_groups = vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
        provider.cipher_suites.sort_by_key(|suite| {
            !matches!(
                suite.suite(),
                CipherSuite::TLS13_AES_128_GCM_SHA256
                    | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                    | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
            )
        });
        let clock = Clock::default();
        Self::build(provider, endpoint, trust, &Alpn::ByPort, None, &clock)
    }

    fn build(
        provider: CryptoProvider,
        endpoint: &Endpoint,
        trust: &Trust,
        alpn: &Alpn,
        server_name: Option<&str>,
        clock: &Clock,
    ) -> Result<Self, MqttError> {
        trust.check(clock.now())?;
        let name = server_name.unwrap_or_else(|| endpoint.host());
        let name = ServerName::try_from(name.to_owned()).map_err(|_| MqttError::ServerName {
            name: name.to_owned(),
        })?;
        let provider = Arc::new(provider);
        let issuer = Arc::new(Mutex::new(None));
        let verifier = Verifier::new(trust.clone(), Arc::clone(&provider), Arc::clone(&issuer));
        let mut config = ClientConfig::builder_with_details(provider, Arc::new(Now(clock.clone())))
            .with_safe_default_protocol_versions()
            .map_err(|error| MqttError::Tls {
                endpoint: endpoint.to_string(),
                detail: error.to_string(),
            })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = match alpn {
            Alpn::ByPort if endpoint.port() == ALPN_PORT => vec![ALPN_MQTT.to_vec()],
            Alpn::ByPort | Alpn::None => Vec::new(),
            Alpn::Protocol(protocol) => vec![protocol.clone().into_bytes()],
        };
        // A full handshake every time, as AWS IoT makes it: a resumed one would not present the certificate
        // that has just been activated or revoked.
        config.resumption = Resumption::disabled();
        Ok(Self {
            config,
            name,
            host: endpoint.host().to_owned(),
            port: endpoint.port(),
            trust: trust.clone(),
            issuer,
        })
    }

    /// The way in with this certificate; every handshake is a full one.
    pub fn entrance(&self, identity: &Identity) -> Entrance {
        let mut config = self.config.clone();
        config.client_auth_cert_resolver = identity.resolver();
        Entrance(TlsConnector::from(Arc::new(config)))
    }

    /// As [`Network::entrance`], for one handshake only, after which the connection holds neither key nor certificates; a second handshake
    /// would present none.
    pub fn entrance_once(&self, identity: &Identity) -> Entrance {
        let mut config = self.config.clone();
        config.client_auth_cert_resolver = identity.resolver_once();
        Entrance(TlsConnector::from(Arc::new(config)))
    }

    /// As [`Network::entrance`], with a memory of one session: where the server allows it, the next handshake resumes the last one. For
    /// servers that are no AWS IoT Core.
    pub fn resuming_entrance(&self, identity: &Identity) -> Entrance {
        let mut config = self.config.clone();
        config.client_auth_cert_resolver = identity.resolver();
        config.resumption = Resumption::in_memory_sessions(1);
        Entrance(TlsConnector::from(Arc::new(config)))
    }

    /// The endpoint's addresses, one at least.
    ///
    /// # Errors
    /// [`Closed::Unreachable`] or [`Closed::TimedOut`].
    pub async fn addresses(&self, deadline: Instant) -> Result<Vec<SocketAddr>, Closed> {
        let started = Instant::now();
        let addresses: Vec<_> =
            match timeout_at(deadline, lookup_host((self.host.as_str(), self.port))).await {
                Ok(Ok(addresses)) => addresses.collect(),
                Ok(Err(error)) => {
                    return Err(Closed::Unreachable {
                        detail: format!("looking up {}: {error}", self.host),
                    });
                }
                Err(_) => return Err(timed_out(Stage::Lookup, started)),
            };
        match addresses.is_empty() {
            true => Err(Closed::Unreachable {
                detail: format!("{} has no address", self.host),
            }),
            false => Ok(addresses),
        }
    }

    /// TLS over an open connection.
    ///
    /// # Errors
    /// Why the handshake failed, as precisely as it can be told.
    pub async fn handshake(
        &self,
        entrance: &Entrance,
        tcp: TcpStream,
        deadline: Instant,
    ) -> Result<TlsStream<TcpStream>, Closed> {
        let started = Instant::now();
        let handshake = entrance.0.connect(self.name.clone(), tcp);
        match timeout_at(deadline, handshake).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(self.handshake_fault(&error)),
            Err(_) => Err(timed_out(Stage::Handshake, started)),
        }
    }

    fn handshake_fault(&self, error: &std::io::Error) -> Closed {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(fault)) => {
                let issuer = self
                    .issuer
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                Closed::Server(ServerFault::of(fault, issuer, &self.trust))
            }
            Some(rustls::Error::AlertReceived(alert)) => of_alert(*alert),
            Some(rustls::Error::InvalidMessage(_)) => Closed::Tls {
                detail: "it does not speak TLS on this port".to_owned(),
            },
            Some(other) => Closed::Tls {
                detail: other.to_string(),
            },
            None => match Fault::of(error) {
                Fault::Ended => Closed::Ended {
                    stage: Stage::Handshake,
                },
                Fault::Reset => Closed::Reset {
                    stage: Stage::Handshake,
                },
                Fault::Alert(alert) => of_alert(alert),
                Fault::Other(detail) => Closed::Tls { detail },
            },
        }
    }
}

/// Opens a TCP connection from this local address, if one is given, without delaying small packets.
///
/// # Errors
/// [`Closed::Unreachable`] with the address and what the operating system said, or [`Closed::TimedOut`].
pub async fn open_tcp(
    address: SocketAddr,
    source: Option<IpAddr>,
    deadline: Instant,
) -> Result<TcpStream, Closed> {
    let started = Instant::now();
    let opened = async {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.connect(address).await
    };
    match timeout_at(deadline, opened).await {
        Ok(Ok(stream)) => {
            // Small packets, each waited for: no gain from delaying them. Failing this harms nothing.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(Closed::Unreachable {
            detail: format!("{address}: {error}"),
        }),
        Err(_) => Err(timed_out(Stage::Tcp, started)),
    }
}

/// Everything needed to open one device's connections to one endpoint.
pub(crate) struct Dialer {
    network: Network,
    entrance: Entrance,
}

impl Dialer {
    /// Builds the TLS configuration. Nothing is sent.
    pub(crate) fn new(options: &Options) -> Result<Self, MqttError> {
        let network = Network::new(
            &options.endpoint,
            &options.trust,
            &options.alpn,
            options.server_name.as_deref(),
            &options.clock,
        )?;
        Ok(Self {
            entrance: network.entrance(&options.identity),
            network,
        })
    }

    /// Address lookup, TCP, TLS.
    pub(crate) async fn dial(&self, deadline: Instant) -> Result<TlsStream<TcpStream>, Closed> {
        let tcp = self.tcp(deadline).await?;
        self.network.handshake(&self.entrance, tcp, deadline).await
    }

    async fn tcp(&self, deadline: Instant) -> Result<TcpStream, Closed> {
        let addresses = self.network.addresses(deadline).await?;
        let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let mut outcome = Err(Closed::Unreachable {
            detail: format!("{} has no address", self.network.host),
        });
        for address in addresses {
            // Addresses share the time that is left, so that a dead IPv6 route does not use it all up.
            let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
            left = left.saturating_sub(1);
            outcome = open_tcp(address, None, Instant::now() + share).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

/// An alert either speaks of our certificate or of the handshake.
pub(crate) fn of_alert(alert: AlertDescription) -> Closed {
    let name = alert_name(alert);
    match alert {
        AlertDescription::NoCertificate
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError
        | AlertDescription::CertificateRequired => Closed::CertificateRefused { alert: name },
        AlertDescription::NoApplicationProtocol => Closed::Tls {
            detail: "it does not accept our application protocol (ALPN)".to_owned(),
        },
        AlertDescription::UnrecognisedName => Closed::Tls {
            detail: "it does not know the name we asked for (SNI)".to_owned(),
        },
        _ => Closed::Tls {
            detail: format!("it sent the alert {name}"),
        },
    }
}

/// `CertificateUnknown` as RFC 8446 writes it: `certificate_unknown`.
fn alert_name(alert: AlertDescription) -> String {
    let camel = format!("{alert:?}").replace("CA", "Ca");
    let mut name = String::with_capacity(camel.len() + 4);
    for character in camel.chars() {
        if character.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_lowercase());
    }
    name
}

fn timed_out(stage: Stage, started: Instant) -> Closed {
    Closed::TimedOut {
        stage,
        waited: started.elapsed().max(Duration::ZERO),
    }
}

/// rustls asks for the time here, so that a test can say what time it is.
#[derive(Debug)]
struct Now(Clock);

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().unix_timestamp()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_named_as_in_the_rfc_and_told_apart() {
        assert_eq!(
            of_alert(AlertDescription::CertificateUnknown),
            Closed::CertificateRefused {
                alert: "certificate_unknown".into()
            }
        );
        assert_eq!(
            of_alert(AlertDescription::UnknownCA),
            Closed::CertificateRefused {
                alert: "unknown_ca".into()
            }
        );
        assert!(matches!(
            of_alert(AlertDescription::ProtocolVersion),
            Closed::Tls { .. }
        ));
    }
}
