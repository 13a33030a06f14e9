//! Device certificates: made here, registered, described, changed, transferred, deleted.

use std::sync::Arc;

use imbl::OrdSet;
use serde_json::{Map, Value, json};

use super::Handler;
use super::fields::{certificate_status, put};
use super::paging::Page;
use crate::account::issuing::{DeviceKeys, Issued};
use crate::account::transfers::{self, Ending};
use crate::account::{
    Account, ApiError, Certificate, CertificateStatus, State, Timestamp, Transfer, certificates,
};
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateKeysAndCertificate", create_keys_and_certificate),
    ("CreateCertificateFromCsr", create_from_csr),
    ("RegisterCertificate", register),
    ("RegisterCertificateWithoutCA", register_without_ca),
    ("DescribeCertificate", describe),
    ("ListCertificates", list),
    ("ListCertificatesByCA", list_by_ca),
    ("UpdateCertificate", update),
    ("DeleteCertificate", delete),
    ("TransferCertificate", transfer),
    ("AcceptCertificateTransfer", accept_transfer),
    ("RejectCertificateTransfer", reject_transfer),
    ("CancelCertificateTransfer", cancel_transfer),
    ("ListOutgoingCertificates", list_outgoing),
];

fn create_keys_and_certificate(account: &Account, input: &Input) -> Result<Value, ApiError> {
    // Keys take long to make: before the write, not during it.
    let keys = DeviceKeys::generate()?;
    let now = account.clock().timestamp().whole_seconds();
    let issued = account.issuing_ca()?.issue_for_keys(&keys, now)?;
    let mut answer = take(account, input, issued)?;
    answer.insert(
        "keyPair".to_owned(),
        json!({ "PublicKey": keys.public_pem()?, "PrivateKey": keys.private_pem()? }),
    );
    Ok(Value::Object(answer))
}

fn create_from_csr(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let now = account.clock().timestamp().whole_seconds();
    let request = input.required("certificateSigningRequest");
    let issued = account.issuing_ca()?.issue_for_csr(request, now)?;
    take(account, input, issued).map(Value::Object)
}

fn take(account: &Account, input: &Input, issued: Issued) -> Result<Map<String, Value>, ApiError> {
    let status = certificate_status(input)?;
    let Issued { pem, x509 } = issued;
    let certificate = account.write(|tx| certificates::take_issued(tx, x509, &pem, status))?;
    let mut answer = named(&certificate);
    answer.insert("certificatePem".to_owned(), json!(pem));
    Ok(answer)
}

fn register(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let status = certificate_status(input)?;
    let pem = input.required("certificatePem");
    let ca_pem = input.text("caCertificatePem");
    let certificate = account.write(|tx| certificates::register(tx, pem, ca_pem, status))?;
    Ok(Value::Object(named(&certificate)))
}

fn register_without_ca(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let status = certificate_status(input)?;
    let pem = input.required("certificatePem");
    let certificate = account.write(|tx| certificates::register_without_ca(tx, pem, status))?;
    Ok(Value::Object(named(&certificate)))
}

fn named(certificate: &Certificate) -> Map<String, Value> {
    Map::from_iter([
        ("certificateArn".to_owned(), json!(certificate.arn)),
        ("certificateId".to_owned(), json!(certificate.id)),
    ])
}

fn describe(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let certificate = certificates::find(&state, input.required("certificateId"))?;
    let mut description = named(&certificate);
    put(
        &mut description,
        "caCertificateId",
        certificate.ca_certificate_id.clone(),
    );
    for (name, value) in [
        ("status", json!(certificate.status.as_str())),
        ("certificatePem", json!(certificate.pem)),
        ("ownedBy", json!(state.scope.account_id)),
        ("creationDate", json!(certificate.creation_date.seconds())),
        (
            "lastModifiedDate",
            json!(certificate.last_modified_date.seconds()),
        ),
        ("customerVersion", json!(certificate.customer_version)),
        ("generationId", json!(certificate.generation_id)),
        (
            "validity",
            json!({ "notBefore": certificate.x509.not_before, "notAfter": certificate.x509.not_after }),
        ),
        ("certificateMode", json!(certificate.mode.as_str())),
    ] {
        description.insert(name.to_owned(), value);
    }
    let transfer = certificate.transfer.as_ref().map(transfer_data);
    put(&mut description, "transferData", transfer);
    Ok(json!({ "certificateDescription": description }))
}

fn transfer_data(transfer: &Transfer) -> Value {
    let mut data = Map::new();
    let seconds = |date: Option<Timestamp>| date.map(Timestamp::seconds);
    put(&mut data, "transferMessage", transfer.message.clone());
    put(&mut data, "rejectReason", transfer.reject_reason.clone());
    put(
        &mut data,
        "transferDate",
        seconds(Some(transfer.transfer_date)),
    );
    put(&mut data, "acceptDate", seconds(transfer.accept_date));
    put(&mut data, "rejectDate", seconds(transfer.reject_date));
    Value::Object(data)
}

fn list(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    list_of(&state, input, state.certificates_by_age())
}

fn list_by_ca(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    match state.certificates_of_ca(input.required("caCertificateId")) {
        Some(certificates) => list_of(&state, input, certificates),
        None => list_of(&state, input, &OrdSet::new()),
    }
}

fn list_of(
    state: &State,
    input: &Input,
    ages: &OrdSet<(Timestamp, Arc<str>)>,
) -> Result<Value, ApiError> {
    let page = Page::marked(input)?;
    Ok(page.of_ages("certificates", ages, false, |id| {
        state.certificates.get(id).map(summary)
    }))
}

fn summary(certificate: &Arc<Certificate>) -> Value {
    json!({
        "certificateArn": certificate.arn,
        "certificateId": certificate.id,
        "status": certificate.status.as_str(),
        "certificateMode": certificate.mode.as_str(),
        "creationDate": certificate.creation_date.seconds(),
    })
}

fn update(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let word = input.required("newStatus");
    let status = CertificateStatus::parse(word)
        .ok_or_else(|| ApiError::invalid_request(format!("Unknown status {word}")))?;
    account.write(|tx| certificates::update(tx, input.required("certificateId"), status))?;
    Ok(Value::Null)
}

fn delete(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let force = input.flag("forceDelete");
    account.write(|tx| certificates::delete(tx, input.required("certificateId"), force))?;
    Ok(Value::Null)
}

fn transfer(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (id, target) = (
        input.required("certificateId"),
        input.required("targetAwsAccount"),
    );
    let message = input.text("transferMessage");
    let arn = account.write(|tx| transfers::offer(tx, id, target, message))?;
    Ok(json!({ "transferredCertificateArn": arn }))
}

fn accept_transfer(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let set_as_active = input.flag("setAsActive");
    end_transfer(account, input, Ending::Accept { set_as_active })
}

fn reject_transfer(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let reason = input.text("rejectReason").map(str::to_owned);
    end_transfer(account, input, Ending::Reject { reason })
}

fn cancel_transfer(account: &Account, input: &Input) -> Result<Value, ApiError> {
    end_transfer(account, input, Ending::Cancel)
}

fn end_transfer(account: &Account, input: &Input, ending: Ending) -> Result<Value, ApiError> {
    account.write(|tx| transfers::end(tx, input.required("certificateId"), ending))?;
    Ok(Value::Null)
}

fn list_outgoing(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let state = account.snapshot();
    let outgoing = |id: &str| {
        let certificate = state.certificates.get(id)?;
        let transfer = certificate.transfer.as_ref()?;
        if certificate.status != CertificateStatus::PendingTransfer {
            return None;
        }
        let mut item = named(certificate);
        put(
            &mut item,
            "transferredTo",
            Some(transfer.target_account.clone()),
        );
        put(
            &mut item,
            "transferDate",
            Some(transfer.transfer_date.seconds()),
        );
        put(&mut item, "transferMessage", transfer.message.clone());
        let created = certificate.creation_date.seconds();
        put(&mut item, "creationDate", Some(created));
        Some(Value::Object(item))
    };
    let page = Page::marked(input)?;
    let ages = state.certificates_by_age();
    Ok(page.of_ages("outgoingCertificates", ages, false, outgoing))
}
