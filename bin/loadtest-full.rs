//! The load test with all that it may take: what issues certificates, and what talks to AWS. `loadtest` hands over to it.

#[path = "shared/loadtest_identities.rs"]
mod identities;
#[path = "shared/loadtest_issuing.rs"]
mod issuing;
#[path = "shared/loadtest.rs"]
mod program;
#[path = "shared/loadtest_queue.rs"]
mod queue;
#[path = "shared/signing.rs"]
mod signing;
#[path = "shared/station.rs"]
mod station;

use std::process::ExitCode;

use jitp_cli::{Common, Result};
use jitp_cloud::{Cloud, CloudSettings};
use jitp_loadtest::{Bodies, Claim, Identities, Scenario, Shard};
use program::{Beyond, CaFlags, ClaimFlags, Ready, Why};

/// It is all here.
enum Here {}

impl Beyond for Here {
    fn is_needed(_: Why) -> Result<()> {
        Ok(())
    }

    async fn endpoint(cloud: &CloudSettings) -> Result<String> {
        Ok(Cloud::connect(cloud).await?.endpoint().await?)
    }

    async fn find_queue(name: &str, cloud: &CloudSettings) -> Result<()> {
        queue::find(name, cloud).await
    }

    fn consume(name: &str, cloud: &CloudSettings, common: &Common) -> Result<Bodies> {
        queue::consume(name, cloud, common)
    }

    async fn issue(scenario: &Scenario, ca: &CaFlags, common: &Common) -> Result<Ready> {
        issuing::issue(scenario, ca, common).await
    }

    async fn fresh(
        scenario: &Scenario,
        shard: Option<Shard>,
        ca: &CaFlags,
        common: &Common,
    ) -> Result<Box<dyn Identities>> {
        identities::fresh(scenario, shard, ca, common).await
    }

    fn claim(flags: &ClaimFlags, common: &Common) -> Result<Claim> {
        identities::claim(flags, common)
    }
}

fn main() -> ExitCode {
    program::run::<Here>()
}
