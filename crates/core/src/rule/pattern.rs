//! The regular expressions of a statement: one that is literal is compiled once.

use std::borrow::Cow;

use regex_lite::{Regex, RegexBuilder};

use super::syntax::Call;

/// A regular expression, or none for what is no valid one.
///
/// What Java's regular expressions have beyond those of the crate `regex-lite` (look-around, back-references, classes
/// of Unicode) counts as invalid.
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).size_limit(LARGEST).build().ok()
}

/// The regular expression of a call, whose second argument is `pattern`.
pub(super) fn of<'a>(call: &'a Call, pattern: &str) -> Option<Cow<'a, Regex>> {
    match &call.pattern {
        Some(compiled) => Some(Cow::Borrowed(compiled)),
        None => compile(pattern).map(Cow::Owned),
    }
}

/// Bytes a compiled expression may take: `(a{1000}){1000}` would take the machine.
const LARGEST: usize = 1 << 20;
