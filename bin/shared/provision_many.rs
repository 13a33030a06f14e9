//! Many devices: a batch with a ledger.

use std::num::NonZero;
use std::path::PathBuf;

use clap::Args;
use jitp_cli::{Bar, Common, Failure, Result, Stop};
use jitp_core::ca::CertificateAuthority;
use jitp_core::failure::Class;
use jitp_core::names::CaName;
use jitp_core::store::Store;
use jitp_issuing::{Batch, Format, Junit, Layout, Manifest, Passphrase, Plan, Summary, Target};
use serde_json::json;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::certificate_flags::CertificateFlags;
use crate::records::Records;
use crate::signing::{Signing, absolute, operator};
use crate::wanted::{Wanted, wanted};

// (No docstring: clap would show it as what the program does.)
#[derive(Args)]
#[command(next_help_heading = "Many devices")]
pub(super) struct ManyFlags {
    /// Issue this many devices, numbered after --prefix
    #[arg(long, value_name = "N", requires = "prefix", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// What the names of numbered devices begin with
    #[arg(long, requires = "count")]
    pub(super) prefix: Option<String>,

    /// Number of the first device
    #[arg(long, value_name = "N", default_value_t = 1, requires = "count")]
    pub(super) start: u64,

    /// Issue the devices of a CSV file, - for stdin: column device, and country, organization,
    /// organizational_unit, state, dn_qualifier, serial_number, format
    #[arg(long, value_name = "FILE", conflicts_with = "count")]
    pub(super) from: Option<PathBuf>,

    /// Certify the signing requests in these files and folders; the keys stay with the devices
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1.., conflicts_with_all = ["count", "from"])]
    pub(super) csr: Vec<PathBuf>,

    /// Folder to write to, made if it is not there, or a new archive if it ends with .tar or .zip [default: --dir]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,

    /// Spread the files over 256 folders below --out
    #[arg(long, requires = "out")]
    shard: bool,

    /// Forms of each device, several with commas: pem, der, pkcs12, encrypted-pem, nvs, nrf, c-header, qr
    #[arg(
        long,
        value_name = "FORMAT",
        value_delimiter = ',',
        default_value = "pem"
    )]
    format: Vec<Format>,

    /// Write a list of devices and certificate ids, CSV if it ends with .csv and else JSON lines
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Write a report for continuous integration in JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Issue the good rows or requests although there are bad ones, and list those
    #[arg(long)]
    skip_bad: bool,

    /// Give devices that have a certificate another one
    #[arg(long)]
    reissue: bool,

    /// Go on although what an interrupted batch was writing to is gone for good
    #[arg(long)]
    abandon: bool,

    /// Who issues, for the ledger [default: the user]
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,

    /// Threads that make keys and sign [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
}

impl ManyFlags {
    /// Whether many devices are asked for.
    pub(super) fn are_given(&self) -> bool {
        self.count.is_some() || self.from.is_some() || !self.csr.is_empty()
    }
}

/// Issues what is wanted, or goes on with it.
pub(super) async fn provision(
    flags: &ManyFlags,
    signing: &Signing<'_>,
    certificate: &CertificateFlags,
    common: &Common,
) -> Result<()> {
    let store = Store::open(&common.dir)?;
    let wanted = wanted(flags, certificate)?;
    refuse_bad(flags, &wanted, common)?;
    // Only from here on is there anything to finish: until then, whoever waits for a list may simply be ended.
    let stop = Stop::listen();
    let ca = signing.load(&store, common).await?;
    let plan = plan(flags, &ca, signing.ca, certificate, &store, &wanted)?;
    let mut ledger = signing.ledger(&store, &ca)?;
    let mut records = Records {
        reporter: common.reporter(),
        manifest: flags
            .manifest
            .as_deref()
            .map(|path| Manifest::create(path, plan.window.not_after()))
            .transpose()?,
        junit: flags.junit.as_deref().map(Junit::create).transpose()?,
    };
    let total = usize::try_from(wanted.total).ok();
    let bar = Bar::show(total, "devices".to_owned(), !common.quiet);
    let mut unsaid = None;
    let batch = Batch {
        ledger: &mut ledger,
        ca: &ca,
        plan: &plan,
    };
    let run = batch.run(&*wanted.source, stop.flag(), |order| {
        bar.advance();
        if unsaid.is_none() {
            unsaid = bar.above(|| records.add(order)).err();
        }
        unsaid.is_none()
    });
    drop(bar);
    let summary = run?;
    for bad in &wanted.bad {
        if unsaid.is_none() {
            unsaid = records.add_bad(bad).err();
        }
    }
    let finished = summary.finished;
    let failure = verdict(summary, &wanted, unsaid, &stop, common);
    // What is bad has cases of its own.
    records.publish(failure.as_ref().filter(|_| !finished))?;
    failure.map_or(Ok(()), Err)
}

/// Without `--skip-bad` nothing is issued while there is something bad.
fn refuse_bad(flags: &ManyFlags, wanted: &Wanted, common: &Common) -> Result<()> {
    let [first, ..] = wanted.bad.as_slice() else {
        return Ok(());
    };
    if flags.skip_bad && wanted.total > 0 {
        return Ok(());
    }
    for bad in wanted.bad.iter().take(SHOWN) {
        common.say(format!("{}: {}", bad.place, bad.why));
    }
    let count = wanted.bad.len();
    let failure = Failure::new(
        Class::Configuration,
        format!(
            "{count} of {} cannot be issued, {}: {}",
            wanted.total + count as u64,
            first.place,
            first.why
        ),
    );
    Err(match flags.skip_bad {
        true => failure,
        false => {
            failure.hint("nothing was issued: correct them, or issue the others with --skip-bad")
        }
    })
}

/// How many bad rows are shown one by one.
const SHOWN: usize = 20;

/// How the run ended, as a failure; none if everything was issued.
fn verdict(
    summary: Summary,
    wanted: &Wanted,
    unsaid: Option<Failure>,
    stop: &Stop,
    common: &Common,
) -> Option<Failure> {
    let Summary {
        batch,
        issued,
        unchanged,
        finished,
        failure,
    } = summary;
    let done = format!("batch {batch}: {issued} issued, {unchanged} had theirs");
    const RESUME: &str = "run the same command again: it goes on from here";
    if let Some(error) = failure {
        let failure = Failure::from(error).context(done);
        return Some(if issued + unchanged > 0 {
            failure.partial()
        } else {
            failure
        });
    }
    if let Some(unsaid) = unsaid {
        return Some(unsaid.context(done).hint(RESUME));
    }
    if !finished {
        return stop
            .failure()
            .map(|failure| failure.context(done).hint(RESUME));
    }
    if issued == 0 && unchanged > 0 {
        common.say(format!("{done}; nothing changed"));
    } else {
        common.say(&done);
    }
    let bad = wanted.bad.len();
    (bad > 0).then(|| {
        Failure::new(
            Class::Partial,
            format!("{done}; {bad} could not be issued, see their lines"),
        )
        .hint("correct them and issue those alone")
    })
}

fn plan(
    flags: &ManyFlags,
    ca: &CertificateAuthority,
    ca_name: &CaName,
    certificate: &CertificateFlags,
    store: &Store,
    wanted: &Wanted,
) -> Result<Plan> {
    let profile = certificate.profile();
    let out = absolute(flags.out.as_deref().unwrap_or(store.dir()))?;
    let layout = match out.extension().and_then(|extension| extension.to_str()) {
        Some("tar") => Layout::Tar,
        Some("zip") => Layout::Zip,
        _ if flags.shard => Layout::Sharded,
        _ => Layout::Folder,
    };
    if flags.shard && layout != Layout::Sharded {
        return Err(Failure::usage(
            "an archive has no folders to spread over: --shard goes with a folder",
        ));
    }
    if !flags.csr.is_empty()
        && let Some(format) = flags
            .format
            .iter()
            .find(|format| !format.works_without_key())
    {
        return Err(Failure::usage(format!(
            "the format {format} holds the key, which is with the device that made the request"
        )));
    }
    let passphrase = std::env::var_os(jitp_cli::environment::JITP_DEVICE_PASSPHRASE)
        .filter(|passphrase| !passphrase.is_empty())
        .map(|passphrase| Passphrase(Zeroizing::new(passphrase.into_encoded_bytes())));
    if passphrase.is_none()
        && let Some(format) = flags.format.iter().find(|format| format.wants_passphrase())
    {
        let failure = Failure::new(
            Class::Configuration,
            format!("the format {format} encrypts the key, and no passphrase was given"),
        );
        return Err(
            failure.hint("give it in JITP_DEVICE_PASSPHRASE, from a place that others cannot read")
        );
    }
    let target = Target {
        layout,
        path: out,
        formats: flags.format.clone(),
    };
    let attributes: Vec<_> = certificate
        .attributes()
        .into_iter()
        .map(|(attribute, value)| json!([attribute.oid(), value]))
        .collect();
    let request = json!({
        "ca": ca_name.as_str(),
        "wanted": wanted.request,
        "attributes": attributes,
        "keyType": profile.key_type().as_str(),
        "validity": profile.validity().to_string(),
        "target": &target,
    });
    let cores = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    Ok(Plan {
        request: request.to_string(),
        operator: operator(flags.operator.as_deref()),
        key_type: profile.key_type(),
        window: ca.window(profile.validity(), OffsetDateTime::now_utc())?,
        target,
        reissue: flags.reissue,
        abandon: flags.abandon,
        passphrase,
        threads: flags.threads.unwrap_or(cores),
    })
}
