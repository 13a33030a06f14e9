//! The files below a folder that may hold something to look at.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Every file below `folder` whose ending is one of JSON, YAML, CloudFormation or SQL, in the order of their names;
/// hidden ones and links are left out, as are the folders that tools fill (`target`, `node_modules`).
///
/// # Errors
/// When a folder cannot be read; the error names it.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
        };
        for entry in fs::read_dir(&folder).map_err(named)? {
            let entry = entry.map_err(named)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kind = entry.file_type().map_err(named)?;
            if name.starts_with('.') {
                continue;
            }
            if kind.is_dir() && !FILLED_BY_TOOLS.contains(&&*name) {
                folders.push(entry.path());
            } else if kind.is_file() && ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

const ENDINGS: [&str; 5] = [".json", ".yaml", ".yml", ".template", ".sql"];
const FILLED_BY_TOOLS: [&str; 2] = ["target", "node_modules"];
