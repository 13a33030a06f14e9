//! What the policies and the state of the certificate let a device do.

use super::*;

#[tokio::test]
async fn a_certificate_that_is_not_admitted_is_closed_without_connack() {
    for version in BOTH {
        let lab = Lab::start();
        lab.set_status(CertificateStatus::Inactive);
        let mut device = lab.dial(version);
        device.send_connect(&clean("a")).await;
        assert_eq!(device.next().await, None);
    }
}

#[tokio::test]
async fn a_denied_connect_is_an_event_and_mqtt_5_is_told() {
    let lab = Lab::start();
    let mut watcher = lab.device(Version::V3, "watcher").await;
    watcher
        .subscribe("$aws/events/presence/connect_failed/#", QoS::AtMostOnce)
        .await;
    for version in BOTH {
        let mut device = lab.dial(version);
        device.send_connect(&clean("nobody")).await;
        if version == Version::V5 {
            let answer = device.next().await;
            assert!(
                matches!(answer, Some(FromServer::ConnAck { reason: 0x87, .. })),
                "{answer:?}"
            );
        }
        assert_eq!(device.next().await, None);
        let event = watcher.message().await;
        assert_eq!(&*event.topic, "$aws/events/presence/connect_failed/nobody");
        let event: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
        assert_eq!(event["connectFailureReason"], "AUTHORIZATION_FAILED");
    }
    assert!(lab.told("POLICY_EXPLICIT_DENY"));
}

#[tokio::test]
async fn a_will_on_a_denied_topic_refuses_the_connect() {
    let lab = Lab::start();
    for (topic, retain) in [("nopublish", false), ("noretain", true)] {
        let will = Some((
            topic.to_owned(),
            bytes::Bytes::new(),
            QoS::AtMostOnce,
            retain,
        ));
        let mut device = lab.dial(Version::V5);
        device
            .send_connect(&ClientConnect { will, ..clean("a") })
            .await;
        let answer = device.next().await;
        assert!(
            matches!(answer, Some(FromServer::ConnAck { reason: 0x87, .. })),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_denied_publish_closes_3_1_1_and_mqtt_5_at_qos_0_and_is_a_puback_at_qos_1() {
    let lab = Lab::start();
    let mut device = lab.device(Version::V3, "a").await;
    device.say("nopublish", b"x", QoS::AtLeastOnce).await;
    device.is_closed_with(0x87).await;
    let mut device = lab.device(Version::V5, "a").await;
    assert_eq!(device.tell("nopublish", b"x").await, 0x87);
    assert_eq!(device.tell("allowed", b"x").await, 0);
    device.say("nopublish", b"x", QoS::AtMostOnce).await;
    device.is_closed_with(0x87).await;
    assert!(lab.told("POLICY_EXPLICIT_DENY"));
}

#[tokio::test]
async fn retain_needs_its_own_permission() {
    let lab = Lab::start();
    let mut device = lab.device(Version::V5, "a").await;
    assert_eq!(device.tell("noretain", b"x").await, 0);
    device
        .say_as(&Outline {
            retain: true,
            ..outline("noretain", QoS::AtLeastOnce)
        })
        .await;
    assert!(matches!(
        device.next().await,
        Some(FromServer::PubAck { reason: 0x87, .. })
    ));
    assert_eq!(device.subscribe("noretain", QoS::AtMostOnce).await, 0);
    device.hears_nothing().await;
}

#[tokio::test]
async fn a_denied_subscribe_closes_3_1_1_and_is_a_suback_code_in_mqtt_5() {
    let lab = Lab::start();
    let mut device = lab.device(Version::V3, "a").await;
    let mut out = Vec::new();
    encode_subscribe(
        &mut out,
        Version::V3,
        id(1),
        &[("fine", QoS::AtMostOnce), ("nosubscribe", QoS::AtMostOnce)],
    );
    device.send(&out).await;
    device.is_closed_with(0x87).await;
    let mut device = lab.device(Version::V5, "a").await;
    let mut out = Vec::new();
    encode_subscribe(
        &mut out,
        Version::V5,
        id(1),
        &[("fine", QoS::AtLeastOnce), ("nosubscribe", QoS::AtMostOnce)],
    );
    device.send(&out).await;
    let Some(FromServer::SubAck { codes, .. }) = device.next().await else {
        panic!("no SUBACK");
    };
    assert_eq!(codes, [1, 0x87]);
    device.say("fine", b"x", QoS::AtMostOnce).await;
    assert_eq!(&*device.message().await.topic, "fine");
}

#[tokio::test]
async fn what_may_not_be_received_is_dropped_and_told_once() {
    let lab = Lab::start();
    let mut reader = lab.device(Version::V3, "reader").await;
    assert_eq!(reader.subscribe("#", QoS::AtLeastOnce).await, 1);
    let mut writer = lab.device(Version::V3, "writer").await;
    for _ in 0..50 {
        assert_eq!(writer.tell("noreceive/x", b"x").await, 0);
    }
    reader.hears_nothing().await;
    let entries = lab.core.diary.recent();
    let told = entries
        .iter()
        .filter(|entry| entry.sentence.contains("noreceive/x"))
        .count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn a_deactivated_certificate_loses_its_connections_at_once() {
    for version in BOTH {
        let lab = Lab::start();
        let mut device = lab.device(version, "a").await;
        lab.set_status(CertificateStatus::Inactive);
        device.is_closed_with(0x87).await;
        assert!(lab.told("CERTIFICATE_NO_LONGER_ACTIVE"));
    }
}

#[tokio::test]
async fn a_changed_policy_holds_for_live_connections_in_both_directions() {
    let lab = Lab::start();
    let mut device = lab.device(Version::V5, "a").await;
    device.subscribe("news", QoS::AtLeastOnce).await;
    assert_eq!(device.tell("news", b"x").await, 0);
    let _ = device.message().await;
    let only_connect = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":["iot:Connect","iot:Publish"],"Resource":"arn:aws:iot:eu-west-1:123456789012:*/a"}]}"#;
    let document = only_connect.replace("*/a", "topic/other");
    lab.core
        .account
        .write(|tx| policies::create_version(tx, "Lab", &document, true).map(drop))
        .unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(device.tell("news", b"x").await, 0x87);
    assert_eq!(device.tell("other", b"x").await, 0);
    lab.core.publish_system(&crate::router::Message::system(
        "news",
        "x",
        QoS::AtMostOnce,
    ));
    device.hears_nothing().await;
}

#[tokio::test]
async fn reserved_topics_are_not_for_clients_to_publish_on() {
    let lab = Lab::start();
    for version in BOTH {
        for topic in [
            "$aws/events/presence/connected/x",
            "$SYS/x",
            "$aws/things/x/shadow/update",
        ] {
            let mut device = lab.device(version, "a").await;
            device.say(topic, b"{}", QoS::AtLeastOnce).await;
            device.is_closed_with(0x90).await;
        }
    }
    let mut device = lab.device(Version::V5, "a").await;
    assert_eq!(device.subscribe("$SYS/#", QoS::AtMostOnce).await, 0x8F);
    let mut device = lab.device(Version::V3, "a").await;
    device.send(b"\x82\x0b\x00\x01\x00\x06$SYS/#\x00").await;
    device.is_closed_with(0).await;
}

#[tokio::test]
async fn a_service_answers_the_asking_session_only() {
    struct Echo;
    impl crate::broker::Handler for Echo {
        fn takes(&self, topic: &str) -> bool {
            topic == "$aws/echo"
        }
        fn handle(
            &self,
            request: crate::broker::Request,
        ) -> futures::future::BoxFuture<'static, Vec<crate::broker::Answer>> {
            Box::pin(async move {
                vec![crate::broker::Answer {
                    topic: format!("{}/accepted", request.topic),
                    payload: request.payload,
                }]
            })
        }
    }
    let lab = Lab::start();
    lab.core.services.install(Arc::new(Echo));
    let mut other = lab.device(Version::V3, "other").await;
    other.subscribe("$aws/echo/#", QoS::AtLeastOnce).await;
    let mut device = lab.device(Version::V3, "a").await;
    device.say("$aws/echo", b"hello", QoS::AtMostOnce).await;
    let answer = device.message().await;
    assert_eq!(
        (&*answer.topic, &answer.payload[..]),
        ("$aws/echo/accepted", &b"hello"[..])
    );
    other.hears_nothing().await;
}

impl Lab {
    fn set_status(&self, status: CertificateStatus) {
        self.core
            .account
            .write(|tx| certificates::update(tx, &self.certificate_id, status))
            .unwrap();
    }
}
