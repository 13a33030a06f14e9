//! The ledger of a CA: what was issued, and whether anybody changed it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jitp_cli::{Age, Common, Failure, OutputFormat, Report, Reporter, Result, environment};
use jitp_core::ca::Station;
use jitp_core::failure::Class;
use jitp_core::names::{CaName, ThingName};
use jitp_issuing::{BatchRecord, Double, Entry, LedgerReader, Seal, State, Verified, ledger_file};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The ledger of a CA: what was issued, and whether anybody changed it
///
/// Reads CA.ledger, which `provision` writes for many devices. It may be read while it is written.
#[derive(Args)]
#[command(after_help = "Examples:
  ledger list                         the present certificate of every device
  ledger batches --ca factory7        every batch, by whom and where to
  ledger show sensor-17               every certificate a device ever had
  ledger verify                       exit code 9 if anything was changed or removed
  ledger export > ledger.jsonl        everything, one JSON object a line
  ledger expiring --within 30d        certificates that end soon
  ledger compare station-2.ledger     exit code 9 if a device is in both")]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// CA whose ledger it is
    #[arg(long, value_name = "CA", default_value = "root", global = true)]
    ca: CaName,

    /// Station whose ledger it is, if several sign with that CA
    #[arg(long, value_name = "N", env = environment::JITP_STATION, hide_env = true, default_value_t = Station::FIRST, global = true)]
    station: Station,
}

#[derive(Subcommand)]
enum Command {
    /// Print the present certificate of every device
    List {
        /// Those of one batch, also if they were replaced
        #[arg(long, value_name = "N")]
        batch: Option<u64>,
    },
    /// Print every batch
    Batches,
    /// Print every certificate of a device, oldest first
    Show {
        /// The device
        device: ThingName,
    },
    /// See that nothing was changed or removed, and that the CA has signed it
    Verify,
    /// Print everything, one JSON object a line
    Export,
    /// See that no device, no key and no station is in another station's ledger of the same CA too
    Compare {
        /// Ledgers of other stations
        #[arg(required = true, value_name = "FILE")]
        ledgers: Vec<PathBuf>,
    },
    /// Print the present certificates that end soon
    Expiring {
        /// How soon: 12h, 30d
        #[arg(long, value_name = "AGE", default_value = "30d")]
        within: Age,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    sequence: u64,
    batch: u64,
    device: String,
    state: &'static str,
    current: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_id: Option<String>,
    serial_number: String,
    public_key_sha256: String,
    not_after: String,
    created: String,
    operator: String,
    key_made_by: &'static str,
}

impl From<Entry> for Certificate {
    fn from(entry: Entry) -> Self {
        Self {
            sequence: entry.sequence,
            batch: entry.batch,
            device: entry.device,
            state: match (entry.state, entry.current) {
                (State::Issued, false) => "replaced",
                (state, _) => state.as_str(),
            },
            current: entry.current,
            certificate_id: entry.certificate,
            serial_number: entry.serial.to_string(),
            public_key_sha256: entry.key,
            not_after: entry.not_after.format(&Rfc3339).unwrap_or_default(),
            created: entry.created,
            operator: entry.operator,
            key_made_by: if entry.requested { "device" } else { "issuer" },
        }
    }
}

impl Report for Certificate {
    fn columns(&self) -> Vec<String> {
        vec![
            self.device.clone(),
            self.state.to_owned(),
            self.certificate_id
                .clone()
                .unwrap_or_else(|| "-".to_owned()),
            self.serial_number.clone(),
            self.not_after.clone(),
            self.batch.to_string(),
        ]
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Batch(BatchRecord);

impl Report for Batch {
    fn columns(&self) -> Vec<String> {
        let batch = &self.0;
        let path = batch.output.get("path").and_then(|path| path.as_str());
        vec![
            batch.batch.to_string(),
            batch.created.clone(),
            batch.operator.clone(),
            batch.issued.to_string(),
            match (&batch.finished, batch.reserved) {
                (Some(_), _) => "finished".to_owned(),
                (None, reserved) => format!("unfinished, {reserved} reserved"),
            },
            path.unwrap_or_default().to_owned(),
        ]
    }
}

/// A ledger that is as it was written. Whoever keeps the seal elsewhere can tell one that was put back to an older state.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sound {
    #[serde(flatten)]
    verified: Verified,
    seal: Option<Seal>,
}

async fn ledger(arguments: Arguments, common: &Common) -> Result<()> {
    let path = ledger_file(&common.dir, &arguments.ca, arguments.station);
    let reader = LedgerReader::open(&path)?;
    match arguments.command {
        Command::List { batch } => each(&reader, common.listing(), |entry| match batch {
            Some(batch) => entry.batch == batch,
            None => entry.current && entry.state == State::Issued,
        }),
        Command::Export => {
            let json = Common {
                output: OutputFormat::Json,
                ..common.clone()
            };
            each(&reader, json.listing(), |_| true)
        }
        Command::Expiring { within } => {
            let end = OffsetDateTime::now_utc().saturating_add(within.duration());
            each(&reader, common.listing(), |entry| {
                entry.current && entry.state == State::Issued && entry.not_after <= end
            })
        }
        Command::Batches => {
            let mut reporter = common.listing();
            for batch in reader.batches()? {
                reporter.line(&Batch(batch))?;
            }
            Ok(())
        }
        Command::Show { device } => show(&reader, &device, common),
        Command::Verify => verify(&reader, common),
        Command::Compare { ledgers } => compare(&reader, &ledgers, common),
    }
}

/// Something that is in two ledgers.
#[derive(Serialize)]
struct InBoth {
    #[serde(flatten)]
    double: Double,
    ledger: String,
}

impl Report for InBoth {
    fn columns(&self) -> Vec<String> {
        vec![
            self.double.what.to_owned(),
            self.double.value.clone(),
            self.ledger.clone(),
        ]
    }
}

fn compare(reader: &LedgerReader, ledgers: &[PathBuf], common: &Common) -> Result<()> {
    let mut found = 0;
    let mut reporter = common.listing();
    for path in ledgers {
        for double in reader.in_common_with(&LedgerReader::open(path)?)? {
            found += 1;
            reporter.line(&InBoth {
                double,
                ledger: path.display().to_string(),
            })?;
        }
    }
    match found {
        0 => Ok(()),
        _ => Err(Failure::new(
            Class::CheckFailed,
            format!("{found} things are in two ledgers"),
        )
        .hint("lock the certificate of one of the two out: disable-certificate")),
    }
}

/// Prints the certificates that are wanted.
fn each(
    reader: &LedgerReader,
    mut reporter: Reporter,
    wanted: impl Fn(&Entry) -> bool,
) -> Result<()> {
    let mut failure = None;
    reader.each(|entry| {
        if wanted(&entry)
            && let Err(error) = reporter.line(&Certificate::from(entry))
        {
            failure = Some(error);
        }
        failure.is_none() && !reporter.reader_is_gone()
    })?;
    failure.map_or(Ok(()), Err)
}

fn show(reader: &LedgerReader, device: &ThingName, common: &Common) -> Result<()> {
    let entries = reader.of_device(device.as_str())?;
    if entries.is_empty() {
        let message = format!("the ledger has no certificate of {device}");
        return Err(Failure::new(Class::NotFound, message));
    }
    let mut reporter = common.listing();
    for entry in entries {
        reporter.line(&Certificate::from(entry))?;
    }
    Ok(())
}

fn verify(reader: &LedgerReader, common: &Common) -> Result<()> {
    let verified = reader.verify()?.map_err(|fault| {
        Failure::new(Class::CheckFailed, fault.to_string()).hint(
            "somebody changed the ledger, or its disk did: put it back from a copy and compare",
        )
    })?;
    if verified.unsealed > 0 || verified.reserved > 0 {
        common.warn(format!(
            "a batch is under way or was interrupted: {} certificates are not sealed yet, {} reserved",
            verified.unsealed, verified.reserved
        ));
    }
    let seal = reader.last_seal()?;
    common.reporter().members(&Sound { verified, seal })
}

fn main() -> ExitCode {
    jitp_cli::run(ledger)
}
