//! Provisioning by claim against a service that refuses, forgets, hangs and loses answers, and against being killed.

#[path = "../broker/mod.rs"]
#[allow(dead_code, reason = "the MQTT client's tests use the rest of it")]
mod broker;
mod killed;
mod refused;
mod service;

use std::collections::BTreeMap;
use std::time::Duration;

use broker::{Act, Manners, Pki, Server, Shape, Tls};
use jitp_core::ca::KeyType;
use jitp_core::claim::{
    Format, Keys, Listener, Patience, Progress, Provisioned, Provisioning, ProvisioningStopped,
    provision,
};
use jitp_core::mqtt::{Clock, Identity, Options, Retry, Trust, Version};
use jitp_core::names::{TemplateName, ThingName};
use jitp_core::store::Store;
use service::Aws;
use tempfile::TempDir;

/// A device's folder, and what it connects with.
pub(crate) struct Device {
    dir: TempDir,
    store: Store,
    name: ThingName,
    template: TemplateName,
    parameters: BTreeMap<String, String>,
    connection: Options,
    listener: Listener,
    format: Format,
    keys: Keys,
    prove: bool,
    renew: bool,
    patience: Patience,
}

impl Device {
    fn new(pki: &Pki, port: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = format!("localhost:{port}").parse().unwrap();
        let claim =
            Identity::from_pem(pki.device_pem.as_bytes(), pki.device_key.as_bytes()).unwrap();
        let trust = Trust::from_pem(pki.root_pem.as_bytes(), "root.pem").unwrap();
        let mut connection = Options::new(endpoint, "claim-1", claim, trust);
        connection.retry = Retry {
            attempts: 2,
            unreachable_attempts: 1,
            alert_attempts: 1,
            first_delay: Duration::from_millis(20),
            min_gap: Duration::from_millis(20),
            attempt_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(10),
            refusals: 2,
            ..Retry::default()
        };
        Self {
            store: Store::open(dir.path()).unwrap(),
            dir,
            name: "iot-123".parse().unwrap(),
            template: "fleet".parse().unwrap(),
            parameters: BTreeMap::from([("License".to_owned(), "123".to_owned())]),
            connection,
            listener: Listener::new(|_| ()),
            format: Format::Json,
            keys: Keys::Own(KeyType::P256),
            prove: true,
            renew: false,
            patience: Patience {
                answer: Duration::from_millis(300),
                request: Duration::from_secs(2),
                first_pause: Duration::from_millis(20),
            },
        }
    }

    async fn provision(&self) -> Result<Provisioned, Box<ProvisioningStopped>> {
        self.provision_telling(&mut |_| ()).await
    }

    async fn provision_telling(
        &self,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Provisioned, Box<ProvisioningStopped>> {
        let provisioning = Provisioning {
            store: &self.store,
            device: &self.name,
            template: &self.template,
            parameters: &self.parameters,
            connection: &self.connection,
            keys: self.keys,
            format: self.format,
            prove: self.prove,
            renew: self.renew,
            patience: self.patience,
            listener: &self.listener,
        };
        provision(&provisioning, progress).await
    }

    /// Every file below the folder, with what it holds.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.dir.path()).unwrap();
                let name = name.display().to_string();
                if path.is_dir() {
                    files.insert(name + "/", Vec::new());
                    folders.push(path);
                } else {
                    files.insert(name, std::fs::read(path).unwrap());
                }
            }
        }
        files
    }

    fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    /// The id of the device's certificate, if it has an identity.
    fn identity(&self) -> Option<String> {
        let device = self.store.load_device(&self.name).ok()?;
        Some(device.certificate().id().to_string())
    }
}

/// A service that answers, and a device that has nothing but its claim.
async fn scene(aws: &Aws) -> (Pki, Server, Device) {
    scene_of(vec![Act::Serve(Manners {
        service: Some(aws.service()),
        ..Manners::default()
    })])
    .await
}

async fn scene_of(acts: Vec<Act>) -> (Pki, Server, Device) {
    let pki = Pki::new(Shape::default());
    let server = Server::start(&pki, Tls::default(), acts).await;
    let device = Device::new(&pki, server.address.port());
    (pki, server, device)
}

const PROVISIONED: [&str; 3] = ["iot-123.crt", "iot-123.fleet.json", "iot-123.key"];

#[tokio::test]
async fn a_claim_becomes_an_identity_in_every_form() {
    for version in [Version::V5, Version::V311] {
        for format in [Format::Json, Format::Cbor] {
            for keys in [
                Keys::Own(KeyType::P256),
                Keys::Own(KeyType::Rsa2048),
                Keys::Aws,
            ] {
                let aws = Aws::default();
                let (_pki, server, mut device) = scene(&aws).await;
                device.connection.version = version;
                (device.format, device.keys) = (format, keys);
                let done = device.provision().await.unwrap();
                let what = format!("{version} {format} {keys:?}");
                assert_eq!(done.thing_name.as_str(), "iot-123", "{what}");
                let told = done.device_configuration.unwrap();
                assert_eq!(told["Topic"], "iot-123/t", "{what}");
                assert_eq!(device.names(), PROVISIONED, "{what}");
                assert_eq!(device.identity(), Some(done.certificate_id.clone()));
                assert_eq!(aws.registered(), [done.certificate_id], "{what}");
                let seen = server.seen.lock().unwrap();
                // The claim's connection, and the new certificate's.
                assert_eq!(seen.connects.len(), 2, "{what}");
                assert_eq!(seen.connects[1].1, "iot-123", "{what}");
                assert_eq!(seen.subscribed.len(), 4, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn twice_is_once_and_something_else_is_a_conflict() {
    let aws = Aws::default();
    let (_pki, server, mut device) = scene(&aws).await;
    let first = device.provision().await.unwrap();
    let before = device.files();
    let again = device.provision().await.unwrap();
    assert_eq!(again.outcome.as_str(), "unchanged");
    assert_eq!(again.certificate_id, first.certificate_id);
    assert_eq!(again.device_configuration, first.device_configuration);
    assert_eq!(device.files(), before);
    assert_eq!(server.attempts(), 2, "nothing was asked again");
    device.parameters.insert("License".into(), "124".into());
    let refused = device.provision().await.unwrap_err();
    assert!(refused.error.to_string().contains("set of parameters"));
    assert_eq!(device.files(), before);
    device.parameters.insert("License".into(), "123".into());
    let late = time::OffsetDateTime::now_utc() + time::Duration::days(1_000_000);
    device.connection.clock = Clock::new(move || late);
    let refused = device.provision().await.unwrap_err();
    assert!(refused.error.to_string().contains("not valid today"));
    assert_eq!(device.files(), before);
}

#[tokio::test]
async fn the_files_are_named_as_the_template_named_the_thing() {
    let aws = Aws::default();
    let (_pki, _server, mut device) = scene(&aws).await;
    device.name = "box-9".parse().unwrap();
    let done = device.provision().await.unwrap();
    assert_eq!(done.thing_name.as_str(), "iot-123");
    let files = ["box-9.fleet.json", "iot-123.crt", "iot-123.key"];
    assert_eq!(device.names(), files);
    let again = device.provision().await.unwrap();
    assert_eq!(again.outcome.as_str(), "unchanged");
    device.renew = true;
    let renewed = device.provision().await.unwrap();
    assert_eq!(renewed.outcome.as_str(), "renewed");
    assert_eq!(device.names(), files);
}

#[tokio::test]
async fn a_renewal_takes_the_place_of_what_was_and_of_no_other_thing() {
    let aws = Aws::default();
    let (_pki, server, mut device) = scene(&aws).await;
    let first = device.provision().await.unwrap();
    device.renew = true;
    let renewed = device.provision().await.unwrap();
    assert_eq!(renewed.outcome.as_str(), "renewed");
    assert_ne!(renewed.certificate_id, first.certificate_id);
    assert_eq!(device.identity(), Some(renewed.certificate_id));
    assert_eq!(device.names(), PROVISIONED);
    let before = device.files();
    device.parameters.insert("License".into(), "999".into());
    let refused = device.provision().await.unwrap_err();
    assert!(refused.error.to_string().contains("the thing iot-999"));
    assert_eq!(device.files(), before);
    drop(server);
}
