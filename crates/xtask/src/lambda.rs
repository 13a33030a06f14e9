//! Builds a function for AWS Lambda with plain cargo, and packs it: for this machine's architecture, an executable
//! called `bootstrap`, checked to start on Amazon Linux 2023.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::Endianness;
use object::elf;
use object::read::elf::{ElfFile64, FileHeader};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The functions of `crates/lambda`.
const FUNCTIONS: [&str; 2] = [PRE_PROVISION, "process-queue"];
const PRE_PROVISION: &str = "pre-provision";

/// The newest glibc that the runtime `provided.al2023` has.
const NEWEST_GLIBC: Version = Version(2, 34);

/// A version of glibc's interface.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Version(u32, u32);

/// Builds every function into `FUNCTION/bootstrap` and `FUNCTION.zip` of a folder, by default `target/lambda`; the allow
/// list goes along with the hook, if there is one.
pub(crate) fn build(allow_list: Option<&Path>, folder: Option<&Path>) -> Result<()> {
    let allow_list = match allow_list {
        Some(path) => {
            Some(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?)
        }
        None => None,
    };
    let target = target_folder()?;
    let packages = folder.map_or_else(|| target.join("lambda"), Path::to_owned);
    for function in FUNCTIONS {
        let executable = compile(function, &target)?;
        let name = executable.display();
        let bytes = fs::read(&executable).with_context(|| format!("cannot read {name}"))?;
        check_glibc(&bytes).with_context(|| format!("{name} would not start in Lambda"))?;
        let folder = packages.join(function);
        fs::create_dir_all(&folder)?;
        put(&folder.join("bootstrap"), &executable)?;
        let allow_list = allow_list.as_deref().filter(|_| function == PRE_PROVISION);
        let package = pack(&bytes, allow_list)?;
        let path = packages.join(format!("{function}.zip"));
        fs::write(&path, package).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("wrote {} ({})", path.display(), architecture(&bytes)?);
    }
    Ok(())
}

fn target_folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("CARGO_TARGET_DIR") {
        return Ok(folder.into());
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Ok(workspace.canonicalize()?.join("target"))
}

fn compile(function: &str, target: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "jitp-lambda",
            "--bin",
            function,
        ])
        // A function that aborts takes its process down with it; one that unwinds answers with an error.
        .args(["--config", "profile.release.panic='unwind'"])
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("cargo build of {function} failed");
    }
    Ok(target.join("release").join(function))
}

/// By rename, so that one that is running goes on undisturbed.
fn put(path: &Path, executable: &Path) -> Result<()> {
    let new = path.with_extension("new");
    fs::copy(executable, &new)?;
    fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}

/// The same package for the same contents, byte for byte.
fn pack(executable: &[u8], allow_list: Option<&[u8]>) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default());
    zip.start_file("bootstrap", options.unix_permissions(0o755))?;
    zip.write_all(executable)?;
    if let Some(list) = allow_list {
        zip.start_file("allow-list.json", options.unix_permissions(0o644))?;
        zip.write_all(list)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// Lambda's word for the architecture of an executable.
fn architecture(executable: &[u8]) -> Result<&'static str> {
    let file = ElfFile64::<Endianness>::parse(executable)?;
    match file.elf_header().e_machine(file.endian()) {
        elf::EM_X86_64 => Ok("x86_64"),
        elf::EM_AARCH64 => Ok("arm64"),
        other => bail!("Lambda has no machines of ELF type {other}"),
    }
}

/// An executable that needs a newer glibc ends before its first instruction, and Lambda says little of why.
fn check_glibc(executable: &[u8]) -> Result<()> {
    architecture(executable)?;
    let newer: Vec<String> = needed(executable)?
        .into_iter()
        .filter(|(_, version)| *version > NEWEST_GLIBC)
        .map(|(symbol, Version(major, minor))| format!("{symbol} (glibc {major}.{minor})"))
        .collect();
    if !newer.is_empty() {
        bail!(
            "it needs {}, and Amazon Linux 2023 has glibc {}.{}; build it on a distribution with an older glibc, or \
             with cargo-lambda, which brings one along: cargo lambda build --release --package jitp-lambda --output-format zip",
            newer.join(", "),
            NEWEST_GLIBC.0,
            NEWEST_GLIBC.1
        );
    }
    Ok(())
}

/// The symbols taken from glibc, each with the version of it that has them.
fn needed(executable: &[u8]) -> Result<Vec<(String, Version)>> {
    let header = elf::FileHeader64::<Endianness>::parse(executable)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, executable)?;
    let symbols = sections.symbols(endian, executable, elf::SHT_DYNSYM)?;
    let Some(versions) = sections.versions(endian, executable)? else {
        bail!("it is not linked dynamically against glibc, or says nothing of versions");
    };
    let mut found = Vec::new();
    for (index, symbol) in symbols.enumerate() {
        let version = versions.version(versions.version_index(endian, index).index())?;
        let version = version.map(|version| String::from_utf8_lossy(version.name()).into_owned());
        let Some(version) = version.as_deref().and_then(glibc_version) else {
            continue;
        };
        let name = symbols.symbol_name(endian, symbol)?;
        found.push((String::from_utf8_lossy(name).into_owned(), version));
    }
    Ok(found)
}

/// `GLIBC_2.34` as a version.
fn glibc_version(name: &str) -> Option<Version> {
    let mut numbers = name.strip_prefix("GLIBC_")?.split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some(Version(major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(glibc_version("GLIBC_2.2.5"), Some(Version(2, 2)));
        assert_eq!(glibc_version("GLIBC_PRIVATE"), None);
        assert_eq!(glibc_version("OPENSSL_3.0.0"), None);
        assert!(glibc_version("GLIBC_2.4") < glibc_version("GLIBC_2.34"));
    }

    #[test]
    fn what_an_executable_takes_from_glibc_is_found() {
        let this_test = fs::read(std::env::current_exe().unwrap()).unwrap();
        let needed = needed(&this_test).unwrap();
        let start = needed.iter().find(|(name, _)| name == "__libc_start_main");
        assert!(start.is_some(), "{needed:?}");
        assert!(check_glibc(b"#!/bin/sh").is_err());
    }

    #[test]
    fn a_package_is_the_same_each_time_and_its_executable_can_be_started() {
        let package = pack(b"program", Some(b"{}")).unwrap();
        assert_eq!(package, pack(b"program", Some(b"{}")).unwrap());
        let mut zip = zip::ZipArchive::new(Cursor::new(package)).unwrap();
        let names: Vec<String> = zip
            .file_names()
            .map(|name| name.unwrap().into_owned())
            .collect();
        assert_eq!(names, ["bootstrap", "allow-list.json"]);
        let mode = zip.by_name("bootstrap").unwrap().unix_mode().unwrap();
        assert_eq!(mode & 0o777, 0o755);
    }
}
