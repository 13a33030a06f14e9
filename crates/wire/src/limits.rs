//! The limits of AWS IoT Core's broker (endpoints and quotas page, "AWS IoT Core message broker and
//! protocol limits and quotas"; developer guide, "MQTT").

/// Most bytes of a client id.
pub const CLIENT_ID_BYTES: usize = 128;
/// Most bytes of a topic or topic filter, prefixes that do not count taken off.
pub const TOPIC_BYTES: usize = 256;
/// Most slashes of a topic or topic filter, prefixes that do not count taken off.
pub const TOPIC_SLASHES: usize = 7;
/// Most bytes of a payload: 128 KB.
pub const PAYLOAD_BYTES: usize = 128 * 1024;
/// Most bytes of a packet, MQTT 5 properties included: 146 KB.
pub const PACKET_BYTES: usize = 146 * 1024;
/// Least a client may announce as its own maximum packet size.
pub const CLIENT_PACKET_BYTES_MIN: u32 = 512;
/// Most bytes of the MQTT 5 content type.
pub const CONTENT_TYPE_BYTES: usize = 256;
/// Most bytes of the MQTT 5 correlation data.
pub const CORRELATION_DATA_BYTES: usize = 8 * 1024;
/// Most bytes of all MQTT 5 user properties of a packet, names and values.
pub const USER_PROPERTIES_BYTES: usize = 8 * 1024;
/// Most topic filters of a SUBSCRIBE or UNSUBSCRIBE.
pub const FILTERS_PER_SUBSCRIBE: usize = 8;
/// Most subscriptions of a connection.
pub const SUBSCRIPTIONS_PER_CONNECTION: usize = 50;
/// Most unacknowledged QoS 1 messages, in each direction.
pub const IN_FLIGHT: usize = 100;
/// Most topic aliases of a connection.
pub const TOPIC_ALIASES: u16 = 8;
/// Shortest keep alive in seconds; less is raised to it.
pub const KEEP_ALIVE_MIN: u16 = 30;
/// Longest keep alive in seconds; more, and 0, is lowered to it.
pub const KEEP_ALIVE_MAX: u16 = 1200;
/// Longest message expiry in seconds (7 days); more is lowered to it, and 0 raised to 1.
pub const MESSAGE_EXPIRY_MAX: u32 = 604_800;
/// Longest session expiry an account can have, in seconds (7 days).
pub const SESSION_EXPIRY_MAX: u32 = 604_800;
/// Session expiry of an account that has not changed it, in seconds.
pub const SESSION_EXPIRY_DEFAULT: u32 = 3600;
/// Most bytes of the group name in `$share/<group>/<filter>`.
pub const SHARE_NAME_BYTES: usize = 128;

/// The keep alive that is enforced for the one a client asks for, in seconds.
pub fn keep_alive(asked: u16) -> u16 {
    match asked {
        0 => KEEP_ALIVE_MAX,
        asked => asked.clamp(KEEP_ALIVE_MIN, KEEP_ALIVE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_is_clamped_and_zero_means_the_longest() {
        assert_eq!(keep_alive(0), 1200);
        assert_eq!(keep_alive(5), 30);
        assert_eq!(keep_alive(60), 60);
        assert_eq!(keep_alive(65535), 1200);
    }
}
