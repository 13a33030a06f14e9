//! The certificate authority, the verification certificate, the registration template and the MQTT client.
//!
//! Nothing in here knows the AWS SDK: what talks to the control plane is the crate `cloud`.

pub mod ca;
pub mod certificate;
pub mod csr;
pub mod failure;
pub mod mqtt;
pub mod names;
pub mod placeholders;
pub mod quotas;
pub mod store;
pub mod template;
