//! Why something could not be deployed.

use std::path::PathBuf;

use jitp_core::failure::{Class, Classified};
use jitp_stack::{StackError, Unreadable};

use super::progress::StackEvent;
use crate::{CloudError, MappingError};

/// Why a stack could not be made, changed or deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// AWS refused, or did not answer.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The template is neither JSON nor YAML.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The template makes no sense.
    #[error(transparent)]
    Template(#[from] StackError),
    /// What a function is made of cannot be read.
    #[error("{id} is made of {}, which cannot be packed: {reason}", .path.display())]
    Package {
        /// The resource.
        id: String,
        /// What its template names.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// There is no bucket to bring it to.
    #[error("{what} goes by a bucket, and none is named")]
    NoBucket {
        /// What has to go there.
        what: String,
    },
    /// The template is larger than CloudFormation takes.
    #[error("the template has {octets} octets, and CloudFormation takes {limit} at most")]
    TooLarge {
        /// Its size.
        octets: usize,
        /// The largest.
        limit: usize,
    },
    /// The change set could not be made.
    #[error("CloudFormation does not take the changes of the stack {stack}: {reason}")]
    Refused {
        /// The stack.
        stack: String,
        /// What CloudFormation says.
        reason: String,
    },
    /// What was under way ended otherwise than it should.
    #[error("the stack {stack} is {status}{}", told(.failures))]
    Failed {
        /// The stack.
        stack: String,
        /// Its state.
        status: String,
        /// What failed first, in the order in which it did.
        failures: Vec<StackEvent>,
    },
    /// It is in a state in which it cannot be changed.
    #[error("the stack {stack} is {status}, and cannot be changed{}", told(.failures))]
    Stuck {
        /// The stack.
        stack: String,
        /// Its state.
        status: String,
        /// What failed first, in the order in which it did.
        failures: Vec<StackEvent>,
    },
    /// Without CloudFormation: a resource of a kind that only CloudFormation makes.
    #[error("{id} is a {kind}, which is not made without CloudFormation")]
    OnlyByCloudFormation {
        /// Its name in the template.
        id: String,
        /// What it is.
        kind: String,
    },
    /// Without CloudFormation: a property that is not what it should be, or not made.
    #[error("{id}: the property {property} must be {wanted}")]
    Property {
        /// The resource's name in the template.
        id: String,
        /// The property.
        property: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// Without CloudFormation: something of that name is there that this stack has not made.
    #[error("the {kind} {name} exists and was not made by this stack{}", in_what(.differences))]
    NotOurs {
        /// What it is.
        kind: String,
        /// Its name.
        name: String,
        /// In what it differs.
        differences: Vec<&'static str>,
    },
    /// Without CloudFormation: a mapping does not become what it should.
    #[error(transparent)]
    Mapping(MappingError),
    /// It is not done after the longest time that is waited.
    #[error("the stack {stack} is still {status}")]
    Slow {
        /// The stack.
        stack: String,
        /// Its state.
        status: String,
    },
}

fn in_what(differences: &[&str]) -> String {
    match differences.is_empty() {
        true => String::new(),
        false => format!("; it differs in {}", differences.join(", ")),
    }
}

/// The failures that are told; there may be dozens that follow from them.
const TOLD: usize = 3;

fn told(failures: &[StackEvent]) -> String {
    let told = failures.iter().take(TOLD).map(|event| {
        let reason = event.reason.as_deref().unwrap_or("no reason is told");
        format!("{} ({}): {reason}", event.resource, event.kind)
    });
    let told: Vec<String> = told.collect();
    match told.is_empty() {
        true => String::new(),
        false => format!("; what failed: {}", told.join("; ")),
    }
}

impl Classified for DeployError {
    fn class(&self) -> Class {
        match self {
            Self::Cloud(error) => error.class(),
            Self::Unreadable(_)
            | Self::Template(_)
            | Self::Package { .. }
            | Self::NoBucket { .. }
            | Self::TooLarge { .. }
            | Self::OnlyByCloudFormation { .. }
            | Self::Property { .. } => Class::Configuration,
            Self::Mapping(error) => error.class(),
            Self::Refused { .. } | Self::Failed { .. } => Class::Refused,
            Self::Stuck { .. } | Self::NotOurs { .. } => Class::Conflict,
            Self::Slow { .. } => Class::Temporary,
        }
    }

    fn code(&self) -> String {
        match self {
            Self::Cloud(error) => error.code(),
            Self::Mapping(error) => error.code(),
            other => other.class().code().to_owned(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Cloud(error) if error.is("NoSuchBucket") => {
                Some("make it first: aws s3 mb s3://BUCKET".to_owned())
            }
            Self::Cloud(error) => error.hint(),
            Self::Package { .. } => Some("`make lambda` builds the functions".to_owned()),
            Self::NoBucket { .. } => Some("set AWS_BUCKET, or pass --bucket".to_owned()),
            Self::Failed { stack, status, .. } | Self::Stuck { stack, status, .. } => {
                Some(way_out(stack, status))
            }
            Self::Slow { .. } => {
                Some("CloudFormation goes on by itself; run again to wait for it".to_owned())
            }
            Self::Unreadable(_)
            | Self::Template(_)
            | Self::TooLarge { .. }
            | Self::Property { .. }
            | Self::Refused { .. } => None,
            Self::Mapping(error) => error.hint(),
            Self::OnlyByCloudFormation { .. } => Some(
                "deploy it where CloudFormation is; a fleet by claim is stood up by: environment apply".to_owned(),
            ),
            Self::NotOurs { .. } => {
                Some("give it another name by a parameter, or remove it first".to_owned())
            }
        }
    }

    fn request_id(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.request_id(),
            _ => None,
        }
    }
}

/// What to do about a stack in a state (CloudFormation user guide, "Stack status codes").
fn way_out(stack: &str, status: &str) -> String {
    match status {
        "UPDATE_ROLLBACK_COMPLETE" => {
            "it is as it was before: mend what failed, and run again".to_owned()
        }
        "UPDATE_ROLLBACK_FAILED" => {
            format!(
                "aws cloudformation continue-update-rollback --stack-name {stack}, then run again"
            )
        }
        "DELETE_FAILED" => "mend what failed, and delete it again".to_owned(),
        // One that was never complete can only be deleted.
        _ => format!("mend what failed, then: deploy --delete --stack {stack}, and run again"),
    }
}
