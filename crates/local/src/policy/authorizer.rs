//! The policies of one connection, compiled, and the answer to "may it?".
//!
//! AWS IoT evaluates in this order: a matching Deny, else a matching Allow, else no (developer guide, "AWS IoT Core
//! policies"). Everything a connection fixes is decided when it starts: variables, conditions, and the beginning of the
//! ARN. What is left for a packet is a comparison of its topic with a few compiled patterns.

use super::{
    action::{Action, ResourceKind},
    document::{Effect, NamedPolicy, Statement},
    matcher::{Letters, Matcher},
    pattern::Token,
    reason::{self, Reason},
    variables::{ArnScope, ConnectionContext, Variables},
};

/// The compiled policies of one connection. Compile it again when a policy or attachment changes.
#[derive(Clone, Debug)]
pub struct Authorizer {
    /// Grouped by the kind of resource, Deny before Allow.
    rules: Box<[Rule]>,
    /// Where the rules of each kind end.
    ends: [u16; ResourceKind::ALL.len()],
    /// Whether some pattern is worth knowing the letters of a resource for.
    needs_letters: bool,
    pub(crate) policies: Box<[NamedPolicy]>,
    pub(crate) variables: Variables,
    pub(crate) scope: ArnScope,
    /// The statements whose conditions do not hold.
    pub(crate) unmet: Box<[Unmet]>,
}

#[derive(Clone, Debug)]
struct Rule {
    actions: u32,
    effect: Effect,
    negated: bool,
    policy: u16,
    statement: u16,
    matchers: Box<[Matcher]>,
}

/// A statement that takes no part, for some actions, because a condition does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Unmet {
    pub(crate) policy: u16,
    pub(crate) statement: u16,
    pub(crate) actions: u32,
    pub(crate) why: Box<str>,
}

/// An answer. Cheap: the reason is worked out only when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// Whether it may be done.
    pub allowed: bool,
    pub(crate) authorizer: &'a Authorizer,
    pub(crate) action: Action,
    pub(crate) resource: &'a str,
    /// Policy and statement that decided, by position; none for an implicit deny.
    pub(crate) decided_by: Option<(u16, u16)>,
}

impl Decision<'_> {
    /// Why: a stable code, and a sentence for a person.
    #[must_use]
    pub fn reason(&self) -> Reason {
        reason::of(self)
    }
}

impl Authorizer {
    /// Compiles the policies for one connection: those attached to the certificate, and those of the groups of its
    /// thing where AWS IoT counts them.
    ///
    /// Policies beyond 65 535, and statements beyond that in one policy, would be ignored; AWS allows ten policies, and
    /// the size of a document allows some forty statements.
    #[must_use]
    pub fn compile(policies: &[NamedPolicy], context: &ConnectionContext) -> Self {
        let scope = &context.partition_region_account;
        let prefixes = ResourceKind::ALL.map(|kind| scope.prefix(kind));
        let variables = Variables::of(context, policies.iter().flat_map(names));
        let mut rules: Vec<(ResourceKind, Rule)> = Vec::new();
        let mut unmet = Vec::new();
        for (policy_index, policy) in (0..u16::MAX).zip(policies) {
            for (statement_index, statement) in (0..u16::MAX).zip(&policy.document.statements) {
                let (actions, why) = applicable(statement, context, &variables);
                if let Some(why) = why {
                    let actions = statement.actions & !actions;
                    unmet.push(Unmet {
                        policy: policy_index,
                        statement: statement_index,
                        actions,
                        why: why.into(),
                    });
                }
                if actions == 0 {
                    continue;
                }
                let expanded: Vec<Vec<Token>> = statement
                    .resources
                    .iter()
                    .flat_map(|pattern| pattern.expand(&variables))
                    .collect();
                for (kind, prefix) in ResourceKind::ALL.into_iter().zip(&prefixes) {
                    let actions = actions & kind.actions();
                    if actions == 0 {
                        continue;
                    }
                    let matchers = matchers(kind, prefix, &expanded);
                    if matchers.is_empty() && !statement.negated {
                        continue;
                    }
                    let rule = Rule {
                        actions,
                        effect: statement.effect,
                        negated: statement.negated,
                        policy: policy_index,
                        statement: statement_index,
                        matchers,
                    };
                    rules.push((kind, rule));
                }
            }
        }
        // Stable: within a kind and an effect, the order of the policies stays, and the first that matches is named.
        rules.sort_by_key(|(kind, rule)| (*kind as u8, rule.effect == Effect::Allow));
        let ends = ResourceKind::ALL.map(|kind| {
            let end = rules.partition_point(|(other, _)| *other as u8 <= kind as u8);
            u16::try_from(end).unwrap_or(u16::MAX)
        });
        let needs_letters = rules
            .iter()
            .any(|(_, rule)| rule.matchers.iter().any(|matcher| matcher.needs_letters()));
        Self {
            needs_letters,
            rules: rules.into_iter().map(|(_, rule)| rule).collect(),
            ends,
            policies: policies.into(),
            variables,
            scope: scope.clone(),
            unmet: unmet.into(),
        }
    }

    /// Whether the connection may do `action` on `resource`: the client id for [`Action::Connect`], the topic for
    /// publish, retain and receive, the filter for subscribe. The ARN around it is not part of it.
    ///
    /// A retained message needs [`Action::RetainPublish`] in addition to [`Action::Publish`]; the topic of a will is
    /// asked with [`Action::Publish`] when the client connects.
    #[must_use]
    pub fn decide<'a>(&'a self, action: Action, resource: &'a str) -> Decision<'a> {
        let kind = action.kind();
        let start = match kind as usize {
            0 => 0,
            index => self.ends[index - 1],
        };
        let rules = &self.rules[usize::from(start)..usize::from(self.ends[kind as usize])];
        // `$share/NAME/FILTER`: AWS does not say which of the two is the resource, so either will do.
        let inner = if action == Action::Subscribe {
            shared_filter(resource)
        } else {
            None
        };
        let resource_text = if kind == ResourceKind::Everything {
            "*"
        } else {
            resource
        };
        let letters = |text| {
            if self.needs_letters {
                Letters::of(text)
            } else {
                Letters::default()
            }
        };
        let outer_letters = letters(resource_text);
        let inner = inner.map(|inner| (inner, letters(inner)));
        let bit = action.bit();
        for rule in rules {
            if rule.actions & bit == 0 {
                continue;
            }
            if rule.matches(resource_text, outer_letters)
                || inner.is_some_and(|(inner, letters)| rule.matches(inner, letters))
            {
                // Denials come first, so the first match decides.
                return Decision {
                    allowed: rule.effect == Effect::Allow,
                    authorizer: self,
                    action,
                    resource,
                    decided_by: Some((rule.policy, rule.statement)),
                };
            }
        }
        Decision {
            allowed: false,
            authorizer: self,
            action,
            resource,
            decided_by: None,
        }
    }

    pub(crate) fn statement(
        &self,
        policy: u16,
        statement: u16,
    ) -> Option<(&NamedPolicy, &Statement)> {
        let policy = self.policies.get(usize::from(policy))?;
        Some((
            policy,
            policy.document.statements.get(usize::from(statement))?,
        ))
    }
}

impl Rule {
    #[inline]
    fn matches(&self, resource: &str, letters: Letters) -> bool {
        self.matchers
            .iter()
            .any(|matcher| matcher.matches_letters(resource, letters))
            != self.negated
    }
}

/// The filter within `$share/NAME/FILTER`.
fn shared_filter(filter: &str) -> Option<&str> {
    filter
        .strip_prefix("$share/")?
        .split_once('/')
        .map(|(_, inner)| inner)
}

/// The variables a policy uses.
fn names(policy: &NamedPolicy) -> impl Iterator<Item = &str> {
    policy.document.statements.iter().flat_map(|statement| {
        let values = statement
            .conditions
            .iter()
            .flat_map(|condition| condition.values.iter());
        statement
            .resources
            .iter()
            .chain(values)
            .flat_map(|pattern| pattern.variables())
    })
}

/// The actions of a statement for which its conditions hold, and why not the others.
fn applicable(
    statement: &Statement,
    context: &ConnectionContext,
    variables: &Variables,
) -> (u32, Option<String>) {
    let failing = |connecting: bool| {
        let mut conditions = statement.conditions.iter();
        conditions.find(|condition| !condition.holds(context, variables, connecting))
    };
    let connect = statement.actions & Action::Connect.bit();
    let others = statement.actions & !Action::Connect.bit();
    let split = statement
        .conditions
        .iter()
        .any(|condition| condition.is_connect_only());
    if !split {
        return match failing(false) {
            Some(condition) => (0, Some(condition.explain(context, variables, false))),
            None => (statement.actions, None),
        };
    }
    let mut actions = 0;
    let mut why = None;
    for (bits, connecting) in [(connect, true), (others, false)] {
        match failing(connecting) {
            None => actions |= bits,
            Some(condition) if bits != 0 && why.is_none() => {
                why = Some(condition.explain(context, variables, connecting));
            }
            Some(_) => {}
        }
    }
    (actions, why)
}

fn matchers(kind: ResourceKind, prefix: &str, expanded: &[Vec<Token>]) -> Box<[Matcher]> {
    if kind == ResourceKind::Everything {
        let everything = expanded
            .iter()
            .any(|tokens| Matcher::new(tokens) == Matcher::Any);
        return if everything {
            Box::new([Matcher::Any])
        } else {
            Box::default()
        };
    }
    let mut all: Vec<Matcher> = Vec::new();
    for tokens in expanded {
        for matcher in Matcher::after(tokens, prefix) {
            if matcher == Matcher::Any {
                return Box::new([Matcher::Any]);
            }
            if !all.contains(&matcher) {
                all.push(matcher);
            }
        }
    }
    all.into()
}
