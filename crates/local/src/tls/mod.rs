//! TLS of the MQTT port: what the server offers, and who knocked.
//!
//! The handshake proves that the device holds the key of the certificate it shows and nothing more:
//! AWS IoT completes it for unknown certificates too, and decides when CONNECT arrives (developer
//! guide, "X.509 client certificates"). Deciding is the business of `admit`.

mod reading;
mod verifier;

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::server::{NoServerSessionStorage, ServerConnection};
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::x509::{X509, X509Fault};
use verifier::PossessionVerifier;

/// The protocol name devices send on port 443 (developer guide, "Device communication protocols").
/// Without ALPN plain MQTT is meant; any other name is refused in the handshake.
pub const ALPN_MQTT: &[u8] = b"x-amzn-mqtt-ca";

/// Most certificates a device may send beside its own. AWS reads one: the CA of a client without SNI.
const CHAIN_LENGTH: usize = 4;

/// The server's certificate and key.
#[derive(Debug)]
pub struct ServerIdentity {
    /// Server certificate, then its CAs but for the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// Key of the server certificate.
    pub key: PrivateKeyDer<'static>,
}

/// Who is at the other end of a finished handshake.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address the connection came from.
    pub address: SocketAddr,
    /// Server name the device asked for, in lower case.
    pub sni: Option<String>,
    /// Protocol agreed on.
    pub alpn: Option<Vec<u8>>,
    /// The device's certificate.
    pub certificate: Arc<X509>,
    /// What it sent beside it, such as its CA: readable, and not read until somebody asks.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Why a finished handshake has no usable peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The handshake went through without a client certificate.
    #[error("the device sent no certificate")]
    NoCertificate,
    /// Its certificate cannot be read.
    #[error("the certificate of the device cannot be read")]
    Unreadable(#[from] X509Fault),
}

impl Peer {
    /// Reads who is at the other end.
    ///
    /// # Errors
    /// The handshake did not finish, or its certificates cannot be read.
    pub fn of(connection: &ServerConnection, address: SocketAddr) -> Result<Self, PeerError> {
        let (certificate, chain) = connection
            .peer_certificates()
            .and_then(<[_]>::split_first)
            .ok_or(PeerError::NoCertificate)?;
        Ok(Self {
            address,
            sni: connection.server_name().map(str::to_ascii_lowercase),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            certificate: reading::read(certificate)?,
            chain: chain.to_vec(),
        })
    }
}

/// TLS 1.2 and 1.3 with ECDHE and AEAD suites, a client certificate demanded, no session tickets
/// (developer guide, "Transport security in AWS IoT Core").
///
/// # Errors
/// The key is not one of the certificate, or of a kind TLS does not know.
pub fn server_config(identity: ServerIdentity) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // AES-128 first, and the server's order counts, as with AWS's security policies.
    let rank = |suite: &SupportedCipherSuite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
        _ => 1,
    };
    provider.cipher_suites.sort_by_key(rank);
    let provider = Arc::new(provider);
    let verifier = PossessionVerifier::new(provider.signature_verification_algorithms);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(identity.chain, identity.key)?;
    // A session that could be resumed would outlive the deactivation of its certificate.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.ignore_client_order = true;
    config.alpn_protocols = vec![ALPN_MQTT.to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
