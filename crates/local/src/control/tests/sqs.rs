//! SQS as a client of its JSON protocol sees it. Every answer is judged by the model.

use std::time::Instant;

use serde_json::{Value, json};
use time::Duration;

use super::{Core, Got};

const URL: &str = "http://localhost:4566/123456789012/jobs";

impl Core {
    /// Calls an operation of SQS.
    async fn sqs(&self, operation: &str, members: Value) -> Got {
        let target = format!("AmazonSQS.{operation}");
        let headers = [("x-amz-target", target.as_str())];
        self.raw("POST", "/", &headers, members.to_string().into_bytes())
            .await
    }

    /// Calls, and wants success.
    async fn queued(&self, operation: &str, members: Value) -> Value {
        let got = self.sqs(operation, members).await;
        assert_eq!(got.status, 200, "{operation}: {got:?}");
        got.body
    }

    /// Calls, and wants a refusal.
    async fn unqueued(&self, operation: &str, members: Value, code: &str) -> String {
        let got = self.sqs(operation, members).await;
        assert_eq!((got.status, got.error.as_str()), (400, code), "{got:?}");
        assert_eq!(got.body["__type"], format!("com.amazonaws.sqs#{code}"));
        got.body["message"].as_str().unwrap().to_owned()
    }

    async fn with_queue(attributes: Value) -> Self {
        let core = Self::with_data_plane();
        let queue = json!({ "QueueName": "jobs", "Attributes": attributes });
        let made = core.queued("CreateQueue", queue).await;
        assert_eq!(made["QueueUrl"], URL);
        core
    }

    async fn attribute(&self, name: &str) -> Value {
        let ask = json!({ "QueueUrl": URL, "AttributeNames": ["All"] });
        self.queued("GetQueueAttributes", ask).await["Attributes"][name].clone()
    }

    async fn send(&self, body: &str) -> Value {
        self.queued(
            "SendMessage",
            json!({ "QueueUrl": URL, "MessageBody": body }),
        )
        .await
    }

    async fn receive(&self, more: Value) -> Vec<Value> {
        let mut ask = json!({ "QueueUrl": URL, "MaxNumberOfMessages": 10 });
        ask.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let got = self.queued("ReceiveMessage", ask).await;
        got["Messages"].as_array().cloned().unwrap_or_default()
    }
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    let bodies = messages.iter().map(|message| message["Body"].as_str());
    bodies.map(Option::unwrap).collect()
}

#[tokio::test]
async fn a_message_is_sent_received_and_deleted() {
    let core = Core::with_queue(json!({})).await;
    let attribute = json!({ "color": { "DataType": "String", "StringValue": "red" } });
    let message =
        json!({ "QueueUrl": URL, "MessageBody": "hello", "MessageAttributes": attribute });
    let sent = core.queued("SendMessage", message).await;
    assert_eq!(sent["MD5OfMessageBody"], "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(core.attribute("ApproximateNumberOfMessages").await, "1");
    let names = json!({ "AttributeNames": ["All"], "MessageAttributeNames": ["col.*"] });
    let received = core.receive(names).await;
    let message = &received[0];
    assert_eq!(message["MessageId"], sent["MessageId"]);
    assert_eq!(
        message["MD5OfMessageAttributes"],
        sent["MD5OfMessageAttributes"]
    );
    assert_eq!(message["MessageAttributes"], attribute);
    assert_eq!(message["Attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(message["Attributes"]["SentTimestamp"], "1767225600000");
    assert!(
        core.receive(json!({})).await.is_empty(),
        "it is out of sight"
    );
    assert_eq!(
        core.attribute("ApproximateNumberOfMessagesNotVisible")
            .await,
        "1"
    );
    let handle = json!({ "QueueUrl": URL, "ReceiptHandle": message["ReceiptHandle"] });
    core.queued("DeleteMessage", handle.clone()).await;
    // Whoever deletes twice is told nothing.
    core.queued("DeleteMessage", handle).await;
    assert_eq!(
        core.attribute("ApproximateNumberOfMessagesNotVisible")
            .await,
        "0"
    );
}

#[tokio::test]
async fn what_is_not_deleted_comes_back_and_ends_as_a_dead_letter() {
    let core = Core::with_data_plane();
    core.queued("CreateQueue", json!({ "QueueName": "dead" }))
        .await;
    let dead = "http://localhost:4566/123456789012/dead";
    let redrive = json!({ "deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:dead", "maxReceiveCount": 2 });
    let attributes = json!({ "RedrivePolicy": redrive.to_string(), "VisibilityTimeout": "5" });
    core.queued(
        "CreateQueue",
        json!({ "QueueName": "jobs", "Attributes": attributes }),
    )
    .await;
    let sources = core
        .queued("ListDeadLetterSourceQueues", json!({ "QueueUrl": dead }))
        .await;
    assert_eq!(sources["queueUrls"], json!([URL]));
    let sent = core.send("poison").await;
    let mut handles = Vec::new();
    for count in ["1", "2"] {
        let received = core
            .receive(json!({ "AttributeNames": ["ApproximateReceiveCount"] }))
            .await;
        assert_eq!(received[0]["Attributes"]["ApproximateReceiveCount"], count);
        handles.push(received[0]["ReceiptHandle"].clone());
        core.hand.advance(Duration::seconds(5));
    }
    // An old handle deletes nothing, and is not told so.
    core.queued(
        "DeleteMessage",
        json!({ "QueueUrl": URL, "ReceiptHandle": handles[0] }),
    )
    .await;
    assert!(core.receive(json!({})).await.is_empty());
    let ask = json!({ "QueueUrl": dead, "MessageSystemAttributeNames": ["All"] });
    let letters = core.queued("ReceiveMessage", ask).await;
    let letter = &letters["Messages"][0];
    assert_eq!(letter["MessageId"], sent["MessageId"]);
    assert_eq!(letter["Attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(
        letter["Attributes"]["DeadLetterQueueSourceArn"],
        "arn:aws:sqs:eu-west-1:123456789012:jobs"
    );
    assert_eq!(
        letter["Attributes"]["SentTimestamp"], "1767225600000",
        "it keeps its age"
    );
    let told = core.settings().diary.recent();
    assert!(
        told.iter().any(|entry| entry.code == "DEAD_LETTER"),
        "{told:?}"
    );
}

#[tokio::test]
async fn visibility_is_changed_by_whoever_has_the_message() {
    let core = Core::with_queue(json!({ "VisibilityTimeout": "60" })).await;
    core.send("a").await;
    let received = core.receive(json!({})).await;
    let change = |seconds: i64| json!({ "QueueUrl": URL, "ReceiptHandle": received[0]["ReceiptHandle"], "VisibilityTimeout": seconds });
    core.queued("ChangeMessageVisibility", change(100)).await;
    core.hand.advance(Duration::seconds(99));
    assert!(core.receive(json!({})).await.is_empty());
    core.queued("ChangeMessageVisibility", change(0)).await;
    core.unqueued("ChangeMessageVisibility", change(0), "MessageNotInflight")
        .await;
    assert_eq!(bodies(&core.receive(json!({})).await), ["a"]);
    let invalid = "InvalidParameterValueException";
    core.unqueued("ChangeMessageVisibility", change(43_201), invalid)
        .await;
    let foreign = json!({ "QueueUrl": URL, "ReceiptHandle": "nonsense", "VisibilityTimeout": 1 });
    core.unqueued("ChangeMessageVisibility", foreign, "ReceiptHandleIsInvalid")
        .await;
}

#[tokio::test]
async fn a_batch_is_judged_entry_by_entry() {
    let core = Core::with_queue(json!({ "MaximumMessageSize": "1024" })).await;
    let entries = json!([
        { "Id": "good", "MessageBody": "a" },
        { "Id": "long", "MessageBody": "a".repeat(1025) },
        { "Id": "bell", "MessageBody": "\u{7}" },
        { "Id": "late", "MessageBody": "b", "DelaySeconds": 10 },
    ]);
    let sent = core
        .queued(
            "SendMessageBatch",
            json!({ "QueueUrl": URL, "Entries": entries }),
        )
        .await;
    let ids = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|entry| entry["Id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&sent["Successful"]), ["good", "late"]);
    assert_eq!(ids(&sent["Failed"]), ["long", "bell"]);
    assert_eq!(sent["Failed"][1]["Code"], "InvalidMessageContents");
    assert_eq!(
        core.attribute("ApproximateNumberOfMessagesDelayed").await,
        "1"
    );
    core.hand.advance(Duration::seconds(10));
    let received = core.receive(json!({})).await;
    assert_eq!(bodies(&received), ["a", "b"]);
    let entries: Vec<Value> = ["ReceiptHandle", "Body"]
        .iter()
        .enumerate()
        .map(|(id, member)| json!({ "Id": id.to_string(), "ReceiptHandle": received[0][member] }))
        .collect();
    let deleted = core
        .queued(
            "DeleteMessageBatch",
            json!({ "QueueUrl": URL, "Entries": entries }),
        )
        .await;
    assert_eq!(ids(&deleted["Successful"]), ["0"]);
    assert_eq!(deleted["Failed"][0]["Code"], "ReceiptHandleIsInvalid");
    let entry = |id: &str| json!({ "Id": id, "MessageBody": "a" });
    for (entries, code) in [
        (json!([]), "EmptyBatchRequest"),
        (json!([entry("a"), entry("a")]), "BatchEntryIdsNotDistinct"),
        (json!([entry("a b")]), "InvalidBatchEntryId"),
        (
            (0..11).map(|id| entry(&id.to_string())).collect(),
            "TooManyEntriesInBatchRequest",
        ),
    ] {
        let batch = json!({ "QueueUrl": URL, "Entries": entries });
        core.unqueued("SendMessageBatch", batch, code).await;
    }
}

#[tokio::test]
async fn a_receive_waits_for_what_is_sent_meanwhile_and_not_longer() {
    let core = Core::with_queue(json!({})).await;
    let begun = Instant::now();
    let (received, _) = tokio::join!(core.receive(json!({ "WaitTimeSeconds": 20 })), async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        core.send("at last").await
    });
    assert_eq!(bodies(&received), ["at last"]);
    assert!(begun.elapsed().as_secs() < 10);
    let begun = Instant::now();
    assert!(
        core.receive(json!({ "WaitTimeSeconds": 1 }))
            .await
            .is_empty()
    );
    assert!(begun.elapsed().as_millis() >= 1000);
}

#[tokio::test]
async fn a_queue_is_made_once_and_its_name_is_free_a_minute_after_it_was_deleted() {
    let core = Core::with_queue(json!({ "VisibilityTimeout": "7" })).await;
    let again = |visibility: &str| json!({ "QueueName": "jobs", "Attributes": { "VisibilityTimeout": visibility } });
    core.queued("CreateQueue", again("7")).await;
    let message = core
        .unqueued("CreateQueue", again("8"), "QueueNameExists")
        .await;
    assert!(message.contains("VisibilityTimeout"), "{message}");
    let change = json!({ "QueueUrl": URL, "Attributes": { "VisibilityTimeout": "8" } });
    core.queued("SetQueueAttributes", change).await;
    core.queued("CreateQueue", again("8")).await;
    core.queued(
        "TagQueue",
        json!({ "QueueUrl": URL, "Tags": { "a": "b", "c": "d" } }),
    )
    .await;
    core.queued("UntagQueue", json!({ "QueueUrl": URL, "TagKeys": ["c"] }))
        .await;
    let tags = core
        .queued("ListQueueTags", json!({ "QueueUrl": URL }))
        .await;
    assert_eq!(tags["Tags"], json!({ "a": "b" }));
    core.send("a").await;
    core.queued("PurgeQueue", json!({ "QueueUrl": URL })).await;
    assert_eq!(core.attribute("ApproximateNumberOfMessages").await, "0");
    core.unqueued(
        "PurgeQueue",
        json!({ "QueueUrl": URL }),
        "PurgeQueueInProgress",
    )
    .await;
    core.queued("DeleteQueue", json!({ "QueueUrl": URL })).await;
    let gone = "QueueDoesNotExist";
    core.unqueued("GetQueueUrl", json!({ "QueueName": "jobs" }), gone)
        .await;
    core.unqueued(
        "SendMessage",
        json!({ "QueueUrl": URL, "MessageBody": "a" }),
        gone,
    )
    .await;
    core.unqueued("CreateQueue", again("7"), "QueueDeletedRecently")
        .await;
    core.hand.advance(Duration::seconds(60));
    core.queued("CreateQueue", again("7")).await;
    assert_eq!(
        core.attribute("QueueArn").await,
        "arn:aws:sqs:eu-west-1:123456789012:jobs"
    );
}

#[tokio::test]
async fn what_is_no_queue_here_is_refused_in_the_words_of_sqs() {
    let core = Core::with_queue(json!({})).await;
    let invalid = "InvalidParameterValueException";
    for name in ["", "a b", "a.b", &"a".repeat(81)] {
        core.unqueued("CreateQueue", json!({ "QueueName": name }), invalid)
            .await;
    }
    core.unqueued(
        "CreateQueue",
        json!({ "QueueName": "a.fifo" }),
        "UnsupportedOperation",
    )
    .await;
    let fifo = json!({ "QueueName": "a", "Attributes": { "FifoQueue": "true" } });
    core.unqueued("CreateQueue", fifo, "UnsupportedOperation")
        .await;
    let redrive = json!({ "deadLetterTargetArn": "arn:aws:sqs:eu-west-1:123456789012:gone", "maxReceiveCount": 2 });
    let lost = json!({ "QueueName": "a", "Attributes": { "RedrivePolicy": redrive.to_string() } });
    let message = core.unqueued("CreateQueue", lost, invalid).await;
    assert!(message.contains("does not exist"), "{message}");
    for url in [
        "jobs",
        "http://localhost/210987654321/jobs",
        "http://localhost/123456789012/other",
    ] {
        core.unqueued(
            "PurgeQueue",
            json!({ "QueueUrl": url }),
            "QueueDoesNotExist",
        )
        .await;
    }
    // AWS's own URL of the queue leads here.
    let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs";
    core.queued(
        "SendMessage",
        json!({ "QueueUrl": url, "MessageBody": "a" }),
    )
    .await;
    let empty = json!({ "QueueUrl": URL, "MessageBody": "" });
    core.unqueued("SendMessage", empty, "MissingRequiredParameterException")
        .await;
    let signed = "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/sqs/aws4_request, Signature=0";
    let form = core
        .raw(
            "POST",
            "/",
            &[("authorization", signed)],
            b"Action=ListQueues".to_vec(),
        )
        .await;
    assert_eq!(
        (form.status, form.error.as_str()),
        (400, "InvalidAction"),
        "{form:?}"
    );
}

#[tokio::test]
async fn messages_are_kept_as_long_as_the_queue_says() {
    let core = Core::with_queue(json!({ "MessageRetentionPeriod": "60" })).await;
    core.send("old").await;
    core.hand.advance(Duration::seconds(40));
    core.send("young").await;
    core.hand.advance(Duration::seconds(21));
    assert_eq!(bodies(&core.receive(json!({})).await), ["young"]);
}

#[tokio::test]
async fn lists_come_in_pages_where_a_size_is_given() {
    let core = Core::with_data_plane();
    for name in ["b", "a2", "a1"] {
        core.queued("CreateQueue", json!({ "QueueName": name }))
            .await;
    }
    let all = core.queued("ListQueues", json!({})).await;
    assert_eq!(all["QueueUrls"].as_array().unwrap().len(), 3);
    let first = core
        .queued(
            "ListQueues",
            json!({ "QueueNamePrefix": "a", "MaxResults": 1 }),
        )
        .await;
    assert_eq!(first["NextToken"], "a1");
    let ask = json!({ "QueueNamePrefix": "a", "MaxResults": 1, "NextToken": "a1" });
    let second = core.queued("ListQueues", ask).await;
    assert_eq!(
        second,
        json!({ "QueueUrls": ["http://localhost:4566/123456789012/a2"] })
    );
}
