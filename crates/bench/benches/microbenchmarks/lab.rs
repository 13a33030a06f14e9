//! A local core in this process, with a CA whose devices it knows or provisions.

use std::collections::BTreeMap;

use jitp_core::ca::{CertificateAuthority, KeyType, Subject, Validity};
use jitp_core::template::Template;
use jitp_local::account::ca::{RegisterCa, register};
use jitp_local::account::{
    CertificateMode, CertificateStatus, RegistrationConfig, certificates, policies,
};
use jitp_local::server::{Local, Options};
use time::OffsetDateTime;
use tokio::runtime::Runtime;

use jitp_bench::{Device, Dialler};

const TEMPLATE: &str = include_str!("../../../../etc/templates/device.json");

/// The core, its runtime, and the CA of its devices.
pub(crate) struct Lab {
    pub(crate) runtime: Runtime,
    pub(crate) local: Local,
    ca: CertificateAuthority,
    issued: std::cell::Cell<usize>,
}

impl Lab {
    pub(crate) fn start() -> Self {
        let now = OffsetDateTime::now_utc();
        let runtime = Runtime::new().expect("a runtime");
        let local = runtime
            .block_on(Local::start(Options::default()))
            .expect("a local core");
        let subject = Subject::positional::<&str>(&[]).expect("the defaults are a subject");
        let ca =
            CertificateAuthority::create_root(&subject, KeyType::P256, Validity::Days(3650), now)
                .expect("a root");
        let template = Template::parse(TEMPLATE).expect("a template");
        let registration = RegisterCa {
            certificate_pem: ca.certificate_pem().to_owned(),
            mode: CertificateMode::SniOnly,
            set_as_active: true,
            allow_auto_registration: true,
            registration_config: Some(RegistrationConfig {
                template_body: Some(template.to_body()),
                role_arn: Some("arn:aws:iam::123456789012:role/IoTProvisioning".to_owned()),
                template_name: None,
            }),
            tags: BTreeMap::new(),
            ..RegisterCa::default()
        };
        local
            .account()
            .write(|tx| register(tx, registration))
            .expect("the CA is registered");
        Self {
            runtime,
            local,
            ca,
            issued: std::cell::Cell::new(0),
        }
    }

    /// A device the core has never heard of, and how it dials.
    pub(crate) fn stranger(&self) -> (Device, Dialler) {
        let number = self.issued.replace(self.issued.get() + 1);
        let device = Device::issue(&self.ca, &format!("bench-{number}")).expect("a device");
        let dialler = device
            .dialler(self.local.root_pem(), self.local.mqtt_address())
            .expect("a TLS configuration");
        (device, dialler)
    }

    /// A device with an ACTIVE certificate and the policy IoTAccess.
    pub(crate) fn acquaintance(&self) -> Dialler {
        let (device, dialler) = self.stranger();
        self.local
            .account()
            .write(|tx| {
                let pem = device.certificate_pem();
                let active = CertificateStatus::Active;
                let registered = certificates::register_without_ca(tx, &pem, active)?;
                policies::attach(tx, "IoTAccess", &registered.arn)
            })
            .expect("the device is registered");
        dialler
    }
}
