//! Sending, receiving and deleting messages, each durable before it is answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::error::{invalid_handle, no_such_queue};
use super::held::{Delivered, Found, Wanted};
use super::message::Message;
use super::queue::{Queue, milliseconds};
use super::receipt::Receipt;
use super::{Queues, store};
use crate::account::ApiError;
use crate::diary::Entry;
use crate::storage::Write;

/// How often a receive that waits looks at the clock, which may run faster than that of the machine.
const GLANCE: Duration = Duration::from_millis(100);

/// Milliseconds between two purges of a queue.
const PURGE_PAUSE: i64 = 60_000;

/// What a receive asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receive {
    /// Most messages.
    pub(crate) most: usize,
    /// How long it waits for the first message.
    pub(crate) wait: Duration,
    /// Seconds the messages go out of sight; that of the queue unless given.
    pub(crate) visibility: Option<u64>,
}

impl Queues {
    /// Sends messages, each with seconds before which it is out of sight. On return they are durable.
    ///
    /// # Errors
    /// When they cannot be stored; then none was sent.
    pub(crate) async fn send(
        &self,
        queue: &Queue,
        messages: Vec<(Message, u64)>,
    ) -> Result<Vec<Arc<Message>>, ApiError> {
        let now = self.now();
        let id = queue.record.load().id;
        let durable = self.inner.storage.is_durable();
        let mut writes = Vec::new();
        let mut sent = Vec::with_capacity(messages.len());
        for (mut message, delay) in messages {
            message.sent = now;
            let number = queue.held.lock().number();
            let delay = milliseconds(delay);
            if durable {
                let not_before = if delay == 0 { 0 } else { now + delay };
                writes.push(store::put_message(id, number, &message, not_before));
            }
            sent.push((number, Arc::new(message), delay));
        }
        self.commit(writes).await?;
        let arrived = sent.iter();
        queue.take_in(
            arrived.map(|(number, message, delay)| (*number, message, *delay)),
            now,
        );
        Ok(sent.into_iter().map(|(_, message, _)| message).collect())
    }

    /// Receives messages, and waits for the first one as long as is asked. Those that were received too often go to
    /// the dead-letter queue on the way.
    ///
    /// # Errors
    /// `OverLimit`, `QueueDoesNotExist`, or when a dead letter cannot be stored.
    pub(crate) async fn receive(
        &self,
        queue: &Arc<Queue>,
        ask: &Receive,
    ) -> Result<Vec<Delivered>, ApiError> {
        let deadline = Instant::now() + ask.wait;
        loop {
            let arrived = queue.arrived.notified();
            tokio::pin!(arrived);
            // What is sent from here on is not missed.
            arrived.as_mut().enable();
            let delivered = self.take(queue, ask).await?;
            if !delivered.is_empty() || Instant::now() >= deadline {
                return Ok(delivered);
            }
            let next = queue.held.lock().next_in_sight();
            let glance = match next {
                Some(at) => {
                    let left = u64::try_from(at - self.now()).unwrap_or(0);
                    GLANCE.min(Duration::from_millis(left.max(1)))
                }
                None => ask.wait,
            };
            tokio::select! {
                () = arrived => {}
                () = tokio::time::sleep_until(deadline.min(Instant::now() + glance)) => {}
                () = self.inner.shutdown.cancelled() => return Ok(Vec::new()),
            }
            if self.named(&queue.record.load().name).is_none() {
                return Err(no_such_queue());
            }
        }
    }

    async fn take(&self, queue: &Arc<Queue>, ask: &Receive) -> Result<Vec<Delivered>, ApiError> {
        let record = queue.record();
        let attributes = &record.attributes;
        let redrive = attributes.redrive.as_ref();
        // Where it was deleted since, messages go on being delivered.
        let dead_letters = redrive.and_then(|redrive| self.of_arn(&redrive.target));
        let wanted = Wanted {
            most: ask.most,
            visibility: milliseconds(ask.visibility.unwrap_or(attributes.visibility)),
            most_receives: redrive
                .filter(|_| dead_letters.is_some())
                .map(|redrive| redrive.most_receives),
        };
        let now = self.now();
        let mut writes = Vec::new();
        let taken = {
            let mut held = queue.held.lock();
            for (number, receives) in held.expire(now - milliseconds(attributes.retention)) {
                store::forget_message(record.id, number, receives, &mut writes);
            }
            held.take(now, &wanted)
        };
        if taken.over_limit {
            return Err(ApiError::new(
                "OverLimit",
                "Too many messages are in flight; delete those that were processed.",
            ));
        }
        for one in &taken.delivered {
            // Once is not written down: a restart then counts one receive less, and delivers once more.
            if one.receives > 1 {
                writes.push(store::put_receives(
                    record.id,
                    one.number,
                    one.receives,
                    one.first_received,
                ));
            }
            if let Some(redrive) = redrive.filter(|policy| one.receives == policy.most_receives + 1)
            {
                self.inner.diary.record(Entry::refusal(
                    "DEAD_LETTER_QUEUE_MISSING",
                    format!(
                        "message {} of queue {} was received {} times and should go to {}, which is not there",
                        one.message.id, record.name, redrive.most_receives, redrive.target
                    ),
                ));
            }
        }
        let mut moved = Vec::new();
        if let Some(target) = &dead_letters {
            let target_id = target.record.load().id;
            for (number, receives, message) in taken.dead {
                let mut dead = Message::clone(&message);
                dead.dead_letter_source = Some(queue.arn.clone());
                let there = target.held.lock().number();
                store::forget_message(record.id, number, receives, &mut writes);
                // Since when it is there; in sight it is at once.
                writes.push(store::put_message(target_id, there, &dead, now));
                self.inner.diary.record(Entry::step(
                    "DEAD_LETTER",
                    format!(
                        "message {} was received {receives} times from queue {} and goes to {}",
                        dead.id, record.name, target.arn
                    ),
                ));
                moved.push((there, Arc::new(dead)));
            }
        }
        match moved.is_empty() {
            // Nobody waits for a count.
            true if self.inner.storage.is_durable() && !writes.is_empty() => {
                drop(self.inner.storage.commit_async(writes));
            }
            true => {}
            false => self.commit(writes).await?,
        }
        if let Some(target) = dead_letters.filter(|_| !moved.is_empty()) {
            target.take_in(
                moved.iter().map(|(number, message)| (*number, message, 0)),
                now,
            );
        }
        Ok(taken.delivered)
    }

    /// Handle by which a delivered message is deleted.
    pub(crate) fn handle(&self, queue: &Queue, delivered: &Delivered) -> String {
        self.receipt(queue, delivered).to_handle()
    }

    fn receipt(&self, queue: &Queue, delivered: &Delivered) -> Receipt {
        Receipt {
            queue: queue.record.load().id,
            number: delivered.number,
            run: self.inner.run,
            delivery: delivered.delivery,
        }
    }

    /// Reads a handle of this queue.
    pub(super) fn read_handle(&self, queue: &Queue, handle: &str) -> Result<Receipt, ApiError> {
        let receipt = Receipt::from_handle(handle);
        let receipt = receipt.filter(|receipt| receipt.queue == queue.record.load().id);
        receipt.ok_or_else(|| invalid_handle(handle))
    }

    /// Deletes delivered messages. What was received again since stays, and what is gone is gone.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub(crate) async fn remove(
        &self,
        queue: &Queue,
        delivered: &[Delivered],
    ) -> Result<(), ApiError> {
        let receipts = delivered.iter().map(|one| self.receipt(queue, one));
        let receipts: Vec<Receipt> = receipts.collect();
        self.remove_by(queue, &receipts).await
    }

    pub(super) async fn remove_by(
        &self,
        queue: &Queue,
        receipts: &[Receipt],
    ) -> Result<(), ApiError> {
        let writes = self.take_out(queue, receipts);
        self.commit(writes).await
    }

    fn take_out(&self, queue: &Queue, receipts: &[Receipt]) -> Vec<Write> {
        let mut writes = Vec::new();
        let mut held = queue.held.lock();
        for receipt in receipts {
            if held.find(receipt.number, self.delivery(receipt)) == Found::Latest
                && let Some(receives) = held.remove(receipt.number)
            {
                store::forget_message(receipt.queue, receipt.number, receives, &mut writes);
            }
        }
        writes
    }

    /// Says anew for how many seconds a message stays out of sight.
    ///
    /// # Errors
    /// `MessageNotInflight`.
    pub(super) fn change_visibility(
        &self,
        queue: &Queue,
        receipt: &Receipt,
        seconds: u64,
    ) -> Result<(), ApiError> {
        let now = self.now();
        let mut held = queue.held.lock();
        let known = held.find(receipt.number, self.delivery(receipt)) == Found::Latest;
        if !known || !held.change_visibility(receipt.number, now, milliseconds(seconds)) {
            return Err(ApiError::new(
                "MessageNotInflight",
                "The message referred to is not in flight.",
            ));
        }
        drop(held);
        queue.arrived.notify_waiters();
        Ok(())
    }

    fn delivery(&self, receipt: &Receipt) -> Option<u32> {
        (receipt.run == self.inner.run).then_some(receipt.delivery)
    }

    /// Deletes every message of a queue.
    ///
    /// # Errors
    /// `PurgeQueueInProgress` within 60 seconds of the last time, or when that cannot be stored.
    pub(super) async fn purge(&self, queue: &Queue) -> Result<(), ApiError> {
        let now = self.now();
        if queue.was_purged_within(now, PURGE_PAUSE) {
            return Err(ApiError::new(
                "PurgeQueueInProgress",
                format!(
                    "Only one PurgeQueue operation on {} is allowed every 60 seconds.",
                    queue.record.load().name
                ),
            ));
        }
        let writes = forgotten(queue);
        self.commit(writes).await
    }
}

/// Empties a queue; what is to be written for it.
pub(super) fn forgotten(queue: &Queue) -> Vec<Write> {
    let id = queue.record.load().id;
    let mut writes = Vec::new();
    for (number, receives) in queue.held.lock().clear() {
        store::forget_message(id, number, receives, &mut writes);
    }
    writes
}
