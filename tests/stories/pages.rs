//! Pages whose commands run as written.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{PROGRAMS, program};
use crate::templates::with_what_a_fleet_needs;

/// What stands in the blocks `sh` of a page, in its order.
fn commands(page: &str) -> String {
    let mut inside = false;
    let mut commands = String::new();
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                commands.push_str(line);
                commands.push('\n');
            }
            _ => {}
        }
    }
    commands
}

#[tokio::test(flavor = "multi_thread")]
async fn provisioning_by_claim() {
    let station = with_what_a_fleet_needs().await;
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["etc", "policies"] {
        let link = station.folder.path(folder);
        symlink(repository.join(folder), link).expect("linked");
    }
    let programs = station.folder.path("bin");
    std::fs::create_dir(&programs).expect("a folder");
    for name in PROGRAMS {
        symlink(program(name), programs.join(name)).expect("linked");
    }
    // What it makes is there already, and not everybody has it.
    std::fs::write(programs.join("aws"), "#!/bin/sh\nexit 0\n").expect("written");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(programs.join("aws"), executable).expect("executable");

    let script = commands(include_str!("../../docs/fleet-provisioning.md"));
    assert!(script.lines().count() >= 15, "{script}");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = std::process::Command::new("sh")
        .args(["-e", "-x", "-c", &script])
        .current_dir(station.folder.path(""))
        .env_clear()
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("HOME", station.folder.path(""))
        .envs(station.core.environment())
        .output();
    let output = tokio::task::block_in_place(|| output.expect("a shell"));
    let (said, shown) = (
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    );
    assert!(output.status.success(), "{said}\n{shown}");
    assert!(shown.contains("iot-123\tprovisioned\t"), "{shown}");
    assert!(shown.contains("iot-123\trenewed\t"), "{shown}");
    assert!(shown.contains("template\tfleet\ttorn-down"), "{shown}");
    assert!(station.core.account().snapshot().things.is_empty());
}

#[test]
fn every_command_of_a_page_is_called_where_make_puts_it() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![repository.join("README.md")];
    for entry in std::fs::read_dir(repository.join("docs")).expect("the pages") {
        pages.push(entry.expect("a page").path());
    }
    let mut called = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a text");
        for line in commands(&text).lines() {
            // What a shell takes for the name of a command: the first word, and those after an operator.
            for command in line.split(['|', ';', '&', '(', '\'', '"']) {
                let name = command.split_whitespace().next().unwrap_or_default();
                called += usize::from(name.starts_with("./bin/"));
                assert!(!PROGRAMS.contains(&name), "{}: {line}", page.display());
            }
        }
    }
    assert!(called > 30, "{called} commands");
}
