//! Findings as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), which code hosts show beside a change.

use jitp_core::lint::Severity;
use serde_json::{Value, json};

use crate::Located;

/// The log of one run: the findings of every file, each by the name it was given by.
pub fn sarif(files: &[(String, Vec<Located>)]) -> Value {
    let results = files
        .iter()
        .flat_map(|(file, found)| found.iter().map(|one| result(file, one)));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "lint",
                "version": env!("CARGO_PKG_VERSION"),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

fn result(file: &str, found: &Located) -> Value {
    json!({
        "ruleId": found.rule,
        "level": match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        "message": {"text": format!("{}: {}", found.path, found.message)},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": uri(file)},
                "region": {"startLine": found.line},
            },
            "logicalLocations": [{"fullyQualifiedName": found.path}],
        }],
    })
}

/// A file name as a relative or `file:` reference (RFC 3986, section 2).
fn uri(file: &str) -> String {
    let mut uri = String::new();
    if file.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in file.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}
