//! Fleet provisioning as a device sees it, without a network: requests in, answers out.

mod credentials;
mod expiry;
mod hooks;
mod registration;

use std::collections::BTreeMap;
use std::sync::Arc;

use ::time::macros::datetime;
use serde_json::{Map, Value, json};

use super::FleetProvisioning;
use super::payload::Format;
use crate::account::pki::{Identity, named};
use crate::account::templates::CreateTemplate;
use crate::account::{
    Account, AccountSettings, Certificate, CertificateStatus, Clock, ClockHand, TemplateType,
    policies, templates,
};
use crate::broker::{Answer, Handler as _, Request};
use crate::diary::Diary;
use crate::functions::{FunctionSettings, Functions, GivenFunction};
use crate::storage::Storage;

const TEMPLATE: &str = "Fleet";
const POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;

/// An account with a template, and a clock that stands still.
struct Lab {
    account: Account,
    diary: Diary,
    hand: ClockHand,
    service: FleetProvisioning,
}

/// The body of an answer, and whether it was accepted.
#[derive(Debug)]
struct Told {
    accepted: bool,
    body: Map<String, Value>,
}

impl Told {
    fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap()
    }

    /// The code of a rejection.
    fn code(&self) -> &str {
        assert!(!self.accepted, "accepted: {:?}", self.body);
        assert!(!self.text("errorMessage").is_empty());
        self.text("errorCode")
    }
}

impl Lab {
    fn start() -> Self {
        Self::with(Storage::memory(), Vec::new(), false)
    }

    fn with(storage: Storage, given: Vec<GivenFunction>, enforce_quotas: bool) -> Self {
        let (clock, hand) = Clock::manual(datetime!(2026-05-01 12:00 UTC));
        let account = Account::open(AccountSettings {
            account_id: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: "localhost".to_owned(),
            clock,
            storage,
        })
        .unwrap();
        let diary = Diary::new(1000);
        let functions = Functions::new(FunctionSettings {
            account: account.clone(),
            diary: diary.clone(),
            given,
            environment: Vec::new(),
        });
        let service =
            FleetProvisioning::new(account.clone(), diary.clone(), functions, enforce_quotas);
        let lab = Self {
            account,
            diary,
            hand,
            service,
        };
        if lab.account.snapshot().policies.is_empty() {
            let policy = |tx: &mut _| policies::create(tx, "Device", POLICY, BTreeMap::new());
            lab.account.write(policy).unwrap();
            lab.template(TEMPLATE, &body(), |_| {});
        }
        lab
    }

    fn template(&self, name: &str, body: &Value, change: impl FnOnce(&mut CreateTemplate)) {
        let mut ask = CreateTemplate {
            name: name.to_owned(),
            kind: TemplateType::FleetProvisioning,
            body: body.to_string(),
            enabled: true,
            role_arn: "arn:aws:iam::123456789012:role/Provisioning".to_owned(),
            ..CreateTemplate::default()
        };
        change(&mut ask);
        self.account.write(|tx| templates::create(tx, ask)).unwrap();
    }

    /// Asks as bytes; the one answer.
    async fn ask_bytes(&self, topic: &str, payload: &[u8]) -> Answer {
        assert!(self.service.takes(topic), "{topic}");
        let request = Request {
            client_id: "claimer".to_owned(),
            certificate_id: Arc::from("claim"),
            topic: topic.into(),
            payload: payload.to_vec().into(),
        };
        let mut answers = self.service.handle(request).await;
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    async fn ask_in(&self, format: Format, path: &str, body: &Value) -> Told {
        let ending = match format {
            Format::Json => "json",
            Format::Cbor => "cbor",
        };
        let topic = format!("$aws/{path}/{ending}");
        let payload = format.write(body.as_object().unwrap());
        let answer = self.ask_bytes(&topic, &payload).await;
        let accepted = answer.topic == format!("{topic}/accepted");
        assert!(accepted || answer.topic == format!("{topic}/rejected"));
        let body = match format {
            Format::Json => serde_json::from_slice(&answer.payload).unwrap(),
            Format::Cbor => ciborium::from_reader(&*answer.payload).unwrap(),
        };
        Told { accepted, body }
    }

    async fn ask(&self, path: &str, body: &Value) -> Told {
        self.ask_in(Format::Json, path, body).await
    }

    /// A certificate that waits for its activation: its id and its token.
    async fn certificate(&self) -> (String, String) {
        let request = Identity::self_signed(&named("x"), crate::account::pki::p256()).csr();
        let told = self
            .ask(
                "certificates/create-from-csr",
                &json!({ "certificateSigningRequest": request }),
            )
            .await;
        assert!(told.accepted, "{told:?}");
        let text = |name| told.text(name).to_owned();
        (text("certificateId"), text("certificateOwnershipToken"))
    }

    async fn register_by(&self, template: &str, token: &str, parameters: Value) -> Told {
        self.ask(
            &format!("provisioning-templates/{template}/provision"),
            &json!({ "certificateOwnershipToken": token, "parameters": parameters }),
        )
        .await
    }

    async fn register(&self, token: &str, serial: &str) -> Told {
        self.register_by(TEMPLATE, token, json!({ "Serial": serial }))
            .await
    }

    fn stored(&self, id: &str) -> Option<Arc<Certificate>> {
        self.account.snapshot().certificates.get(id).cloned()
    }

    fn status(&self, id: &str) -> Option<CertificateStatus> {
        self.stored(id).map(|certificate| certificate.status)
    }

    /// Whether the last refusal in the diary has this code and names this cause.
    fn says(&self, code: &str, cause: &str) -> bool {
        let entries = self.diary.recent();
        let last = entries.iter().rev().find(|entry| entry.refused);
        last.is_some_and(|entry| {
            let asks = entry.client_id.as_deref() == Some("claimer");
            asks && entry.code == code && entry.sentence.contains(cause)
        })
    }
}

/// The smallest template that makes a whole device.
fn body() -> Value {
    json!({
        "Parameters": { "Serial": { "Type": "String" } },
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": { "ThingName": { "Fn::Join": ["-", ["pump", { "Ref": "Serial" }]] } },
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {
                    "CertificateId": { "Ref": "AWS::IoT::Certificate::Id" },
                    "Status": "Active",
                },
            },
            "policy": { "Type": "AWS::IoT::Policy", "Properties": { "PolicyName": "Device" } },
        },
        "DeviceConfiguration": { "Url": "https://example.com", "Serial": { "Ref": "Serial" } },
    })
}
