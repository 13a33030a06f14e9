//! One device: its certificate, and its first connection if that is asked for.

use jitp_cli::{Common, ConnectFlags, Failure, Report, Result};
use jitp_cloud::Cloud;
use jitp_core::ca::Asked;
use jitp_core::failure::Class;
use jitp_core::names::ThingName;
use jitp_core::store::{Files, Store};
use jitp_issuing::{Single, Target};
use serde::Serialize;
use time::OffsetDateTime;

use crate::certificate_flags::CertificateFlags;
use crate::ledger_kept::ledger_kept;
use crate::signing::{Signing, absolute, operator};

/// What was asked for of one device.
pub(super) struct One<'a> {
    pub(super) device: &'a ThingName,
    pub(super) signing: &'a Signing<'a>,
    pub(super) connect: bool,
    pub(super) certificate: &'a CertificateFlags,
    pub(super) connection: &'a ConnectFlags,
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

pub(super) async fn provision(arguments: One<'_>, common: &Common) -> Result<()> {
    let store = Store::open(&common.dir)?;
    let device = arguments.device;
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
fn existing(store: &Store, files: &Files, arguments: &One<'_>) -> Result<Option<String>> {
    if !files.key.exists() || !files.certificate.exists() {
        return Ok(None);
    }
    let device = store.load_device(arguments.device)?;
    let ca = store.load_ca_certificate(arguments.signing.ca)?;
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
            arguments.signing.ca
        )));
    }
    if !certificate.is_valid_at(OffsetDateTime::now_utc()) {
        return Err(conflict("and is not valid today"));
    }
    let asked = Asked {
        subject: &arguments.certificate.subject(arguments.device)?,
        key_type: arguments.certificate.key_type,
        validity: arguments.certificate.validity,
    };
    if let Some(difference) = asked.difference(certificate, device.private_key().key_type(), &ca) {
        return Err(conflict(&difference));
    }
    Ok(Some(certificate.id().to_string()))
}

async fn issue(store: &Store, arguments: &One<'_>, common: &Common) -> Result<String> {
    let subject = arguments.certificate.subject(arguments.device)?;
    store.check_device_is_free(arguments.device)?;
    let ca = arguments.signing.load(store, common).await?;
    let profile = arguments.certificate.profile();
    let now = OffsetDateTime::now_utc();
    if let Some(mut ledger) = ledger_kept(arguments.signing, store, &ca)? {
        let single = Single {
            subject,
            profile: &profile,
            target: Target::folder(absolute(store.dir())?),
            operator: operator(None),
            reissue: false,
        };
        return Ok(single.issue(&mut ledger, &ca, now)?.to_string());
    }
    let issued = ca.issue(subject, &profile, now)?;
    store.save_device(&issued)?;
    Ok(issued.id().to_string())
}

/// Connects until the device is accepted, and says how many attempts it took.
async fn first_connection(arguments: &One<'_>, common: &Common) -> Result<u32> {
    let describe_endpoint = async || {
        Ok(Cloud::connect(arguments.signing.cloud)
            .await?
            .endpoint()
            .await?)
    };
    let session = arguments
        .connection
        .session(common, arguments.device, describe_endpoint)
        .await?;
    let attempts = session.attempts();
    session.disconnect().await?;
    Ok(attempts)
}
