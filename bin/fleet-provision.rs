//! Fleet provisioning, the device's side: exchange a claim certificate for an identity, or renew that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jitp_cli::{
    Common, ConnectFlags, Failure, NameValue, Report, Result, mqtt_identity, read_file,
};
use jitp_cloud::{Cloud, CloudSettings};
use jitp_core::ca::{KeyType, PrivateKey};
use jitp_core::claim::{
    self, Format, Keys, Listener, Outcome, Patience, Progress, Provisioned, Provisioning,
    ProvisioningStopped,
};
use jitp_core::failure::Class;
use jitp_core::mqtt::{Event, Identity};
use jitp_core::names::{TemplateName, ThingName};
use jitp_core::store::{DeviceIdentity, Store, StoreError, check_file, write_file};
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

/// Exchange a claim certificate for the device's own identity, or renew that
///
/// Connects with the claim, has a certificate made and registered by the template, sees that it connects, and only then
/// writes THING.key (mode 0600) and THING.crt. A device that is refused is left as it was. What is needed to go on
/// after a crash is in DEVICE.provisioning until the end: run again. DEVICE names the attempt; best call it as the
/// template will call the thing, whose name the files get.
#[derive(Args)]
#[command(after_help = "Examples:
  fleet-provision iot-123 --template fleet --parameter License=123
                                            with fleet.claim.key and fleet.claim.pem
  fleet-provision iot-123 --template fleet --parameter License=123 \\
    --claim-certificate /etc/claim.pem --claim-key /etc/claim.key --configuration device.json
  needs-renewal iot-123 && fleet-provision iot-123 --template fleet --parameter License=123 --renew")]
struct Arguments {
    /// Name of the device until the template has named its thing
    device: ThingName,

    /// Provisioning template
    #[arg(long, value_name = "NAME")]
    template: TemplateName,

    /// What the template is told of the device; once for each
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<NameValue>,

    /// Get a new certificate for the thing the device is, with its present one instead of a claim
    #[arg(long, conflicts_with_all = ["claim", "claim_certificate", "claim_key"])]
    renew: bool,

    /// Write what the template tells the device to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    configuration: Option<PathBuf>,

    /// Do not see whether the new certificate connects
    #[arg(long)]
    no_prove: bool,

    #[command(flatten)]
    claim: ClaimFlags,

    #[command(flatten)]
    exchange: ExchangeFlags,

    #[command(flatten)]
    connection: ConnectFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Args)]
#[command(next_help_heading = "Claim options")]
struct ClaimFlags {
    /// Claim: CLAIM.claim.key and CLAIM.claim.pem [default: named like the template]
    #[arg(long, value_name = "CLAIM", conflicts_with_all = ["claim_certificate", "claim_key"])]
    claim: Option<ThingName>,

    /// File of the claim certificate, PEM
    #[arg(long, value_name = "FILE", requires = "claim_key")]
    claim_certificate: Option<PathBuf>,

    /// File of the claim's key, PEM
    #[arg(long, value_name = "FILE", requires = "claim_certificate")]
    claim_key: Option<PathBuf>,

    /// MQTT client id while provisioning [default: claim-DEVICE-…; for a renewal the thing name]
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
}

#[derive(Args)]
#[command(next_help_heading = "Exchange options")]
struct ExchangeFlags {
    /// Let AWS make the key (RSA-2048) instead of this device
    #[arg(long)]
    aws_keys: bool,

    /// Key type: p256, p384, rsa2048, rsa3072 or rsa4096
    #[arg(
        long,
        value_name = "TYPE",
        default_value_t,
        conflicts_with = "aws_keys"
    )]
    key_type: KeyType,

    /// Form of the payloads, json or cbor
    #[arg(long, value_name = "FORMAT", default_value_t)]
    payload_format: Format,

    /// Seconds to wait for an answer before it is asked again
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    answer_timeout: u64,

    /// Seconds to keep asking, throttling included
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    request_timeout: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    device: String,
    thing: String,
    outcome: &'static str,
    certificate_id: String,
    key_file: String,
    certificate_file: String,
    device_configuration: Option<Map<String, Value>>,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        vec![
            self.thing.clone(),
            self.outcome.to_owned(),
            self.certificate_id.clone(),
            self.key_file.clone(),
            self.certificate_file.clone(),
            json!(self.device_configuration).to_string(),
        ]
    }
}

async fn fleet_provision(arguments: Arguments, common: &Common) -> Result<()> {
    let parameters = parameters(&arguments.parameters)?;
    let store = Store::open(&common.dir)?;
    if let Some(path) = &arguments.configuration {
        check_file(path)?;
    }
    let device = &arguments.device;
    if !arguments.renew {
        // Neither claim nor network are needed for what is done already, or as good as done.
        let (template, now) = (&arguments.template, OffsetDateTime::now_utc());
        let before = claim::provisioned(&store, device, template, &parameters, now)?;
        if let Some(provisioned) = before {
            return report(&arguments, provisioned, common);
        }
    }
    let (identity, client_id) = identity(&store, &arguments, common)?;
    let describe_endpoint = async || Ok(Cloud::connect(&arguments.cloud).await?.endpoint().await?);
    let connection = &arguments.connection;
    let connection = connection.options_for(&client_id, identity, describe_endpoint);
    let connection = connection.await?;
    let (narrator, name) = (common.clone(), device.clone());
    let listener = Listener::new(move |event| {
        // What goes well is told by its outcome.
        if !matches!(event, Event::Attempt { .. } | Event::Connected { .. }) {
            narrator.say(format!("{name}: {event}"));
        }
    });
    let exchange = &arguments.exchange;
    let provisioning = Provisioning {
        store: &store,
        device,
        template: &arguments.template,
        parameters: &parameters,
        connection: &connection,
        keys: match exchange.aws_keys {
            true => Keys::Aws,
            false => Keys::Own(exchange.key_type),
        },
        format: exchange.payload_format,
        prove: !arguments.no_prove,
        renew: arguments.renew,
        patience: Patience {
            answer: Duration::from_secs(exchange.answer_timeout),
            request: Duration::from_secs(exchange.request_timeout),
            ..Patience::default()
        },
        listener: &listener,
    };
    let interrupted = Interrupted(common, common.dir.join(format!("{device}.provisioning")));
    let provisioned =
        claim::provision(&provisioning, &mut |step| narrate(common, device, step)).await;
    interrupted.not();
    let provisioned = provisioned.map_err(|stopped| failure(device, *stopped))?;
    report(&arguments, provisioned, common)
}

fn report(arguments: &Arguments, provisioned: Provisioned, common: &Common) -> Result<()> {
    let device = &arguments.device;
    if provisioned.outcome == Outcome::Unchanged {
        common.say(format!(
            "{device} has its identity and keeps it; nothing changed"
        ));
    }
    match (&provisioned.device_configuration, &arguments.configuration) {
        (Some(configuration), Some(path)) => {
            write_configuration(path, configuration).map_err(|failure| {
                failure.context(format!("{} is provisioned, but", provisioned.thing_name))
            })?;
        }
        (Some(_), None) => {}
        (None, _) => common.warn(format!(
            "what the template told {device} is lost, with the answer that told it; to be told again, run with --renew"
        )),
    }
    common.reporter().line(&line(device, provisioned))
}

fn parameters(given: &[NameValue]) -> Result<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    for NameValue { name, value } in given {
        if parameters.insert(name.clone(), value.clone()).is_some() {
            return Err(Failure::usage(format!(
                "the parameter {name} is given twice"
            )));
        }
    }
    Ok(parameters)
}

/// Who the device is while it is provisioned, and as which client.
fn identity(store: &Store, arguments: &Arguments, common: &Common) -> Result<(Identity, String)> {
    let flags = &arguments.claim;
    let given = flags.client_id.clone();
    if arguments.renew {
        let thing = claim::thing_name(store, &arguments.device)?;
        let present = store.load_device(&thing).map_err(|error| match error {
            StoreError::DeviceNotFound { .. } => Failure::from(error)
                .hint("leave out --renew for its first certificate, or pass --dir with the folder it lies in"),
            other => Failure::from(other),
        })?;
        if let Some(warning) = store.device_key_warning(&thing) {
            common.warn(warning.to_string());
        }
        let client_id = given.unwrap_or_else(|| thing.to_string());
        return Ok((mqtt_identity(&present)?, client_id));
    }
    let identity = match (&flags.claim_certificate, &flags.claim_key) {
        (Some(certificate), Some(path)) => {
            let certificate = read_file(certificate, "the claim certificate")?;
            let key = read_file(path, "the claim's key")?;
            // Read by the reader that names what is wrong with a key.
            let key = PrivateKey::from_pem(&key, None)
                .map_err(|error| Failure::from(error).context(path.display()))?
                .to_pem();
            Identity::from_pem(&certificate, key.as_bytes()).map_err(|error| {
                Failure::new(Class::Configuration, format!("the claim: {error}"))
            })?
        }
        _ => mqtt_identity(&stored_claim(store, arguments, common)?)?,
    };
    Ok((
        identity,
        given.unwrap_or_else(|| claim::client_id(&arguments.device)),
    ))
}

fn stored_claim(store: &Store, arguments: &Arguments, common: &Common) -> Result<DeviceIdentity> {
    let name = match &arguments.claim.claim {
        Some(name) => name.clone(),
        None => arguments.template.as_str().parse()?,
    };
    if let Some(warning) = store.claim_key_warning(&name) {
        common.warn(warning.to_string());
    }
    store.load_claim(&name)?.ok_or_else(|| {
        let files = store.claim_files(&name);
        let message = format!(
            "there is no claim {name}: {} does not exist",
            files.certificate.display()
        );
        Failure::new(Class::NotFound, message).hint(format!(
            "make it with: create-claim {}; or pass --claim-certificate and --claim-key, or --dir",
            arguments.template
        ))
    })
}

/// Says what is worth saying to whoever watches.
fn narrate(common: &Common, device: &ThingName, step: &Progress) {
    let sentence = match step {
        Progress::Resumed => "going on with what an earlier run began".to_owned(),
        Progress::Paused(rejection, pause) => {
            format!("{rejection}; asking again in {:.1} s", pause.as_secs_f64())
        }
        Progress::AnswerLost => "it was accepted before, and that answer was lost".to_owned(),
        Progress::Accepted(thing) => format!("accepted, as the thing {thing}"),
        Progress::Proved(_) => "the new certificate connects".to_owned(),
        _ => return,
    };
    common.say(format!("{device}: {sentence}"));
}

fn failure(device: &ThingName, stopped: ProvisioningStopped) -> Failure {
    let failure = Failure::from(stopped.error);
    match stopped.kept {
        Some(path) => failure.context(format!(
            "{device} is not provisioned; {} keeps what was begun, and another run goes on with it",
            path.display()
        )),
        None => failure.context(format!("{device} is not provisioned")),
    }
}

fn write_configuration(path: &Path, configuration: &Map<String, Value>) -> Result<()> {
    // A map of what came as JSON has a JSON form.
    let text = serde_json::to_string_pretty(configuration).unwrap_or_default();
    Ok(write_file(path, (text + "\n").as_bytes())?)
}

fn line(device: &ThingName, provisioned: Provisioned) -> Line {
    Line {
        device: device.to_string(),
        thing: provisioned.thing_name.to_string(),
        outcome: provisioned.outcome.as_str(),
        certificate_id: provisioned.certificate_id,
        key_file: provisioned.files.key.display().to_string(),
        certificate_file: provisioned.files.certificate.display().to_string(),
        device_configuration: provisioned.device_configuration,
    }
}

/// Says what is left of a run that a signal ended.
struct Interrupted<'a>(&'a Common, PathBuf);

impl Interrupted<'_> {
    /// The run ended by itself, and says what there is to say.
    fn not(mut self) {
        self.1 = PathBuf::new();
    }
}

impl Drop for Interrupted<'_> {
    fn drop(&mut self) {
        if self.1.is_dir() {
            let folder = self.1.display();
            let sentence =
                format!("{folder} keeps what was begun, and another run goes on with it");
            self.0.say(sentence);
        }
    }
}

fn main() -> ExitCode {
    jitp_cli::run(fleet_provision)
}
