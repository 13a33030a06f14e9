//! AWS Lambda: functions made of a zip file, their settings and permissions. Calling them is at `functions`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::Handler;
use super::fields::{put, texts};
use super::paging::Page;
use crate::account::functions::{self, CreateFunction, Settings};
use crate::account::{Account, ApiError, Function, Permission, Timestamp};
use crate::functions::check_package;
use crate::model::Input;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("CreateFunction", create),
    ("GetFunction", get),
    ("GetFunctionConfiguration", get_configuration),
    ("ListFunctions", list),
    ("UpdateFunctionCode", update_code),
    ("UpdateFunctionConfiguration", update_configuration),
    ("DeleteFunction", delete),
    ("AddPermission", add_permission),
    ("RemovePermission", remove_permission),
    ("GetPolicy", get_policy),
];

/// Largest zip file AWS Lambda takes in a request.
const LARGEST_CODE: usize = 50 * 1024 * 1024;

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValueException", message)
}

fn name(input: &Input) -> Result<&str, ApiError> {
    functions::name_in(input.required("FunctionName"))
}

fn create(account: &Account, input: &Input) -> Result<Value, ApiError> {
    if input.text("PackageType") == Some("Image") {
        return Err(invalid(
            "The local core runs zip files, not container images",
        ));
    }
    let code = input.object("Code").cloned().unwrap_or_default();
    let runtime = input.text("Runtime").unwrap_or_default().to_owned();
    judge_runtime(&runtime)?;
    if input.required("Handler").is_empty() {
        return Err(invalid("A function of a zip file needs a Handler"));
    }
    let ask = CreateFunction {
        name: name(input)?.to_owned(),
        code: zip_file(&code)?,
        runtime,
        role: input.required("Role").to_owned(),
        architecture: architecture(input).unwrap_or_else(|| "x86_64".to_owned()),
        settings: settings(input)?,
        tags: texts(input.object("Tags")).unwrap_or_default(),
    };
    let function = account.write(|tx| functions::create(tx, ask))?;
    Ok(Value::Object(configuration(&function)))
}

fn judge_runtime(runtime: &str) -> Result<(), ApiError> {
    match runtime {
        "provided.al2023" | "provided.al2" => Ok(()),
        "" => Err(invalid(
            "Runtime is mandatory for functions created with deployment packages.",
        )),
        other => Err(invalid(format!(
            "The local core starts programs: runtime provided.al2023 or provided.al2, not {other}"
        ))),
    }
}

fn zip_file(code: &Map<String, Value>) -> Result<Bytes, ApiError> {
    let text = code.get("ZipFile").and_then(Value::as_str).ok_or_else(|| {
        invalid("Give the code as ZipFile; the local core has no S3 and no container images")
    })?;
    let zip = STANDARD
        .decode(text)
        .map_err(|_| invalid("ZipFile is not base64"))?;
    if zip.len() > LARGEST_CODE {
        return Err(invalid(format!(
            "The zip file has {} bytes; {LARGEST_CODE} are allowed",
            zip.len()
        )));
    }
    check_package(&zip)?;
    Ok(zip.into())
}

fn architecture(input: &Input) -> Option<String> {
    let given = input.texts("Architectures");
    given.first().map(|word| (*word).to_owned())
}

fn settings(input: &Input) -> Result<Settings, ApiError> {
    let text = |name| input.text(name).map(str::to_owned);
    let environment = input.object("Environment").map(|environment| {
        let variables = environment.get("Variables").and_then(Value::as_object);
        texts(variables).unwrap_or_default()
    });
    let runtime = text("Runtime");
    if let Some(runtime) = &runtime {
        judge_runtime(runtime)?;
    }
    Ok(Settings {
        handler: text("Handler"),
        description: text("Description"),
        timeout: input.number("Timeout"),
        memory_size: input.number("MemorySize"),
        environment,
        runtime,
        role: text("Role"),
    })
}

fn get(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let function = functions::find(&account.snapshot(), name(input)?)?;
    let mut answer = Map::new();
    put(&mut answer, "Configuration", Some(configuration(&function)));
    // AWS has a link to its storage here; there is none.
    put(&mut answer, "Code", Some(json!({ "RepositoryType": "S3" })));
    let tags = Some(&function.tags).filter(|tags| !tags.is_empty());
    put(&mut answer, "Tags", tags.map(|tags| json!(tags)));
    Ok(Value::Object(answer))
}

fn get_configuration(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let function = functions::find(&account.snapshot(), name(input)?)?;
    Ok(Value::Object(configuration(&function)))
}

fn configuration(function: &Arc<Function>) -> Map<String, Value> {
    let mut told = Map::new();
    let mut say = |name: &str, value: Value| {
        told.insert(name.to_owned(), value);
    };
    say("FunctionName", json!(function.name));
    say("FunctionArn", json!(function.arn));
    say("Runtime", json!(function.runtime));
    say("Role", json!(function.role));
    say("Handler", json!(function.handler));
    say("CodeSize", json!(function.code.len()));
    say("Description", json!(function.description));
    say("Timeout", json!(function.timeout));
    say("MemorySize", json!(function.memory_size));
    say("LastModified", json!(last_modified(function.last_modified)));
    say("CodeSha256", json!(function.code_sha256));
    say("Version", json!("$LATEST"));
    say("TracingConfig", json!({ "Mode": "PassThrough" }));
    say("RevisionId", json!(function.revision_id));
    // It can be called at once.
    say("State", json!("Active"));
    say("LastUpdateStatus", json!("Successful"));
    say("PackageType", json!("Zip"));
    say("Architectures", json!([function.architecture]));
    say("EphemeralStorage", json!({ "Size": 512 }));
    if !function.environment.is_empty() {
        say("Environment", json!({ "Variables": function.environment }));
    }
    told
}

/// As AWS Lambda writes it: `2026-05-01T12:00:00.000+0000`.
fn last_modified(moment: Timestamp) -> String {
    let nanoseconds = i128::from(moment.0) * 1000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}+0000",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

fn list(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let page = Page::of_functions(input)?;
    let state = account.snapshot();
    Ok(page.of_map("Functions", &state.functions, |_, function| {
        Some(Value::Object(configuration(function)))
    }))
}

fn update_code(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let name = name(input)?;
    let mut code = Map::new();
    put(&mut code, "ZipFile", input.text("ZipFile"));
    let zip = zip_file(&code)?;
    let revision = input.text("RevisionId");
    if input.flag("DryRun") {
        let function = functions::find(&account.snapshot(), name)?;
        return Ok(Value::Object(configuration(&function)));
    }
    let architecture = architecture(input);
    let function =
        account.write(|tx| functions::update_code(tx, name, zip, architecture, revision))?;
    Ok(Value::Object(configuration(&function)))
}

fn update_configuration(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let (name, settings) = (name(input)?, settings(input)?);
    let revision = input.text("RevisionId");
    let function = account.write(|tx| functions::update_settings(tx, name, settings, revision))?;
    Ok(Value::Object(configuration(&function)))
}

fn delete(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let name = name(input)?;
    account.write(|tx| functions::delete(tx, name))?;
    Ok(Value::Null)
}

fn add_permission(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let name = name(input)?;
    let text = |name| input.text(name).map(str::to_owned);
    let permission = Permission {
        action: input.required("Action").to_owned(),
        principal: input.required("Principal").to_owned(),
        source_arn: text("SourceArn"),
        source_account: text("SourceAccount"),
    };
    let (id, revision) = (input.required("StatementId"), input.text("RevisionId"));
    let statement =
        account.write(|tx| functions::add_permission(tx, name, id, permission, revision))?;
    Ok(json!({ "Statement": statement.to_string() }))
}

fn remove_permission(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let name = name(input)?;
    let (id, revision) = (input.required("StatementId"), input.text("RevisionId"));
    account.write(|tx| functions::remove_permission(tx, name, id, revision))?;
    Ok(Value::Null)
}

fn get_policy(account: &Account, input: &Input) -> Result<Value, ApiError> {
    let function = functions::find(&account.snapshot(), name(input)?)?;
    let policy = functions::policy(&function)?;
    Ok(json!({
        "Policy": policy.to_string(),
        "RevisionId": function.policy_revision_id,
    }))
}
