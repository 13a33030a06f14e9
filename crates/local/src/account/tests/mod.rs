//! The rules of the account, told as behaviour.

mod authorities;
mod changes;
mod devices;
mod functions;
mod registry;

use time::macros::datetime;

use super::ca::RegisterCa;
use super::pki::{Identity, Wish, named, p256};
use super::things::{CreateThing, UpdateThing};
use super::*;

const POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;

fn account_with(storage: Storage) -> (Account, ClockHand) {
    let (clock, hand) = Clock::manual(datetime!(2026-01-01 0:00 UTC));
    let settings = AccountSettings {
        account_id: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        endpoint: "localhost:8883".to_owned(),
        clock,
        storage,
    };
    (Account::open(settings).unwrap(), hand)
}

fn account() -> Account {
    account_with(Storage::memory()).0
}

fn ask(ca: &Identity, account: &Account) -> RegisterCa {
    let code = account.write(ca::registration_code).unwrap();
    RegisterCa {
        certificate_pem: ca.pem(),
        verification_pem: Some(ca.issue(&named(&code)).pem()),
        set_as_active: true,
        ..RegisterCa::default()
    }
}

fn refused(account: &Account, ask: RegisterCa) -> ApiError {
    account.write(|tx| ca::register(tx, ask)).unwrap_err()
}

fn registered(account: &Account, ca: &Identity) -> String {
    let ask = ask(ca, account);
    account
        .write(|tx| ca::register(tx, ask))
        .unwrap()
        .id
        .clone()
}

fn certificate(account: &Account, status: CertificateStatus) -> (String, String) {
    let pem = Identity::self_signed(&named("device"), p256()).pem();
    let certificate = account
        .write(|tx| certificates::register_without_ca(tx, &pem, status))
        .unwrap();
    (certificate.id.clone(), certificate.arn.clone())
}

fn thing(account: &Account, name: &str) {
    let ask = CreateThing {
        name: name.to_owned(),
        ..CreateThing::default()
    };
    account.write(|tx| things::create(tx, ask)).unwrap();
}
