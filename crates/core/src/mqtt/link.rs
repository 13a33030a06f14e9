//! One connection, from CONNECT to its end: a task polls it, answers and messages come out of a channel.

use std::time::Duration;

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::client::TlsStream;

use super::{
    message::{Message, Publish, Qos, Version},
    reason::{Closed, Reason, Stage},
    rumqtt::{self, Answer, Client, EventLoop, Incoming, Published, Setup, Stop, Subscribed},
    stream::{Observed, Witness},
};

/// Messages that wait for the program before the connection is no longer read.
const QUEUE: usize = 1024;
/// How long an orderly end may take once DISCONNECT is written.
const PARTING: Duration = Duration::from_secs(2);
/// A filter nobody subscribes to; see [`Client::round_trip`].
const ROUND_TRIP_FILTER: &str = "round/trip";

/// What comes out of a connection.
pub(crate) enum LinkEvent {
    Message(Message),
    /// Accepted: PUBACK for QoS 1, written for QoS 0.
    Published {
        sequence: u64,
        result: Result<(), Reason>,
    },
    /// The filters of one SUBSCRIBE, each with its answer.
    Subscribed(Vec<(String, Result<Qos, Reason>)>),
    /// Everything sent before the round trip was asked for has been read by the broker.
    RoundTrip {
        up_to: u64,
    },
}

/// An established connection.
pub(crate) struct Link {
    client: Client,
    events: mpsc::Receiver<LinkEvent>,
    // Weak: the channel must end when the connection and every pending answer have.
    sender: mpsc::WeakSender<LinkEvent>,
    task: JoinHandle<Closed>,
    session_present: bool,
}

impl Link {
    /// Sends CONNECT on an open stream and waits for CONNACK until `deadline`.
    pub(crate) async fn open(
        setup: Setup,
        stream: TlsStream<TcpStream>,
        deadline: Instant,
    ) -> Result<Self, Closed> {
        let witness = Witness::default();
        let (observed, returned) = Observed::new(stream, witness.clone());
        let version = setup.version;
        let closed = |stop| why(stop, &witness, version, Stage::Connack);
        let (client, mut event_loop) = rumqtt::start(&setup, observed).map_err(&closed)?;
        let started = Instant::now();
        let session_present = loop {
            match timeout_at(deadline, event_loop.next()).await {
                Ok(Ok(Incoming::Connected { session_present })) => break session_present,
                Ok(Ok(_)) => {}
                Ok(Err(stop)) => return Err(closed(stop)),
                Err(_) => {
                    return Err(Closed::TimedOut {
                        stage: Stage::Connack,
                        waited: started.elapsed(),
                    });
                }
            }
        };
        let (sender, events) = mpsc::channel(QUEUE);
        let weak = sender.downgrade();
        let task = tokio::spawn(drive(event_loop, sender, witness, version, returned));
        Ok(Self {
            client,
            events,
            sender: weak,
            task,
            session_present,
        })
    }

    pub(crate) fn session_present(&self) -> bool {
        self.session_present
    }

    pub(crate) fn publish(&self, sequence: u64, message: &Publish) {
        let answer = self.client.publish(message);
        self.answer(answer, move |published| match published {
            Published::Accepted => Some(LinkEvent::Published {
                sequence,
                result: Ok(()),
            }),
            Published::Denied(reason) => Some(LinkEvent::Published {
                sequence,
                result: Err(reason),
            }),
            Published::Unknown => None,
        });
    }

    pub(crate) fn subscribe(&self, filters: &[String], qos: Qos) {
        let answer = self.client.subscribe(filters, qos);
        let filters = filters.to_vec();
        self.answer(answer, |answers: Subscribed| {
            Some(LinkEvent::Subscribed(
                filters.into_iter().zip(answers?).collect(),
            ))
        });
    }

    pub(crate) fn round_trip(&self, up_to: u64) {
        let answer = self.client.round_trip(ROUND_TRIP_FILTER);
        self.answer(answer, move |arrived| {
            arrived.then_some(LinkEvent::RoundTrip { up_to })
        });
    }

    /// The next event, or `None` when the connection has ended and nothing is left; then see [`Link::ended`].
    pub(crate) async fn next(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    /// Why it ended; to be called after [`Link::next`] gave `None`.
    pub(crate) async fn ended(&mut self) -> Closed {
        match timeout(PARTING, &mut self.task).await {
            Ok(Ok(closed)) => closed,
            Ok(Err(_)) | Err(_) => Closed::Ended {
                stage: Stage::Session,
            },
        }
    }

    /// Gives the connection up without a word.
    pub(crate) fn abandon(self) {
        self.task.abort();
    }

    /// DISCONNECT, then an orderly end of TLS and TCP: what was written before arrives.
    pub(crate) async fn disconnect(mut self) {
        self.client.disconnect();
        let drained = async { while self.events.recv().await.is_some() {} };
        if timeout(PARTING, drained).await.is_ok() {
            let _ = timeout(PARTING, &mut self.task).await;
        }
        self.task.abort();
    }

    fn answer<T: Send + 'static>(
        &self,
        answer: Answer<T>,
        event: impl FnOnce(T) -> Option<LinkEvent> + Send + 'static,
    ) {
        // No sender: the connection has ended, and its end is what the program hears of next.
        let Some(sender) = self.sender.upgrade() else {
            return;
        };
        tokio::spawn(async move {
            if let Some(event) = event(answer.await) {
                let _ = sender.send(event).await;
            }
        });
    }
}

async fn drive(
    mut event_loop: EventLoop,
    sender: mpsc::Sender<LinkEvent>,
    witness: Witness,
    version: Version,
    returned: oneshot::Receiver<TlsStream<TcpStream>>,
) -> Closed {
    let stop = loop {
        match event_loop.next().await {
            Ok(Incoming::Message(message)) => {
                // A full channel stops the reading, and TCP tells the broker.
                if sender.send(LinkEvent::Message(message)).await.is_err() {
                    break Stop::Done;
                }
            }
            Ok(_) => {}
            Err(stop) => break stop,
        }
    };
    // With the event loop go the pending answers, each with its copy of the sender.
    drop(event_loop);
    drop(sender);
    let closed = why(stop, &witness, version, Stage::Session);
    if let Ok(stream) = returned.await
        && closed == Closed::ByUs
    {
        let _ = timeout(PARTING, part(stream)).await;
    }
    closed
}

/// close_notify and FIN, then read until the other side has closed too: closing a socket with unread bytes
/// resets it, and a reset can overtake what was sent last.
async fn part(mut stream: TlsStream<TcpStream>) {
    use tokio::io::AsyncReadExt;
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = [0_u8; 1024];
    while matches!(stream.read(&mut rest).await, Ok(bytes) if bytes > 0) {}
}

/// The reason in our words: the witness of the stream first, rumqttc's error second.
fn why(stop: Stop, witness: &Witness, version: Version, stage: Stage) -> Closed {
    if stage == Stage::Connack
        && let Some(reason) = rumqtt::refusal(&witness.head(), version)
    {
        return Closed::Refused(reason);
    }
    // rumqttc wraps some failures to read as broken packets. Only bytes can be a broken packet.
    let nothing_read = stage == Stage::Session || witness.head().is_empty();
    match stop {
        Stop::Protocol(detail) if nothing_read && witness.fault().is_some() => {
            why(Stop::Transport(detail), witness, version, stage)
        }
        Stop::Done => Closed::ByUs,
        Stop::Disconnected(reason) => Closed::Disconnected(reason),
        Stop::NoPing => Closed::Stalled,
        Stop::Protocol(detail) => Closed::Protocol { detail },
        Stop::Refused => Closed::Protocol {
            detail: "a refusal without a code".to_owned(),
        },
        Stop::Transport(detail) => match witness.fault() {
            Some(fault) => fault.closed(stage),
            None if detail.contains("timed out") => Closed::Stalled,
            None => Closed::Ended { stage },
        },
    }
}
