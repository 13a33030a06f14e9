//! CloudWatch as clients of each of its protocols see it.

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::Request;
use ciborium::Value as Cbor;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::super::serve::{BODY_LIMIT, serve};
use super::{Core, Got};

const SIGNED: (&str, &str) = (
    "authorization",
    "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=00",
);

/// From when to when is asked: metrics are stamped by the clock of the machine.
fn window() -> (i64, i64) {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    (now - 900, now + 60)
}

fn metric(name: &str, queue: &str) -> Value {
    let dimensions = json!([{ "Name": "QueueName", "Value": queue }]);
    json!({ "Namespace": "AWS/SQS", "MetricName": name, "Dimensions": dimensions })
}

fn query(name: &str, queue: &str) -> Value {
    let stat = json!({ "Metric": metric(name, queue), "Period": 60, "Stat": "Maximum" });
    let (start, end) = window();
    json!({
        "MetricDataQueries": [{ "Id": "age", "MetricStat": stat }],
        "StartTime": start,
        "EndTime": end,
    })
}

impl Core {
    /// A core with a message that has been in the queue `jobs` for a minute and a half.
    async fn with_old_message() -> Self {
        let core = Self::with_data_plane();
        for (operation, members) in [
            ("CreateQueue", json!({ "QueueName": "jobs" })),
            (
                "SendMessage",
                json!({ "QueueUrl": "http://localhost/123456789012/jobs", "MessageBody": "a" }),
            ),
        ] {
            let target = format!("AmazonSQS.{operation}");
            let headers = [("x-amz-target", target.as_str())];
            let body = members.to_string().into_bytes();
            assert_eq!(core.raw("POST", "/", &headers, body).await.status, 200);
        }
        core.hand.advance(Duration::seconds(90));
        core
    }

    async fn watched(&self, operation: &str, members: Value) -> Got {
        let target = format!("GraniteServiceVersion20100801.{operation}");
        let headers = [("x-amz-target", target.as_str()), SIGNED];
        self.raw("POST", "/", &headers, members.to_string().into_bytes())
            .await
    }

    /// Status, headers of an error and of the protocol, and body.
    async fn cbor(&self, operation: &str, body: Vec<u8>) -> (u16, String, Cbor) {
        let path = format!("/service/GraniteServiceVersion20100801/operation/{operation}");
        let request = Request::builder().method("POST").uri(path);
        let request = request
            .header("smithy-protocol", "rpc-v2-cbor")
            .header("content-type", "application/cbor");
        let request = request.body(Body::from(body)).unwrap();
        let response = serve(State(std::sync::Arc::clone(&self.server)), request).await;
        assert_eq!(response.headers()["smithy-protocol"], "rpc-v2-cbor");
        assert_eq!(response.headers()["content-type"], "application/cbor");
        let error = response.headers().get("x-amzn-query-error");
        let error = error.map(|error| error.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), BODY_LIMIT).await.unwrap();
        let body = ciborium::from_reader(&body[..]).unwrap();
        (status, error.unwrap_or_default(), body)
    }
}

fn octets(value: &Cbor) -> Vec<u8> {
    let mut octets = Vec::new();
    ciborium::into_writer(value, &mut octets).unwrap();
    octets
}

fn member<'a>(value: &'a Cbor, name: &str) -> &'a Cbor {
    let found = value.as_map().unwrap().iter();
    let mut found = found.filter(|(key, _)| key.as_text() == Some(name));
    &found
        .next()
        .unwrap_or_else(|| panic!("{name} in {value:?}"))
        .1
}

#[tokio::test]
async fn the_age_of_the_oldest_message_is_told_in_json() {
    let core = Core::with_old_message().await;
    let ask = async |name: &str, queue: &str| {
        let got = core.watched("GetMetricData", query(name, queue)).await;
        assert_eq!(got.status, 200, "{got:?}");
        got.body["MetricDataResults"][0].clone()
    };
    let told = ask("ApproximateAgeOfOldestMessage", "jobs").await;
    assert_eq!(told["Values"], json!([90.0]), "{told}");
    let at = told["Timestamps"][0].as_i64().unwrap();
    let (start, end) = window();
    assert!(start < at && at < end && at % 60 == 0, "{told}");
    let depth = ask("ApproximateNumberOfMessagesVisible", "jobs").await;
    assert_eq!(depth["Values"], json!([1.0]));
    for (name, queue) in [
        ("ApproximateAgeOfOldestMessage", "other"),
        ("NumberOfMessagesSent", "jobs"),
    ] {
        assert_eq!(
            ask(name, queue).await["Values"],
            json!([]),
            "{name} {queue}"
        );
    }
    let (start, end) = window();
    let mut members = metric("ApproximateAgeOfOldestMessage", "jobs");
    let asked = [
        ("StartTime", json!(start)),
        ("EndTime", json!(end)),
        ("Period", json!(300)),
    ];
    for (name, value) in asked {
        members[name] = value;
    }
    let neither = core.watched("GetMetricStatistics", members.clone()).await;
    let refused = (400, "InvalidParameterCombinationException");
    assert_eq!((neither.status, neither.error.as_str()), refused);
    members["Statistics"] = json!(["Average", "SampleCount"]);
    let got = core.watched("GetMetricStatistics", members).await;
    let [point] = got.body["Datapoints"].as_array().unwrap().as_slice() else {
        panic!("{got:?}");
    };
    let told = [&point["Average"], &point["SampleCount"], &point["Unit"]];
    assert_eq!(told, [&json!(90.0), &json!(1.0), &json!("Seconds")]);
}

#[tokio::test]
async fn a_window_without_now_has_nothing_and_nonsense_is_refused() {
    let core = Core::with_old_message().await;
    let name = "ApproximateAgeOfOldestMessage";
    let mut past = query(name, "jobs");
    past["StartTime"] = json!("2020-01-01T00:00:00Z");
    past["EndTime"] = json!("2020-01-02T00:00:00Z");
    let got = core.watched("GetMetricData", past).await;
    assert_eq!(got.body["MetricDataResults"][0]["Values"], json!([]));
    let wrong: [(&str, Value); 8] = [
        ("/EndTime", json!(0)),
        ("/EndTime", json!("soon")),
        ("/StartTime", json!(1e300)),
        ("/MetricDataQueries", json!([])),
        ("/MetricDataQueries/0/Id", json!("Age")),
        ("/MetricDataQueries/0/MetricStat", json!(null)),
        ("/MetricDataQueries/0/MetricStat/Period", json!(7)),
        ("/MetricDataQueries/0/MetricStat/Stat", json!("Mode")),
    ];
    for (pointer, value) in wrong {
        let mut members = query(name, "jobs");
        *members.pointer_mut(pointer).unwrap() = value;
        let got = core.watched("GetMetricData", members).await;
        let told = (got.status, got.error.as_str());
        let expected = (400, "InvalidParameterValueException");
        assert_eq!(told, expected, "{pointer}: {got:?}");
    }
}

#[tokio::test]
async fn yesterdays_clients_send_forms_and_are_answered_in_xml() {
    let core = Core::with_old_message().await;
    let (start, _) = window();
    let start = OffsetDateTime::from_unix_timestamp(start).unwrap();
    let format = time::format_description::well_known::Rfc3339;
    let start = start.format(&format).unwrap().replace(':', "%3A");
    let form = format!(
        "Action=GetMetricStatistics&Version=2010-08-01&Namespace=AWS%2FSQS&MetricName=ApproximateAgeOfOldestMessage\
         &Dimensions.member.1.Name=QueueName&Dimensions.member.1.Value=jobs&StartTime={start}\
         &EndTime=2999-01-01T00%3A00%3A00Z&Period=60&Statistics.member.1=Maximum"
    );
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        SIGNED,
    ];
    let got = core
        .raw("POST", "/", &headers, form.clone().into_bytes())
        .await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(got.body["Datapoints"][0]["Maximum"], 90.0, "{got:?}");
    let wrong = form.replace("Period=60", "Period=61").into_bytes();
    let got = core.raw("POST", "/", &headers, wrong).await;
    assert_eq!(
        (got.status, got.error.as_str()),
        (400, "InvalidParameterValue")
    );
}

#[tokio::test]
async fn sdks_speak_cbor() {
    let core = Core::with_old_message().await;
    let members = query("ApproximateAgeOfOldestMessage", "jobs");
    let mut members = Cbor::serialized(&members).unwrap();
    // As SDKs send them.
    for (name, value) in members.as_map_mut().unwrap() {
        if name.as_text().unwrap().ends_with("Time") {
            *value = Cbor::Tag(1, Box::new(value.clone()));
        }
    }
    let (status, _, told) = core.cbor("GetMetricData", octets(&members)).await;
    assert_eq!(status, 200, "{told:?}");
    let result = &member(&told, "MetricDataResults").as_array().unwrap()[0];
    assert_eq!(
        member(result, "Values"),
        &Cbor::Array(vec![Cbor::Float(90.0)])
    );
    let [Cbor::Tag(1, at)] = member(result, "Timestamps").as_array().unwrap().as_slice() else {
        panic!("{result:?}");
    };
    assert!(at.is_float());

    let empty = octets(&Cbor::Map(Vec::new()));
    let (status, error, told) = core.cbor("GetMetricData", empty).await;
    assert_eq!(
        (status, error.as_str()),
        (400, "InvalidParameterValue;Sender")
    );
    let kind = "com.amazonaws.cloudwatch#InvalidParameterValueException";
    assert_eq!(member(&told, "__type").as_text(), Some(kind));
    let (status, _, told) = core.cbor("PutMetricAlarm", octets(&members)).await;
    let message = member(&told, "message").as_text().unwrap();
    assert!(
        status == 501 && message.contains("PutMetricAlarm"),
        "{told:?}"
    );
    assert_eq!(core.cbor("BrewCoffee", Vec::new()).await.0, 400);

    let deep = [vec![0x81; 100_000], vec![0xf6]].concat();
    let hostile: [&[u8]; 7] = [
        b"\xff",
        b"{}",
        // An array and a text of as many as there can be, an endless one, and a number too large.
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x9f\xf6",
        b"\xa1\x61a\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
        &deep,
    ];
    for body in hostile {
        let (status, _, told) = core.cbor("GetMetricData", body.to_vec()).await;
        let shown = &body[..body.len().min(10)];
        assert_eq!(status, 400, "{shown:x?}: {told:?}");
    }
}
