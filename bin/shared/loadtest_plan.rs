//! `loadtest plan`: what a scenario asks, beside what AWS allows, before anything starts.

use clap::Args;
use jitp_cli::{Common, Exit, Report, Result};
use jitp_loadtest::quota::{Charges, Quantity, charges, proposals, quantities};
use jitp_loadtest::{Matching, Scenario};
use serde::Serialize;

use super::scenario::{ScenarioFlags, failure};

#[derive(Args)]
pub(super) struct Planned {
    #[command(flatten)]
    scenario: ScenarioFlags,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(flatten)]
    quantity: &'a Quantity,
    verdict: &'static str,
}

impl Report for Line<'_> {
    fn columns(&self) -> Vec<String> {
        let quota = match self.quantity.smaller_regions {
            Some(smaller) => format!("{} ({smaller} in smaller regions)", self.quantity.quota),
            None => self.quantity.quota.to_string(),
        };
        vec![
            self.quantity.name.to_owned(),
            round(self.quantity.asked),
            quota,
            self.verdict.to_owned(),
        ]
    }
}

#[derive(Serialize)]
struct Charged {
    charges: Charges,
}

impl Report for Charged {
    fn columns(&self) -> Vec<String> {
        vec!["AWS charges for".to_owned(), in_words(&self.charges)]
    }
}

pub(super) fn plan(flags: &Planned, common: &Common) -> Result<u8> {
    let scenario = flags.scenario.scenario()?;
    scenario.check(Matching::Aws).map_err(failure)?;
    let size = message_size(&scenario);
    let quantities = quantities(&scenario, size);
    let mut reporter = common.listing();
    for quantity in &quantities {
        reporter.line(&Line {
            quantity,
            verdict: quantity.verdict(),
        })?;
    }
    reporter.line(&Charged {
        charges: charges(&scenario, size),
    })?;
    for proposal in proposals(&scenario) {
        common.say(format!("hint: {proposal}"));
    }
    let fits = quantities.iter().all(Quantity::fits);
    Ok(if fits { Exit::Done } else { Exit::CheckFailed } as u8)
}

/// Bytes of a message of the scenario, payload and topic.
pub(super) fn message_size(scenario: &Scenario) -> usize {
    let payload = jitp_loadtest::Template::new(scenario)
        .map(|template| template.example_size(scenario))
        .unwrap_or(0);
    payload + scenario.publish.topic.len()
}

/// What is charged for, in words.
pub(super) fn in_words(charges: &Charges) -> String {
    let mut words = vec![
        format!("{} minutes of connections", charges.connection_minutes),
        format!("{} messages of 5 KB", charges.messages),
    ];
    for (count, what) in [
        (charges.registry_operations, "operations of the registry"),
        (charges.rules, "rules triggered and actions"),
        (charges.queue_requests, "requests of the queue"),
    ] {
        if count > 0 {
            words.push(format!("{count} {what}"));
        }
    }
    words.join(", ")
}

fn round(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
