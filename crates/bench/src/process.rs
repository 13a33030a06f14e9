//! What a process has used: CPU time and resident memory, as the kernel counts them.

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use crate::Result;

/// Clock ticks a second in /proc/PID/stat: 100 on every architecture Linux is built for today (man 5 proc).
const TICKS: u64 = 100;

/// A server of ours or of theirs. It ends with this value.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {command:?}: {error}"))?;
        Ok(Self(child))
    }

    /// The process itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// User and system time of all its threads, to 10 ms.
    ///
    /// # Errors
    /// It has ended, or /proc reads strangely.
    pub fn cpu(&self) -> Result<Duration> {
        cpu(&self.0.id().to_string(), 14)
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// It has ended, or /proc reads strangely.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib
            .ok_or("no VmRSS in /proc/PID/status")?
            .trim()
            .parse::<u64>()?
            * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// User and system time of this process, to 10 ms.
///
/// # Errors
/// /proc reads strangely.
pub fn cpu_of_this_process() -> Result<Duration> {
    cpu("self", 14)
}

/// User and system time of the children that have ended, in steps of 10 ms; what a run falls short of a step, the
/// next one makes good.
///
/// # Errors
/// /proc reads strangely.
pub fn cpu_of_children() -> Result<Duration> {
    cpu("self", 16)
}

/// User and system time of the processes that a process has started and that still run, to 10 ms each.
///
/// # Errors
/// /proc reads strangely.
pub fn cpu_of_children_of(process: &Process) -> Result<Duration> {
    let parent = process.0.id().to_string();
    let mut all = Duration::ZERO;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        // One that ends meanwhile counts for nothing.
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
        let mut fields = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_ascii_whitespace();
        if is_number && fields.nth(1) == Some(parent.as_str()) {
            all += cpu(&name, 14).unwrap_or_default();
        }
    }
    Ok(all)
}

/// The sum of two neighbouring fields of /proc/PID/stat, which are times in clock ticks; counted from 1, as man 5 proc
/// does. The second one, the name in parentheses, may hold anything.
fn cpu(process: &str, first: usize) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, from_third) = stat
        .rsplit_once(')')
        .ok_or("/proc/PID/stat reads strangely")?;
    let mut ticks = 0;
    for number in from_third.split_ascii_whitespace().skip(first - 3).take(2) {
        ticks += number.parse::<u64>()?;
    }
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}
