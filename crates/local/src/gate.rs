//! The gate: what the broker asks about a connection before it serves it, and the answers.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::policy::Authorizer;
use crate::tls::Peer;
use crate::x509::X509;

/// What the broker asks about a connection before it serves it.
pub trait Gate: Send + Sync {
    /// Whether the certificate may hold a connection.
    fn admit<'a>(
        &'a self,
        peer: &'a Peer,
        client_id: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Admitted, Refusal>> + Send + 'a>>;

    /// The policies of the certificate, compiled for this connection.
    fn authorizer(&self, admitted: &Admitted, facts: &ConnectFacts) -> Authorizer;
}

/// A certificate that may hold a connection.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Lower-case hex SHA-256 of the certificate's DER, 64 characters.
    pub certificate_id: String,
    /// The certificate presented in the handshake.
    pub x509: Arc<X509>,
    /// The thing this certificate is attached to exclusively, if it is.
    pub thing_name: Option<String>,
}

/// What CONNECT says about the connection, as policy conditions see it.
#[derive(Clone, Debug)]
pub struct ConnectFacts {
    /// MQTT client id.
    pub client_id: String,
    /// Address of the peer.
    pub source_ip: IpAddr,
    /// Whether the session outlives the connection.
    pub persistent: bool,
    /// Topic of the will message, if there is one.
    pub will_topic: Option<String>,
}

/// A refusal: the connection is closed without CONNACK.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Stable upper-case code.
    pub code: &'static str,
    /// The cause in one sentence.
    pub sentence: String,
    /// Whether this is how a first connection ends, and nothing is wrong.
    pub expected: bool,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, sentence: impl Into<String>) -> Self {
        Self {
            code,
            sentence: sentence.into(),
            expected: false,
        }
    }

    pub(crate) fn first_contact(code: &'static str, sentence: impl Into<String>) -> Self {
        Self {
            expected: true,
            ..Self::new(code, sentence)
        }
    }
}
