//! Create a root CA: its private key and its self-signed certificate.

use std::process::ExitCode;

use clap::Args;
use jitp_cli::{Common, Report, Result};
use jitp_core::ca::{CertificateAuthority, KeyType, Subject, Validity};
use jitp_core::names::CaName;
use jitp_core::store::Store;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

/// Create a root CA: its private key and its self-signed certificate
///
/// Writes CN.ca.key (mode 0600) and CN.ca.pem. Whoever holds the key can make devices: keep it off
/// shared machines. A CA key is never overwritten.
#[derive(Args)]
#[command(after_help = "Examples:
  create-root                                   root.ca.key, root.ca.pem
  create-root factory7 DE Berlin Berlin Acme    another subject
  create-root --key-type rsa2048 --days 1024    what the old scripts made")]
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
    #[arg(long, default_value_t = KeyType::P256)]
    key_type: KeyType,

    /// Days the certificate is valid
    #[arg(long, default_value_t = 7300, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    ca: String,
    certificate_id: String,
    key_file: String,
    certificate_file: String,
    not_after: String,
}

impl Report for Created {
    fn columns(&self) -> Vec<String> {
        vec![self.key_file.clone(), self.certificate_file.clone()]
    }
}

fn main() -> ExitCode {
    jitp_cli::run(create_root)
}
