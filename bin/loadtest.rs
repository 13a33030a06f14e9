//! The load test, linked with no more than a fleet takes that has its certificates: most of what a program could do is in
//! memory as soon as it runs. For all else `loadtest-full` goes on.

#[path = "shared/loadtest_hand_over.rs"]
mod hand_over;
#[path = "shared/loadtest.rs"]
mod program;
#[path = "shared/station.rs"]
mod station;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::run::<hand_over::HandOver>()
}
