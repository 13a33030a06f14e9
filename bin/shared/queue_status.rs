//! `queue status`: how many messages are where, how old the oldest is, and what consumes them.

use std::time::SystemTime;

use jitp_cli::{Common, Report, Result};
use jitp_cloud::{Cloud, Queue};
use jitp_core::failure::{Class, Classified};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    queue: String,
    url: String,
    arn: String,
    waiting: u64,
    in_flight: u64,
    delayed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter_queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letters: Option<u64>,
    mappings: Vec<Mapping>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_of_oldest_message: Option<u64>,
}

#[derive(Serialize)]
struct Mapping {
    uuid: String,
    function: String,
    state: String,
}

impl Report for Status {
    fn columns(&self) -> Vec<String> {
        let or_none =
            |known: Option<u64>| known.map_or("-".to_owned(), |number| number.to_string());
        let states: Vec<&str> = self.mappings.iter().map(|one| one.state.as_str()).collect();
        vec![
            self.queue.clone(),
            self.waiting.to_string(),
            self.in_flight.to_string(),
            self.delayed.to_string(),
            or_none(self.dead_letters),
            match states.is_empty() {
                true => "-".to_owned(),
                false => states.join(","),
            },
            or_none(self.age_of_oldest_message),
        ]
    }
}

pub(crate) async fn status(cloud: &Cloud, queue: &Queue, common: &Common) -> Result<()> {
    let state = cloud.queue_state(queue).await?;
    let dead_letters = match &state.dead_letter_queue {
        Some(name) => {
            let dead = cloud.queue(name).await?;
            let dead = cloud.queue_state(&dead).await?;
            Some(dead.waiting + dead.in_flight + dead.delayed)
        }
        None => None,
    };
    let mappings = cloud.mappings(queue).await?.into_iter();
    let age = cloud.oldest_message_age(queue, SystemTime::now()).await;
    // Everything else is told to whoever may not ask CloudWatch.
    let age = age.unwrap_or_else(|error| {
        let mut why = format!("the age of the oldest message is not known: {error}");
        if error.class() == Class::Refused {
            why.push_str("; it takes the permission cloudwatch:GetMetricData");
        }
        common.warn(why);
        None
    });
    common.listing().line(&Status {
        queue: queue.name.to_string(),
        url: queue.url.clone(),
        arn: queue.arn.clone(),
        waiting: state.waiting,
        in_flight: state.in_flight,
        delayed: state.delayed,
        dead_letter_queue: state.dead_letter_queue.map(String::from),
        dead_letters,
        mappings: mappings
            .map(|one| Mapping {
                uuid: one.uuid,
                function: one.function,
                state: one.state,
            })
            .collect(),
        age_of_oldest_message: age,
    })
}
