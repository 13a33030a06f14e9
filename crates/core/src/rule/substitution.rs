//! Substitution templates: `${expression}` in the members of an action (AWS IoT developer guide, "Substitution
//! templates").

use super::error::{SqlError, SqlWarning};
use super::parse;
use super::syntax::Expression;
use super::token::at;
use super::version::SqlVersion;

/// Text with expressions in it, evaluated against the payload as it was published.
#[derive(Clone, Debug)]
pub struct Substitution {
    pub(super) pieces: Vec<Piece>,
    warnings: Vec<SqlWarning>,
}

/// A part of a substitution template.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Text(String),
    Expression(Expression),
}

impl Substitution {
    pub(super) fn parse(
        text: &str,
        version: SqlVersion,
        variables: &[String],
    ) -> Result<Self, SqlError> {
        let mut pieces = Vec::new();
        let mut warnings = Vec::new();
        let mut offset = 0;
        while let Some(begin) = text[offset..].find("${") {
            if begin > 0 {
                pieces.push(Piece::Text(text[offset..offset + begin].to_owned()));
            }
            let inside = offset + begin + 2;
            let length = expression_length(&text[inside..])
                .ok_or_else(|| at(text, offset + begin, "the closing } of this ${ is missing"))?;
            // Blanks for what stands before keep the positions those of the whole text.
            let padded: String = text[..inside]
                .chars()
                .map(|letter| if letter == '\n' { '\n' } else { ' ' })
                .chain(text[inside..inside + length].chars())
                .collect();
            let (expression, found) = parse::expression(&padded, version, variables)?;
            warnings.extend(found);
            pieces.push(Piece::Expression(expression));
            offset = inside + length + 1;
        }
        if offset < text.len() {
            pieces.push(Piece::Text(text[offset..].to_owned()));
        }
        Ok(Self { pieces, warnings })
    }

    /// Whether there is any expression in it.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        !self
            .pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Expression(_)))
    }

    /// What was hardly meant.
    #[must_use]
    pub fn warnings(&self) -> &[SqlWarning] {
        &self.warnings
    }
}

/// Bytes up to the bracket that closes the expression; brackets in strings and of object literals do not.
fn expression_length(text: &str) -> Option<usize> {
    let mut open = 0;
    let mut quoted = None;
    for (offset, letter) in text.char_indices() {
        match (quoted, letter) {
            (Some(quote), letter) if quote == letter => quoted = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quoted = Some(letter),
            (None, '{') => open += 1,
            (None, '}') if open == 0 => return Some(offset),
            (None, '}') => open -= 1,
            (None, _) => {}
        }
    }
    None
}
