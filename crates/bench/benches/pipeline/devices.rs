//! Devices that publish, and one that subscribes.

use std::time::Duration;

use jitp_bench::{Connection, Device, Dialler, Result};
use jitp_core::ca::{CertificateAuthority, KeyType, Subject, Validity};
use jitp_wire::{FromServer, Outline, QoS, Version, encode_publish};
use serde_json::json;
use time::OffsetDateTime;
use tokio::task::JoinSet;

use crate::control::Setup;
use crate::core::Core;

const VERSION: Version = Version::V3;
/// What the load test publishes.
const PAYLOAD: &[u8] = br#"{"device":"pub0","sent":1767225600000}"#;
/// Messages on their way from one device at the same time.
const BURST: u32 = 20;
/// After so much silence nothing more is waited for.
pub(crate) const SILENCE: Duration = Duration::from_secs(2);

/// Devices that a core knows; the last one subscribes.
pub(crate) struct Devices(Vec<Dialler>);

/// How many messages arrived.
pub(crate) struct Received(pub(crate) u32);

/// A device that has subscribed.
pub(crate) struct Subscriber(Connection);

impl Devices {
    /// Makes and registers them.
    pub(crate) fn new(core: &Core, setup: &Setup, publishers: u32) -> Result<Self> {
        let (subject, now) = (Subject::positional::<&str>(&[])?, OffsetDateTime::now_utc());
        let ca =
            CertificateAuthority::create_root(&subject, KeyType::P256, Validity::Days(3650), now)?;
        let mut diallers = Vec::new();
        for number in 0..=publishers {
            let device = Device::issue(&ca, &format!("bench-{number}"))?;
            let register =
                json!({ "certificatePem": device.certificate_pem(), "status": "ACTIVE" });
            let made = setup.call(
                "POST",
                "/certificate/register-no-ca",
                "",
                &register.to_string(),
            )?;
            let attach = json!({ "target": made["certificateArn"] });
            setup.call("PUT", "/target-policies/IoTAccess", "", &attach.to_string())?;
            diallers.push(device.dialler(&core.root_pem, core.mqtt)?);
        }
        Ok(Self(diallers))
    }

    /// Publishes so many messages, those of each device in bursts that are acknowledged before the next.
    pub(crate) async fn publish(&self, messages: u32) -> Result<()> {
        let Some((_, publishers)) = self.0.split_last() else {
            return Err("no devices".into());
        };
        let each = messages / u32::try_from(publishers.len())?;
        let mut tasks = JoinSet::new();
        for dialler in publishers.iter().cloned() {
            tasks.spawn(async move {
                let mut connection = dialler.connect(VERSION).await?;
                let mut left = each;
                while left > 0 {
                    let burst = left.min(BURST);
                    connection.send(&packets(&dialler.name, burst)).await?;
                    for _ in 0..burst {
                        match connection.next().await? {
                            Some(FromServer::PubAck { .. }) => {}
                            other => {
                                return Err(format!("instead of a PUBACK came {other:?}").into());
                            }
                        }
                    }
                    left -= burst;
                }
                Result::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Subscribes the last device to what all others publish.
    pub(crate) async fn subscribe(&self) -> Result<Subscriber> {
        let last = self.0.last().ok_or("no devices")?;
        let mut connection = last.connect(VERSION).await?;
        connection.subscribe(&["+"], QoS::AtLeastOnce).await?;
        Ok(Subscriber(connection))
    }
}

impl Subscriber {
    /// Takes so many messages and acknowledges each; fewer when none comes for a while, since a broker drops what a
    /// subscriber is too slow for.
    pub(crate) async fn take(mut self, messages: u32) -> Result<Received> {
        for count in 0..messages {
            let Ok(next) = tokio::time::timeout(SILENCE, self.0.next()).await else {
                return Ok(Received(count));
            };
            match next? {
                Some(FromServer::Publish(publish)) => {
                    let id = publish.packet_id.ok_or("a message without an id")?;
                    let [high, low] = id.get().to_be_bytes();
                    self.0.send(&[0x40, 2, high, low]).await?;
                }
                other => return Err(format!("instead of a message came {other:?}").into()),
            }
        }
        Ok(Received(messages))
    }
}

/// Messages of one device, to be sent in one record.
fn packets(topic: &str, count: u32) -> Vec<u8> {
    let mut packets = Vec::new();
    for number in 1..=count {
        let outline = Outline {
            topic,
            payload: PAYLOAD,
            qos: QoS::AtLeastOnce,
            retain: false,
            dup: false,
            packet_id: u16::try_from(number).unwrap_or(1),
            properties: &[],
            message_expiry: None,
            alias: None,
        };
        encode_publish(&mut packets, VERSION, &outline);
    }
    packets
}
