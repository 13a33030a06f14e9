//! Handing over to the program beside this one that does more: it takes this one's place, with the same arguments.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use jitp_cli::{Common, Failure, Result};
use jitp_cloud::CloudSettings;
use jitp_core::failure::Class;
use jitp_loadtest::{Bodies, Claim, Identities, Scenario, Shard};

use crate::program::{Beyond, CaFlags, ClaimFlags, Ready, Why};

/// The program that goes on.
const FULL: &str = "loadtest-full";

/// Nothing of it is here: who would do it is replaced by the program that can.
pub(super) enum HandOver {}

impl Beyond for HandOver {
    fn is_needed(why: Why) -> Result<()> {
        Err(hand_over(why))
    }

    async fn endpoint(_: &CloudSettings) -> Result<String> {
        Err(hand_over(Why::Endpoint))
    }

    async fn find_queue(_: &str, _: &CloudSettings) -> Result<()> {
        Err(hand_over(Why::Queue))
    }

    fn consume(_: &str, _: &CloudSettings, _: &Common) -> Result<Bodies> {
        Err(hand_over(Why::Queue))
    }

    async fn issue(_: &Scenario, _: &CaFlags, _: &Common) -> Result<Ready> {
        Err(hand_over(Why::Certificates))
    }

    async fn fresh(
        _: &Scenario,
        _: Option<Shard>,
        _: &CaFlags,
        _: &Common,
    ) -> Result<Box<dyn Identities>> {
        Err(hand_over(Why::Certificates))
    }

    fn claim(_: &ClaimFlags, _: &Common) -> Result<Claim> {
        Err(hand_over(Why::Claim))
    }
}

/// Returns only if there is nobody to hand over to.
fn hand_over(why: Why) -> Failure {
    let here = match std::env::current_exe() {
        Ok(here) => here,
        Err(error) => return Failure::io("cannot tell where this program is", &error),
    };
    let folder = here.parent().unwrap_or(Path::new("/"));
    let mut arguments = std::env::args_os();
    // By the name that this program was called by, so that it is one program to whoever reads what it says.
    let name = arguments.next().unwrap_or_default();
    let error = Command::new(folder.join(FULL))
        .arg0(name)
        .args(arguments)
        .exec();
    let what = match why {
        Why::Endpoint => "asking AWS for the endpoint",
        Why::Queue => "looking into the scenario's queue",
        Why::Certificates => "issuing certificates",
        Why::Claim => "getting identities by claim",
    };
    let folder = folder.display();
    let message = format!("{what} takes {FULL}, which cannot be started in {folder}: {error}");
    let hint = match why {
        Why::Endpoint => "or name the endpoint: --endpoint or AWS_IOT_ENDPOINT",
        Why::Queue | Why::Certificates | Why::Claim => "as make install does",
    };
    Failure::new(Class::Configuration, message)
        .hint(format!("put it there, beside this program, {hint}"))
}
