//! The MQTT client of the programs: mutual TLS to AWS IoT Core or to a local core, patient with
//! just-in-time provisioning, and never waiting for ever.
//!
//! A [`Session`] is made from [`Options`] ([`Endpoint`], client id, [`Identity`], [`Trust`]) and narrates what it
//! does through [`Event`]s. It is built on rumqttc's maintained continuation; none of its types is seen here.
//!
//! Why a connection is closed is told as precisely as the transport allows ([`Closed`]), and a final
//! [`MqttError`] knows its place in the table of exit codes ([`Class`](crate::failure::Class)) and what to look at
//! ([`Classified::hint`](crate::failure::Classified::hint)).

mod client;
mod dial;
mod endpoint;
mod error;
mod identity;
mod link;
mod message;
mod options;
mod reason;
mod retry;
mod rumqtt;
mod session;
mod stream;
mod trust;
mod verifier;

pub use client::Client;
pub use dial::{Entrance, Network, open_tcp};
pub use endpoint::{DEFAULT_PORT, Endpoint, EndpointError};
pub use error::{MqttError, Tries};
pub use identity::{Identity, IdentityError};
pub use message::{
    LimitError, MAX_CLIENT_ID_BYTES, MAX_FILTERS_PER_SUBSCRIBE, MAX_IN_FLIGHT, MAX_PAYLOAD_BYTES,
    MAX_TOPIC_BYTES, MAX_TOPIC_SLASHES, Message, Publish, Qos, Version, check_client_id,
    check_filter, check_topic,
};
pub use options::{Alpn, BURST, Clock, Options};
pub use reason::{Closed, Event, Reason, Stage};
pub use retry::Retry;
pub use session::{Probed, Session, probe};
pub use trust::{AMAZON_ROOT_FINGERPRINTS, ServerFault, Trust, TrustError};
