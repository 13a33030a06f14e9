//! The limits a broker enforces: AWS's, unless told otherwise.

use jitp_wire::limits as aws;

/// Limits of the broker. The default is what AWS IoT Core documents, rates left out.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest payload, in bytes.
    pub payload_bytes: usize,
    /// Largest packet, in bytes, MQTT 5 properties included.
    pub packet_bytes: usize,
    /// Most filters of a SUBSCRIBE.
    pub filters_per_subscribe: usize,
    /// Most subscriptions of a connection.
    pub subscriptions_per_connection: usize,
    /// Most unacknowledged QoS 1 messages in each direction.
    pub in_flight: usize,
    /// Longest a session outlives its connection, in seconds: the setting of the account, 1 hour unless
    /// changed and 7 days at most. MQTT 3.1.1 sessions always get it.
    pub session_expiry: u32,
    /// Shortest keep alive, in seconds; what is shorter is raised to it.
    pub shortest_keep_alive: u16,
    /// Time for the TLS handshake, in seconds.
    pub handshake_seconds: u32,
    /// Time for CONNECT after the handshake, in seconds.
    pub connect_seconds: u32,
    /// Most handshakes under way at once. Each costs 0.4 ms of CPU; the others wait.
    pub handshakes: usize,
    /// Whether the rates below are enforced. Off unless asked for: they make tests and load generators
    /// slow, and what is over them is discarded without a word.
    pub enforce_rates: bool,
    /// Most publishes a second on one connection.
    pub publishes_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes: aws::PAYLOAD_BYTES,
            packet_bytes: aws::PACKET_BYTES,
            filters_per_subscribe: aws::FILTERS_PER_SUBSCRIBE,
            subscriptions_per_connection: aws::SUBSCRIPTIONS_PER_CONNECTION,
            in_flight: aws::IN_FLIGHT,
            session_expiry: aws::SESSION_EXPIRY_DEFAULT,
            shortest_keep_alive: aws::KEEP_ALIVE_MIN,
            handshake_seconds: 10,
            connect_seconds: 30,
            handshakes: 512,
            enforce_rates: false,
            publishes_per_second: 100,
        }
    }
}
