//! The engine: takes messages with the rules that see them, evaluates the statements, carries out the actions, and
//! the error action of a rule where one of its actions failed.
//!
//! It works on what has come in together, so that what goes to one queue is written to the disk as one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use jitp_core::rule::{Message as Facts, Properties};
use jitp_wire::MessageProperties;
use tokio_util::sync::CancellationToken;

use super::actions::Occasion;
use super::failure::{Failure, report};
use super::inlet::{Job, Outlet};
use super::invocations::Invocations;
use super::republish::Republisher;
use super::roles::Verdicts;
use super::world::{Answered, Call, World, random_uuid};
use crate::account::rules::SERVICE;
use crate::account::{Account, TopicRule};
use crate::diary::{Diary, Entry, PerSecond};
use crate::functions::{Caller, Functions};
use crate::sqs::{Message, Queue, Queues};

/// Most messages taken at once.
const TOGETHER: usize = 512;
/// Most functions that one statement calls.
const MOST_CALLS: usize = 10;
/// Failures told each second: a rule that fails for every message must not push all else out of the diary.
const TOLD_PER_SECOND: u32 = 10;

/// What an engine is made from.
pub(crate) struct EngineSettings {
    /// The account whose rules and roles count.
    pub(crate) account: Account,
    /// Where failures are told.
    pub(crate) diary: Diary,
    /// The queues that rules write to.
    pub(crate) queues: Queues,
    /// The functions that rules call.
    pub(crate) functions: Functions,
    /// Publishes what rules republish.
    pub(crate) republisher: Republisher,
    /// The folder of the buckets that rules write to.
    pub(crate) objects: Option<PathBuf>,
}

/// Executes rules.
pub(crate) struct Engine {
    pub(super) account: Account,
    diary: Diary,
    pub(super) queues: Queues,
    pub(super) invocations: Invocations,
    pub(super) republisher: Republisher,
    pub(super) objects: Option<PathBuf>,
    pub(super) verdicts: Verdicts,
    told: PerSecond,
}

/// Messages for one queue, and which rule of which message each is from.
struct Parcel {
    queue: Arc<Queue>,
    messages: Vec<(Message, u64)>,
    from: Vec<(usize, usize)>,
}

/// A statement that ended at a call of a function, which is still to be made.
struct Waiting {
    /// Message and rule.
    from: (usize, usize),
    answered: Vec<Answered>,
    call: Call,
}

/// What went wrong, by message and rule.
type Failures = Vec<((usize, usize), Failure)>;

impl Engine {
    pub(crate) fn new(settings: EngineSettings) -> Self {
        Self {
            invocations: Invocations::new(settings.functions, settings.diary.clone()),
            account: settings.account,
            diary: settings.diary,
            queues: settings.queues,
            republisher: settings.republisher,
            objects: settings.objects,
            verdicts: Verdicts::default(),
            told: PerSecond::default(),
        }
    }

    /// Works until `shutdown`, and then what has come in by then.
    pub(crate) async fn run(mut self, mut outlet: Outlet, shutdown: CancellationToken) {
        let mut jobs = Vec::new();
        loop {
            let taken = shutdown.run_until_cancelled(outlet.jobs.recv_many(&mut jobs, TOGETHER));
            match taken.await {
                Some(0) => return,
                Some(_) => {}
                None => match outlet.jobs.try_recv() {
                    Ok(job) => jobs.push(job),
                    Err(_) => return,
                },
            }
            let count = jobs.len();
            self.work(&jobs).await;
            jobs.clear();
            outlet.waiting.fetch_sub(count, Ordering::Relaxed);
        }
    }

    /// Executes the rules of messages.
    pub(super) async fn work(&mut self, jobs: &[Job]) {
        let (mut parcels, mut failures) = (Vec::new(), Failures::new());
        let mut waiting = Vec::new();
        for (number, job) in jobs.iter().enumerate() {
            let known = Known::of(job);
            for rule in 0..job.rules.len() {
                let from = (number, rule);
                let call = self.execute(from, job, &known, &[], &mut parcels, &mut failures);
                waiting.extend(call.map(|call| Waiting {
                    from,
                    answered: Vec::new(),
                    call,
                }));
            }
            // A message that many rules see must not keep others from being published.
            tokio::task::consume_budget().await;
        }
        while !waiting.is_empty() {
            waiting = self.go_on(jobs, waiting, &mut parcels, &mut failures).await;
        }
        self.deliver(parcels, &mut failures).await;
        if failures.is_empty() {
            return;
        }
        let mut parcels = Vec::new();
        let mut last = Failures::new();
        self.report(jobs, failures, &mut parcels, &mut last);
        self.deliver(parcels, &mut last).await;
        for ((number, rule), failure) in last {
            let rule = &jobs[number].rules[rule];
            self.tell(&jobs[number], rule, &failure, "the error action");
        }
    }

    /// Makes the calls of functions that statements wait for, all at once, and goes on with the statements; what waits for
    /// another call then.
    async fn go_on(
        &mut self,
        jobs: &[Job],
        waiting: Vec<Waiting>,
        parcels: &mut Vec<Parcel>,
        failures: &mut Failures,
    ) -> Vec<Waiting> {
        let state = self.account.snapshot();
        let asked = waiting.iter().map(async |one| {
            let (number, rule) = one.from;
            let caller = Caller {
                service: SERVICE,
                source_arn: &jobs[number].rules[rule].arn,
                source_account: &state.scope.account_id,
            };
            if one.answered.len() >= MOST_CALLS {
                return Err(format!("a statement calls {MOST_CALLS} functions at most"));
            }
            let Call { arn, payload } = one.call.clone();
            self.invocations.ask(&arn, payload, &caller).await
        });
        let answers = join_all(asked).await;
        let mut still = Vec::new();
        for (one, answer) in waiting.into_iter().zip(answers) {
            let Waiting {
                from,
                mut answered,
                call,
            } = one;
            let arn = call.arn;
            answered.push(Answered { arn, answer });
            let job = &jobs[from.0];
            let known = Known::of(job);
            let call = self.execute(from, job, &known, &answered, parcels, failures);
            still.extend(call.map(|call| Waiting {
                from,
                answered,
                call,
            }));
        }
        still
    }

    /// Executes a rule for a message, with the answers of the functions that its statement calls; the call that it still
    /// wants, if it does.
    fn execute(
        &mut self,
        from: (usize, usize),
        job: &Job,
        known: &Known,
        answered: &[Answered],
        parcels: &mut Vec<Parcel>,
        failures: &mut Failures,
    ) -> Option<Call> {
        let rule = &job.rules[from.1];
        let state = self.account.snapshot();
        let facts = known.facts(job);
        let now = self.account.clock().timestamp().milliseconds();
        let world = World::new(now, &state.scope.account_id, answered);
        let evaluated = rule
            .understood
            .statement
            .on(&facts, &world)
            .and_then(|evaluation| {
                let output = evaluation.output()?;
                Ok((evaluation, output))
            });
        let (evaluation, output) = match evaluated {
            Ok((evaluation, Some(output))) => (evaluation, output),
            // WHERE is not true.
            Ok((_, None)) => return None,
            Err(error) => {
                let open = world.open();
                if open.is_none() {
                    let failure = Failure {
                        action: "",
                        resource: String::new(),
                        code: "RULE_EVALUATION_FAILED",
                        why: error.to_string(),
                    };
                    self.tell(job, rule, &failure, "the statement");
                }
                return open;
            }
        };
        let occasion = Occasion {
            state: &state,
            job,
            rule,
            evaluation: &evaluation,
        };
        for action in &rule.understood.actions {
            match self.act(&occasion, action, &output) {
                Ok(None) => {}
                Ok(Some((queue, message))) => pack(parcels, queue, message, from),
                Err(failure) => failures.push((from, failure)),
            }
        }
        None
    }

    /// Sends what goes to queues, each queue's messages as one.
    async fn deliver(&mut self, parcels: Vec<Parcel>, failures: &mut Failures) {
        for parcel in parcels {
            let Err(error) = self.queues.send(&parcel.queue, parcel.messages).await else {
                continue;
            };
            for from in parcel.from {
                failures.push((
                    from,
                    Failure {
                        action: "SqsAction",
                        resource: parcel.queue.arn.clone(),
                        code: "RULE_MESSAGE_NOT_STORED",
                        why: error.message.clone(),
                    },
                ));
            }
        }
    }

    /// Carries out the error actions, once for a message and a rule.
    fn report(
        &mut self,
        jobs: &[Job],
        mut failures: Failures,
        parcels: &mut Vec<Parcel>,
        last: &mut Failures,
    ) {
        failures.sort_by_key(|(from, _)| *from);
        let state = self.account.snapshot();
        for of_one in failures.chunk_by(|left, right| left.0 == right.0) {
            let from @ (number, index) = of_one[0].0;
            let (job, rule) = (&jobs[number], &jobs[number].rules[index]);
            let of_one: Vec<Failure> = of_one.iter().map(|(_, failure)| failure.clone()).collect();
            for failure in &of_one {
                self.tell(job, rule, failure, "an action");
            }
            let Some(action) = &rule.understood.error_action else {
                continue;
            };
            let known = Known::of(job);
            let facts = known.facts(job);
            let now = self.account.clock().timestamp().milliseconds();
            let world = World::new(now, &state.scope.account_id, &[]);
            // The statement was evaluated before.
            let Ok(evaluation) = rule.understood.statement.on(&facts, &world) else {
                continue;
            };
            let report = report(job, rule, &known.trace_id, &of_one);
            let occasion = Occasion {
                state: &state,
                job,
                rule,
                evaluation: &evaluation,
            };
            match self.act(&occasion, action, &report) {
                Ok(None) => {}
                Ok(Some((queue, message))) => pack(parcels, queue, message, from),
                Err(failure) => last.push((from, failure)),
            }
        }
    }

    fn tell(&mut self, job: &Job, rule: &TopicRule, failure: &Failure, what: &str) {
        if !self
            .told
            .once_more(self.account.clock().now().unix_timestamp(), TOLD_PER_SECOND)
        {
            return;
        }
        let sentence = format!(
            "rule {}: {what} failed for a message on {:?}: {}",
            rule.name, &*job.message.topic, failure.why
        );
        let mut entry = Entry::refusal(failure.code, sentence);
        if let Some(client_id) = &job.origin.client_id {
            entry = entry.client(&**client_id);
        }
        self.diary.record(entry);
    }
}

fn pack(parcels: &mut Vec<Parcel>, queue: Arc<Queue>, message: Message, from: (usize, usize)) {
    let known = parcels
        .iter_mut()
        .find(|parcel| Arc::ptr_eq(&parcel.queue, &queue));
    match known {
        Some(parcel) => {
            parcel.messages.push((message, delay(&queue)));
            parcel.from.push(from);
        }
        None => parcels.push(Parcel {
            messages: vec![(message, delay(&queue))],
            from: vec![from],
            queue,
        }),
    }
}

/// Seconds a queue keeps its messages back.
fn delay(queue: &Queue) -> u64 {
    queue.record().attributes.delay
}

/// What is known of a message beside what it carries in itself.
struct Known {
    trace_id: String,
    address: Option<String>,
    properties: MessageProperties,
    user: Vec<(String, String)>,
}

impl Known {
    fn of(job: &Job) -> Self {
        let properties = match job.message.properties.is_empty() {
            true => MessageProperties::default(),
            // They were encoded by this program or read by its decoder.
            false => MessageProperties::decode(&job.message.properties).unwrap_or_default(),
        };
        let user = properties.user.iter();
        Self {
            trace_id: random_uuid(),
            address: job.origin.address.map(|address| address.to_string()),
            user: user
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            properties,
        }
    }

    fn facts<'a>(&'a self, job: &'a Job) -> Facts<'a> {
        Facts {
            topic: &job.message.topic,
            payload: &job.message.payload,
            client_id: job.origin.client_id.as_deref(),
            principal: job.origin.principal.as_deref(),
            source_ip: self.address.as_deref(),
            trace_id: Some(&self.trace_id),
            properties: Properties {
                content_type: self.properties.content_type.as_deref(),
                is_utf8: self.properties.is_text == Some(true),
                response_topic: self.properties.response_topic.as_deref(),
                correlation_data: self.properties.correlation_data.as_deref(),
                user: &self.user,
            },
        }
    }
}
