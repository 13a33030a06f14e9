//! Queues of the local core as a program: what was queued when it was killed is there when it comes back.

use std::collections::{BTreeSet, HashSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::local_core::{Core, serve, signal};
use crate::support::Folder;

/// Messages that are queued before the core is killed.
const MANY: usize = 10_000;

/// A core in a process of its own.
struct Served {
    core: Core,
    port: String,
}

impl Served {
    fn start(folder: &Folder) -> Self {
        let (core, port) = serve(folder, &["--data", "data"]);
        Self { core, port }
    }

    /// Calls an operation of SQS; none when the core is gone meanwhile.
    fn call(&self, operation: &str, members: &Value) -> Option<Value> {
        let mut socket = TcpStream::connect(format!("127.0.0.1:{}", self.port)).ok()?;
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .ok()?;
        let body = members.to_string();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-amz-target: AmazonSQS.{operation}\r\n\
             content-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        assert!(head.starts_with("HTTP/1.1 200"), "{operation}: {answer}");
        match body {
            "" => Some(Value::Null),
            body => serde_json::from_str(body).ok(),
        }
    }
}

/// Sends batches of ten until the core is gone; what was acknowledged.
fn send_until_gone(
    core: &Served,
    url: &Value,
    sender: usize,
    acknowledged: &AtomicUsize,
) -> Vec<String> {
    let mut sent = Vec::new();
    for batch in 0.. {
        let bodies: Vec<String> = (0..10).map(|n| format!("{sender}/{batch}/{n}")).collect();
        let entries: Vec<Value> = bodies
            .iter()
            .enumerate()
            .map(|(id, body)| json!({ "Id": id.to_string(), "MessageBody": body }))
            .collect();
        let members = json!({ "QueueUrl": url, "Entries": entries });
        let Some(answer) = core.call("SendMessageBatch", &members) else {
            break;
        };
        assert_eq!(answer["Successful"].as_array().map(Vec::len), Some(10));
        acknowledged.fetch_add(10, Ordering::SeqCst);
        sent.extend(bodies);
    }
    sent
}

/// Receives until nothing comes any more, and deletes what came; the bodies.
fn take_all(core: &Served, url: &Value, taken: &Mutex<HashSet<String>>) {
    loop {
        let ask = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10 });
        let answer = core.call("ReceiveMessage", &ask).expect("it is served");
        let Some(messages) = answer["Messages"].as_array() else {
            return;
        };
        let entries: Vec<Value> = messages
            .iter()
            .enumerate()
            .map(|(id, one)| json!({ "Id": id.to_string(), "ReceiptHandle": one["ReceiptHandle"] }))
            .collect();
        let bodies = messages
            .iter()
            .map(|one| one["Body"].as_str().expect("a body"));
        taken
            .lock()
            .expect("no panic")
            .extend(bodies.map(str::to_owned));
        let delete = json!({ "QueueUrl": url, "Entries": entries });
        core.call("DeleteMessageBatch", &delete)
            .expect("it is served");
    }
}

#[test]
fn ten_thousand_messages_outlive_a_core_that_is_killed() {
    let folder = Folder::new();
    let core = Served::start(&folder);
    let made = core.call("CreateQueue", &json!({ "QueueName": "jobs" }));
    let url = made.expect("it is served")["QueueUrl"].clone();
    let acknowledged = AtomicUsize::new(0);
    let begun = Instant::now();
    let mut sent = Vec::new();
    let mut deleted = BTreeSet::new();
    std::thread::scope(|scope| {
        let (core_ref, url_ref, count) = (&core, &url, &acknowledged);
        let senders: Vec<_> = (0..4)
            .map(|sender| scope.spawn(move || send_until_gone(core_ref, url_ref, sender, count)))
            .collect();
        while acknowledged.load(Ordering::SeqCst) < MANY {
            assert!(
                begun.elapsed() < Duration::from_secs(80),
                "{acknowledged:?} are few"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        // Some are in somebody's hands, and one batch was finished.
        for round in 0..5 {
            let ask = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10 });
            let answer = core.call("ReceiveMessage", &ask).expect("it is served");
            for one in answer["Messages"]
                .as_array()
                .expect("messages")
                .iter()
                .filter(|_| round == 0)
            {
                let delete = json!({ "QueueUrl": url, "ReceiptHandle": one["ReceiptHandle"] });
                core.call("DeleteMessage", &delete).expect("it is served");
                deleted.insert(one["Body"].as_str().expect("a body").to_owned());
            }
        }
        signal(&core.core.0, "KILL");
        for sender in senders {
            sent.extend(sender.join().expect("no panic"));
        }
    });
    drop(core);
    assert!(sent.len() >= MANY);

    let core = Served::start(&folder);
    let found = core.call("GetQueueUrl", &json!({ "QueueName": "jobs" }));
    let url = found.expect("it is served")["QueueUrl"].clone();
    let taken = Mutex::new(HashSet::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| take_all(&core, &url, &taken));
        }
    });
    let taken = taken.into_inner().expect("no panic");
    let lost: Vec<&String> = sent
        .iter()
        .filter(|body| !taken.contains(*body) && !deleted.contains(*body))
        .collect();
    assert!(lost.is_empty(), "{} of {} are lost", lost.len(), sent.len());
    let risen: Vec<&String> = deleted
        .iter()
        .filter(|body| taken.contains(*body))
        .collect();
    assert!(
        risen.is_empty(),
        "what was deleted is there again: {risen:?}"
    );
    core.core.kill();

    let core = Served::start(&folder);
    let ask = json!({ "QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"] });
    let left = core.call("GetQueueAttributes", &ask).expect("it is served");
    assert_eq!(left["Attributes"]["ApproximateNumberOfMessages"], "0");
}
