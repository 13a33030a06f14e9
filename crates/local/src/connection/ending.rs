//! How a connection ends: the DISCONNECT it gets, the reason its lifecycle event gives, its will.

use jitp_wire::{WireError, reason};

use crate::session::Close;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// The client said goodbye; with MQTT 5 it may want its will sent all the same.
    Client { with_will: bool },
    /// The stream ended or broke.
    Lost,
    /// Nothing was heard for one and a half keep-alive intervals.
    KeepAlive,
    /// The client broke a rule; the reason code of the DISCONNECT.
    Fault(u8),
    /// No policy allows what it wanted to do.
    Denied,
    /// The message could not be made durable.
    Storage,
    /// Others want it closed.
    Ordered(Close),
}

impl Ending {
    /// The reason code of the DISCONNECT an MQTT 5 client gets; none when it is not there to get it.
    pub(crate) fn reason_code(self) -> Option<u8> {
        match self {
            Self::Client { .. } | Self::Lost => None,
            Self::KeepAlive => Some(reason::KEEP_ALIVE_TIMEOUT),
            Self::Fault(code) => Some(code),
            Self::Denied | Self::Ordered(Close::CertificateNotActive) => {
                Some(reason::NOT_AUTHORIZED)
            }
            Self::Storage => Some(reason::UNSPECIFIED),
            Self::Ordered(Close::TakenOver) => Some(reason::SESSION_TAKEN_OVER),
            Self::Ordered(Close::ShuttingDown) => Some(reason::SERVER_SHUTTING_DOWN),
            Self::Ordered(Close::Administrative { .. }) => Some(reason::ADMINISTRATIVE_ACTION),
        }
    }

    /// `disconnectReason` of the lifecycle event (developer guide, "Lifecycle events").
    pub(crate) fn event_reason(self) -> &'static str {
        match self {
            Self::Client { .. } => "CLIENT_INITIATED_DISCONNECT",
            Self::Lost => "CONNECTION_LOST",
            Self::KeepAlive => "MQTT_KEEP_ALIVE_TIMEOUT",
            Self::Fault(_) => "CLIENT_ERROR",
            Self::Denied => "AUTH_ERROR",
            Self::Storage => "SERVER_ERROR",
            Self::Ordered(Close::TakenOver) => "DUPLICATE_CLIENTID",
            Self::Ordered(Close::CertificateNotActive) => "FORBIDDEN_ACCESS",
            Self::Ordered(Close::ShuttingDown) => "SERVER_INITIATED_DISCONNECT",
            Self::Ordered(Close::Administrative { .. }) => "API_INITIATED_DISCONNECT",
        }
    }

    /// Whether the will is published.
    pub(crate) fn sends_will(self) -> bool {
        match self {
            Self::Client { with_will } => with_will,
            Self::Ordered(Close::Administrative { without_will }) => !without_will,
            _ => true,
        }
    }

    /// Whether the client itself ended it, as the lifecycle event says.
    pub(crate) fn is_client_initiated(self) -> bool {
        matches!(self, Self::Client { .. })
    }
}

impl From<&WireError> for Ending {
    fn from(error: &WireError) -> Self {
        Self::Fault(error.reason_code())
    }
}
