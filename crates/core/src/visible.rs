//! Words of others, as they may go to a terminal.

/// The text with everything escaped that does not show as itself: control characters, marks that turn the direction.
/// Quotes and backslashes stay as they are.
pub(crate) fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => visible.push(character),
            other => visible.extend(other.escape_debug()),
        }
    }
    visible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_paint_a_terminal_is_escaped_and_the_rest_is_as_it_was() {
        let said = "the value \"ü\" isn't C:\\valid 日本";
        assert_eq!(visible(said), said);
        assert_eq!(visible("a\u{1b}[31m\nb\u{202e}"), r"a\u{1b}[31m\nb\u{202e}");
    }
}
