//! Chores of the developers: regenerates what is extracted from elsewhere and checked in.
//!
//! `cargo run -p xtask -- model PATH_TO_BOTOCORE_DATA` rewrites `crates/local/model/*.json` from an
//! installation of botocore, for example `VENV/lib/python3.11/site-packages/botocore/data`.
//! `cargo run -p xtask -- lambda [ALLOW_LIST [FOLDER]]` builds and packs the functions of `crates/lambda` into a folder,
//! by default `target/lambda`.

mod lambda;
mod model;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [chore, data] if chore == "model" => model::extract(Path::new(data)),
        [chore, rest @ ..] if chore == "lambda" && rest.len() <= 2 => {
            let mut rest = rest.iter().map(Path::new);
            lambda::build(rest.next(), rest.next())
        }
        _ => {
            eprintln!(
                "usage: cargo run -p xtask -- model PATH_TO_BOTOCORE_DATA | lambda [ALLOW_LIST [FOLDER]]"
            );
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
