//! What is set up by the APIs: a role, a queue, a rule, an event source mapping.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use jitp_bench::Result;
use serde_json::{Value, json};

const ACCOUNT: &str = "123456789012";
/// How long a run may take after the last message was published.
const PATIENCE: Duration = Duration::from_secs(120);

/// Calls a core's APIs.
pub(crate) struct Setup {
    control: SocketAddr,
}

impl Setup {
    pub(crate) fn new(control: SocketAddr) -> Self {
        Self { control }
    }

    /// Calls an operation; its answer, or nothing where that is no JSON.
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> Result<Value> {
        let mut socket = TcpStream::connect(self.control)?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        if !head.starts_with("HTTP/1.1 20") {
            return Err(format!("{method} {path}: {answer}").into());
        }
        Ok(serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn sqs(&self, operation: &str, members: &Value) -> Result<Value> {
        let header = format!("x-amz-target: AmazonSQS.{operation}\r\n");
        self.call("POST", "/", &header, &members.to_string())
    }

    fn iam(&self, form: &str) -> Result<Value> {
        let header = "content-type: application/x-www-form-urlencoded\r\n";
        self.call("POST", "/", header, form)
    }

    /// A queue, and a rule that puts every message of a device into it.
    pub(crate) fn rule_into_queue(&self) -> Result<()> {
        let made = self.sqs("CreateQueue", &json!({ "QueueName": "jobs" }))?;
        self.iam(
            "Action=CreateRole&RoleName=writer&AssumeRolePolicyDocument=%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C\
             %22Principal%22%3A%7B%22Service%22%3A%22iot.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%7D",
        )?;
        self.iam(
            "Action=PutRolePolicy&RoleName=writer&PolicyName=own&PolicyDocument=%7B%22Statement%22%3A%7B%22Effect%22%3A\
             %22Allow%22%2C%22Action%22%3A%22sqs%3ASendMessage%22%2C%22Resource%22%3A%22*%22%7D%7D",
        )?;
        let role = format!("arn:aws:iam::{ACCOUNT}:role/writer");
        let rule = json!({
            "sql": "SELECT * FROM '+'", "awsIotSqlVersion": "2016-03-23",
            "actions": [{ "sqs": { "queueUrl": made["QueueUrl"], "roleArn": role } }],
        });
        self.call("POST", "/rules/bench", "", &rule.to_string())?;
        Ok(())
    }

    /// A mapping of the queue to the function.
    pub(crate) fn map_function(&self) -> Result<()> {
        let mapping = json!({
            "EventSourceArn": format!("arn:aws:sqs:eu-central-1:{ACCOUNT}:jobs"), "FunctionName": "consume",
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        });
        self.call(
            "POST",
            "/2015-03-31/event-source-mappings",
            "",
            &mapping.to_string(),
        )?;
        Ok(())
    }

    /// Waits until the queue holds that many messages.
    pub(crate) async fn until_depth(&self, wanted: u32) -> Result<()> {
        let names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
        ];
        let ask = json!({ "QueueUrl": format!("http://localhost/{ACCOUNT}/jobs"), "AttributeNames": names });
        let begun = Instant::now();
        loop {
            let told = self.sqs("GetQueueAttributes", &ask)?;
            let count = |name: &str| told["Attributes"][name].as_str()?.parse::<u32>().ok();
            let depth: u32 = names.iter().filter_map(|name| count(name)).sum();
            if depth == wanted {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("the queue holds {depth} messages and not {wanted}").into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
