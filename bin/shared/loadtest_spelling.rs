//! The spelling of the shell toolkit's load test: `loadtest -setup -loadtest -subscribers 3 -producers 10`.

use std::ffi::OsString;

/// The arguments as this program spells them; the program's name comes first. Those that are not of the old spelling are
/// left as they are.
pub(super) fn modern(arguments: Vec<OsString>) -> Vec<OsString> {
    let has = |flag: &str| arguments.iter().skip(1).any(|argument| argument == flag);
    let (setup, run) = (has("-setup"), has("-loadtest"));
    if !setup && !run {
        return arguments;
    }
    let mut arguments = arguments.into_iter();
    let mut modern: Vec<OsString> = arguments.next().into_iter().collect();
    modern.push(if run { "run" } else { "setup" }.into());
    if setup && run {
        modern.push("--setup".into());
    }
    modern.extend(arguments.filter_map(|argument| match argument.to_str() {
        Some("-setup" | "-loadtest") => None,
        Some("-producers" | "-publishers") => Some("--publishers".into()),
        Some("-subscribers") => Some("--subscribers".into()),
        _ => Some(argument),
    }));
    modern
}
