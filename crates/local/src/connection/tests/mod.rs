//! A broker without TLS, spoken to in bytes: what devices see, and that nothing they send disturbs others.

mod access;
mod fuzz;
mod hostile;
mod limits;
mod messages;
mod sessions;

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use jitp_wire::{ClientConnect, Frames, FromServer, Publish, QoS, Version};
use jitp_wire::{Outline, decode_from_server, encode_connect, encode_publish, encode_subscribe};
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_util::sync::CancellationToken;

use crate::account::{Account, AccountSettings, CertificateStatus, Clock, ClockHand};
use crate::account::{certificates, policies};
use crate::broker::Limits;
use crate::broker::shared::Core;
use crate::diary::Diary;
use crate::gate::{Admitted, ConnectFacts, Gate, Refusal};
use crate::policy::{ArnScope, Authorizer, CertificateVariables, ConnectionContext};
use crate::storage::Storage;
use crate::tls::Peer;
use crate::x509::X509;

/// Everything is allowed but what the tests want refused.
const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":"iot:*","Resource":"*"},
    {"Effect":"Deny","Action":"iot:Connect","Resource":"arn:aws:iot:eu-west-1:123456789012:client/nobody"},
    {"Effect":"Deny","Action":"iot:Publish","Resource":"arn:aws:iot:eu-west-1:123456789012:topic/nopublish*"},
    {"Effect":"Deny","Action":"iot:RetainPublish","Resource":"arn:aws:iot:eu-west-1:123456789012:topic/noretain*"},
    {"Effect":"Deny","Action":"iot:Subscribe","Resource":"arn:aws:iot:eu-west-1:123456789012:topicfilter/nosubscribe*"},
    {"Effect":"Deny","Action":"iot:Receive","Resource":"arn:aws:iot:eu-west-1:123456789012:topic/noreceive*"}]}"#;

const BOTH: [Version; 2] = [Version::V3, Version::V5];

/// A core with an account, a policy and an ACTIVE certificate all devices use.
struct Lab {
    core: Arc<Core>,
    hand: ClockHand,
    certificate_id: String,
    stop: CancellationToken,
}

/// Admits ACTIVE certificates, as admission does once they are registered.
struct Doorman {
    account: Account,
    refused: Mutex<Vec<String>>,
}

impl Gate for Doorman {
    fn admit<'a>(
        &'a self,
        peer: &'a Peer,
        client_id: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Admitted, Refusal>> + Send + 'a>> {
        Box::pin(async move {
            let state = self.account.snapshot();
            let active = state
                .certificates
                .get(peer.certificate.id.as_str())
                .is_some_and(|certificate| certificate.status == CertificateStatus::Active);
            if !active {
                self.refused.lock().push(client_id.to_owned());
                return Err(Refusal {
                    code: "CERTIFICATE_INACTIVE",
                    sentence: "not ACTIVE".to_owned(),
                    expected: false,
                });
            }
            Ok(Admitted {
                certificate_id: peer.certificate.id.clone(),
                x509: Arc::clone(&peer.certificate),
                thing_name: None,
            })
        })
    }

    fn authorizer(&self, admitted: &Admitted, facts: &ConnectFacts) -> Authorizer {
        let state = self.account.snapshot();
        let context = ConnectionContext {
            partition_region_account: ArnScope {
                region: state.scope.region.clone(),
                account_id: state.scope.account_id.clone(),
            },
            client_id: facts.client_id.clone(),
            source_ip: facts.source_ip,
            certificate_id: admitted.certificate_id.clone(),
            certificate: CertificateVariables::default(),
            thing: None,
            persistent: facts.persistent,
            will_topic: facts.will_topic.clone(),
        };
        let policies = state.policies_of_certificate(&admitted.certificate_id);
        Authorizer::compile(&policies, &context)
    }
}

fn certificate() -> Arc<X509> {
    static CERTIFICATE: OnceLock<Arc<X509>> = OnceLock::new();
    Arc::clone(CERTIFICATE.get_or_init(|| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.not_before = OffsetDateTime::now_utc() - time::Duration::days(1);
        params.not_after = OffsetDateTime::now_utc() + time::Duration::days(1000);
        let certificate = params.self_signed(&key).unwrap();
        Arc::new(X509::from_der(certificate.der()).unwrap())
    }))
}

impl Lab {
    fn start() -> Self {
        Self::with(Limits::default(), Storage::memory())
    }

    fn with(limits: Limits, storage: Storage) -> Self {
        let (clock, hand) = Clock::manual(OffsetDateTime::now_utc());
        let account = Account::open(AccountSettings {
            account_id: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: "localhost".to_owned(),
            clock: clock.clone(),
            storage: Storage::memory(),
        })
        .unwrap();
        let certificate = certificate();
        account
            .write(|tx| {
                policies::create(tx, "Lab", POLICY, BTreeMap::new())?;
                let pem = certificate.to_pem();
                let active = CertificateStatus::Active;
                let registered = certificates::register_without_ca(tx, &pem, active)?;
                policies::attach(tx, "Lab", &registered.arn)
            })
            .unwrap();
        let gate = Arc::new(Doorman {
            account: account.clone(),
            refused: Mutex::default(),
        });
        let diary = Diary::new(1000);
        let core = Core::new(account, gate, diary, storage, clock, limits).unwrap();
        let core = Arc::new(core);
        let stop = CancellationToken::new();
        tokio::spawn(crate::broker::watch(Arc::clone(&core), stop.clone()));
        Self {
            core,
            hand,
            certificate_id: certificate.id.clone(),
            stop,
        }
    }

    /// A connection on which nothing was said yet.
    fn dial(&self, version: Version) -> Device {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let peer = Peer {
            address: ([127, 0, 0, 1], 40000).into(),
            sni: None,
            alpn: None,
            certificate: certificate(),
            chain: Vec::new(),
        };
        tokio::spawn(crate::connection::serve(
            Arc::clone(&self.core),
            theirs,
            peer,
        ));
        Device {
            version,
            stream: ours,
            input: BytesMut::new(),
        }
    }

    /// A connected device with a clean session that ends with its connection.
    async fn device(&self, version: Version, client_id: &str) -> Device {
        let (device, _) = self.connect(version, clean(client_id)).await;
        device
    }

    async fn connect(&self, version: Version, connect: ClientConnect) -> (Device, FromServer) {
        let mut device = self.dial(version);
        device.send_connect(&connect).await;
        let connack = device.next().await.expect("CONNACK");
        assert!(
            matches!(connack, FromServer::ConnAck { reason: 0, .. }),
            "{connack:?}"
        );
        (device, connack)
    }

    /// Whether the diary has an entry with this code.
    fn told(&self, code: &str) -> bool {
        self.core
            .diary
            .recent()
            .iter()
            .any(|entry| entry.code == code)
    }

    async fn eventually(&self, mut truth: impl FnMut(&Self) -> bool) {
        for _ in 0..3000 {
            if truth(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "it did not come true; the diary says {:?}",
            self.core.diary.recent()
        );
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn clean(client_id: &str) -> ClientConnect {
    ClientConnect {
        client_id: client_id.to_owned(),
        clean_start: true,
        keep_alive: 60,
        ..ClientConnect::default()
    }
}

/// A session that outlives its connection.
fn lasting(client_id: &str) -> ClientConnect {
    ClientConnect {
        clean_start: false,
        session_expiry: 600,
        ..clean(client_id)
    }
}

struct Device {
    version: Version,
    stream: DuplexStream,
    input: BytesMut,
}

impl Device {
    async fn send(&mut self, bytes: &[u8]) {
        // A broker that has closed is found out by reading.
        let _ = self.stream.write_all(bytes).await;
    }

    async fn send_connect(&mut self, connect: &ClientConnect) {
        let mut out = Vec::new();
        encode_connect(&mut out, self.version, connect).unwrap();
        self.send(&out).await;
    }

    /// The next packet; none when the broker closed. Waits two seconds at most.
    async fn next(&mut self) -> Option<FromServer> {
        let reading = async {
            loop {
                if let Some((first, body)) = Frames::new(1 << 20).next(&mut self.input).unwrap() {
                    return Some(decode_from_server(self.version, first, body).unwrap());
                }
                match self.stream.read_buf(&mut self.input).await {
                    Ok(1..) => {}
                    _ => return None,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(2), reading)
            .await
            .expect("a packet or the end, within two seconds")
    }

    /// The next packet, which is a PUBLISH.
    async fn message(&mut self) -> Publish {
        match self.next().await {
            Some(FromServer::Publish(publish)) => publish,
            other => panic!("no PUBLISH but {other:?}"),
        }
    }

    /// Nothing comes: the answer to a PINGREQ is the next packet.
    async fn hears_nothing(&mut self) {
        tokio::time::sleep(Duration::from_millis(30)).await;
        self.send(&[0xC0, 0]).await;
        assert_eq!(self.next().await, Some(FromServer::Ping));
    }

    /// The broker closes: MQTT 5 with a DISCONNECT of this code, 3.1.1 without a word.
    async fn is_closed_with(&mut self, code: u8) {
        if self.version == Version::V5 {
            assert_eq!(self.next().await, Some(FromServer::Disconnect(code)));
        }
        assert_eq!(self.next().await, None);
    }

    async fn subscribe(&mut self, filter: &str, qos: QoS) -> u8 {
        let mut out = Vec::new();
        encode_subscribe(&mut out, self.version, id(9), &[(filter, qos)]);
        self.send(&out).await;
        match self.next().await {
            Some(FromServer::SubAck { codes, .. }) => codes[0],
            other => panic!("no SUBACK but {other:?}"),
        }
    }

    /// Publishes without waiting for an answer.
    async fn say(&mut self, topic: &str, payload: &[u8], qos: QoS) {
        self.say_as(&Outline {
            payload,
            ..outline(topic, qos)
        })
        .await;
    }

    async fn say_as(&mut self, outline: &Outline<'_>) {
        let mut out = Vec::new();
        encode_publish(&mut out, self.version, outline);
        self.send(&out).await;
    }

    /// Publishes with QoS 1 and waits for the PUBACK; its reason code.
    async fn tell(&mut self, topic: &str, payload: &[u8]) -> u8 {
        self.say(topic, payload, QoS::AtLeastOnce).await;
        match self.next().await {
            Some(FromServer::PubAck { reason, .. }) => reason,
            other => panic!("no PUBACK but {other:?}"),
        }
    }

    async fn acknowledge(&mut self, publish: &Publish) {
        let [high, low] = publish.packet_id.expect("QoS 1").get().to_be_bytes();
        self.send(&[0x40, 2, high, low]).await;
    }

    /// Says goodbye and waits until the broker has closed.
    async fn leave(mut self) {
        self.send(&[0xE0, 0]).await;
        while self.next().await.is_some() {}
    }
}

fn id(id: u16) -> NonZeroU16 {
    NonZeroU16::new(id).unwrap()
}

fn outline(topic: &str, qos: QoS) -> Outline<'_> {
    Outline {
        topic,
        payload: b"x",
        qos,
        retain: false,
        dup: false,
        packet_id: 7,
        properties: b"",
        message_expiry: None,
        alias: None,
    }
}
