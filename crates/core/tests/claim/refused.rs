//! What is refused, hangs or makes no sense: the device is left as it was, or another run goes on.

use std::time::Instant;

use jitp_core::{
    claim::{ClaimError, Progress},
    failure::{Class, Classified},
};

use crate::{
    Device, PROVISIONED,
    broker::{Act, Manners, Server, Tls},
    scene, scene_of,
    service::{Aws, Trick},
};

/// Provisions, and asserts that it fails like that and leaves nothing.
async fn leaves_nothing(device: &Device, class: Class) -> ClaimError {
    let before = device.files();
    let stopped = device.provision().await.unwrap_err();
    assert_eq!(stopped.error.class(), class, "{}", stopped.error);
    assert!(stopped.kept.is_none(), "{:?}", stopped.kept);
    assert_eq!(device.files(), before, "{}", stopped.error);
    stopped.error
}

#[tokio::test]
async fn a_refusal_leaves_the_disk_as_it_was_and_says_code_and_message() {
    for (operation, status, code, class) in [
        (
            "create",
            400,
            "InvalidCertificateSigningRequest",
            Class::Refused,
        ),
        ("provision", 403, "ACCESS_DENIED", Class::NotAccepted),
        ("provision", 400, "InvalidParameters", Class::Refused),
    ] {
        let aws = Aws::default();
        aws.trick(operation, Trick::Reject(status, code));
        let (_pki, _server, device) = scene(&aws).await;
        let error = leaves_nothing(&device, class).await;
        assert!(error.to_string().contains(code), "{error}");
        assert_eq!(error.code(), code);
        assert!(error.hint().is_some());
        device.provision().await.unwrap();
    }
}

#[tokio::test]
async fn the_renewal_of_an_identity_leaves_that_when_it_is_refused() {
    let aws = Aws::default();
    let (_pki, _server, mut device) = scene(&aws).await;
    device.provision().await.unwrap();
    device.renew = true;
    aws.trick("provision", Trick::Reject(403, "ACCESS_DENIED"));
    leaves_nothing(&device, Class::NotAccepted).await;
    assert!(device.identity().is_some());
}

#[tokio::test]
async fn throttling_is_waited_out_and_then_given_up() {
    let aws = Aws::default();
    for _ in 0..3 {
        aws.trick("create", Trick::Reject(429, "TooManyRequests"));
        aws.trick("provision", Trick::Reject(400, "ThrottlingException"));
    }
    let (_pki, _server, device) = scene(&aws).await;
    let mut pauses = 0;
    let provisioned = device
        .provision_telling(&mut |step| pauses += usize::from(matches!(step, Progress::Paused(..))))
        .await;
    provisioned.unwrap();
    assert_eq!(pauses, 6);

    for _ in 0..1_000 {
        aws.trick("create", Trick::Reject(429, "TooManyRequests"));
    }
    let (_pki, _server, device) = scene(&aws).await;
    let started = Instant::now();
    leaves_nothing(&device, Class::Temporary).await;
    assert!(started.elapsed().as_secs() < 4, "{:?}", started.elapsed());
}

#[tokio::test]
async fn no_answer_is_asked_for_again_and_waits_have_an_end() {
    // With tokens of one use the second request is rejected, although the first one was acted upon.
    for aws in [Aws::default(), Aws::with_tokens_of_one_use()] {
        aws.trick("create", Trick::Deaf);
        aws.trick("provision", Trick::Silent);
        let (_pki, _server, device) = scene(&aws).await;
        let done = device.provision().await.unwrap();
        assert_eq!(aws.registered(), [done.certificate_id]);
        assert_eq!(aws.issued(), 1);
    }

    let deaf = Act::Serve(Manners::default());
    let (_pki, _server, device) = scene_of(vec![deaf]).await;
    let started = Instant::now();
    let error = leaves_nothing(&device, Class::Temporary).await;
    assert!(matches!(error, ClaimError::NoAnswer { .. }), "{error}");
    assert!(started.elapsed().as_secs() < 4, "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_answer_that_is_lost_with_its_connection_does_not_lose_the_device() {
    for (aws, told_again) in [
        (Aws::default(), true),
        (Aws::with_tokens_of_one_use(), false),
    ] {
        aws.trick("create", Trick::HangUp);
        aws.trick("provision", Trick::HangUp);
        let (_pki, _server, mut device) = scene(&aws).await;
        let done = device.provision().await.unwrap();
        assert_eq!(aws.registered(), [done.certificate_id]);
        assert_eq!(device.names(), PROVISIONED);
        // What the answer told is not made up, and can be had by a renewal.
        assert_eq!(done.device_configuration.is_some(), told_again);
        let again = device.provision().await.unwrap();
        assert_eq!(again.device_configuration, done.device_configuration);
        device.renew = true;
        let renewed = device.provision().await.unwrap();
        assert_eq!(renewed.device_configuration.unwrap()["Topic"], "iot-123/t");
    }
}

#[tokio::test]
async fn whoever_may_have_been_registered_goes_on_with_the_same_certificate() {
    for aws in [Aws::default(), Aws::with_tokens_of_one_use()] {
        let (_pki, _server, device) = scene(&aws).await;
        aws.trick("provision", Trick::Silent);
        for _ in 0..20 {
            aws.trick("provision", Trick::Deaf);
        }
        let stopped = device.provision().await.unwrap_err();
        assert_eq!(stopped.error.class(), Class::Temporary);
        assert!(stopped.kept.is_some());
        assert_eq!(device.identity(), None, "not its identity yet");
        while aws.registered().len() < 2 && device.identity().is_none() {
            // The deaf time ends by itself.
            let _ = device.provision().await;
        }
        let id = device.identity().unwrap();
        assert_eq!(aws.registered(), [id], "registered once");
        assert_eq!(aws.issued(), 1, "one certificate");
        assert_eq!(device.names(), PROVISIONED);
    }
}

#[tokio::test]
async fn a_token_that_is_too_old_is_replaced_with_its_certificate() {
    let aws = Aws::default();
    let service = || {
        Act::Serve(Manners {
            service: Some(aws.service()),
            ..Manners::default()
        })
    };
    let (pki, _server, mut device) = scene_of(vec![service()]).await;
    for _ in 0..20 {
        aws.trick("provision", Trick::Deaf);
    }
    let stopped = device.provision().await.unwrap_err();
    assert!(stopped.kept.is_some());
    aws.an_hour_later();
    // The claim connects, the certificate that was never registered does not, and then everything does.
    let acts = vec![
        service(),
        Act::CloseBeforeConnack,
        Act::CloseBeforeConnack,
        service(),
    ];
    let server = Server::start(&pki, Tls::default(), acts).await;
    let endpoint = format!("localhost:{}", server.address.port());
    device.connection.endpoint = endpoint.parse().unwrap();
    let done = device.provision().await.unwrap();
    assert_eq!(aws.issued(), 2);
    assert_eq!(aws.registered(), [done.certificate_id]);
    assert_eq!(device.names(), PROVISIONED);
}

#[tokio::test]
async fn a_certificate_that_does_not_connect_changes_nothing_and_is_proved_by_the_next_run() {
    let aws = Aws::default();
    let service = || {
        Act::Serve(Manners {
            service: Some(aws.service()),
            ..Manners::default()
        })
    };
    let acts = vec![
        service(),
        Act::CloseBeforeConnack,
        Act::CloseBeforeConnack,
        service(),
    ];
    let (_pki, server, device) = scene_of(acts).await;
    let stopped = device.provision().await.unwrap_err();
    assert_eq!(stopped.error.class(), Class::NotAccepted);
    assert!(stopped.error.hint().unwrap().contains("client/iot-123"));
    assert!(stopped.kept.is_some());
    assert_eq!(device.identity(), None);
    let done = device.provision().await.unwrap();
    assert_eq!(aws.registered(), [done.certificate_id]);
    assert_eq!(server.attempts(), 4, "only the proof was made again");
    assert_eq!(device.names(), PROVISIONED);
}

#[tokio::test]
async fn answers_that_make_no_sense_are_errors() {
    for (operation, text) in [
        ("create", "{"),
        ("create", "{}"),
        (
            "create",
            r#"{"certificatePem": "x", "certificateOwnershipToken": "t"}"#,
        ),
    ] {
        let aws = Aws::default();
        aws.trick(operation, Trick::Garble(text));
        let (_pki, _server, device) = scene(&aws).await;
        leaves_nothing(&device, Class::Unexpected).await;
    }
    for text in ["null", r#"{"thingName": "../x"}"#] {
        let aws = Aws::default();
        aws.trick("provision", Trick::Garble(text));
        let (_pki, _server, device) = scene(&aws).await;
        let stopped = device.provision().await.unwrap_err();
        assert!(stopped.kept.is_some(), "it may be registered");
        device.provision().await.unwrap();
    }
}

#[tokio::test]
async fn what_the_policy_denies_is_said_and_leaves_nothing() {
    let acts = [
        Manners {
            suback: Some(0x87),
            ..Manners::default()
        },
        Manners {
            puback: 0x87,
            ..Manners::default()
        },
    ];
    for manners in acts {
        let (_pki, _server, device) = scene_of(vec![Act::Serve(manners)]).await;
        leaves_nothing(&device, Class::Refused).await;
    }
    let (_pki, _server, device) = scene_of(vec![Act::CloseBeforeConnack]).await;
    let error = leaves_nothing(&device, Class::NotAccepted).await;
    assert!(error.hint().unwrap().contains("claim-"), "{error}");
}

#[tokio::test]
async fn an_identity_from_elsewhere_is_not_overwritten() {
    let aws = Aws::default();
    let (_pki, server, device) = scene(&aws).await;
    let other = jitp_core::ca::SelfSigned::create(
        &device.name,
        &jitp_core::ca::Profile::device(),
        time::OffsetDateTime::now_utc(),
    )
    .unwrap();
    let files = device.store.device_files(&device.name);
    std::fs::write(&files.key, other.private_key().to_pem().as_bytes()).unwrap();
    std::fs::write(&files.certificate, other.certificate().to_pem()).unwrap();
    leaves_nothing(&device, Class::Conflict).await;
    assert_eq!(server.attempts(), 0);
}
