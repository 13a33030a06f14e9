//! The operations of AWS Lambda on event source mappings.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::EventSources;
use crate::account::event_sources::{self, MappingSettings};
use crate::account::permissions::{Behalf, may_assume, may_do, role_of_arn};
use crate::account::{ApiError, EventSourceMapping, State, functions};
use crate::control::{Answer, ControlSettings, Extension, Page};
use crate::model::{Input, Service};
use crate::sqs::Queue;

/// The meaning of an operation for event sources.
type Handler = fn(&EventSources, &Input) -> Result<Value, ApiError>;

const OPERATIONS: [(&str, Handler); 5] = [
    ("CreateEventSourceMapping", create),
    ("DeleteEventSourceMapping", delete),
    ("GetEventSourceMapping", get),
    ("ListEventSourceMappings", list),
    ("UpdateEventSourceMapping", update),
];

/// Members for sources that are no queues, and filters.
const NOT_OFFERED: [&str; 19] = [
    "AmazonManagedKafkaEventSourceConfig",
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "DocumentDBEventSourceConfig",
    "FilterCriteria",
    "KMSKeyArn",
    "LoggingConfig",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "ParallelizationFactor",
    "ProvisionedPollerConfig",
    "Queues",
    "SelfManagedEventSource",
    "SelfManagedKafkaEventSourceConfig",
    "SourceAccessConfigurations",
    "StartingPosition",
    "StartingPositionTimestamp",
    "Topics",
    "TumblingWindowInSeconds",
];

/// What AWS Lambda does with a queue under the role of the function.
const NEEDED: [&str; 3] = ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"];

/// The names of the operations that [`plug_in`] adds.
pub(crate) fn operations() -> impl Iterator<Item = (Service, &'static str)> {
    OPERATIONS.iter().map(|(name, _)| (Service::Lambda, *name))
}

/// Adds the operations, served by these event sources.
pub(crate) fn plug_in(mut settings: ControlSettings, sources: &EventSources) -> ControlSettings {
    for (name, serve) in OPERATIONS {
        let sources = sources.clone();
        let extension: Extension = Arc::new(move |input| {
            let sources = sources.clone();
            Box::pin(async move {
                // A change waits for the disk.
                let work = tokio::task::spawn_blocking(move || serve(&sources, &input));
                let outcome = work.await;
                let outcome = outcome.unwrap_or_else(|_| {
                    Err(ApiError::internal(format!(
                        "{name} failed inside the local core"
                    )))
                });
                outcome.map(Answer::Json)
            })
        });
        settings = settings.with(Service::Lambda, name, extension);
    }
    settings
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValueException", message)
}

fn create(sources: &EventSources, input: &Input) -> Result<Value, ApiError> {
    let given = settings(input)?;
    let arn = input.required("EventSourceArn");
    if !arn.starts_with("arn:") || arn.split(':').nth(2) != Some("sqs") {
        return Err(invalid(
            "The local core takes events from queues: give the ARN of one as EventSourceArn",
        ));
    }
    let function = function(sources, input.required("FunctionName"))?;
    let Some(queue) = sources.inner.settings.queues.of_arn(arn) else {
        return Err(invalid(format!(
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error \
             Message: The specified queue does not exist: {arn}"
        )));
    };
    let account = &sources.inner.settings.account;
    judge_function(&account.snapshot(), &function, &queue)?;
    let mapping = account.write(|tx| event_sources::create(tx, arn, &function, &given))?;
    sources.reconcile();
    Ok(describe(sources, &mapping, "Creating"))
}

fn update(sources: &EventSources, input: &Input) -> Result<Value, ApiError> {
    let given = settings(input)?;
    let named = input.text("FunctionName");
    let function = named.map(|name| function(sources, name)).transpose()?;
    let id = input.required("UUID");
    let account = &sources.inner.settings.account;
    let before = event_sources::find(&account.snapshot(), id)?;
    let mapping = account.write(|tx| event_sources::update(tx, id, function.as_deref(), &given))?;
    sources.reconcile();
    let state = match (before.enabled, mapping.enabled) {
        (false, true) => "Enabling",
        (true, false) => "Disabling",
        _ => "Updating",
    };
    Ok(describe(sources, &mapping, state))
}

fn delete(sources: &EventSources, input: &Input) -> Result<Value, ApiError> {
    let account = &sources.inner.settings.account;
    let mapping = account.write(|tx| event_sources::delete(tx, input.required("UUID")))?;
    sources.reconcile();
    Ok(describe(sources, &mapping, "Deleting"))
}

fn get(sources: &EventSources, input: &Input) -> Result<Value, ApiError> {
    let state = sources.inner.settings.account.snapshot();
    let mapping = event_sources::find(&state, input.required("UUID"))?;
    Ok(describe(sources, &mapping, sources.state_of(&mapping)))
}

fn list(sources: &EventSources, input: &Input) -> Result<Value, ApiError> {
    let state = sources.inner.settings.account.snapshot();
    let function = input
        .text("FunctionName")
        .map(functions::name_in)
        .transpose()?;
    let arn = input.text("EventSourceArn");
    let page = Page::of_functions(input)?;
    Ok(
        page.of_map("EventSourceMappings", &state.event_sources, |_, mapping| {
            let wanted = function.is_none_or(|function| function == mapping.function)
                && arn.is_none_or(|arn| arn == mapping.queue_arn);
            wanted.then(|| describe(sources, mapping, sources.state_of(mapping)))
        }),
    )
}

fn settings(input: &Input) -> Result<MappingSettings, ApiError> {
    for name in NOT_OFFERED {
        if input.get(name).is_some() {
            return Err(invalid(format!(
                "The local core takes no {name}: it is for other sources than queues, or not offered"
            )));
        }
    }
    let number = |name: &str| {
        input
            .number(name)
            .and_then(|number| u32::try_from(number).ok())
    };
    let scaling = input.object("ScalingConfig");
    let types = input.get("FunctionResponseTypes");
    Ok(MappingSettings {
        enabled: input.optional_flag("Enabled"),
        batch_size: number("BatchSize"),
        window: input.number("MaximumBatchingWindowInSeconds"),
        reports_failures: types.map(|_| !input.texts("FunctionResponseTypes").is_empty()),
        most_at_once: scaling.map(|scaling| {
            let most = scaling.get("MaximumConcurrency").and_then(Value::as_u64);
            most.and_then(|most| u32::try_from(most).ok())
        }),
    })
}

/// The name of a function that is there.
fn function(sources: &EventSources, text: &str) -> Result<String, ApiError> {
    let name = functions::name_in(text)?;
    let settings = &sources.inner.settings;
    if !settings.functions.is_there(name) {
        let arn = functions::arn(&settings.account.snapshot(), name);
        return Err(ApiError::not_found(format!("Function not found: {arn}")));
    }
    Ok(name.to_owned())
}

/// A function of the account fits the queue: it ends before its messages are in sight again, and its role, where the
/// account has it, may use the queue.
fn judge_function(state: &State, name: &str, queue: &Queue) -> Result<(), ApiError> {
    let Some(function) = state.functions.get(name) else {
        return Ok(());
    };
    let visibility = queue.record().attributes.visibility;
    if visibility < function.timeout {
        return Err(invalid(format!(
            "Queue visibility timeout: {visibility} seconds is less than Function timeout: {} seconds",
            function.timeout
        )));
    }
    let Some(role) = role_of_arn(state, &function.role) else {
        return Ok(());
    };
    let behalf = Behalf {
        service: "lambda.amazonaws.com",
        source_arn: &function.arn,
        source_account: &state.scope.account_id,
    };
    may_assume(&role, &behalf).map_err(|why| {
        invalid(format!(
            "The role defined for the function cannot be assumed by Lambda: {why}"
        ))
    })?;
    for action in NEEDED {
        may_do(&role, &format!("sqs:{action}"), &queue.arn, &behalf).map_err(|why| {
            invalid(format!(
                "The provided execution role does not have permissions to call {action} on SQS: {why}"
            ))
        })?;
    }
    Ok(())
}

fn describe(sources: &EventSources, mapping: &EventSourceMapping, state: &str) -> Value {
    let account = sources.inner.settings.account.snapshot();
    let scope = &account.scope;
    let mut told = Map::new();
    let mut say = |name: &str, value: Value| {
        told.insert(name.to_owned(), value);
    };
    say("UUID", json!(mapping.id));
    say("BatchSize", json!(mapping.batch_size));
    say("MaximumBatchingWindowInSeconds", json!(mapping.window));
    say("EventSourceArn", json!(mapping.queue_arn));
    say(
        "FunctionArn",
        json!(functions::arn(&account, &mapping.function)),
    );
    say("LastModified", json!(mapping.last_modified.seconds()));
    say("State", json!(state));
    say("StateTransitionReason", json!("USER_INITIATED"));
    let types: &[&str] = match mapping.reports_failures {
        true => &["ReportBatchItemFailures"],
        false => &[],
    };
    say("FunctionResponseTypes", json!(types));
    if let Some(most) = mapping.most_at_once {
        say("ScalingConfig", json!({ "MaximumConcurrency": most }));
    }
    let arn = format!(
        "arn:aws:lambda:{}:{}:event-source-mapping:{}",
        scope.region, scope.account_id, mapping.id
    );
    say("EventSourceMappingArn", json!(arn));
    Value::Object(told)
}
