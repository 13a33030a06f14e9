//! Functions given by hand: `NAME=PATH` for a program, `NAME=http://…` for an endpoint.

use std::path::PathBuf;
use std::str::FromStr;

use axum::http::Uri;

/// A function given by hand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GivenFunction {
    /// The name that ends its ARN.
    pub name: String,
    /// What answers for it.
    pub source: Source,
}

/// What answers for a function.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// A program that speaks the Lambda Runtime API, or a folder with a `bootstrap` in it.
    Program(PathBuf),
    /// A web server that takes the payload by POST.
    Endpoint(Uri),
}

impl FromStr for GivenFunction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, source) = text
            .split_once('=')
            .ok_or("write NAME=PATH or NAME=http://HOST:PORT/PATH")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(format!(
                "{name:?} is no function name: 1 to 64 letters, digits, - and _"
            ));
        }
        if source.starts_with("https://") {
            return Err("an endpoint is called over http://".to_owned());
        }
        let source = if source.starts_with("http://") {
            let uri: Uri = source
                .parse()
                .map_err(|error| format!("{source} is no address: {error}"))?;
            if uri.host().is_none_or(str::is_empty) {
                return Err(format!("{source} names no host"));
            }
            Source::Endpoint(uri)
        } else {
            // Its process runs elsewhere.
            let path = std::path::absolute(source).map_err(|error| format!("{source}: {error}"))?;
            let program = match path.is_dir() {
                true => path.join("bootstrap"),
                false => path.clone(),
            };
            if !program.is_file() {
                return Err(format!("there is no program {}", program.display()));
            }
            Source::Program(path)
        };
        Ok(Self {
            name: name.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_a_name_and_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("bootstrap");
        std::fs::write(&program, "").unwrap();
        let read = |text: &str| text.parse::<GivenFunction>();
        for path in [&program, &folder.path().to_owned()] {
            let given = read(&format!("hook={}", path.display())).unwrap();
            assert_eq!(given.source, Source::Program(path.clone()));
        }
        let given = read("hook_2=http://localhost:9000/ask").unwrap();
        assert!(matches!(given.source, Source::Endpoint(_)));
        for wrong in [
            "hook",
            "=/bin/true",
            "a b=/bin/true",
            "hook=/nowhere/at/all",
            "hook=https://example.com",
            "hook=http://",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
