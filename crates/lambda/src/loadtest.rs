//! Messages of the load test: a publisher's, and what a subscriber made of one.

use serde_json::Value;

/// A message of the load test. Times are Unix time in milliseconds, each by the clock of whoever wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadTestMessage {
    /// The device that published.
    pub publisher: String,
    /// The device that forwarded it, if one did.
    pub subscriber: Option<String>,
    /// When it was published.
    pub sent: f64,
    /// When it was forwarded, if it was.
    pub acknowledged: Option<f64>,
}

impl LoadTestMessage {
    /// Reads `{"device","sent"}` or `{"publisher","subscriber","sent","ack"}`; `None` for what claims to be neither.
    ///
    /// # Errors
    /// For what has `sent` and a device, but not as they must be: why.
    pub fn read(message: &Value) -> Option<Result<Self, String>> {
        let forwarded = message.get("publisher").is_some();
        let claims =
            message.get("sent").is_some() && (forwarded || message.get("device").is_some());
        claims.then(|| match forwarded {
            false => Ok(Self {
                publisher: text(message, "device")?,
                subscriber: None,
                sent: time(message, "sent")?,
                acknowledged: None,
            }),
            true => Ok(Self {
                publisher: text(message, "publisher")?,
                subscriber: Some(text(message, "subscriber")?),
                sent: time(message, "sent")?,
                acknowledged: Some(time(message, "ack")?),
            }),
        })
    }
}

fn text(message: &Value, name: &str) -> Result<String, String> {
    let text = message.get(name).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| format!("{name} is no text"))
}

fn time(message: &Value, name: &str) -> Result<f64, String> {
    let time = message.get(name).and_then(Value::as_f64);
    time.filter(|time| time.is_finite())
        .ok_or_else(|| format!("{name} is no number of milliseconds"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_are_read() {
        let published = json!({ "device": "pub0", "sent": 1_700_000_000_000_i64 });
        let published = LoadTestMessage::read(&published).unwrap().unwrap();
        assert_eq!(published.publisher, "pub0");
        assert_eq!((published.subscriber, published.acknowledged), (None, None));

        let forwarded =
            json!({ "publisher": "pub0", "subscriber": "sub1", "sent": 10, "ack": 12.5 });
        let forwarded = LoadTestMessage::read(&forwarded).unwrap().unwrap();
        assert_eq!(forwarded.subscriber.as_deref(), Some("sub1"));
        assert_eq!((forwarded.sent, forwarded.acknowledged), (10.0, Some(12.5)));
    }

    #[test]
    fn other_messages_are_not_taken_for_one() {
        for other in [
            json!({ "temperature": 21 }),
            json!({ "sent": 1 }),
            json!([1]),
            json!("sent"),
        ] {
            assert_eq!(LoadTestMessage::read(&other), None, "{other}");
        }
    }

    #[test]
    fn what_claims_to_be_one_must_be_whole() {
        for (broken, why) in [
            (json!({ "device": "pub0", "sent": "yesterday" }), "sent"),
            (json!({ "device": 7, "sent": 1 }), "device"),
            (
                json!({ "publisher": "pub0", "sent": 1, "ack": 2 }),
                "subscriber",
            ),
            (
                json!({ "publisher": "pub0", "subscriber": "sub0", "sent": 1 }),
                "ack",
            ),
        ] {
            let refused = LoadTestMessage::read(&broken).unwrap().unwrap_err();
            assert!(refused.starts_with(why), "{refused}");
        }
    }
}
