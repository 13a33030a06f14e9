//! Names that come from people or from AWS, checked once and trusted from there on.
//!
//! Each type is built only by [`FromStr`], so whoever holds one may use it as a file stem, a common name or an MQTT
//! client id without looking at it again.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::failure::{Class, Classified};

/// A name AWS IoT accepts for a thing, and safe as a common name, client id and file stem.
///
/// 1 to 128 bytes of `a-z A-Z 0-9 : _ -` (AWS IoT API reference, "CreateThing", thingName). It does not start with `-`:
/// AWS would take that, but a file or an argument of that name reads as an option.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ThingName(String);

/// The name of a certificate authority: the stem of its files and its default common name.
///
/// 1 to 64 bytes of `a-z A-Z 0-9 : _ . -`, starting with neither `-` nor `.`. 64 is the upper bound of an X.520 common
/// name (RFC 5280, appendix A.1, ub-common-name).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaName(String);

/// The name of a provisioning template, safe as a level of a topic and as a file stem.
///
/// 1 to 36 bytes of `a-z A-Z 0-9 _ -` (AWS IoT API reference, "CreateProvisioningTemplate", templateName), not starting
/// with `-`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TemplateName(String);

/// The name of a policy of AWS IoT: 1 to 128 bytes of `a-z A-Z 0-9 _ + = , . @ -` (AWS IoT API reference, "CreatePolicy",
/// policyName).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyName(String);

/// The name of a queue: 1 to 80 bytes of `a-z A-Z 0-9 _ -`; of one that keeps the order, with `.fifo` at the end (Amazon
/// SQS API reference, "CreateQueue", QueueName).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueName(String);

/// The code that AWS IoT answers to GetRegistrationCode, and that a verification certificate carries as common name.
///
/// Exactly 64 characters, hexadecimal digits with an optional `0x` in front (AWS IoT API reference,
/// "GetRegistrationCode"). The spelling is kept as received: the service compares it as text.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistrationCode(String);

/// Why a name was refused. The message says which rule was broken and what is allowed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing was given.
    #[error("the {what} is empty; {allowed}")]
    Empty {
        /// The kind of name, for example `thing name`.
        what: &'static str,
        /// The rule in one clause.
        allowed: &'static str,
    },
    /// More bytes than the kind of name may have.
    #[error("the {what} is {length} bytes long and at most {limit} are possible; {allowed}")]
    TooLong {
        /// The kind of name.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The greatest length in bytes.
        limit: usize,
        /// The rule in one clause.
        allowed: &'static str,
    },
    /// The first character would make the name an option or a hidden file.
    #[error("the {what} {name:?} starts with {first:?}; {allowed}")]
    Start {
        /// The kind of name.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The character it must not start with.
        first: char,
        /// The rule in one clause.
        allowed: &'static str,
    },
    /// A character outside the alphabet.
    #[error("the {what} {name:?} contains {character:?} ({why}); {allowed}")]
    Character {
        /// The kind of name.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The first character that is not allowed.
        character: char,
        /// What that character is or would do.
        why: &'static str,
        /// The rule in one clause.
        allowed: &'static str,
    },
    /// Not a registration code.
    #[error(
        "{code:?} is not a registration code: it has {length} characters, and a code is exactly 64 hexadecimal digits, \
         as `aws iot get-registration-code` prints it"
    )]
    RegistrationCode {
        /// The text as given, at most 80 characters of it.
        code: String,
        /// Its length in characters.
        length: usize,
    },
}

impl Classified for NameError {
    fn class(&self) -> Class {
        Class::Configuration
    }
}

impl ThingName {
    /// The greatest length in bytes.
    pub const MAX_BYTES: usize = 128;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl CaName {
    /// The greatest length in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TemplateName {
    /// The greatest length in bytes.
    pub const MAX_BYTES: usize = 36;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PolicyName {
    /// The greatest length in bytes.
    pub const MAX_BYTES: usize = 128;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl QueueName {
    /// The greatest length in bytes, with `.fifo`.
    pub const MAX_BYTES: usize = 80;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RegistrationCode {
    /// The code as text, 64 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for CaName {
    /// `root`, the CA of whoever named none.
    fn default() -> Self {
        Self("root".to_owned())
    }
}

impl FromStr for ThingName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        THING.check(name)?;
        Ok(Self(name.to_owned()))
    }
}

impl FromStr for CaName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        CA.check(name)?;
        Ok(Self(name.to_owned()))
    }
}

impl FromStr for TemplateName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        TEMPLATE.check(name)?;
        Ok(Self(name.to_owned()))
    }
}

impl FromStr for PolicyName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        POLICY.check(name)?;
        Ok(Self(name.to_owned()))
    }
}

impl FromStr for QueueName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        match name.strip_suffix(".fifo") {
            Some(stem) if name.len() <= Self::MAX_BYTES => QUEUE.check(stem)?,
            _ => QUEUE.check(name)?,
        }
        Ok(Self(name.to_owned()))
    }
}

impl FromStr for RegistrationCode {
    type Err = NameError;

    fn from_str(code: &str) -> Result<Self, NameError> {
        let digits = code.strip_prefix("0x").unwrap_or(code);
        if code.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self(code.to_owned()));
        }
        Err(NameError::RegistrationCode {
            code: code.chars().take(80).collect(),
            length: code.chars().count(),
        })
    }
}

/// The alphabet and the bounds of one kind of name.
struct Rule {
    what: &'static str,
    limit: usize,
    forbidden_starts: &'static [char],
    punctuation: &'static str,
    allowed: &'static str,
}

impl Rule {
    fn check(&self, name: &str) -> Result<(), NameError> {
        let (what, allowed) = (self.what, self.allowed);
        if name.is_empty() {
            return Err(NameError::Empty { what, allowed });
        }
        if name.len() > self.limit {
            return Err(NameError::TooLong {
                what,
                length: name.len(),
                limit: self.limit,
                allowed,
            });
        }
        if let Some(first) = name
            .chars()
            .next()
            .filter(|first| self.forbidden_starts.contains(first))
        {
            return Err(NameError::Start {
                what,
                name: name.to_owned(),
                first,
                allowed,
            });
        }
        let stranger = name
            .chars()
            .find(|&c| !c.is_ascii_alphanumeric() && !self.punctuation.contains(c));
        match stranger {
            None => Ok(()),
            Some(character) => Err(NameError::Character {
                what,
                name: name.to_owned(),
                character,
                why: what_it_is(character),
                allowed,
            }),
        }
    }
}

fn what_it_is(character: char) -> &'static str {
    match character {
        '\0' => "a NUL byte ends a file name",
        '/' | '\\' => "it would lead to another folder",
        '.' => "a dot is no part of such a name, and `..` would lead out of the folder",
        '+' | '#' => "a wildcard in MQTT topics",
        c if c.is_control() => "a control character",
        c if c.is_whitespace() => "white space",
        c if !c.is_ascii() => "not an ASCII character",
        _ => "not in the alphabet",
    }
}

const THING: Rule = Rule {
    what: "thing name",
    limit: ThingName::MAX_BYTES,
    forbidden_starts: &['-'],
    punctuation: ":_-",
    allowed: "a thing name is 1 to 128 of the characters a-z A-Z 0-9 : _ - and does not start with -",
};

const CA: Rule = Rule {
    what: "CA name",
    limit: CaName::MAX_BYTES,
    forbidden_starts: &['-', '.'],
    punctuation: ":_.-",
    allowed: "a CA name is 1 to 64 of the characters a-z A-Z 0-9 : _ . - and starts with neither - nor .",
};

const TEMPLATE: Rule = Rule {
    what: "template name",
    limit: TemplateName::MAX_BYTES,
    forbidden_starts: &['-'],
    punctuation: "_-",
    allowed: "a template name is 1 to 36 of the characters a-z A-Z 0-9 _ - and does not start with -",
};

const POLICY: Rule = Rule {
    what: "policy name",
    limit: PolicyName::MAX_BYTES,
    forbidden_starts: &[],
    punctuation: "_+=,.@-",
    allowed: "a policy name is 1 to 128 of the characters a-z A-Z 0-9 _ + = , . @ -",
};

const QUEUE: Rule = Rule {
    what: "queue name",
    limit: QueueName::MAX_BYTES,
    forbidden_starts: &[],
    punctuation: "_-",
    allowed: "a queue name is 1 to 80 of the characters a-z A-Z 0-9 _ -, and may end in .fifo",
};

macro_rules! text {
    ($($name:ident),*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                name.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    )* };
}

text!(
    ThingName,
    CaName,
    TemplateName,
    PolicyName,
    QueueName,
    RegistrationCode
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_name_uses_the_alphabet_of_aws() {
        for name in ["sensor-17", "a", "A:b_c-9", "_", ":", &"x".repeat(128)] {
            assert_eq!(name.parse::<ThingName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn what_is_no_thing_name_is_refused_with_the_rule_and_the_alphabet() {
        let cases = [
            ("", "is empty"),
            (&"x".repeat(129), "129 bytes long"),
            ("-rf", "starts with '-'"),
            ("a/b", "another folder"),
            ("..", "out of the folder"),
            ("a\0b", "NUL"),
            ("sensör", "not an ASCII character"),
            ("a b", "white space"),
            ("a\nb", "control character"),
            ("a+b", "wildcard"),
            ("a@b", "not in the alphabet"),
        ];
        for (name, rule) in cases {
            let refusal = name.parse::<ThingName>().unwrap_err().to_string();
            assert!(refusal.contains(rule), "{name:?}: {refusal}");
            assert!(refusal.contains("a-z A-Z 0-9 : _ -"), "{refusal}");
            assert!(!refusal.contains('\0') && !refusal.contains('\n'));
        }
    }

    #[test]
    fn a_ca_name_may_hold_dots_but_not_start_with_one() {
        assert!("acme.factory-2".parse::<CaName>().is_ok());
        for name in [
            "",
            ".hidden",
            "..",
            "-x",
            "a/b",
            "../root",
            "a\0",
            &"x".repeat(65),
        ] {
            let refusal = name.parse::<CaName>().unwrap_err().to_string();
            assert!(refusal.contains("1 to 64"), "{refusal}");
        }
        assert_eq!(CaName::default().as_str(), "root");
    }

    #[test]
    fn a_template_name_has_36_characters_at_most_and_no_colon() {
        assert!("fleet_provisioning-Tpl-1".parse::<TemplateName>().is_ok());
        assert!("t".repeat(36).parse::<TemplateName>().is_ok());
        for name in ["", "-t", "a:b", "a.b", "a/b", &"t".repeat(37)] {
            let refusal = name.parse::<TemplateName>().unwrap_err().to_string();
            assert!(refusal.contains("1 to 36"), "{refusal}");
        }
    }

    #[test]
    fn a_policy_name_uses_the_alphabet_of_aws() {
        for name in ["FleetDevice", "-a", "a+=,.@-_", &"p".repeat(128)] {
            assert_eq!(name.parse::<PolicyName>().unwrap().as_str(), name);
        }
        for name in ["", "a b", "a/b", "ä", "a:b", &"p".repeat(129)] {
            let refusal = name.parse::<PolicyName>().unwrap_err().to_string();
            assert!(refusal.contains("1 to 128"), "{refusal}");
        }
    }

    #[test]
    fn a_queue_name_may_end_in_fifo() {
        for name in ["loadtestQueue", "a-b_C", "orders.fifo", &"q".repeat(80)] {
            assert_eq!(name.parse::<QueueName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            ".fifo",
            "a.b",
            "a.fifo.fifo",
            "a/b",
            "https://sqs/1/a",
            &"q".repeat(81),
            &format!("{}.fifo", "q".repeat(76)),
        ] {
            let refusal = name.parse::<QueueName>().unwrap_err().to_string();
            assert!(refusal.contains("1 to 80"), "{refusal}");
        }
    }

    #[test]
    fn a_registration_code_is_64_hexadecimal_digits_kept_as_spelled() {
        let code = "aB3d".repeat(16);
        assert_eq!(code.parse::<RegistrationCode>().unwrap().as_str(), code);
        assert!(
            format!("0x{}", "a".repeat(62))
                .parse::<RegistrationCode>()
                .is_ok()
        );
        for wrong in ["", &"a".repeat(63), &"g".repeat(64), &"a".repeat(65)] {
            let refusal = wrong.parse::<RegistrationCode>().unwrap_err().to_string();
            assert!(refusal.contains("exactly 64"), "{refusal}");
        }
    }

    #[test]
    fn a_name_read_from_json_is_checked_too() {
        assert!(serde_json::from_str::<ThingName>("\"ok\"").is_ok());
        assert!(serde_json::from_str::<ThingName>("\"../no\"").is_err());
    }
}
