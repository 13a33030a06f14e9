//! Identities that no file holds: of the CA, made for one run, and by claim.

use jitp_cli::{Common, Failure, Result, mqtt_identity};
use jitp_core::failure::Class;
use jitp_core::names::ThingName;
use jitp_core::store::Store;
use jitp_loadtest::{Claim, Fresh, Identities, Scenario, Shard};
use time::OffsetDateTime;

use crate::issuing::signing;
use crate::program::{CaFlags, ClaimFlags};

/// Certificates that nobody has seen before, of this process's devices.
pub(super) async fn fresh(
    scenario: &Scenario,
    shard: Option<Shard>,
    ca: &CaFlags,
    common: &Common,
) -> Result<Box<dyn Identities>> {
    let store = Store::open(&common.dir)?;
    let loaded = signing(ca).load(&store, common).await?;
    let devices = jitp_loadtest::places(scenario, shard)
        .map(|(place, name)| Ok((place, name.parse::<ThingName>()?)))
        .collect::<std::result::Result<Vec<_>, jitp_core::names::NameError>>()
        .map_err(|error| Failure::usage(error.to_string()))?;
    common.say(format!("issuing {} certificates", devices.len()));
    Ok(Box::new(Fresh::issue(
        &loaded,
        &devices,
        OffsetDateTime::now_utc(),
    )?))
}

/// How devices get their identity by claim.
pub(super) fn claim(flags: &ClaimFlags, common: &Common) -> Result<Claim> {
    let Some(template) = &flags.template else {
        return Err(
            Failure::usage("devices get an identity by claim: --template says by which")
                .hint("template create makes a provisioning template, create-claim a claim"),
        );
    };
    let store = Store::open(&common.dir)?;
    let name = match &flags.claim {
        Some(name) => name.clone(),
        None => template
            .as_str()
            .parse()
            .map_err(|error| Failure::usage(format!("--claim: {error}")))?,
    };
    let Some(identity) = store.load_claim(&name)? else {
        let file = store.claim_files(&name).certificate;
        return Err(Failure::new(
            Class::Configuration,
            format!("there is no {}", file.display()),
        )
        .hint(format!("create-claim {name}, or name another with --claim")));
    };
    Ok(Claim {
        identity: mqtt_identity(&identity)?,
        template: template.clone(),
        parameters: flags
            .parameters
            .iter()
            .map(|parameter| (parameter.name.clone(), parameter.value.clone()))
            .collect(),
    })
}
