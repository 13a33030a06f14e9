//! One document, wherever it stands: judged by `jitp_core::lint`, each finding put on its line.

use jitp_core::lint::{Finding, Severity, TemplateLint, TemplateUse, lint_policy, lint_template};
use jitp_core::template::{JITP_PARAMETERS, Template};
use jitp_stack::{Node, Tree, json};

use crate::Located;

/// What a document is judged as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Subject {
    Policy,
    /// For what it is used; told by its parameters if not known.
    Template(Option<TemplateUse>),
}

/// Everything found in a document that stands at `place`, as an object or as a text that is JSON.
pub(crate) fn lint(node: &Node, place: &str, subject: Subject) -> Vec<Located> {
    match &node.value {
        Tree::Text(text) if text.stands_in => vec![Located::unknown(node, place)],
        Tree::Text(text) => {
            let place = format!("{place}, in the string: $");
            let line_of = |line: usize| match text.keeps_lines {
                true => node.line + line - 1,
                false => node.line,
            };
            match json::read(&text.text) {
                Ok(inner) => judge(&inner, &text.text, &place, line_of, subject),
                Err(error) => vec![Located {
                    severity: Severity::Error,
                    rule: match subject {
                        Subject::Policy => "policy-json",
                        Subject::Template(_) => "template-json",
                    },
                    line: line_of(json::line_of(&error)),
                    path: error.path.replacen('$', &place, 1),
                    message: error.fault.to_string(),
                }],
            }
        }
        _ => judge(
            node,
            &node.to_value().to_string(),
            place,
            |line| line,
            subject,
        ),
    }
}

fn judge(
    node: &Node,
    text: &str,
    place: &str,
    line_of: impl Fn(usize) -> usize,
    subject: Subject,
) -> Vec<Located> {
    let findings = match subject {
        Subject::Policy => lint_policy(text),
        Subject::Template(used_for) => {
            let used_for = used_for.unwrap_or_else(|| use_of(text));
            let lint = TemplateLint {
                used_for,
                sent: None,
            };
            lint_template(text, &lint)
        }
    };
    let located = findings.into_iter().map(|finding: Finding| {
        let inner = finding.path.split(", in the string:").next();
        Located {
            severity: finding.severity,
            rule: finding.rule,
            line: line_of(node.line_of(inner.unwrap_or("$"))),
            path: finding.path.replacen('$', place, 1),
            message: finding.message,
        }
    });
    located.collect()
}

/// A template whose parameters all come from the certificate is one for just-in-time provisioning; the id of the
/// certificate alone is the other kind's too.
fn use_of(text: &str) -> TemplateUse {
    let declared = Template::parse(text)
        .map(|template| {
            let declared = template.declared_parameters();
            declared
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        })
        .unwrap_or_default();
    let from_certificate = |name: &String| JITP_PARAMETERS.contains(&name.as_str());
    let more_than_id = |name: &String| name != "AWS::IoT::Certificate::Id";
    match declared.iter().all(from_certificate) && declared.iter().any(more_than_id) {
        true => TemplateUse::Jitp,
        false => TemplateUse::Fleet,
    }
}
