//! Queues on a disk: what a restart finds.

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Message, Queue, QueueSettings, Queues, Receive};
use crate::account::{Account, AccountSettings, Clock};
use crate::diary::Diary;
use crate::storage::Storage;

fn open(dir: &Path) -> Queues {
    let storage = Storage::open(dir).unwrap();
    let account = Account::open(AccountSettings {
        account_id: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        endpoint: "localhost".to_owned(),
        clock: Clock::system(),
        storage: storage.clone(),
    });
    let settings = QueueSettings {
        account: account.unwrap(),
        diary: Diary::new(100),
        storage,
        url: "http://localhost".to_owned(),
        shutdown: CancellationToken::new(),
    };
    Queues::open(settings).unwrap()
}

async fn send(queues: &Queues, queue: &Queue, body: &str, delay: u64) {
    let message = Message::new(body.to_owned(), "sender");
    queues.send(queue, vec![(message, delay)]).await.unwrap();
}

fn all() -> Receive {
    Receive {
        most: 10,
        wait: Duration::ZERO,
        visibility: Some(60),
    }
}

#[tokio::test]
async fn a_restart_finds_what_was_sent_and_not_what_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let queues = open(dir.path());
    let queue = queues.make("jobs").await;
    for body in ["deleted", "received", "waiting"] {
        send(&queues, &queue, body, 0).await;
    }
    send(&queues, &queue, "late", 900).await;
    let received = queues.receive(&queue, &all()).await.unwrap();
    queues.remove(&queue, &received[..1]).await.unwrap();
    let handle = queues.handle(&queue, &received[1]);
    drop((queues, queue, received));

    let queues = open(dir.path());
    let queue = queues.named("jobs").unwrap();
    let counts = queue.counts(queues.now());
    assert_eq!((counts.visible, counts.delayed), (2, 1));
    // Whoever had a message when the core ended may still delete it, until somebody else has it.
    let receipt = queues.read_handle(&queue, &handle).unwrap();
    queues.remove_by(&queue, &[receipt]).await.unwrap();
    let received = queues.receive(&queue, &all()).await.unwrap();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].message.body, "waiting");
}

#[tokio::test]
async fn the_receives_of_a_message_outlive_a_restart_from_the_second_on() {
    let dir = tempfile::tempdir().unwrap();
    let at_once = Receive {
        visibility: Some(0),
        ..all()
    };
    let queues = open(dir.path());
    let queue = queues.make("jobs").await;
    send(&queues, &queue, "a", 0).await;
    for expected in 1..=3 {
        let received = queues.receive(&queue, &at_once).await.unwrap();
        assert_eq!(received[0].receives, expected);
    }
    drop((queues, queue));
    let queues = open(dir.path());
    let queue = queues.named("jobs").unwrap();
    let received = queues.receive(&queue, &at_once).await.unwrap();
    assert_eq!(received[0].receives, 4);
    queues.remove(&queue, &received).await.unwrap();
    drop((queues, queue, received));
    let storage = Storage::open(dir.path()).unwrap();
    for space in [super::store::MESSAGES, super::store::RECEIVES] {
        assert!(storage.load(space).unwrap().is_empty(), "{space}");
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_deleted_queue() {
    let dir = tempfile::tempdir().unwrap();
    let queues = open(dir.path());
    let queue = queues.make("jobs").await;
    send(&queues, &queue, "a", 0).await;
    queues.delete(&queue).await.unwrap();
    // One that was on its way as the queue was deleted.
    send(&queues, &queue, "b", 0).await;
    drop((queues, queue));
    let queues = open(dir.path());
    assert!(queues.named("jobs").is_none());
    drop(queues);
    let storage = Storage::open(dir.path()).unwrap();
    assert!(storage.load(super::store::MESSAGES).unwrap().is_empty());
}

#[tokio::test]
async fn what_cannot_be_stored_was_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let queues = open(dir.path());
    let queue = queues.make("jobs").await;
    queues.inner.storage.fill_up();
    let message = Message::new("a".repeat(100_000), "sender");
    let refused = queues.send(&queue, vec![(message, 0)]).await.unwrap_err();
    assert_eq!(refused.code, "ServiceUnavailableException");
    assert_eq!(queue.counts(queues.now()).visible, 0);
}

#[tokio::test]
async fn whoever_waits_is_not_waited_for_when_the_core_stops() {
    let dir = tempfile::tempdir().unwrap();
    let queues = open(dir.path());
    let queue = queues.make("jobs").await;
    let waiting = Receive {
        wait: Duration::from_secs(20),
        ..all()
    };
    let stop = async {
        tokio::task::yield_now().await;
        queues.inner.shutdown.cancel();
    };
    let begun = std::time::Instant::now();
    let (received, ()) = tokio::join!(queues.receive(&queue, &waiting), stop);
    assert!(received.unwrap().is_empty());
    assert!(begun.elapsed() < Duration::from_secs(10));
}
