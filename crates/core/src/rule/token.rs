//! A statement cut into words, numbers, strings and signs.

use std::borrow::Cow;

use super::error::{Position, SqlError};

/// One piece of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A keyword, a name of the payload, or the name of a function.
    Word(String),
    /// `@name`, without the sign.
    Variable(String),
    /// A number, as written.
    Number(String),
    /// A string, and the quote it stands in.
    Text(String, char),
    /// An operator or bracket.
    Sign(&'static str),
    /// Behind the last one.
    End,
}

impl Token {
    /// As a message names it.
    pub(super) fn named(&self) -> String {
        match self {
            Self::Word(word) => format!("`{}`", shown(word)),
            Self::Variable(name) => format!("`@{}`", shown(name)),
            Self::Number(number) => format!("`{}`", shown(number)),
            Self::Text(text, quote) => format!("{quote}{}{quote}", shown(text)),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

/// The beginning of what somebody wrote, as a message repeats it.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST_SHOWN) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

/// Characters of a token that a message repeats.
const LONGEST_SHOWN: usize = 60;

/// A token and the byte it begins at.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) offset: usize,
}

/// The longer signs first.
const SIGNS: [&str; 22] = [
    "<=", ">=", "<>", "!=", "(", ")", "[", "]", "{", "}", ",", ".", ":", "=", "<", ">", "+", "-",
    "*", "/", "%", ";",
];

/// Everything in a statement, and [`Token::End`].
///
/// # Errors
/// On a string without its end, a number that is none, or a character that belongs to no token.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, SqlError> {
    let mut tokens = Vec::new();
    let mut offset = 0;
    while let Some(first) = text[offset..].chars().next() {
        let rest = &text[offset..];
        if first.is_whitespace() {
            offset += first.len_utf8();
            continue;
        }
        let (token, length) = if is_word_start(first) {
            let length = length_while(rest, is_word);
            (Token::Word(rest[..length].to_owned()), length)
        } else if first == '@' {
            let length = length_while(&rest[1..], is_word);
            if length == 0 || length > LONGEST_VARIABLE {
                return Err(at(
                    text,
                    offset,
                    format!(
                        "a variable is `@` and 1 to {LONGEST_VARIABLE} letters, digits and underscores"
                    ),
                ));
            }
            (Token::Variable(rest[1..=length].to_owned()), length + 1)
        } else if first.is_ascii_digit() {
            let length = number_length(rest);
            if rest[length..].starts_with(is_word) {
                return Err(at(
                    text,
                    offset,
                    format!(
                        "{} is neither a number nor a name",
                        &rest[..length + length_while(&rest[length..], is_word)]
                    ),
                ));
            }
            (Token::Number(rest[..length].to_owned()), length)
        } else if matches!(first, '\'' | '"') {
            string(rest, first)
                .ok_or_else(|| at(text, offset, format!("the closing {first} is missing")))?
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            if rest.starts_with("--") || rest.starts_with("/*") {
                return Err(at(
                    text,
                    offset,
                    "rule SQL has no comments; a minus before a negative number wants a space",
                ));
            }
            (Token::Sign(sign), sign.len())
        } else {
            return Err(at(text, offset, format!("{first:?} means nothing here")));
        };
        tokens.push(Placed { token, offset });
        offset += length;
    }
    tokens.push(Placed {
        token: Token::End,
        offset: text.len(),
    });
    Ok(tokens)
}

/// An error at a byte of the statement.
pub(super) fn at(text: &str, offset: usize, message: impl Into<String>) -> SqlError {
    SqlError {
        position: Position::of(text, offset),
        message: message.into(),
    }
}

fn is_word_start(letter: char) -> bool {
    letter.is_alphabetic() || matches!(letter, '_' | '$')
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$')
}

fn length_while(text: &str, belongs: fn(char) -> bool) -> usize {
    text.find(|letter| !belongs(letter)).unwrap_or(text.len())
}

/// Length of `digits[.digits][e[-]digits]`.
fn number_length(text: &str) -> usize {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut length = digits(0);
    if text[length..].starts_with('.') && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    if text[length..].starts_with(['e', 'E']) {
        let sign = usize::from(text[length + 1..].starts_with(['+', '-']));
        let exponent = digits(length + 1 + sign);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}

/// A quoted string and its length with the quotes. A doubled quote stands for one; a backslash is a backslash.
fn string(text: &str, quote: char) -> Option<(Token, usize)> {
    let mut content = String::new();
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((offset, letter)) = letters.next() {
        if letter != quote {
            content.push(letter);
        } else if letters.next_if(|(_, next)| *next == quote).is_some() {
            content.push(quote);
        } else {
            return Some((Token::Text(content, quote), offset + 1));
        }
    }
    None
}

/// Longest name of a variable (AWS IoT developer guide, "SET clause").
const LONGEST_VARIABLE: usize = 64;
