//! The file of a template: read, with its placeholders filled in.

use std::path::Path;

use clap::Args;
use jitp_cli::{Failure, NameValue, Result, read_text};
use jitp_core::placeholders;

// What its placeholders stand for. (No docstring: clap would show it as what the command does.)
#[derive(Args)]
pub(crate) struct Values {
    /// Fill in a placeholder of the file: ${NAME}
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<NameValue>,
}

impl Values {
    /// A file with its placeholders filled in.
    pub(crate) fn read(&self, path: &Path) -> Result<String> {
        let text = read_text(path, "the template")?;
        let values = self.set.iter();
        let values: Vec<(&str, &str)> = values.map(|one| (&*one.name, &*one.value)).collect();
        placeholders::fill(&text, &values)
            .map_err(|error| Failure::from(error).context(path.display()))
    }
}
