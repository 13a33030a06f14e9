//! Why a decision is what it is, in one sentence.
//!
//! Real AWS answers with a closed connection. For an implicit deny the useful answer is the nearest miss: the statement
//! that was probably meant to allow it, and what kept it from doing so.

use super::{
    action::{Action, ResourceKind},
    authorizer::Decision,
    document::{Effect, NamedPolicy, Statement},
    matcher::Matcher,
    pattern::{Pattern, Token},
    warnings::{kind_of_tail, tail},
};

/// A statement allows it.
pub const POLICY_ALLOWED: &str = "POLICY_ALLOWED";
/// A statement denies it.
pub const POLICY_EXPLICIT_DENY: &str = "POLICY_EXPLICIT_DENY";
/// No statement allows it.
pub const POLICY_IMPLICIT_DENY: &str = "POLICY_IMPLICIT_DENY";
/// There is no policy at all.
pub const NO_POLICY: &str = "NO_POLICY";

/// Why a decision is what it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reason {
    /// One of [`POLICY_ALLOWED`], [`POLICY_EXPLICIT_DENY`], [`POLICY_IMPLICIT_DENY`], [`NO_POLICY`].
    pub code: &'static str,
    /// What was asked, what decided, and for an implicit deny the nearest miss.
    pub sentence: String,
}

pub(crate) fn of(decision: &Decision<'_>) -> Reason {
    let asked = asked(decision.action, decision.resource);
    let authorizer = decision.authorizer;
    if let Some((policy, statement)) = decision.decided_by {
        let who =
            authorizer
                .statement(policy, statement)
                .map_or_else(String::new, |(policy, found)| {
                    format!(
                        "policy {}, statement {}",
                        policy.name,
                        label(statement, found)
                    )
                });
        return if decision.allowed {
            Reason {
                code: POLICY_ALLOWED,
                sentence: format!("{asked} is allowed by {who}"),
            }
        } else {
            Reason {
                code: POLICY_EXPLICIT_DENY,
                sentence: format!("{asked} is denied by {who}"),
            }
        };
    }
    if authorizer.policies.is_empty() {
        let sentence = format!("{asked} is not allowed: no policy is attached to the certificate");
        return Reason {
            code: NO_POLICY,
            sentence,
        };
    }
    Reason {
        code: POLICY_IMPLICIT_DENY,
        sentence: format!("{asked} is not allowed: {}", nearest_miss(decision)),
    }
}

fn asked(action: Action, resource: &str) -> String {
    match action.kind() {
        ResourceKind::Everything => action.name().to_owned(),
        kind => format!(
            "{} on {}{}",
            action.name(),
            kind.prefix(),
            resource.escape_debug()
        ),
    }
}

/// `2`, or `2 (Sid)`; statements count from 1 for people.
fn label(index: u16, statement: &Statement) -> String {
    let number = u32::from(index) + 1;
    match &statement.sid {
        Some(sid) => format!("{number} ({sid})"),
        None => number.to_string(),
    }
}

/// How near a statement came, nearest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Miss {
    Variable,
    Condition,
    Kind,
    Scope,
    Wildcard,
    Name,
}

fn nearest_miss(decision: &Decision<'_>) -> String {
    let authorizer = decision.authorizer;
    let action = decision.action;
    let mut misses: Vec<(Miss, String)> = Vec::new();
    // "only on" is said once a policy, with all its resources.
    let mut names: Vec<(&NamedPolicy, Vec<String>)> = Vec::new();
    for (policy_index, policy) in (0..u16::MAX).zip(&authorizer.policies) {
        let mut elsewhere = Vec::new();
        for (statement_index, statement) in (0..u16::MAX).zip(&policy.document.statements) {
            if statement.effect != Effect::Allow || statement.actions & action.bit() == 0 {
                continue;
            }
            let who = format!(
                "policy {}, statement {}",
                policy.name,
                label(statement_index, statement)
            );
            let unmet = authorizer.unmet.iter().find(|unmet| {
                unmet.policy == policy_index
                    && unmet.statement == statement_index
                    && unmet.actions & action.bit() != 0
            });
            if let Some(unmet) = unmet {
                misses.push((Miss::Condition, format!("in {who} {}", unmet.why)));
                continue;
            }
            if statement.negated {
                let excepted: Vec<String> = statement
                    .resources
                    .iter()
                    .map(|pattern| rendered(pattern, decision))
                    .collect();
                misses.push((
                    Miss::Name,
                    format!(
                        "{who} allows {} except on {}",
                        action.name(),
                        some(&excepted)
                    ),
                ));
                continue;
            }
            for pattern in &statement.resources {
                match miss(pattern, decision) {
                    (Miss::Name, text) => elsewhere.push(text),
                    (kind, sentence) => misses.push((kind, format!("in {who} {sentence}"))),
                }
            }
        }
        if !elsewhere.is_empty() {
            names.push((policy, elsewhere));
        }
    }
    misses.extend(names.iter().map(|(policy, resources)| {
        (
            Miss::Name,
            format!(
                "policy {} allows {} only on {}",
                policy.name,
                action.name(),
                some(resources)
            ),
        )
    }));
    misses.sort_by_key(|(miss, _)| *miss);
    if misses.is_empty() {
        let policies: Vec<String> = authorizer
            .policies
            .iter()
            .map(|policy| policy.name.clone())
            .collect();
        let noun = if policies.len() == 1 {
            "policy"
        } else {
            "policies"
        };
        return format!(
            "no statement of {noun} {} allows {}",
            some(&policies),
            action.name()
        );
    }
    let told: Vec<String> = misses
        .iter()
        .take(2)
        .map(|(_, sentence)| sentence.clone())
        .collect();
    told.join("; ")
}

/// Why one resource of a statement that allows the action does not match.
fn miss(pattern: &Pattern, decision: &Decision<'_>) -> (Miss, String) {
    let authorizer = decision.authorizer;
    let kind = decision.action.kind();
    for name in pattern.variables() {
        if let Err(why) = authorizer.variables.substitute(name) {
            return (
                Miss::Variable,
                format!("variable {name} has no value, because {why}"),
            );
        }
    }
    let whole = pattern.render(&authorizer.variables);
    let name = decision.action.name();
    let Some(tail) = tail(&whole) else {
        return (Miss::Name, whole);
    };
    let found = kind_of_tail(tail);
    if let Some(other) = found.filter(|found| *found != kind) {
        let judged = if kind == ResourceKind::Everything {
            "*".to_owned()
        } else {
            format!("{}…", kind.prefix())
        };
        let sentence = format!(
            "{name} is granted on {}…, but it is evaluated on {judged}",
            other.prefix()
        );
        return (Miss::Kind, sentence);
    }
    let expanded = pattern.expand(&authorizer.variables);
    // Only the name may differ if the same pattern with any name would match.
    let reaches = expanded.iter().any(|tokens| {
        let colon = tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| **token == Token::Literal(':'))
            .nth(4);
        let head = colon.map_or(&tokens[..], |(at, _)| &tokens[..=at]);
        let prefix = authorizer.scope.prefix(ResourceKind::Everything);
        Matcher::new(head).matches(&prefix)
    });
    if found.is_some() && !reaches {
        let here = authorizer.scope.prefix(ResourceKind::Everything);
        let there = whole.strip_suffix(tail).unwrap_or(&whole);
        return (
            Miss::Scope,
            format!("{name} is granted in {there}…, and this is {here}…"),
        );
    }
    if kind == ResourceKind::Topic && tail.contains(['#', '+']) {
        let better = tail.replace(['#', '+'], "*");
        let sentence = format!(
            "`#` and `+` in {tail} are literal characters in a policy; {better} is what matches"
        );
        return (Miss::Wildcard, sentence);
    }
    (Miss::Name, tail.to_owned())
}

fn rendered(pattern: &Pattern, decision: &Decision<'_>) -> String {
    let whole = pattern.render(&decision.authorizer.variables);
    tail(&whole).map_or_else(|| whole.clone(), str::to_owned)
}

/// The first three, and how many more.
fn some(items: &[String]) -> String {
    let shown: Vec<String> = items
        .iter()
        .take(3)
        .map(|item| item.escape_debug().to_string())
        .collect();
    match items.len().saturating_sub(3) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
