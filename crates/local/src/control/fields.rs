//! Small conversions between members of requests and the account's words.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::account::{ApiError, CertificateStatus, Scope};
use crate::model::Input;

/// `tags` as a map; of a repeated key the last value counts.
pub(super) fn tags(input: &Input) -> BTreeMap<String, String> {
    let text = |tag: &Value, key: &str| tag.get(key).and_then(Value::as_str).map(str::to_owned);
    input
        .list("tags")
        .iter()
        .filter_map(|tag| Some((text(tag, "Key")?, text(tag, "Value").unwrap_or_default())))
        .collect()
}

/// A map of texts; what is null counts as empty.
pub(super) fn texts(object: Option<&Map<String, Value>>) -> Option<BTreeMap<String, String>> {
    let object = object?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(
        object
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
    )
}

/// A text member inside an object.
pub(super) fn text_in(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}

/// `status`, else the deprecated `setAsActive`, else INACTIVE.
pub(super) fn certificate_status(input: &Input) -> Result<CertificateStatus, ApiError> {
    match input.text("status") {
        Some(word) => CertificateStatus::parse(word)
            .ok_or_else(|| ApiError::invalid_request(format!("Unknown status {word}"))),
        None if input.flag("setAsActive") => Ok(CertificateStatus::Active),
        None => Ok(CertificateStatus::Inactive),
    }
}

/// Inserts a member that has a value.
pub(super) fn put(object: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}

/// The group of a kind (`thingGroup`, `billingGroup`) and the thing that a request names.
pub(super) fn group_and_thing(
    scope: &Scope,
    input: &Input,
    kind: &str,
) -> Result<(String, String), ApiError> {
    Ok((
        name_or_arn(scope, input, kind)?,
        name_or_arn(scope, input, "thing")?,
    ))
}

/// A name given directly, or in an ARN.
fn name_or_arn(scope: &Scope, input: &Input, kind: &str) -> Result<String, ApiError> {
    let (name, arn) = (&format!("{kind}Name"), &format!("{kind}Arn"));
    let named = input.text(name);
    let from_arn = match input.text(arn) {
        Some(text) => Some(scope.name_in(text, &kind.to_lowercase()).ok_or_else(|| {
            ApiError::invalid_request(format!("{arn} is not an ARN of this account and region"))
        })?),
        None => None,
    };
    match (named, from_arn) {
        (None, None) => Err(ApiError::invalid_request(format!(
            "Either {name} or {arn} must be given"
        ))),
        (Some(named), Some(other)) if named != other => Err(ApiError::invalid_request(format!(
            "{name} and {arn} name different resources"
        ))),
        (Some(found), _) | (None, Some(found)) => Ok(found.to_owned()),
    }
}
