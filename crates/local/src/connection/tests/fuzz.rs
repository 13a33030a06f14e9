//! Damaged packets: the connection they came on may end, nothing else may.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Valid packets of both versions, to be damaged.
fn corpus() -> Vec<Vec<u8>> {
    BOTH.into_iter().flat_map(corpus_of).collect()
}

/// Valid packets of one version.
pub(super) fn corpus_of(version: Version) -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    let mut add = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = Vec::new();
        write(&mut packet);
        corpus.push(packet);
    };
    let will = Some((
        "w".into(),
        bytes::Bytes::from_static(b"w"),
        QoS::AtLeastOnce,
        true,
    ));
    let connect = ClientConnect {
        will,
        session_expiry: 5,
        ..clean("f")
    };
    add(&|out| encode_connect(out, version, &connect).unwrap());
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        add(&|out| {
            let properties =
                b"\x01\x01\x26\x00\x01k\x00\x01v\x03\x00\x01t\x08\x00\x01r\x09\x00\x01c";
            let alias = Some((id(3), false));
            let outline = Outline {
                properties,
                alias,
                message_expiry: Some(3),
                ..outline("f/a", qos)
            };
            encode_publish(out, version, &outline);
        });
    }
    add(&|out| {
        encode_subscribe(
            out,
            version,
            id(1),
            &[("f/#", QoS::AtLeastOnce), ("$share/g/f", QoS::AtMostOnce)],
        )
    });
    add(&|out| jitp_wire::encode_unsubscribe(out, version, id(2), &["f/#"]));
    add(&|out| out.extend_from_slice(&[0x40, 2, 0, 1]));
    add(&|out| out.extend_from_slice(&[0xC0, 0]));
    add(&|out| out.extend_from_slice(b"\xe0\x07\x04\x05\x11\x00\x00\x00\x05"));
    corpus
}

fn damage(random: &mut StdRng, packet: &mut Vec<u8>) {
    for _ in 0..random.random_range(1..4) {
        if packet.is_empty() {
            return;
        }
        let at = random.random_range(0..packet.len());
        match random.random_range(0..5) {
            0 => packet[at] ^= 1 << random.random_range(0..8),
            1 => packet[at] = random.random(),
            2 => packet.truncate(at),
            3 => packet.insert(at, random.random()),
            _ => {
                packet.remove(at);
            }
        }
    }
}

#[tokio::test]
async fn thousands_of_damaged_packets_disturb_nobody_else() {
    let mut random = StdRng::seed_from_u64(1883);
    let lab = Lab::start();
    let mut bystander = lab.device(Version::V3, "bystander").await;
    bystander.subscribe("bystander", QoS::AtLeastOnce).await;
    let corpus = corpus();
    for round in 0..4000_u32 {
        let version = BOTH[random.random_range(0..2)];
        let mut device = lab.dial(version);
        let mut bytes = Vec::new();
        if round % 8 != 0 {
            encode_connect(&mut bytes, version, &clean(&format!("f{}", round % 5))).unwrap();
        }
        for _ in 0..random.random_range(1..4) {
            let mut packet = corpus[random.random_range(0..corpus.len())].clone();
            damage(&mut random, &mut packet);
            bytes.extend_from_slice(&packet);
        }
        device.send(&bytes).await;
        drop(device);
        if round % 50 == 0 {
            assert_eq!(bystander.tell_and_hear("bystander").await, 0);
        }
    }
    assert_eq!(bystander.tell_and_hear("bystander").await, 0);
    // A panicking task would leave its session attached for ever.
    lab.eventually(|lab| {
        let mut links = 0;
        lab.core.directory.for_each_link(|_, _| links += 1);
        links == 1
    })
    .await;
}

#[test]
fn no_bytes_make_the_reader_panic() {
    let mut random = StdRng::seed_from_u64(5);
    let corpus = corpus();
    for _ in 0..200_000 {
        let mut packet = corpus[random.random_range(0..corpus.len())].clone();
        damage(&mut random, &mut packet);
        for version in BOTH {
            let _ = jitp_wire::sniff(&packet);
            let mut stream = BytesMut::from(&packet[..]);
            while let Ok(Some((first, body))) = Frames::new(1 << 20).next(&mut stream) {
                let _ = jitp_wire::decode(version, first, body.clone());
                let _ = decode_from_server(version, first, body);
            }
        }
    }
}

impl Device {
    /// Publishes to itself with QoS 1; the reason code of the PUBACK.
    async fn tell_and_hear(&mut self, topic: &str) -> u8 {
        self.say(topic, b"x", QoS::AtLeastOnce).await;
        let mut code = None;
        let mut heard = false;
        while code.is_none() || !heard {
            match self.next().await {
                Some(FromServer::PubAck { reason, .. }) => code = Some(reason),
                Some(FromServer::Publish(publish)) if &*publish.topic == topic => {
                    self.acknowledge(&publish).await;
                    heard = true;
                }
                Some(FromServer::Publish(publish)) => panic!("{:?}", publish.topic),
                other => panic!("disturbed: {other:?}"),
            }
        }
        code.unwrap_or(0xFF)
    }
}
