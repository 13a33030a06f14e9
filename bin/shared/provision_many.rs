//! Many devices: a batch with a ledger, from a number, a list or signing requests.

use std::fs;
use std::io::Read;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use clap::Args;
use jitp_cli::{Bar, Common, Failure, Report, Result, Stop, read_file};
use jitp_core::ca::{DeviceRequest, Instance};
use jitp_core::failure::Class;
use jitp_core::names::CaName;
use jitp_core::store::Store;
use jitp_issuing::{
    BadRow, Batch, DeviceList, Format, Junit, Layout, Ledger, Manifest, Named, Numbered, Order,
    Outcome, Passphrase, Plan, Source, Summary, Target,
};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::certificate_flags::CertificateFlags;
use crate::signing::{Signing, absolute, operator};

// (No docstring: clap would show it as what the program does.)
#[derive(Args)]
#[command(next_help_heading = "Many devices")]
pub(super) struct ManyFlags {
    /// Issue this many devices, numbered after --prefix
    #[arg(long, value_name = "N", requires = "prefix", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// What the names of numbered devices begin with
    #[arg(long, requires = "count")]
    prefix: Option<String>,

    /// Number of the first device
    #[arg(long, value_name = "N", default_value_t = 1, requires = "count")]
    start: u64,

    /// Issue the devices of a CSV file, - for stdin: column device, and country, organization,
    /// organizational_unit, state, dn_qualifier, serial_number, format
    #[arg(long, value_name = "FILE", conflicts_with = "count")]
    from: Option<PathBuf>,

    /// Certify the signing requests in these files and folders; the keys stay with the devices
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1.., conflicts_with_all = ["count", "from"])]
    csr: Vec<PathBuf>,

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

/// What a batch is made from.
struct Wanted {
    source: Box<dyn Source>,
    /// What tells it from others.
    request: serde_json::Value,
    total: u64,
    bad: Vec<Bad>,
}

/// What is left out of a batch.
#[derive(Serialize)]
struct Bad {
    /// Line or file.
    place: String,
    outcome: &'static str,
    why: String,
}

impl Report for Bad {
    fn columns(&self) -> Vec<String> {
        vec![
            self.place.clone(),
            self.outcome.to_owned(),
            self.why.clone(),
        ]
    }
}

impl From<BadRow> for Bad {
    fn from(row: BadRow) -> Self {
        let column = row
            .column
            .map(|column| format!("column {column}: "))
            .unwrap_or_default();
        Self {
            place: format!("line {}", row.line),
            outcome: "skipped",
            why: format!("{column}{}", row.why),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    device: String,
    outcome: &'static str,
    certificate_id: String,
    files: Vec<String>,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        let mut columns = vec![
            self.device.clone(),
            self.outcome.to_owned(),
            self.certificate_id.clone(),
        ];
        columns.extend(self.files.iter().cloned());
        columns
    }
}

/// Where the lines of a batch go.
struct Records {
    reporter: jitp_cli::Reporter,
    manifest: Option<Manifest>,
    junit: Option<Junit>,
}

impl Records {
    fn add(&mut self, order: &Order<'_>) -> Result<()> {
        if let Some(manifest) = &mut self.manifest {
            manifest.add(order)?;
        }
        if let Some(junit) = &mut self.junit {
            junit.add(order)?;
        }
        self.reporter.line(&Line {
            device: order.device.to_owned(),
            outcome: match order.outcome {
                Outcome::Issued => "issued",
                Outcome::Unchanged => "unchanged",
            },
            certificate_id: order.certificate.to_string(),
            files: order
                .files
                .iter()
                .map(|file| file.display().to_string())
                .collect(),
        })
    }

    fn add_bad(&mut self, bad: &Bad) -> Result<()> {
        if let Some(junit) = &mut self.junit {
            junit.add_failure(&bad.place, &bad.why)?;
        }
        self.reporter.line(bad)
    }

    fn publish(self, failure: Option<&Failure>) -> Result<()> {
        if let Some(manifest) = self.manifest {
            manifest.publish()?;
        }
        if let Some(mut junit) = self.junit {
            if let Some(failure) = failure {
                junit.add_failure("batch", failure.message())?;
            }
            junit.publish()?;
        }
        Ok(())
    }
}

/// Issues what is wanted, or goes on with it.
pub(super) async fn provision(
    flags: &ManyFlags,
    signing: &Signing<'_>,
    certificate: &CertificateFlags,
    common: &Common,
) -> Result<()> {
    let stop = Stop::listen();
    let store = Store::open(&common.dir)?;
    let wanted = wanted(flags, certificate)?;
    refuse_bad(flags, &wanted, common)?;
    let ca = signing.load(&store, common).await?;
    let plan = plan(flags, &ca, signing.ca, certificate, &store, &wanted)?;
    let mut ledger = Ledger::open(&signing.ledger(&store), ca.certificate(), Instance::FIRST)?;
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
    ca: &jitp_core::ca::CertificateAuthority,
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

fn wanted(flags: &ManyFlags, certificate: &CertificateFlags) -> Result<Wanted> {
    if let (Some(count), Some(prefix)) = (flags.count, &flags.prefix) {
        let source = Numbered::new(prefix, flags.start, count, certificate.attributes())?;
        return Ok(Wanted {
            source: Box::new(source),
            request: json!({"prefix": prefix, "start": flags.start, "count": count}),
            total: count,
            bad: Vec::new(),
        });
    }
    if let Some(path) = &flags.from {
        let bytes = read_list(path)?;
        let (list, bad) = DeviceList::read(bytes, certificate.attributes()).map_err(|error| {
            Failure::from(error).context(format!("cannot use {}", path.display()))
        })?;
        if list.is_empty() && bad.is_empty() {
            let message = format!("{} names no device", path.display());
            return Err(Failure::new(Class::Configuration, message));
        }
        let digest = jitp_core::certificate::CertificateId::of(list.bytes());
        return Ok(Wanted {
            total: list.len(),
            request: json!({"list": digest.as_str()}),
            source: Box::new(list),
            bad: bad.into_iter().map(Bad::from).collect(),
        });
    }
    requests(&flags.csr)
}

/// A list may have a line for every device of a large factory.
const LARGEST_LIST: u64 = 1 << 30;

fn read_list(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin()
            .lock()
            .take(LARGEST_LIST + 1)
            .read_to_end(&mut bytes),
        false => fs::File::open(path)
            .and_then(|file| file.take(LARGEST_LIST + 1).read_to_end(&mut bytes)),
    };
    let failed = |why: String| {
        Failure::new(
            Class::Configuration,
            format!("cannot read the list {}: {why}", path.display()),
        )
    };
    read.map_err(|error| failed(error.to_string()))?;
    match bytes.len() as u64 > LARGEST_LIST {
        true => Err(failed("it is larger than 1 GiB".to_owned())),
        false => Ok(bytes),
    }
}

/// The signing requests of files and folders.
fn requests(paths: &[PathBuf]) -> Result<Wanted> {
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => files.extend(requests_in(path)?),
            false => files.push(path.clone()),
        }
    }
    let mut names = std::collections::HashMap::new();
    let (mut requests, mut bad) = (Vec::new(), Vec::new());
    for file in files {
        let read = || -> Result<DeviceRequest> {
            let request = DeviceRequest::read(&read_file(&file, "the signing request")?)?;
            let name = request.thing_name().to_string();
            if let Some(other) = names.insert(name.clone(), file.clone()) {
                let message = format!("{name} is in {} already", other.display());
                return Err(Failure::new(Class::Configuration, message));
            }
            Ok(request)
        };
        match { read }() {
            Ok(request) => requests.push(request),
            Err(failure) => bad.push(Bad {
                place: file.display().to_string(),
                outcome: "skipped",
                why: failure.message().to_owned(),
            }),
        }
    }
    let keys: Vec<_> = requests
        .iter()
        .map(|request| {
            json!([
                request.thing_name().as_str(),
                hex(request.public_key_info())
            ])
        })
        .collect();
    Ok(Wanted {
        total: requests.len() as u64,
        request: json!({"requests": keys}),
        source: Box::new(Named::requests(requests)),
        bad,
    })
}

fn hex(der: &[u8]) -> String {
    jitp_core::certificate::CertificateId::of(der).to_string()
}

/// The files of a folder that are named like signing requests, in the order of their names.
fn requests_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Class::Configuration,
            format!("cannot read the folder {}: {error}", folder.display()),
        )
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let named = |ending: &str| {
            path.extension()
                .is_some_and(|extension| extension == ending)
        };
        if ["csr", "req", "p10"].into_iter().any(named) {
            files.push(path);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(Failure::new(
            Class::Configuration,
            format!(
                "there is no signing request in {} (*.csr, *.req, *.p10)",
                folder.display()
            ),
        )),
        false => Ok(files),
    }
}
