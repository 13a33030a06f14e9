//! Extracts the service models of AWS IoT and its neighbours from botocore: what travels where, and within which limits.
//!
//! Documentation is left out, so the tables hold facts of the interface only; botocore's licence and
//! version are named in each table and in `crates/local/model/NOTICE`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// Services extracted: botocore's directory and API version.
const SERVICES: [(&str, &str); 7] = [
    ("iot", "2015-05-28"),
    ("iot-data", "2015-05-28"),
    ("lambda", "2015-03-31"),
    ("iam", "2010-05-08"),
    ("sts", "2011-06-15"),
    ("sqs", "2012-11-05"),
    ("cloudwatch", "2010-08-01"),
];

/// Writes `crates/local/model/SERVICE.json` for every service.
pub(crate) fn extract(data: &Path) -> Result<()> {
    let version = botocore_version(data)?;
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../local/model");
    fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    for (service, api_version) in SERVICES {
        let model = read(&data.join(service).join(api_version).join("service-2.json"))?;
        let table = table(service, &version, &model)?;
        let path = target.join(format!("{service}.json"));
        fs::write(&path, table).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

/// The version of the installation, from the `botocore-VERSION.dist-info` beside it.
fn botocore_version(data: &Path) -> Result<String> {
    let data = fs::canonicalize(data).with_context(|| format!("cannot find {}", data.display()))?;
    let packages = data
        .ancestors()
        .nth(2)
        .context("the data folder of botocore lies in site-packages/botocore")?;
    for entry in fs::read_dir(packages)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(version) = name
            .strip_prefix("botocore-")
            .and_then(|rest| rest.strip_suffix(".dist-info"))
        {
            return Ok(version.to_owned());
        }
    }
    bail!("no botocore-VERSION.dist-info in {}", packages.display())
}

/// Reads a service model, which recent versions keep compressed.
fn read(path: &Path) -> Result<Value> {
    let compressed = path.with_extension("json.gz");
    let text = if compressed.exists() {
        let output = Command::new("gzip")
            .arg("-dc")
            .arg(&compressed)
            .output()
            .context("cannot run gzip")?;
        if !output.status.success() {
            bail!("gzip cannot read {}", compressed.display());
        }
        output.stdout
    } else {
        fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
    };
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// One operation and one shape a line, so that a new version shows in a readable diff.
fn table(service: &str, version: &str, model: &Value) -> Result<String> {
    let metadata = &model["metadata"];
    let mut text = String::from("{\n");
    let head = [
        (
            "provenance",
            json!(format!(
                "Extracted by `cargo run -p xtask -- model` from botocore {version} (https://github.com/boto/botocore), \
                 Copyright Amazon.com, Inc. or its affiliates, Apache License 2.0; documentation left out. See NOTICE."
            )),
        ),
        ("service", json!(service)),
        ("apiVersion", metadata["apiVersion"].clone()),
        ("signingName", metadata["signingName"].clone()),
        ("protocol", metadata["protocol"].clone()),
    ];
    for (name, value) in head {
        writeln!(text, "{}: {value},", json!(name))?;
    }
    lines(&mut text, "operations", model, operation)?;
    text.push_str(",\n");
    lines(&mut text, "shapes", model, shape)?;
    text.push_str("\n}\n");
    Ok(text)
}

fn lines(
    text: &mut String,
    section: &str,
    model: &Value,
    reduce: fn(&Value) -> Value,
) -> Result<()> {
    let entries = model[section]
        .as_object()
        .with_context(|| format!("the model has no {section}"))?;
    writeln!(text, "{}: {{", json!(section))?;
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|(name, _)| name.as_str());
    let lines: Vec<String> = entries
        .iter()
        .map(|(name, value)| format!("{}: {}", json!(name), reduce(value)))
        .collect();
    text.push_str(&lines.join(",\n"));
    text.push_str("\n}");
    Ok(())
}

fn operation(from: &Value) -> Value {
    let mut to = Map::new();
    to.insert("method".into(), from["http"]["method"].clone());
    to.insert("path".into(), from["http"]["requestUri"].clone());
    if let Some(status) = from["http"].get("responseCode") {
        to.insert("status".into(), status.clone());
    }
    for side in ["input", "output"] {
        if let Some(shape) = from.get(side) {
            to.insert(side.into(), shape["shape"].clone());
        }
    }
    let errors = from["errors"].as_array().map(Vec::as_slice);
    let errors: Vec<Value> = errors
        .unwrap_or_default()
        .iter()
        .map(|error| error["shape"].clone())
        .collect();
    to.insert("errors".into(), Value::Array(errors));
    Value::Object(to)
}

fn shape(from: &Value) -> Value {
    let mut to = Map::new();
    for key in [
        "type", "required", "payload", "min", "max", "pattern", "enum",
    ] {
        if let Some(value) = from.get(key) {
            to.insert(key.into(), value.clone());
        }
    }
    for key in ["member", "key", "value"] {
        if let Some(value) = from.get(key) {
            to.insert(key.into(), value["shape"].clone());
        }
    }
    if let Some(members) = from["members"].as_object() {
        let members = members
            .iter()
            .map(|(name, member)| (name.clone(), reduced_member(member)))
            .collect();
        to.insert("members".into(), Value::Object(members));
    }
    if let Some(status) = from["error"].get("httpStatusCode") {
        to.insert("status".into(), status.clone());
    }
    // What an exception is called on the wire, where that is another name.
    if let Some(code) = from["error"].get("code") {
        to.insert("code".into(), code.clone());
    }
    Value::Object(to)
}

/// A member is the name of its shape, or an object when it travels outside the body or under another name.
fn reduced_member(from: &Value) -> Value {
    let mut to = Map::new();
    for key in ["location", "locationName"] {
        if let Some(value) = from.get(key) {
            to.insert(key.into(), value.clone());
        }
    }
    if to.is_empty() {
        return from["shape"].clone();
    }
    to.insert("shape".into(), from["shape"].clone());
    Value::Object(to)
}
