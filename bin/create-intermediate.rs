//! Create a CA below another one: for a line, a plant or a contract manufacturer, with a quota.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jitp_cli::{
    CaKeyFlags, Common, NewCaKey, NewPassphraseFlags, Report, Result, environment, key_place,
    makes_key_file,
};
use jitp_cloud::CloudSettings;
use jitp_core::ca::{Attribute, KeyType, Subject, Validity};
use jitp_core::names::CaName;
use jitp_core::store::{Store, StoreError};
use serde::Serialize;
use time::OffsetDateTime;

#[path = "shared/intermediate.rs"]
mod intermediate;

use intermediate::Intermediate;

/// Create a CA below another one: for a line, a plant or a contract manufacturer, with a quota
///
/// Writes NAME.ca.key (mode 0600, encrypted if there is a passphrase for it), NAME.ca.pem and, with --count,
/// NAME.ca.quota.json, which provision keeps to. These go to the line; the key above stays where it is. Run again with
/// other figures, it signs another quota for the same CA.
#[derive(Args)]
#[command(after_help = "Examples:
  create-intermediate line-4 --count 10000 --prefix pump-     10,000 devices, called pump-…
  create-intermediate line-4 --count 20000 --prefix pump-     the same CA, another quota
  create-intermediate line-4 --csr line-4.csr --count 500     the key stays with the manufacturer
  create-intermediate plant root --path-length 1              may have CAs of its own below it
  create-intermediate line-4 --ca-key awskms:alias/root --count 500 --until 2027-06-30")]
struct Arguments {
    /// Common name of the new CA; also the name of its files
    name: CaName,

    /// CA to sign with
    #[arg(default_value = "root")]
    ca: CaName,

    /// Key type: p256, p384, rsa2048, rsa3072 or rsa4096 [default: p256, or that of the key that is there]
    #[arg(long, value_name = "TYPE")]
    key_type: Option<KeyType>,

    /// How long it is valid: days, a date, or `ca` for as long as the CA above
    #[arg(long, value_name = "DAYS|DATE|ca", default_value = "1825")]
    validity: Validity,

    /// How many CAs may follow below it in a chain: 0 for one that makes devices only
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    path_length: u8,

    #[command(flatten)]
    quota: QuotaFlags,

    #[command(flatten)]
    subject: SubjectFlags,

    #[command(flatten)]
    new_key: NewKeyFlags,

    #[command(flatten)]
    ca_key: CaKeyFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Args)]
#[command(next_help_heading = "Quota options")]
struct QuotaFlags {
    /// How many devices it may make
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// What the names of its devices begin with
    #[arg(
        long,
        value_name = "TEXT",
        requires = "count",
        default_value = "",
        hide_default_value = true
    )]
    prefix: String,

    /// Until when it may make them: days or a date [default: as long as it is valid]
    #[arg(long, value_name = "DAYS|DATE", requires = "count")]
    until: Option<Validity>,
}

#[derive(Args)]
#[command(next_help_heading = "Subject options")]
struct SubjectFlags {
    /// Country in the subject, two letters
    #[arg(long, value_name = "C")]
    country: Option<String>,

    /// Organization in the subject
    #[arg(long, value_name = "O")]
    organization: Option<String>,

    /// Organizational unit in the subject
    #[arg(long, value_name = "OU")]
    organizational_unit: Option<String>,
}

#[derive(Args)]
#[command(next_help_heading = "Options of the new key")]
struct NewKeyFlags {
    /// Where the new CA's key is: a file, pkcs11:token=…;object=…, or awskms:alias/… [default: NAME.ca.key]
    // Read as it is, like --ca-key.
    #[arg(long, value_name = "KEY")]
    new_key: Option<String>,

    /// Certify the key of this certificate signing request, a PEM file, which stays where it is
    #[arg(long, value_name = "FILE", conflicts_with_all = ["new_key", "generate_key", "key_type", "new_passphrase_file", "ask_new_passphrase"])]
    csr: Option<PathBuf>,

    /// Make the key at the place that --new-key names, instead of using the one that is there
    #[arg(long)]
    generate_key: bool,

    #[command(flatten)]
    passphrase: NewPassphraseFlags,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    ca: String,
    outcome: &'static str,
    issuer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<String>,
    certificate_file: String,
    certificate_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_file: Option<String>,
}

impl Report for Line {
    fn columns(&self) -> Vec<String> {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            self.ca.clone(),
            self.outcome.to_owned(),
            or_dash(&self.key),
            self.certificate_file.clone(),
            or_dash(&self.quota_file),
        ]
    }
}

async fn create_intermediate(arguments: Arguments, common: &Common) -> Result<()> {
    let (name, now) = (&arguments.name, OffsetDateTime::now_utc());
    let subject = arguments.subject.of(name)?;
    let store = Store::open(&common.dir)?;
    let flags = &arguments.new_key;
    let place = key_place(flags.new_key.as_deref())?;
    let makes_file = makes_key_file(place.as_ref(), flags.generate_key);
    let passphrase = flags.passphrase.get(name.as_str(), makes_file).await?;
    let request = flags.csr.as_deref().map(intermediate::read_request);
    let request = request.transpose()?;
    let wanted = NewCaKey {
        place,
        generate: flags.generate_key,
        key_type: arguments.key_type,
        passphrase: passphrase.as_deref().map(Vec::as_slice),
        encrypted_by: environment::JITP_NEW_CA_PASSPHRASE,
    };
    let present = match store.load_ca_certificate(name) {
        Ok(present) => Some(present),
        Err(StoreError::CaNotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if present.is_none() && request.is_none() {
        wanted.check(&store, name)?;
    }
    let kms = async |key: &str| Ok(arguments.cloud.kms_key(key).await?);
    let above = arguments
        .ca_key
        .load(common, &store, &arguments.ca, kms)
        .await?;
    let made = Intermediate {
        arguments: &arguments,
        subject: &subject,
        store: &store,
        above: &above,
        now,
    };
    let (outcome, certificate) = match present {
        Some(present) => (made.renew(&present, request.as_ref())?, present),
        None => (
            "created",
            made.create(common, &wanted, request.as_ref()).await?,
        ),
    };
    let files = wanted.files(&store, name);
    let quota = store.load_quota(name, &certificate)?;
    let held_here = request.is_none();
    common.reporter().line(&Line {
        ca: name.to_string(),
        outcome,
        issuer: arguments.ca.to_string(),
        key: held_here.then_some(files.key),
        key_file: files
            .key_file
            .filter(|_| held_here)
            .map(|path| path.display().to_string()),
        certificate_file: files.certificate.display().to_string(),
        certificate_id: certificate.id().to_string(),
        quota_file: quota.map(|_| store.quota_file(name).display().to_string()),
    })
}

impl SubjectFlags {
    fn of(&self, name: &CaName) -> Result<Subject> {
        let optional = [
            (Attribute::Country, &self.country),
            (Attribute::Organization, &self.organization),
            (Attribute::OrganizationalUnit, &self.organizational_unit),
        ];
        let mut subject = Subject::new(name.as_str())?;
        for (attribute, value) in optional {
            if let Some(value) = value {
                subject = subject.with(attribute, value)?;
            }
        }
        Ok(subject)
    }
}

fn main() -> ExitCode {
    jitp_cli::run(create_intermediate)
}
