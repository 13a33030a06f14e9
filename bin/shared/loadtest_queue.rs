//! The consumer of the queue behind the topic rule: receives, and deletes what it received.

use std::time::Duration;

use futures::future::try_join_all;
use jitp_cli::{Common, Failure, Result};
use jitp_cloud::{Cloud, CloudSettings, Queue};
use jitp_core::failure::Class;
use jitp_core::names::QueueName;
use jitp_loadtest::Bodies;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{self, UnboundedSender};

/// Messages of one receipt (Amazon SQS API reference, "ReceiveMessage").
const MOST: u8 = 10;
/// How long SQS is asked to wait at once.
const POLL: Duration = Duration::from_secs(5);
/// Receipts under way at the same time: one alone takes a few hundred messages a second.
const RECEIVERS: usize = 4;

/// Looks whether there is a queue of this name.
///
/// # Errors
/// When there is none, or it may not be asked for.
pub(super) async fn find(name: &str, settings: &CloudSettings) -> Result<()> {
    let name = queue_name(name)?;
    let found = Cloud::connect(settings).await?.queue(&name).await;
    found.map(drop).map_err(|error| {
        Failure::from(error)
            .context(format!("cannot use the queue {name}"))
            .hint("deploy sqs makes it, with its rule; queue.name of the scenario says which")
    })
}

fn queue_name(name: &str) -> Result<QueueName> {
    name.parse()
        .map_err(|error| Failure::new(Class::Configuration, format!("queue.name: {error}")))
}

/// Consumes the queue of this name until the program ends. Other consumers, an event source mapping among them, would take
/// messages away: pause them (`queue pause`).
///
/// # Errors
/// When it is no name of a queue.
pub(super) fn consume(name: &str, settings: &CloudSettings, common: &Common) -> Result<Bodies> {
    let name = queue_name(name)?;
    let (sender, bodies) = mpsc::unbounded_channel();
    let (settings, common) = (settings.clone(), common.clone());
    // A thread of its own, with connections of its own: the fleet's threads have enough to do.
    std::thread::spawn(move || {
        let consumed = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::io("cannot start the consumer", &error))
            .and_then(|runtime| {
                runtime.block_on(async {
                    let cloud = Cloud::connect(&settings).await?;
                    let queue = cloud.queue(&name).await?;
                    let receivers = (0..RECEIVERS).map(|_| receive(&cloud, &queue, &sender));
                    try_join_all(receivers).await
                })
            });
        if let Err(failure) = consumed {
            common.warn(format!(
                "the queue is not consumed any more: {}",
                failure.message()
            ));
        }
    });
    Ok(bodies)
}

/// Receives and deletes until nobody listens.
async fn receive(cloud: &Cloud, queue: &Queue, sender: &UnboundedSender<String>) -> Result<()> {
    while !sender.is_closed() {
        let received = cloud.receive(queue, MOST, POLL).await?;
        for message in &received {
            // Nobody listens any more when the run is over.
            let _ = sender.send(message.body.clone());
        }
        if !received.is_empty() {
            cloud.delete_messages(queue, &received).await?;
        }
    }
    Ok(())
}
