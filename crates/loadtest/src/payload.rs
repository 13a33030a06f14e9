//! What messages consist of: templates of topics and payloads, and what is read out of a message that arrived.

use std::io::Write as _;

use serde::Deserialize;

use crate::scenario::Scenario;

/// A payload with placeholders, cut up once.
///
/// `{device}`, `{index}`, `{seq}` (number of the message, from 0), `{sent}` (when the message was due: Unix time in
/// milliseconds with three decimals), `{run}`, and `{rand}` (a random number of 32 bits). Braces that hold anything else
/// are text, so that a payload may be JSON.
#[derive(Clone, Debug)]
pub struct Template {
    parts: Vec<Part>,
    /// Least length in bytes; the payload is padded to it.
    size: usize,
    checked: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Device,
    Index,
    Seq,
    Sent,
    Run,
    Rand,
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A word in braces that looks like a placeholder and is none.
    #[error("{{{word}}} is no placeholder: device, index, seq, sent, run, rand")]
    Unknown {
        /// The word.
        word: String,
    },
    /// A message would be larger than AWS IoT Core takes.
    #[error("a message of {size} bytes: AWS IoT Core takes 131072")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
}

/// What goes into a payload.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// Name of the publisher.
    pub device: &'a str,
    /// Its number.
    pub index: u32,
    /// Number of the message.
    pub seq: u64,
    /// When it was due: Unix time in microseconds.
    pub sent: u64,
    /// Id of the run.
    pub run: &'a str,
}

/// What the seed's load test sends, and what this one needs to check it.
const DEFAULT: &str = r#"{"device":"{device}","sent":{sent},"seq":{seq},"run":"{run}"}"#;
/// Comes before the padding of the default payload; a quote and a brace follow it.
const PAD: &str = r#","pad":""#;

impl Template {
    /// The template of a scenario's payload.
    ///
    /// # Errors
    /// An unknown placeholder, or a message that is too large.
    pub fn new(scenario: &Scenario) -> Result<Self, TemplateError> {
        let given = scenario.publish.payload.as_deref();
        let parts = cut(given.unwrap_or(DEFAULT))?;
        let template = Self {
            parts,
            size: scenario.publish.size,
            checked: false,
        };
        let device = format!("{}0", scenario.names.publisher);
        let values = example(&device);
        let example = template.example(&values);
        if example.len() > jitp_wire::limits::PAYLOAD_BYTES {
            return Err(TemplateError::TooLarge {
                size: example.len(),
            });
        }
        let checked = matches!(Stamp::read(&example), Some(stamp)
            if stamp.device == values.device && stamp.seq == Some(1) && stamp.run == Some(values.run));
        Ok(Self {
            checked,
            ..template
        })
    }

    fn example(&self, values: &Values<'_>) -> Vec<u8> {
        let mut example = Vec::new();
        self.write(&mut example, values);
        example
    }

    /// Bytes of a payload, the first publisher's.
    pub fn example_size(&self, scenario: &Scenario) -> usize {
        self.example(&example(&format!("{}0", scenario.names.publisher)))
            .len()
    }

    /// Whether messages say who sent them, when, in which run and as which: only then can be told what was lost, doubled
    /// or late. True of the payload that is used unless another is given.
    pub fn is_checked(&self) -> bool {
        self.checked
    }

    /// Appends a payload.
    pub fn write(&self, out: &mut Vec<u8>, values: &Values<'_>) {
        let start = out.len();
        for part in &self.parts {
            // Writing to memory does not fail.
            let _ = match part {
                Part::Text(text) => out.write_all(text.as_bytes()),
                Part::Device => out.write_all(values.device.as_bytes()),
                Part::Index => write!(out, "{}", values.index),
                Part::Seq => write!(out, "{}", values.seq),
                Part::Sent => write_milliseconds(out, values.sent),
                Part::Run => out.write_all(values.run.as_bytes()),
                Part::Rand => write!(out, "{}", rand::random::<u32>()),
            };
        }
        let written = out.len() - start;
        if written < self.size {
            pad(out, start, self.size - written);
        }
    }
}

fn example(device: &str) -> Values<'_> {
    Values {
        device,
        index: 0,
        seq: 1,
        sent: 1_700_000_000_000_000,
        run: "0123456789abcdef",
    }
}

/// Unix time in microseconds as one in milliseconds with three decimals.
pub(crate) fn write_milliseconds(out: &mut Vec<u8>, micros: u64) -> std::io::Result<()> {
    write!(out, "{}.{:03}", micros / 1000, micros % 1000)
}

/// Makes a payload longer by at least so many bytes, within its last brace if it is an object, so that it stays JSON.
fn pad(out: &mut Vec<u8>, start: usize, missing: usize) {
    let opened = out.get(start) == Some(&b'{');
    match (opened, out.pop()) {
        (true, Some(b'}')) => {
            out.extend_from_slice(PAD.as_bytes());
            out.resize(out.len() + missing.saturating_sub(PAD.len() + 1), b'x');
            out.extend_from_slice(b"\"}");
        }
        (_, last) => {
            out.extend(last);
            out.resize(out.len() + missing, b' ');
        }
    }
}

fn cut(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (before, after) = rest.split_at(start);
        plain.push_str(before);
        let word = after[1..]
            .split_once('}')
            .map(|(word, _)| word)
            .filter(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()));
        let Some(word) = word else {
            plain.push('{');
            rest = &after[1..];
            continue;
        };
        let part = match word {
            "device" => Part::Device,
            "index" => Part::Index,
            "seq" => Part::Seq,
            "sent" => Part::Sent,
            "run" => Part::Run,
            "rand" => Part::Rand,
            word => {
                return Err(TemplateError::Unknown {
                    word: word.to_owned(),
                });
            }
        };
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(part);
        rest = &after[word.len() + 2..];
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

/// A topic or filter of a device: `{device}` and `{index}` filled in.
pub fn topic(template: &str, device: &str, index: u32) -> String {
    match template.contains('{') {
        true => template
            .replace("{device}", device)
            .replace("{index}", &index.to_string()),
        false => template.to_owned(),
    }
}

/// What a message says of itself.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Stamp<'a> {
    /// The publisher.
    #[serde(alias = "publisher")]
    pub device: &'a str,
    /// When it was due: Unix time in milliseconds.
    pub sent: f64,
    /// Its number at that publisher, from 0.
    pub seq: Option<u64>,
    /// Id of the run.
    pub run: Option<&'a str>,
    /// Who forwarded it.
    pub subscriber: Option<&'a str>,
}

impl<'a> Stamp<'a> {
    /// Reads it; none if the payload is something else.
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    /// When it was due, Unix time in microseconds.
    pub fn sent_micros(&self) -> u64 {
        (self.sent * 1000.0).round() as u64
    }
}

/// Appends what a subscriber forwards. The members are those of the seed; `seq` and `run` are added.
pub(crate) fn write_forward(out: &mut Vec<u8>, stamp: &Stamp<'_>, subscriber: &str, now: u64) {
    // Writing to memory does not fail.
    let _ = write!(
        out,
        r#"{{"publisher":"{}","subscriber":"{subscriber}","sent":"#,
        stamp.device
    );
    let _ = write_milliseconds(out, stamp.sent_micros());
    out.extend_from_slice(br#","ack":"#);
    let _ = write_milliseconds(out, now);
    if let (Some(seq), Some(run)) = (stamp.seq, stamp.run) {
        let _ = write!(out, r#","seq":{seq},"run":"{run}""#);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(payload: Option<&str>, size: usize) -> Scenario {
        let mut scenario = Scenario::read("x", "publishers = 1").unwrap();
        scenario.publish.payload = payload.map(str::to_owned);
        scenario.publish.size = size;
        scenario
    }

    fn values() -> Values<'static> {
        Values {
            device: "pub7",
            index: 7,
            seq: 3,
            sent: 1_700_000_000_123_456,
            run: "abc",
        }
    }

    #[test]
    fn what_is_written_is_read_back_to_the_microsecond() {
        let template = Template::new(&scenario(None, 300)).unwrap();
        assert!(template.is_checked());
        let mut out = Vec::new();
        template.write(&mut out, &values());
        assert_eq!(out.len(), 300);
        let stamp = Stamp::read(&out).unwrap();
        assert_eq!(stamp.device, "pub7");
        assert_eq!(stamp.sent_micros(), 1_700_000_000_123_456);
        assert_eq!((stamp.seq, stamp.run), (Some(3), Some("abc")));

        let mut forwarded = Vec::new();
        write_forward(&mut forwarded, &stamp, "sub1", 1_700_000_000_200_001);
        assert_eq!(
            String::from_utf8(forwarded).unwrap(),
            r#"{"publisher":"pub7","subscriber":"sub1","sent":1700000000123.456,"ack":1700000000200.001,"seq":3,"run":"abc"}"#
        );
    }

    #[test]
    fn a_payload_of_ones_own_is_checked_if_it_says_who_and_when() {
        let own = r#"{"t":{rand},"device":"{device}","sent":{sent},"seq":{seq},"run":"{run}","o":{"a":{}}}"#;
        assert!(Template::new(&scenario(Some(own), 0)).unwrap().is_checked());
        let plain = Template::new(&scenario(Some("hello {index} {Not}"), 20)).unwrap();
        assert!(!plain.is_checked());
        let mut out = Vec::new();
        plain.write(&mut out, &values());
        assert_eq!(out, b"hello 7 {Not}       ");
        let unknown = Template::new(&scenario(Some("{nothing}"), 0)).unwrap_err();
        assert!(
            unknown
                .to_string()
                .starts_with("{nothing} is no placeholder")
        );
        assert!(Template::new(&scenario(Some(&"x".repeat(131_073)), 0)).is_err());
    }

    #[test]
    fn padding_is_never_too_short_and_stays_json() {
        for size in 0..200 {
            let template = Template::new(&scenario(None, size)).unwrap();
            let mut out = Vec::new();
            template.write(&mut out, &values());
            assert!(out.len() >= size);
            assert!(Stamp::read(&out).is_some(), "{size}");
        }
    }
}
