//! AWS's limits and what happens beyond them.

use super::*;

async fn refused_connect(lab: &Lab, version: Version, connect: ClientConnect) -> Option<u8> {
    let mut device = lab.dial(version);
    device.send_connect(&connect).await;
    match device.next().await {
        Some(FromServer::ConnAck { reason, .. }) => {
            assert_eq!(device.next().await, None);
            Some(reason)
        }
        Some(other) => panic!("no CONNACK but {other:?}"),
        None => None,
    }
}

#[tokio::test]
async fn client_ids_of_more_than_128_bytes_are_refused() {
    let lab = Lab::start();
    for version in BOTH {
        lab.device(version, &"i".repeat(128)).await;
    }
    let long = clean(&"i".repeat(129));
    assert_eq!(
        refused_connect(&lab, Version::V3, long.clone()).await,
        Some(2)
    );
    assert_eq!(refused_connect(&lab, Version::V5, long).await, Some(0x85));
    assert_eq!(refused_connect(&lab, Version::V3, clean("")).await, Some(2));
    let (_, connack) = lab.connect(Version::V5, clean("")).await;
    let FromServer::ConnAck {
        assigned_client_id, ..
    } = connack
    else {
        panic!()
    };
    assert_eq!(assigned_client_id.unwrap().len(), 36);
}

#[tokio::test]
async fn mqtt_3_1_and_what_is_no_mqtt_is_closed_without_an_answer() {
    let lab = Lab::start();
    for bytes in [
        &b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01c"[..],
        b"\x10\x0d\x00\x04MQTT\x03\x02\x00\x3c\x00\x01c",
        b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x3c\x00\x01c",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x30\x03\x00\x01a",
    ] {
        let mut device = lab.dial(Version::V3);
        device.send(bytes).await;
        assert_eq!(device.next().await, None, "{bytes:x?}");
    }
    assert!(lab.told("CONNECT_REFUSED"));
}

#[tokio::test]
async fn connack_5_says_what_is_granted() {
    let lab = Lab::start();
    let connect = ClientConnect {
        session_expiry: u32::MAX,
        keep_alive: 5,
        ..clean("a")
    };
    let (_, connack) = lab.connect(Version::V5, connect).await;
    let FromServer::ConnAck {
        session_expiry,
        receive_maximum,
        server_keep_alive,
        session_present,
        ..
    } = connack
    else {
        panic!()
    };
    assert_eq!(session_expiry, Some(3600));
    assert_eq!(receive_maximum, 100);
    assert_eq!(server_keep_alive, Some(30));
    assert!(!session_present);
}

#[tokio::test]
async fn wills_with_qos_2_or_on_reserved_or_bad_topics_refuse_the_connect() {
    let lab = Lab::start();
    for (topic, qos, code) in [
        ("w", QoS::ExactlyOnce, 0x9B),
        ("$aws/events/x", QoS::AtMostOnce, 0x90),
        ("a/#", QoS::AtMostOnce, 0x90),
        ("a/b/c/d/e/f/g/h/i", QoS::AtMostOnce, 0x90),
    ] {
        let will = Some((topic.to_owned(), bytes::Bytes::new(), qos, false));
        let connect = ClientConnect { will, ..clean("a") };
        assert_eq!(
            refused_connect(&lab, Version::V5, connect.clone()).await,
            Some(code)
        );
        assert_eq!(refused_connect(&lab, Version::V3, connect).await, None);
    }
}

#[tokio::test]
async fn topics_too_long_or_too_deep_are_refused() {
    let lab = Lab::start();
    for topic in [
        "x".repeat(257),
        "a/b/c/d/e/f/g/h/i".to_owned(),
        "a/+".to_owned(),
    ] {
        let mut device = lab.device(Version::V3, "a").await;
        device.say(&topic, b"x", QoS::AtLeastOnce).await;
        device.is_closed_with(0x90).await;
        let mut device = lab.device(Version::V5, "a").await;
        assert_eq!(device.tell(&topic, b"x").await, 0x90);
        device.say(&topic, b"x", QoS::AtMostOnce).await;
        device.is_closed_with(0x90).await;
    }
    let mut device = lab.device(Version::V5, "a").await;
    assert_eq!(device.tell(&"x".repeat(256), b"x").await, 0);
    assert_eq!(
        device.subscribe("a/b/c/d/e/f/g/h/i", QoS::AtMostOnce).await,
        0x8F
    );
    assert_eq!(
        device
            .subscribe("$share/g/a/b/c/d/e/f/g/h", QoS::AtMostOnce)
            .await,
        0
    );
    assert_eq!(device.subscribe("a#", QoS::AtMostOnce).await, 0x8F);
}

#[tokio::test]
async fn payloads_of_128_kib_pass_and_larger_ones_close() {
    let lab = Lab::start();
    for version in BOTH {
        let mut device = lab.device(version, "a").await;
        device.subscribe("a", QoS::AtMostOnce).await;
        let payload = vec![b'x'; 128 * 1024];
        device.say("a", &payload, QoS::AtMostOnce).await;
        assert_eq!(device.message().await.payload.len(), payload.len());
        device
            .say("a", &vec![b'x'; 128 * 1024 + 1], QoS::AtMostOnce)
            .await;
        device.is_closed_with(0x97).await;
        let mut device = lab.device(version, "a").await;
        device
            .say("a", &vec![b'x'; 150 * 1024], QoS::AtMostOnce)
            .await;
        device.is_closed_with(0x97).await;
    }
}

#[tokio::test]
async fn qos_2_is_refused_for_publish_and_subscribe() {
    let lab = Lab::start();
    for version in BOTH {
        let mut device = lab.device(version, "a").await;
        device.say("a", b"x", QoS::ExactlyOnce).await;
        device.is_closed_with(0x9B).await;
        let mut device = lab.device(version, "a").await;
        let mut out = Vec::new();
        encode_subscribe(&mut out, version, id(1), &[("a", QoS::ExactlyOnce)]);
        device.send(&out).await;
        device.is_closed_with(0x9B).await;
    }
}

#[tokio::test]
async fn nine_filters_are_too_many_and_so_is_a_51st_subscription() {
    let lab = Lab::start();
    for version in BOTH {
        let mut device = lab.device(version, "a").await;
        let names: Vec<String> = (0..9).map(|number| format!("t/{number}")).collect();
        let filters: Vec<(&str, QoS)> = names
            .iter()
            .map(|name| (name.as_str(), QoS::AtMostOnce))
            .collect();
        let mut out = Vec::new();
        encode_subscribe(&mut out, version, id(1), &filters);
        device.send(&out).await;
        device.is_closed_with(0x97).await;

        let mut device = lab.device(version, "a").await;
        for number in 0..50 {
            assert_eq!(
                device
                    .subscribe(&format!("t/{number}"), QoS::AtMostOnce)
                    .await,
                0
            );
        }
        assert_eq!(
            device.subscribe("t/7", QoS::AtMostOnce).await,
            0,
            "one it has already"
        );
        if version == Version::V5 {
            assert_eq!(device.subscribe("one/more", QoS::AtMostOnce).await, 0x97);
        } else {
            device.send(b"\x82\x0d\x00\x01\x00\x08one/more\x00").await;
            device.is_closed_with(0).await;
        }
    }
}

#[tokio::test]
async fn topic_aliases_are_one_to_eight_and_must_be_known() {
    let lab = Lab::start();
    for (alias, topic, fine) in [
        (1, "a", true),
        (8, "a", true),
        (9, "a", false),
        (3, "", false),
    ] {
        let mut device = lab.device(Version::V5, "a").await;
        let named = Some((id(alias), false));
        device
            .say_as(&Outline {
                alias: named,
                ..outline(topic, QoS::AtLeastOnce)
            })
            .await;
        if fine {
            assert!(matches!(
                device.next().await,
                Some(FromServer::PubAck { reason: 0, .. })
            ));
            device.subscribe("a", QoS::AtMostOnce).await;
            let known = Some((id(alias), true));
            device
                .say_as(&Outline {
                    alias: known,
                    ..outline("", QoS::AtMostOnce)
                })
                .await;
            assert_eq!(&*device.message().await.topic, "a");
        } else {
            device.is_closed_with(0x94).await;
        }
    }
    let mut device = lab.device(Version::V5, "a").await;
    device.send(b"\x30\x07\x00\x01a\x03\x23\x00\x00").await;
    device.is_closed_with(0x94).await;
}

#[tokio::test]
async fn a_client_that_overruns_the_receive_maximum_is_closed() {
    let lab = Lab::start();
    let mut out = Vec::new();
    for packet_id in 1..=101 {
        encode_publish(
            &mut out,
            Version::V5,
            &Outline {
                packet_id,
                ..outline("a", QoS::AtLeastOnce)
            },
        );
    }
    let mut device = lab.device(Version::V5, "a").await;
    device.send(&out).await;
    let mut last = None;
    while let Some(packet) = device.next().await {
        last = Some(packet);
    }
    assert_eq!(last, Some(FromServer::Disconnect(0x93)));
}

#[tokio::test]
async fn subscription_identifiers_and_qos_2_handshakes_are_refused() {
    let lab = Lab::start();
    for (bytes, code) in [
        (&b"\x82\x09\x00\x01\x02\x0b\x01\x00\x01a\x00"[..], 0xA1),
        (b"\x50\x02\x00\x01", 0x82),
        (b"\x62\x02\x00\x01", 0x82),
        (b"\xf0\x00", 0x82),
        (b"\x36\x05\x00\x01a\x00\x01", 0x81),
    ] {
        let mut device = lab.device(Version::V5, "a").await;
        device.send(bytes).await;
        device.is_closed_with(code).await;
    }
    let mut device = lab.device(Version::V5, "a").await;
    device.send_connect(&clean("a")).await;
    device.is_closed_with(0x82).await;
}

#[tokio::test]
async fn silence_beyond_one_and_a_half_keep_alives_closes_and_pings_keep_open() {
    let limits = Limits {
        shortest_keep_alive: 1,
        ..Limits::default()
    };
    let lab = Lab::with(limits, Storage::memory());
    let mut silent = lab
        .connect(
            Version::V5,
            ClientConnect {
                keep_alive: 1,
                ..clean("silent")
            },
        )
        .await
        .0;
    let mut lively = lab
        .connect(
            Version::V5,
            ClientConnect {
                keep_alive: 1,
                ..clean("lively")
            },
        )
        .await
        .0;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        lively.send(&[0xC0, 0]).await;
        assert_eq!(lively.next().await, Some(FromServer::Ping));
    }
    silent.is_closed_with(0x8D).await;
    assert!(lab.told("MQTT_KEEP_ALIVE_TIMEOUT"));
}

#[tokio::test]
async fn rates_are_enforced_when_asked_for() {
    let limits = Limits {
        enforce_rates: true,
        ..Limits::default()
    };
    let lab = Lab::with(limits, Storage::memory());
    let mut device = lab.device(Version::V5, "a").await;
    device.subscribe("a", QoS::AtMostOnce).await;
    for _ in 0..150 {
        device.say("a", b"x", QoS::AtMostOnce).await;
    }
    for _ in 0..100 {
        device.message().await;
    }
    device.hears_nothing().await;
    assert!(lab.told("THROTTLED"));
    assert_eq!(
        refused_connect(&lab, Version::V5, clean("a")).await,
        Some(0x97)
    );
}
