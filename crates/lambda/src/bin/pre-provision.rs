//! The pre-provisioning hook: AWS IoT asks it before a device is provisioned by claim. It says no unless its allow list
//! says yes, and logs each decision with its reason as one line of JSON.
//!
//! ALLOW_LIST names the list in the package (default: allow-list.json). With ALLOW_TABLE the list is that DynamoDB
//! table; ALLOW_KEY is the parameter that devices are known by (default: License), FREE_PARAMETERS names those that they
//! may tell besides (commas between), CLAIM_LIMIT is how many devices a claim certificate may bring in.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use jitp_lambda::{AllowList, Decision, Reason, Request, decide};
#[cfg(feature = "table")]
use jitp_lambda::{Table, TableSettings};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let list = &List::open().await;
    run(service_fn(async |event: LambdaEvent<Value>| {
        Ok::<_, Error>(answer(list, event).await)
    }))
    .await
}

async fn answer(list: &List, event: LambdaEvent<Value>) -> Value {
    let request: Result<Request, _> = serde_json::from_value(event.payload);
    let (decision, asked) = match &request {
        Ok(request) => (list.decide(request).await, Some(request)),
        Err(error) => (Decision::deny(Reason::Malformed(error.to_string())), None),
    };
    log(&decision, asked, list, &event.context.request_id);
    json!(decision.answer)
}

/// Where it is written who may come in.
enum List {
    Package(AllowList),
    #[cfg(feature = "table")]
    Table(Table, String),
    /// Nowhere, or illegibly: then nobody may.
    None(String),
}

impl List {
    async fn open() -> Self {
        match variable("ALLOW_TABLE") {
            Some(table) => Self::in_table(table).await,
            None => Self::in_package(),
        }
    }

    fn in_package() -> Self {
        let name = variable("ALLOW_LIST").unwrap_or_else(|| "allow-list.json".to_owned());
        // Where Lambda has unpacked the package (Lambda developer guide, "Using environment variables").
        let folder = variable("LAMBDA_TASK_ROOT")
            .map(PathBuf::from)
            .unwrap_or_default();
        let path = folder.join(name);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => return Self::None(format!("{}: {error}", path.display())),
        };
        match AllowList::parse(&text) {
            Ok(list) => Self::Package(list),
            Err(error) => Self::None(format!("{}: {error}", path.display())),
        }
    }

    #[cfg(feature = "table")]
    async fn in_table(table: String) -> Self {
        let limit = match variable("CLAIM_LIMIT").map(|text| text.parse()).transpose() {
            Ok(limit) => limit,
            Err(_) => return Self::None("CLAIM_LIMIT is no number".to_owned()),
        };
        let free = variable("FREE_PARAMETERS").unwrap_or_default();
        let free = free
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let key = variable("ALLOW_KEY").unwrap_or_else(|| "License".to_owned());
        let settings = TableSettings {
            table,
            key: key.clone(),
            free: free.map(str::to_owned).collect(),
            limit,
        };
        Self::Table(Table::connect(settings).await, key)
    }

    #[cfg(not(feature = "table"))]
    async fn in_table(table: String) -> Self {
        Self::None(format!(
            "this function was built without tables, and cannot read {table}"
        ))
    }

    async fn decide(&self, request: &Request) -> Decision {
        match self {
            Self::Package(list) => decide(list, request),
            #[cfg(feature = "table")]
            Self::Table(table, _) => table.decide(request, time::OffsetDateTime::now_utc()).await,
            Self::None(why) => Decision::deny(Reason::NoList(why.clone())),
        }
    }

    /// Whether devices are known by a parameter; the others may be secrets and are not logged.
    fn identifies(&self, parameter: &str) -> bool {
        match self {
            Self::Package(list) => list.key_parameters().contains(parameter),
            #[cfg(feature = "table")]
            Self::Table(_, key) => key == parameter,
            Self::None(_) => false,
        }
    }
}

/// A variable that says something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn log(decision: &Decision, request: Option<&Request>, list: &List, request_id: &str) {
    let allowed = decision.answer.allow_provisioning;
    let mut line = json!({
        "level": if allowed { "INFO" } else { "WARN" },
        "message": decision.reason.to_string(),
        "decision": if allowed { "allow" } else { "deny" },
        "reason": decision.reason.code(),
        "requestId": request_id,
    });
    if let Some(request) = request {
        let told: BTreeMap<&str, String> = request
            .parameters
            .iter()
            .filter(|(name, _)| list.identifies(name))
            .map(|(name, value)| (name.as_str(), value.chars().take(128).collect()))
            .collect();
        line["device"] = json!(told);
        line["clientId"] = json!(request.client_id);
        line["templateArn"] = json!(request.template_arn);
        line["certificateId"] = json!(request.certificate_id);
        line["claimCertificateId"] = json!(request.claim_certificate_id);
    }
    // A log that cannot be written is no reason to answer otherwise.
    let _ = writeln!(io::stderr(), "{line}");
}
