//! `environment apply` and `environment plan`: part by part, and the claim.

use jitp_cli::{Common, Failure, Reporter, Result, read_package, read_text};
use jitp_cloud::{
    Change, Cloud, Environment, EnvironmentError, Hook, HookError, NewClaim, Part, PartState,
};
use jitp_core::ca::{Profile, SelfSigned};
use jitp_core::failure::Class;
use jitp_core::names::{PolicyName, ThingName};
use jitp_core::store::{DeviceIdentity, Store};
use time::OffsetDateTime;

use crate::{Line, Names, Wanted, claim_files};

/// What this machine's programs are called by AWS Lambda.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

/// Searchable attributes that a thing type may have (AWS General Reference, "AWS IoT Core thing limits").
const MOST_SEARCHABLE: usize = 3;

/// The environment of these names, without a hook.
pub(crate) fn named(names: &Names) -> Environment {
    let mut environment = Environment::named(names.name.as_str());
    let policy = |given: &Option<PolicyName>| given.as_ref().map(PolicyName::to_string);
    let given = [
        (names.role.clone(), &mut environment.role),
        (policy(&names.device_policy), &mut environment.device_policy),
        (policy(&names.claim_policy), &mut environment.claim_policy),
        (names.thing_group.clone(), &mut environment.thing_group),
        (names.thing_type.clone(), &mut environment.thing_type),
        (names.hook_name.clone(), &mut environment.hook_name),
    ];
    for (given, name) in given {
        if let Some(given) = given {
            *name = given;
        }
    }
    environment
}

/// The environment that is asked for, with the files it is made from.
pub(crate) fn read(wanted: &Wanted) -> Result<Environment> {
    let mut environment = named(&wanted.names);
    if let Some(file) = &wanted.body {
        environment.body = read_text(file, "the template")?;
    }
    if let Some(file) = &wanted.hook {
        let architecture = wanted.hook_architecture.as_deref().unwrap_or(ARCHITECTURE);
        let variables = wanted.hook_variables.iter();
        let hook = Hook {
            package: read_package(file, "the hook")?,
            architecture: architecture.to_owned(),
            variables: variables
                .map(|one| (one.name.clone(), one.value.clone()))
                .collect(),
        };
        // What AWS Lambda could not start is found before anything is made for it.
        hook.check().map_err(|error| {
            let is_about_file = !matches!(error, HookError::Variable { .. });
            let failure = Failure::from(EnvironmentError::from(error));
            match is_about_file {
                true => failure.context(file.display()),
                false => failure,
            }
        })?;
        environment.hook = Some(hook);
    }
    environment.searchable_attributes = wanted.searchable_attributes.clone();
    environment
        .searchable_attributes
        .retain(|name| !name.is_empty());
    let searchable = environment.searchable_attributes.len();
    if searchable > MOST_SEARCHABLE {
        let message = format!("{searchable} searchable attributes are given");
        let hint = format!("AWS IoT takes {MOST_SEARCHABLE} of a thing type");
        return Err(Failure::usage(message).hint(hint));
    }
    environment.events = wanted.events.clone();
    Ok(environment)
}

fn claim_name(wanted: &Wanted) -> Result<ThingName> {
    match &wanted.claim {
        Some(claim) => Ok(claim.clone()),
        None => Ok(wanted.names.name.as_str().parse()?),
    }
}

/// The claim of an environment.
enum Claim {
    /// It is there, and can be used.
    Present(DeviceIdentity),
    /// It is not on the disk yet.
    New(Box<SelfSigned>),
}

impl Claim {
    /// Made before anything else, so that nothing is made for a claim that cannot be.
    fn of(store: &Store, name: &ThingName, wanted: &Wanted, now: OffsetDateTime) -> Result<Self> {
        let Some(present) = store.load_claim(name)? else {
            let profile = Profile::device().with_validity(wanted.validity);
            let made = SelfSigned::create(name, &profile, now)?;
            return Ok(Self::New(Box::new(made)));
        };
        claim_files::check(&present, store, name, None, now)?;
        Ok(Self::Present(present))
    }
}

pub(crate) async fn apply(
    cloud: &Cloud,
    environment: &Environment,
    wanted: &Wanted,
    common: &Common,
) -> Result<()> {
    let (store, name) = (Store::open(&common.dir)?, claim_name(wanted)?);
    let claim = Claim::of(&store, &name, wanted, OffsetDateTime::now_utc())?;
    let place = cloud.place().await?;
    let parts = Part::all(environment);
    // What is somebody else's, or cannot be, is found before the first change.
    for part in &parts {
        cloud.compare_part(environment, &place, *part).await?;
    }
    let mut reporter = common.reporter();
    for (done, part) in parts.iter().enumerate() {
        let left = |count: usize| {
            let (kind, name) = (part.kind(), part.name(environment));
            format!("{kind} {name}: {count} parts are still to be made; run again to go on")
        };
        let applied = cloud.apply_part(environment, &place, *part).await;
        let state =
            applied.map_err(|error| Failure::from(error).context(left(parts.len() - done)))?;
        line(
            &mut reporter,
            *part,
            environment,
            state.change.as_str(),
            &state,
        )
        // The claim is still to be made too.
        .map_err(|failure| failure.context(left(parts.len() - done)))?;
    }
    let (certificate, new) = match claim {
        Claim::Present(present) => (present.certificate().clone(), false),
        Claim::New(made) => (claim_files::save(&store, &name, &made)?, true),
    };
    let created = cloud
        .create_claim(&NewClaim {
            template: &environment.template,
            policy: &environment.claim_policy,
            certificate: &certificate,
            ca_certificate_pem: None,
        })
        .await
        .map_err(|stopped| {
            Failure::from(stopped.error).context(format!("claim {name}: run again to go on"))
        })?;
    if created.status.as_str() != "ACTIVE" {
        common.warn(format!(
            "{name}: the claim certificate is {}; somebody has locked it out, and it stays so",
            created.status
        ));
    }
    reporter.line(&Line {
        kind: "claim".into(),
        name: name.to_string(),
        outcome: match (new, created.change) {
            (true, _) => "created",
            (false, Change::Unchanged) => "unchanged",
            (false, _) => "updated",
        },
        reason: None,
    })
}

/// Prints how everything stands; nothing is changed.
pub(crate) async fn plan(
    cloud: &Cloud,
    environment: &Environment,
    wanted: &Wanted,
    common: &Common,
) -> Result<()> {
    let (store, name) = (Store::open(&common.dir)?, claim_name(wanted)?);
    let claim = Claim::of(&store, &name, wanted, OffsetDateTime::now_utc())?;
    let place = cloud.place().await?;
    let mut reporter = common.listing();
    let mut changes = 0;
    for part in Part::all(environment) {
        let state = cloud.compare_part(environment, &place, part).await?;
        changes += usize::from(state.change != Change::Unchanged);
        line(&mut reporter, part, environment, to(state.change), &state)?;
    }
    let change = match claim {
        Claim::New(_) => Change::Created,
        Claim::Present(present) => {
            let attached = match cloud
                .certificate(present.certificate().id().as_str())
                .await?
            {
                Some(found) => cloud.attached_policies(&found.arn).await?,
                None => Vec::new(),
            };
            match attached.contains(&environment.claim_policy) {
                true => Change::Unchanged,
                false => Change::Updated,
            }
        }
    };
    changes += usize::from(change != Change::Unchanged);
    reporter.line(&Line {
        kind: "claim".into(),
        name: name.to_string(),
        outcome: to(change),
        reason: None,
    })?;
    planned(changes)
}

/// How a plan ends that would change so much.
pub(crate) fn planned(changes: usize) -> Result<()> {
    match changes {
        0 => Ok(()),
        1 => Err(Failure::new(Class::CheckFailed, "1 change to be made")),
        _ => Err(Failure::new(
            Class::CheckFailed,
            format!("{changes} changes to be made"),
        )),
    }
}

pub(crate) fn to(change: Change) -> &'static str {
    match change {
        Change::Created => "to-create",
        Change::Updated => "to-update",
        Change::Unchanged => "unchanged",
    }
}

fn line(
    reporter: &mut Reporter,
    part: Part,
    environment: &Environment,
    outcome: &'static str,
    state: &PartState,
) -> Result<()> {
    let differences = Some(state.differences.join(", ")).filter(|text| !text.is_empty());
    reporter.line(&Line {
        kind: part.kind().into(),
        name: part.name(environment),
        outcome,
        reason: differences,
    })
}
