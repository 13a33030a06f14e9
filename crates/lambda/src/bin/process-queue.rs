//! The consumer of a queue: logs a line of JSON for each message, with its latency if it is one of a load test. A message
//! that it cannot read is delivered again and in the end goes to the dead-letter queue, without its batch.

use std::io::{self, Write};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lambda_events::sqs::SqsEvent;
use jitp_lambda::Consumer;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let consumer = &Mutex::new(Consumer::default());
    run(service_fn(async |event: LambdaEvent<SqsEvent>| {
        // One event at a time: nobody can have left it half-changed.
        let mut consumer = consumer
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let request_id = &event.context.request_id;
        let write = |lines: &[u8]| io::stderr().write_all(lines);
        Ok::<_, Error>(consumer.process(&event.payload, now(), request_id, write)?)
    }))
    .await
}

/// Unix time in milliseconds, whole ones, as devices and SQS tell it.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_millis() as f64)
}
