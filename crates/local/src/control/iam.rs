//! IAM as far as an environment for devices needs it: roles and their policies (query protocol).

use std::collections::BTreeMap;

use axum::response::Response;
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regex_lite::Regex;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ControlSettings;
use super::query::{self, Form, QueryService, element};
use crate::account::roles::{self, CreateRole};
use crate::account::{Account, ApiError, Role, Timestamp};

/// IAM, as its answers name it.
pub(super) const SERVICE: QueryService = QueryService {
    name: "IAM",
    namespace: "https://iam.amazonaws.com/doc/2010-05-08/",
    failure: "ServiceFailure",
};

/// The meaning of an operation: a form in, the XML of its result out, if it has one.
type Handler = fn(&Account, &Form) -> Result<Option<String>, ApiError>;

pub(super) const OPERATIONS: &[(&str, Handler)] = &[
    ("AttachRolePolicy", attach),
    ("CreateRole", create),
    ("DeleteRole", delete),
    ("DeleteRolePolicy", delete_inline),
    ("DetachRolePolicy", detach),
    ("GetRole", get),
    ("GetRolePolicy", get_inline),
    ("ListAttachedRolePolicies", list_attached),
    ("ListInstanceProfilesForRole", list_instance_profiles),
    ("ListRolePolicies", list_inline),
    ("ListRoleTags", list_tags),
    ("ListRoles", list),
    ("PutRolePolicy", put_inline),
    ("TagRole", tag),
    ("UntagRole", untag),
    ("UpdateAssumeRolePolicy", update_trust_policy),
    ("UpdateRole", update),
];

/// Seconds a session lasts unless told otherwise, and the bounds of it (API reference, "CreateRole").
const SESSION_SECONDS: u32 = 3600;
const SESSION_BOUNDS: std::ops::RangeInclusive<u32> = 3600..=43_200;

/// Items of a list unless told otherwise, and the most.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// The operation that a body names, for its name in faults and quotas.
pub(super) fn action(body: &Bytes) -> String {
    Form::read(body).action().to_owned()
}

/// Serves a request. Blocks for the storage.
pub(super) fn answer(settings: &ControlSettings, body: &Bytes, request_id: &str) -> Response {
    let form = Form::read(body);
    let action = form.action();
    let handler = OPERATIONS.iter().find(|(name, _)| *name == action);
    let outcome = match handler {
        Some((_, handler)) => handler(&settings.account, &form),
        None => Err(query::not_offered(SERVICE, action)),
    };
    match outcome {
        Ok(result) => query::success(SERVICE, action, result.as_deref(), request_id),
        Err(error) => query::refuse(settings, SERVICE, &error, request_id),
    }
}

fn create(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let ask = CreateRole {
        name: name(form, "RoleName", 64)?,
        path: path(form)?,
        description: form.text("Description").map(ToOwned::to_owned),
        trust_policy: required(form, "AssumeRolePolicyDocument")?.to_owned(),
        session_seconds: session_seconds(form)?.unwrap_or(SESSION_SECONDS),
        tags: tags(form)?,
    };
    let role = account.write(|tx| roles::create(tx, ask))?;
    Ok(Some(format!("<Role>{}</Role>", described(&role, true))))
}

fn get(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let role = roles::find(&account.snapshot(), &role_name(form)?)?;
    Ok(Some(format!("<Role>{}</Role>", described(&role, true))))
}

fn list(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let prefix = form.text("PathPrefix").unwrap_or("/").to_owned();
    let state = account.snapshot();
    let roles = state.roles.iter();
    let roles = roles.filter(|(_, role)| role.path.starts_with(&prefix));
    // Tags are not in lists (API reference, "ListRoles").
    let roles = roles.map(|(name, role)| (name.clone(), described(role, false)));
    page(form, "Roles", roles.collect()).map(Some)
}

fn update(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let seconds = session_seconds(form)?;
    account.write(|tx| {
        roles::change(tx, &role_name(form)?, |role| {
            // What is left out goes back to what a new role has (API reference, "UpdateRole").
            role.session_seconds = seconds.unwrap_or(SESSION_SECONDS);
            role.description = form.text("Description").map(ToOwned::to_owned);
            Ok(())
        })
    })?;
    Ok(Some(String::new()))
}

fn update_trust_policy(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let document = required(form, "PolicyDocument")?;
    account.write(|tx| roles::set_trust_policy(tx, &role_name(form)?, document))?;
    Ok(None)
}

fn delete(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    account.write(|tx| roles::delete(tx, &role_name(form)?))?;
    Ok(None)
}

fn attach(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let arn = required(form, "PolicyArn")?;
    account.write(|tx| roles::attach(tx, &role_name(form)?, arn))?;
    Ok(None)
}

fn detach(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let arn = required(form, "PolicyArn")?;
    account.write(|tx| roles::detach(tx, &role_name(form)?, arn))?;
    Ok(None)
}

fn list_attached(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let role = roles::find(&account.snapshot(), &role_name(form)?)?;
    let attached = role.attached_policies.iter().map(|arn| {
        let name = arn.rsplit('/').next().unwrap_or_default();
        let described = element("PolicyName", name) + &element("PolicyArn", arn);
        (arn.clone(), described)
    });
    page(form, "AttachedPolicies", attached.collect()).map(Some)
}

fn put_inline(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let (policy, document) = (
        name(form, "PolicyName", 128)?,
        required(form, "PolicyDocument")?,
    );
    account.write(|tx| roles::put_inline(tx, &role_name(form)?, &policy, document))?;
    Ok(None)
}

fn get_inline(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let role = roles::find(&account.snapshot(), &role_name(form)?)?;
    let policy = required(form, "PolicyName")?;
    let document = role.inline_policies.get(policy);
    let document = document.ok_or_else(|| roles::no_such_inline(policy))?;
    Ok(Some(
        element("RoleName", &role.name)
            + &element("PolicyName", policy)
            + &element("PolicyDocument", &encoded(document)),
    ))
}

fn list_inline(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let role = roles::find(&account.snapshot(), &role_name(form)?)?;
    let names = role.inline_policies.keys();
    // A name's alphabet has no markup in it.
    let names = names.map(|name| (name.clone(), name.clone()));
    page(form, "PolicyNames", names.collect()).map(Some)
}

fn delete_inline(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let policy = required(form, "PolicyName")?;
    account.write(|tx| roles::delete_inline(tx, &role_name(form)?, policy))?;
    Ok(None)
}

fn tag(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let tags = tags(form)?;
    account.write(|tx| roles::tag(tx, &role_name(form)?, tags))?;
    Ok(None)
}

fn untag(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let keys = form.list("TagKeys");
    account.write(|tx| {
        roles::change(tx, &role_name(form)?, |role| {
            role.tags.retain(|key, _| !keys.contains(&key.as_str()));
            Ok(())
        })
    })?;
    Ok(None)
}

fn list_tags(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    let role = roles::find(&account.snapshot(), &role_name(form)?)?;
    let tags = role
        .tags
        .iter()
        .map(|(key, value)| (key.clone(), described_tag(key, value)));
    page(form, "Tags", tags.collect()).map(Some)
}

/// Roles are in no instance profile here, since there are none; Terraform asks before it deletes a role.
fn list_instance_profiles(account: &Account, form: &Form) -> Result<Option<String>, ApiError> {
    roles::find(&account.snapshot(), &role_name(form)?)?;
    page(form, "InstanceProfiles", Vec::new()).map(Some)
}

fn described(role: &Role, with_tags: bool) -> String {
    let mut xml = element("Path", &role.path)
        + &element("RoleName", &role.name)
        + &element("RoleId", &role.id)
        + &element("Arn", &role.arn)
        + &element("CreateDate", &date(role.creation_date))
        + &element("AssumeRolePolicyDocument", &encoded(&role.trust_policy));
    if let Some(description) = &role.description {
        xml += &element("Description", description);
    }
    xml += &element("MaxSessionDuration", &role.session_seconds.to_string());
    if with_tags && !role.tags.is_empty() {
        let tags = role.tags.iter();
        let tags =
            tags.map(|(key, value)| format!("<member>{}</member>", described_tag(key, value)));
        xml += &format!("<Tags>{}</Tags>", tags.collect::<String>());
    }
    xml
}

fn described_tag(key: &str, value: &str) -> String {
    element("Key", key) + &element("Value", value)
}

/// A list from the marker on, which is the last name of the page before.
fn page(form: &Form, name: &str, items: Vec<(String, String)>) -> Result<String, ApiError> {
    let size = match form.text("MaxItems") {
        Some(text) => text
            .parse()
            .ok()
            .filter(|size| (1..=LARGEST_PAGE).contains(size))
            .ok_or_else(|| invalid("MaxItems", "must be between 1 and 1000"))?,
        None => PAGE,
    };
    let after = form.text("Marker").unwrap_or_default();
    let mut rest = items
        .into_iter()
        .filter(|(key, _)| key.as_str() > after)
        .peekable();
    let (mut xml, mut last) = (String::new(), String::new());
    for (key, item) in rest.by_ref().take(size) {
        xml += &format!("<member>{item}</member>");
        last = key;
    }
    let more = rest.peek().is_some();
    let marker = if more {
        element("Marker", &last)
    } else {
        String::new()
    };
    Ok(format!(
        "<{name}>{xml}</{name}><IsTruncated>{more}</IsTruncated>{marker}"
    ))
}

fn required<'a>(form: &'a Form, member: &str) -> Result<&'a str, ApiError> {
    let text = form.text(member).filter(|text| !text.is_empty());
    text.ok_or_else(|| invalid(member, "must not be empty"))
}

fn role_name(form: &Form) -> Result<String, ApiError> {
    name(form, "RoleName", 64)
}

fn name(form: &Form, member: &str, longest: usize) -> Result<String, ApiError> {
    let name = required(form, member)?;
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_+=,.@-".contains(letter);
    if name.len() > longest || !name.chars().all(allowed) {
        let rule = format!(
            "must satisfy regular expression pattern [\\w+=,.@-]+ and be at most {longest} long"
        );
        return Err(invalid(member, &rule));
    }
    Ok(name.to_owned())
}

fn path(form: &Form) -> Result<String, ApiError> {
    let path = form.text("Path").unwrap_or("/");
    let pattern =
        Regex::new("^(/|/[!-~]+/)$").map_err(|error| ApiError::internal(error.to_string()))?;
    if path.len() > 512 || !pattern.is_match(path) {
        return Err(invalid("Path", "must begin and end with a slash"));
    }
    Ok(path.to_owned())
}

fn session_seconds(form: &Form) -> Result<Option<u32>, ApiError> {
    let Some(text) = form.text("MaxSessionDuration") else {
        return Ok(None);
    };
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| SESSION_BOUNDS.contains(seconds));
    match seconds {
        Some(seconds) => Ok(Some(seconds)),
        None => Err(invalid(
            "MaxSessionDuration",
            "must be between 3600 and 43200",
        )),
    }
}

fn tags(form: &Form) -> Result<BTreeMap<String, String>, ApiError> {
    let keys = (1..).map_while(|index| {
        let key = form.text(&format!("Tags.member.{index}.Key"))?;
        let value = form.text(&format!("Tags.member.{index}.Value"));
        Some((key.to_owned(), value.unwrap_or_default().to_owned()))
    });
    let tags: BTreeMap<String, String> = keys.collect();
    let fits = |(key, value): (&String, &String)| {
        (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256
    };
    match tags.iter().all(fits) {
        true => Ok(tags),
        false => Err(invalid(
            "Tags",
            "must have keys of 1 to 128 characters and values of at most 256",
        )),
    }
}

fn invalid(member: &str, rule: &str) -> ApiError {
    ApiError::new(
        "ValidationError",
        format!("1 validation error detected: Value at '{member}' {rule}"),
    )
}

fn date(moment: Timestamp) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(moment.whole_seconds());
    let text = moment.ok().and_then(|moment| moment.format(&Rfc3339).ok());
    text.unwrap_or_default()
}

/// Documents in answers are percent-encoded (RFC 3986), as clients of IAM expect.
fn encoded(document: &str) -> String {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(document, RESERVED).to_string()
}
