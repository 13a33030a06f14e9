//! Programs on a terminal: the progress bar, colours, and the question before something is destroyed. The terminal is
//! that of `script` (util-linux), which gives a program one and passes on what it writes.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::support::{Folder, Station, program};

/// A program on a terminal of its own.
pub(crate) struct Terminal {
    script: Child,
    keys: ChildStdin,
    pieces: Receiver<Vec<u8>>,
    /// Everything that was written to the terminal, byte for byte.
    written: String,
}

impl Terminal {
    /// Starts a program; what follows its arguments is for the shell, for example `2>errors`.
    pub(crate) fn start(folder: &Folder, name: &str, arguments: &[&str], shell: &str) -> Self {
        Self::with(
            folder,
            name,
            arguments,
            shell,
            &[("TERM", "xterm-256color")],
        )
    }

    fn with(
        folder: &Folder,
        name: &str,
        arguments: &[&str],
        shell: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut line = format!("exec '{}'", program(name).display());
        for argument in arguments {
            line.push_str(&format!(" '{argument}'"));
        }
        line = format!("{line} {shell}");
        // The folder's environment, and `script` instead of the program.
        let template = folder.command(name, &[] as &[&str]);
        let mut script = std::process::Command::new("script");
        script
            .args([
                "--quiet",
                "--return",
                "--flush",
                "--command",
                &line,
                "/dev/null",
            ])
            .current_dir(template.get_current_dir().expect("a folder"))
            .env_clear()
            .envs(
                template
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("SHELL", "/bin/sh")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut script = script.spawn().expect("script, of util-linux, is installed");
        let keys = script.stdin.take().expect("a pipe");
        let mut screen = script.stdout.take().expect("a pipe");
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length) = screen.read(&mut piece) {
                if length == 0 || sender.send(piece[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            script,
            keys,
            pieces,
            written: String::new(),
        }
    }

    /// Waits until this was written.
    pub(crate) fn until(&mut self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.written.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.pieces.recv_timeout(left) {
                Ok(piece) => self.written.push_str(&String::from_utf8_lossy(&piece)),
                Err(_) => panic!("{text:?} never came: {:?}", self.written),
            }
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("written");
        self.keys.flush().expect("written");
    }

    /// Waits for the end: exit code, and everything that was written.
    pub(crate) fn end(mut self) -> (i32, String) {
        tokio::task::block_in_place(|| {
            let deadline = Instant::now() + Duration::from_secs(90);
            while let Ok(piece) = self
                .pieces
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                self.written.push_str(&String::from_utf8_lossy(&piece));
            }
            if Instant::now() >= deadline {
                // It has hung; without its terminal it ends.
                let _ = self.script.kill();
            }
            let status = self.script.wait().expect("an end");
            (status.code().unwrap_or(-1), self.written)
        })
    }
}

/// What stands on the screen in the end, line by line: carriage returns go back, and what is cleared is gone. Panics at
/// anything a program of this toolkit has no business to write.
fn screen(written: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut characters = written.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                if row == lines.len() {
                    lines.push(Vec::new());
                }
            }
            '\u{1b}' => {
                assert_eq!(characters.next(), Some('['), "{written:?}");
                let mut number = String::new();
                let command = loop {
                    match characters.next().expect("a command") {
                        digit if digit.is_ascii_digit() || digit == ';' => number.push(digit),
                        command => break command,
                    }
                };
                match (command, number.as_str()) {
                    ('m', _) => {}
                    ('K', "2") => lines[row].clear(),
                    ('K', "" | "0") => lines[row].truncate(column),
                    ('A', count) => row -= count.parse::<usize>().unwrap_or(1).min(row),
                    other => panic!("{other:?} in {written:?}"),
                }
            }
            other => {
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = other;
                column += 1;
            }
        }
    }
    let text = |line: Vec<char>| line.into_iter().collect::<String>().trim_end().to_owned();
    let mut lines: Vec<String> = lines.into_iter().map(text).collect();
    lines.retain(|line| !line.is_empty());
    lines
}

const NAMES: [&str; 6] = ["a-1", "a-2", "a-3", "a-4", "a-5", "a-6"];

#[tokio::test(flavor = "multi_thread")]
async fn many_items_have_a_bar_that_is_gone_in_the_end() {
    let station = Station::registered().await;
    let folder = &station.folder;
    let (code, written) = Terminal::start(folder, "create-thing", &NAMES, "").end();
    assert_eq!(code, 0, "{written}");
    assert!(written.contains("/6 things"), "{written:?}");
    let lines = screen(&written);
    let created = |line: &String| line.starts_with("a-") && line.contains("created");
    assert!(lines.iter().all(created) && lines.len() == 6, "{lines:#?}");

    // An answer that goes elsewhere is clean, and the bar is there all the same.
    let again = Terminal::start(folder, "create-thing", &NAMES, ">answer");
    let (code, written) = again.end();
    assert_eq!(code, 0, "{written}");
    assert!(written.contains("/6 things"), "{written:?}");
    assert_eq!(screen(&written), [""; 0]);
    let answer = std::fs::read_to_string(folder.path("answer")).expect("an answer");
    assert_eq!(answer.matches("unchanged").count(), 6, "{answer}");
    assert!(!answer.contains('\u{1b}'), "{answer:?}");

    // What is said meanwhile stands above the bar, whole.
    let arguments = [&NAMES[..], &["--yes"]].concat();
    let (code, written) = Terminal::start(folder, "delete-thing", &arguments, ">answer").end();
    assert_eq!(code, 0, "{written}");
    let lines = screen(&written);
    let warned = |line: &String| {
        line.starts_with("warning: a-") && line.ends_with("gets in again when it connects")
    };
    assert!(lines.iter().all(warned), "{lines:#?}");
    assert_eq!(lines.len(), 6, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bar_where_it_is_of_no_use() {
    let station = Station::registered().await;
    let folder = &station.folder;
    station.run("create-thing", &NAMES).await.ok();
    let screen_of = |arguments: &[&str], shell: &str, terminal: &str| {
        let environment = [("TERM", terminal)];
        let terminal = Terminal::with(folder, "device-status", arguments, shell, &environment);
        let (code, written) = terminal.end();
        assert_eq!(code, 0, "{written}");
        written
    };
    let bar = "things";
    assert!(screen_of(&NAMES, ">answer", "xterm").contains(bar));
    for nothing in [
        screen_of(&NAMES[..1], ">answer", "xterm"),
        screen_of(&NAMES, ">answer", "dumb"),
        screen_of(&[&NAMES[..], &["--quiet"]].concat(), ">answer", "xterm"),
        screen_of(&NAMES, ">answer 2>errors", "xterm"),
    ] {
        assert_eq!(nothing, "");
    }
    let errors = std::fs::read_to_string(folder.path("errors")).expect("stderr");
    assert_eq!(errors, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_terminals_that_want_them() {
    let station = Station::registered().await;
    let folder = &station.folder;
    let written = |name: &str, arguments: &[&str], environment: &[(&str, &str)]| {
        let (code, written) = Terminal::with(folder, name, arguments, "", environment).end();
        assert_eq!(code, 0, "{written}");
        written
    };
    let xterm = ("TERM", "xterm-256color");
    for (name, arguments) in [
        ("register", &["-vv"][..]),
        ("thing-certificates", &["-vv"]),
        ("provision", &["--help"]),
    ] {
        let escape = '\u{1b}';
        let coloured = written(name, arguments, &[xterm]);
        assert!(coloured.contains("\u{1b}["), "{name}: {coloured:?}");
        // A variable that is set to nothing, as makefiles export them, counts as not set.
        let empty = written(name, arguments, &[xterm, ("NO_COLOR", "")]);
        assert!(empty.contains("\u{1b}["), "{name}: {empty:?}");
        for environment in [[xterm, ("NO_COLOR", "1")], [("TERM", "dumb"), ("A", "")]] {
            let plain = written(name, arguments, &environment);
            assert!(!plain.contains("\u{1b}[3"), "{name}: {plain:?}");
            assert!(name != "provision" || !plain.contains(escape), "{plain:?}");
        }
        let elsewhere = station.run(name, arguments).await;
        assert!(!elsewhere.stderr.contains(escape), "{elsewhere:?}");
        assert!(!elsewhere.stdout.contains(escape), "{elsewhere:?}");
    }
    let (code, refused) = Terminal::start(folder, "provision", &["--no-such-flag"], "").end();
    assert_eq!(code, 2);
    assert!(refused.contains("\u{1b}["), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_destroyed_without_a_yes() {
    let station = Station::registered().await;
    let folder = &station.folder;
    station.run("create-thing", &["sensor"]).await.ok();
    let is_there = || {
        let state = station.core.account().snapshot();
        state.things.contains_key("sensor")
    };
    let ask = |name: &str, arguments: &[&str]| {
        let mut terminal = Terminal::start(folder, name, arguments, "");
        tokio::task::block_in_place(|| terminal.until("[y/N]"));
        terminal
    };
    // No, nothing at all, the end of input, and Ctrl-C.
    for (keys, expected) in [
        ("n\n", 1),
        ("\n", 1),
        ("yesterday\n", 1),
        ("\u{4}", 1),
        ("\u{3}", 130),
    ] {
        let mut terminal = ask("delete-thing", &["sensor"]);
        terminal.press(keys);
        let (code, written) = terminal.end();
        assert_eq!(code, expected, "{keys:?}: {written}");
        let shown = screen(&written).join("\n");
        assert!(shown.contains("sensor: delete-thing"), "{shown}");
        assert!(expected == 130 || shown.contains("nothing was done"));
        assert!(is_there(), "{keys:?}");
    }
    let mut terminal = ask("disable-certificate", &["sensor", "--revoke"]);
    terminal.press("no\n");
    assert_eq!(terminal.end().0, 1);
    let active = station.run("device-status", &["sensor"]).await.ok();
    assert_eq!(active, "sensor\tACTIVE\n");
    // Where the question would not be seen it is not asked.
    for shell in ["2>errors", "</dev/null"] {
        let (code, written) = Terminal::start(folder, "delete-thing", &["sensor"], shell).end();
        assert_eq!(code, 2, "{written}");
        assert!(is_there());
    }
    let mut terminal = ask("ca", &["delete", "root"]);
    terminal.press("n\n");
    assert_eq!(terminal.end().0, 1);
    let mut terminal = ask("delete-thing", &["sensor"]);
    terminal.press("y\n");
    let (code, written) = terminal.end();
    assert_eq!(code, 0, "{written}");
    assert!(!is_there());
}
