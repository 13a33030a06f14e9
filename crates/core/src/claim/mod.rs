//! Fleet provisioning by claim, the device's side: a certificate that can only ask is exchanged for an identity.
//!
//! [`Exchange`] speaks AWS IoT's provisioning API on a [`Client`](crate::mqtt::Client) (developer guide, "Device
//! provisioning MQTT API"). [`provision`] runs the whole exchange for one device, so that it can be broken off at any
//! point: until everything has been accepted and proved the device has what it had, and another run goes on.

mod attempt;
mod client;
mod error;
mod exchange;
mod format;
mod present;
mod proving;
mod provisioning;
mod run;
mod swap;

pub use attempt::thing_name;
pub use client::client_id;
pub use error::{ClaimError, Rejection};
pub use exchange::{Exchange, IssuedCertificate, Operation, OwnershipToken, Patience, Registered};
pub use format::Format;
pub use present::provisioned;
pub use provisioning::{
    Keys, Listener, Outcome, Progress, Provisioned, Provisioning, ProvisioningStopped, provision,
};
