//! Issue a device certificate signed by your CA and, if asked, make the first connection.

use std::process::ExitCode;

use clap::Args;
use jitp_cli::{CaKeyFlags, Common, ConnectFlags, Failure, Report, Result};
use jitp_cloud::{Cloud, CloudSettings};
use jitp_core::ca::{Asked, Attribute, DeviceSubject, KeyType, Profile, Validity};
use jitp_core::failure::Class;
use jitp_core::names::{CaName, ThingName};
use jitp_core::store::{Files, Store};
use serde::Serialize;
use time::OffsetDateTime;

/// Issue a device certificate signed by your CA and, if asked, make the first connection
///
/// Writes DEVICE.key (mode 0600) and DEVICE.crt (the device's certificate, then the CA's). Needs no
/// network without --connect. A device that has its certificate keeps it.
#[derive(Args)]
#[command(after_help = "Examples:
  provision sensor-17                     signed by root.ca.key
  provision sensor-17 factory7            signed by factory7.ca.key
  provision sensor-17 --ca-key 'pkcs11:token=factory;object=root'   signed in a token
  provision sensor-17 --connect           and connect until AWS IoT has made its thing
  provision sensor-17 --organization Acme --organizational-unit pumps")]
struct Arguments {
    /// Thing name; also the certificate's common name and the MQTT client id
    device: ThingName,

    /// CA to sign with
    #[arg(default_value = "root")]
    ca: CaName,

    /// Make the first connection, and wait until the device is accepted
    #[arg(long)]
    connect: bool,

    #[command(flatten)]
    certificate: CertificateFlags,

    #[command(flatten)]
    ca_key: CaKeyFlags,

    #[command(flatten)]
    connection: ConnectFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

#[derive(Args)]
#[command(next_help_heading = "Certificate options")]
struct CertificateFlags {
    /// Key type: p256, p384, rsa2048, rsa3072 or rsa4096 [default: p256]
    #[arg(long, value_name = "TYPE")]
    key_type: Option<KeyType>,

    /// How long it is valid: days, a date, or `ca` for as long as the CA [default: 500]
    #[arg(long, value_name = "DAYS|DATE|ca")]
    validity: Option<Validity>,

    /// Country in the subject, two letters
    #[arg(long, value_name = "C")]
    country: Option<String>,

    /// Organization in the subject
    #[arg(long, value_name = "O")]
    organization: Option<String>,

    /// Organizational unit in the subject
    #[arg(long, value_name = "OU")]
    organizational_unit: Option<String>,

    /// State or province in the subject
    #[arg(long, value_name = "ST")]
    state: Option<String>,

    /// Distinguished name qualifier in the subject
    #[arg(long, value_name = "TEXT")]
    dn_qualifier: Option<String>,

    /// Serial number of the device in the subject (not the certificate's own)
    #[arg(long, value_name = "TEXT")]
    serial_number: Option<String>,
}

impl CertificateFlags {
    fn subject(&self, device: &ThingName) -> Result<DeviceSubject> {
        let optional = [
            (Attribute::Country, &self.country),
            (Attribute::Organization, &self.organization),
            (Attribute::OrganizationalUnit, &self.organizational_unit),
            (Attribute::State, &self.state),
            (Attribute::DnQualifier, &self.dn_qualifier),
            (Attribute::SerialNumber, &self.serial_number),
        ];
        let mut subject = DeviceSubject::new(device.clone())?;
        for (attribute, value) in optional {
            if let Some(value) = value {
                subject = subject.with(attribute, value)?;
            }
        }
        Ok(subject)
    }

    fn profile(&self) -> Profile {
        let mut profile = Profile::device();
        if let Some(key_type) = self.key_type {
            profile = profile.with_key_type(key_type);
        }
        if let Some(validity) = self.validity {
            profile = profile.with_validity(validity);
        }
        profile
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Provisioned {
    device: String,
    outcome: &'static str,
    certificate_id: String,
    key_file: String,
    certificate_file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_attempts: Option<u32>,
}

impl Report for Provisioned {
    fn columns(&self) -> Vec<String> {
        [
            &self.device,
            self.outcome,
            &self.certificate_id,
            &self.key_file,
            &self.certificate_file,
        ]
        .map(str::to_owned)
        .into()
    }
}

async fn provision(arguments: Arguments, common: &Common) -> Result<()> {
    let store = Store::open(&common.dir)?;
    let device = &arguments.device;
    let files = store.device_files(device);
    let (certificate_id, outcome) = match existing(&store, &files, &arguments)? {
        Some(certificate_id) => {
            common.say(format!(
                "{device} has its certificate and keeps it; nothing changed"
            ));
            (certificate_id, "unchanged")
        }
        None => match issue(&store, &arguments, common).await {
            Ok(certificate_id) => (certificate_id, "issued"),
            // Another run may have been faster.
            Err(failure) => match existing(&store, &files, &arguments)? {
                Some(certificate_id) => (certificate_id, "unchanged"),
                None => return Err(failure),
            },
        },
    };
    let connection_attempts = match arguments.connect {
        true => Some(
            first_connection(&arguments, common)
                .await
                .map_err(|failure| {
                    failure.context(format!(
                        "{} and {} are in place, but the first connection failed",
                        files.key.display(),
                        files.certificate.display()
                    ))
                })?,
        ),
        false => None,
    };
    common.reporter().line(&Provisioned {
        device: device.to_string(),
        outcome,
        certificate_id,
        key_file: files.key.display().to_string(),
        certificate_file: files.certificate.display().to_string(),
        connection_attempts,
    })
}

/// The id of the certificate the device has, if it is whole, valid, of this CA and what is asked for.
fn existing(store: &Store, files: &Files, arguments: &Arguments) -> Result<Option<String>> {
    if !files.key.exists() || !files.certificate.exists() {
        return Ok(None);
    }
    let device = store.load_device(&arguments.device)?;
    let ca = store.load_ca_certificate(&arguments.ca)?;
    let certificate = device.certificate();
    let conflict = |why: &str| {
        Failure::new(
            Class::Conflict,
            format!("{} already exists, {why}", files.certificate.display()),
        )
        .hint("keys and certificates are never overwritten: move both files aside, or pass --dir")
    };
    if !certificate.is_signed_by(&ca) {
        return Err(conflict(&format!(
            "signed by another CA than {}",
            arguments.ca
        )));
    }
    if !certificate.is_valid_at(OffsetDateTime::now_utc()) {
        return Err(conflict("and is not valid today"));
    }
    let asked = Asked {
        subject: &arguments.certificate.subject(&arguments.device)?,
        key_type: arguments.certificate.key_type,
        validity: arguments.certificate.validity,
    };
    if let Some(difference) = asked.difference(certificate, device.private_key().key_type(), &ca) {
        return Err(conflict(&difference));
    }
    Ok(Some(certificate.id().to_string()))
}

async fn issue(store: &Store, arguments: &Arguments, common: &Common) -> Result<String> {
    let subject = arguments.certificate.subject(&arguments.device)?;
    store.check_device_is_free(&arguments.device)?;
    let kms = async |name: &str| Ok(arguments.cloud.kms_key(name).await?);
    let ca = arguments
        .ca_key
        .load(common, store, &arguments.ca, kms)
        .await?;
    let profile = arguments.certificate.profile();
    let issued = ca.issue(subject, &profile, OffsetDateTime::now_utc())?;
    store.save_device(&issued)?;
    Ok(issued.id().to_string())
}

/// Connects until the device is accepted, and says how many attempts it took.
async fn first_connection(arguments: &Arguments, common: &Common) -> Result<u32> {
    let describe_endpoint = async || Ok(Cloud::connect(&arguments.cloud).await?.endpoint().await?);
    let session = arguments
        .connection
        .session(common, &arguments.device, describe_endpoint)
        .await?;
    let attempts = session.attempts();
    session.disconnect().await?;
    Ok(attempts)
}

fn main() -> ExitCode {
    jitp_cli::run(provision)
}
