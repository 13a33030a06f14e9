//! Create a root CA: its private key and its self-signed certificate.

use std::process::ExitCode;

use clap::Args;
use jitp_cli::{
    CaKeyFlags, Common, Failure, NewCaKey, Report, Result, ask_new_passphrase, environment,
    makes_key_file,
};
use jitp_cloud::CloudSettings;
use jitp_core::ca::{CaKey, CertificateAuthority, KeyType, Subject, Validity};
use jitp_core::certificate::Certificate;
use jitp_core::failure::Class;
use jitp_core::names::CaName;
use jitp_core::store::Store;
use serde::Serialize;
use time::OffsetDateTime;

/// Create a root CA: its private key and its self-signed certificate
///
/// Writes CN.ca.key (mode 0600, encrypted if there is a passphrase) and CN.ca.pem. Whoever holds the key can make
/// devices: keep it in a token or in AWS KMS (--ca-key), where nobody can copy it. A CA key is never overwritten.
#[derive(Args)]
#[command(after_help = "Examples:
  create-root                                     root.ca.key, root.ca.pem
  create-root factory7 DE Berlin Berlin Acme      another subject
  create-root --key-type rsa2048 --validity 1024  what the old scripts made
  create-root --passphrase-file secret            the key encrypted
  create-root --ca-key 'pkcs11:token=factory;object=root' --generate-key   the key in a token")]
struct Arguments {
    /// Common name; also the name of the files
    #[arg(default_value = "root", value_name = "CN")]
    common_name: CaName,

    /// Country, two letters
    #[arg(default_value = "LU", value_name = "C")]
    country: String,

    /// Locality
    #[arg(default_value = "Luxembourg", value_name = "L")]
    locality: String,

    /// State or province
    #[arg(default_value = "Luxembourg", value_name = "ST")]
    state: String,

    /// Organization
    #[arg(default_value = "AWS", value_name = "O")]
    organization: String,

    /// Organizational unit
    #[arg(default_value = "Demo", value_name = "OU")]
    organizational_unit: String,

    /// Key type: p256, p384, rsa2048, rsa3072 or rsa4096 [default: p256, or that of the key that is there]
    #[arg(long, value_name = "TYPE")]
    key_type: Option<KeyType>,

    /// How long it is valid: days, or a date such as 2049-12-31
    #[arg(long, value_name = "DAYS|DATE", default_value = "3650")]
    validity: Validity,

    /// Make the key at the place that --ca-key names, instead of using the one that is there
    #[arg(long)]
    generate_key: bool,

    /// Type the passphrase for the new key file on the terminal
    #[arg(long, conflicts_with = "passphrase_file")]
    ask_passphrase: bool,

    #[command(flatten)]
    ca_key: CaKeyFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    ca: String,
    outcome: &'static str,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<String>,
    certificate_file: String,
    certificate_id: String,
}

impl Report for Created {
    fn columns(&self) -> Vec<String> {
        vec![self.key.clone(), self.certificate_file.clone()]
    }
}

async fn create_root(arguments: Arguments, common: &Common) -> Result<()> {
    let name = &arguments.common_name;
    let subject = Subject::positional(&[
        name.as_str(),
        &arguments.country,
        &arguments.locality,
        &arguments.state,
        &arguments.organization,
        &arguments.organizational_unit,
    ])?;
    let now = OffsetDateTime::now_utc();
    arguments.validity.check_root(now)?;
    let store = Store::open(&common.dir)?;
    let place = arguments.ca_key.place()?;
    let makes_file = makes_key_file(place.as_ref(), arguments.generate_key);
    let passphrase = match arguments.ask_passphrase {
        true => Some(ask_new_passphrase(name.as_str(), makes_file).await?),
        false => arguments.ca_key.passphrase()?,
    };
    let wanted = NewCaKey {
        place,
        generate: arguments.generate_key,
        key_type: arguments.key_type,
        passphrase: passphrase.as_deref().map(Vec::as_slice),
        encrypted_by: environment::JITP_CA_PASSPHRASE,
    };
    let present = wanted.check(&store, name)?;
    let open = async |key: &str| Ok(arguments.cloud.kms_key(key).await?);
    let make = async |key: &str, kind| Ok(arguments.cloud.new_kms_key(key, kind).await?);
    let key = wanted.obtain(open, make).await?;
    let (outcome, certificate) = match present {
        Some(present) => ("unchanged", same(present, &key, &subject)?),
        None => {
            let root = CertificateAuthority::create_root_of(&subject, key, arguments.validity, now)
                .map_err(|error| wanted.key_stays(error.into()))?;
            wanted.save(common, &store, name, &root)?;
            ("created", root.certificate().clone())
        }
    };
    let files = wanted.files(&store, name);
    common.reporter().line(&Created {
        ca: name.to_string(),
        outcome,
        key: files.key,
        key_file: files.key_file.map(|path| path.display().to_string()),
        certificate_file: files.certificate.display().to_string(),
        certificate_id: certificate.id().to_string(),
    })
}

/// The certificate that is there, if it is what was asked for.
fn same(present: Certificate, key: &CaKey, subject: &Subject) -> Result<Certificate> {
    let conflict = |why: &str| {
        let message = format!("there is a certificate ({}) {why}", present.subject_line());
        Failure::new(Class::Conflict, message)
            .hint("a CA's certificate is never overwritten: pass --dir, or another CN")
    };
    if key.public_key() != present.public_key() {
        return Err(conflict("of another key"));
    }
    if !subject.is_that_of(&present) {
        return Err(conflict("with another subject"));
    }
    Ok(present)
}

fn main() -> ExitCode {
    jitp_cli::run(create_root)
}
