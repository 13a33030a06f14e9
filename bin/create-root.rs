//! Create a root CA: its private key and its self-signed certificate.

use std::process::ExitCode;

use clap::Args;
use jitp_cli::{Common, Report, Result};
use jitp_core::ca::{CertificateAuthority, KeyType, Subject, Validity};
use jitp_core::names::CaName;
use jitp_core::store::Store;
use serde::Serialize;
use time::OffsetDateTime;

/// Create a root CA: its private key and its self-signed certificate
///
/// Writes CN.ca.key (mode 0600) and CN.ca.pem. Whoever holds the key can make devices: keep it off
/// shared machines. A CA key is never overwritten.
#[derive(Args)]
#[command(after_help = "Examples:
  create-root                                     root.ca.key, root.ca.pem
  create-root factory7 DE Berlin Berlin Acme      another subject
  create-root --key-type rsa2048 --validity 1024  what the old scripts made")]
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

    /// Key type: p256, p384, rsa2048, rsa3072 or rsa4096
    #[arg(long, value_name = "TYPE", default_value_t)]
    key_type: KeyType,

    /// How long it is valid: days, or a date such as 2049-12-31
    #[arg(long, value_name = "DAYS|DATE", default_value = "3650")]
    validity: Validity,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    ca: String,
    key_file: String,
    certificate_file: String,
    certificate_id: String,
}

impl Report for Created {
    fn columns(&self) -> Vec<String> {
        vec![self.key_file.clone(), self.certificate_file.clone()]
    }
}

async fn create_root(arguments: Arguments, common: &Common) -> Result<()> {
    let subject = Subject::positional(&[
        arguments.common_name.as_str(),
        &arguments.country,
        &arguments.locality,
        &arguments.state,
        &arguments.organization,
        &arguments.organizational_unit,
    ])?;
    let store = Store::open(&common.dir)?;
    store.check_ca_is_free(&arguments.common_name)?;
    let ca = CertificateAuthority::create_root(
        &subject,
        arguments.key_type,
        arguments.validity,
        OffsetDateTime::now_utc(),
    )?;
    let files = store.save_ca(&arguments.common_name, &ca)?;
    common.reporter().line(&Created {
        ca: arguments.common_name.to_string(),
        key_file: files.key.display().to_string(),
        certificate_file: files.certificate.display().to_string(),
        certificate_id: ca.certificate().id().to_string(),
    })
}

fn main() -> ExitCode {
    jitp_cli::run(create_root)
}
