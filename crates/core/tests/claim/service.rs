//! The provisioning API of AWS IoT as a function, with the tricks it can play.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use jitp_core::{
    ca::{KeyType, PrivateKey},
    certificate::Certificate,
};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType, IsCa, KeyPair,
};
use serde_json::{Value, json};

use crate::broker::Service;

/// What the service does with one request, instead of serving it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Trick {
    /// Answers on the topic that ends in `/rejected`.
    Reject(i64, &'static str),
    /// Does what was asked, and says nothing.
    Silent,
    /// Does what was asked, and breaks the connection.
    HangUp,
    /// Does nothing, and says nothing.
    Deaf,
    /// Answers this, as it is.
    Garble(&'static str),
}

#[derive(Default)]
struct State {
    /// Certificate id by ownership token.
    tokens: BTreeMap<String, String>,
    /// Certificate ids in the order of their registration.
    registered: Vec<String>,
    /// Tricks for the operations to come: `create` or `provision`.
    tricks: Vec<(&'static str, Trick)>,
    issued: usize,
}

/// The service; clones are the same one.
#[derive(Clone)]
pub(crate) struct Aws {
    state: Arc<Mutex<State>>,
    ca: Arc<CertifiedIssuer<'static, KeyPair>>,
    /// Whether a token may be shown again by whoever showed it.
    tokens_last: bool,
}

impl Default for Aws {
    fn default() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Amazon");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self {
            state: Arc::default(),
            ca: Arc::new(ca),
            tokens_last: true,
        }
    }
}

impl Aws {
    /// One whose tokens are used up by the first registration.
    pub(crate) fn with_tokens_of_one_use() -> Self {
        Self {
            tokens_last: false,
            ..Self::default()
        }
    }

    /// The next request of this operation is treated so.
    pub(crate) fn trick(&self, operation: &'static str, trick: Trick) {
        self.state.lock().unwrap().tricks.push((operation, trick));
    }

    /// Ids of the certificates that are registered.
    pub(crate) fn registered(&self) -> Vec<String> {
        self.state.lock().unwrap().registered.clone()
    }

    /// How many certificates were issued.
    pub(crate) fn issued(&self) -> usize {
        self.state.lock().unwrap().issued
    }

    /// Forgets every token, as an hour does, and every trick.
    pub(crate) fn an_hour_later(&self) {
        let mut state = self.state.lock().unwrap();
        state.tokens.clear();
        state.tricks.clear();
    }

    pub(crate) fn service(&self) -> Service {
        let aws = self.clone();
        Service(Arc::new(move |topic: &str, payload: &[u8]| {
            aws.answer(topic, payload)
        }))
    }

    fn answer(&self, topic: &str, payload: &[u8]) -> Vec<(String, Vec<u8>)> {
        let (operation, format) = match topic.rsplit_once('/') {
            Some(("$aws/certificates/create" | "$aws/certificates/create-from-csr", format)) => {
                ("create", format)
            }
            Some(("$aws/provisioning-templates/fleet/provision", format)) => ("provision", format),
            _ => return Vec::new(),
        };
        let write = |value: &Value| match format {
            "json" => serde_json::to_vec(value).unwrap(),
            _ => {
                let mut bytes = Vec::new();
                ciborium::into_writer(value, &mut bytes).unwrap();
                bytes
            }
        };
        let ask: Value = match (payload.is_empty(), format) {
            (true, _) => Value::Null,
            (false, "json") => serde_json::from_slice(payload).unwrap(),
            (false, _) => ciborium::from_reader(payload).unwrap(),
        };
        let trick = {
            let mut state = self.state.lock().unwrap();
            let found = state.tricks.iter().position(|(of, _)| *of == operation);
            found.map(|index| state.tricks.remove(index).1)
        };
        let rejected = |status: i64, code: &str| {
            let body = json!({"statusCode": status, "errorCode": code, "errorMessage": "no"});
            vec![(format!("{topic}/rejected"), write(&body))]
        };
        match &trick {
            Some(Trick::Reject(status, code)) => return rejected(*status, code),
            Some(Trick::Deaf) => return Vec::new(),
            Some(Trick::Garble(text)) => {
                return vec![(format!("{topic}/accepted"), text.as_bytes().to_vec())];
            }
            _ => {}
        }
        let accepted = match operation {
            "create" => Some(self.create(&ask)),
            _ => self.register(&ask),
        };
        match (accepted, trick) {
            (_, Some(Trick::Silent)) => Vec::new(),
            (_, Some(Trick::HangUp)) => vec![(String::new(), Vec::new())],
            (Some(body), _) => vec![(format!("{topic}/accepted"), write(&body))],
            (None, _) => rejected(400, "InvalidCertificateOwnershipToken"),
        }
    }

    fn create(&self, ask: &Value) -> Value {
        let mut answer = json!({});
        let certificate = match ask["certificateSigningRequest"].as_str() {
            Some(csr) => {
                let csr = CertificateSigningRequestParams::from_pem(csr).unwrap();
                csr.signed_by(&self.ca).unwrap()
            }
            None => {
                let key = PrivateKey::generate(KeyType::Rsa2048).unwrap();
                answer["privateKey"] = json!(*key.to_pem());
                let pair = KeyPair::from_pem(&key.to_pem()).unwrap();
                CertificateParams::default()
                    .signed_by(&pair, &self.ca)
                    .unwrap()
            }
        };
        let id = Certificate::from_der(certificate.der())
            .unwrap()
            .id()
            .to_string();
        let mut state = self.state.lock().unwrap();
        state.issued += 1;
        let token = format!("token-{}", state.issued);
        state.tokens.insert(token.clone(), id.clone());
        answer["certificateOwnershipToken"] = json!(token);
        answer["certificateId"] = json!(id);
        answer["certificatePem"] = json!(certificate.pem());
        answer
    }

    fn register(&self, ask: &Value) -> Option<Value> {
        let mut state = self.state.lock().unwrap();
        let token = ask["certificateOwnershipToken"].as_str().unwrap();
        let id = match self.tokens_last {
            true => state.tokens.get(token).cloned()?,
            false => state.tokens.remove(token)?,
        };
        if !state.registered.contains(&id) {
            state.registered.push(id);
        }
        let thing = format!("iot-{}", ask["parameters"]["License"].as_str().unwrap());
        Some(json!({
            "thingName": thing,
            "deviceConfiguration": {"Topic": format!("{thing}/t"), "Interval": 60},
        }))
    }
}
