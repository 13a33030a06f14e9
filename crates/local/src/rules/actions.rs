//! One action of a rule, carried out as far as it can be at once.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jitp_core::rule::{Evaluation, Substitution};

use super::engine::Engine;
use super::failure::Failure;
use super::inlet::{Job, Origin};
use super::republish::{self, MOST_REPUBLISHED, filled};
use crate::account::permissions::Behalf;
use crate::account::rules::{Action, Republish, SERVICE};
use crate::account::{State, TopicRule};
use crate::functions::Caller;
use crate::sqs::{Message, Queue, forbidden_character};

/// A message for a queue that is left to be sent, with others.
pub(super) type Rest = Option<(Arc<Queue>, Message)>;

/// What an action is carried out for.
pub(super) struct Occasion<'a> {
    pub(super) state: &'a State,
    pub(super) job: &'a Job,
    pub(super) rule: &'a TopicRule,
    pub(super) evaluation: &'a Evaluation<'a>,
}

impl Engine {
    /// Carries out an action on what the statement gave.
    pub(super) fn act(
        &mut self,
        occasion: &Occasion<'_>,
        action: &Action,
        output: &[u8],
    ) -> Result<Rest, Failure> {
        match action {
            Action::Sqs {
                queue_url,
                role,
                base64,
            } => self.send(occasion, output, queue_url, role, *base64),
            Action::Lambda { function_arn } => self.invoke(occasion, output, function_arn),
            Action::Republish(action) => self.republish(occasion, output, action),
            Action::S3 { bucket, key, role } => {
                self.put_object(occasion, output, bucket, key, role)
            }
        }
    }

    fn send(
        &mut self,
        on: &Occasion<'_>,
        output: &[u8],
        queue_url: &Substitution,
        role: &str,
        base64: bool,
    ) -> Result<Rest, Failure> {
        let failure = Failure::of("SqsAction");
        let url = filled(on.evaluation, queue_url).map_err(|why| failure("", EVALUATION, why))?;
        let Some(queue) = self.queues.of_url(&url) else {
            let why = format!("there is no queue {url}");
            return Err(failure(&url, "RULE_QUEUE_MISSING", why));
        };
        let role = self
            .permitted(on, role, "sqs:SendMessage", &queue.arn)
            .map_err(|why| failure(&url, ROLE, why))?;
        let body = match base64 {
            true => STANDARD.encode(output),
            false => match std::str::from_utf8(output) {
                Ok(text) => text.to_owned(),
                Err(_) => {
                    let why = "the message is not text; with useBase64 it could be sent".to_owned();
                    return Err(failure(&url, "RULE_MESSAGE_REFUSED", why));
                }
            },
        };
        let why = match forbidden_character(&body) {
            Some(letter) => Some(format!(
                "the message contains U+{:04X}, which queues do not take; with useBase64 it could be sent",
                u32::from(letter)
            )),
            None if body.is_empty() => {
                Some("the message is empty, which queues do not take".to_owned())
            }
            None => None,
        };
        if let Some(why) = why {
            return Err(failure(&url, "RULE_MESSAGE_REFUSED", why));
        }
        let message = Message::new(body, &role);
        let largest = queue.record().attributes.largest_message;
        if message.size() as u64 > largest {
            let why = format!(
                "the message has {} bytes; the queue takes {largest}",
                message.size()
            );
            return Err(failure(&url, "RULE_MESSAGE_REFUSED", why));
        }
        Ok(Some((queue, message)))
    }

    fn invoke(
        &mut self,
        on: &Occasion<'_>,
        output: &[u8],
        function_arn: &Substitution,
    ) -> Result<Rest, Failure> {
        let failure = Failure::of("LambdaAction");
        let arn =
            filled(on.evaluation, function_arn).map_err(|why| failure("", EVALUATION, why))?;
        if serde_json::from_slice::<serde::de::IgnoredAny>(output).is_err() {
            let why = "the message is not JSON, and functions take nothing else; encode(*, 'base64') makes it a text".to_owned();
            return Err(failure(&arn, "RULE_MESSAGE_REFUSED", why));
        }
        let caller = Caller {
            service: SERVICE,
            source_arn: &on.rule.arn,
            source_account: &on.state.scope.account_id,
        };
        let begun = self.invocations.begin(&arn, output.to_vec(), &caller);
        begun.map_err(|why| failure(&arn, "RULE_FUNCTION_REFUSED", why))?;
        Ok(None)
    }

    fn republish(
        &mut self,
        on: &Occasion<'_>,
        output: &[u8],
        action: &Republish,
    ) -> Result<Rest, Failure> {
        let failure = Failure::of("RepublishAction");
        let topic = republish::topic(on.evaluation, action)
            .map_err(|why| failure("", "RULE_TOPIC_REFUSED", why))?;
        let resource = on.state.scope.arn("topic", &topic);
        self.permitted(on, &action.role, "iot:Publish", &resource)
            .map_err(|why| failure(&topic, ROLE, why))?;
        let origin = &on.job.origin;
        if origin.republished >= MOST_REPUBLISHED {
            let why = format!(
                "the message was republished {MOST_REPUBLISHED} times; rules that go in a circle end here"
            );
            return Err(failure(&topic, "RULE_REPUBLISHED_TOO_OFTEN", why));
        }
        let now = self.account.clock().now().unix_timestamp();
        let message =
            republish::message(on.evaluation, action, topic.clone(), output.to_vec(), now)
                .map_err(|why| failure(&topic, "RULE_MESSAGE_REFUSED", why))?;
        let origin = Origin {
            republished: origin.republished + 1,
            ..origin.clone()
        };
        (self.republisher)(&message, origin);
        Ok(None)
    }

    fn put_object(
        &mut self,
        on: &Occasion<'_>,
        output: &[u8],
        bucket: &Substitution,
        key: &Substitution,
        role: &str,
    ) -> Result<Rest, Failure> {
        let failure = Failure::of("S3Action");
        let bucket = filled(on.evaluation, bucket).map_err(|why| failure("", EVALUATION, why))?;
        let key = filled(on.evaluation, key).map_err(|why| failure(&bucket, EVALUATION, why))?;
        let resource = format!("arn:aws:s3:::{bucket}/{key}");
        self.permitted(on, role, "s3:PutObject", &resource)
            .map_err(|why| failure(&bucket, ROLE, why))?;
        let Some(folder) = &self.objects else {
            let why =
                "the local core has no folder for objects; start it with --s3 DIR or --data DIR"
                    .to_owned();
            return Err(failure(&bucket, "RULE_NO_BUCKETS", why));
        };
        let written = object_path(folder, &bucket, &key).and_then(|path| {
            write_whole(&path, output).map_err(|error| format!("{}: {error}", path.display()))
        });
        written.map_err(|why| failure(&bucket, "RULE_OBJECT_NOT_WRITTEN", why))?;
        Ok(None)
    }

    /// Whether the role of an action lets the service do it; who then is the sender.
    fn permitted(
        &mut self,
        on: &Occasion<'_>,
        role: &str,
        action: &str,
        resource: &str,
    ) -> Result<String, String> {
        let behalf = Behalf {
            service: SERVICE,
            source_arn: &on.rule.arn,
            source_account: &on.state.scope.account_id,
        };
        let role = self
            .verdicts
            .ask(on.state, role, action, resource, &behalf)?;
        Ok(format!("{}:{}", role.id, on.rule.name))
    }
}

/// Where an object lies: a folder for the bucket, and the key as a path in it.
fn object_path(folder: &Path, bucket: &str, key: &str) -> Result<PathBuf, String> {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(plain) || bucket.starts_with('.') {
        return Err(format!("{bucket:?} is no name of a bucket"));
    }
    let parts: Vec<&str> = key.split('/').collect();
    let odd = |part: &&str| part.is_empty() || *part == "." || *part == ".." || part.contains('\0');
    if key.len() > 1024 || parts.iter().any(odd) {
        return Err(format!("the key {key:?} cannot be the name of a file"));
    }
    Ok(folder.join(bucket).join(key))
}

/// Rules wait for it, publishers do not: it is 128 KiB at most.
fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}

const EVALUATION: &str = "RULE_EVALUATION_FAILED";
const ROLE: &str = "RULE_ROLE_REFUSED";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leads_out_of_its_bucket() {
        let folder = Path::new("/objects");
        let path = |bucket: &str, key: &str| object_path(folder, bucket, key);
        assert_eq!(
            path("bucket", "a/b.json").unwrap(),
            Path::new("/objects/bucket/a/b.json")
        );
        for (bucket, key) in [
            ("..", "a"),
            ("...", "a"),
            ("a/b", "a"),
            ("Bucket", "a"),
            ("bucket", ""),
            ("bucket", "../a"),
            ("bucket", "a/../../b"),
            ("bucket", "/etc/passwd"),
            ("bucket", "a\0"),
        ] {
            assert!(path(bucket, key).is_err(), "{bucket} {key}");
        }
    }
}
