//! `template lint`: files, or stdin, one line a finding.

use std::path::{Path, PathBuf};

use clap::Args;
use jitp_cli::{Common, Failure, NameValue, Report, Result, read_text_or_stdin};
use jitp_cloud::TemplateKind;
use jitp_core::failure::Class;
use jitp_core::lint::{Finding, Severity, TemplateLint, TemplateUse, lint_policy, lint_template};
use jitp_core::placeholders;
use serde::Serialize;

// What is looked at. (No docstring: clap would show it as what the command does.)
#[derive(Args)]
pub(crate) struct Flags {
    /// Templates and policy documents, JSON files; `-` for stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// What templates are for: fleet or jitp
    #[arg(
        long = "type",
        value_name = "TYPE",
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    kind: TemplateKind,

    /// Fill in a placeholder of the files: ${NAME}; in those that have it
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<NameValue>,

    /// The parameters that devices send: others are warned of
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    sends: Vec<String>,

    /// Exit code 9 for errors only
    #[arg(long)]
    allow_warnings: bool,
}

#[derive(Serialize)]
struct Line {
    file: String,
    severity: &'static str,
    path: String,
    message: String,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        vec![
            self.file.clone(),
            self.severity.to_owned(),
            self.path.clone(),
            self.message.replace(['\t', '\n', '\r'], " "),
        ]
    }
}

pub(crate) fn run(flags: &Flags, common: &Common) -> Result<()> {
    let mut reporter = common.listing();
    let (mut errors, mut warnings) = (0, 0);
    for file in &flags.files {
        for finding in lint(flags, &read(flags, file)?) {
            match finding.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
                Severity::Note => {}
            }
            reporter.line(&Line {
                file: file.display().to_string(),
                severity: finding.severity.as_str(),
                path: finding.path,
                message: finding.message,
            })?;
        }
    }
    let fails = errors > 0 || warnings > 0 && !flags.allow_warnings;
    match fails {
        true => {
            let message = format!("{errors} errors, {warnings} warnings");
            Err(Failure::new(Class::CheckFailed, message))
        }
        false => Ok(()),
    }
}

fn read(flags: &Flags, file: &Path) -> Result<String> {
    let text = read_text_or_stdin(file, "the document")?;
    let values = flags.set.iter();
    let values: Vec<(&str, &str)> = values
        .map(|one| (one.name.as_str(), one.value.as_str()))
        .filter(|(name, _)| text.contains(&format!("${{{name}}}")))
        .collect();
    placeholders::fill(&text, &values).map_err(|error| Failure::from(error).context(file.display()))
}

fn lint(flags: &Flags, text: &str) -> Vec<Finding> {
    // A policy document has statements, and a template has none.
    let is_policy = serde_json::from_str::<serde_json::Value>(text)
        .is_ok_and(|value| value.get("Statement").is_some());
    if is_policy {
        return lint_policy(text);
    }
    let lint = TemplateLint {
        used_for: match flags.kind {
            TemplateKind::Fleet => TemplateUse::Fleet,
            TemplateKind::Jitp => TemplateUse::Jitp,
        },
        sent: (!flags.sends.is_empty()).then(|| flags.sends.iter().cloned().collect()),
    };
    lint_template(text, &lint)
}
