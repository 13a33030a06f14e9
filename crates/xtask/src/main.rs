//! Chores of the developers: regenerates what is extracted from elsewhere and checked in.
//!
//! `cargo run -p xtask -- model PATH_TO_BOTOCORE_DATA` rewrites `crates/local/model/*.json` from an
//! installation of botocore, for example `VENV/lib/python3.11/site-packages/botocore/data`.
//! `cargo run -p xtask -- lambda [ALLOW_LIST]` builds and packs the functions of `crates/lambda` into `target/lambda`.

mod lambda;
mod model;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [chore, data] if chore == "model" => model::extract(Path::new(data)),
        [chore] if chore == "lambda" => lambda::build(None),
        [chore, allow_list] if chore == "lambda" => lambda::build(Some(Path::new(allow_list))),
        _ => {
            eprintln!(
                "usage: cargo run -p xtask -- model PATH_TO_BOTOCORE_DATA | lambda [ALLOW_LIST]"
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
