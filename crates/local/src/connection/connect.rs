//! CONNECT: from the first byte to CONNACK, or to a refusal.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use bytestring::ByteString;
use jitp_wire::limits::{self, CLIENT_ID_BYTES, CLIENT_PACKET_BYTES_MIN};
use jitp_wire::topic::check_topic;
use jitp_wire::{ConnAck, Connect, Frames, Packet, QoS, Sniffed, Version};
use jitp_wire::{decode, encode_connack, reason, sniff};
use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

use super::verdicts::{Receive, Told, Verdicts};
use super::{Connection, stream};
use crate::account::State;
use crate::broker::shared::Core;
use crate::diary::Entry;
use crate::events::Client;
use crate::gate::{Admitted, ConnectFacts};
use crate::policy::{Action, Authorizer};
use crate::session::{Close, Link, Live, Opening};
use crate::tls::Peer;

/// Why there is no connection.
struct Refused {
    /// What goes into the diary; admission writes its refusals itself.
    entry: Option<Entry>,
    /// The version, once known, and the CONNACK code; none closes without CONNACK.
    connack: Option<(Version, u8)>,
}

impl Refused {
    /// Closes without CONNACK.
    fn silently(entry: Entry) -> Self {
        Self {
            entry: Some(entry),
            connack: None,
        }
    }

    /// MQTT 5 gets a CONNACK with this code; 3.1.1, which has no word for it, is closed.
    fn with(version: Version, code: u8, entry: Entry) -> Self {
        Self {
            entry: Some(entry),
            connack: (version == Version::V5).then_some((version, code)),
        }
    }
}

/// Reads CONNECT and answers it. None when there is no connection to serve; it is closed then.
pub(super) async fn connect<S>(core: Arc<Core>, mut stream: S, peer: Peer) -> Option<Connection<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut input = BytesMut::new();
    let deadline = Duration::from_secs(core.limits.connect_seconds.into());
    let reading = read_connect(&mut stream, &mut input, core.limits.packet_bytes);
    let outcome = match tokio::time::timeout(deadline, reading).await {
        Ok(Ok(Some((version, connect)))) => accept(&core, &peer, version, connect).await,
        // It went away without a word: nothing happened.
        Ok(Ok(None)) => {
            stream::close(&mut stream, &[]).await;
            return None;
        }
        Ok(Err(refused)) => Err(refused),
        Err(_) => Err(Refused::silently(Entry::refusal(
            "CONNECT_TIMEOUT",
            format!(
                "no CONNECT within {} s of the handshake",
                deadline.as_secs()
            ),
        ))),
    };
    match outcome {
        Ok(accepted) => Some(accepted.into_connection(core, stream, input, &peer)),
        Err(refused) => {
            if let Some(mut entry) = refused.entry {
                if entry.certificate_id.is_none() {
                    entry = entry.certificate(&*peer.certificate.id);
                }
                core.diary.record(entry);
            }
            let mut answer = Vec::new();
            if let Some((version, reason)) = refused.connack {
                let connack = ConnAck {
                    reason,
                    ..ConnAck::default()
                };
                // A refusal carries no text that could be too long.
                let _ = encode_connack(&mut answer, version, &connack);
            }
            stream::close(&mut stream, &answer).await;
            None
        }
    }
}

async fn read_connect<S>(
    stream: &mut S,
    input: &mut BytesMut,
    largest: usize,
) -> Result<Option<(Version, Box<Connect>)>, Refused>
where
    S: AsyncRead + Unpin,
{
    let refused = |error: jitp_wire::WireError| {
        Refused::silently(Entry::refusal("CONNECT_REFUSED", error.to_string()))
    };
    let frames = Frames::new(largest);
    let mut version = None;
    loop {
        // What announces more than may be sent is not waited for.
        frames.check(input).map_err(refused)?;
        if version.is_none()
            && let Sniffed::Version(found) = sniff(input).map_err(refused)?
        {
            version = Some(found);
        }
        if let Some(version) = version
            && let Some((first, body)) = frames.of(version).next(input).map_err(refused)?
        {
            return match decode(version, first, body).map_err(refused)? {
                Packet::Connect(connect) => Ok(Some((version, connect))),
                _ => Ok(None),
            };
        }
        match stream::fill(stream, input).await {
            Ok(1..) => {}
            _ => return Ok(None),
        }
    }
}

/// A CONNECT that everybody agreed to.
struct Accepted {
    version: Version,
    connect: Box<Connect>,
    client: Client,
    admitted: Admitted,
    facts: ConnectFacts,
    authorizer: Arc<Authorizer>,
    /// Made up for a client that sent no client id.
    assigned: bool,
    /// The account as it was before the certificate was judged.
    state: Arc<State>,
}

async fn accept(
    core: &Core,
    peer: &Peer,
    version: Version,
    mut connect: Box<Connect>,
) -> Result<Accepted, Refused> {
    let entry = |code, sentence: String, connect: &Connect| {
        Entry::refusal(code, sentence).client(&*connect.client_id)
    };
    let assigned = connect.client_id.is_empty();
    if assigned && version == Version::V3 || connect.client_id.len() > CLIENT_ID_BYTES {
        let sentence = format!(
            "the client id has {} bytes; MQTT 3.1.1 clients need one, of at most {CLIENT_ID_BYTES}",
            connect.client_id.len()
        );
        let code = match version {
            Version::V3 => 2,
            Version::V5 => reason::CLIENT_ID_NOT_VALID,
        };
        return Err(Refused {
            entry: Some(Entry::refusal("CLIENT_ID_REFUSED", sentence)),
            connack: Some((version, code)),
        });
    }
    if assigned {
        connect.client_id = Uuid::new_v4().to_string().into();
    }
    check_options(version, &connect)?;

    let state = core.account.snapshot();
    let admitted = match core.gate.admit(peer, &connect.client_id).await {
        Ok(admitted) => admitted,
        // Recorded where it was decided. Without CONNACK, so that a device simply tries again.
        Err(_) => {
            return Err(Refused {
                entry: None,
                connack: None,
            });
        }
    };
    if core.limits.enforce_rates
        && core
            .directory
            .connects_too_fast(&connect.client_id, core.now_ms())
    {
        let sentence = "more than one CONNECT a second with this client id".to_owned();
        let entry = entry("THROTTLED", sentence, &connect);
        return Err(Refused::with(version, reason::QUOTA_EXCEEDED, entry));
    }
    let facts = ConnectFacts {
        client_id: connect.client_id.to_string(),
        source_ip: peer.address.ip(),
        persistent: is_persistent(version, &connect),
        will_topic: connect.will.as_ref().map(|will| will.topic.to_string()),
    };
    let authorizer = Arc::new(core.gate.authorizer(&admitted, &facts));
    let client = Client {
        client_id: facts.client_id.clone(),
        thing_name: admitted.thing_name.clone(),
        session_identifier: Uuid::new_v4(),
        certificate_id: admitted.certificate_id.as_str().into(),
        address: facts.source_ip,
        version_number: 0,
    };
    if let Err((code, sentence)) = authorize(&authorizer, &connect) {
        client.connect_failed(core);
        let entry = entry(code, sentence, &connect);
        return Err(Refused::with(version, reason::NOT_AUTHORIZED, entry));
    }
    Ok(Accepted {
        version,
        connect,
        client,
        admitted,
        facts,
        authorizer,
        assigned,
        state,
    })
}

/// What AWS does not offer, or not in this form.
fn check_options(version: Version, connect: &Connect) -> Result<(), Refused> {
    let refuse = |code, sentence: String| {
        let entry = Entry::refusal("CONNECT_REFUSED", sentence).client(&*connect.client_id);
        Err(Refused::with(version, code, entry))
    };
    if connect.authentication_method.is_some() {
        let sentence = "enhanced authentication is not supported".to_owned();
        return refuse(reason::UNSPECIFIED, sentence);
    }
    if let Some(size) = connect.maximum_packet_size
        && size.get() < CLIENT_PACKET_BYTES_MIN
    {
        let sentence = format!("a maximum packet size of {size} bytes; at least 512 are needed");
        return refuse(reason::UNSPECIFIED, sentence);
    }
    if let Some(will) = &connect.will {
        if will.qos == QoS::ExactlyOnce {
            let sentence = "a will with QoS 2".to_owned();
            return refuse(reason::QOS_NOT_SUPPORTED, sentence);
        }
        if let Err(fault) = check_topic(&will.topic) {
            let sentence = format!("the will topic {:?}: {fault}", &*will.topic);
            return refuse(reason::TOPIC_NAME_INVALID, sentence);
        }
        if will.topic.starts_with('$') {
            let sentence = format!("the will topic {:?} is reserved", &*will.topic);
            return refuse(reason::TOPIC_NAME_INVALID, sentence);
        }
    }
    Ok(())
}

/// `iot:Connect`, and for a will `iot:Publish` and with retain `iot:RetainPublish`.
fn authorize(authorizer: &Authorizer, connect: &Connect) -> Result<(), (&'static str, String)> {
    let ask = |action, resource: &str, what: &str| {
        let decision = authorizer.decide(action, resource);
        if decision.allowed {
            return Ok(());
        }
        let reason = decision.reason();
        Err((reason.code, format!("{what}: {}", reason.sentence)))
    };
    ask(Action::Connect, &connect.client_id, "CONNECT refused")?;
    if let Some(will) = &connect.will {
        ask(Action::Publish, &will.topic, "CONNECT refused for its will")?;
        if will.retain {
            let what = "CONNECT refused for its retained will";
            ask(Action::RetainPublish, &will.topic, what)?;
        }
    }
    Ok(())
}

fn is_persistent(version: Version, connect: &Connect) -> bool {
    match version {
        Version::V3 => !connect.clean_start,
        Version::V5 => connect.session_expiry > 0,
    }
}

impl Accepted {
    fn into_connection<S>(
        self,
        core: Arc<Core>,
        stream: S,
        input: BytesMut,
        peer: &Peer,
    ) -> Connection<S> {
        let Self {
            version,
            connect,
            mut client,
            admitted,
            facts,
            authorizer,
            assigned,
            state,
        } = self;
        let connect = *connect;
        let now = core.now();
        let granted = match version {
            Version::V3 if connect.clean_start => 0,
            Version::V3 => core.limits.session_expiry,
            Version::V5 => connect.session_expiry.min(core.limits.session_expiry),
        };
        let link = Arc::new(Link::new(
            Arc::clone(&client.certificate_id),
            client.thing_name.as_deref(),
        ));
        let mut writes = Vec::new();
        let attached = core.directory.open(
            Opening {
                client_id: connect.client_id.clone(),
                version,
                clean: connect.clean_start,
                expiry: granted,
                live: Live {
                    link: Arc::clone(&link),
                    out: Vec::new(),
                    receive: Receive::new(
                        Arc::clone(&authorizer),
                        core.diary.clone(),
                        Arc::clone(&client.certificate_id),
                    ),
                    window: usize::from(connect.receive_maximum).min(core.limits.in_flight),
                    largest: connect
                        .maximum_packet_size
                        .map_or(usize::MAX, |size| size.get() as usize),
                    aliases: Vec::new(),
                    alias_maximum: connect.topic_alias_maximum.min(limits::TOPIC_ALIASES),
                },
            },
            &core.router,
            now,
            &mut writes,
        );
        client.version_number = attached.version_number;
        // What changed between its admission and now was told to the connections there were; this one
        // has to look for itself.
        let thing_name = admitted.thing_name.as_deref().unwrap_or(&facts.client_id);
        let present = core.account.snapshot();
        if !present.grants_as(&state, &admitted.certificate_id, thing_name) {
            link.policies_changed();
            if !core.is_active(&link) {
                link.close(Close::CertificateNotActive);
            }
        }
        if core.is_stopping() {
            link.close(Close::ShuttingDown);
        }
        let keep_alive = match limits::keep_alive(connect.keep_alive) {
            limits::KEEP_ALIVE_MIN => connect.keep_alive.max(core.limits.shortest_keep_alive),
            clamped => clamped,
        };
        let connack = ConnAck {
            reason: reason::SUCCESS,
            session_present: attached.present,
            session_expiry: (granted != connect.session_expiry).then_some(granted),
            receive_maximum: core.limits.in_flight as u16,
            maximum_packet_size: core.limits.packet_bytes as u32,
            assigned_client_id: assigned.then(|| connect.client_id.clone()),
            topic_alias_maximum: limits::TOPIC_ALIASES,
            server_keep_alive: keep_alive,
        };
        let mut reply = Vec::new();
        // The assigned client id is 36 characters; nothing else could be too long.
        let _ = encode_connack(&mut reply, version, &connack);
        let session = attached.session;
        core.directory.resume(&session, &link, now, &mut writes);
        client.connected(&core);
        tracing::debug!(client = %client.client_id, address = %peer.address, "connected");
        Connection {
            stream,
            version,
            session,
            link,
            client,
            admitted,
            facts,
            authorizer,
            publish_verdicts: Verdicts::default(),
            will: connect.will.map(|will| jitp_wire::Will {
                // It may stay for days: it must not keep the CONNECT it came in alive.
                topic: ByteString::from(&*will.topic),
                payload: bytes::Bytes::copy_from_slice(&will.payload),
                properties: bytes::Bytes::copy_from_slice(&will.properties),
                ..will
            }),
            patience: Duration::from_millis(u64::from(keep_alive) * 1500),
            input,
            reply,
            out: Vec::new(),
            writes,
            aliases: Vec::new(),
            unacknowledged: 0,
            rate: (0, 0),
            congested: false,
            told: Told::new(),
            core,
        }
    }
}
