//! Things on the command line: several of them, or `-` for a list on stdin.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::str::FromStr;

use clap::Args;
use jitp_core::failure::Class;
use jitp_core::names::{NameError, ThingName};

use crate::failure::{Failure, Result};

// The things a program works on. (No docstring: clap would show it as what the program does.)
#[derive(Args, Clone, Debug)]
pub struct Things {
    /// Things; `-` for a list on stdin, one a line, of which what follows a tab is ignored
    #[arg(required = true, value_name = "THING")]
    things: Vec<Argument>,
}

impl Things {
    /// All of them, each once, in their order.
    ///
    /// # Errors
    /// When stdin cannot be read, or a line of it is no thing name; the line is named.
    pub fn read(&self) -> Result<Vec<ThingName>> {
        let mut names = Vec::new();
        for argument in &self.things {
            match argument {
                Argument::Name(name) => names.push(name.clone()),
                Argument::Stdin => names.extend(read_list(io::stdin().lock())?),
            }
        }
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Ok(names)
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Argument {
    Stdin,
    Name(ThingName),
}

impl FromStr for Argument {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "-" => Ok(Self::Stdin),
            name => name.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("-"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Longer than any line that our programs print. What has no line ends is no list, and is not read to its end.
const LONGEST_LINE: u64 = 64 * 1024;

/// One name a line: what our own programs print can be passed on.
fn read_list(mut list: impl BufRead) -> Result<Vec<ThingName>> {
    let mut names = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let mut bounded = list.by_ref().take(LONGEST_LINE);
        let length = bounded
            .read_until(b'\n', &mut line)
            .map_err(|error| Failure::io("cannot read the list on stdin", &error))?;
        if length == 0 {
            break;
        }
        let wrong = |why: &dyn fmt::Display| {
            let message = format!("line {number} of the list on stdin: {why}");
            Failure::new(Class::Configuration, message)
        };
        if length as u64 == LONGEST_LINE {
            return Err(wrong(&"it is no list: the line does not end"));
        }
        let text = std::str::from_utf8(&line).map_err(|_| wrong(&"it is no text"))?;
        let name = text.split('\t').next().unwrap_or_default().trim();
        if !name.is_empty() {
            names.push(name.parse().map_err(|error: NameError| wrong(&error))?);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_by_its_first_column_and_bad_lines_are_named() {
        let names = read_list("a\tACTIVE\n\n  b \r\n".as_bytes()).expect("names");
        let names: Vec<&str> = names.iter().map(ThingName::as_str).collect();
        assert_eq!(names, ["a", "b"]);
        let failure = read_list("a\nno such name!\n".as_bytes()).expect_err("a bad name");
        assert!(failure.message().starts_with("line 2 "), "{failure:?}");
        for wrong in [&b"a\n\xff\n"[..], &[b"a\n", &[b'a'; 100_000][..]].concat()] {
            let failure = read_list(wrong).expect_err("no list");
            assert!(failure.message().starts_with("line 2 "), "{failure:?}");
            assert_eq!(failure.exit(), crate::Exit::Configuration);
        }
    }
}
