//! Sessions that outlive connections, processes and each other.

use super::*;

fn present(connack: &FromServer) -> bool {
    matches!(
        connack,
        FromServer::ConnAck {
            session_present: true,
            ..
        }
    )
}

#[tokio::test]
async fn a_second_connection_takes_the_client_id_over_and_the_first_ones_will_is_sent() {
    for version in BOTH {
        let lab = Lab::start();
        let mut watcher = lab.device(Version::V3, "watcher").await;
        watcher.subscribe("will", QoS::AtMostOnce).await;
        let will = Some(("will".into(), bytes::Bytes::new(), QoS::AtMostOnce, false));
        let (mut old, _) = lab
            .connect(version, ClientConnect { will, ..clean("a") })
            .await;
        let mut new = lab.device(version, "a").await;
        old.is_closed_with(0x8E).await;
        watcher.message().await;
        assert_eq!(new.tell("t", b"x").await, 0);
    }
}

#[tokio::test]
async fn however_many_connect_at_once_one_stays_and_the_session_is_whole() {
    let lab = Arc::new(Lab::start());
    let mut tasks = Vec::new();
    for number in 0..40_u32 {
        let lab = Arc::clone(&lab);
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(u64::from(number % 7) * 300)).await;
            let mut device = lab.dial(Version::V5);
            device
                .send_connect(&ClientConnect {
                    clean_start: number % 3 == 0,
                    ..lasting("a")
                })
                .await;
            let mut out = Vec::new();
            encode_subscribe(&mut out, Version::V5, id(1), &[("t", QoS::AtLeastOnce)]);
            device.send(&out).await;
            device
        }));
    }
    let mut devices = Vec::new();
    for task in tasks {
        devices.push(task.await.unwrap());
    }
    let mut last = lab.connect(Version::V5, lasting("a")).await.0;
    assert_eq!(last.subscribe("t", QoS::AtLeastOnce).await, 1);
    for device in &mut devices {
        while let Some(packet) = device.next().await {
            if let FromServer::Disconnect(code) = packet {
                assert_eq!(code, 0x8E);
            }
        }
    }
    let mut links = 0;
    lab.core.directory.for_each_link(|_, _| links += 1);
    assert_eq!(links, 1);
    let mut writer = lab.device(Version::V3, "w").await;
    writer.tell("t", b"x").await;
    let message = last.message().await;
    last.acknowledge(&message).await;
    last.hears_nothing().await;
}

#[tokio::test]
async fn unacknowledged_and_missed_messages_come_again_in_order_after_reconnecting() {
    for version in BOTH {
        let lab = Lab::start();
        let (mut reader, connack) = lab.connect(version, lasting("r")).await;
        assert!(!present(&connack));
        reader.subscribe("t", QoS::AtLeastOnce).await;
        let mut writer = lab.device(Version::V3, "w").await;
        for number in 0..3_u8 {
            writer.tell("t", &[number]).await;
        }
        let first = reader.message().await;
        reader.acknowledge(&first).await;
        reader.message().await;
        reader.hears_nothing_but_messages().await;
        drop(reader);
        lab.eventually(|lab| lab.core.directory.link("r").is_none())
            .await;
        for number in 3..6_u8 {
            writer.tell("t", &[number]).await;
        }
        writer.say("t", b"qos 0 is not kept", QoS::AtMostOnce).await;
        writer.tell("sync", b"").await;
        let (mut reader, connack) = lab.connect(version, lasting("r")).await;
        assert!(present(&connack));
        for number in 1..6_u8 {
            let message = reader.message().await;
            assert_eq!(message.payload[..], [number]);
            reader.acknowledge(&message).await;
        }
        reader.hears_nothing().await;
    }
}

#[tokio::test]
async fn no_more_than_a_hundred_are_in_flight_and_acknowledging_lets_more_through() {
    let lab = Lab::start();
    let mut reader = lab.device(Version::V3, "r").await;
    reader.subscribe("t", QoS::AtLeastOnce).await;
    let mut writer = lab.device(Version::V3, "w").await;
    for number in 0..130_u8 {
        writer.tell("t", &[number]).await;
    }
    let mut got = Vec::new();
    for _ in 0..100 {
        got.push(reader.message().await);
    }
    reader.hears_nothing().await;
    for message in &got {
        reader.acknowledge(message).await;
    }
    for number in 100..130_u8 {
        assert_eq!(reader.message().await.payload[..], [number]);
    }
}

#[tokio::test]
async fn a_session_ends_when_it_expires_or_begins_anew_or_the_version_changes() {
    let lab = Lab::start();
    for (before, after, connect, advance, resumed) in [
        (Version::V5, Version::V5, lasting("r"), 599, true),
        (Version::V5, Version::V5, lasting("r"), 601, false),
        (Version::V3, Version::V3, lasting("r"), 3599, true),
        (Version::V3, Version::V3, lasting("r"), 3601, false),
        (Version::V3, Version::V5, lasting("r"), 0, false),
        (Version::V5, Version::V3, lasting("r"), 0, false),
        (Version::V5, Version::V5, clean("r"), 0, false),
    ] {
        lab.device(Version::V3, "r").await.leave().await;
        let (mut reader, _) = lab.connect(before, lasting("r")).await;
        reader.subscribe("t", QoS::AtLeastOnce).await;
        reader.leave().await;
        lab.eventually(|lab| lab.core.directory.link("r").is_none())
            .await;
        lab.hand.advance(time::Duration::seconds(advance));
        let (mut reader, connack) = lab.connect(after, connect).await;
        assert_eq!(present(&connack), resumed, "{before:?} {after:?} {advance}");
        let mut writer = lab.device(Version::V3, "w").await;
        writer.tell("t", b"x").await;
        if resumed {
            reader.message().await;
        } else {
            reader.hears_nothing().await;
        }
    }
}

#[tokio::test]
async fn disconnect_may_change_the_expiry_but_not_from_nothing() {
    let lab = Lab::start();
    let mut device = lab.device(Version::V5, "a").await;
    device.send(b"\xe0\x07\x00\x05\x11\x00\x00\x00\x0a").await;
    device.is_closed_with(0x82).await;
    let (mut device, _) = lab.connect(Version::V5, lasting("a")).await;
    device.send(b"\xe0\x07\x00\x05\x11\x00\x00\x00\x00").await;
    assert_eq!(device.next().await, None);
    let (_, connack) = lab.connect(Version::V5, lasting("a")).await;
    assert!(!present(&connack));
}

#[tokio::test]
async fn the_sweep_ends_expired_sessions_and_takes_their_filters_along() {
    let lab = Lab::start();
    let (mut device, _) = lab.connect(Version::V5, lasting("a")).await;
    device.subscribe("only/here", QoS::AtLeastOnce).await;
    device.leave().await;
    assert!(lab.core.router.has_subscriber("only/here"));
    lab.hand.advance(time::Duration::seconds(601));
    lab.eventually(|lab| !lab.core.router.has_subscriber("only/here"))
        .await;
}

#[tokio::test]
async fn what_was_acknowledged_for_an_absent_session_survives_the_process() {
    for version in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let lab = Lab::with(Limits::default(), Storage::open(folder.path()).unwrap());
        let (mut reader, _) = lab.connect(version, lasting("r")).await;
        reader.subscribe("t/+", QoS::AtLeastOnce).await;
        let mut writer = lab.device(Version::V5, "w").await;
        writer.tell("t/0", b"received, not acknowledged").await;
        let message = reader.message().await;
        assert_eq!(&*message.topic, "t/0");
        reader.leave().await;
        let long = Outline {
            message_expiry: Some(100),
            ..outline("t/1", QoS::AtLeastOnce)
        };
        writer.say_as(&long).await;
        writer.next().await;
        writer
            .say_as(&Outline {
                retain: true,
                ..outline("kept", QoS::AtLeastOnce)
            })
            .await;
        writer.next().await;
        let short = Outline {
            message_expiry: Some(1),
            ..outline("t/2", QoS::AtLeastOnce)
        };
        writer.say_as(&short).await;
        writer.next().await;
        writer.tell("t/3", b"x").await;
        let storage = lab.core.storage.clone();
        drop((lab, writer));
        // As after a crash: what is on disk is all there is.
        let lab = Lab::with(Limits::default(), storage);
        lab.hand.advance(time::Duration::seconds(10));
        let (mut reader, connack) = lab.connect(version, lasting("r")).await;
        assert!(present(&connack));
        for topic in ["t/0", "t/1", "t/3"] {
            let message = reader.message().await;
            assert_eq!(&*message.topic, topic);
            reader.acknowledge(&message).await;
        }
        reader.hears_nothing().await;
        let mut late = lab.device(version, "late").await;
        late.subscribe("kept", QoS::AtLeastOnce).await;
        assert!(late.message().await.retain);
        let mut writer = lab.device(Version::V3, "w").await;
        writer.tell("t/4", b"x").await;
        assert_eq!(&*reader.message().await.topic, "t/4");
        reader.leave().await;
        // A session that is ended takes its records along.
        lab.device(version, "r").await.leave().await;
        lab.core.storage.commit_async(Vec::new()).await.unwrap();
        assert!(lab.core.storage.load("session").unwrap().is_empty());
        assert!(lab.core.storage.load("queue").unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_subscriber_that_reads_nothing_holds_up_nobody() {
    let lab = Lab::start();
    let mut stuck = lab.device(Version::V3, "stuck").await;
    stuck.subscribe("t", QoS::AtMostOnce).await;
    let mut reader = lab.device(Version::V3, "r").await;
    reader.subscribe("t", QoS::AtMostOnce).await;
    let mut writer = lab.device(Version::V3, "w").await;
    let payload = vec![b'x'; 100_000];
    for _ in 0..80 {
        writer.say("t", &payload, QoS::AtMostOnce).await;
        assert_eq!(reader.message().await.payload.len(), payload.len());
    }
    let mut taken_over = lab.device(Version::V3, "stuck").await;
    taken_over.hears_nothing().await;
}

impl Device {
    /// Reads whatever is still on its way.
    async fn hears_nothing_but_messages(&mut self) {
        self.send(&[0xC0, 0]).await;
        while !matches!(self.next().await, Some(FromServer::Ping)) {}
    }
}
