//! The resources of a template made by the calls of their own services, where there is no CloudFormation: on the local core,
//! from the very template that CloudFormation is given elsewhere.
//!
//! Everything it makes is tagged with the stack's name, which is how it knows what it may change and delete.

mod function;
mod mapping;
mod policy;
mod properties;
mod queue;
mod role;
mod rule;

use std::collections::BTreeMap;

use jitp_stack::{Made, Output, Resource, Stack};

use self::properties::Properties;
use super::{Artefacts, DeployError, Package};
use crate::environment::roles::Found;
use crate::{Change, Cloud, Place};

/// A stack that is made without CloudFormation.
#[derive(Debug)]
pub struct Direct<'a> {
    cloud: &'a Cloud,
    stack: Stack,
    name: &'a str,
    place: Place,
    packages: &'a [Package],
    made: BTreeMap<String, Made>,
}

/// What a resource is called, and how it stands to what it is to be.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Its name in the account.
    pub name: String,
    /// What bringing it into line takes; `None` for what is not made without CloudFormation.
    pub change: Option<Change>,
    /// In what it differs.
    pub differences: Vec<&'static str>,
}

/// A resource that is there.
#[derive(Clone, Debug)]
pub struct Sought {
    /// Its name in the account.
    pub name: String,
    /// Whether this stack has made it.
    pub ours: bool,
}

/// A resource as it was found: name, references, and how it stands.
struct Present {
    name: String,
    made: Made,
    found: Found,
}

impl<'a> Direct<'a> {
    /// A stack of this name; nothing is made yet.
    ///
    /// # Errors
    /// When the template or the parameters make no sense, or STS cannot be asked for the account.
    pub async fn new(
        cloud: &'a Cloud,
        name: &'a str,
        artefacts: &'a Artefacts,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self, DeployError> {
        let place = cloud.place().await?;
        let told = [place.partition, &place.region, &place.account, name];
        let stack = Stack::new(artefacts.template.clone(), parameters, told)?;
        Ok(Self {
            cloud,
            stack,
            name,
            place,
            packages: &artefacts.packages,
            made: BTreeMap::new(),
        })
    }

    /// The resources, each after those that it needs.
    ///
    /// # Errors
    /// When the template makes no sense, or has a resource that only CloudFormation can make.
    pub fn resources(&self) -> Result<Vec<Resource>, DeployError> {
        let resources = self.stack.resources()?;
        let known = |kind: &str| KINDS.contains(&kind) || LEFT_OUT.contains(&kind);
        match resources.iter().find(|resource| !known(&resource.kind)) {
            None => Ok(resources),
            Some(unknown) => Err(DeployError::OnlyByCloudFormation {
                id: unknown.id.clone(),
                kind: unknown.kind.clone(),
            }),
        }
    }

    /// How a resource stands to what it is to be; changes nothing. Those that it needs were compared before.
    ///
    /// # Errors
    /// When it is somebody else's and differs, or a call fails.
    pub async fn compare(&mut self, resource: &Resource) -> Result<Compared, DeployError> {
        let Some((name, found)) = self.look(resource).await? else {
            return Ok(Compared {
                name: resource.id.clone(),
                change: None,
                differences: Vec::new(),
            });
        };
        if found.change == Change::Updated && !found.ours {
            return Err(DeployError::NotOurs {
                kind: resource.kind.clone(),
                name,
                differences: found.differences,
            });
        }
        Ok(Compared {
            name,
            change: Some(found.change),
            differences: found.differences,
        })
    }

    /// Looks for a resource, so that those that need it can be looked at; `None` if there is none, or it is not made without
    /// CloudFormation.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn seek(&mut self, resource: &Resource) -> Result<Option<Sought>, DeployError> {
        let found = self.look(resource).await?;
        let there = found.filter(|(_, found)| found.change != Change::Created);
        Ok(there.map(|(name, found)| Sought {
            name,
            ours: found.ours,
        }))
    }

    /// Name of a resource and how it stands; `None` for what is not made without CloudFormation.
    async fn look(&mut self, resource: &Resource) -> Result<Option<(String, Found)>, DeployError> {
        if LEFT_OUT.contains(&resource.kind.as_str()) {
            return Ok(None);
        }
        let properties = self.stack.properties(&resource.id, &self.made)?;
        let properties = Properties::new(&resource.id, &properties);
        let present = self.present(&resource.kind, &properties).await?;
        self.made.insert(resource.id.clone(), present.made);
        Ok(Some((present.name, present.found)))
    }

    /// Makes a resource, or brings it into line; what is so already is left alone.
    ///
    /// # Errors
    /// As [`Direct::compare`]; the next run goes on from there.
    pub async fn bring(&mut self, resource: &Resource) -> Result<Compared, DeployError> {
        let compared = self.compare(resource).await?;
        if matches!(compared.change, None | Some(Change::Unchanged)) {
            return Ok(compared);
        }
        let properties = self.stack.properties(&resource.id, &self.made)?;
        let properties = Properties::new(&resource.id, &properties);
        match resource.kind.as_str() {
            "AWS::SQS::Queue" => self.bring_queue(&properties).await?,
            "AWS::IAM::Role" => self.bring_role(&properties).await?,
            "AWS::IoT::Policy" => self.bring_policy(&properties).await?,
            "AWS::IoT::TopicRule" => self.bring_rule(&properties).await?,
            "AWS::Lambda::Function" => self.bring_function(&properties).await?,
            "AWS::Lambda::EventSourceMapping" => self.bring_mapping(&properties).await?,
            _ => {} // `resources` knows no other
        }
        // What only the service could tell, such as a queue's URL.
        let present = self.present(&resource.kind, &properties).await?;
        self.made.insert(resource.id.clone(), present.made);
        Ok(compared)
    }

    /// Deletes a resource that was compared before, if this stack has made it.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn delete(&mut self, resource: &Resource) -> Result<Option<bool>, DeployError> {
        if LEFT_OUT.contains(&resource.kind.as_str()) {
            return Ok(None);
        }
        let properties = self.stack.properties(&resource.id, &self.made)?;
        let properties = Properties::new(&resource.id, &properties);
        let present = self.present(&resource.kind, &properties).await?;
        if present.found.change == Change::Created {
            return Ok(Some(false));
        }
        if !present.found.ours {
            return Err(DeployError::NotOurs {
                kind: resource.kind.clone(),
                name: present.name,
                differences: Vec::new(),
            });
        }
        match resource.kind.as_str() {
            "AWS::SQS::Queue" => self.delete_queue(&present.made.reference).await?,
            "AWS::IAM::Role" => self.cloud.delete_role(&present.name).await?,
            "AWS::IoT::Policy" => self.cloud.delete_policy(&present.name).await?,
            "AWS::IoT::TopicRule" => self.delete_rule(&present.name).await?,
            "AWS::Lambda::Function" => self.cloud.delete_function(&present.name).await?,
            "AWS::Lambda::EventSourceMapping" => {
                self.delete_mapping(&present.made.reference).await?
            }
            _ => {} // `resources` knows no other
        }
        Ok(Some(true))
    }

    /// The outputs, once everything is made.
    ///
    /// # Errors
    /// When one depends on what is not made without CloudFormation.
    pub fn outputs(&self) -> Result<Vec<Output>, DeployError> {
        Ok(self.stack.outputs(&self.made)?)
    }

    async fn present(
        &self,
        kind: &str,
        properties: &Properties<'_>,
    ) -> Result<Present, DeployError> {
        match kind {
            "AWS::SQS::Queue" => self.queue(properties).await,
            "AWS::IAM::Role" => self.role(properties).await,
            "AWS::IoT::Policy" => self.policy(properties).await,
            "AWS::IoT::TopicRule" => self.rule(properties).await,
            "AWS::Lambda::Function" => self.function(properties).await,
            "AWS::Lambda::EventSourceMapping" => self.mapping(properties).await,
            _ => Err(DeployError::OnlyByCloudFormation {
                id: properties.id().to_owned(),
                kind: kind.to_owned(),
            }),
        }
    }
}

/// What is made without CloudFormation.
const KINDS: [&str; 6] = [
    "AWS::SQS::Queue",
    "AWS::IAM::Role",
    "AWS::IoT::Policy",
    "AWS::IoT::TopicRule",
    "AWS::Lambda::Function",
    "AWS::Lambda::EventSourceMapping",
];

/// What watches over a stack and has no part in what it does; the local core has nothing of the kind.
const LEFT_OUT: [&str; 2] = ["AWS::CloudWatch::Alarm", "AWS::Logs::LogGroup"];
