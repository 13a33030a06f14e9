//! Patterns of the model, which are Java's, matched with regex-lite, which knows no Unicode classes.

use std::sync::OnceLock;

use regex_lite::Regex;

/// A pattern a whole string must match; compiled on first use.
#[derive(Debug)]
pub struct Pattern {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            compiled: OnceLock::new(),
        }
    }

    /// The pattern as the model writes it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether regex-lite understands it.
    pub fn compiles(&self) -> bool {
        self.regex().is_some()
    }

    /// Whether the whole of `value` matches. A pattern that cannot be compiled matches everything; a test
    /// makes sure that none is.
    pub fn matches(&self, value: &str) -> bool {
        self.regex().is_none_or(|regex| regex.is_match(value))
    }

    fn regex(&self) -> Option<&Regex> {
        self.compiled
            .get_or_init(|| Regex::new(&format!("(?s)^(?:{})$", translate(&self.text))).ok())
            .as_ref()
    }
}

/// Replaces POSIX and Unicode classes; all of them occur inside brackets. Letters, digits and separators
/// beyond ASCII are taken as everything beyond the C1 controls, which errs on the side of accepting.
fn translate(pattern: &str) -> String {
    const CLASSES: [(&str, &str); 13] = [
        (r"\p{Graph}", r"!-~"),
        (r"\p{Print}", r" -~"),
        (r"\p{Upper}", r"A-Z"),
        (r"\p{Digit}", r"0-9"),
        (r"\p{Cntrl}", r"\x00-\x1f\x7f"),
        (r"\p{C}", r"\x00-\x1f\x7f-\x9f"),
        (r"\p{L}", r"a-zA-Z\u{aa}-\u{10ffff}"),
        (r"\p{N}", r"0-9\u{b2}-\u{b9}"),
        (r"\p{Z}", r" \u{a0}"),
        (r"\p{Zs}", r" \u{a0}"),
        (r"\p{M}", r"\u{300}-\u{36f}"),
        (r"\p{P}", r"!-#%-*,-/:;?@\[-\]_\{\}"),
        (r"\p{S}", r"$+<->\^`|~"),
    ];
    let mut translated = pattern.to_owned();
    for (class, characters) in CLASSES {
        translated = translated.replace(class, characters);
    }
    translated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_string_must_match() {
        let pattern = Pattern::new("[a-zA-Z0-9:_-]+");
        assert!(pattern.matches("sensor-17"));
        for wrong in ["", "a b", "a/b", "sensor\n", "ключ"] {
            assert!(!pattern.matches(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn unicode_classes_accept_what_java_accepts() {
        let tag = Pattern::new(r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$");
        assert!(tag.matches("Größe 12/b"));
        assert!(!tag.matches("a;b"));
        let text = Pattern::new(r"[^\p{C}]*");
        assert!(text.matches("naïve text"));
        assert!(!text.matches("bell\u{7}"));
    }
}
