//! Issue device certificates signed by your CA and, if asked, make the first connection.

#[path = "shared/certificate_flags.rs"]
mod certificate_flags;
#[path = "shared/ledger_kept.rs"]
mod ledger_kept;
#[path = "shared/provision_many.rs"]
mod many;
#[path = "shared/provision_one.rs"]
mod one;
#[path = "shared/provision_records.rs"]
mod records;
#[path = "shared/signing.rs"]
mod signing;
#[path = "shared/station.rs"]
mod station;
#[path = "shared/provision_wanted.rs"]
mod wanted;

use std::process::ExitCode;

use clap::Args;
use jitp_cli::{CaKeyFlags, Common, ConnectFlags, Failure, Result, until_interrupted};
use jitp_cloud::CloudSettings;
use jitp_core::names::{CaName, ThingName};

use certificate_flags::CertificateFlags;
use many::ManyFlags;
use one::One;
use signing::Signing;
use station::StationFlag;

/// Issue device certificates signed by your CA and, if asked, make the first connection
///
/// Writes DEVICE.key (mode 0600) and DEVICE.crt (the device's certificate, then the CA's). Needs no
/// network without --connect. A device that has its certificate keeps it. Many devices are issued on
/// every core and recorded in CA.ledger; an interrupted run is finished by the same command.
#[derive(Args)]
#[command(after_help = "Examples:
  provision sensor-17                     signed by root.ca.key
  provision sensor-17 factory7            signed by factory7.ca.key
  provision sensor-17 --ca-key 'pkcs11:token=factory;object=root'   signed in a token
  provision sensor-17 --connect           and connect until AWS IoT has made its thing
  provision sensor-17 --organization Acme --organizational-unit pumps
  provision --count 10000 --prefix sensor- --out shift-3.tar
  provision --from devices.csv --ca factory7 --out devices --manifest devices.jsonl
  provision --csr requests/ --out certificates")]
struct Arguments {
    /// Thing name; also the certificate's common name and the MQTT client id
    #[arg(required_unless_present_any = ["count", "from", "csr"], conflicts_with_all = ["count", "from", "csr"])]
    device: Option<ThingName>,

    /// CA to sign with [default: root]
    #[arg(value_name = "CA")]
    ca: Option<CaName>,

    /// The same, where no DEVICE goes before it
    #[arg(long = "ca", value_name = "CA", conflicts_with = "ca")]
    ca_flag: Option<CaName>,

    /// Make the first connection, and wait until the device is accepted
    #[arg(long, conflicts_with_all = ["count", "from", "csr"])]
    connect: bool,

    #[command(flatten)]
    many: ManyFlags,

    #[command(flatten)]
    certificate: CertificateFlags,

    #[command(flatten)]
    ca_key: CaKeyFlags,

    #[command(flatten)]
    station: StationFlag,

    #[command(flatten)]
    connection: ConnectFlags,

    #[command(flatten)]
    cloud: CloudSettings,
}

async fn provision(arguments: Arguments, common: &Common) -> Result<()> {
    let signing = Signing {
        ca: &arguments.ca.or(arguments.ca_flag).unwrap_or_default(),
        key: &arguments.ca_key,
        station: arguments.station,
        cloud: &arguments.cloud,
    };
    if arguments.many.are_given() {
        return many::provision(&arguments.many, &signing, &arguments.certificate, common).await;
    }
    let Some(device) = &arguments.device else {
        return Err(Failure::usage("there is no DEVICE"));
    };
    let one = One {
        device,
        signing: &signing,
        connect: arguments.connect,
        certificate: &arguments.certificate,
        connection: &arguments.connection,
    };
    until_interrupted(one::provision(one, common)).await
}

fn main() -> ExitCode {
    jitp_cli::run_stoppable(provision)
}
