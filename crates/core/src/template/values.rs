//! The rules AWS IoT has for the values a template is filled with.
//!
//! Patterns and lengths are those of the AWS IoT API reference (CreateThing, CreateThingGroup, CreateBillingGroup,
//! CreatePolicy, AttributePayload), counts those of "AWS IoT Core endpoints and quotas".

use super::error::{Problem, TemplateError};

/// Attributes a thing without a type can have.
pub(crate) const ATTRIBUTES_WITHOUT_TYPE: usize = 3;
/// Attributes a thing with a type can have.
pub(crate) const ATTRIBUTES_WITH_TYPE: usize = 50;
/// Groups a thing can be in.
pub(crate) const GROUPS_OF_A_THING: usize = 10;
/// Policies one certificate can have.
pub(crate) const POLICIES_OF_A_CERTIFICATE: usize = 10;

/// One kind of value: its name in messages, what it may be made of, and how long it may be.
pub(crate) struct Rule {
    what: &'static str,
    allowed: &'static str,
    punctuation: &'static str,
    shortest: usize,
    longest: usize,
}

pub(crate) const THING_NAME: Rule = name("thing name");
pub(crate) const THING_TYPE_NAME: Rule = name("thing type name");
pub(crate) const THING_GROUP_NAME: Rule = name("thing group name");
pub(crate) const BILLING_GROUP_NAME: Rule = name("billing group name");
pub(crate) const POLICY_NAME: Rule = Rule {
    what: "policy name",
    allowed: "letters, digits and _ + = , . @ -",
    punctuation: "_+=,.@-",
    shortest: 1,
    longest: 128,
};
pub(crate) const ATTRIBUTE_NAME: Rule = Rule {
    what: "attribute name",
    allowed: "letters, digits and _ . , @ / : # -",
    punctuation: "_.,@/:#-",
    shortest: 1,
    longest: 128,
};
pub(crate) const ATTRIBUTE_VALUE: Rule = Rule {
    what: "attribute value",
    allowed: "letters, digits and _ . , @ / : # = [ ] - (no spaces)",
    punctuation: "_.,@/:#=[]-",
    shortest: 0,
    longest: 800,
};
pub(crate) const CERTIFICATE_ID_RULE: Rule = Rule {
    what: "certificate id",
    allowed: "hexadecimal digits",
    punctuation: "",
    shortest: 64,
    longest: 64,
};

const fn name(what: &'static str) -> Rule {
    Rule {
        what,
        allowed: "letters, digits and : _ -",
        punctuation: ":_-",
        shortest: 1,
        longest: 128,
    }
}

impl Rule {
    /// Checks one value.
    ///
    /// # Errors
    /// [`Problem::BadValue`] at `path`, saying which character or length is the trouble.
    pub(crate) fn check(&self, path: &str, value: &str) -> Result<(), TemplateError> {
        let length = value.chars().count();
        let wrong = value.chars().find(|letter| !self.takes(*letter));
        let rule = if length < self.shortest && length == 0 {
            "it is empty".to_owned()
        } else if length < self.shortest || length > self.longest {
            let span = if self.shortest == self.longest {
                format!("exactly {}", self.longest)
            } else {
                format!("{} to {}", self.shortest, self.longest)
            };
            format!("it has {length} characters, and {span} are allowed")
        } else if let Some(letter) = wrong {
            format!(
                "it contains {letter:?}, and AWS IoT takes only {}",
                self.allowed
            )
        } else {
            return Ok(());
        };
        Err(TemplateError::new(
            path,
            Problem::BadValue {
                what: self.what,
                value: quoted(value),
                rule,
            },
        ))
    }

    fn takes(&self, letter: char) -> bool {
        if self.longest == 64 && self.shortest == 64 {
            return letter.is_ascii_hexdigit();
        }
        letter.is_ascii_alphanumeric() || self.punctuation.contains(letter)
    }
}

/// A value in quotes, cut after 60 characters, with nothing in it that a terminal would act upon.
pub(crate) fn quoted(value: &str) -> String {
    let short: String = value.chars().take(60).collect();
    let more = if short.len() < value.len() { "…" } else { "" };
    format!("\"{}{more}\"", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_value_has_the_alphabet_and_length_of_the_api_reference() {
        let good = [
            (&THING_NAME, "sensor-17:a_B"),
            (&THING_NAME, &"x".repeat(128)),
            (&ATTRIBUTE_NAME, "a_.,@/:#-9"),
            (&ATTRIBUTE_VALUE, ""),
            (&ATTRIBUTE_VALUE, "_.,@/:#=[]-"),
            (&ATTRIBUTE_VALUE, &"v".repeat(800)),
            (&POLICY_NAME, "IoT+Access=,.@-_"),
            (&CERTIFICATE_ID_RULE, &"0aF".repeat(22)[..64]),
        ];
        for (rule, value) in good {
            assert_eq!(rule.check("$", value), Ok(()), "{value}");
        }
        let bad = [
            (&THING_NAME, "", "it is empty"),
            (&THING_NAME, "a.b", "contains '.'"),
            (&THING_NAME, "a b", "contains ' '"),
            (&THING_NAME, "a/b", "contains '/'"),
            (&THING_NAME, "gerät", "contains 'ä'"),
            (&THING_NAME, "a\0", "contains '\\0'"),
            (&THING_NAME, &"x".repeat(129), "129 characters"),
            (&ATTRIBUTE_VALUE, "a b", "no spaces"),
            (&ATTRIBUTE_VALUE, &"v".repeat(801), "801 characters"),
            (&POLICY_NAME, "a/b", "contains '/'"),
            (&CERTIFICATE_ID_RULE, "abc", "exactly 64"),
            (&CERTIFICATE_ID_RULE, &"g".repeat(64), "hexadecimal"),
        ];
        for (rule, value, says) in bad {
            let message = rule.check("$.x", value).unwrap_err().to_string();
            assert!(
                message.starts_with("$.x: ") && message.contains(says),
                "{message}"
            );
        }
    }
}
