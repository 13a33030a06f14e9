//! The zip file of a hook, looked at before anything is made: whether AWS Lambda could start it.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::documents::Hook;

/// What a provided runtime starts (AWS Lambda developer guide, "Building a custom runtime").
const PROGRAM: &str = "bootstrap";

/// First bytes of a program for Linux, and the field that says for which processor (ELF-64 object file format).
const ELF: [u8; 4] = *b"\x7fELF";
const MACHINE: usize = 18;
const MACHINES: [(u16, &str); 2] = [(62, "x86_64"), (183, "arm64")];

/// Why a hook could not be a function of AWS Lambda.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// Not a zip file, or a damaged one.
    #[error("the hook's package is no zip file: {0}")]
    NoZip(String),
    /// Nothing that could be started.
    #[error(
        "the hook's package has no program bootstrap at its top, which is what AWS Lambda starts"
    )]
    NoProgram,
    /// A program that may not be started.
    #[error("bootstrap in the hook's package is not executable: its mode is {0:o}")]
    NotExecutable(u32),
    /// A program for another processor.
    #[error(
        "bootstrap in the hook's package is built for {found}, and the function is to be {wanted}"
    )]
    OtherArchitecture {
        /// What it is built for.
        found: String,
        /// What is asked for.
        wanted: String,
    },
    /// A variable that a function cannot have.
    #[error("a function of AWS Lambda cannot have the variable {name:?}: {why}")]
    Variable {
        /// Its name.
        name: String,
        /// Why not.
        why: &'static str,
    },
}

impl Hook {
    /// Whether AWS Lambda could start it.
    ///
    /// # Errors
    /// [`HookError`], with what is in the way.
    pub fn check(&self) -> Result<(), HookError> {
        self.variables.keys().try_for_each(|name| variable(name))?;
        let no_zip = |error: &dyn std::fmt::Display| HookError::NoZip(error.to_string());
        let archive = ZipArchive::new(Cursor::new(self.package.as_slice()));
        let mut archive = archive.map_err(|error| no_zip(&error))?;
        let program = archive.by_name(PROGRAM).map_err(|_| HookError::NoProgram)?;
        if !program.is_file() {
            return Err(HookError::NoProgram);
        }
        // Whoever packs without modes leaves it to Lambda, which is not known to refuse that.
        if let Some(mode) = program.unix_mode()
            && mode & 0o111 == 0
        {
            return Err(HookError::NotExecutable(mode & 0o777));
        }
        let mut start = Vec::new();
        let read = program.take(MACHINE as u64 + 2).read_to_end(&mut start);
        read.map_err(|error| no_zip(&error))?;
        match architecture(&start) {
            Some(found) if found != self.architecture => Err(HookError::OtherArchitecture {
                found,
                wanted: self.architecture.clone(),
            }),
            // A script runs anywhere.
            _ => Ok(()),
        }
    }
}

/// What a program is built for, if it is one of machine code.
fn architecture(start: &[u8]) -> Option<String> {
    let machine = start.get(MACHINE..MACHINE + 2)?;
    if !start.starts_with(&ELF) {
        return None;
    }
    let machine = u16::from_le_bytes([machine[0], machine[1]]);
    let known = MACHINES.iter().find(|(number, _)| *number == machine);
    Some(known.map_or_else(
        || format!("machine {machine}"),
        |(_, name)| (*name).to_owned(),
    ))
}

/// `[a-zA-Z]([a-zA-Z0-9_])+`, and not one of the runtime's own (AWS Lambda API reference, "Environment", and developer
/// guide, "Defined runtime environment variables").
fn variable(name: &str) -> Result<(), HookError> {
    let refuse = |why| {
        let name = name.to_owned();
        Err(HookError::Variable { name, why })
    };
    let letters = name.starts_with(|first: char| first.is_ascii_alphabetic());
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !letters || name.len() < 2 || !name.bytes().all(alphabet) {
        return refuse("its name is two or more letters, digits and _, a letter first");
    }
    if name.starts_with("AWS_") || name.starts_with("LAMBDA_") {
        return refuse("names that start with AWS_ and LAMBDA_ are the runtime's own");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn hook(name: &str, mode: u32, program: &[u8]) -> Hook {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().unix_permissions(mode);
        zip.start_file(name, options).unwrap();
        zip.write_all(program).unwrap();
        Hook {
            package: zip.finish().unwrap().into_inner(),
            architecture: "x86_64".to_owned(),
            variables: BTreeMap::new(),
        }
    }

    fn program_for(machine: u8) -> Vec<u8> {
        let mut program = b"\x7fELF".to_vec();
        program.resize(64, 0);
        program[MACHINE] = machine;
        program
    }

    #[test]
    fn a_program_and_a_script_are_hooks() {
        assert_eq!(hook("bootstrap", 0o755, b"#!/bin/sh\n").check(), Ok(()));
        assert_eq!(hook("bootstrap", 0o755, &program_for(62)).check(), Ok(()));
    }

    #[test]
    fn what_lambda_could_not_start_is_named() {
        let arm = HookError::OtherArchitecture {
            found: "arm64".to_owned(),
            wanted: "x86_64".to_owned(),
        };
        assert_eq!(
            hook("bootstrap", 0o755, &program_for(183)).check(),
            Err(arm)
        );
        let mode = HookError::NotExecutable(0o644);
        assert_eq!(hook("bootstrap", 0o644, b"#!/bin/sh\n").check(), Err(mode));
        let elsewhere = hook("bin/bootstrap", 0o755, b"#!/bin/sh\n");
        assert_eq!(elsewhere.check(), Err(HookError::NoProgram));
        let mut whole = hook("bootstrap", 0o755, b"#!/bin/sh\n");
        whole.package.truncate(whole.package.len() / 2);
        assert!(matches!(whole.check(), Err(HookError::NoZip(_))));
        whole.package.clear();
        assert!(matches!(whole.check(), Err(HookError::NoZip(_))));
    }

    #[test]
    fn variables_are_those_that_a_function_can_have() {
        for (name, good) in [
            ("ALLOW_TABLE", true),
            ("A", false),
            ("1A", false),
            ("A-B", false),
            ("AWS_REGION", false),
            ("LAMBDA_TASK_ROOT", false),
            ("LÄNGE", false),
        ] {
            assert_eq!(variable(name).is_ok(), good, "{name}");
        }
    }
}
