//! A connection on which is asked and answered, one thing after the other: the same wire as the fleet's, as a
//! [`Client`] of the toolkit.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jitp_core::mqtt::{Client, Closed, Message, MqttError, Publish, Qos, Reason, Stage};
use jitp_wire::{
    Frames, FromServer, Outline, QoS, Version, decode_from_server, encode_disconnect_from_client,
    encode_puback, encode_publish, encode_subscribe,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::endings::reason;

/// A connection that was accepted by the broker. It is not made again when it is lost.
pub(crate) struct Asking {
    pub(crate) stream: Box<TlsStream<TcpStream>>,
    pub(crate) version: Version,
    /// `host:port`, for messages.
    pub(crate) endpoint: String,
    pub(crate) client_id: String,
    /// How long an acknowledgement is waited for.
    pub(crate) patience: Duration,
    input: BytesMut,
    inbox: VecDeque<Message>,
    packet_id: NonZeroU16,
}

/// Largest packet that is read: AWS's limit of 146 KB, and room.
const MOST_PACKET: usize = 1024 * 1024;

impl Asking {
    pub(crate) fn new(
        stream: Box<TlsStream<TcpStream>>,
        version: Version,
        endpoint: String,
        client_id: String,
        patience: Duration,
    ) -> Self {
        Self {
            stream,
            version,
            endpoint,
            client_id,
            patience,
            input: BytesMut::new(),
            inbox: VecDeque::new(),
            packet_id: NonZeroU16::MIN,
        }
    }

    fn next_id(&mut self) -> NonZeroU16 {
        self.packet_id = self.packet_id.checked_add(1).unwrap_or(NonZeroU16::MIN);
        self.packet_id
    }

    fn lost(&self, closed: &Closed) -> MqttError {
        MqttError::KeepsClosing {
            endpoint: self.endpoint.clone(),
            client_id: self.client_id.clone(),
            times: 1,
            last: closed.to_string(),
        }
    }

    async fn send(&mut self, packets: &[u8]) -> Result<(), MqttError> {
        let sent = async {
            self.stream.write_all(packets).await?;
            self.stream.flush().await
        };
        let sent = sent.await;
        sent.map_err(|error| self.lost(&Closed::of(&error, Stage::Session)))
    }

    /// The next packet; none if the deadline passes first. Messages are acknowledged and put into the inbox.
    async fn packet(&mut self, deadline: Instant) -> Result<Option<FromServer>, MqttError> {
        loop {
            let frame = Frames::new(MOST_PACKET)
                .next(&mut self.input)
                .map_err(|error| self.nonsense(error.to_string()))?;
            if let Some((first, body)) = frame {
                return self.read(first, body).await.map(Some);
            }
            let read = timeout_at(deadline, self.stream.read_buf(&mut self.input)).await;
            let count = match read {
                Err(_) => return Ok(None),
                Ok(read) => read.map_err(|error| self.lost(&Closed::of(&error, Stage::Session)))?,
            };
            if count == 0 {
                let stage = Stage::Session;
                return Err(self.lost(&Closed::Ended { stage }));
            }
        }
    }

    async fn read(&mut self, first: u8, body: Bytes) -> Result<FromServer, MqttError> {
        let packet = decode_from_server(self.version, first, body)
            .map_err(|error| self.nonsense(error.to_string()))?;
        match &packet {
            FromServer::Publish(publish) => {
                if let Some(id) = publish.packet_id {
                    let mut answer = Vec::new();
                    encode_puback(&mut answer, self.version, id, 0);
                    self.send(&answer).await?;
                }
                self.inbox.push_back(Message {
                    topic: publish.topic.to_string(),
                    payload: publish.payload.clone(),
                    qos: match publish.qos {
                        QoS::AtMostOnce => Qos::AtMostOnce,
                        QoS::AtLeastOnce | QoS::ExactlyOnce => Qos::AtLeastOnce,
                    },
                    retain: publish.retain,
                    dup: publish.dup,
                });
            }
            FromServer::Disconnect(code) => {
                let why = reason(self.version, false, *code);
                return Err(self.lost(&Closed::Disconnected(why)));
            }
            _ => {}
        }
        Ok(packet)
    }

    fn nonsense(&self, detail: String) -> MqttError {
        MqttError::Protocol {
            endpoint: self.endpoint.clone(),
            detail,
        }
    }

    fn no_answer(&self, request: &'static str) -> MqttError {
        MqttError::NoAnswer {
            endpoint: self.endpoint.clone(),
            request,
            waited: self.patience,
        }
    }
}

impl Client for Asking {
    async fn subscribe(
        &mut self,
        filters: &[String],
        qos: Qos,
    ) -> Result<Vec<Result<Qos, Reason>>, MqttError> {
        let id = self.next_id();
        let asked: Vec<_> = filters
            .iter()
            .map(|filter| (filter.as_str(), wire(qos)))
            .collect();
        let mut packet = Vec::new();
        encode_subscribe(&mut packet, self.version, id, &asked);
        self.send(&packet).await?;
        let deadline = Instant::now() + self.patience;
        loop {
            match self.packet(deadline).await? {
                None => return Err(self.no_answer("SUBSCRIBE")),
                Some(FromServer::SubAck { packet_id, codes }) if packet_id == id => {
                    let answer = |code: u8| match code {
                        0 => Ok(Qos::AtMostOnce),
                        1 | 2 => Ok(Qos::AtLeastOnce),
                        code => Err(reason(self.version, false, code)),
                    };
                    return Ok(codes.into_iter().map(answer).collect());
                }
                Some(_) => {}
            }
        }
    }

    async fn publish(&mut self, message: Publish) -> Result<(), MqttError> {
        let id = self.next_id();
        let mut packet = Vec::new();
        let outline = Outline {
            topic: message.topic(),
            payload: message.payload(),
            qos: wire(message.qos()),
            retain: false,
            dup: false,
            packet_id: id.get(),
            properties: &[],
            message_expiry: None,
            alias: None,
        };
        encode_publish(&mut packet, self.version, &outline);
        self.send(&packet).await?;
        if message.qos() == Qos::AtMostOnce {
            return Ok(());
        }
        let deadline = Instant::now() + self.patience;
        loop {
            match self.packet(deadline).await? {
                None => return Err(self.no_answer("PUBLISH")),
                Some(FromServer::PubAck { packet_id, reason }) if packet_id == id => {
                    return match reason {
                        0..0x80 => Ok(()),
                        code => Err(MqttError::PublishRefused {
                            topic: message.topic().to_owned(),
                            why: Reason::v5(code, None).to_string(),
                            sequence: u64::from(id.get()),
                            unacknowledged: 1,
                        }),
                    };
                }
                Some(_) => {}
            }
        }
    }

    async fn next_message(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<Message>, MqttError> {
        let deadline = deadline.unwrap_or_else(|| Instant::now() + self.patience);
        loop {
            if let Some(message) = self.inbox.pop_front() {
                return Ok(Some(message));
            }
            if self.packet(deadline).await?.is_none() {
                return Ok(None);
            }
        }
    }

    fn connections(&self) -> u32 {
        1
    }

    async fn disconnect(mut self) -> Result<(), MqttError> {
        let mut packet = Vec::new();
        encode_disconnect_from_client(&mut packet);
        self.send(&packet).await
    }
}

fn wire(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
    }
}
