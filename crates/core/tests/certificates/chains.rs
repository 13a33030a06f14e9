//! Intermediates: chains that hold, and path lengths that are kept.

use jitp_core::ca::{CaError, CertificateAuthority, KeyType, Profile, Subject, Validity};

use crate::{NOW, judges::judge, root, thing};

fn below(
    ca: &CertificateAuthority,
    name: &str,
    path_length: u8,
) -> Result<CertificateAuthority, CaError> {
    let subject = Subject::new(name).unwrap();
    ca.create_intermediate(
        &subject,
        KeyType::P256,
        Validity::UntilCaEnds,
        path_length,
        NOW,
    )
}

#[test]
fn a_device_below_two_intermediates_is_accepted() {
    let root = root(KeyType::P384);
    let plant = below(&root, "plant", 1).unwrap();
    let line = below(&plant, "line 4", 0).unwrap();
    let device = line.issue(&thing("a"), &Profile::device(), NOW).unwrap();
    let chain = [line.certificate().der(), plant.certificate().der()];
    judge(
        device.certificate().der(),
        &chain,
        root.certificate().der(),
        NOW,
    )
    .unwrap();
    assert!(
        device
            .certificate()
            .chain_pem()
            .ends_with(line.certificate_pem())
    );
}

#[test]
fn a_path_length_leaves_room_only_for_shorter_ones() {
    let root = root(KeyType::P256);
    let two = below(&root, "two", 2).unwrap();
    assert!(below(&two, "one", 1).is_ok());
    assert!(matches!(
        below(&two, "also two", 2),
        Err(CaError::PathLength {
            allowed: 2,
            asked: 2,
            ..
        })
    ));
    let zero = below(&two, "zero", 0).unwrap();
    assert!(matches!(
        below(&zero, "none", 0),
        Err(CaError::PathLength { .. })
    ));
    assert!(zero.issue(&thing("a"), &Profile::device(), NOW).is_ok());
}

#[test]
fn what_a_ca_signs_has_a_name_of_its_own_and_does_not_outlive_it() {
    let root = root(KeyType::P256);
    let twin = root.create_intermediate(
        &Subject::default(),
        KeyType::P256,
        Validity::UntilCaEnds,
        0,
        NOW,
    );
    assert!(matches!(twin, Err(CaError::SameSubject { .. })));
    let ca = CertificateAuthority::create_root(
        &Subject::new("alone").unwrap(),
        KeyType::P256,
        Validity::ROOT,
        NOW,
    )
    .unwrap();
    let twin = ca.issue(&thing("alone"), &Profile::device(), NOW);
    assert!(matches!(twin, Err(CaError::SameSubject { .. })));

    let subject = Subject::new("long").unwrap();
    let long = root.create_intermediate(&subject, KeyType::P256, Validity::Days(3651), 0, NOW);
    assert!(matches!(long, Err(CaError::OutlivesCa { .. })));
}
