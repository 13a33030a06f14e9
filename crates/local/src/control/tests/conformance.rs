//! Requests made from the model for every operation: what breaks a rule is refused as the model says, and
//! nothing whatever makes the core fail.

use super::super::operations;
use super::samples::{Ready, Sample};
use super::{Core, Got};
use crate::model::{self, Operation, Service, Table};

/// Every operation offered, with its table.
fn offered(core: &Core) -> Vec<(&'static Table, &'static Operation)> {
    let tables =
        [Service::Iot, Service::IotData].map(|service| (service.name(), model::table(service)));
    let offered = operations(core.settings());
    let modelled = offered.iter().filter_map(|offered| {
        let (_, table) = tables.iter().find(|(name, _)| *name == offered.service)?;
        Some((*table, table.operation(offered.name)?))
    });
    modelled.collect()
}

async fn send(core: &Core, operation: &Operation, ready: &Ready) -> Got {
    let headers: Vec<(&str, &str)> = ready
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    core.raw(
        &operation.method,
        &ready.target,
        &headers,
        ready.body.clone(),
    )
    .await
}

#[tokio::test]
async fn a_request_that_breaks_one_rule_of_the_model_is_an_invalid_request() {
    let core = Core::with_data_plane();
    let mut sent = 0;
    for (table, operation) in offered(&core) {
        let expected = match operation.declares("InvalidRequestException") {
            false if operation.declares("ValidationException") => "ValidationException",
            _ => "InvalidRequestException",
        };
        for sample in Sample::breaking(table, operation) {
            let ready = sample.ready(operation);
            let got = send(&core, operation, &ready).await;
            assert_eq!(
                (got.status, got.error.as_str()),
                (400, expected),
                "{}: {}: {ready:?}: {got:?}",
                operation.name,
                sample.title
            );
            let message = got.body["message"].as_str().unwrap_or_default();
            let member = sample.title.split(' ').next().unwrap_or_default();
            assert!(
                message.contains(&format!("'{member}")),
                "{}: {}: {message}",
                operation.name,
                sample.title
            );
            sent += 1;
        }
    }
    assert!(sent > 2000, "{sent} requests are few");
}

#[tokio::test]
async fn no_fitting_request_and_no_hostile_text_makes_the_core_fail() {
    let core = Core::with_data_plane();
    for (table, operation) in offered(&core) {
        let mut samples = Sample::hostile(table, operation);
        for whole in [false, true] {
            let sample = Sample::fitting(table, operation, whole);
            let got = send(&core, operation, &sample.ready(operation)).await;
            let message = got.body["message"].as_str().unwrap_or_default();
            assert!(
                !message.contains("validation error detected"),
                "{}: no sample of the model: {message}",
                operation.name
            );
            samples.push(sample);
        }
        for sample in samples {
            let ready = sample.ready(operation);
            // `raw` has the model judge the answer: success in the modelled form, or a declared exception.
            let got = send(&core, operation, &ready).await;
            assert!(
                got.status < 500,
                "{}: {}: {ready:?}: {got:?}",
                operation.name,
                sample.title
            );
        }
    }
}

#[tokio::test]
async fn bodies_and_queries_that_are_damaged_are_refused_in_json() {
    let core = Core::with_data_plane();
    let deep = "[".repeat(100_000);
    let nested = format!("{}1{}", "{\"a\":".repeat(5000), "}".repeat(5000));
    let bodies: [&[u8]; 8] = [
        b"{",
        b"[]",
        b"\"text\"",
        b"\xff\xfe\x00",
        b"{\"a\":1}trailing",
        b"\x00",
        deep.as_bytes(),
        nested.as_bytes(),
    ];
    for (table, operation) in offered(&core) {
        let fitting = Sample::fitting(table, operation, true).ready(operation);
        let takes_json = !fitting.body.is_empty() && operation.name != "Publish";
        for body in bodies {
            let got = send(
                &core,
                operation,
                &Ready {
                    target: fitting.target.clone(),
                    headers: fitting.headers.clone(),
                    body: body.to_vec(),
                },
            )
            .await;
            assert!(got.status < 500, "{}: {got:?}", operation.name);
            assert!(
                !takes_json || got.status >= 400,
                "{}: {got:?}",
                operation.name
            );
        }
        for query in ["%ff=%ff", "a=%", "&&&=&", "=", "a%00b=%00"] {
            let separator = if fitting.target.contains('?') {
                '&'
            } else {
                '?'
            };
            let ready = Ready {
                target: format!("{}{separator}{query}", fitting.target),
                headers: fitting.headers.clone(),
                body: fitting.body.clone(),
            };
            let got = send(&core, operation, &ready).await;
            assert!(got.status < 500, "{}: {got:?}", operation.name);
        }
    }
}

#[tokio::test]
async fn every_operation_of_the_model_that_is_missing_says_so_by_name() {
    let core = Core::new();
    for service in [Service::Iot, Service::IotData] {
        let table = model::table(service);
        for operation in table.operations() {
            let offered = operations(core.settings());
            if offered.iter().any(|known| known.name == operation.name) {
                continue;
            }
            let path = operation.path.replace(['{', '}', '+'], "");
            let got = core.raw(&operation.method, &path, &[], Vec::new()).await;
            let told = (got.status, got.error.as_str());
            assert_eq!(told, (501, "NotImplementedException"), "{}", operation.name);
            let message = got.body["message"].as_str().unwrap_or_default();
            assert!(message.contains(&operation.name), "{message}");
        }
    }
}
