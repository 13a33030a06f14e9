//! `queue status`: how many messages are where, and what consumes them.

use jitp_cli::{Common, Report, Result};
use jitp_cloud::{Cloud, Queue};
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
}

#[derive(Serialize)]
struct Mapping {
    uuid: String,
    function: String,
    state: String,
}

impl Report for Status {
    fn columns(&self) -> Vec<String> {
        let dead_letters = self.dead_letters.map(|count| count.to_string());
        let states: Vec<&str> = self.mappings.iter().map(|one| one.state.as_str()).collect();
        vec![
            self.queue.clone(),
            self.waiting.to_string(),
            self.in_flight.to_string(),
            self.delayed.to_string(),
            dead_letters.unwrap_or_else(|| "-".to_owned()),
            match states.is_empty() {
                true => "-".to_owned(),
                false => states.join(","),
            },
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
    })
}
