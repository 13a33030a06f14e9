//! Links OpenSSL and GCC's unwinder into the programs of a release, where the system has them as archives.
//!
//! A program then starts in three quarters of the time, and runs where no OpenSSL is installed. Without the archives, when
//! cross-compiling, and with `OPENSSL_STATIC=0` in the environment (the switch of the openssl-sys crate), they stay what
//! they are: libraries that are loaded when the program starts.

use std::{env, fs, io, path::Path, process::Command};

/// Libraries as they are linked, and the archives that stand in for each.
const ARCHIVES: [(&str, &[&str]); 3] = [
    ("ssl", &["libssl.a"]),
    ("crypto", &["libcrypto.a"]),
    ("gcc_s", &["libgcc_eh.a", "libgcc.a"]),
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=OPENSSL_STATIC");
    let variable = |name| env::var(name).unwrap_or_default();
    let wanted = variable("PROFILE") == "release"
        && variable("CARGO_CFG_TARGET_OS") == "linux"
        && variable("CARGO_CFG_TARGET_ENV") == "gnu"
        && variable("HOST") == variable("TARGET")
        && variable("OPENSSL_STATIC") != "0";
    if !wanted {
        return Ok(());
    }
    let archives = ARCHIVES.map(|(library, names)| {
        let paths: Option<Vec<_>> = names.iter().map(|name| find(name)).collect();
        Some((library, paths?.join(" ")))
    });
    // All or none: half of OpenSSL as an archive would bring the other half's library, and with it all of it twice.
    let Some(archives) = archives.into_iter().collect::<Option<Vec<_>>>() else {
        return Ok(());
    };
    let dir = variable("OUT_DIR");
    for (library, paths) in archives {
        // A linker takes a text for a library, too, and reads in it what to link instead.
        let script = format!("GROUP ( {paths} )\n");
        fs::write(Path::new(&dir).join(format!("lib{library}.so")), script)?;
    }
    // It is looked for here before it is looked for in the system's folders.
    println!("cargo::rustc-link-arg-bins=-L{dir}");
    Ok(())
}

/// Where the C compiler finds an archive. It answers with the bare name if it finds none.
fn find(archive: &str) -> Option<String> {
    let output = Command::new("cc")
        .arg(format!("-print-file-name={archive}"))
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    Path::new(&path).is_absolute().then_some(path)
}
