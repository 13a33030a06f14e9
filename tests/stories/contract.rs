//! What a script can rely on, for every program.

use jitp_core::mqtt::{AMAZON_ROOT_FINGERPRINTS, Trust};
use serde_json::Value;

use crate::support::{Folder, PROGRAMS};

#[test]
fn every_program_explains_itself_with_examples() {
    let folder = Folder::new();
    for program in PROGRAMS {
        let help = folder.run(program, &["--help"]).ok();
        assert!(help.contains("Example"), "{program}: {help}");
        assert!(help.contains("--output"), "{program}: {help}");
        assert!(
            !help.starts_with("Flags"),
            "{program} says what it does: {help}"
        );
        let version = folder.run(program, &["--version"]).ok();
        assert!(version.starts_with(program), "{version}");
    }
    assert_eq!(folder.files(), Vec::<String>::new());
}

#[test]
fn help_texts_change_only_on_purpose() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}

#[test]
fn wrong_usage_ends_with_2_and_says_so_on_stderr_alone() {
    let folder = Folder::new();
    for program in PROGRAMS {
        let stderr = folder.run(program, &["--no-such-flag"]).fails(2);
        assert!(stderr.contains("--no-such-flag"), "{program}: {stderr}");
    }
}

#[test]
fn in_json_mode_every_error_is_one_object() {
    let mut folder = Folder::new();
    folder.set("JITP_OUTPUT", "json");
    for (program, arguments, code) in [
        ("provision", vec!["sensor"], 4),
        ("provision", vec![], 2),
        ("register", vec![], 4),
        ("pub", vec!["sensor", "hello"], 4),
        ("sub", vec!["sensor"], 4),
        ("create-thing", vec!["sensor"], 4),
        ("delete-thing", vec!["sensor"], 2),
        ("enable-certificate", vec!["not a name"], 2),
        ("disable-certificate", vec!["sensor", "--revoke"], 2),
        ("device-status", vec!["sensor"], 3),
        ("thing-certificates", vec![], 3),
        ("sweep", vec!["--delete"], 2),
        ("ca", vec!["list"], 3),
        ("fleet-provision", vec!["sensor", "--template", "fleet"], 4),
        (
            "fleet-provision",
            vec!["sensor", "--template", "fleet", "--parameter", "License"],
            2,
        ),
        ("needs-renewal", vec!["sensor"], 4),
        ("create-claim", vec!["fleet"], 3),
        ("template", vec!["list"], 3),
        ("template", vec!["lint", "missing.json"], 3),
        ("teardown", vec!["fleet"], 2),
        ("create-root", vec!["root", "Luxembourg"], 2),
        ("create-root", vec!["root", "--validity", "0"], 2),
        ("create-intermediate", vec!["line"], 4),
        ("create-intermediate", vec!["line", "--prefix", "a"], 2),
        ("register", vec!["--role-arn", "nonsense"], 2),
        ("environment", vec!["apply", "fleet"], 2),
        ("environment", vec!["destroy", "fleet"], 2),
        ("environment", vec!["plan", "fleet", "--no-hook"], 3),
        ("queue", vec!["status"], 3),
        ("deploy", vec!["missing.yaml", "--stack", "other"], 3),
        ("deploy", vec!["missing.yaml"], 2),
        ("deploy", vec!["--delete"], 2),
        ("deploy", vec!["--stack", "no_name"], 2),
        ("queue", vec!["drain", "no name", "--count", "1"], 2),
        ("queue", vec!["pause", "--topic", "no/topic"], 3),
    ] {
        let ended = folder.run(program, &arguments);
        let stderr = ended.fails(code);
        let error: Value = serde_json::from_str(&stderr)
            .unwrap_or_else(|_| panic!("{program} {arguments:?}: {stderr}"));
        let error = &error["error"];
        for member in ["code", "message", "hint", "retryable", "requestId"] {
            assert!(error.get(member).is_some(), "{program}: {stderr}");
        }
        assert_eq!(error["retryable"], false, "{program}: {stderr}");
    }
}

#[test]
fn the_readme_lists_every_environment_variable_and_exit_code() {
    let readme = include_str!("../../README.md");
    for variable in jitp_cli::environment::VARIABLES {
        let row = format!("| `{}` | {} |", variable.name, variable.meaning);
        assert!(readme.contains(&row), "missing in the README: {row}");
    }
    for code in 0..=10 {
        assert!(
            readme.contains(&format!("\n| {code} | ")),
            "exit code {code}"
        );
    }
}

#[test]
fn the_root_files_are_the_roots_in_the_programs() {
    let mut fingerprints: Vec<String> = std::fs::read_dir("etc/trust")
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pem"))
        .flat_map(|path| {
            let pem = std::fs::read(&path).expect("readable");
            Trust::from_pem(&pem, "file")
                .expect("a root")
                .fingerprints()
        })
        .collect();
    let mut built_in = Trust::amazon_roots().fingerprints();
    fingerprints.sort();
    built_in.sort();
    assert_eq!(fingerprints, built_in);
    assert_eq!(built_in.len(), AMAZON_ROOT_FINGERPRINTS.len());
}
