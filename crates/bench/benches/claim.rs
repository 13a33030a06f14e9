//! Fleet provisioning by claim: devices a second, and what one of them costs itself and the core.
//!
//! A device makes its key, connects with the claim, has its request signed, is registered, connects with what it got,
//! and has its files on the disk. Once as many devices in one process, once as the program.

#![expect(clippy::print_stdout, reason = "what a benchmark prints is its answer")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Parser;
use jitp_bench::local_core::LocalCore;
use jitp_bench::process::{cpu_of_children, cpu_of_this_process};
use jitp_bench::{Result, program};
use jitp_core::ca::KeyType;
use jitp_core::claim::{
    Format, Keys, Listener, Outcome, Patience, Provisioning, client_id, provision,
};
use jitp_core::mqtt::{Identity, Options, Trust};
use jitp_core::names::{TemplateName, ThingName};
use jitp_core::store::Store;
use tokio::task::{JoinSet, LocalSet};

/// Measure fleet provisioning by claim
#[derive(Parser)]
struct Arguments {
    /// Folder of the programs to measure
    #[arg(long, value_name = "DIR", default_value_os_t = jitp_bench::programs())]
    bin: PathBuf,

    /// Devices in one process
    #[arg(long, default_value_t = 1000)]
    devices: u32,

    /// Of them under way at the same time
    #[arg(long, default_value_t = 16)]
    together: u32,

    /// Runs of the program
    #[arg(long, default_value_t = 50)]
    runs: u32,

    /// Folder for the devices' files, best on a disk in memory [default: of temporary files]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,

    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

const TEMPLATE: &str = "bench";
/// What `etc/templates/fleet.json` comes to, with the policy that a fresh core has and no groups.
const BODY: &str = r#"{
  "Parameters": {
    "License": { "Type": "String" },
    "AWS::IoT::Certificate::Id": { "Type": "String" }
  },
  "Resources": {
    "thing": { "Type": "AWS::IoT::Thing", "Properties": {
      "ThingName": { "Fn::Join": ["-", ["iot", { "Ref": "License" }]] },
      "AttributePayload": { "license": { "Ref": "License" } } } },
    "certificate": { "Type": "AWS::IoT::Certificate", "Properties": {
      "CertificateId": { "Ref": "AWS::IoT::Certificate::Id" }, "Status": "ACTIVE" } },
    "policy": { "Type": "AWS::IoT::Policy", "Properties": { "PolicyName": "IoTAccess" } }
  }
}"#;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let folder = match &arguments.scratch {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let dir = folder.path();
    let core = LocalCore::start(&arguments.bin)?;
    std::fs::write(dir.join("template.json"), BODY)?;
    let ours = |name: &str| program(&arguments.bin, name).map(Command::new);
    let create = ["create", TEMPLATE, "--body", "template.json"];
    core.run(ours("template")?.args(create), dir)?;
    core.run(ours("create-claim")?.arg(TEMPLATE), dir)?;

    println!("| | devices a second | device, CPU ms | core, CPU ms |\n|---|---|---|---|");
    let before = (core.process.cpu()?, cpu_of_this_process()?, Instant::now());
    in_one_process(&arguments, &core, dir)?;
    row(
        &format!("in one process, {} at a time", arguments.together),
        arguments.devices,
        before.2.elapsed(),
        cpu_of_this_process()? - before.1,
        core.process.cpu()? - before.0,
    );

    let before = (core.process.cpu()?, cpu_of_children()?, Instant::now());
    for number in 0..arguments.runs {
        let (device, parameter) = (format!("iot-run-{number}"), format!("License=run-{number}"));
        let mut command = ours("fleet-provision")?;
        command.args([&device, "--template", TEMPLATE, "--parameter", &parameter]);
        core.run(&mut command, dir)?;
    }
    row(
        "`fleet-provision`, one after the other",
        arguments.runs,
        before.2.elapsed(),
        cpu_of_children()? - before.1,
        core.process.cpu()? - before.0,
    );
    Ok(())
}

fn row(name: &str, devices: u32, wall: Duration, device: Duration, core: Duration) {
    let rate = f64::from(devices) / wall.as_secs_f64();
    let each = |all: Duration| all.as_secs_f64() * 1e3 / f64::from(devices);
    println!(
        "| {name} | {rate:.0} | {:.2} | {:.2} |",
        each(device),
        each(core)
    );
}

/// What all devices share.
struct Fleet {
    store: Store,
    template: TemplateName,
    options: Options,
}

#[tokio::main(flavor = "current_thread")]
async fn in_one_process(arguments: &Arguments, core: &LocalCore, dir: &Path) -> Result<()> {
    let said = |name: &str| {
        core.environment
            .get(name)
            .ok_or("it is not in the environment")
    };
    let store = Store::open(dir)?;
    let claim = store.load_claim(&TEMPLATE.parse()?)?.ok_or("no claim")?;
    let key = claim.private_key().to_pem();
    let identity = Identity::from_pem(claim.chain_pem().as_bytes(), key.as_bytes())?;
    let trust = Trust::from_pem(&std::fs::read(said("AWS_IOT_CAFILE")?)?, "the core's root")?;
    let endpoint = said("AWS_IOT_ENDPOINT")?.parse()?;
    let fleet = Rc::new(Fleet {
        store,
        template: TEMPLATE.parse()?,
        options: Options::new(endpoint, TEMPLATE, identity, trust),
    });
    let local = LocalSet::new();
    let mut under_way = JoinSet::new();
    let all = async {
        for number in 0..arguments.devices {
            if under_way.len() >= arguments.together as usize
                && let Some(done) = under_way.join_next().await
            {
                done??;
            }
            under_way.spawn_local(one(fleet.clone(), number));
        }
        while let Some(done) = under_way.join_next().await {
            done??;
        }
        Ok(())
    };
    local.run_until(all).await
}

async fn one(fleet: Rc<Fleet>, number: u32) -> Result<()> {
    let device: ThingName = format!("iot-{number}").parse()?;
    let parameters = BTreeMap::from([("License".to_owned(), number.to_string())]);
    let connection = Options {
        client_id: client_id(&device),
        ..fleet.options.clone()
    };
    let provisioning = Provisioning {
        store: &fleet.store,
        device: &device,
        template: &fleet.template,
        parameters: &parameters,
        connection: &connection,
        keys: Keys::Own(KeyType::P256),
        format: Format::Json,
        prove: true,
        renew: false,
        patience: Patience::default(),
        listener: &Listener::new(|_| ()),
    };
    let provisioned = provision(&provisioning, &mut |_| ()).await;
    let provisioned = provisioned.map_err(|stopped| stopped.error)?;
    match provisioned.outcome {
        Outcome::Provisioned => Ok(()),
        outcome => Err(format!("{device} is {}", outcome.as_str()).into()),
    }
}
