//! Stacks of CloudFormation: what they are made from brought to a bucket, a change set made, shown and executed, and waited
//! for.

mod artefacts;
mod change_set;
mod direct;
mod error;
mod progress;

pub use artefacts::{Artefacts, Bucket, Package};
pub use change_set::{NewStack, Proposal, ResourceChange};
pub use direct::{Compared, Direct, Sought};
pub use error::DeployError;
pub use progress::{StackEvent, StackState};
