//! MQTT 5 reason codes that AWS IoT Core documents (developer guide, "MQTT", "Reason codes").

/// 0x00: success, granted QoS 0, normal disconnection.
pub const SUCCESS: u8 = 0x00;
/// 0x04: the client leaves and wants its will sent.
pub const DISCONNECT_WITH_WILL: u8 = 0x04;
/// 0x80: unspecified error; the only failure code of a 3.1.1 SUBACK.
pub const UNSPECIFIED: u8 = 0x80;
/// 0x81: the packet cannot be parsed.
pub const MALFORMED_PACKET: u8 = 0x81;
/// 0x82: the packet is not allowed here.
pub const PROTOCOL_ERROR: u8 = 0x82;
/// 0x85: the client id is not acceptable.
pub const CLIENT_ID_NOT_VALID: u8 = 0x85;
/// 0x87: no policy allows it.
pub const NOT_AUTHORIZED: u8 = 0x87;
/// 0x8B: the server stops.
pub const SERVER_SHUTTING_DOWN: u8 = 0x8B;
/// 0x8D: nothing was heard for one and a half keep-alive intervals.
pub const KEEP_ALIVE_TIMEOUT: u8 = 0x8D;
/// 0x8E: another connection uses the same client id.
pub const SESSION_TAKEN_OVER: u8 = 0x8E;
/// 0x8F: the topic filter is not acceptable.
pub const TOPIC_FILTER_INVALID: u8 = 0x8F;
/// 0x90: the topic is not acceptable.
pub const TOPIC_NAME_INVALID: u8 = 0x90;
/// 0x91: the packet identifier is in use.
pub const PACKET_ID_IN_USE: u8 = 0x91;
/// 0x93: more unacknowledged QoS 1 messages than the receive maximum.
pub const RECEIVE_MAXIMUM_EXCEEDED: u8 = 0x93;
/// 0x94: a topic alias of 0, above the maximum, or never assigned.
pub const TOPIC_ALIAS_INVALID: u8 = 0x94;
/// 0x97: a quota is exceeded.
pub const QUOTA_EXCEEDED: u8 = 0x97;
/// 0x98: closed by an administrator.
pub const ADMINISTRATIVE_ACTION: u8 = 0x98;
/// 0x9B: the QoS is not supported.
pub const QOS_NOT_SUPPORTED: u8 = 0x9B;
/// 0xA1: subscription identifiers are not supported.
pub const SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED: u8 = 0xA1;
