//! What a connection knows about itself, and the policy variables that come from it.
//!
//! AWS IoT developer guide, "Basic AWS IoT Core policy variables", "Thing policy variables" and "X.509 Certificate AWS
//! IoT Core policy variables".

use std::{collections::BTreeMap, net::IpAddr};

use jitp_core::template::suggest::did_you_mean;

use super::action::ResourceKind;

/// The facts of one connection, as far as policies can ask for them.
#[derive(Clone, Debug)]
pub struct ConnectionContext {
    /// Region and account of the core.
    pub partition_region_account: ArnScope,
    /// The MQTT client id.
    pub client_id: String,
    /// The address the device connects from.
    pub source_ip: IpAddr,
    /// 64 hexadecimal digits.
    pub certificate_id: String,
    /// What the certificate says.
    pub certificate: CertificateVariables,
    /// The thing of this connection: named like the client id, or the single thing of an exclusive attachment.
    pub thing: Option<ThingVariables>,
    /// CONNECT asked for a persistent session.
    pub persistent: bool,
    /// The topic of the will in CONNECT.
    pub will_topic: Option<String>,
}

/// The beginning of every ARN of a core.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ArnScope {
    /// For example `eu-central-1`.
    pub region: String,
    /// Twelve digits.
    pub account_id: String,
}

impl ArnScope {
    /// `arn:aws:iot:REGION:ACCOUNT:KIND/NAME`; `*` for the kind that has no resource.
    #[must_use]
    pub fn arn(&self, kind: ResourceKind, name: &str) -> String {
        match kind {
            ResourceKind::Everything => "*".to_owned(),
            kind => format!("{}{name}", self.prefix(kind)),
        }
    }

    pub(crate) fn prefix(&self, kind: ResourceKind) -> String {
        format!(
            "arn:aws:iot:{}:{}:{}",
            self.region,
            self.account_id,
            kind.prefix()
        )
    }
}

/// What a certificate offers to policies.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CertificateVariables {
    /// Values by name without `iot:Certificate.`: `Subject.CommonName`, `Issuer.Country`,
    /// `Subject.AlternativeName.DNSName`, `SerialNumber`. In the order of the certificate, not escaped.
    pub fields: BTreeMap<String, Vec<String>>,
}

/// What the thing of a connection offers to policies.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ThingVariables {
    /// The name.
    pub name: String,
    /// The type, if it has one.
    pub type_name: Option<String>,
    /// The attributes.
    pub attributes: BTreeMap<String, String>,
    /// Whether the certificate of this connection is attached to it.
    pub is_attached: bool,
}

/// Items of a multi-valued certificate field that are seen; more are ignored ("X.509 Certificate policy variable
/// limitations").
const MOST_VALUES: usize = 5;
/// Characters a value can have (same place).
const LONGEST_VALUE: usize = 1024;
/// A value with one of these is not put in place of its variable (same place).
const NOT_SUBSTITUTED: [char; 5] = ['*', '?', '+', '#', '$'];
/// These appear with a backslash in front in the values of a distinguished name (same guide, "Special characters").
const ESCAPED: &str = ",\"\\+=<>;";

const SUBJECT_FIELDS: [&str; 13] = [
    "DistinguishedNameQualifier",
    "Country",
    "Organization",
    "OrganizationalUnit",
    "State",
    "CommonName",
    "SerialNumber",
    "Title",
    "Surname",
    "GivenName",
    "Initials",
    "Pseudonym",
    "GenerationQualifier",
];
const ALTERNATIVE_NAMES: [&str; 5] = [
    "RFC822Name",
    "DNSName",
    "DirectoryName",
    "UniformResourceIdentifier",
    "IPAddress",
];

/// The variables that the policies of one connection use, each looked up once.
#[derive(Clone, Debug)]
pub(crate) struct Variables(Box<[Variable]>);

/// A variable, and what may stand in its place: values, or why there are none.
#[derive(Clone, Debug)]
struct Variable {
    name: Box<str>,
    outcome: Result<Box<[Box<str>]>, Box<str>>,
}

impl Variables {
    /// Looks up the variables of these names.
    pub(crate) fn of<'n>(
        context: &ConnectionContext,
        names: impl Iterator<Item = &'n str>,
    ) -> Self {
        let mut known: Vec<Variable> = Vec::new();
        for name in names {
            if known.iter().all(|variable| *variable.name != *name) {
                let outcome = substitution(context, name)
                    .map(|values| values.into_iter().map(String::into_boxed_str).collect())
                    .map_err(String::into_boxed_str);
                known.push(Variable {
                    name: name.into(),
                    outcome,
                });
            }
        }
        Self(known.into())
    }

    /// The values that take the place of `${name}`, at least one.
    ///
    /// # Errors
    /// Why there is none, as a clause.
    pub(crate) fn substitute(&self, name: &str) -> Result<&[Box<str>], &str> {
        match self
            .0
            .iter()
            .find(|variable| *variable.name == *name)
            .map(|variable| &variable.outcome)
        {
            Some(Ok(values)) => Ok(values),
            Some(Err(why)) => Err(why),
            None => Err("it was not looked up"),
        }
    }
}

/// What takes the place of a variable in a text: values without wildcard characters.
fn substitution(context: &ConnectionContext, name: &str) -> Result<Vec<String>, String> {
    let values = lookup(context, name, true)?;
    let usable: Vec<String> = values
        .into_iter()
        .filter(|value| !value.contains(NOT_SUBSTITUTED))
        .collect();
    if usable.is_empty() {
        return Err(
            "its value contains one of * ? + # $, and AWS IoT then leaves the variable in place"
                .to_owned(),
        );
    }
    Ok(usable)
}

/// The values of a variable or condition key, at least one. `connecting` says whether the action is `iot:Connect`,
/// for the keys that only CONNECT has.
///
/// # Errors
/// Why there is none, as a clause that fits behind "has no value, because".
pub(crate) fn lookup(
    context: &ConnectionContext,
    name: &str,
    connecting: bool,
) -> Result<Vec<String>, String> {
    const THING: &str = "iot:Connection.Thing.";
    const CERTIFICATE: &str = "iot:Certificate.";
    if is(name, "iot:ClientId") {
        return one(&context.client_id);
    }
    if is(name, "aws:SourceIp") {
        return one(&context.source_ip.to_canonical().to_string());
    }
    if is(name, "iot:CertificateId") {
        return one(&context.certificate_id);
    }
    if is(name, "iot:ConnectAttributes") || is(name, "iot:LastWillTopic") {
        if !connecting {
            return Err("it exists for iot:Connect only".to_owned());
        }
        return if is(name, "iot:LastWillTopic") {
            let topic = context
                .will_topic
                .as_ref()
                .ok_or("the client set no will")?;
            one(&context
                .partition_region_account
                .arn(ResourceKind::Topic, topic))
        } else {
            let attributes = [
                ("PersistentConnect", context.persistent),
                ("LastWill", context.will_topic.is_some()),
            ];
            let present: Vec<String> = attributes
                .iter()
                .filter(|(_, is_set)| *is_set)
                .map(|(name, _)| (*name).to_owned())
                .collect();
            if present.is_empty() {
                Err("the session is clean and there is no will".to_owned())
            } else {
                Ok(present)
            }
        };
    }
    if let Some(what) = strip(name, THING) {
        return thing(context, what);
    }
    if let Some(field) = strip(name, CERTIFICATE) {
        return certificate(context, field);
    }
    Err(format!(
        "there is no such variable{}",
        did_you_mean(name, names().iter().map(String::as_str))
    ))
}

fn thing(context: &ConnectionContext, what: &str) -> Result<Vec<String>, String> {
    if !is_thing_variable(what) {
        return Err("there is no such thing variable; there are ThingName, ThingTypeName, IsAttached, Attributes[…]"
            .to_owned());
    }
    let thing = context.thing.as_ref().ok_or_else(|| {
        format!(
            "no thing is named like the client id {:?}, and none is attached exclusively",
            context.client_id
        )
    })?;
    if is(what, "ThingName") {
        one(&thing.name)
    } else if is(what, "ThingTypeName") {
        one(thing
            .type_name
            .as_ref()
            .ok_or_else(|| format!("the thing {} has no type", thing.name))?)
    } else if is(what, "IsAttached") {
        one(if thing.is_attached { "true" } else { "false" })
    } else {
        let attribute = attribute_name(what).unwrap_or_default();
        let value = thing.attributes.get(attribute);
        one(value
            .ok_or_else(|| format!("the thing {} has no attribute {attribute:?}", thing.name))?)
    }
}

/// `Attributes[name]` → `name`
fn attribute_name(what: &str) -> Option<&str> {
    strip(what, "Attributes[")?.strip_suffix(']')
}

fn is_thing_variable(what: &str) -> bool {
    ["ThingName", "ThingTypeName", "IsAttached"]
        .iter()
        .any(|known| is(what, known))
        || attribute_name(what).is_some()
}

fn certificate(context: &ConnectionContext, field: &str) -> Result<Vec<String>, String> {
    let fields = &context.certificate.fields;
    let (field, part) = split_part(field);
    if is(field, "AvailableKeys") {
        let keys: Vec<String> = fields
            .iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(field, _)| format!("iot:Certificate.{field}"))
            .collect();
        return if keys.is_empty() {
            Err("the certificate has no such values".to_owned())
        } else {
            Ok(keys)
        };
    }
    if !is_certificate_field(field) {
        let known = certificate_fields();
        let near = did_you_mean(field, known.iter().map(String::as_str));
        return Err(format!("there is no such certificate variable{near}"));
    }
    let values = fields
        .iter()
        .find(|(known, _)| is(known, field))
        .map(|(_, values)| values.as_slice());
    let values: Vec<&String> = values
        .unwrap_or_default()
        .iter()
        .take(MOST_VALUES)
        .collect();
    if values.is_empty() {
        return Err(format!("the certificate has no {field}"));
    }
    let chosen: &[&String] = match part {
        Part::First => &values[..1],
        Part::All => &values,
        // The guide maps `.1` to the second value, so counting starts at 0.
        Part::At(index) => match values.get(index) {
            Some(_) => &values[index..=index],
            None => {
                return Err(format!(
                    "the certificate has {} value(s) of {field}, counted from 0",
                    values.len()
                ));
            }
        },
    };
    let escape =
        !field.to_ascii_lowercase().contains("alternativename") && !is(field, "SerialNumber");
    let fitting: Vec<String> = chosen
        .iter()
        .filter(|value| value.chars().count() <= LONGEST_VALUE)
        .map(|value| {
            if escape {
                escaped(value)
            } else {
                (*value).clone()
            }
        })
        .collect();
    if fitting.is_empty() {
        Err(too_long())
    } else {
        Ok(fitting)
    }
}

enum Part {
    First,
    At(usize),
    All,
}

/// Takes `.List` or `.NUMBER` off the end.
fn split_part(field: &str) -> (&str, Part) {
    let Some((before, last)) = field.rsplit_once('.') else {
        return (field, Part::First);
    };
    if is(last, "List") {
        return (before, Part::All);
    }
    let is_number = !last.is_empty() && last.bytes().all(|digit| digit.is_ascii_digit());
    if is_number {
        (before, Part::At(last.parse().unwrap_or(usize::MAX)))
    } else {
        (field, Part::First)
    }
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for letter in value.chars() {
        if ESCAPED.contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

fn one(value: &str) -> Result<Vec<String>, String> {
    if value.chars().count() > LONGEST_VALUE {
        Err(too_long())
    } else {
        Ok(vec![value.to_owned()])
    }
}

fn too_long() -> String {
    format!("its value is longer than {LONGEST_VALUE} characters")
}

/// Whether a variable or condition key of this name exists at all.
pub(crate) fn exists(name: &str) -> bool {
    if let Some(what) = strip(name, "iot:Connection.Thing.") {
        return is_thing_variable(what);
    }
    if let Some(field) = strip(name, "iot:Certificate.") {
        let field = split_part(field).0;
        return is(field, "AvailableKeys") || is_certificate_field(field);
    }
    [
        "iot:ClientId",
        "iot:CertificateId",
        "aws:SourceIp",
        "iot:ConnectAttributes",
        "iot:LastWillTopic",
    ]
    .iter()
    .any(|known| is(name, known))
}

/// Whether a key has a value only while a client connects.
pub(crate) fn is_connect_only(name: &str) -> bool {
    is(name, "iot:ConnectAttributes") || is(name, "iot:LastWillTopic")
}

/// The names there are, for "did you mean".
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "iot:ClientId",
        "iot:CertificateId",
        "aws:SourceIp",
        "iot:ConnectAttributes",
        "iot:LastWillTopic",
        "iot:Connection.Thing.ThingName",
        "iot:Connection.Thing.ThingTypeName",
        "iot:Connection.Thing.IsAttached",
        "iot:Certificate.AvailableKeys",
    ]
    .map(str::to_owned)
    .into();
    names.extend(
        certificate_fields()
            .into_iter()
            .map(|field| format!("iot:Certificate.{field}")),
    );
    names
}

fn certificate_fields() -> Vec<String> {
    let mut fields = vec!["SerialNumber".to_owned()];
    for whose in ["Subject", "Issuer"] {
        fields.extend(
            SUBJECT_FIELDS
                .iter()
                .map(|field| format!("{whose}.{field}")),
        );
        fields.extend(
            ALTERNATIVE_NAMES
                .iter()
                .map(|field| format!("{whose}.AlternativeName.{field}")),
        );
    }
    fields
}

fn is_certificate_field(field: &str) -> bool {
    if is(field, "SerialNumber") {
        return true;
    }
    let Some(rest) = strip(field, "Subject.").or_else(|| strip(field, "Issuer.")) else {
        return false;
    };
    match strip(rest, "AlternativeName.") {
        Some(kind) => ALTERNATIVE_NAMES.iter().any(|known| is(kind, known)),
        None => SUBJECT_FIELDS.iter().any(|known| is(rest, known)),
    }
}

fn is(name: &str, known: &str) -> bool {
    name.eq_ignore_ascii_case(known)
}

/// Without a prefix, letter case aside.
fn strip<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let head = name.get(..prefix.len())?;
    is(head, prefix).then(|| &name[prefix.len()..])
}
