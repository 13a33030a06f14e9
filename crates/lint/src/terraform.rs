//! What Terraform prints as JSON: plans and states (`terraform show -json`), outputs (`terraform output -json`)
//! (Terraform documentation, "JSON Output Format"; resources of the provider hashicorp/aws).

use jitp_core::lint::TemplateUse;
use jitp_stack::{Node, Tree};

use crate::Located;
use crate::document::{self, Subject};
use crate::kind::{self, Kind};
use crate::rule;

/// Everything found in the resources of a plan or a state.
pub(crate) fn lint_resources(root: &Node) -> Vec<Located> {
    let values = root
        .member("planned_values")
        .or_else(|| root.member("values"));
    let module = values.and_then(|values| values.member("root_module"));
    module.map(lint_module).unwrap_or_default()
}

fn lint_module(module: &Node) -> Vec<Located> {
    let list = |member| {
        module
            .member(member)
            .and_then(Node::as_list)
            .unwrap_or_default()
    };
    let own = list("resources").iter().flat_map(lint_resource);
    let below = list("child_modules").iter().flat_map(lint_module);
    own.chain(below).collect()
}

fn lint_resource(resource: &Node) -> Vec<Located> {
    let text = |member| resource.member(member).and_then(Node::as_str);
    let (Some(kind), Some(address), Some(values)) =
        (text("type"), text("address"), resource.member("values"))
    else {
        return Vec::new();
    };
    let document = |node: Option<&Node>, member: &str, subject| {
        let place = format!("{address}.{member}");
        match node {
            // A plan leaves out what is known only after it was applied.
            None => vec![Located::unknown(values, &place)],
            Some(node) if node.value == Tree::Null => vec![Located::unknown(node, &place)],
            Some(node) => document::lint(node, &place, subject),
        }
    };
    match kind {
        "aws_iot_policy" => document(values.member("policy"), "policy", Subject::Policy),
        "aws_iot_provisioning_template" => {
            let used_for = match values.member("type").and_then(Node::as_str) {
                Some("JITP") => TemplateUse::Jitp,
                _ => TemplateUse::Fleet,
            };
            let body = values.member("template_body");
            document(body, "template_body", Subject::Template(Some(used_for)))
        }
        "aws_iot_ca_certificate" => {
            let configuration = values.member("registration_config").and_then(Node::as_list);
            let configuration = configuration.and_then(<[Node]>::first);
            match configuration.and_then(|one| one.member("template_body")) {
                Some(body) if body.value != Tree::Null => {
                    let subject = Subject::Template(Some(TemplateUse::Jitp));
                    document(Some(body), "registration_config.template_body", subject)
                }
                // It may name a provisioning template instead, or register nothing.
                _ => Vec::new(),
            }
        }
        "aws_iot_topic_rule" => rule::lint(values, address),
        _ => Vec::new(),
    }
}

/// Everything found in those outputs that are documents, as texts or as objects.
pub(crate) fn lint_outputs(root: &Node) -> Vec<Located> {
    let outputs = root.members().filter_map(|(name, output)| {
        let value = output.member("value")?;
        let inner = kind::embedded(value)?;
        let place = format!("{name}.value");
        match inner {
            Kind::Policy => Some(document::lint(value, &place, Subject::Policy)),
            Kind::Template => Some(document::lint(value, &place, Subject::Template(None))),
            _ => None,
        }
    });
    outputs.flatten().collect()
}

/// Whether it is what `terraform output -json` prints: every output has its value, type, and whether it is sensitive.
pub(crate) fn are_outputs(root: &Node) -> bool {
    let members = root.as_object().unwrap_or_default();
    let is_output = |output: &Node| {
        let has = |member| output.member(member).is_some();
        has("sensitive") && has("type") && has("value")
    };
    !members.is_empty() && members.iter().all(|(_, output)| is_output(output))
}
