//! Create a claim certificate: what devices of a fleet have until they have an identity.

#[path = "shared/claim_files.rs"]
mod claim_files;
#[path = "shared/ledger_kept.rs"]
mod ledger_kept;
#[path = "shared/own_ca.rs"]
mod own_ca;
#[path = "shared/signing.rs"]
mod signing;
#[path = "shared/station.rs"]
mod station;

use std::process::ExitCode;

use clap::Args;
use jitp_cli::{CaKeyFlags, Common, Failure, Report, Result};
use jitp_cloud::{Change, Cloud, CloudSettings, NewClaim, claim_policy_name};
use jitp_core::ca::{CertificateAuthority, KeyType, PrivateKey, Profile, SelfSigned, Validity};
use jitp_core::certificate::Certificate;
use jitp_core::names::{CaName, PolicyName, TemplateName, ThingName};
use jitp_core::store::{Files, Store, StoreError};
use jitp_issuing::Format;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use own_ca::{Made, OwnCa};
use signing::Signing;
use station::StationFlag;

/// Create a claim certificate: what devices of a fleet have until they have an identity
///
/// Writes CLAIM.claim.key (mode 0600) and CLAIM.claim.pem, registers the certificate, and attaches a policy that allows
/// the topics of provisioning with TEMPLATE and nothing else. Run again, it finishes what an interrupted run began, or
/// reports no change.
#[derive(Args)]
#[command(after_help = "Examples:
  create-claim fleet                          self-signed, good for a year; fleet.claim.key, fleet.claim.pem
  create-claim fleet batch-7 --validity 90    another claim of the same template
  create-claim fleet --ca root                signed by your CA, which must be registered
  create-claim fleet phone --temporary        from AWS, of use for five minutes")]
struct Arguments {
    /// Provisioning template the claim is for
    template: TemplateName,

    /// Name of the claim, its files and its common name [default: the template's]
    claim: Option<ThingName>,

    /// Let this CA sign it, instead of itself
    #[arg(long, value_name = "CA")]
    ca: Option<CaName>,

    /// Ask AWS for a claim of five minutes; no policy is needed for it
    #[arg(long, conflicts_with_all = ["ca", "validity", "key_type", "policy"])]
    temporary: bool,

    /// How long it is valid: days, a date, or with --ca `ca` for as long as the CA
    #[arg(long, value_name = "DAYS|DATE|ca", default_value = "365")]
    validity: Validity,

    /// Key type: p256, p384, rsa2048, rsa3072 or rsa4096
    #[arg(long, value_name = "TYPE", default_value_t)]
    key_type: KeyType,

    /// Name of the policy [default: TEMPLATE-claim]
    #[arg(long, value_name = "NAME")]
    policy: Option<PolicyName>,

    /// Give the claim another certificate if the CA's ledger has one of it
    #[arg(long, requires = "ca")]
    reissue: bool,

    #[command(flatten)]
    ca_key: CaKeyFlags,

    #[command(flatten)]
    station: StationFlag,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    claim: String,
    outcome: &'static str,
    certificate_id: String,
    key_file: String,
    certificate_file: String,
    template_name: String,
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        vec![
            self.claim.clone(),
            self.outcome.to_owned(),
            self.certificate_id.clone(),
            self.key_file.clone(),
            self.certificate_file.clone(),
        ]
    }
}

async fn create_claim(arguments: Arguments, common: &Common) -> Result<()> {
    let store = Store::open(&common.dir)?;
    let claim = match &arguments.claim {
        Some(claim) => claim.clone(),
        None => arguments.template.as_str().parse()?,
    };
    let line = match arguments.temporary {
        true => temporary(&store, &claim, &arguments).await?,
        false => permanent(&store, &claim, &arguments, common).await?,
    };
    common.reporter().line(&line)
}

async fn temporary(store: &Store, claim: &ThingName, arguments: &Arguments) -> Result<Line> {
    store.check_claim_is_free(claim)?;
    let cloud = Cloud::connect(&arguments.cloud).await?;
    let made = cloud.temporary_claim(arguments.template.as_str()).await?;
    let key = PrivateKey::from_pem(made.private_key_pem.as_bytes(), None)?;
    let files = store.save_claim(claim, &key, &made.certificate_pem)?;
    Ok(Line {
        outcome: "created",
        not_after: made.expires.and_then(|time| time.format(&Rfc3339).ok()),
        ..line(claim, arguments, made.certificate_id, &files)
    })
}

async fn permanent(
    store: &Store,
    claim: &ThingName,
    arguments: &Arguments,
    common: &Common,
) -> Result<Line> {
    let now = OffsetDateTime::now_utc();
    let profile = Profile::device()
        .with_key_type(arguments.key_type)
        .with_validity(arguments.validity);
    let own = match &arguments.ca {
        Some(name) => {
            let signing = Signing {
                ca: name,
                key: &arguments.ca_key,
                station: arguments.station,
                cloud: &arguments.cloud,
            };
            let to = (store.dir().to_owned(), Format::Claim);
            let reissue = arguments.reissue;
            Some(OwnCa::load(signing, common, store, profile, reissue, to).await?)
        }
        None => None,
    };
    let ca = own.as_ref().map(|own| &own.ca);
    let present = store.load_claim(claim)?;
    if let Some(present) = &present {
        claim_files::check(present, store, claim, ca, now)?;
    }
    if let (Some(own), None) = (&own, &present) {
        own.check(claim)?;
    }
    let cloud = Cloud::connect(&arguments.cloud).await?;
    cloud
        .check_claim_template(arguments.template.as_str())
        .await?;
    if let Some(ca) = ca
        && cloud
            .is_auto_registering(ca.certificate().id().as_str())
            .await?
    {
        common.warn(format!(
            "the CA {} registers unknown certificates: if this claim is ever deleted, whoever has it gets in as a thing",
            ca.certificate().subject_line()
        ));
    }
    let new = present.is_none();
    let certificate = match present {
        Some(present) => present.certificate().clone(),
        None => issue(store, claim, own.as_ref(), &profile, now)?,
    };
    let policy = match &arguments.policy {
        Some(policy) => policy.to_string(),
        None => claim_policy_name(arguments.template.as_str()),
    };
    let wanted = NewClaim {
        template: arguments.template.as_str(),
        policy: &policy,
        certificate: &certificate,
        ca_certificate_pem: ca.map(CertificateAuthority::certificate_pem),
    };
    let created = cloud.create_claim(&wanted).await.map_err(|stopped| {
        let mut done = stopped.done;
        if new {
            done.insert(0, "key and certificate are written");
        }
        let failure = Failure::from(stopped.error);
        match done.is_empty() {
            true => failure,
            false => failure.context(format!("{claim}: {}, but", done.join(", "))),
        }
    })?;
    if created.status.as_str() != "ACTIVE" {
        common.warn(format!(
            "{claim}: the certificate is {}; somebody has locked it out, and it stays so",
            created.status
        ));
    }
    if !created.other_policies.is_empty() {
        common.warn(format!(
            "{claim}: other policies are attached to it, and widen what it may do: {}",
            created.other_policies.join(", ")
        ));
    }
    let id = certificate.id().to_string();
    Ok(Line {
        outcome: match (new, created.change) {
            (true, _) => "created",
            (false, Change::Unchanged) => "unchanged",
            (false, _) => "completed",
        },
        not_after: certificate.not_after().format(&Rfc3339).ok(),
        certificate_arn: Some(created.certificate_arn),
        status: Some(created.status.as_str()),
        policy: Some(policy),
        ..line(claim, arguments, id, &store.claim_files(claim))
    })
}

/// Key and certificate are on the disk before AWS hears of them.
fn issue(
    store: &Store,
    claim: &ThingName,
    own: Option<&OwnCa<'_>>,
    profile: &Profile,
    now: OffsetDateTime,
) -> Result<Certificate> {
    match own {
        Some(own) => {
            store.check_claim_is_free(claim)?;
            if let Made::Unrecorded(issued) = own.issue(claim)? {
                store.save_claim(
                    claim,
                    issued.private_key(),
                    &issued.certificate().chain_pem(),
                )?;
            }
            let gone = || {
                let Files { key, certificate } = store.claim_files(claim);
                StoreError::KeyWithoutCertificate { key, certificate }
            };
            let identity = store.load_claim(claim)?.ok_or_else(gone)?;
            Ok(identity.certificate().clone())
        }
        None => claim_files::save(store, claim, &SelfSigned::create(claim, profile, now)?),
    }
}

fn line(claim: &ThingName, arguments: &Arguments, certificate_id: String, files: &Files) -> Line {
    Line {
        claim: claim.to_string(),
        outcome: "unchanged",
        certificate_id,
        key_file: files.key.display().to_string(),
        certificate_file: files.certificate.display().to_string(),
        template_name: arguments.template.to_string(),
        not_after: None,
        certificate_arn: None,
        status: None,
        policy: None,
    }
}

fn main() -> ExitCode {
    jitp_cli::run(create_claim)
}
