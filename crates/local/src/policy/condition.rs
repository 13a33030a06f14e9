//! Conditions: operators, set qualifiers and missing keys.
//!
//! The semantics are IAM's ("IAM JSON policy elements: Condition operators", "Multivalued context keys"), which the IoT
//! developer guide refers to. All they can ask is known when a client connects, so they are evaluated then, once.

use std::net::IpAddr;

use jitp_core::template::{
    json::{child, element},
    suggest::did_you_mean,
};
use serde_json::Value;

use super::{
    document::{object, wrong_type},
    malformed::{MalformedPolicy, PolicyFault},
    matcher::Matcher,
    pattern::{Pattern, Token},
    variables::{ConnectionContext, Variables, is_connect_only, lookup},
};

/// One operator applied to one key.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    /// As written, with qualifier and suffix.
    pub(crate) operator_text: Box<str>,
    pub(crate) key: Box<str>,
    pub(crate) values: Box<[Pattern]>,
    comparison: Comparison,
    negated: bool,
    qualifier: Qualifier,
    if_exists: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comparison {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Bool,
    Ip,
    Null,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Qualifier {
    None,
    ForAllValues,
    ForAnyValue,
}

/// Name, comparison, negated.
const OPERATORS: [(&str, Comparison, bool); 14] = [
    ("StringEquals", Comparison::Equals, false),
    ("StringNotEquals", Comparison::Equals, true),
    (
        "StringEqualsIgnoreCase",
        Comparison::EqualsIgnoreCase,
        false,
    ),
    (
        "StringNotEqualsIgnoreCase",
        Comparison::EqualsIgnoreCase,
        true,
    ),
    ("StringLike", Comparison::Like, false),
    ("StringNotLike", Comparison::Like, true),
    // IAM treats Equals and Like of ARNs alike.
    ("ArnEquals", Comparison::Arn, false),
    ("ArnNotEquals", Comparison::Arn, true),
    ("ArnLike", Comparison::Arn, false),
    ("ArnNotLike", Comparison::Arn, true),
    ("Bool", Comparison::Bool, false),
    ("IpAddress", Comparison::Ip, false),
    ("NotIpAddress", Comparison::Ip, true),
    ("Null", Comparison::Null, false),
];

impl Condition {
    /// Reads a `Condition` block.
    pub(crate) fn read(value: &Value, path: &str) -> Result<Vec<Self>, MalformedPolicy> {
        let mut conditions = Vec::new();
        for (operator, keys) in object(value, path, "an object of operators")? {
            let path = child(path, operator);
            let (comparison, negated, qualifier, if_exists) = read_operator(operator, &path)?;
            for (key, values) in object(keys, &path, "an object of condition keys")? {
                let path = child(&path, key);
                let values = match values {
                    Value::Array(list) if list.is_empty() => {
                        return Err(MalformedPolicy::new(
                            path,
                            PolicyFault::Empty { what: "value" },
                        ));
                    }
                    Value::Array(list) => {
                        let read =
                            |(index, value)| read_value(value, &element(&path, index), comparison);
                        list.iter()
                            .enumerate()
                            .map(read)
                            .collect::<Result<_, _>>()?
                    }
                    one => Box::from([read_value(one, &path, comparison)?]),
                };
                conditions.push(Self {
                    operator_text: operator.as_str().into(),
                    key: key.as_str().into(),
                    values,
                    comparison,
                    negated,
                    qualifier,
                    if_exists,
                });
            }
        }
        Ok(conditions)
    }

    /// Whether it holds. `connecting`: the action is `iot:Connect`.
    pub(crate) fn holds(
        &self,
        context: &ConnectionContext,
        variables: &Variables,
        connecting: bool,
    ) -> bool {
        let present = lookup(context, &self.key, connecting);
        if self.comparison == Comparison::Null {
            let wanted = |value: &Pattern| value.text.eq_ignore_ascii_case("true");
            return self
                .values
                .iter()
                .any(|value| wanted(value) == present.is_err());
        }
        let Ok(found) = present else {
            // A key without a value: nothing is equal to it, and so everything is not equal to it.
            return match self.qualifier {
                Qualifier::None => self.negated || self.if_exists,
                Qualifier::ForAllValues => true,
                Qualifier::ForAnyValue => self.if_exists,
            };
        };
        let satisfies = |one: &String| {
            let equal = self
                .values
                .iter()
                .any(|value| self.equal(value, one, variables));
            equal != self.negated
        };
        match self.qualifier {
            Qualifier::ForAllValues => found.iter().all(satisfies),
            Qualifier::ForAnyValue => found.iter().any(satisfies),
            // Several values without a qualifier: none may be among the values of a negated operator.
            Qualifier::None if self.negated => found.iter().all(satisfies),
            Qualifier::None => found.iter().any(satisfies),
        }
    }

    fn equal(&self, value: &Pattern, found: &str, variables: &Variables) -> bool {
        value
            .expand(variables)
            .iter()
            .any(|tokens| match self.comparison {
                Comparison::Equals | Comparison::Like => Matcher::new(tokens).matches(found),
                Comparison::EqualsIgnoreCase => {
                    literal(tokens).to_lowercase() == found.to_lowercase()
                }
                Comparison::Arn => arn_matches(tokens, found),
                Comparison::Bool => literal(tokens).eq_ignore_ascii_case(found),
                Comparison::Ip => {
                    let block = Block::parse(&literal(tokens));
                    block
                        .zip(found.parse().ok())
                        .is_some_and(|(block, address)| block.contains(address))
                }
                Comparison::Null => false,
            })
    }

    /// Whether it asks for something that only CONNECT has.
    pub(crate) fn is_connect_only(&self) -> bool {
        is_connect_only(&self.key)
    }

    /// Why it does not hold, as a clause.
    pub(crate) fn explain(
        &self,
        context: &ConnectionContext,
        variables: &Variables,
        connecting: bool,
    ) -> String {
        let found = match lookup(context, &self.key, connecting) {
            Ok(values) => format!("it is {}", quoted(values.iter().map(String::as_str))),
            Err(why) => format!("it has no value, because {why}"),
        };
        let wanted: Vec<String> = self
            .values
            .iter()
            .map(|value| value.render(variables))
            .collect();
        format!(
            "the condition {} {} {} does not hold: {found}",
            self.operator_text,
            self.key,
            quoted(wanted.iter().map(String::as_str))
        )
    }
}

fn quoted<'a>(values: impl Iterator<Item = &'a str>) -> String {
    values
        .map(|value| format!("{value:?}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn read_operator(
    operator: &str,
    path: &str,
) -> Result<(Comparison, bool, Qualifier, bool), MalformedPolicy> {
    let (qualifier, rest) = match operator.split_once(':') {
        Some(("ForAllValues", rest)) => (Qualifier::ForAllValues, rest),
        Some(("ForAnyValue", rest)) => (Qualifier::ForAnyValue, rest),
        _ => (Qualifier::None, operator),
    };
    let (name, if_exists) = match rest.strip_suffix("IfExists") {
        Some(name) => (name, true),
        None => (rest, false),
    };
    match OPERATORS.iter().find(|(known, ..)| *known == name) {
        Some((_, Comparison::Null, _)) if if_exists || qualifier != Qualifier::None => {}
        Some((_, comparison, negated)) => return Ok((*comparison, *negated, qualifier, if_exists)),
        None => {}
    }
    let known = OPERATORS.map(|(name, ..)| name);
    let fault = PolicyFault::Operator {
        found: operator.to_owned(),
        suggestion: did_you_mean(name, known.into_iter().filter(|known| *known != name)),
        known: format!(
            "{}, with ForAllValues: or ForAnyValue: in front and IfExists behind (Null without)",
            known.join(", ")
        ),
    };
    Err(MalformedPolicy::new(path, fault))
}

fn read_value(
    value: &Value,
    path: &str,
    comparison: Comparison,
) -> Result<Pattern, MalformedPolicy> {
    let text = match value {
        Value::String(text) => text.clone(),
        // IAM takes both "true" and true.
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        other => return Err(wrong_type(path, "a string or a list of strings", other)),
    };
    let expected = match comparison {
        Comparison::Bool | Comparison::Null
            if !text.eq_ignore_ascii_case("true") && !text.eq_ignore_ascii_case("false") =>
        {
            "\"true\" or \"false\""
        }
        Comparison::Ip if Block::parse(&text).is_none() => {
            "an address or a block of addresses such as \"192.0.2.0/24\" or \"2001:db8::/32\""
        }
        _ => {
            return Ok(Pattern::parse(
                &text,
                matches!(comparison, Comparison::Like | Comparison::Arn),
            ));
        }
    };
    if text.contains("${") {
        return Ok(Pattern::parse(&text, false));
    }
    Err(MalformedPolicy::new(
        path,
        PolicyFault::ConditionValue {
            found: text,
            expected,
        },
    ))
}

fn literal(tokens: &[Token]) -> String {
    let letter = |token: &Token| match token {
        Token::Literal(letter) => *letter,
        Token::Star => '*',
        Token::One => '?',
    };
    tokens.iter().map(letter).collect()
}

/// ARNs are compared part by part: a `*` in an ARN condition does not reach over a colon, except in the last part.
fn arn_matches(tokens: &[Token], found: &str) -> bool {
    let mut parts: Vec<&[Token]> = tokens
        .splitn(6, |token| *token == Token::Literal(':'))
        .collect();
    let texts: Vec<&str> = found.splitn(6, ':').collect();
    if parts.len() == 1 {
        parts = vec![tokens];
        return Matcher::new(parts[0]).matches(found);
    }
    parts.len() == texts.len()
        && parts
            .iter()
            .zip(texts)
            .all(|(part, text)| Matcher::new(part).matches(text))
}

/// A block of addresses.
struct Block {
    address: IpAddr,
    bits: u8,
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => {
                let plain = !bits.is_empty()
                    && bits.len() <= 3
                    && bits.bytes().all(|digit| digit.is_ascii_digit());
                (
                    address,
                    if plain {
                        Some(bits.parse().ok()?)
                    } else {
                        return None;
                    },
                )
            }
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self { address, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let same = |left: u128, right: u128, width: u8| {
            let shift = u32::from(width - self.bits);
            left.checked_shr(shift).unwrap_or(0) == right.checked_shr(shift).unwrap_or(0)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => {
                same(mine.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(mine), IpAddr::V6(other)) => same(mine.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_contain_what_their_bits_say() {
        let cases = [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("192.0.2.0/24", "::ffff:192.0.2.9", true),
        ];
        for (block, address, inside) in cases {
            assert_eq!(
                Block::parse(block)
                    .unwrap()
                    .contains(address.parse().unwrap()),
                inside,
                "{block} {address}"
            );
        }
        for wrong in [
            "",
            "/",
            "192.0.2.0/33",
            "::/129",
            "192.0.2/24",
            "192.0.2.0/",
            "192.0.2.0/-1",
            "x",
            "1.2.3.4/+8",
        ] {
            assert!(Block::parse(wrong).is_none(), "{wrong}");
        }
    }
}
