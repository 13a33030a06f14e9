//! Find what is wrong in IoT policies, templates and topic rules, wherever they stand.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jitp_cli::{Common, Failure, NameValue, Report, Result, read_text, read_text_or_stdin};
use jitp_core::failure::Class;
use jitp_core::lint::Severity;
use jitp_lint::{Kind, Located, Settings, sarif};
use serde::Serialize;

/// Find what is wrong in IoT policies, templates and topic rules, wherever they stand
///
/// Looks at IoT policies, provisioning templates and topic rules: as files, and inside CloudFormation templates and what
/// `terraform show -json` and `terraform output -json` print. Pseudo parameters such as AWS::Region are filled in, of
/// conditions both ways are looked at. Prints the file, line, severity, rule, path and message of each finding. Exit code
/// 9 if there are errors or warnings.
#[derive(Args)]
#[command(after_help = "Examples:
  lint policies etc                         everything below two folders
  lint fleet.yaml --set Name=fleet          a CloudFormation template, a parameter given
  terraform show -json plan | lint -        what Terraform is about to do
  lint --sarif policies > lint.sarif        for a code host")]
struct Arguments {
    /// Files, and folders of them; `-` for stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// What the files are, where they do not tell it: policy, template, fleet-template, jitp-template, sql, rule,
    /// cloudformation, terraform, terraform-output
    #[arg(long = "as", value_name = "KIND")]
    kind: Option<Kind>,

    /// Value of a CloudFormation parameter [default: its Default]
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<NameValue>,

    /// Exit code 9 for errors only
    #[arg(long)]
    allow_warnings: bool,

    /// Print one SARIF 2.1.0 log instead of lines
    #[arg(long)]
    sarif: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    line: usize,
    severity: &'static str,
    rule: &'static str,
    path: &'a str,
    message: &'a str,
}

impl Report for Line<'_> {
    fn columns(&self) -> Vec<String> {
        let message = self.message.replace(['\t', '\n', '\r'], " ");
        let line = self.line.to_string();
        [
            self.file,
            &line,
            self.severity,
            self.rule,
            self.path,
            &message,
        ]
        .map(str::to_owned)
        .into()
    }
}

async fn lint(arguments: Arguments, common: &Common) -> Result<()> {
    let set = arguments.set.into_iter();
    let settings = Settings {
        kind: arguments.kind,
        parameters: set.map(|one| (one.name, one.value)).collect(),
    };
    let mut looked_at = Vec::new();
    for path in &arguments.files {
        match path.is_dir() {
            true => looked_at.extend(lint_folder(path, &settings, common)?),
            false => looked_at.push(lint_file(path, &settings)?),
        }
    }
    let mut reporter = common.listing();
    if arguments.sarif {
        reporter.document(&sarif(&looked_at))?;
    } else {
        for (file, found) in &looked_at {
            for one in found {
                reporter.line(&line(file, one))?;
            }
        }
    }
    let count = |severity| {
        let all = looked_at.iter().flat_map(|(_, found)| found);
        all.filter(|one| one.severity == severity).count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match errors > 0 || warnings > 0 && !arguments.allow_warnings {
        true => {
            let message = format!("{errors} errors, {warnings} warnings");
            Err(Failure::new(Class::CheckFailed, message))
        }
        false => Ok(()),
    }
}

fn line<'a>(file: &'a str, found: &'a Located) -> Line<'a> {
    Line {
        file,
        line: found.line,
        severity: found.severity.as_str(),
        rule: found.rule,
        path: &found.path,
        message: &found.message,
    }
}

/// The files below a folder that are something to look at.
fn lint_folder(
    folder: &Path,
    settings: &Settings,
    common: &Common,
) -> Result<Vec<(String, Vec<Located>)>> {
    let unreadable = |error: std::io::Error| {
        Failure::new(
            Class::Configuration,
            format!("cannot read the folder {error}"),
        )
    };
    let mut looked_at = Vec::new();
    for file in jitp_lint::files(folder).map_err(unreadable)? {
        let text = read_text(&file, "the document")?;
        match jitp_lint::lint(&text, settings) {
            Ok(found) => looked_at.push((file.display().to_string(), found)),
            Err(error) if common.verbose > 0 => common.say(format!("{}: {error}", file.display())),
            Err(_) => {}
        }
    }
    if looked_at.is_empty() {
        let message = format!("nothing below {} is something to look at", folder.display());
        return Err(Failure::new(Class::Configuration, message)
            .hint("`lint -v` says of each file why; or name the files, with --as"));
    }
    Ok(looked_at)
}

fn lint_file(file: &Path, settings: &Settings) -> Result<(String, Vec<Located>)> {
    let name = match file.as_os_str() == "-" {
        true => "stdin".to_owned(),
        false => file.display().to_string(),
    };
    let text = read_text_or_stdin(file, "the document")?;
    match jitp_lint::lint(&text, settings) {
        Ok(found) => Ok((name, found)),
        Err(error) => Err(
            Failure::new(Class::Configuration, format!("{name}: {error}"))
                .hint("say what it is: --as policy, --as cloudformation, …"),
        ),
    }
}

fn main() -> ExitCode {
    jitp_cli::run(lint)
}
