//! IAM as far as an environment for devices needs it: roles and their policies (query protocol).

use std::collections::{BTreeMap, HashSet};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::query::{Handler, QueryService, element};
use crate::account::roles::{self, CreateRole};
use crate::account::{Account, ApiError, Role, Timestamp};
use crate::model::{Input, Service};

/// IAM, as far as it is offered.
pub(super) static SERVICE: QueryService = QueryService {
    service: Service::Iam,
    name: "IAM",
    namespace: "https://iam.amazonaws.com/doc/2010-05-08/",
    failure: "ServiceFailure",
    operations: OPERATIONS,
};

const OPERATIONS: &[(&str, Handler)] = &[
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

/// Seconds a session lasts unless told otherwise (API reference, "CreateRole").
const SESSION_SECONDS: u32 = 3600;

/// Items of a list unless told otherwise.
const PAGE: u64 = 100;

fn create(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let ask = CreateRole {
        name: input.required("RoleName").to_owned(),
        path: input.text("Path").unwrap_or("/").to_owned(),
        description: input.text("Description").map(ToOwned::to_owned),
        trust_policy: input.required("AssumeRolePolicyDocument").to_owned(),
        session_seconds: session_seconds(input),
        tags: tags(input)?,
    };
    let role = account.write(|tx| roles::create(tx, ask))?;
    Ok(Some(format!("<Role>{}</Role>", described(&role, true))))
}

fn get(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let role = roles::find(&account.snapshot(), input.required("RoleName"))?;
    Ok(Some(format!("<Role>{}</Role>", described(&role, true))))
}

fn list(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let prefix = input.text("PathPrefix").unwrap_or("/").to_owned();
    let state = account.snapshot();
    let roles = state.roles.iter();
    let roles = roles.filter(|(_, role)| role.path.starts_with(&prefix));
    // Tags are not in lists (API reference, "ListRoles").
    let roles = roles.map(|(name, role)| (name.clone(), described(role, false)));
    Ok(Some(page(input, "Roles", roles.collect())))
}

fn update(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    account.write(|tx| {
        roles::change(tx, input.required("RoleName"), |role| {
            // What is left out goes back to what a new role has (API reference, "UpdateRole").
            role.session_seconds = session_seconds(input);
            role.description = input.text("Description").map(ToOwned::to_owned);
            Ok(())
        })
    })?;
    Ok(Some(String::new()))
}

fn update_trust_policy(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let document = input.required("PolicyDocument");
    account.write(|tx| roles::set_trust_policy(tx, input.required("RoleName"), document))?;
    Ok(None)
}

fn delete(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    account.write(|tx| roles::delete(tx, input.required("RoleName")))?;
    Ok(None)
}

fn attach(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let arn = input.required("PolicyArn");
    account.write(|tx| roles::attach(tx, input.required("RoleName"), arn))?;
    Ok(None)
}

fn detach(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let arn = input.required("PolicyArn");
    account.write(|tx| roles::detach(tx, input.required("RoleName"), arn))?;
    Ok(None)
}

fn list_attached(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let role = roles::find(&account.snapshot(), input.required("RoleName"))?;
    let prefix = input.text("PathPrefix").unwrap_or("/");
    let attached = role.attached_policies.iter();
    let attached = attached.filter(|arn| {
        let path = arn.split_once(":policy").map_or("", |(_, path)| path);
        path.starts_with(prefix)
    });
    let attached = attached.map(|arn| {
        let name = arn.rsplit('/').next().unwrap_or_default();
        let described = element("PolicyName", name) + &element("PolicyArn", arn);
        (arn.clone(), described)
    });
    Ok(Some(page(input, "AttachedPolicies", attached.collect())))
}

fn put_inline(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let (name, policy) = (input.required("RoleName"), input.required("PolicyName"));
    let document = input.required("PolicyDocument");
    account.write(|tx| roles::put_inline(tx, name, policy, document))?;
    Ok(None)
}

fn get_inline(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let role = roles::find(&account.snapshot(), input.required("RoleName"))?;
    let policy = input.required("PolicyName");
    let document = role.inline_policies.get(policy);
    let document = document.ok_or_else(|| roles::no_such_inline(policy))?;
    Ok(Some(
        element("RoleName", &role.name)
            + &element("PolicyName", policy)
            + &element("PolicyDocument", &encoded(document)),
    ))
}

fn list_inline(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let role = roles::find(&account.snapshot(), input.required("RoleName"))?;
    let names = role.inline_policies.keys();
    // A name's alphabet has no markup in it.
    let names = names.map(|name| (name.clone(), name.clone()));
    Ok(Some(page(input, "PolicyNames", names.collect())))
}

fn delete_inline(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let policy = input.required("PolicyName");
    account.write(|tx| roles::delete_inline(tx, input.required("RoleName"), policy))?;
    Ok(None)
}

fn tag(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let tags = tags(input)?;
    account.write(|tx| roles::tag(tx, input.required("RoleName"), tags))?;
    Ok(None)
}

fn untag(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let keys = input.texts("TagKeys");
    account.write(|tx| {
        roles::change(tx, input.required("RoleName"), |role| {
            role.tags.retain(|key, _| !keys.contains(&key.as_str()));
            Ok(())
        })
    })?;
    Ok(None)
}

fn list_tags(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    let role = roles::find(&account.snapshot(), input.required("RoleName"))?;
    let tags = role
        .tags
        .iter()
        .map(|(key, value)| (key.clone(), described_tag(key, value)));
    Ok(Some(page(input, "Tags", tags.collect())))
}

/// Roles are in no instance profile here, since there are none; Terraform asks before it deletes a role.
fn list_instance_profiles(account: &Account, input: &Input) -> Result<Option<String>, ApiError> {
    roles::find(&account.snapshot(), input.required("RoleName"))?;
    Ok(Some(page(input, "InstanceProfiles", Vec::new())))
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
fn page(input: &Input, name: &str, items: Vec<(String, String)>) -> String {
    let size = input.number("MaxItems").unwrap_or(PAGE);
    let size = usize::try_from(size).unwrap_or(1);
    let after = input.text("Marker").unwrap_or_default();
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
    format!("<{name}>{xml}</{name}><IsTruncated>{more}</IsTruncated>{marker}")
}

fn session_seconds(input: &Input) -> u32 {
    let seconds = input.number("MaxSessionDuration");
    let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
    seconds.unwrap_or(SESSION_SECONDS)
}

/// `Tags` as a map. Keys that differ in case only are one and the same (IAM user guide, "Tags for IAM resources").
fn tags(input: &Input) -> Result<BTreeMap<String, String>, ApiError> {
    let text = |tag: &Value, key: &str| tag[key].as_str().unwrap_or_default().to_owned();
    let tags = input.list("Tags").iter();
    let tags: BTreeMap<String, String> = tags
        .map(|tag| (text(tag, "Key"), text(tag, "Value")))
        .collect();
    let keys: HashSet<String> = tags.keys().map(|key| key.to_lowercase()).collect();
    match keys.len() == input.list("Tags").len() {
        true => Ok(tags),
        false => Err(ApiError::new(
            "InvalidInput",
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        )),
    }
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
