//! `NAME=VALUE` on the command line.

use std::str::FromStr;

/// A name and the value it is given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameValue {
    /// What stands before the first `=`; not empty.
    pub name: String,
    /// What stands behind it.
    pub value: String,
}

impl FromStr for NameValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("give it as NAME=VALUE".to_owned()),
        }
    }
}
