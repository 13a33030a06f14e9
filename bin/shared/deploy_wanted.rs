//! What is to be deployed: template, stack, parameters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jitp_cli::{Failure, NameValue, Result, environment, read_text};
use jitp_cloud::Artefacts;
use jitp_core::failure::Class;

/// What this machine's programs are called by AWS Lambda.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

/// What the flags of a program say of a stack.
pub(crate) struct Asked<'a> {
    /// provisioning, sqs, loadtest, or a file.
    pub(crate) template: &'a str,
    /// Name of the stack, if it is given one.
    pub(crate) stack: Option<&'a str>,
    /// Parameters of the template.
    pub(crate) parameters: &'a [NameValue],
    /// Topic of the pipeline.
    pub(crate) topic: &'a str,
}

/// A stack as it is asked for, with the files it is made from.
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) artefacts: Artefacts,
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Wanted {
    /// `packed` is whether what functions are made of is read too.
    pub(crate) fn read(asked: &Asked, packed: bool) -> Result<Self> {
        let name = stack_name(asked)?;
        let path = path(asked.template);
        let text =
            read_text(&path, "the template").map_err(|failure| match is_ours(asked.template) {
                true => failure.hint("run it where etc/cloudformation is, or name a file"),
                false => failure,
            })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let artefacts = match packed {
            true => Artefacts::read(&text, folder),
            false => Artefacts::without_packages(&text),
        };
        let artefacts = artefacts.map_err(|error| Failure::from(error).context(path.display()))?;
        let declared = artefacts.declared();
        let unknown = asked.parameters.iter();
        let unknown = unknown
            .map(|one| &one.name)
            .find(|name| !declared.contains(name));
        if let Some(unknown) = unknown {
            let message = format!("{} has no parameter {unknown}", path.display());
            return Err(Failure::new(Class::Configuration, message)
                .hint(format!("it has {}", declared.join(", "))));
        }
        let usual = [
            ("TopicName", asked.topic),
            ("FunctionArchitecture", ARCHITECTURE),
        ];
        let mut parameters: BTreeMap<String, String> = usual
            .into_iter()
            .filter(|(name, _)| declared.iter().any(|known| known == name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        parameters.extend(pairs(asked.parameters));
        Ok(Self {
            name,
            artefacts,
            parameters,
        })
    }
}

pub(crate) fn pairs(given: &[NameValue]) -> impl Iterator<Item = (String, String)> {
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
pub(crate) fn stack_name(asked: &Asked) -> Result<String> {
    let variable = |name| {
        std::env::var(name)
            .ok()
            .filter(|value: &String| !value.is_empty())
    };
    let topic = asked.topic;
    let usual = match asked.template {
        "provisioning" => variable(environment::AWS_STACK).or(Some("iot-policy".to_owned())),
        "sqs" => variable(environment::AWS_SQS_STACK).or(Some(format!("{topic}-stack"))),
        "loadtest" => variable(environment::AWS_LOADTEST_STACK).or(Some(format!("{topic}-policy"))),
        _ => None,
    };
    let name = asked.stack.map(str::to_owned).or(usual).ok_or_else(|| {
        let message = format!(
            "what the stack of {} is called is not known",
            asked.template
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
