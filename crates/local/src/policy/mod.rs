//! IoT policies: what a connected device may do, decided from documents and the facts of its connection alone.
//!
//! Pure: no account, no socket, no clock. A document is read once ([`PolicyDocument::parse`]), compiled once a
//! connection with the policy variables replaced ([`Authorizer::compile`]), and then asked for every packet
//! ([`Authorizer::decide`], tens of nanoseconds, no allocation). Why the answer is what it is can be asked afterwards
//! ([`Decision::reason`]) and costs nothing until then.
//!
//! Where AWS's documentation is silent, this is what was chosen:
//!
//! - `Version` must be 2012-10-17; the older 2008-10-17, which knows no variables, is refused.
//! - `NotAction` is refused; action names, condition keys and variable names are compared without regard to case,
//!   as IAM does, whose conventions the IoT developer guide refers to.
//! - Wildcards match any characters of the whole ARN, `:` and `/` included.
//! - A variable without a value makes its pattern match nothing, not even the text of the variable itself.
//! - `.List` in a resource stands for each of its values; `.0` is the first value.
//! - `iot:ConnectAttributes` and `iot:LastWillTopic` have a value for `iot:Connect` only.
//! - A shared subscription is allowed if either `$share/NAME/FILTER` or `FILTER` is, and denied if either is denied.
//! - `Numeric…`, `Date…` and `Binary…` conditions are refused when the document is created.

mod action;
mod authorizer;
mod condition;
#[cfg(test)]
mod conformance;
mod document;
mod malformed;
mod matcher;
mod pattern;
mod reason;
mod variables;
mod warnings;

pub use action::{Action, ResourceKind};
pub use authorizer::{Authorizer, Decision};
pub use document::{Effect, LONGEST_DOCUMENT, NamedPolicy, PolicyDocument};
pub use malformed::{MalformedPolicy, PolicyFault};
pub use reason::{NO_POLICY, POLICY_ALLOWED, POLICY_EXPLICIT_DENY, POLICY_IMPLICIT_DENY, Reason};
pub use variables::{ArnScope, CertificateVariables, ConnectionContext, ThingVariables};
pub use warnings::PolicyWarning;
