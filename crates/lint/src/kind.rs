//! What a file is, told by what stands in it.

use std::borrow::Cow;
use std::str::FromStr;

use jitp_core::lint::{Severity, TemplateUse};
use jitp_core::placeholders;
use jitp_core::template::json::child;
use jitp_stack::{Node, Tree, is_json, json};

use crate::cloudformation;
use crate::document::{self, Subject};
use crate::rule;
use crate::terraform;
use crate::{LintError, Located, Settings};

/// What a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// An IoT policy document.
    Policy,
    /// A provisioning template; what for is told by its parameters.
    Template,
    /// A template for fleet provisioning.
    FleetTemplate,
    /// A template for just-in-time provisioning.
    JitpTemplate,
    /// The SQL statement of a topic rule.
    Sql,
    /// A topic rule: its SQL and its actions, as `aws iot create-topic-rule` takes it.
    Rule,
    /// A CloudFormation template.
    CloudFormation,
    /// What `terraform show -json` prints.
    Terraform,
    /// What `terraform output -json` prints.
    TerraformOutput,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Policy,
        Self::Template,
        Self::FleetTemplate,
        Self::JitpTemplate,
        Self::Sql,
        Self::Rule,
        Self::CloudFormation,
        Self::Terraform,
        Self::TerraformOutput,
    ];

    /// In a word, as on a command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Template => "template",
            Self::FleetTemplate => "fleet-template",
            Self::JitpTemplate => "jitp-template",
            Self::Sql => "sql",
            Self::Rule => "rule",
            Self::CloudFormation => "cloudformation",
            Self::Terraform => "terraform",
            Self::TerraformOutput => "terraform-output",
        }
    }
}

/// A word that is no kind.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is none of {known}", known = Kind::ALL.map(Kind::as_str).join(", "))]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// Reads a text as what it is, and judges it.
pub(crate) fn lint(text: &str, settings: &Settings) -> Result<Vec<Located>, LintError> {
    if settings.kind == Some(Kind::Sql) || settings.kind.is_none() && is_select(text) {
        return Ok(rule::lint_sql(text));
    }
    let filled = fill(text, settings);
    let root = match read(&filled) {
        Ok(root) => root,
        Err(_) if settings.kind.is_none() && is_kubernetes(&filled) => {
            return Err(LintError::NotRecognized);
        }
        Err(finding) => return Ok(vec![finding]),
    };
    let kind = settings.kind.or_else(|| match of(&root) {
        // What devices are provisioned by is JSON.
        Some(Kind::Template) if !is_json(&filled) => Some(Kind::CloudFormation),
        kind => kind,
    });
    // A document may be wrapped as the AWS CLI takes it, as a text.
    let document = |member: &str, subject| match root.member(member) {
        Some(inner) => document::lint(inner, &child("$", member), subject),
        None => document::lint(&root, "$", subject),
    };
    let template = |used_for| document("templateBody", Subject::Template(used_for));
    Ok(match kind.ok_or(LintError::NotRecognized)? {
        Kind::Policy => document("policyDocument", Subject::Policy),
        Kind::Template => template(None),
        Kind::FleetTemplate => template(Some(TemplateUse::Fleet)),
        Kind::JitpTemplate => template(Some(TemplateUse::Jitp)),
        Kind::Sql => Vec::new(), // above
        Kind::Rule => match root.member("topicRulePayload") {
            Some(payload) => rule::lint(payload, "$.topicRulePayload"),
            None => rule::lint(&root, "$"),
        },
        Kind::CloudFormation => cloudformation::lint(&root, &settings.parameters),
        Kind::Terraform => terraform::lint_resources(&root),
        Kind::TerraformOutput => terraform::lint_outputs(&root),
    })
}

/// Manifests of Kubernetes are often several documents in a file, which none of ours is.
fn is_kubernetes(text: &str) -> bool {
    let has = |member: &str| text.lines().any(|line| line.starts_with(member));
    has("apiVersion:") && has("kind:")
}

/// A text with those of its placeholders filled in whose values are given; in CloudFormation they are parameters, and
/// left to it.
fn fill<'a>(text: &'a str, settings: &Settings) -> Cow<'a, str> {
    let given = settings.parameters.iter();
    let given: Vec<(&str, &str)> = given
        .filter(|(name, _)| is_json(text) && text.contains(&format!("${{{name}}}")))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    match placeholders::fill(text, &given) {
        Ok(filled) if !given.is_empty() => Cow::Owned(filled),
        _ => Cow::Borrowed(text),
    }
}

fn read(text: &str) -> Result<Node, Located> {
    jitp_stack::read(text).map_err(|error| Located {
        severity: Severity::Error,
        rule: "unreadable",
        line: error.line,
        path: error.path,
        message: error.message,
    })
}

fn of(root: &Node) -> Option<Kind> {
    let has = |member: &str| root.member(member).is_some();
    let is_terraform = || {
        ["planned_values", "values"].iter().any(|values| {
            root.member(values).is_some_and(|values| {
                values.member("root_module").is_some() || values.member("outputs").is_some()
            })
        })
    };
    if has("Statement") && !is_of_iam(root) || has("policyDocument") {
        Some(Kind::Policy)
    } else if ["sql", "Sql", "topicRulePayload"]
        .iter()
        .any(|member| has(member))
    {
        Some(Kind::Rule)
    } else if has("AWSTemplateFormatVersion") || has("Transform") || has_foreign_resources(root) {
        Some(Kind::CloudFormation)
    } else if has("Resources") || has("templateBody") {
        Some(Kind::Template)
    } else if is_terraform() {
        Some(Kind::Terraform)
    } else if terraform::are_outputs(root) {
        Some(Kind::TerraformOutput)
    } else {
        None
    }
}

/// Whether a policy document is one of IAM: it names a principal, or only actions of other services.
fn is_of_iam(root: &Node) -> bool {
    let Some(statements) = root.member("Statement") else {
        return false;
    };
    let statements = match statements.as_list() {
        Some(list) => list,
        None => std::slice::from_ref(statements),
    };
    let principal = |statement: &Node| {
        ["Principal", "NotPrincipal"]
            .iter()
            .any(|member| statement.member(member).is_some())
    };
    if statements.iter().any(principal) {
        return true;
    }
    let mut actions = statements
        .iter()
        .filter_map(|statement| statement.member("Action"))
        .flat_map(|actions| match actions.as_list() {
            Some(list) => list,
            None => std::slice::from_ref(actions),
        })
        .filter_map(Node::as_str)
        .peekable();
    let other_service = |action: &str| {
        action
            .split_once(':')
            .is_some_and(|(service, _)| !service.eq_ignore_ascii_case("iot"))
    };
    actions.peek().is_some() && actions.all(other_service)
}

/// Whether there are resources that a provisioning template cannot have, not even misspelt.
fn has_foreign_resources(root: &Node) -> bool {
    let resources = root.member("Resources").into_iter().flat_map(Node::members);
    let mut kinds = resources.filter_map(|(_, resource)| resource.member("Type")?.as_str());
    kinds.any(|kind| {
        let other_service = kind.contains("::") && !kind.starts_with("AWS::IoT::");
        other_service
            || [
                "AWS::IoT::CACertificate",
                "AWS::IoT::ProvisioningTemplate",
                "AWS::IoT::TopicRule",
            ]
            .contains(&kind)
    })
}

/// What a value is that stands inside another document.
pub(crate) fn embedded(value: &Node) -> Option<Kind> {
    match &value.value {
        Tree::Text(text) => of(&json::read(&text.text).ok()?),
        _ => of(value),
    }
}

/// Whether a text begins as a statement does.
fn is_select(text: &str) -> bool {
    let word = text.trim_start().get(..6);
    word.is_some_and(|word| word.eq_ignore_ascii_case("select"))
}
