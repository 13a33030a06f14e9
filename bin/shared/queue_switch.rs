//! `queue pause` and `queue resume`: the event source mappings of a queue.

use std::time::Duration;

use jitp_cli::{Common, Failure, Report, Result};
use jitp_cloud::{Change, Cloud, Mapping, Queue};
use jitp_core::failure::Class;
use serde::Serialize;

use crate::Switch;

#[derive(Serialize)]
struct Switched<'a> {
    queue: &'a str,
    function: &'a str,
    uuid: &'a str,
    outcome: &'static str,
}

impl Report for Switched<'_> {
    fn columns(&self) -> Vec<String> {
        [self.queue, self.function, self.outcome]
            .map(str::to_owned)
            .into()
    }
}

/// Switches the mappings of a queue, a line for each.
pub(crate) async fn switch(
    cloud: &Cloud,
    queue: &Queue,
    on: bool,
    flags: &Switch,
    common: &Common,
) -> Result<()> {
    let mut mappings = cloud.mappings(queue).await?;
    let asked = |mapping: &Mapping| {
        let asked = flags.function.as_deref();
        asked.is_none_or(|name| mapping.function == name)
    };
    mappings.retain(asked);
    if mappings.is_empty() {
        let to = match &flags.function {
            Some(function) => format!("the function {function}"),
            None => "a function".to_owned(),
        };
        let message = format!("no event source mapping of {} to {to}", queue.name);
        return Err(Failure::new(Class::NotFound, message));
    }
    let patience = Duration::from_secs(flags.timeout);
    let mut reporter = common.reporter();
    for (done, mapping) in mappings.iter().enumerate() {
        let change = cloud.switch_mapping(mapping, on, patience).await;
        let change = change.map_err(|error| {
            let failure = Failure::from(error);
            match done {
                0 => failure,
                done => failure.context(format!("{done} of {} switched", mappings.len())),
            }
        })?;
        reporter.line(&Switched {
            queue: queue.name.as_str(),
            function: &mapping.function,
            uuid: &mapping.uuid,
            outcome: match (change, on) {
                (Change::Unchanged, _) => "unchanged",
                (_, true) => "resumed",
                (_, false) => "paused",
            },
        })?;
    }
    Ok(())
}
