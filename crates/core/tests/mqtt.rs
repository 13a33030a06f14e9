//! The MQTT client against a server that behaves badly in every way a network or AWS IoT knows.

mod broker;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use broker::{Act, Manners, Pki, Server, Shape, Tls};
use jitp_core::failure::{Class, Classified};
use jitp_core::mqtt::{
    Alpn, Clock, Endpoint, Event, Identity, MqttError, Options, Publish, Qos, Retry, ServerFault,
    Session, Stage, Trust, Version, probe,
};
use openssl::{
    asn1::Asn1Time, bn::BigNum, hash::MessageDigest, pkey::PKey, rsa::Rsa, x509::X509Builder,
    x509::X509NameBuilder,
};
use time::OffsetDateTime;
use tokio::time::Instant;

/// Waits of milliseconds where AWS needs seconds.
fn quick() -> Retry {
    Retry {
        attempts: 5,
        unreachable_attempts: 2,
        alert_attempts: 2,
        first_delay: Duration::from_millis(20),
        max_delay: Duration::from_millis(60),
        jitter: 0.5,
        min_gap: Duration::from_millis(20),
        attempt_timeout: Duration::from_secs(5),
        total_timeout: Duration::from_secs(20),
        ack_timeout: Duration::from_secs(5),
        delivery_timeout: Duration::from_secs(20),
        refusals: 3,
        stable_after: Duration::from_secs(5),
    }
}

fn options(pki: &Pki, server: &Server) -> Options {
    let endpoint: Endpoint = format!("localhost:{}", server.address.port())
        .parse()
        .unwrap();
    let identity =
        Identity::from_pem(pki.device_pem.as_bytes(), pki.device_key.as_bytes()).unwrap();
    let trust = Trust::from_pem(pki.root_pem.as_bytes(), "root.pem").unwrap();
    let mut options = Options::new(endpoint, "sensor-17", identity, trust);
    options.retry = quick();
    options
}

async fn server(acts: Vec<Act>) -> (Pki, Server) {
    let pki = Pki::new(Shape::default());
    let server = Server::start(&pki, Tls::default(), acts).await;
    (pki, server)
}

fn serve() -> Act {
    Act::Serve(Manners::default())
}

fn message(topic: &str, payload: &str, qos: Qos) -> Publish {
    Publish::new(topic, payload.to_owned(), qos).unwrap()
}

/// Collects the narration.
fn listener() -> (Arc<Mutex<Vec<Event>>>, impl Fn(&Event) + Send + Sync) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&events);
    (events, move |event: &Event| {
        sink.lock().unwrap().push(event.clone());
    })
}

async fn failure(options: Options) -> MqttError {
    let started = Instant::now();
    let error = Session::connect(options, |_| {}).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(15), "{error}");
    error
}

#[tokio::test]
async fn closed_before_connack_is_ridden_out_and_narrated() {
    for version in [Version::V311, Version::V5] {
        let (pki, server) = server(vec![
            Act::CloseBeforeConnack,
            Act::ResetBeforeConnack,
            Act::CloseBeforeConnack,
            serve(),
        ])
        .await;
        let mut options = options(&pki, &server);
        options.version = version;
        let (events, sink) = listener();
        let probed = probe(options, sink).await.unwrap();
        assert_eq!(probed.attempts, 4);
        let lines: Vec<String> = events
            .lock()
            .unwrap()
            .iter()
            .map(Event::to_string)
            .collect();
        assert_eq!(lines.len(), 8, "{lines:?}");
        assert!(
            lines[1].contains("closed by the server before CONNACK"),
            "{lines:?}"
        );
        assert!(
            lines[7].starts_with("connected after 4 attempts"),
            "{lines:?}"
        );
        let seen = server.seen.lock().unwrap();
        let level = if version == Version::V5 { 5 } else { 4 };
        assert!(
            seen.connects
                .iter()
                .all(|c| *c == (level, "sensor-17".to_owned()))
        );
        assert_eq!((seen.disconnects, seen.close_notifies), (1, 1));
    }
}

#[tokio::test]
async fn never_less_than_the_gap_between_two_connects() {
    let (pki, server) = server(vec![Act::CloseBeforeConnack]).await;
    let mut options = options(&pki, &server);
    options.retry.min_gap = Duration::from_millis(100);
    let error = failure(options).await;
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.accepted.len(), 5);
    for pair in seen.accepted.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(100));
    }
    let MqttError::ClosedBeforeConnack { tries, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(tries.attempts, 5);
    assert_eq!(error.class(), Class::NotAccepted);
    assert!(
        error
            .to_string()
            .contains("closed before CONNACK, 5 attempts in"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("device-status sensor-17"));
}

#[tokio::test]
async fn an_expired_device_certificate_is_the_hint() {
    let (pki, server) = server(vec![Act::CloseBeforeConnack]).await;
    let mut options = options(&pki, &server);
    // rcgen's default certificates end in the year 4096; the server's must still be good.
    let (device, key) = v1_certificate(-10, -1);
    options.identity = Identity::from_pem(&device, &key).unwrap();
    let hint = failure(options).await.hint().unwrap();
    assert!(hint.contains("the device certificate expired on"), "{hint}");
}

#[tokio::test]
async fn nobody_listening_is_unreachable_after_few_attempts() {
    let (pki, server) = server(vec![serve()]).await;
    let options = options(&pki, &server);
    drop(server);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = failure(options).await;
    assert!(matches!(&error, MqttError::Unreachable { tries, .. } if tries.attempts == 2));
    assert_eq!(error.class(), Class::Temporary);
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn silence_anywhere_ends_at_the_deadline() {
    for (act, stage) in [
        (Act::StallInTls, Stage::Handshake),
        (Act::NoConnack, Stage::Connack),
    ] {
        let (pki, server) = server(vec![act]).await;
        let mut options = options(&pki, &server);
        options.retry.attempt_timeout = Duration::from_millis(400);
        let error = failure(options).await;
        assert!(
            matches!(&error, MqttError::Timeout { stage: s, tries, .. } if *s == stage && tries.attempts == 2),
            "{error:?}"
        );
        assert_eq!(error.class(), Class::Temporary);
        assert_eq!(server.attempts(), 2);
    }
}

#[tokio::test]
async fn all_attempts_together_have_a_deadline_too() {
    let (pki, server) = server(vec![Act::CloseBeforeConnack]).await;
    let mut options = options(&pki, &server);
    options.retry.attempts = 1_000_000;
    options.retry.total_timeout = Duration::from_millis(500);
    let started = Instant::now();
    let error = failure(options).await;
    assert!(
        matches!(error, MqttError::ClosedBeforeConnack { .. }),
        "{error:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn resets_and_closes_below_mqtt_are_unreachable() {
    for act in [Act::Reset, Act::CloseTcp] {
        let (pki, server) = server(vec![act]).await;
        let error = failure(options(&pki, &server)).await;
        assert!(matches!(error, MqttError::Unreachable { .. }), "{error:?}");
        assert!(
            error.to_string().contains("in the TLS handshake"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_is_not_tls_or_not_mqtt_is_said_at_once() {
    let (pki, server) = server(vec![Act::NotTls]).await;
    let error = failure(options(&pki, &server)).await;
    assert!(matches!(error, MqttError::Tls { .. }), "{error:?}");
    assert_eq!(server.attempts(), 1);

    for version in [Version::V311, Version::V5] {
        let (pki, server) = self::server(vec![Act::Answer(b"HTTP/1.1 400\r\n\r\n".to_vec())]).await;
        let mut options = options(&pki, &server);
        options.version = version;
        let error = failure(options).await;
        assert!(matches!(error, MqttError::Protocol { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains("does not speak MQTT: it "), "{said}");
    }
}

#[tokio::test]
async fn an_untrusted_server_is_refused_once_and_named() {
    let (pki, server) = server(vec![serve()]).await;
    let mut options = options(&pki, &server);
    options.trust = Trust::amazon_roots();
    let error = failure(options).await;
    let MqttError::ServerUntrusted { fault, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        matches!(fault, ServerFault::UnknownIssuer { issuer, .. } if issuer == "CN=server root")
    );
    assert_eq!(error.class(), Class::Configuration);
    assert!(error.hint().unwrap().contains("--cafile"));
    assert_eq!(server.attempts(), 1);
}

#[tokio::test]
async fn a_root_made_anew_under_its_old_name_is_recognised_as_such() {
    let (_, server) = server(vec![serve()]).await;
    let before = Pki::new(Shape::default());
    let error = failure(options(&before, &server)).await;
    assert!(
        error.to_string().contains("but it has another key"),
        "{error}"
    );
}

#[tokio::test]
async fn an_expired_server_certificate_is_refused_with_its_date() {
    let now = OffsetDateTime::now_utc();
    let pki = Pki::new(Shape {
        server: (now - time::Duration::days(9), now - time::Duration::days(2)),
        ..Shape::default()
    });
    let server = Server::start(&pki, Tls::default(), vec![serve()]).await;
    let error = failure(options(&pki, &server)).await;
    let expected = format!(
        "certificate expired on {}",
        (now - time::Duration::days(2)).date()
    );
    assert!(error.to_string().contains(&expected), "{error}");
}

#[tokio::test]
async fn an_expired_root_is_refused_although_rustls_would_take_it() {
    let now = OffsetDateTime::now_utc();
    let day = time::Duration::days(1);
    let pki = Pki::new(Shape {
        root: (now - 9 * day, now - 2 * day),
        server: (now - 8 * day, now + 9 * day),
        ..Shape::default()
    });
    let server = Server::start(&pki, Tls::default(), vec![serve()]).await;
    // The only root: nothing is even sent.
    let error = failure(options(&pki, &server)).await;
    assert!(matches!(error, MqttError::Trust(_)), "{error:?}");
    assert!(error.to_string().contains("expired on"), "{error}");
    assert_eq!(server.attempts(), 0);
    // One of several: the one that the server's certificate leads to.
    let other = Pki::new(Shape::default());
    let mut options = options(&pki, &server);
    let both = format!("{}{}", other.root_pem, pki.root_pem);
    options.trust = Trust::from_pem(both.as_bytes(), "both.pem").unwrap();
    let error = failure(options).await;
    assert!(
        matches!(&error, MqttError::ServerUntrusted { fault: ServerFault::Root { root, .. }, .. } if root == "CN=server root"),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_clock_is_the_one_given() {
    let (pki, server) = server(vec![serve()]).await;
    let mut options = options(&pki, &server);
    options.clock = Clock::new(|| OffsetDateTime::now_utc() - time::Duration::days(3650));
    let error = failure(options).await;
    assert!(error.to_string().contains("is not valid before"), "{error}");
}

#[tokio::test]
async fn a_server_of_another_name_is_refused_unless_that_name_is_asked_for() {
    let pki = Pki::new(Shape {
        names: vec!["abc-ats.iot.eu-central-1.amazonaws.com".into()],
        ..Shape::default()
    });
    let server = Server::start(&pki, Tls::default(), vec![serve()]).await;
    let error = failure(options(&pki, &server)).await;
    assert!(
        error
            .to_string()
            .contains("is for abc-ats.iot.eu-central-1.amazonaws.com, not for localhost"),
        "{error}"
    );
    let mut options = options(&pki, &server);
    options.server_name = Some("abc-ats.iot.eu-central-1.amazonaws.com".into());
    probe(options, |_| {}).await.unwrap();
    let sni = server.seen.lock().unwrap().sni.clone();
    assert_eq!(
        sni,
        [Some("abc-ats.iot.eu-central-1.amazonaws.com".to_owned())]
    );
}

#[tokio::test]
async fn a_refused_client_certificate_is_told_from_a_plain_close() {
    for tls12_only in [true, false] {
        let pki = Pki::new(Shape::default());
        let tls = Tls {
            tls12_only,
            refuse_clients: true,
            ..Tls::default()
        };
        let server = Server::start(&pki, tls, vec![serve()]).await;
        let error = failure(options(&pki, &server)).await;
        assert!(
            matches!(&error, MqttError::ClientCertificateRefused { alert, tries, .. }
                if alert == "certificate_revoked" && tries.attempts == 2),
            "{error:?}"
        );
        assert_eq!(error.class(), Class::NotAccepted);
    }
}

#[tokio::test]
async fn connack_refusals_are_words_and_final_unless_temporary() {
    // MQTT 5, with a reason string.
    let mut refusal = vec![0x20, 3 + 3 + 6, 0, 0x87, 9, 0x1F, 0, 6];
    refusal.extend(b"policy");
    let (pki, server) = server(vec![Act::Answer(refusal)]).await;
    let error = failure(options(&pki, &server)).await;
    assert_eq!(error.class(), Class::Refused);
    assert!(
        error.to_string().ends_with("not authorized (0x87): policy"),
        "{error}"
    );
    assert_eq!(server.attempts(), 1);
    // MQTT 3.1.1: 5, and the 7 that AWS IoT was documented to send.
    for code in [5, 7] {
        let (pki, server) = self::server(vec![Act::Answer(vec![0x20, 2, 0, code])]).await;
        let mut options = options(&pki, &server);
        options.version = Version::V311;
        let error = failure(options).await;
        assert!(error.to_string().contains("not authorized"), "{error}");
    }
    // Busy: again.
    let (pki, server) = self::server(vec![Act::Answer(vec![0x20, 3, 0, 0x89, 0]), serve()]).await;
    assert_eq!(
        probe(options(&pki, &server), |_| {})
            .await
            .unwrap()
            .attempts,
        2
    );
}

#[tokio::test]
async fn tls_12_alpn_and_sni_are_as_asked_for() {
    let pki = Pki::new(Shape::default());
    let tls = Tls {
        tls12_only: true,
        alpn: vec!["x-amzn-mqtt-ca"],
        ..Tls::default()
    };
    let server = Server::start(&pki, tls, vec![serve()]).await;
    let mut with = options(&pki, &server);
    with.alpn = Alpn::Protocol("x-amzn-mqtt-ca".into());
    probe(with, |_| {}).await.unwrap();
    probe(options(&pki, &server), |_| {}).await.unwrap();
    let mut by_address = options(&pki, &server);
    by_address.endpoint = format!("127.0.0.1:{}", server.address.port())
        .parse()
        .unwrap();
    probe(by_address, |_| {}).await.unwrap();
    let mut other = options(&pki, &server);
    other.alpn = Alpn::Protocol("mqtt".into());
    assert!(matches!(failure(other).await, MqttError::Tls { .. }));
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.alpn, [Some(b"x-amzn-mqtt-ca".to_vec()), None, None]);
    let name = Some("localhost".to_owned());
    assert_eq!(seen.sni, [name.clone(), name, None]);
    assert_eq!(seen.certificates[0].len(), 2, "leaf, then CA");
}

#[tokio::test]
async fn certificates_of_the_old_scripts_are_presented() {
    let (pki, server) = server(vec![serve()]).await;
    let (certificate, key) = v1_certificate(-1, 365);
    let mut options = options(&pki, &server);
    options.identity = Identity::from_pem(&certificate, &key).unwrap();
    probe(options, |_| {}).await.unwrap();
    assert_eq!(server.seen.lock().unwrap().certificates[0].len(), 1);
}

#[tokio::test]
async fn every_message_of_qos_1_arrives_over_connections_that_die() {
    for version in [Version::V311, Version::V5] {
        let dies = |after, by_reset| {
            Act::Serve(Manners {
                die_after: Some(after),
                die_by_reset: by_reset,
                ..Manners::default()
            })
        };
        let (pki, server) = server(vec![
            dies(1, false),
            dies(7, true),
            Act::CloseBeforeConnack,
            dies(3, false),
            dies(20, true),
            serve(),
        ])
        .await;
        let mut options = options(&pki, &server);
        options.version = version;
        let mut session = Session::connect(options, |_| {}).await.unwrap();
        for number in 0..300 {
            let line = format!("line {number}");
            session
                .queue(message("sensor-17", &line, Qos::AtLeastOnce))
                .await
                .unwrap();
        }
        session.flush().await.unwrap();
        assert!(session.unacknowledged().is_empty());
        session.disconnect().await.unwrap();
        let payloads = server.payloads();
        for number in 0..300 {
            assert!(
                payloads.contains(&format!("line {number}")),
                "line {number} is missing"
            );
        }
    }
}

#[tokio::test]
async fn messages_of_qos_0_are_all_there_after_a_disconnect() {
    for version in [Version::V311, Version::V5] {
        let (pki, server) = server(vec![serve()]).await;
        let mut options = options(&pki, &server);
        options.version = version;
        let mut session = Session::connect(options, |_| {}).await.unwrap();
        for number in 0..1_000 {
            let line = number.to_string();
            session
                .queue(message("t", &line, Qos::AtMostOnce))
                .await
                .unwrap();
        }
        session.disconnect().await.unwrap();
        let expected: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
        assert_eq!(server.payloads(), expected);
        assert_eq!(server.seen.lock().unwrap().disconnects, 1);
    }
}

#[tokio::test]
async fn a_denied_message_is_refused_and_not_sent_for_ever() {
    let denies = Act::Serve(Manners {
        hang_up_on: Some("denied"),
        ..Manners::default()
    });
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let (pki, server) = server(vec![denies.clone()]).await;
        let mut options = options(&pki, &server);
        options.version = Version::V311;
        let mut session = Session::connect(options, |_| {}).await.unwrap();
        session.publish(message("allowed", "a", qos)).await.unwrap();
        let error = session
            .publish(message("denied", "b", qos))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, MqttError::PublishRefused { topic, sequence: 2, .. } if topic == "denied"),
            "{error:?}"
        );
        assert_eq!(error.class(), Class::Refused);
        assert!(error.hint().unwrap().contains("topic/denied"));
        assert_eq!(
            server.attempts(),
            if qos == Qos::AtMostOnce { 1 } else { 3 }
        );
        // The session is still good for what is allowed.
        session.publish(message("allowed", "c", qos)).await.unwrap();
        session.disconnect().await.unwrap();
        assert_eq!(server.payloads().last().unwrap(), "c");
    }
}

#[tokio::test]
async fn among_many_messages_under_way_the_denied_one_is_found() {
    let (pki, server) = server(vec![Act::Serve(Manners {
        hang_up_on: Some("denied"),
        ..Manners::default()
    })])
    .await;
    let mut options = options(&pki, &server);
    options.version = Version::V311;
    let mut session = Session::connect(options, |_| {}).await.unwrap();
    for number in 0..50 {
        let topic = if number == 30 { "denied" } else { "allowed" };
        session
            .queue(message(topic, &number.to_string(), Qos::AtLeastOnce))
            .await
            .unwrap();
    }
    let error = session.flush().await.unwrap_err();
    assert!(
        matches!(error, MqttError::PublishRefused { sequence: 31, .. }),
        "{error:?}"
    );
    session.flush().await.unwrap();
    for number in (0..50).filter(|n| *n != 30) {
        assert!(server.payloads().contains(&number.to_string()), "{number}");
    }
}

#[tokio::test]
async fn mqtt_5_says_why_a_message_is_refused() {
    let (pki, server) = server(vec![Act::Serve(Manners {
        puback: 0x87,
        ..Manners::default()
    })])
    .await;
    let mut session = Session::connect(options(&pki, &server), |_| {})
        .await
        .unwrap();
    let error = session
        .publish(message("t", "x", Qos::AtLeastOnce))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "publishing on t was refused: not authorized (0x87)"
    );
    assert_eq!(server.attempts(), 1);
    assert!(session.unacknowledged().is_empty());

    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let (pki, server) = self::server(vec![Act::Serve(Manners {
            disconnect: Some(0x87),
            ..Manners::default()
        })])
        .await;
        let mut session = Session::connect(options(&pki, &server), |_| {})
            .await
            .unwrap();
        let error = session.publish(message("t", "x", qos)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "publishing on t was refused: not authorized (0x87)"
        );
    }
}

#[tokio::test]
async fn a_takeover_is_not_fought() {
    let (pki, server) = server(vec![Act::Serve(Manners {
        disconnect: Some(0x8E),
        ..Manners::default()
    })])
    .await;
    let mut session = Session::connect(options(&pki, &server), |_| {})
        .await
        .unwrap();
    let error = session
        .publish(message("t", "x", Qos::AtLeastOnce))
        .await
        .unwrap_err();
    assert!(matches!(error, MqttError::TakenOver { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Conflict);
}

#[tokio::test]
async fn a_server_that_never_acknowledges_is_given_up_in_time() {
    for version in [Version::V311, Version::V5] {
        let (pki, server) = server(vec![Act::Serve(Manners {
            no_puback: true,
            ..Manners::default()
        })])
        .await;
        let mut options = options(&pki, &server);
        options.version = version;
        options.in_flight = 10;
        options.retry.ack_timeout = Duration::from_millis(300);
        options.retry.delivery_timeout = Duration::from_millis(900);
        let mut session = Session::connect(options, |_| {}).await.unwrap();
        for number in 1..=10 {
            let queued = session
                .queue(message("t", "x", Qos::AtLeastOnce))
                .await
                .unwrap();
            assert_eq!(queued, number);
        }
        let started = Instant::now();
        let error = session
            .queue(message("t", "x", Qos::AtLeastOnce))
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                MqttError::NotAcknowledged {
                    unacknowledged: 10,
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(4));
        assert_eq!(session.unacknowledged(), (1..=10).collect::<Vec<u64>>());
        assert!(server.attempts() >= 2, "stalled connections are made anew");
        let seen = server.seen.lock().unwrap();
        assert_eq!(seen.most_in_flight, 10);
    }
}

/// The wait before connecting again once took the time that the attempts have, and what was told was a time-out
/// of looking up the address.
#[tokio::test]
async fn who_never_acknowledges_is_told_so_although_the_waits_are_longer_than_the_attempts_may_be()
{
    let (pki, server) = server(vec![Act::Serve(Manners {
        no_puback: true,
        ..Manners::default()
    })])
    .await;
    let mut options = options(&pki, &server);
    options.retry.attempts = 50;
    options.retry.first_delay = Duration::from_millis(600);
    options.retry.max_delay = Duration::from_millis(600);
    options.retry.total_timeout = Duration::from_millis(500);
    options.retry.ack_timeout = Duration::from_millis(200);
    options.retry.delivery_timeout = Duration::from_millis(2_000);
    let mut session = Session::connect(options, |_| {}).await.unwrap();
    let started = Instant::now();
    let sent = session.publish(message("t", "x", Qos::AtLeastOnce)).await;
    let error = sent.unwrap_err();
    assert!(
        matches!(error, MqttError::NotAcknowledged { .. }),
        "{error:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(4));
    assert!(server.attempts() >= 2, "it was tried again");
}

#[tokio::test]
async fn messages_arrive_and_subscriptions_come_back_after_a_loss() {
    for version in [Version::V311, Version::V5] {
        let delivers = |payload, hang_up| {
            Act::Serve(Manners {
                deliver: vec![("t/1", payload), ("t/2", payload)],
                hang_up_when_delivered: hang_up,
                ..Manners::default()
            })
        };
        let (pki, server) = server(vec![delivers("first", true), delivers("second", false)]).await;
        let mut options = options(&pki, &server);
        options.version = version;
        let mut session = Session::connect(options, |_| {}).await.unwrap();
        let filters: Vec<String> = (0..9).map(|n| format!("t/{n}")).collect();
        let granted = session.subscribe(&filters, Qos::AtLeastOnce).await.unwrap();
        assert_eq!(granted, vec![Ok(Qos::AtLeastOnce); 9]);
        let deadline = Some(Instant::now() + Duration::from_secs(10));
        let mut payloads = Vec::new();
        while payloads.last().map(String::as_str) != Some("second") {
            let message = session
                .next_message(deadline)
                .await
                .unwrap()
                .expect("a message");
            assert!(message.topic.starts_with("t/") && message.qos == Qos::AtLeastOnce);
            payloads.push(String::from_utf8(message.payload.to_vec()).unwrap());
        }
        assert!(payloads.contains(&"first".to_owned()));
        let soon = Instant::now() + Duration::from_millis(300);
        while session.next_message(Some(soon)).await.unwrap().is_some() {}
        session.disconnect().await.unwrap();
        assert!(server.seen.lock().unwrap().subscribed.len() >= 17);
    }
}

#[tokio::test]
async fn a_denied_subscription_is_an_answer_or_an_end_but_never_a_loop() {
    let filters = ["a/#".to_owned(), "b".to_owned()];
    let (pki, server) = server(vec![Act::Serve(Manners {
        suback: Some(0x87),
        ..Manners::default()
    })])
    .await;
    let mut session = Session::connect(options(&pki, &server), |_| {})
        .await
        .unwrap();
    let answers = session.subscribe(&filters, Qos::AtMostOnce).await.unwrap();
    assert!(
        answers
            .iter()
            .all(|a| a.as_ref().is_err_and(|r| r.code == 0x87))
    );

    let (pki, server) = self::server(vec![Act::Serve(Manners {
        hang_up_on_subscribe: true,
        ..Manners::default()
    })])
    .await;
    let mut options = options(&pki, &server);
    options.version = Version::V311;
    let mut session = Session::connect(options, |_| {}).await.unwrap();
    let error = session
        .subscribe(&filters, Qos::AtMostOnce)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, MqttError::SubscribeRefused { .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("closed 3 times in a row"),
        "{error}"
    );
    assert_eq!(server.attempts(), 3);
}

#[tokio::test]
async fn a_connection_that_never_lasts_is_given_up() {
    let (pki, server) = server(vec![Act::Serve(Manners {
        hang_up_after: Some(Duration::from_millis(10)),
        ..Manners::default()
    })])
    .await;
    let mut session = Session::connect(options(&pki, &server), |_| {})
        .await
        .unwrap();
    let error = session.next_message(None).await.unwrap_err();
    assert!(matches!(error, MqttError::KeepsClosing { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Temporary);
}

#[tokio::test]
async fn a_server_gone_silent_is_noticed_by_keep_alive() {
    for version in [Version::V311, Version::V5] {
        let mute = Act::Serve(Manners {
            mute: true,
            ..Manners::default()
        });
        let (pki, server) = server(vec![mute, serve()]).await;
        let mut options = options(&pki, &server);
        options.version = version;
        options.keep_alive = Duration::from_secs(1);
        let (events, sink) = listener();
        let mut session = Session::connect(options, sink).await.unwrap();
        let deadline = Instant::now() + Duration::from_millis(3_500);
        assert_eq!(session.next_message(Some(deadline)).await.unwrap(), None);
        let lost =
            |event: &Event| event.to_string() == "connection lost: the server stopped answering";
        let events = events.lock().unwrap();
        assert_eq!(events.iter().filter(|e| lost(e)).count(), 1, "{events:?}");
        assert_eq!(server.attempts(), 2);
    }
}

#[tokio::test]
async fn qos_0_lost_with_its_connection_is_said_and_never_sent_twice() {
    let resets = Act::Serve(Manners {
        reset_on_unsubscribe: true,
        ..Manners::default()
    });
    let (pki, server) = server(vec![resets, serve()]).await;
    let mut session = Session::connect(options(&pki, &server), |_| {})
        .await
        .unwrap();
    let error = session
        .publish(message("t", "x", Qos::AtMostOnce))
        .await
        .unwrap_err();
    assert!(
        matches!(error, MqttError::Unconfirmed { messages: 1, .. }),
        "{error:?}"
    );
    session.disconnect().await.unwrap();
    assert_eq!(server.payloads(), ["x"]);
}

#[tokio::test]
async fn a_rate_is_kept_with_bursts() {
    let (pki, server) = server(vec![serve()]).await;
    let mut options = options(&pki, &server);
    assert_eq!(options.rate, None);
    options.rate = Some(100);
    let mut session = Session::connect(options, |_| {}).await.unwrap();
    let started = Instant::now();
    for _ in 0..40 {
        session
            .queue(message("t", "x", Qos::AtLeastOnce))
            .await
            .unwrap();
    }
    session.flush().await.unwrap();
    let took = started.elapsed();
    // Ten at once, thirty at 10 ms each.
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn a_call_given_up_half_way_loses_nothing() {
    let dies = Act::Serve(Manners {
        die_after: Some(2),
        ..Manners::default()
    });
    let (pki, server) = server(vec![dies.clone(), Act::CloseBeforeConnack, dies, serve()]).await;
    let mut session = Session::connect(options(&pki, &server), |_| {})
        .await
        .unwrap();
    for number in 0..20 {
        session
            .queue(message("t", &number.to_string(), Qos::AtLeastOnce))
            .await
            .unwrap();
    }
    // Cancelled over and over, at every point there is.
    while tokio::time::timeout(Duration::from_millis(7), session.flush())
        .await
        .is_err()
    {}
    assert!(session.unacknowledged().is_empty());
    for number in 0..20 {
        assert!(server.payloads().contains(&number.to_string()), "{number}");
    }
}

#[tokio::test]
async fn waiting_for_a_message_ends_at_its_deadline_also_without_a_connection() {
    let (pki, server) = server(vec![serve(), Act::StallInTls]).await;
    let mut session = Session::connect(options(&pki, &server), |_| {})
        .await
        .unwrap();
    let started = Instant::now();
    let soon = Some(started + Duration::from_millis(200));
    assert_eq!(session.next_message(soon).await.unwrap(), None);
    assert!(started.elapsed() < Duration::from_secs(2));
}

/// A self-signed X.509 v1 certificate with an RSA key, as `openssl x509 -req` without extensions makes it;
/// valid from and until so many days from now.
fn v1_certificate(from: i64, until: i64) -> (Vec<u8>, Vec<u8>) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "sensor-17").unwrap();
    let name = name.build();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let day = |days: i64| Asn1Time::from_unix(now + days * 86_400).unwrap();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(0).unwrap();
    builder
        .set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_not_before(&day(from)).unwrap();
    builder.set_not_after(&day(until)).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    (
        builder.build().to_pem().unwrap(),
        key.private_key_to_pem_pkcs8().unwrap(),
    )
}
