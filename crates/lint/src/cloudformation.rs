//! CloudFormation templates: where in them policies, provisioning templates and topic rules stand
//! (CloudFormation user guide, "AWS IoT resource type reference").

use std::collections::BTreeMap;

use jitp_core::lint::TemplateUse;
use jitp_core::template::json::child;
use jitp_stack::{Node, Scope};

use crate::Located;
use crate::document::{self, Subject};
use crate::made_up::MadeUp;
use crate::rule;

/// Everything found in the documents of a template, whichever way its conditions go.
pub(crate) fn lint(template: &Node, parameters: &BTreeMap<String, String>) -> Vec<Located> {
    let mut found = Vec::new();
    for holds in [true, false] {
        let names = MadeUp::new(template, parameters, holds);
        let scope = Scope::new(template, &names);
        let resources = template.member("Resources").into_iter();
        for (id, resource) in resources.flat_map(Node::members) {
            let kind = resource.member("Type").and_then(Node::as_str);
            let properties = resource.member("Properties");
            let properties = properties.and_then(|properties| scope.resolve(properties));
            if let (Some(kind), Some(properties)) = (kind, properties) {
                let path = format!("{}.Properties", child("$.Resources", id));
                found.extend(lint_resource(kind, &properties, &path));
            }
        }
    }
    found
}

fn lint_resource(kind: &str, properties: &Node, path: &str) -> Vec<Located> {
    match kind {
        "AWS::IoT::Policy" => documents(properties, path, &["PolicyDocument"], Subject::Policy),
        "AWS::IoT::ProvisioningTemplate" => {
            let used_for = match properties.member("TemplateType").and_then(Node::as_str) {
                Some("JITP") => TemplateUse::Jitp,
                _ => TemplateUse::Fleet,
            };
            let subject = Subject::Template(Some(used_for));
            documents(properties, path, &["TemplateBody"], subject)
        }
        "AWS::IoT::CACertificate" => {
            let subject = Subject::Template(Some(TemplateUse::Jitp));
            documents(
                properties,
                path,
                &["RegistrationConfig", "TemplateBody"],
                subject,
            )
        }
        "AWS::IoT::TopicRule" => match properties.member("TopicRulePayload") {
            Some(payload) => rule::lint(payload, &child(path, "TopicRulePayload")),
            None => Vec::new(),
        },
        // The events of a function of AWS SAM.
        "AWS::Serverless::Function" => {
            let events = properties.member("Events").into_iter();
            let rules = events.flat_map(Node::members).filter_map(|(id, event)| {
                let of_rule = event.member("Type").and_then(Node::as_str) == Some("IoTRule");
                let rule = event.member("Properties").filter(|_| of_rule)?;
                let path = format!("{}.Properties", child(&format!("{path}.Events"), id));
                Some(rule::lint(rule, &path))
            });
            rules.flatten().collect()
        }
        _ => Vec::new(),
    }
}

/// The findings in the document that `members` lead to, if it is there.
fn documents(properties: &Node, path: &str, members: &[&str], subject: Subject) -> Vec<Located> {
    let mut place = path.to_owned();
    let mut node = properties;
    for member in members {
        let Some(next) = node.member(member) else {
            return Vec::new();
        };
        node = next;
        place = child(&place, member);
    }
    document::lint(node, &place, subject)
}
