//! What is done to a server, and what each unit of it costs the server.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use jitp_wire::{Frames, FromServer, Outline, QoS, Version, decode_from_server, encode_publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_rustls::client::TlsStream;

use crate::servers::Server;
use jitp_bench::{Connection, Dialler, Result, next_packet};

/// The version mosquitto's own clients speak unless told otherwise.
const VERSION: Version = Version::V3;
const PAYLOAD: [u8; 128] = [b'x'; 128];
/// Connections opened at the same time.
const DIALLING: usize = 8;
/// How long a server gets to put its memory in order before it is looked at.
const SETTLE: Duration = Duration::from_secs(5);

/// What one unit cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// CPU microseconds of the server.
    pub(crate) cpu: f64,
    /// Units a second, by the clock on the wall.
    pub(crate) rate: f64,
}

/// Messages between devices: every publisher publishes on the topic that is its name, as IoTAccess allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) qos: QoS,
    /// Messages a publisher sends in one TLS record. Devices send one.
    pub(crate) burst: u32,
    /// Messages a second of all publishers together; none for as many as subscribers take.
    pub(crate) pace: Option<u32>,
}

/// Messages of each publisher on their way at the same time.
const WINDOW: usize = 20;

/// CPU of a full mutual-TLS handshake with CONNECT and CONNACK.
pub(crate) async fn connections(server: &Server, count: usize) -> Result<Cost> {
    let (cpu, clock) = (server.process.cpu()?, Instant::now());
    let connections = connect_all(&server.diallers[..count]).await?;
    let (cpu, clock) = (server.process.cpu()? - cpu, clock.elapsed());
    drop(connections);
    Ok(Cost {
        cpu: cpu.as_secs_f64() * 1e6 / count as f64,
        rate: count as f64 / clock.as_secs_f64(),
    })
}

/// CPU for each message delivered.
pub(crate) async fn messages(server: &Server, flow: Flow, duration: Duration) -> Result<Cost> {
    let count = flow.publishers + flow.subscribers;
    let mut connections = connect_all(&server.diallers[..count]).await?;
    let subscribers = connections.split_off(flow.publishers);
    let delivered = Arc::new(AtomicU64::new(0));
    // A permit is a delivery that may be under way.
    let permits = Arc::new(Semaphore::new(WINDOW * flow.publishers * flow.subscribers));
    let mut tasks = JoinSet::new();
    let filter = match flow.publishers {
        1 => server.diallers[0].name.as_str(),
        _ => "+",
    };
    for mut connection in subscribers {
        connection.subscribe(&[filter], flow.qos).await?;
        tasks.spawn(subscriber(
            connection,
            Arc::clone(&delivered),
            Arc::clone(&permits),
        ));
    }
    for (connection, dialler) in connections.into_iter().zip(&server.diallers) {
        let (read, write) = tokio::io::split(connection.stream);
        tasks.spawn(acknowledged(read));
        tasks.spawn(publisher(
            write,
            dialler.name.clone(),
            flow,
            Arc::clone(&permits),
        ));
    }
    tokio::time::sleep(duration / 4).await;
    let before = delivered.load(Ordering::Relaxed);
    let (cpu, clock) = (server.process.cpu()?, Instant::now());
    tokio::time::sleep(duration).await;
    let after = delivered.load(Ordering::Relaxed);
    let (cpu, clock) = (server.process.cpu()? - cpu, clock.elapsed());
    if let Some(ended) = tasks.try_join_next() {
        ended??;
        return Err("a connection ended before its time".into());
    }
    let count = after - before;
    if count == 0 {
        return Err("no message was delivered".into());
    }
    Ok(Cost {
        cpu: cpu.as_secs_f64() * 1e6 / count as f64,
        rate: count as f64 / clock.as_secs_f64(),
    })
}

/// Resident bytes for each idle connection with one QoS 1 subscription of its own: the growth between a quarter
/// of them and all, so that what a process needs once does not count.
pub(crate) async fn idle(server: &Server, count: usize) -> Result<f64> {
    let (first, rest) = server.diallers[..count].split_at(count / 4);
    let mut kept = idle_connections(first).await?;
    tokio::time::sleep(SETTLE).await;
    let before = server.process.memory()?;
    kept.extend(idle_connections(rest).await?);
    tokio::time::sleep(SETTLE).await;
    let after = server.process.memory()?;
    drop(kept);
    Ok((after as f64 - before as f64) / rest.len() as f64)
}

async fn idle_connections(diallers: &[Dialler]) -> Result<Vec<Connection>> {
    let mut connections = connect_all(diallers).await?;
    for (connection, dialler) in connections.iter_mut().zip(diallers) {
        let filter = format!("commands/{}/+", dialler.name);
        connection.subscribe(&[&filter], QoS::AtLeastOnce).await?;
    }
    Ok(connections)
}

/// Connects devices, in their order.
async fn connect_all(diallers: &[Dialler]) -> Result<Vec<Connection>> {
    let mut tasks = JoinSet::new();
    let size = diallers.len().div_ceil(DIALLING).max(1);
    for (index, part) in diallers.chunks(size).enumerate() {
        let part = part.to_vec();
        tasks.spawn(async move {
            let mut connections = Vec::new();
            for dialler in part {
                connections.push(dialler.connect(VERSION).await?);
            }
            Result::Ok((index, connections))
        });
    }
    let mut parts = Vec::new();
    while let Some(part) = tasks.join_next().await {
        parts.push(part??);
    }
    parts.sort_by_key(|(index, _)| *index);
    Ok(parts.into_iter().flat_map(|(_, part)| part).collect())
}

/// Counts what arrives, and acknowledges it, all that was read at once in one write.
async fn subscriber(
    mut connection: Connection,
    delivered: Arc<AtomicU64>,
    permits: Arc<Semaphore>,
) -> Result<()> {
    let frames = Frames::new(usize::MAX);
    let mut acknowledgements = Vec::new();
    loop {
        let mut count = 0;
        while let Some((first, body)) = frames.next(&mut connection.input)? {
            if let FromServer::Publish(publish) = decode_from_server(VERSION, first, body)? {
                count += 1;
                if let Some(id) = publish.packet_id {
                    acknowledgements.put_slice(&[0x40, 2]);
                    acknowledgements.put_u16(id.get());
                }
            }
        }
        delivered.fetch_add(count, Ordering::Relaxed);
        permits.add_permits(count as usize);
        if !acknowledgements.is_empty() {
            connection.send(&acknowledgements).await?;
            acknowledgements.clear();
        }
        connection.input.reserve(64 * 1024);
        if connection.stream.read_buf(&mut connection.input).await? == 0 {
            return Err("the server closed a subscriber".into());
        }
    }
}

async fn publisher(
    mut stream: WriteHalf<TlsStream<TcpStream>>,
    topic: String,
    flow: Flow,
    permits: Arc<Semaphore>,
) -> Result<()> {
    let mut packet_id = NonZeroU16::MAX;
    let mut packets = Vec::new();
    let mut pace = flow.pace.map(|pace| {
        let publishers = u32::try_from(flow.publishers).unwrap_or(u32::MAX);
        interval(Duration::from_secs(1) * publishers * flow.burst / pace)
    });
    loop {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let deliveries = flow.burst * flow.subscribers as u32;
        permits.acquire_many(deliveries).await?.forget();
        packets.clear();
        for _ in 0..flow.burst {
            packet_id = packet_id.checked_add(1).unwrap_or(NonZeroU16::MIN);
            let outline = Outline {
                topic: &topic,
                payload: &PAYLOAD,
                qos: flow.qos,
                retain: false,
                dup: false,
                packet_id: packet_id.get(),
                properties: &[],
                message_expiry: None,
                alias: None,
            };
            encode_publish(&mut packets, VERSION, &outline);
        }
        stream.write_all(&packets).await?;
        stream.flush().await?;
    }
}

/// Takes the PUBACKs of a publisher.
async fn acknowledged(mut stream: ReadHalf<TlsStream<TcpStream>>) -> Result<()> {
    let mut input = BytesMut::new();
    while next_packet(&mut stream, &mut input, VERSION)
        .await?
        .is_some()
    {}
    Err("the server closed a publisher".into())
}
