//! What this process uses of the machine, and what the machine allows it.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// CPU time of this process, all threads.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Most resident memory this process ever had, in bytes; 0 if the system does not say.
pub(crate) fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    kilobytes(&status, "VmHWM:").unwrap_or(0) * 1024
}

/// Memory that can still be used, in bytes; none if the system does not say.
fn available_memory() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    Some(kilobytes(&info, "MemAvailable:")? * 1024)
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// What stands in the way of so many devices in one process.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// Each connection is an open file.
    #[error("{devices} devices need {needed} open files, and this process may have {allowed}")]
    Files {
        /// Devices.
        devices: u64,
        /// Open files they need, with some for the process itself.
        needed: u64,
        /// The hard limit.
        allowed: u64,
    },
    /// Each connection to one address takes a port of the local address.
    #[error("{devices} devices need as many ports, and {sources} local address(es) have {allowed}")]
    Ports {
        /// Devices.
        devices: u64,
        /// Local addresses to connect from.
        sources: u64,
        /// Ports of all of them.
        allowed: u64,
    },
    /// An address that is none of this machine's.
    #[error("cannot connect from {address}: {detail}")]
    Source {
        /// The address.
        address: IpAddr,
        /// What the operating system said.
        detail: String,
    },
    /// Each connection takes memory.
    #[error("{devices} devices need about {needed} MB of memory, and {available} MB are free")]
    Memory {
        /// Devices.
        devices: u64,
        /// Megabytes.
        needed: u64,
        /// Megabytes.
        available: u64,
    },
}

impl LimitError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Files { needed, .. } => format!(
                "raise the limit first: ulimit -Hn {needed} as root, LimitNOFILE={needed} for a service, or --ulimit nofile={needed} for a container; or spread the devices over processes with --shard"
            ),
            Self::Ports { devices, .. } => format!(
                "connect from several addresses, such as --source 127.0.0.1-127.0.0.{} for a broker on this machine, or widen the range: sysctl -w net.ipv4.ip_local_port_range='1024 65535'",
                devices.div_ceil(PORTS_OF_AN_ADDRESS).clamp(2, 254)
            ),
            Self::Source { .. } => {
                "--source takes addresses of this machine (ip address lists them; all of 127.0.0.0/8 for a broker on this machine), of the family of the endpoint's".to_owned()
            }
            Self::Memory { .. } => {
                "take fewer devices, or spread them over machines with --shard".to_owned()
            }
        }
    }
}

/// Ports Linux gives to outgoing connections unless told otherwise.
const PORTS_OF_AN_ADDRESS: u64 = 28_232;
/// Open files of the process itself.
const FILES: u64 = 64;
/// Memory of a device while it connects, in bytes, with the kernel's part.
const DEVICE: u64 = 24 * 1024;

/// Raises the soft limit of open files as far as needed, and looks whether ports and memory suffice.
///
/// # Errors
/// The first limit that is too low.
pub fn make_room(devices: u64, sources: usize) -> Result<(), LimitError> {
    let needed = devices + FILES;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    if needed > most {
        return Err(LimitError::Files {
            devices,
            needed,
            allowed: most,
        });
    }
    if limit.current.is_some_and(|current| current < needed) {
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        // A soft limit may be raised to the hard one; where that fails, connecting says so.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ports = ports(&range).unwrap_or(PORTS_OF_AN_ADDRESS);
    let sources = sources.max(1) as u64;
    if devices > ports * sources {
        return Err(LimitError::Ports {
            devices,
            sources,
            allowed: ports * sources,
        });
    }
    match available_memory() {
        Some(available) if devices * DEVICE > available => Err(LimitError::Memory {
            devices,
            needed: devices * DEVICE / 1_000_000,
            available: available / 1_000_000,
        }),
        _ => Ok(()),
    }
}

/// Looks whether connections can be made from these local addresses.
///
/// # Errors
/// [`LimitError::Source`], of the first from which they cannot.
pub fn check_sources(sources: &[IpAddr]) -> Result<(), LimitError> {
    for &address in sources {
        // Nothing is sent, and no port of TCP is taken.
        UdpSocket::bind((address, 0)).map_err(|error| LimitError::Source {
            address,
            detail: error.to_string(),
        })?;
    }
    Ok(())
}

/// How many ports a range such as `32768 60999` has.
fn ports(range: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    Some(last.checked_sub(first)? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        assert!(cpu_time() > Duration::ZERO);
        assert!(peak_memory() > 1_000_000);
    }

    #[test]
    fn an_address_of_another_machine_is_no_source() {
        check_sources(&["127.0.0.1", "127.0.0.77"].map(|text| text.parse().unwrap())).unwrap();
        // Of documentation (RFC 5737): no machine has it.
        let foreign = ["127.0.0.1", "192.0.2.1"].map(|text| text.parse().unwrap());
        let error = check_sources(&foreign).unwrap_err();
        let told = error.to_string();
        assert!(
            told.starts_with("cannot connect from 192.0.2.1: "),
            "{told}"
        );
        assert!(error.remedy().contains("--source"));
    }

    #[test]
    fn a_billion_devices_are_refused_with_the_way_out() {
        let error = make_room(1_000_000_000, 1).unwrap_err();
        assert!(error.to_string().starts_with("1000000000 devices need"));
        assert!(!error.remedy().is_empty());
        make_room(10, 1).unwrap();
        assert_eq!(ports("32768\t60999\n"), Some(28_232));
        assert_eq!(ports("9 1"), None);
    }
}
