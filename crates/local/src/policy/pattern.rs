//! The text of a resource or a condition value: literal characters, wildcards and variables.
//!
//! `*` stands for any run of characters, `?` for exactly one; `${*}`, `${?}` and `${$}` are those characters
//! themselves; any other `${…}` is a variable (AWS IoT developer guide, "AWS IoT Core policy variables"). `+` and `#`
//! mean nothing here.

use std::mem;

use super::variables::Variables;

/// A text as it stands in a document.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub(crate) text: Box<str>,
    pieces: Box<[Piece]>,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(Box<str>),
    Star,
    One,
    Variable(Box<str>),
}

/// One element of a pattern whose variables have been replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Token {
    Literal(char),
    Star,
    One,
}

/// Most texts that one pattern may stand for when it holds several `.List` variables: five values, three times.
const MOST_ALTERNATIVES: usize = 125;

impl Pattern {
    /// Reads a text; without `wildcards`, `*` and `?` are literal (StringEquals).
    pub(crate) fn parse(text: &str, wildcards: bool) -> Self {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut flush = |literal: &mut String, piece: Option<Piece>| {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(mem::take(literal).into_boxed_str()));
            }
            pieces.extend(piece);
        };
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            if let Some((name, after)) = rest
                .strip_prefix("${")
                .and_then(|inner| inner.split_once('}'))
            {
                match name {
                    "*" | "?" | "$" => literal.push_str(name),
                    name => flush(&mut literal, Some(Piece::Variable(name.into()))),
                }
                rest = after;
                continue;
            }
            match letter {
                '*' if wildcards => flush(&mut literal, Some(Piece::Star)),
                '?' if wildcards => flush(&mut literal, Some(Piece::One)),
                other => literal.push(other),
            }
            rest = &rest[letter.len_utf8()..];
        }
        flush(&mut literal, None);
        Self {
            text: text.into(),
            pieces: pieces.into(),
        }
    }

    /// The names of its variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some(&**name),
            _ => None,
        })
    }

    /// The token sequences it stands for: one, or several if a variable is a list, or none if a variable has no value.
    pub(crate) fn expand(&self, variables: &Variables) -> Vec<Vec<Token>> {
        let mut all: Vec<Vec<Token>> = vec![Vec::with_capacity(self.text.len())];
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => all
                    .iter_mut()
                    .for_each(|one| one.extend(text.chars().map(Token::Literal))),
                Piece::Star => all.iter_mut().for_each(|one| one.push(Token::Star)),
                Piece::One => all.iter_mut().for_each(|one| one.push(Token::One)),
                Piece::Variable(name) => {
                    let Ok(values) = variables.substitute(name) else {
                        return Vec::new();
                    };
                    if all.len() * values.len() > MOST_ALTERNATIVES {
                        return Vec::new();
                    }
                    let mut next = Vec::with_capacity(all.len() * values.len());
                    for one in &all {
                        for value in values {
                            let mut longer = one.clone();
                            longer.extend(value.chars().map(Token::Literal));
                            next.push(longer);
                        }
                    }
                    all = next;
                }
            }
        }
        all
    }

    /// The text for a person: variables that have one value are replaced.
    pub(crate) fn render(&self, variables: &Variables) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Star => out.push('*'),
                Piece::One => out.push('?'),
                Piece::Variable(name) => match variables.substitute(name) {
                    Ok([value]) => out.push_str(value),
                    _ => {
                        out.push_str("${");
                        out.push_str(name);
                        out.push('}');
                    }
                },
            }
        }
        out
    }
}
