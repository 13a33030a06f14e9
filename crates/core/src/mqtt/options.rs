//! What a connection needs to know before it is made.

use std::{fmt, sync::Arc, time::Duration};

use time::OffsetDateTime;

use super::{
    endpoint::Endpoint,
    error::MqttError,
    identity::Identity,
    message::{MAX_IN_FLIGHT, Version, check_client_id},
    retry::Retry,
    trust::Trust,
};

/// Keep alive that is asked for. AWS IoT takes 30 to 1200 seconds; idle NAT tables forget sooner than most
/// people think.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Publishes a second that AWS IoT takes from one connection.
const AWS_RATE: u32 = 100;
/// Messages that may follow each other at once under [`Options::rate`].
pub const BURST: u32 = 10;

/// Where, as whom, and how to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where.
    pub endpoint: Endpoint,
    /// MQTT client id; the thing name, so that the thing's policy variables resolve.
    pub client_id: String,
    /// Device certificate and key.
    pub identity: Identity,
    /// Roots for the server's certificate.
    pub trust: Trust,
    /// MQTT version.
    pub version: Version,
    /// The name sent as SNI and looked for in the server's certificate; the endpoint's host unless given.
    /// For an endpoint that is an IP address TLS sends no SNI without it.
    pub server_name: Option<String>,
    /// Application protocol in TLS.
    pub alpn: Alpn,
    /// Keep alive, in whole seconds, 1 at least; a silent server is noticed after one to two of these.
    pub keep_alive: Duration,
    /// Most messages accepted and not confirmed at a time, 1..=[`MAX_IN_FLIGHT`].
    pub in_flight: usize,
    /// Most messages a second, in bursts of [`BURST`]; no limit if `None`. By default 100 at an AWS endpoint:
    /// what a connection publishes beyond that is discarded, at QoS 0 without a trace ("AWS IoT Core message
    /// broker and protocol limits and quotas", publish requests per second per connection).
    pub rate: Option<u32>,
    /// Waits and limits.
    pub retry: Retry,
    /// The time, to judge certificates by.
    pub clock: Clock,
}

impl Options {
    /// Options with the defaults: MQTT 5, ALPN by port, keep alive of 60 s, 100 messages in flight,
    /// and at an AWS endpoint 100 messages a second.
    pub fn new(
        endpoint: Endpoint,
        client_id: impl Into<String>,
        identity: Identity,
        trust: Trust,
    ) -> Self {
        Self {
            rate: endpoint.is_aws().then_some(AWS_RATE),
            endpoint,
            client_id: client_id.into(),
            identity,
            trust,
            version: Version::default(),
            server_name: None,
            alpn: Alpn::ByPort,
            keep_alive: KEEP_ALIVE,
            in_flight: MAX_IN_FLIGHT,
            retry: Retry::default(),
            clock: Clock::default(),
        }
    }

    /// Checks what can be checked without a network.
    pub(crate) fn check(&self) -> Result<(), MqttError> {
        check_client_id(&self.client_id)?;
        self.trust.check(self.clock.now())?;
        Ok(())
    }
}

/// The application protocol named in the TLS handshake.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Alpn {
    /// `x-amzn-mqtt-ca` on port 443, none elsewhere.
    #[default]
    ByPort,
    /// None.
    None,
    /// This one.
    Protocol(String),
}

/// A source of the current time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> OffsetDateTime + Send + Sync>);

impl Clock {
    /// A clock that asks `now` every time.
    pub fn new(now: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time it is.
    pub fn now(&self) -> OffsetDateTime {
        (self.0)()
    }
}

impl Default for Clock {
    /// The machine's clock.
    fn default() -> Self {
        Self::new(OffsetDateTime::now_utc)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
