//! Why an environment could not be stood up, compared or taken down.

use jitp_core::failure::{Class, Classified};
use jitp_core::placeholders::PlaceholderError;

use super::package::HookError;
use crate::registry::Missing;
use crate::{CloudError, TeardownError, TemplatingError};

/// Why an environment could not be stood up, compared or taken down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// AWS refused, or did not answer.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// A name cannot stand in a document.
    #[error(transparent)]
    Placeholder(#[from] PlaceholderError),
    /// The template cannot be made.
    #[error(transparent)]
    Template(#[from] TemplatingError),
    /// What devices made cannot be taken down.
    #[error(transparent)]
    Teardown(#[from] TeardownError),
    /// The hook could not be a function.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// Something of that name is there, says something else, and was not made by this environment.
    #[error("the {kind} {name} exists, was not made by this environment, and differs: {}", .differences.join(", "))]
    NotOurs {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: String,
        /// In what.
        differences: Vec<&'static str>,
    },
    /// It differs in what cannot be changed.
    #[error("the {kind} {name} differs in what AWS cannot change: {}", .differences.join(", "))]
    Unchangeable {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: String,
        /// In what.
        differences: Vec<&'static str>,
    },
    /// Events are published that the environment would switch off for everybody.
    #[error("events are switched on that this environment does not name: {}", .0.join(", "))]
    OtherEvents(Vec<String>),
}

impl From<Missing> for EnvironmentError {
    fn from(error: Missing) -> Self {
        Self::Template(error.into())
    }
}

impl Classified for EnvironmentError {
    fn class(&self) -> Class {
        match self {
            Self::Cloud(error) => error.class(),
            Self::Placeholder(error) => error.class(),
            Self::Template(error) => error.class(),
            Self::Teardown(error) => error.class(),
            Self::Hook(HookError::Variable { .. }) => Class::Usage,
            Self::Hook(_) => Class::Configuration,
            Self::NotOurs { .. } | Self::Unchangeable { .. } | Self::OtherEvents(_) => {
                Class::Conflict
            }
        }
    }

    fn code(&self) -> String {
        match self {
            Self::Cloud(error) => error.code(),
            Self::Placeholder(error) => error.code(),
            Self::Template(error) => error.code(),
            Self::Teardown(error) => error.code(),
            other => other.class().code().to_owned(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.hint(),
            Self::Placeholder(error) => error.hint(),
            Self::Template(error) => error.hint(),
            Self::Teardown(error) => error.hint(),
            Self::Hook(HookError::Variable { .. }) => None,
            Self::Hook(HookError::OtherArchitecture { found, .. }) => Some(format!(
                "pass --hook-architecture {found} if that is what it is to run on, or build it anew: make lambda"
            )),
            Self::Hook(_) => {
                Some("make lambda packs one: target/lambda/pre-provision.zip".to_owned())
            }
            Self::NotOurs { .. } => Some(
                "give this environment's another name; see: environment apply --help".to_owned(),
            ),
            Self::Unchangeable { .. } => {
                Some("choose another name, or destroy the environment first".to_owned())
            }
            Self::OtherEvents(events) => Some(format!(
                "they are one setting of the whole account: name them too, --events THING,{}",
                events.join(",")
            )),
        }
    }

    fn request_id(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.request_id(),
            Self::Template(error) => error.request_id(),
            Self::Teardown(error) => error.request_id(),
            _ => None,
        }
    }
}
