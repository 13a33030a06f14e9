//! What a load test may take beside devices that have their certificates in files, and an endpoint.

use jitp_cli::{Common, Result};
use jitp_cloud::CloudSettings;
use jitp_loadtest::{Bodies, Claim, Identities, Scenario, Shard};

use super::running::ClaimFlags;
use super::setup::{CaFlags, Ready};

/// What a load test may take beside devices that have their certificates in files, and an endpoint.
pub(crate) trait Beyond {
    /// Says that something of it will be asked for; before anybody is asked anything, and before anything is made.
    ///
    /// # Errors
    /// When it cannot be had.
    fn is_needed(why: Why) -> Result<()>;

    /// The account's MQTT endpoint: `host` or `host:port`.
    async fn endpoint(cloud: &CloudSettings) -> Result<String>;

    /// Looks whether there is a queue of this name.
    async fn find_queue(name: &str, cloud: &CloudSettings) -> Result<()>;

    /// Consumes the queue of this name until the program ends.
    fn consume(name: &str, cloud: &CloudSettings, common: &Common) -> Result<Bodies>;

    /// Issues the certificates that are missing in files.
    async fn issue(scenario: &Scenario, ca: &CaFlags, common: &Common) -> Result<Ready>;

    /// Certificates that nobody has seen before, of this process's devices.
    async fn fresh(
        scenario: &Scenario,
        shard: Option<Shard>,
        ca: &CaFlags,
        common: &Common,
    ) -> Result<Box<dyn Identities>>;

    /// How devices get their identity by claim.
    fn claim(flags: &ClaimFlags, common: &Common) -> Result<Claim>;
}

/// What takes more.
#[derive(Clone, Copy)]
pub(crate) enum Why {
    /// Nobody said where to connect: AWS is asked.
    Endpoint,
    /// The scenario looks into a queue.
    Queue,
    /// Certificates are issued.
    Certificates,
    /// Devices get their identity by claim.
    Claim,
}
