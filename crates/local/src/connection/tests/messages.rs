//! Messages: routing, retained, wills, properties, shared subscriptions, lifecycle events.

use super::*;

#[tokio::test]
async fn messages_cross_versions_with_their_properties_and_the_lower_qos() {
    let lab = Lab::start();
    let mut five = lab.device(Version::V5, "five").await;
    let mut three = lab.device(Version::V3, "three").await;
    five.subscribe("a/+", QoS::AtLeastOnce).await;
    three.subscribe("a/#", QoS::AtMostOnce).await;
    let properties = b"\x26\x00\x01k\x00\x01v\x03\x00\x01t";
    let sent = Outline {
        properties,
        payload: b"hello",
        ..outline("a/b", QoS::AtLeastOnce)
    };
    five.say_as(&sent).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        match five.next().await {
            Some(FromServer::Publish(publish)) => {
                assert_eq!(publish.qos, QoS::AtLeastOnce);
                assert_eq!(&publish.properties[..], properties);
                seen.push("publish");
            }
            Some(FromServer::PubAck { reason: 0, .. }) => seen.push("puback"),
            other => panic!("{other:?}"),
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, ["puback", "publish"]);
    let publish = three.message().await;
    assert_eq!(
        (publish.qos, &publish.payload[..]),
        (QoS::AtMostOnce, &b"hello"[..])
    );
}

#[tokio::test]
async fn overlapping_filters_bring_a_message_once_and_a_hash_not_its_parent() {
    let lab = Lab::start();
    let mut device = lab.device(Version::V3, "a").await;
    for (filter, qos) in [
        ("a/#", QoS::AtMostOnce),
        ("a/+", QoS::AtLeastOnce),
        ("#", QoS::AtMostOnce),
    ] {
        device.subscribe(filter, qos).await;
    }
    let mut writer = lab.device(Version::V3, "w").await;
    writer.tell("a/b", b"1").await;
    assert_eq!(device.message().await.qos, QoS::AtLeastOnce);
    device.hears_nothing().await;
    device.send(b"\xa2\x05\x00\x01\x00\x01#").await;
    assert!(matches!(
        device.next().await,
        Some(FromServer::UnsubAck { .. })
    ));
    writer.tell("a", b"2").await;
    device.hears_nothing().await;
    writer.tell("a/", b"3").await;
    assert_eq!(&device.message().await.payload[..], b"3");
}

#[tokio::test]
async fn retained_messages_answer_exact_subscriptions_only() {
    let lab = Lab::start();
    let mut writer = lab.device(Version::V3, "w").await;
    writer
        .say_as(&Outline {
            retain: true,
            payload: b"kept",
            ..outline("r/1", QoS::AtMostOnce)
        })
        .await;
    writer.tell("sync", b"").await;
    for version in BOTH {
        let mut reader = lab.device(version, "r").await;
        reader.subscribe("r/+", QoS::AtMostOnce).await;
        reader.hears_nothing().await;
        reader.subscribe("r/1", QoS::AtLeastOnce).await;
        let kept = reader.message().await;
        assert!(kept.retain);
        assert_eq!(&kept.payload[..], b"kept");
        reader.subscribe("$share/g/r/1", QoS::AtMostOnce).await;
        reader.hears_nothing().await;
    }
    let mut reader = lab.device(Version::V5, "r").await;
    reader.subscribe("r/1", QoS::AtMostOnce).await;
    reader.message().await;
    writer
        .say_as(&Outline {
            retain: true,
            payload: b"",
            ..outline("r/1", QoS::AtMostOnce)
        })
        .await;
    let gone = reader.message().await;
    assert!(!gone.retain && gone.payload.is_empty());
    reader.subscribe("r/1", QoS::AtMostOnce).await;
    reader.hears_nothing().await;
}

#[tokio::test]
async fn a_will_is_sent_for_every_end_but_a_goodbye() {
    let lab = Lab::start();
    let mut watcher = lab.device(Version::V5, "watcher").await;
    watcher.subscribe("will", QoS::AtLeastOnce).await;
    let with_will = |id| ClientConnect {
        will: Some((
            "will".into(),
            bytes::Bytes::from_static(b"bye"),
            QoS::AtLeastOnce,
            false,
        )),
        ..clean(id)
    };
    for version in BOTH {
        let (device, _) = lab.connect(version, with_will("a")).await;
        device.leave().await;
        watcher.hears_nothing().await;
        let (device, _) = lab.connect(version, with_will("a")).await;
        drop(device);
        assert_eq!(&watcher.message().await.payload[..], b"bye");
        let (mut device, _) = lab.connect(version, with_will("a")).await;
        device.send(b"\x00\x00").await;
        device.is_closed_with(0x81).await;
        watcher.message().await;
    }
    let (mut device, _) = lab.connect(Version::V5, with_will("a")).await;
    device.send(&[0xE0, 1, 0x04]).await;
    watcher.message().await;
    assert_eq!(device.next().await, None);
}

#[tokio::test]
async fn expiry_counts_down_for_those_who_come_later() {
    let lab = Lab::start();
    let mut writer = lab.device(Version::V5, "w").await;
    let kept = Outline {
        retain: true,
        message_expiry: Some(100),
        ..outline("r", QoS::AtLeastOnce)
    };
    writer.say_as(&kept).await;
    assert!(matches!(
        writer.next().await,
        Some(FromServer::PubAck { .. })
    ));
    lab.hand.advance(time::Duration::seconds(40));
    writer.subscribe("r", QoS::AtMostOnce).await;
    assert_eq!(writer.message().await.message_expiry, Some(60));
    lab.hand.advance(time::Duration::seconds(61));
    writer.subscribe("r", QoS::AtMostOnce).await;
    writer.hears_nothing().await;
}

#[tokio::test]
async fn of_a_shared_group_one_member_gets_each_message_and_every_group_gets_it() {
    let lab = Lab::start();
    let mut members = Vec::new();
    for (name, filter) in [
        ("m1", "$share/g/s/#"),
        ("m2", "$share/g/s/#"),
        ("n", "$share/other/s/#"),
    ] {
        let mut member = lab.device(Version::V5, name).await;
        member.subscribe(filter, QoS::AtMostOnce).await;
        members.push(member);
    }
    let mut writer = lab.device(Version::V3, "w").await;
    for _ in 0..40 {
        writer.tell("s/x", b"x").await;
    }
    let mut counts = Vec::new();
    for member in &mut members {
        member.send(&[0xC0, 0]).await;
        let mut count = 0;
        while let Some(FromServer::Publish(_)) = member.next().await {
            count += 1;
        }
        counts.push(count);
    }
    assert_eq!(counts[0] + counts[1], 40);
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
    assert_eq!(counts[2], 40);
}

#[tokio::test]
async fn no_local_and_the_clients_own_limits_hold() {
    let lab = Lab::start();
    let mut device = lab.device(Version::V5, "a").await;
    device.send(b"\x82\x07\x00\x01\x00\x00\x01a\x05").await;
    assert!(matches!(
        device.next().await,
        Some(FromServer::SubAck { .. })
    ));
    assert_eq!(device.tell("a", b"own").await, 0);
    device.hears_nothing().await;

    let small = ClientConnect {
        maximum_packet_size: std::num::NonZeroU32::new(512),
        receive_maximum: NonZeroU16::new(2),
        topic_alias_maximum: 8,
        ..clean("small")
    };
    let (mut small, _) = lab.connect(Version::V5, small).await;
    small.subscribe("b", QoS::AtLeastOnce).await;
    let mut writer = lab.device(Version::V3, "w").await;
    writer.tell("b", &[b'x'; 600]).await;
    for number in 0..3 {
        writer.tell("b", &[number]).await;
    }
    let first = small.message().await;
    assert_eq!((&*first.topic, first.topic_alias), ("b", Some(1)));
    let second = small.message().await;
    assert_eq!((&*second.topic, second.topic_alias), ("", Some(1)));
    small.hears_nothing().await;
    small.acknowledge(&first).await;
    assert_eq!(small.message().await.payload[..], [2]);
}

#[tokio::test]
async fn lifecycle_events_say_who_came_what_it_wanted_and_how_it_went() {
    let lab = Lab::start();
    let mut watcher = lab.device(Version::V3, "watcher").await;
    watcher
        .subscribe("$aws/events/+/+/a", QoS::AtMostOnce)
        .await;
    let mut device = lab.device(Version::V5, "a").await;
    device.subscribe("t", QoS::AtMostOnce).await;
    device.send(b"\xa2\x06\x00\x01\x00\x00\x01t").await;
    device.next().await;
    drop(device);
    let mut events = Vec::new();
    for _ in 0..4 {
        let publish = watcher.message().await;
        let event: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap();
        let kind = event["eventType"].as_str().unwrap().to_owned();
        assert!(
            publish.topic.ends_with(&format!("/{kind}/a")),
            "{}",
            publish.topic
        );
        assert_eq!(event["clientId"], "a");
        assert_eq!(event["principalIdentifier"], lab.certificate_id.as_str());
        assert!(event["timestamp"].is_i64() && event["sessionIdentifier"].is_string());
        events.push((kind, event));
    }
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["connected", "subscribed", "unsubscribed", "disconnected"]
    );
    assert_eq!(events[0].1["ipAddress"], "127.0.0.1");
    assert_eq!(events[1].1["topics"], serde_json::json!(["t"]));
    assert_eq!(events[3].1["disconnectReason"], "CONNECTION_LOST");
    assert_eq!(events[3].1["clientInitiatedDisconnect"], false);
    assert_eq!(events[0].1["versionNumber"], events[3].1["versionNumber"]);
    let again = lab.device(Version::V5, "a").await;
    let event: serde_json::Value =
        serde_json::from_slice(&watcher.message().await.payload).unwrap();
    assert_eq!(event["versionNumber"], 1);
    again.leave().await;
    let event: serde_json::Value =
        serde_json::from_slice(&watcher.message().await.payload).unwrap();
    assert_eq!(event["disconnectReason"], "CLIENT_INITIATED_DISCONNECT");
}
