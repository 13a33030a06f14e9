//! A device that is killed at every step of its provisioning: it has its claim or its new identity, and goes on.
//!
//! The device is a process of its own, this very test called again, which kills itself after as many steps as it is told.

use std::{
    fs,
    path::Path,
    process::{Command, ExitStatus},
};

use jitp_core::{
    claim::{Keys, Outcome, provisioned},
    mqtt::Trust,
};

use crate::{Device, PROVISIONED, broker::Pki, scene, service::Aws};

/// What the process is told: folder, port, step, `renew` or not, `aws` or `own` keys.
const TOLD: [&str; 5] = [
    "CLAIM_FOLDER",
    "CLAIM_PORT",
    "CLAIM_STEP",
    "CLAIM_RENEW",
    "CLAIM_KEYS",
];

/// The process. Run by hand it does nothing.
#[tokio::test]
#[ignore = "the other half of the tests below"]
async fn device() {
    let told = TOLD.map(|name| std::env::var(name).ok());
    let [
        Some(folder),
        Some(port),
        Some(step),
        Some(renew),
        Some(keys),
    ] = told
    else {
        return;
    };
    let pki = Pki::new(crate::Shape::default());
    let mut device = Device::new(&pki, port.parse().unwrap());
    let root = fs::read(Path::new(&folder).join("../root.pem")).unwrap();
    device.connection.trust = Trust::from_pem(&root, "root.pem").unwrap();
    device.store = jitp_core::store::Store::open(&folder).unwrap();
    device.renew = renew == "true";
    if keys == "aws" {
        device.keys = Keys::Aws;
    }
    let mut left: usize = step.parse().unwrap();
    let mut count = |_: &_| {
        if left == 0 {
            let me = rustix::process::getpid();
            let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
        }
        left -= 1;
    };
    device.provision_telling(&mut count).await.unwrap();
}

/// Lets the process provision until it kills itself after so many steps.
fn provision_until(folder: &Path, port: u16, step: usize, renew: bool, keys: &str) -> ExitStatus {
    let values = [
        folder.display().to_string(),
        port.to_string(),
        step.to_string(),
        renew.to_string(),
        keys.to_owned(),
    ];
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::device", "--ignored", "--nocapture"])
        .envs(TOLD.into_iter().zip(values))
        .output()
        .unwrap()
        .status
}

/// Whoever reads the two files, by whatever program: a pair that belongs together, or no pair.
fn pair_is_whole(folder: &Path) -> bool {
    let read = |name: &str| fs::read(folder.join(name)).ok();
    match (read("iot-123.key"), read("iot-123.crt")) {
        (Some(key), Some(certificate)) => {
            let key = openssl::pkey::PKey::private_key_from_pem(&key).unwrap();
            let certificate = openssl::x509::X509::from_pem(&certificate).unwrap();
            certificate.public_key().unwrap().public_eq(&key)
        }
        _ => true,
    }
}

async fn killed_at_every_step(renew: bool, keys: &'static str, one_use: bool) {
    let mut steps = 0;
    loop {
        let aws = match one_use {
            true => Aws::with_tokens_of_one_use(),
            false => Aws::default(),
        };
        let (pki, server, mut device) = scene(&aws).await;
        let port = server.address.port();
        let folder = device.dir.path().join("device");
        fs::create_dir(&folder).unwrap();
        fs::write(device.dir.path().join("root.pem"), &pki.root_pem).unwrap();
        device.store = jitp_core::store::Store::open(&folder).unwrap();
        if keys == "aws" {
            device.keys = Keys::Aws;
        }
        let before = match renew {
            true => {
                device.provision().await.unwrap();
                device.renew = true;
                device.identity()
            }
            false => None,
        };
        let at = folder.clone();
        let killed =
            tokio::task::spawn_blocking(move || provision_until(&at, port, steps, renew, keys));
        let status = killed.await.unwrap();
        let what = format!("renew {renew}, keys {keys}, killed after step {steps}");
        let after = device.identity();
        if status.success() {
            assert!(steps >= 7, "{what}: only {steps} steps");
            assert!(after.is_some() && after != before, "{what}");
            return;
        }
        // What it had, or the new identity; never neither. The claim is not the device's to lose.
        if renew {
            assert!(after.is_some(), "{what}: neither");
        }
        let key = folder.join("iot-123.provisioning/next.key");
        if let Ok(metadata) = fs::metadata(key) {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{what}");
        }
        let done = device.provision().await;
        let done = done.unwrap_or_else(|stopped| panic!("{what}: {}", stopped.error));
        let id = device.identity().unwrap();
        assert_eq!(id, done.certificate_id, "{what}");
        assert!(pair_is_whole(&folder), "{what}");
        let mut names: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, PROVISIONED, "{what}");
        let registered = aws.registered();
        let mine = registered.iter().filter(|one| **one == id).count();
        assert_eq!(mine, 1, "{what}");
        // A registration is not made twice, so that no hook finds the device claimed already. A renewal that was done
        // before it was killed is one, and running it again another.
        let swapped = renew && after != before;
        let expected = 1 + usize::from(renew) + usize::from(swapped && registered.len() > 2);
        assert_eq!(registered.len(), expected, "{what}: {registered:?}");
        steps += 1;
    }
}

/// What a device does at every start: a run that renews nothing, and has neither claim nor network.
async fn started_offline_after_being_killed_at_every_step(renew: bool) {
    let mut steps = 0;
    let mut finished = 0;
    loop {
        let aws = Aws::default();
        let (pki, server, mut device) = scene(&aws).await;
        let port = server.address.port();
        let folder = device.dir.path().join("device");
        fs::create_dir(&folder).unwrap();
        fs::write(device.dir.path().join("root.pem"), &pki.root_pem).unwrap();
        device.store = jitp_core::store::Store::open(&folder).unwrap();
        if renew {
            device.provision().await.unwrap();
        }
        let at = folder.clone();
        let killed =
            tokio::task::spawn_blocking(move || provision_until(&at, port, steps, renew, "own"));
        let status = killed.await.unwrap();
        if status.success() {
            assert!(
                finished >= 4,
                "{finished} of {steps} steps were finished offline"
            );
            return;
        }
        let what = format!("renew {renew}, killed after step {steps}");
        let connections = server.attempts();
        let now = time::OffsetDateTime::now_utc();
        let (store, name) = (&device.store, &device.name);
        let present = provisioned(store, name, &device.template, &device.parameters, now);
        let present = present.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(server.attempts(), connections, "{what}: no network");
        if renew {
            assert!(present.is_some(), "{what}: it has its identity");
        }
        if let Some(present) = present {
            assert_eq!(device.identity(), Some(present.certificate_id), "{what}");
            assert!(present.device_configuration.is_some(), "{what}");
            assert!(pair_is_whole(&folder), "{what}");
            finished += usize::from(present.outcome != Outcome::Unchanged);
        } else {
            assert_eq!(device.identity(), None, "{what}");
        }
        // Whatever it was, it goes on.
        device.renew = renew;
        device.provision().await.unwrap();
        assert!(pair_is_whole(&folder), "{what}");
        let left = fs::read_dir(&folder).unwrap().count();
        assert_eq!(left, PROVISIONED.len(), "{what}");
        steps += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_network_finishes_what_only_lacks_its_files() {
    started_offline_after_being_killed_at_every_step(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_network_has_an_identity_whatever_became_of_its_renewal() {
    started_offline_after_being_killed_at_every_step(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_exchanged_although_the_device_is_killed_at_any_step() {
    killed_at_every_step(false, "own", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn also_when_a_token_is_good_for_one_registration() {
    killed_at_every_step(false, "own", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn also_with_a_key_made_by_aws() {
    killed_at_every_step(false, "aws", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_renewed_although_the_device_is_killed_at_any_step() {
    killed_at_every_step(true, "own", false).await;
}
