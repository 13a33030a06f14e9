//! Handshakes in memory: OpenSSL is the device, certificates are made with its library.

use std::io::{Read, Write};
use std::sync::Arc;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage};
use openssl::x509::{X509Builder, X509NameBuilder};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{Peer, ServerIdentity, server_config};

type Made = (openssl::x509::X509, PKey<Private>);

fn p256() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

/// A self-signed certificate; `finish` adds what a case needs.
fn certificate(key: PKey<Private>, version: i32, finish: impl Fn(&mut X509Builder)) -> Made {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "device").unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(version).unwrap();
    let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(10).unwrap())
        .unwrap();
    finish(&mut builder);
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (builder.build(), key)
}

fn server() -> Arc<ServerConfig> {
    let (certificate, key) = certificate(p256(), 2, |_| {});
    server_config(ServerIdentity {
        chain: vec![CertificateDer::from(certificate.to_der().unwrap())],
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
            key.private_key_to_pkcs8().unwrap(),
        )),
    })
    .unwrap()
}

struct Device {
    identity: Option<(openssl::x509::X509, PKey<Private>)>,
    version: SslVersion,
    alpn: Option<&'static [u8]>,
}

/// Runs one handshake over a socket pair; what the server saw, or why it failed.
fn handshake(device: Device) -> Result<Peer, String> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let client = std::thread::spawn(move || {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        builder.set_security_level(0);
        builder.set_min_proto_version(Some(device.version)).unwrap();
        builder.set_max_proto_version(Some(device.version)).unwrap();
        if let Some((certificate, key)) = &device.identity {
            builder.set_certificate(certificate).unwrap();
            builder.set_private_key(key).unwrap();
        }
        if let Some(alpn) = device.alpn {
            builder.set_alpn_protos(alpn).unwrap();
        }
        let connector = builder.build();
        let Ok(mut stream) = connector.connect("LocalHost", theirs) else {
            return;
        };
        let _ = stream.write_all(b"hello");
        let mut answer = [0; 1];
        let _ = stream.read(&mut answer);
    });
    let mut server = rustls::ServerConnection::new(server()).unwrap();
    let mut socket = ours;
    let mut seen = || -> std::io::Result<()> {
        while server.is_handshaking() {
            server.complete_io(&mut socket)?;
        }
        let mut hello = [0; 5];
        rustls::Stream::new(&mut server, &mut socket).read_exact(&mut hello)?;
        Ok(())
    };
    let result = seen();
    let peer = result.map_err(|error| error.to_string()).and_then(|()| {
        let address = ([127, 0, 0, 1], 1).into();
        Peer::of(&server, address).map_err(|error| error.to_string())
    });
    drop(socket);
    client.join().unwrap();
    peer
}

fn with(identity: Made, version: SslVersion) -> Result<Peer, String> {
    handshake(Device {
        identity: Some(identity),
        version,
        alpn: None,
    })
}

const BOTH: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

#[test]
fn certificates_webpki_refuses_get_through_the_handshake() {
    for version in BOTH {
        let v1 = certificate(rsa(2048), 0, |_| {});
        assert_eq!(with(v1, version).unwrap().certificate.version, 1);
        let server_only = certificate(p256(), 2, |builder| {
            let usage = ExtendedKeyUsage::new().server_auth().build().unwrap();
            builder.append_extension(usage).unwrap();
        });
        with(server_only, version).unwrap();
        let authority = certificate(p256(), 2, |builder| {
            let constraints = BasicConstraints::new().critical().ca().build().unwrap();
            builder.append_extension(constraints).unwrap();
        });
        assert!(with(authority, version).unwrap().certificate.is_ca);
    }
}

#[test]
fn every_curve_and_key_size_of_aws_is_verified_in_both_versions() {
    for version in BOTH {
        for curve in [Nid::SECP384R1, Nid::SECP521R1] {
            let group = EcGroup::from_curve_name(curve).unwrap();
            let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
            with(certificate(key, 2, |_| {}), version).unwrap();
        }
        with(certificate(rsa(2048), 2, |_| {}), version).unwrap();
        assert!(with(certificate(rsa(1024), 2, |_| {}), version).is_err());
        let ed25519 = PKey::generate_ed25519().unwrap();
        let mut builder = X509Builder::new().unwrap();
        builder.set_pubkey(&ed25519).unwrap();
        builder
            .set_not_before(&Asn1Time::days_from_now(0).unwrap())
            .unwrap();
        builder
            .set_not_after(&Asn1Time::days_from_now(1).unwrap())
            .unwrap();
        builder.sign(&ed25519, MessageDigest::null()).unwrap();
        assert!(with((builder.build(), ed25519), version).is_err());
    }
}

#[test]
fn a_critical_extension_nobody_knows_is_refused() {
    let with_extension = |critical| {
        certificate(p256(), 2, |builder| {
            let oid = openssl::asn1::Asn1Object::from_str("1.3.6.1.4.1.55555.1").unwrap();
            let value = openssl::asn1::Asn1OctetString::new_from_bytes(b"\x0c\x01x").unwrap();
            let extension =
                openssl::x509::X509Extension::new_from_der(&oid, critical, &value).unwrap();
            builder.append_extension(extension).unwrap();
        })
    };
    with(with_extension(false), SslVersion::TLS1_3).unwrap();
    let refused = with(with_extension(true), SslVersion::TLS1_3).unwrap_err();
    assert!(refused.contains("Critical"), "{refused}");
}

#[test]
fn a_device_without_a_certificate_does_not_get_through() {
    for version in BOTH {
        let seen = handshake(Device {
            identity: None,
            version,
            alpn: None,
        });
        assert!(seen.is_err());
    }
}

#[test]
fn the_alpn_of_aws_is_agreed_on_and_a_foreign_one_refused() {
    for version in BOTH {
        let device = |alpn| Device {
            identity: Some(certificate(p256(), 2, |_| {})),
            version,
            alpn: Some(alpn),
        };
        let peer = handshake(device(b"\x0ex-amzn-mqtt-ca")).unwrap();
        assert_eq!(peer.alpn.as_deref(), Some(super::ALPN_MQTT));
        assert_eq!(peer.sni.as_deref(), Some("localhost"));
        let refused = handshake(device(b"\x04http")).unwrap_err();
        assert!(refused.contains("known protocol"), "{refused}");
    }
}

#[test]
fn unreadable_certificates_and_long_chains_are_refused() {
    use rustls::server::danger::ClientCertVerifier;
    let verifier = super::PossessionVerifier::new(
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms,
    );
    let junk = CertificateDer::from(vec![0x30, 0x03, 0x02, 0x01, 0x01]);
    let now = rustls_pki_types::UnixTime::now();
    assert!(verifier.verify_client_cert(&junk, &[], now).is_err());
    let (good, _) = certificate(p256(), 2, |_| {});
    let good = CertificateDer::from(good.to_der().unwrap());
    let chain = vec![good.clone(); 5];
    assert!(verifier.verify_client_cert(&good, &[], now).is_ok());
    assert!(verifier.verify_client_cert(&good, &chain, now).is_err());
    assert!(verifier.verify_client_cert(&good, &[junk], now).is_err());
}

/// Shows one certificate and signs with another's key.
#[derive(Debug)]
struct Impostor(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Impostor {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn another_ones_certificate_is_no_use_without_its_key() {
    let (victims, _) = certificate(p256(), 2, |_| {});
    let own_key = PrivateKeyDer::Pkcs8(p256().private_key_to_pkcs8().unwrap().into());
    let own_key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&own_key).unwrap();
    let shown = vec![CertificateDer::from(victims.to_der().unwrap())];
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certified = rustls::sign::CertifiedKey::new(shown.clone(), Arc::clone(&own_key));
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustsAnyone))
            .with_client_cert_resolver(Arc::new(Impostor(Arc::new(certified))));
        let name = "localhost".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = rustls::ServerConnection::new(server()).unwrap();
        let mut outcome = Ok(());
        for _ in 0..6 {
            let mut flight = Vec::new();
            client.write_tls(&mut flight).unwrap();
            server.read_tls(&mut &flight[..]).unwrap();
            if let Err(error) = server.process_new_packets() {
                outcome = Err(error);
                break;
            }
            let mut flight = Vec::new();
            server.write_tls(&mut flight).unwrap();
            client.read_tls(&mut &flight[..]).unwrap();
            client.process_new_packets().unwrap();
        }
        assert!(
            matches!(outcome, Err(rustls::Error::InvalidCertificate(_))),
            "{outcome:?}"
        );
    }
}

#[derive(Debug)]
struct TrustsAnyone;

impl rustls::client::danger::ServerCertVerifier for TrustsAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
