//! What is to be deployed: template, stack, parameters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jitp_cli::{Failure, NameValue, Result, environment, read_text};
use jitp_cloud::Artefacts;
use jitp_core::failure::Class;

use crate::Arguments;

/// What this machine's programs are called by AWS Lambda.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

/// A stack as it is asked for, with the files it is made from.
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) artefacts: Artefacts,
    pub(crate) parameters: BTreeMap<String, String>,
    /// Parameters that the template declares.
    pub(crate) declared: Vec<String>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Wanted {
    /// `packed` is whether what functions are made of is read too.
    pub(crate) fn read(arguments: &Arguments, packed: bool) -> Result<Self> {
        let name = stack_name(arguments)?;
        let path = path(&arguments.template);
        let text = read_text(&path, "the template").map_err(|failure| {
            match is_ours(&arguments.template) {
                true => failure.hint("run it where etc/cloudformation is, or name a file"),
                false => failure,
            }
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let artefacts = match packed {
            true => Artefacts::read(&text, folder),
            false => Artefacts::without_packages(&text),
        };
        let artefacts = artefacts.map_err(|error| Failure::from(error).context(path.display()))?;
        let declared = artefacts.template.member("Parameters").into_iter();
        let declared: Vec<String> = declared
            .flat_map(|declared| declared.members())
            .map(|(name, _)| name.to_owned())
            .collect();
        let unknown = arguments.parameters.iter();
        let unknown = unknown
            .map(|one| &one.name)
            .find(|name| !declared.contains(name));
        if let Some(unknown) = unknown {
            let message = format!("{} has no parameter {unknown}", path.display());
            return Err(Failure::new(Class::Configuration, message)
                .hint(format!("it has {}", declared.join(", "))));
        }
        let usual = [
            ("TopicName", arguments.topic.as_str()),
            ("FunctionArchitecture", ARCHITECTURE),
        ];
        let mut parameters: BTreeMap<String, String> = usual
            .into_iter()
            .filter(|(name, _)| declared.iter().any(|known| known == name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        parameters.extend(pairs(&arguments.parameters));
        Ok(Self {
            name,
            artefacts,
            parameters,
            declared,
            tags: pairs(&arguments.tags).collect(),
        })
    }
}

fn pairs(given: &[NameValue]) -> impl Iterator<Item = (String, String)> {
    given
        .iter()
        .map(|one| (one.name.clone(), one.value.clone()))
}

/// Whether it is one of the toolkit's own.
fn is_ours(template: &str) -> bool {
    ["provisioning", "sqs", "loadtest"].contains(&template)
}

fn path(template: &str) -> PathBuf {
    match is_ours(template) {
        true => PathBuf::from(format!("etc/cloudformation/{template}.yaml")),
        false => PathBuf::from(template),
    }
}

/// The stack that is asked for; those of the toolkit's own templates are called as `etc/config.mk` calls them.
pub(crate) fn stack_name(arguments: &Arguments) -> Result<String> {
    let variable = |name| {
        std::env::var(name)
            .ok()
            .filter(|value: &String| !value.is_empty())
    };
    let topic = &arguments.topic;
    let usual = match arguments.template.as_str() {
        "provisioning" => variable(environment::AWS_STACK).or(Some("iot-policy".to_owned())),
        "sqs" => variable(environment::AWS_SQS_STACK).or(Some(format!("{topic}-stack"))),
        "loadtest" => variable(environment::AWS_LOADTEST_STACK).or(Some(format!("{topic}-policy"))),
        _ => None,
    };
    let name = arguments.stack.clone().or(usual).ok_or_else(|| {
        let message = format!(
            "what the stack of {} is called is not known",
            arguments.template
        );
        Failure::usage(message).hint("pass --stack NAME")
    })?;
    // CloudFormation API reference, "CreateChangeSet", StackName.
    let letters = name
        .chars()
        .all(|one| one.is_ascii_alphanumeric() || one == '-');
    match letters && name.starts_with(|one: char| one.is_ascii_alphabetic()) && name.len() <= 128 {
        true => Ok(name),
        false => Err(Failure::usage(format!(
            "the stack name {name:?} is not possible: 1 to 128 of the characters a-z A-Z 0-9 -, the first a letter"
        ))),
    }
}
