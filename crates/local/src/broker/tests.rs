//! The listener: TLS, silent connections, the end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslStream, SslVerifyMode};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::account::CertificateStatus;
use crate::account::{AccountSettings, certificates, policies};
use crate::tls::Peer;
use crate::tls::{ServerIdentity, server_config};

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;

struct Lab {
    broker: Broker,
    address: SocketAddr,
    device: tempfile::TempDir,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

/// A broker on a free port, and a device certificate that is registered and ACTIVE.
async fn lab() -> Lab {
    let account = Account::open(AccountSettings {
        account_id: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        endpoint: "localhost".to_owned(),
        clock: Clock::system(),
        storage: Storage::memory(),
    })
    .unwrap();
    let issue = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(1);
        params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(1);
        (params.self_signed(&key).unwrap(), key)
    };
    let (certificate, key) = issue();
    let device = tempfile::tempdir().unwrap();
    std::fs::write(device.path().join("crt"), certificate.pem()).unwrap();
    std::fs::write(device.path().join("key"), key.serialize_pem()).unwrap();
    account
        .write(|tx| {
            policies::create(tx, "All", POLICY, std::collections::BTreeMap::new())?;
            let active = CertificateStatus::Active;
            let registered = certificates::register_without_ca(tx, &certificate.pem(), active)?;
            policies::attach(tx, "All", &registered.arn)
        })
        .unwrap();
    let (admission, _) = crate::admit::Admission::new(account.clone(), Diary::new(100));
    let broker = Broker::new(BrokerSettings {
        account,
        admission: Arc::new(admission),
        diary: Diary::new(100),
        storage: Storage::memory(),
        clock: Clock::system(),
        limits: Limits::default(),
    })
    .unwrap();
    let (certificate, key) = issue();
    let tls = server_config(ServerIdentity {
        chain: vec![CertificateDer::from(certificate.der().to_vec())],
        key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    })
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let served = tokio::spawn({
        let (broker, stop) = (broker.clone(), stop.clone());
        async move { broker.serve(listener, tls, stop).await }
    });
    Lab {
        broker,
        address,
        device,
        stop,
        served,
    }
}

impl Lab {
    /// Runs a blocking device beside the broker.
    async fn beside<T: Send + 'static>(
        &self,
        device: impl FnOnce(&mut dyn FnMut() -> SslStream<TcpStream>) -> T + Send + 'static,
    ) -> T {
        let address = self.address;
        let folder = self.device.path().to_owned();
        tokio::task::spawn_blocking(move || {
            device(&mut || {
                let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
                builder.set_verify(SslVerifyMode::NONE);
                let pem = SslFiletype::PEM;
                builder
                    .set_certificate_file(folder.join("crt"), pem)
                    .unwrap();
                builder
                    .set_private_key_file(folder.join("key"), pem)
                    .unwrap();
                builder.set_alpn_protos(b"\x0ex-amzn-mqtt-ca").unwrap();
                let socket = TcpStream::connect(address).unwrap();
                socket
                    .set_read_timeout(Some(Duration::from_secs(5)))
                    .unwrap();
                builder.build().connect("localhost", socket).unwrap()
            })
        })
        .await
        .unwrap()
    }
}

const CONNECT_5: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_and_noise_do_not_keep_devices_out() {
    let lab = lab().await;
    let address = lab.address;
    let took = lab
        .beside(move |dial| {
            let silent: Vec<_> = (0..200)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();
            let mut noisy = TcpStream::connect(address).unwrap();
            noisy.write_all(&[0xA5; 4096]).unwrap();
            let mut plain = TcpStream::connect(address).unwrap();
            plain
                .write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01p")
                .unwrap();
            let start = Instant::now();
            let mut device = dial();
            assert_eq!(
                device.ssl().selected_alpn_protocol(),
                Some(crate::tls::ALPN_MQTT)
            );
            device.write_all(CONNECT_5).unwrap();
            let mut connack = [0; 5];
            device.read_exact(&mut connack).unwrap();
            assert_eq!((connack[0], connack[3]), (0x20, 0));
            let mut answer = [0; 1];
            plain
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let refused = matches!(plain.read(&mut answer), Ok(1)) && answer[0] != 0x20;
            assert!(refused || answer[0] == 0, "MQTT in the clear was answered");
            drop(silent);
            start.elapsed()
        })
        .await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_broker_says_goodbye_and_returns() {
    let lab = lab().await;
    let stop = lab.stop.clone();
    let broker = lab.broker.clone();
    let words = lab
        .beside(move |dial| {
            let mut device = dial();
            device.write_all(CONNECT_5).unwrap();
            let mut first = [0; 64];
            assert_ne!(device.read(&mut first).unwrap(), 0);
            assert_eq!(broker.connections(), 1);
            // One that has not said anything yet must not hold up the end.
            let _quiet = dial();
            stop.cancel();
            let mut words = Vec::new();
            device.read_to_end(&mut words).unwrap();
            words
        })
        .await;
    assert_eq!(words, [0xE0, 2, 0x8B, 0]);
    tokio::time::timeout(Duration::from_secs(4), lab.served)
        .await
        .expect("it returns in time")
        .unwrap();
}

#[tokio::test]
async fn a_connection_carries_little_while_it_is_served() {
    let lab = lab().await;
    let (stream, _) = tokio::io::duplex(64);
    let peer = Peer {
        address: lab.address,
        sni: None,
        alpn: None,
        certificate: {
            let pem = std::fs::read_to_string(lab.device.path().join("crt")).unwrap();
            Arc::new(crate::x509::X509::from_pem(&pem).unwrap())
        },
        chain: Vec::new(),
    };
    let core = Arc::clone(&lab.broker.core);
    let size = size_of_val(&crate::connection::serve(core, stream, peer));
    // Beside the TLS state and its buffers. The target is 20 KiB for all of an idle connection.
    assert!(size < 3 * 1024, "{size} bytes");
}
