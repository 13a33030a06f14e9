//! What a process has used: CPU time and resident memory, as the kernel counts them.

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use jitp_bench::Result;

/// Clock ticks a second in /proc/PID/stat: 100 on every architecture Linux is built for today (man 5 proc).
const TICKS: u64 = 100;

/// A server of ours or of theirs. It ends with this value.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {command:?}: {error}"))?;
        Ok(Self(child))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// User and system time of all its threads, to 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration> {
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
    pub(crate) fn memory(&self) -> Result<u64> {
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
