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
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The name in parentheses may hold anything; what follows it are numbers, utime and stime the 14th and 15th.
        let (_, numbers) = stat
            .rsplit_once(')')
            .ok_or("/proc/PID/stat reads strangely")?;
        let mut numbers = numbers.split_ascii_whitespace().skip(11);
        let mut next =
            || -> Result<u64> { Ok(numbers.next().ok_or("a number is missing")?.parse()?) };
        let ticks = next()? + next()?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS))
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

/// User and system time of the children that have ended, in steps of 10 ms; what a run falls short of a step, the
/// next one makes good. Fields 16 and 17 of /proc/PID/stat, in hundredths of a second (man 5 proc).
///
/// # Errors
/// /proc reads strangely.
pub fn cpu_of_children() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, numbers) = stat
        .rsplit_once(')')
        .ok_or("/proc/self/stat reads strangely")?;
    let mut ticks = 0;
    for number in numbers.split_ascii_whitespace().skip(13).take(2) {
        ticks += number.parse::<u64>()?;
    }
    Ok(Duration::from_millis(ticks * 10))
}
