//! The certificate authority, the verification certificate, templates, the MQTT client, and provisioning by claim.
//!
//! Nothing in here knows the AWS SDK: what talks to the control plane is the crate `cloud`.

pub mod ca;
pub mod certificate;
pub mod claim;
pub mod csr;
pub mod failure;
pub mod lint;
pub mod mqtt;
pub mod names;
pub mod placeholders;
pub mod quotas;
pub mod role;
pub mod rule;
pub mod store;
pub mod template;
mod visible;
