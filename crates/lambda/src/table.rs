//! The allow list that is a DynamoDB table: a device is there or not, and its place is claimed once.
//!
//! Partition key `device`: the value of the parameter that devices are known by. `overrides` is a map of texts.
//! `certificateId`, `claimCertificateId` and `claimedAt` are written here. With a limit, how many devices a claim
//! certificate has brought in is counted in the item `claim/CERTIFICATE`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::{Decision, Reason, Record, Request, Standing, judge_record};

/// Which table, and what is read from it.
#[derive(Clone, Debug)]
pub struct TableSettings {
    /// Its name.
    pub table: String,
    /// The parameter that devices are known by.
    pub key: String,
    /// Parameters that a device may tell besides.
    pub free: BTreeSet<String>,
    /// Devices that a claim certificate may bring in.
    pub limit: Option<u32>,
}

/// An allow list in a table.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    settings: TableSettings,
}

impl Table {
    /// A table, reached as the function's environment says.
    pub async fn connect(settings: TableSettings) -> Self {
        // AWS IoT waits five seconds for the hook, and a late yes is a no.
        let patience = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(Duration::from_millis(1500))
            .operation_timeout(Duration::from_secs(2));
        let config: SdkConfig = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(patience.build())
            .retry_config(RetryConfig::standard().with_max_attempts(2))
            .load()
            .await;
        Self {
            client: Client::new(&config),
            settings,
        }
    }

    /// Decides, and claims the device's place if the answer is yes.
    pub async fn decide(&self, request: &Request, now: OffsetDateTime) -> Decision {
        let settings = &self.settings;
        let device = request.parameters.get(&settings.key);
        let record = match device.filter(|device| !device.is_empty()) {
            Some(device) => self.record(device).await,
            None => Ok(None),
        };
        let record = match record {
            Ok(record) => record,
            Err(why) => return Decision::deny(Reason::NoList(why)),
        };
        let standing = judge_record(record.as_ref(), request, &settings.key, &settings.free);
        let (reason, overrides, counts) = match standing {
            Standing::Settled(decision) => return decision,
            Standing::ToClaim(overrides) => (Reason::Listed, overrides, settings.limit),
            Standing::ToRenew(overrides) => (Reason::Renewal, overrides, None),
        };
        match self.write(request, &reason, counts, now).await {
            Ok(()) => Decision::allow(reason, overrides),
            Err(refusal) => Decision::deny(refusal),
        }
    }

    async fn record(&self, device: &str) -> Result<Option<Record>, String> {
        // A key that begins like a counter's would be read as a device.
        if device.starts_with(COUNTER) {
            return Ok(None);
        }
        let call = self.client.get_item().table_name(&self.settings.table);
        let call = call.key(KEY, text(device)).consistent_read(true);
        let found = call.send().await.map_err(explain)?;
        Ok(found.item.map(|item| read(&item)))
    }

    /// Claims the place, unless somebody did in between; and counts, unless the claim certificate is used up. Both or
    /// neither.
    async fn write(
        &self,
        request: &Request,
        reason: &Reason,
        limit: Option<u32>,
        now: OffsetDateTime,
    ) -> Result<(), Reason> {
        let device = request.parameters.get(&self.settings.key);
        let device = device.map(String::as_str).unwrap_or_default();
        let mut items = vec![self.claim(device, request, reason, now)];
        items.extend(limit.map(|limit| self.count(request, limit)));
        let update = |update: Update| TransactWriteItem::builder().update(update).build();
        let items: Vec<_> = items.into_iter().map(update).collect();
        let began = Instant::now();
        loop {
            let call = self.client.transact_write_items();
            let error = match call.set_transact_items(Some(items.clone())).send().await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let cancelled = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled,
                _ => return Err(Reason::NoList(explain(error))),
            };
            let reasons = cancelled.cancellation_reasons();
            let failed = |index: usize| reasons.get(index).and_then(|reason| reason.code());
            if failed(0) == Some(CONDITION) {
                return Err(Reason::ClaimedMeanwhile);
            }
            if let Some(limit) = limit.filter(|_| failed(1) == Some(CONDITION)) {
                return Err(Reason::ClaimUsedUp(limit));
            }
            let conflict = reasons.iter().any(|reason| reason.code() == Some(CONFLICT));
            if !conflict {
                return Err(Reason::NoList(explain(error)));
            }
            // Devices with one claim certificate share its counter, and may all come in the same moment.
            if began.elapsed() > CONFLICT_PATIENCE {
                return Err(Reason::Contended);
            }
            tokio::time::sleep(jitter()).await;
        }
    }

    fn claim(
        &self,
        device: &str,
        request: &Request,
        reason: &Reason,
        now: OffsetDateTime,
    ) -> Update {
        let mut values = HashMap::from([
            (":new".to_owned(), text(&request.certificate_id)),
            (":claim".to_owned(), text(&request.claim_certificate_id)),
            (
                ":now".to_owned(),
                text(&now.format(&Rfc3339).unwrap_or_default()),
            ),
        ]);
        let (condition, update) = match reason {
            Reason::Renewal => (
                "certificateId = :claim",
                "SET certificateId = :new, claimedAt = :now",
            ),
            _ => (
                "attribute_exists(device) AND attribute_not_exists(certificateId)",
                "SET certificateId = :new, claimCertificateId = :claim, claimedAt = :now",
            ),
        };
        values.retain(|name, _| condition.contains(name) || update.contains(name));
        self.update(device, update, condition, values)
    }

    fn count(&self, request: &Request, limit: u32) -> Update {
        let number = |number: u32| AttributeValue::N(number.to_string());
        let values = HashMap::from([
            (":one".to_owned(), number(1)),
            (":limit".to_owned(), number(limit)),
        ]);
        let counter = format!("{COUNTER}{}", request.claim_certificate_id);
        let condition = "attribute_not_exists(devices) OR devices < :limit";
        self.update(&counter, "ADD devices :one", condition, values)
    }

    fn update(
        &self,
        key: &str,
        update: &str,
        condition: &str,
        values: HashMap<String, AttributeValue>,
    ) -> Update {
        let built = Update::builder()
            .table_name(&self.settings.table)
            .key(KEY, text(key))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .build();
        built.expect("key, table and expression are given")
    }
}

fn read(item: &HashMap<String, AttributeValue>) -> Record {
    let owned = |value: &AttributeValue| value.as_s().ok().cloned();
    let overrides = item.get("overrides").and_then(|value| value.as_m().ok());
    let overrides: BTreeMap<String, String> = overrides
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), owned(value)?)))
        .collect();
    Record {
        certificate_id: item.get("certificateId").and_then(owned),
        overrides,
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// Between 10 and 90 ms, other for each function that waits.
fn jitter() -> Duration {
    let random = RandomState::new().build_hasher().finish();
    Duration::from_millis(10 + random % 81)
}

fn explain(error: impl std::error::Error) -> String {
    let context: &dyn Display = &DisplayErrorContext(&error);
    format!("DynamoDB: {context}")
}

/// Name of the partition key.
const KEY: &str = "device";
/// How the keys of counters begin.
const COUNTER: &str = "claim/";
/// Code of an item that another transaction was writing (API reference, "CancellationReason"). Nothing was written.
const CONFLICT: &str = "TransactionConflict";
/// How long other transactions are waited out: with a read and a write of two seconds before and after, the answer could
/// come too late, but such calls take milliseconds where transactions conflict.
const CONFLICT_PATIENCE: Duration = Duration::from_secs(2);
/// Code of a condition that did not hold (API reference, "CancellationReason").
const CONDITION: &str = "ConditionalCheckFailed";
