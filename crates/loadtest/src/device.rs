//! The life of one device: it gets in, stays, is lost and comes back, until the run ends.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use jitp_core::claim::client_id;
use jitp_core::mqtt::{Closed, Entrance, Identity, Reason, Stage, open_tcp};
use jitp_core::names::ThingName;
use jitp_wire::{ClientConnect, Frames, FromServer, Version, decode_from_server, encode_connect};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::asking::Asking;
use crate::clock::Micros;
use crate::endings::{Missed, ending, reason};
use crate::fleet::Member;
use crate::integrity::Seen;
use crate::measure::Latency;
use crate::schedule::Poisson;
use crate::session::{End, Pending, Session};
use crate::shared::{Phase, Shared};

/// A device, and what it keeps when it has no connection.
pub(crate) struct Device {
    pub(crate) shared: Arc<Shared>,
    pub(crate) member: Member,
    /// Client id, where it is not the member's name.
    thing: Option<ThingName>,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Whether it was ever served.
    served: bool,
    settled: bool,
    /// Its way in, kept where it cannot be made again or remembers a session.
    entrance: Option<Entrance>,
    /// What it connected with, kept from a close that provisions it until it has come back: to make key and certificate
    /// ready takes as long as the signature of a handshake.
    identity: Option<Identity>,
    random: SmallRng,
    /// Number and time of the next message.
    pub(crate) next: Option<(u64, Micros)>,
    /// When messages come, where they come at random.
    pub(crate) poisson: Option<Box<Poisson>>,
    /// What was sent and not acknowledged.
    pub(crate) pending: VecDeque<Pending>,
    /// What waits to be forwarded.
    pub(crate) backlog: VecDeque<Box<[u8]>>,
    /// When the next storm comes.
    pub(crate) storm: Option<(u64, Micros)>,
    pub(crate) seen: Seen,
}

impl Device {
    /// A device that has not connected.
    pub(crate) fn new(shared: Arc<Shared>, member: Member) -> Self {
        Self {
            phase: shared.phase.clone(),
            // The same device has the same chance in every run.
            random: SmallRng::seed_from_u64(u64::from(member.place)),
            shared,
            member,
            thing: None,
            served: false,
            settled: false,
            entrance: None,
            identity: None,
            next: None,
            poisson: None,
            pending: VecDeque::new(),
            backlog: VecDeque::new(),
            storm: None,
            seen: Seen::default(),
        }
    }

    /// Lives until the run ends.
    pub(crate) async fn live(mut self) {
        let rate = self.shared.scenario.connect.rate;
        let offset = f64::from(self.member.place) / rate * 1e6;
        let mut due = self.shared.connect_from + offset as Micros;
        let connect = self.shared.scenario.connect.clone();
        let give_up = due + connect.timeout.micros();
        let mut pause = connect.back_off.0;
        let mut lost = false;
        loop {
            let at = self.shared.clock.instant(due);
            if unless_it_ends(&mut self.phase, sleep_until(at))
                .await
                .is_none()
            {
                return;
            }
            // Boxed, so that a device that is connected does not carry it along.
            let got_in = Box::pin(self.get_in(due, lost)).await;
            let Some(stream) = got_in else {
                self.settle();
                return;
            };
            let began = self.shared.clock.now();
            self.shared.connected.fetch_add(1, Ordering::Relaxed);
            let end = Session::run(&mut self, stream).await;
            self.shared.connected.fetch_sub(1, Ordering::Relaxed);
            let now = self.shared.clock.now();
            match end {
                End::Finished => return,
                End::Refused(what) => {
                    self.count_failure(what);
                    self.settle();
                    return;
                }
                End::Dropped => {
                    let spread = self
                        .shared
                        .scenario
                        .storm
                        .as_ref()
                        .map_or(0, |storm| storm.spread.micros());
                    self.count_loss("dropped by the scenario".to_owned());
                    due = now + self.random.random_range(0..=spread);
                }
                End::Lost(closed) => {
                    self.count_loss(ending(&closed));
                    if !self.settled && now > give_up {
                        self.count_failure(format!("gave up: {}", ending(&closed)));
                        self.settle();
                        return;
                    }
                    due = now;
                    // A connection that is lost as soon as it is made is not made again at once.
                    match now - began < connect.max_back_off.micros() {
                        true => {
                            let wait = self.jittered(pause);
                            pause = (pause * 2).min(connect.max_back_off.0);
                            let wake = Instant::now() + wait;
                            if unless_it_ends(&mut self.phase, sleep_until(wake))
                                .await
                                .is_none()
                            {
                                return;
                            }
                        }
                        false => pause = connect.back_off.0,
                    }
                }
            }
            lost = true;
        }
    }

    /// Up to half as much again, by chance: what was lost together does not come back together.
    fn jittered(&mut self, pause: Duration) -> Duration {
        pause.mul_f64(1.0 + self.random.random::<f64>() / 2.0)
    }

    /// Says once that this device got in or gave up.
    pub(crate) fn settle(&mut self) {
        if !self.settled {
            self.settled = true;
            self.shared.settled.add();
        }
    }

    fn count_loss(&self, ending: String) {
        let mut recorder = self.shared.recorders.mine();
        recorder.counts.disconnects += 1;
        *recorder.endings.entry(ending).or_default() += 1;
    }

    /// Tries until it is served; none if it gave up or the run ended.
    async fn get_in(&mut self, due: Micros, lost: bool) -> Option<Greeted> {
        let connect = &self.shared.scenario.connect;
        let (back_off, most) = (connect.back_off.0, connect.max_back_off.0);
        let give_up = self.shared.clock.instant(due + connect.timeout.micros());
        let mut wait = back_off;
        let mut attempt = 0;
        loop {
            let began = self.shared.clock.now();
            let mut phase = self.phase.clone();
            let outcome = unless_it_ends(&mut phase, self.attempt(attempt, give_up)).await?;
            let missed = match self.note(outcome, began, due, lost) {
                Ok(stream) => return Some(stream),
                Err(missed) => missed,
            };
            if missed.is_final() {
                self.count_failure(format!("gave up: {}", missed.ending()));
                return None;
            }
            let pause = self.jittered(wait);
            wait = (wait * 2).min(most);
            attempt += 1;
            if Instant::now() + pause >= give_up {
                self.count_failure(format!("gave up: {}", missed.ending()));
                return None;
            }
            unless_it_ends(&mut self.phase, sleep_until(Instant::now() + pause)).await?;
        }
    }

    /// Writes down how an attempt went.
    fn note<T>(
        &mut self,
        outcome: Result<T, Missed>,
        began: Micros,
        due: Micros,
        lost: bool,
    ) -> Result<T, Missed> {
        let now = self.shared.clock.now();
        let mut recorder = self.shared.recorders.mine();
        recorder.counts.attempts += 1;
        match &outcome {
            Ok(_) => {
                recorder.counts.connects += 1;
                let histograms = &mut recorder.histograms;
                histograms.record(Latency::Attempt, now - began);
                let kind = match lost {
                    true => Latency::Reconnect,
                    false if self.thing.is_some() => Latency::Claim,
                    false => Latency::Connect,
                };
                histograms.record(kind, now.saturating_sub(due));
                self.served = true;
                self.identity = None;
            }
            Err(missed) if !self.served && missed.is_provisioning() => {
                recorder.counts.provisioning_closes += 1;
                recorder
                    .histograms
                    .record(Latency::ProvisioningClose, now - began);
            }
            Err(missed) => {
                self.identity = None;
                recorder.counts.failed_attempts += 1;
                *recorder.endings.entry(missed.ending()).or_default() += 1;
            }
        }
        outcome
    }

    fn count_failure(&self, ending: String) {
        let mut recorder = self.shared.recorders.mine();
        recorder.counts.failed_devices += 1;
        *recorder.endings.entry(ending).or_default() += 1;
    }

    /// One attempt, from the address to CONNACK; by claim, from the claim to the device's own CONNACK.
    async fn attempt(&mut self, attempt: u32, give_up: Instant) -> Result<Greeted, Missed> {
        let patience = self.shared.scenario.connect.attempt_timeout.0;
        let deadline = give_up.min(Instant::now() + patience);
        self.claim(attempt, deadline).await?;
        let tcp = self.dial(attempt, deadline).await?;
        // Not before: where the broker is slow to accept, thousands wait there, and keys take memory.
        let entrance = self.entrance()?;
        let name = match &self.thing {
            Some(thing) => thing.as_str(),
            None => &self.member.name,
        };
        self.enter(entrance, name, tcp, deadline).await
    }

    /// Opens the TCP connection.
    async fn dial(&self, attempt: u32, deadline: Instant) -> Result<TcpStream, Missed> {
        let shared = &self.shared;
        let source = self.source();
        let addresses = shared.addresses.known(&shared.network, deadline).await?;
        // From an address of one family none of the other is reached.
        let fits = |address: &&SocketAddr| {
            source.is_none_or(|source| source.is_ipv4() == address.is_ipv4())
        };
        let count = addresses.iter().filter(fits).count();
        let number = self.member.place as usize + attempt as usize;
        let address = addresses
            .iter()
            .filter(fits)
            .nth(number % count.max(1))
            .ok_or_else(|| Closed::Unreachable {
                detail: "it has no address of the family of the source address".to_owned(),
            })?;
        let began = shared.clock.now();
        let tcp = open_tcp(*address, source, deadline).await?;
        let took = shared.clock.now() - began;
        shared
            .recorders
            .mine()
            .histograms
            .record(Latency::Tcp, took);
        Ok(tcp)
    }

    /// Makes the connection one of TLS, and greets the broker with this client id.
    async fn enter(
        &self,
        entrance: Entrance,
        client_id: &str,
        tcp: TcpStream,
        deadline: Instant,
    ) -> Result<Greeted, Missed> {
        let shared = &self.shared;
        let opened = shared.clock.now();
        let mut stream = shared.network.handshake(&entrance, tcp, deadline).await?;
        drop(entrance);
        let shaken = shared.clock.now();
        let took = shaken - opened;
        shared
            .recorders
            .mine()
            .histograms
            .record(Latency::Tls, took);
        let started = Instant::now();
        let connect = &shared.scenario.connect;
        let version = connect.version.into();
        let greeting = greet(&mut stream, client_id, version, connect.keep_alive.0);
        let terms = timeout_at(deadline, greeting).await.unwrap_or_else(|_| {
            Err(Closed::TimedOut {
                stage: Stage::Connack,
                waited: started.elapsed(),
            })
        })?;
        Ok(Greeted {
            stream: Box::new(stream),
            terms,
        })
    }

    /// Gets an identity by claim, where that is how this fleet gets them and this device has none.
    async fn claim(&mut self, attempt: u32, deadline: Instant) -> Result<(), Missed> {
        let shared = Arc::clone(&self.shared);
        let (Some(claim), None) = (&shared.claim, &self.entrance) else {
            return Ok(());
        };
        let device: ThingName = self
            .member
            .name
            .parse()
            .map_err(|error| Missed::Identity(format!("{error}")))?;
        let client_id = client_id(&device);
        let entrance = shared.network.entrance(&claim.identity);
        let tcp = self.dial(attempt, deadline).await?;
        let stream = self
            .enter(entrance, &client_id, tcp, deadline)
            .await?
            .stream;
        let patience = deadline.saturating_duration_since(Instant::now());
        let connection = Asking::new(
            stream,
            shared.scenario.connect.version.into(),
            shared.endpoint.clone(),
            client_id,
            patience,
        );
        let exchange = claim.exchange(connection, &device, self.member.index, patience);
        let claimed = timeout_at(deadline, Box::pin(exchange))
            .await
            .unwrap_or_else(|_| {
                Err(Missed::Identity(
                    "with the claim: no answer in time".to_owned(),
                ))
            })?;
        shared.recorders.mine().counts.claimed += 1;
        self.entrance = Some(shared.network.entrance(&claimed.identity));
        self.thing = Some(claimed.thing);
        Ok(())
    }

    /// The way in, kept only where it has to be.
    fn entrance(&mut self) -> Result<Entrance, Missed> {
        if let Some(entrance) = &self.entrance {
            return Ok(entrance.clone());
        }
        let shared = &self.shared;
        let identity = match self.identity.take() {
            Some(identity) => identity,
            None => shared
                .identities
                .identity(self.member.place, &self.member.name)
                .map_err(|why| Missed::Identity(why.replace(&self.member.name, "NAME")))?,
        };
        if shared.scenario.connect.resumption {
            let entrance = shared.network.resuming_entrance(&identity);
            self.entrance = Some(entrance.clone());
            return Ok(entrance);
        }
        // Made anew for every attempt.
        let entrance = shared.network.entrance_once(&identity);
        if !self.served {
            self.identity = Some(identity);
        }
        Ok(entrance)
    }

    /// The local address it connects from.
    fn source(&self) -> Option<IpAddr> {
        let sources = &self.shared.sources;
        let number = self.member.place as usize;
        (!sources.is_empty()).then(|| sources[number % sources.len()])
    }
}

/// Does something, unless the run ends before it is done.
async fn unless_it_ends<T>(
    phase: &mut watch::Receiver<Phase>,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        _ = phase.wait_for(|phase| *phase == Phase::Ending) => None,
        done = work => Some(done),
    }
}

/// CONNECT, and its CONNACK.
async fn greet(
    stream: &mut TlsStream<TcpStream>,
    client_id: &str,
    version: Version,
    keep_alive: Duration,
) -> Result<Terms, Closed> {
    let mut packet = Vec::new();
    let connect = ClientConnect {
        client_id: client_id.to_owned(),
        clean_start: true,
        keep_alive: u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX),
        ..ClientConnect::default()
    };
    encode_connect(&mut packet, version, &connect).map_err(|error| Closed::Protocol {
        detail: error.to_string(),
    })?;
    let sent = async {
        stream.write_all(&packet).await?;
        stream.flush().await
    };
    sent.await
        .map_err(|error| Closed::of(&error, Stage::Connack))?;
    // Nothing follows CONNACK before something is asked for: the session is a clean one.
    let mut read = Vec::with_capacity(64);
    loop {
        let mut chunk = [0; 256];
        let count = stream
            .read(&mut chunk)
            .await
            .map_err(|error| Closed::of(&error, Stage::Connack))?;
        if count == 0 {
            return Err(Closed::Ended {
                stage: Stage::Connack,
            });
        }
        read.extend_from_slice(&chunk[..count]);
        let protocol = |detail: String| Closed::Protocol { detail };
        let Some((first, body, size)) = Frames::new(MOST_CONNACK)
            .peel(&read)
            .map_err(|error| protocol(error.to_string()))?
        else {
            continue;
        };
        let read_packet = |first, body| {
            decode_from_server(version, first, Bytes::copy_from_slice(body))
                .map_err(|error| protocol(error.to_string()))
        };
        let terms = match read_packet(first, body)? {
            FromServer::ConnAck {
                reason: 0,
                receive_maximum,
                server_keep_alive,
                ..
            } => Terms {
                receive_maximum,
                keep_alive: server_keep_alive,
            },
            FromServer::ConnAck { reason: code, .. } => {
                return Err(Closed::Refused(reason(version, true, code)));
            }
            FromServer::Disconnect(code) => {
                return Err(Closed::Disconnected(Reason::v5(code, None)));
            }
            _ => {
                return Err(protocol(
                    "something else than CONNACK came first".to_owned(),
                ));
            }
        };
        if let Ok(Some((first, body, _))) = Frames::new(MOST_CONNACK).peel(&read[size..])
            && let FromServer::Disconnect(code) = read_packet(first, body)?
        {
            return Err(Closed::Disconnected(Reason::v5(code, None)));
        }
        return match size == read.len() {
            true => Ok(terms),
            false => Err(protocol("packets followed CONNACK at once".to_owned())),
        };
    }
}

/// A connection that was accepted.
pub(crate) struct Greeted {
    /// Behind a pointer: futures that hand it on would each keep a place for the whole of it.
    pub(crate) stream: Box<TlsStream<TcpStream>>,
    pub(crate) terms: Terms,
}

/// What the broker said of the connection in CONNACK.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Most QoS 1 messages it takes before they are acknowledged.
    pub(crate) receive_maximum: u16,
    /// Keep alive in seconds, if it wants another.
    pub(crate) keep_alive: Option<u16>,
}

/// Longest CONNACK that is read, in bytes.
const MOST_CONNACK: usize = 64 * 1024;
