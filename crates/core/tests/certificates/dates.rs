//! Validity: encoded as RFC 5280 wants on both sides of 2050, and never outside the CA's life.

use jitp_core::{
    ca::{CaError, CertificateAuthority, KeyType, Profile, Subject, Validity},
    certificate::Certificate,
    failure::Classified,
};
use time::{Duration, OffsetDateTime, macros::datetime};

use crate::{NOW, judges::judge, thing};

fn root_until(end: OffsetDateTime) -> CertificateAuthority {
    let validity = Validity::Until(end);
    CertificateAuthority::create_root(&Subject::default(), KeyType::P256, validity, NOW).unwrap()
}

fn holds(der: &[u8], tag: u8, text: &str) -> bool {
    let mut encoded = vec![tag, text.len() as u8];
    encoded.extend_from_slice(text.as_bytes());
    der.windows(encoded.len()).any(|window| window == encoded)
}

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

#[test]
fn the_last_second_of_2049_is_utc_time_and_the_next_is_generalized_time() {
    let ca = root_until(datetime!(2060-01-01 00:00 UTC));
    let issue = |end| {
        let profile = Profile::device().with_validity(Validity::Until(end));
        ca.issue(&thing("a"), &profile, NOW).unwrap()
    };
    let before = issue(datetime!(2049-12-31 23:59:59 UTC));
    let after = issue(datetime!(2050-01-01 00:00:00 UTC));
    assert!(holds(before.certificate().der(), UTC_TIME, "491231235959Z"));
    assert!(holds(
        after.certificate().der(),
        GENERALIZED_TIME,
        "20500101000000Z"
    ));
    for device in [before, after] {
        for at in [NOW, datetime!(2049-12-31 23:59:58 UTC)] {
            judge(device.certificate().der(), &[], ca.certificate().der(), at).unwrap();
        }
        let late = datetime!(2050-01-02 00:00 UTC);
        assert!(
            judge(
                device.certificate().der(),
                &[],
                ca.certificate().der(),
                late
            )
            .is_err()
        );
    }
}

#[test]
fn a_device_made_in_2050_starts_with_generalized_time() {
    let now = datetime!(2050-01-01 00:01:00 UTC);
    let ca = root_until(datetime!(2060-01-01 00:00 UTC));
    let device = ca.issue(&thing("a"), &Profile::device(), now).unwrap();
    assert!(holds(
        device.certificate().der(),
        GENERALIZED_TIME,
        "20500101000000Z"
    ));
    judge(device.certificate().der(), &[], ca.certificate().der(), now).unwrap();
}

#[test]
fn a_root_may_last_to_the_end_of_9999_and_not_beyond() {
    let end = datetime!(9999-12-31 23:59:59 UTC);
    let ca = root_until(end);
    assert!(holds(
        ca.certificate().der(),
        GENERALIZED_TIME,
        "99991231235959Z"
    ));
    let profile = Profile::device().with_validity(Validity::UntilCaEnds);
    let device = ca.issue(&thing("a"), &profile, NOW).unwrap();
    assert_eq!(device.certificate().not_after(), end);
    judge(device.certificate().der(), &[], ca.certificate().der(), NOW).unwrap();
}

#[test]
fn a_device_starts_a_minute_ago_but_never_before_its_ca() {
    let ca = root_until(NOW + Duration::days(10));
    let issue = |now| {
        let profile = Profile::device().with_validity(Validity::Days(1));
        let device = ca.issue(&thing("a"), &profile, now).unwrap();
        Certificate::from_der(device.certificate().der())
            .unwrap()
            .not_before()
    };
    let start = ca.certificate().not_before();
    assert_eq!(start, NOW - Duration::MINUTE);
    assert_eq!(issue(NOW + Duration::HOUR), NOW + Duration::minutes(59));
    assert_eq!(issue(NOW), start);
    assert_eq!(issue(start), start);
}

#[test]
fn a_device_that_would_outlive_its_ca_is_refused_with_the_way_out() {
    let ca = root_until(NOW + Duration::days(100));
    let issue = |validity| {
        let profile = Profile::device().with_validity(validity);
        ca.issue(&thing("a"), &profile, NOW)
    };
    let refusal = issue(Validity::Days(101)).unwrap_err();
    assert!(matches!(refusal, CaError::OutlivesCa { .. }));
    assert!(
        refusal.to_string().contains("2027-03-01T12:00:00Z"),
        "{refusal}"
    );
    let hint = refusal.hint().unwrap();
    assert!(
        hint.contains("at most 100 days") && hint.contains("`ca`"),
        "{hint}"
    );
    assert!(issue(Validity::Days(100)).is_ok());
    assert_eq!(
        issue(Validity::UntilCaEnds)
            .unwrap()
            .certificate()
            .not_after(),
        ca.certificate().not_after()
    );
    let end = ca.certificate().not_after();
    assert!(issue(Validity::Until(end)).is_ok());
    assert!(issue(Validity::Until(end + Duration::SECOND)).is_err());
}

#[test]
fn a_ca_that_is_expired_or_not_yet_valid_signs_nothing_and_says_since_when() {
    let ca = root_until(NOW + Duration::days(100));
    let profile = Profile::device().with_validity(Validity::UntilCaEnds);
    let refusal = ca
        .issue(&thing("a"), &profile, NOW + Duration::days(101))
        .unwrap_err();
    assert!(matches!(refusal, CaError::Expired { .. }));
    let message = refusal.to_string();
    assert!(
        message.contains("expired at 2027-03-01T12:00:00Z"),
        "{message}"
    );
    assert!(message.contains("it is 2027-03-02T12:00:00Z"), "{message}");

    let refusal = ca
        .issue(&thing("a"), &profile, NOW - Duration::HOUR)
        .unwrap_err();
    assert!(matches!(refusal, CaError::NotYetValid { .. }));
    assert!(refusal.hint().unwrap().contains("clock"));
}
