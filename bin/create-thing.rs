//! Create things: each with its certificate and its policy, ready to connect.

#[path = "shared/ledger_kept.rs"]
mod ledger_kept;
#[path = "shared/own_ca.rs"]
mod own_ca;
#[path = "shared/signing.rs"]
mod signing;
#[path = "shared/station.rs"]
mod station;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jitp_cli::{
    Batch, BatchFlags, CaKeyFlags, Common, Failure, Order, Report, Result, Things, read_text,
};
use jitp_cloud::{
    Cloud, CloudSettings, CreatedThing, Creation, CreationOutcome, IssueError, IssueThing, Policy,
    Source,
};
use jitp_core::ca::{KeyType, Profile, Validity};
use jitp_core::certificate::Certificate;
use jitp_core::csr::SigningRequest;
use jitp_core::names::{CaName, ThingName};
use jitp_core::store::{Store, StoreError};
use jitp_issuing::Format;
use serde::Serialize;
use time::OffsetDateTime;

use own_ca::{Made, OwnCa};
use signing::Signing;
use station::StationFlag;

/// The policy that every thing gets unless told otherwise: its name, and its document.
const THING_ACCESS: (&str, &str) = ("ThingAccess", include_str!("../policies/ThingAccess.json"));

/// Create things: each with its certificate and its policy, ready to connect
///
/// Writes certs/THING.key (mode 0600), certs/THING.pem, certs/THING.pub and things/THING.json. The
/// certificate is signed by your CA, which must be registered, and becomes active last. Run again, it
/// finishes what an interrupted run began, or reports no change.
#[derive(Args)]
#[command(after_help = "Examples:
  create-thing sensor-17                       signed by root.ca.key, policy ThingAccess
  create-thing sensor-17 --ca factory7         signed by factory7.ca.key
  create-thing sensor-17 --aws-keys            key and certificate from AWS
  create-thing sensor-17 --csr sensor-17.csr   certificate from AWS for a key that stays where it is
  create-thing - --policy Fleet < names        many, with a policy that exists")]
struct Arguments {
    #[command(flatten)]
    things: Things,

    /// Attach this policy, which exists, instead of ThingAccess
    #[arg(long, value_name = "NAME", conflicts_with = "own_policy")]
    policy: Option<String>,

    /// Make a policy THING-policy for each thing, instead of sharing ThingAccess
    #[arg(long)]
    own_policy: bool,

    #[command(flatten)]
    batch: BatchFlags,

    #[command(flatten)]
    certificate: CertificateFlags,

    #[command(flatten)]
    ca_key: CaKeyFlags,

    #[command(flatten)]
    station: StationFlag,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Args)]
#[command(next_help_heading = "Certificate options")]
struct CertificateFlags {
    /// CA to sign with
    #[arg(long, value_name = "CA", default_value = "root", conflicts_with_all = ["aws_keys", "csr"])]
    ca: CaName,

    /// Let AWS make key and certificate (RSA-2048, valid until 2049)
    #[arg(long, conflicts_with = "csr")]
    aws_keys: bool,

    /// Let AWS certify the key of this certificate signing request, a PEM file; for one thing
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,

    /// Key type: p256, p384, rsa2048, rsa3072 or rsa4096
    #[arg(long, value_name = "TYPE", default_value_t, conflicts_with_all = ["aws_keys", "csr"])]
    key_type: KeyType,

    /// How long it is valid: days, a date, or `ca` for as long as the CA
    #[arg(long, value_name = "DAYS|DATE|ca", default_value = "500", conflicts_with_all = ["aws_keys", "csr"])]
    validity: Validity,

    /// Give things another certificate that the CA's ledger has one of
    #[arg(long, conflicts_with_all = ["aws_keys", "csr"])]
    reissue: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    thing: String,
    outcome: &'static str,
    certificate_id: String,
    certificate_arn: String,
    thing_arn: String,
    status: &'static str,
    policy: String,
    certificate_file: String,
    key_file: String,
    record_file: String,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        let outcome = self.outcome.to_owned();
        vec![
            self.thing.clone(),
            outcome,
            self.certificate_id.clone(),
            self.certificate_file.clone(),
        ]
    }
}

async fn create_thing(arguments: Arguments, common: &Common) -> Result<()> {
    let things = arguments.things.read()?;
    let request = signing_request(&arguments, &things)?;
    let store = Store::open(&common.dir)?;
    let (now, flags) = (OffsetDateTime::now_utc(), &arguments.certificate);
    let profile = Profile::device()
        .with_key_type(flags.key_type)
        .with_validity(flags.validity);
    let ca = match flags.aws_keys || request.is_some() {
        true => None,
        false => {
            let signing = Signing {
                ca: &flags.ca,
                key: &arguments.ca_key,
                station: arguments.station,
                cloud: &arguments.cloud,
            };
            let to = (store.certificates_dir(), Format::Thing);
            let own = OwnCa::load(signing, common, &store, profile, flags.reissue, to).await?;
            own.ca.check_valid_at(now)?;
            things.iter().try_for_each(|thing| own.check(thing))?;
            Some(Issuer { own, store: &store })
        }
    };
    let creation = Creation {
        store: &store,
        source: match (&ca, &request) {
            (Some(issuer), _) => Source::OwnCa {
                ca: &issuer.own.ca,
                issue: issuer,
            },
            (None, Some(request)) => Source::Csr(request),
            (None, None) => Source::AwsKeys,
        },
        policy: match &arguments.policy {
            Some(name) => Policy::Existing(name),
            None if arguments.own_policy => Policy::Own(THING_ACCESS.1),
            None => Policy::Shared {
                name: THING_ACCESS.0,
                document: THING_ACCESS.1,
            },
        },
        now,
    };
    let cloud = Cloud::connect(&arguments.cloud).await?;
    if let Some(warning) = cloud.prepare_creation(&creation).await? {
        common.warn(warning);
    }
    let total = Some(things.len());
    Batch::new(common, &arguments.batch, "thing", Order::Completion, total)
        .run_list(things, async |thing| {
            let created = cloud.create_thing(thing, &creation).await;
            let created = created.map_err(|stopped| {
                let failure = Failure::from(stopped.error);
                match stopped.done.is_empty() {
                    true => failure,
                    false => failure.context(format!("{thing}: {}, but", stopped.done.join(", "))),
                }
            });
            created
                .map(|created| vec![line(thing, created, common)])
                .into()
        })
        .await
}

/// Our own CA, for things.
#[derive(Debug)]
struct Issuer<'a> {
    own: OwnCa<'a>,
    store: &'a Store,
}

impl IssueThing for Issuer<'_> {
    fn issue(&self, thing: &ThingName) -> Result<Certificate, IssueError> {
        match self.own.issue(thing).map_err(IssueError::new)? {
            Made::Recorded => {}
            Made::Unrecorded(issued) => {
                let (chain, key) = (issued.certificate().chain_pem(), issued.private_key());
                let saved = self.store.save_thing(thing, &chain, Some(key));
                saved.map_err(IssueError::new)?;
            }
        }
        let gone = || {
            let files = self.store.thing_files(thing);
            IssueError::new(StoreError::KeyWithoutCertificate {
                key: files.key,
                certificate: files.certificate,
            })
        };
        let identity = self.store.load_thing(thing).map_err(IssueError::new)?;
        Ok(identity.ok_or_else(gone)?.certificate().clone())
    }
}

fn signing_request(arguments: &Arguments, things: &[ThingName]) -> Result<Option<SigningRequest>> {
    let Some(path) = &arguments.certificate.csr else {
        return Ok(None);
    };
    if things.len() != 1 {
        return Err(Failure::usage(
            "--csr is for one thing: a request is for one key",
        ));
    }
    let pem = read_text(path, "the request")?;
    let request = SigningRequest::from_pem(&pem);
    let request = request.map_err(|error| Failure::from(error).context(path.display()))?;
    Ok(Some(request))
}

fn line(thing: &ThingName, created: CreatedThing, common: &Common) -> Line {
    let status = created.status.as_str();
    if status != "ACTIVE" {
        common.warn(format!(
            "{thing}: its certificate is {status}; enable-certificate {thing} changes that"
        ));
    }
    Line {
        thing: thing.to_string(),
        outcome: match created.outcome {
            CreationOutcome::Created => "created",
            CreationOutcome::Completed => "completed",
            CreationOutcome::Unchanged => "unchanged",
        },
        certificate_id: created.certificate_id,
        certificate_arn: created.certificate_arn,
        thing_arn: created.thing_arn,
        status,
        policy: created.policy,
        certificate_file: created.files.certificate.display().to_string(),
        key_file: created.files.key.display().to_string(),
        record_file: created.files.record.display().to_string(),
    }
}

fn main() -> ExitCode {
    jitp_cli::run(create_thing)
}
