//! Topic rules executed: which rules see a message is decided where it is published, what they do is done beside it.
//!
//! The broker offers each message to an [`Inlet`]; an [`Engine`] takes what rules want from its other end, evaluates
//! their statements and carries out their actions. A publisher waits for neither, but is slowed down when rules
//! cannot keep up.

mod actions;
mod engine;
mod failure;
mod inlet;
mod invocations;
mod republish;
mod roles;
#[cfg(test)]
mod tests;
mod world;

pub(crate) use engine::{Engine, EngineSettings};
pub(crate) use inlet::{Ingested, Inlet, Origin, Outlet};
