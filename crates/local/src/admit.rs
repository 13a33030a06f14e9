//! Admission: what a certificate that sent CONNECT may do: served, provisioned first, or refused.

use std::net::IpAddr;
use std::sync::Arc;

use crate::x509::X509;

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
}
