//! What can be wrong with bytes that claim to be MQTT.

use crate::reason;

/// Why a packet cannot be read or written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Bytes that are no MQTT packet; the name of the field at fault.
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    /// Well-formed, but not allowed here.
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    /// Larger than the receiver takes.
    #[error("packet of {size} bytes is larger than the {max} bytes allowed")]
    TooLarge {
        /// Bytes of the whole packet, fixed header included.
        size: usize,
        /// The most that is taken.
        max: usize,
    },
    /// A protocol level other than 4 (3.1.1) and 5; MQTT 3.1 (level 3) is one of those.
    #[error("MQTT protocol level {0} is not supported (3.1.1 is level 4, MQTT 5 is level 5)")]
    UnsupportedVersion(u8),
    /// A subscription identifier, which AWS IoT Core does not offer.
    #[error("subscription identifiers are not available")]
    SubscriptionIdentifier,
}

impl WireError {
    /// The MQTT 5 reason code of the DISCONNECT that answers it, one of those AWS documents.
    pub fn reason_code(&self) -> u8 {
        match self {
            Self::Malformed(_) => reason::MALFORMED_PACKET,
            Self::Protocol(_) | Self::UnsupportedVersion(_) => reason::PROTOCOL_ERROR,
            // AWS does not list 0x95 (packet too large) among its codes; quota exceeded it does.
            Self::TooLarge { .. } => reason::QUOTA_EXCEEDED,
            Self::SubscriptionIdentifier => reason::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
        }
    }
}

impl From<rmqtt_codec::error::DecodeError> for WireError {
    fn from(error: rmqtt_codec::error::DecodeError) -> Self {
        use rmqtt_codec::error::DecodeError as E;
        match error {
            E::InvalidProtocol => Self::Malformed("protocol name"),
            E::InvalidLength => Self::Malformed("a length does not fit the packet"),
            E::UnsupportedProtocolLevel => Self::Malformed("protocol level"),
            E::ConnectReservedFlagSet | E::InvalidConnectFlags => Self::Malformed("connect flags"),
            E::ConnAckReservedFlagSet => Self::Malformed("connack flags"),
            E::InvalidClientId => Self::Protocol("empty client id without clean session"),
            E::UnsupportedPacketType => Self::Malformed("packet type or its flags"),
            E::PacketIdRequired => Self::Malformed("packet id"),
            E::MaxSizeExceeded { size, max } => Self::TooLarge {
                size: size as usize,
                max: max as usize,
            },
            E::InvalidTopicFilter => Self::Protocol("no topic filter"),
            E::InvalidTopicName => Self::Protocol("empty topic"),
            E::Utf8Error => Self::Malformed("text is not UTF-8"),
            _ => Self::Malformed("a field"),
        }
    }
}

impl From<rmqtt_codec::error::EncodeError> for WireError {
    fn from(_: rmqtt_codec::error::EncodeError) -> Self {
        Self::Protocol("a value does not fit its field")
    }
}
