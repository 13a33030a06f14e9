//! Requests made from the model for every operation: what breaks a rule is refused as the model says, and
//! nothing whatever makes the core fail.

use super::super::operations;
use super::samples::{Ready, Sample};
use super::{Core, Got};
use crate::model::{self, Operation, Service};

/// Every operation offered, with its service.
fn offered(core: &Core) -> Vec<(Service, &'static Operation)> {
    let offered = operations(core.settings());
    let modelled = offered.iter().map(|offered| {
        let mut services = Service::ALL.into_iter();
        let service = services.find(|service| service.name() == offered.service);
        let service = service.unwrap();
        (
            service,
            model::table(service).operation(offered.name).unwrap(),
        )
    });
    modelled.collect()
}

async fn send(core: &Core, ready: &Ready) -> Got {
    let headers: Vec<(&str, &str)> = ready
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    core.raw(&ready.method, &ready.target, &headers, ready.body.clone())
        .await
}

#[tokio::test]
async fn a_request_that_breaks_one_rule_of_the_model_is_an_invalid_request() {
    let core = Core::with_data_plane();
    let mut sent = 0;
    for (service, operation) in offered(&core) {
        let known = [
            "InvalidRequestException",
            "ValidationException",
            "InvalidParameterValueException",
        ];
        let mut declared = known.into_iter().filter(|code| operation.declares(code));
        let expected = match service {
            Service::Iam | Service::Sts => "ValidationError",
            Service::Sqs | Service::CloudWatch => "InvalidParameterValueException",
            _ => declared.next().unwrap_or("InvalidRequestException"),
        };
        for sample in Sample::breaking(service, operation) {
            let ready = sample.ready(service, operation);
            let got = send(&core, &ready).await;
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
    for (service, operation) in offered(&core) {
        let mut samples = Sample::hostile(service, operation);
        for whole in [false, true] {
            let sample = Sample::fitting(service, operation, whole);
            let got = send(&core, &sample.ready(service, operation)).await;
            let message = got.body["message"].as_str().unwrap_or_default();
            assert!(
                !message.contains("validation error detected"),
                "{}: no sample of the model: {message}",
                operation.name
            );
            samples.push(sample);
        }
        for sample in samples {
            let ready = sample.ready(service, operation);
            // `raw` has the model judge the answer: success in the modelled form, or a declared exception.
            let got = send(&core, &ready).await;
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
    let bodies: [&[u8]; 9] = [
        b"{",
        b"[]",
        b"\"text\"",
        b"\xff\xfe\x00",
        b"{\"a\":1}trailing",
        b"\x00",
        b"&Action&=%&%ff=%00&Action=GetRole",
        deep.as_bytes(),
        nested.as_bytes(),
    ];
    for (service, operation) in offered(&core) {
        let fitting = Sample::fitting(service, operation, true).ready(service, operation);
        let has_members = !fitting.body.is_empty();
        let takes_json = has_members && !["Publish", "Invoke"].contains(&operation.name.as_str());
        for body in bodies {
            let got = send(
                &core,
                &Ready {
                    body: body.to_vec(),
                    ..fitting.clone()
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
                ..fitting.clone()
            };
            let got = send(&core, &ready).await;
            assert!(got.status < 500, "{}: {got:?}", operation.name);
        }
    }
}

#[tokio::test]
async fn every_operation_of_the_model_that_is_missing_says_so_by_name() {
    let core = Core::new();
    let offered = offered(&core);
    for service in Service::ALL {
        for operation in model::table(service).operations() {
            let mut known = offered.iter();
            // AWS Lambda has one that differs from another by its query alone.
            let has_query = operation.path.contains('?');
            if has_query || known.any(|(of, known)| *of == service && known.name == operation.name)
            {
                continue;
            }
            let mut ready = Sample::default().ready(service, operation);
            ready.target = operation.path.replace(['{', '}', '+'], "");
            let got = send(&core, &ready).await;
            let told = (got.status, got.error.as_str());
            assert_eq!(told, (501, "NotImplementedException"), "{}", operation.name);
            let message = got.body["message"].as_str().unwrap_or_default();
            assert!(message.contains(&operation.name), "{message}");
        }
    }
}

#[tokio::test]
async fn a_form_is_for_the_service_that_has_the_operation_unless_it_is_signed() {
    let core = Core::new();
    let form = ("content-type", "application/x-www-form-urlencoded");
    let ask = async |body: &str, headers: &[(&str, &str)]| {
        let headers = [&[form], headers].concat();
        let got = core.raw("POST", "/", &headers, body.into()).await;
        (got.status, got.error)
    };
    let ok = (200, String::new());
    assert_eq!(ask("Version=x&Action=GetCallerIdentity", &[]).await, ok);
    assert_eq!(ask("Action=ListRoles", &[]).await, ok);
    let unknown = (400, "InvalidAction".to_owned());
    assert_eq!(ask("Action=BrewCoffee", &[]).await, unknown);
    assert_eq!(ask("", &[]).await, unknown);
    let sts = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/sts/aws4_request, Signature=0";
    let signed = [("authorization", sts)];
    assert_eq!(ask("Action=ListRoles", &signed).await, unknown);
}
