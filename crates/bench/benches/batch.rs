//! Issuing in number, beside what the machine allows and beside the peers: devices a second, and devices a CPU second.
//!
//! The floors are measured in the same rounds: bare cryptography (a key, its PKCS#8, one signature), and a bare program
//! that makes two files of a device's size and syncs them in groups of a thousand.

#![expect(clippy::print_stdout, reason = "what a benchmark prints is its answer")]

use std::fs::{self, File};
use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RsaKeyPair};
use clap::Parser;
use jitp_bench::Result;
use jitp_bench::process::{cpu_of_children, cpu_of_this_process};
use jitp_core::ca::{CertificateAuthority, KeyType, Station, Subject, Validity};
use jitp_issuing::{Batch, Format, Layout, Ledger, Numbered, Plan, Target};
use time::OffsetDateTime;

/// Measure issuing in number
#[derive(Parser)]
struct Arguments {
    /// Devices of a batch
    #[arg(long, default_value_t = 20_000)]
    devices: u64,

    /// RSA-2048 devices of a batch
    #[arg(long, default_value_t = 60)]
    rsa_devices: u64,

    /// Rounds, interleaved
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Devices of one large batch, whose memory is measured; 0 for none
    #[arg(long, default_value_t = 1_000_000)]
    million: u64,

    /// Devices that each peer makes; 0 for none
    #[arg(long, default_value_t = 30)]
    peers: u64,

    /// Folder for everything that is written, best a fresh file system
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,

    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// What something took.
#[derive(Clone, Copy)]
struct Taken {
    devices: u64,
    wall: Duration,
    cpu: Duration,
}

impl Taken {
    fn of(
        devices: u64,
        cpu: impl Fn() -> Result<Duration>,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        let (before, start) = (cpu()?, Instant::now());
        work()?;
        Ok(Self {
            devices,
            wall: start.elapsed(),
            cpu: cpu()? - before,
        })
    }

    fn rate(self) -> f64 {
        self.devices as f64 / self.wall.as_secs_f64()
    }

    fn per_cpu_second(self) -> f64 {
        self.devices as f64 / self.cpu.as_secs_f64()
    }
}

/// By rate, the one in the middle.
fn median(mut all: Vec<Taken>) -> Taken {
    all.sort_by(|one, other| one.rate().total_cmp(&other.rate()));
    all[all.len() / 2]
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let scratch = match &arguments.scratch {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let lab = Lab::new(scratch.path())?;
    println!(
        "{} threads, load average {}",
        lab.threads,
        fs::read_to_string("/proc/loadavg")?.trim()
    );
    let count = arguments.devices;
    let mut all: [Vec<Taken>; 5] = Default::default();
    for _ in 0..arguments.rounds {
        all[0].push(lab.bare_cryptography(count)?);
        all[1].push(lab.bare_files(count)?);
        all[2].push(lab.batch(count, Layout::Tar, KeyType::P256)?);
        all[3].push(lab.batch(count, Layout::Folder, KeyType::P256)?);
        all[4].push(lab.batch(count, Layout::Sharded, KeyType::P256)?);
    }
    let [cryptography, files, archive, folder, sharded] = all.map(median);
    println!("P-256, {count} devices              devices/s   devices/CPU s");
    for (name, taken) in [
        ("bare cryptography", cryptography),
        ("bare files, two a device", files),
        ("batch, one archive", archive),
        ("batch, two files a device", folder),
        ("batch, in 256 folders", sharded),
    ] {
        println!(
            "{name:32} {:12.0} {:12.0}",
            taken.rate(),
            taken.per_cpu_second()
        );
    }
    let floors = 1.0 / (1.0 / cryptography.rate() + 1.0 / files.rate());
    println!(
        "one archive / bare cryptography: {:.2} (target 0.7)",
        archive.rate() / cryptography.rate()
    );
    println!(
        "two files / both floors: {:.2} (target 0.8)",
        folder.rate() / floors
    );

    let count = arguments.rsa_devices;
    let mut all: [Vec<Taken>; 2] = Default::default();
    for _ in 0..arguments.rounds {
        all[0].push(lab.bare_rsa(count)?);
        all[1].push(lab.batch(count, Layout::Tar, KeyType::Rsa2048)?);
    }
    let [bare, batch] = all.map(median);
    println!(
        "RSA-2048, batch of {count}: {:.1} a CPU second",
        batch.per_cpu_second()
    );
    let against = |name: &str, keys: Taken| {
        println!(
            "RSA-2048, bare keys by {name}: {:.1} a CPU second; batch {:.2} of that (target 0.9)",
            keys.per_cpu_second(),
            batch.per_cpu_second() / keys.per_cpu_second()
        );
    };
    against("aws-lc", bare);

    if arguments.peers > 0 {
        for peer in &RSA_PEERS {
            if let Some(keys) = lab.peer(peer, arguments.peers)? {
                against(peer.name, keys);
            }
        }
        for peer in &PEERS {
            if let Some(taken) = lab.peer(peer, arguments.peers)? {
                let times = |ours: Taken| ours.per_cpu_second() / taken.per_cpu_second();
                println!(
                    "{}: {:.0} devices a CPU second; into an archive {:.1} times, as files {:.1} times",
                    peer.name,
                    taken.per_cpu_second(),
                    times(archive),
                    times(folder)
                );
            }
        }
    }
    if arguments.million > 0 {
        let taken = lab.batch(arguments.million, Layout::Tar, KeyType::P256)?;
        println!(
            "{} devices into one archive: {:.1} s, {:.0} devices/s, peak memory {} MB",
            arguments.million,
            taken.wall.as_secs_f64(),
            taken.rate(),
            peak_memory()?
        );
    }
    Ok(())
}

fn peak_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .ok_or("no VmHWM")?
        .trim()
        .trim_end_matches(" kB")
        .parse()?;
    Ok(kib / 1024)
}

struct Lab<'a> {
    dir: &'a Path,
    ca: CertificateAuthority,
    threads: NonZero<usize>,
}

impl<'a> Lab<'a> {
    fn new(dir: &'a Path) -> Result<Self> {
        let now = OffsetDateTime::now_utc();
        let subject = Subject::default();
        Ok(Self {
            dir,
            ca: CertificateAuthority::create_root(&subject, KeyType::P256, Validity::ROOT, now)?,
            threads: thread::available_parallelism()?,
        })
    }

    fn on_every_core(
        &self,
        count: u64,
        work: impl Fn(u64, u64) -> Result<()> + Sync,
    ) -> Result<Taken> {
        let threads = self.threads.get() as u64;
        Taken::of(count, cpu_of_this_process, || {
            thread::scope(|scope| {
                let each: Vec<_> = (0..threads)
                    .map(|number| {
                        let work = &work;
                        scope.spawn(move || {
                            work(number, count / threads).map_err(|error| error.to_string())
                        })
                    })
                    .collect();
                for one in each {
                    one.join().map_err(|_| "a thread ended")??;
                }
                Ok(())
            })
        })
    }

    fn bare_cryptography(&self, count: u64) -> Result<Taken> {
        let ca = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        self.on_every_core(count, |_, count| {
            let random = SystemRandom::new();
            for _ in 0..count {
                let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
                std::hint::black_box(key.to_pkcs8v1()?);
                std::hint::black_box(ca.sign(&random, &[0x5a; 400])?);
            }
            Ok(())
        })
    }

    fn bare_rsa(&self, count: u64) -> Result<Taken> {
        self.on_every_core(count, |_, count| {
            for _ in 0..count {
                let key = RsaKeyPair::generate(KeySize::Rsa2048)?;
                let der: Pkcs8V1Der<'static> = key.as_der()?;
                std::hint::black_box(der);
            }
            Ok(())
        })
    }

    fn bare_files(&self, count: u64) -> Result<Taken> {
        let dir = tempfile::tempdir_in(self.dir)?;
        let root = File::open(dir.path())?;
        self.on_every_core(count, |thread, count| {
            for number in 0..count {
                for (ending, size) in [("key", 241), ("crt", 1500)] {
                    let path = dir.path().join(format!("{thread}-{number:06}.{ending}"));
                    File::options()
                        .write(true)
                        .create_new(true)
                        .open(path)?
                        .write_all(&[0x5a; 1500][..size])?;
                }
                if number % 1000 == 999 {
                    rustix::fs::syncfs(&root)?;
                }
            }
            Ok(rustix::fs::syncfs(&root)?)
        })
    }

    fn batch(&self, count: u64, layout: Layout, key_type: KeyType) -> Result<Taken> {
        let dir = tempfile::tempdir_in(self.dir)?;
        let now = OffsetDateTime::now_utc();
        let plan = Plan {
            request: "bench".to_owned(),
            operator: "bench".to_owned(),
            key_type,
            window: self.ca.window(Validity::DEVICE, now)?,
            target: Target {
                layout,
                path: dir.path().join("out"),
                formats: vec![Format::Pem],
            },
            reissue: false,
            abandon: false,
            passphrase: None,
            threads: self.threads,
        };
        let source = Numbered::new("sensor-", 1, count, Vec::new())?;
        Taken::of(count, cpu_of_this_process, || {
            let mut ledger = Ledger::open(
                &dir.path().join("root.ledger"),
                self.ca.certificate(),
                Station::FIRST,
            )?;
            let batch = Batch {
                ledger: &mut ledger,
                ca: &self.ca,
                plan: &plan,
            };
            let mut said = 0;
            let summary = batch.run(&source, &AtomicBool::new(false), |_| {
                said += 1;
                true
            })?;
            match summary.failure {
                Some(error) => Err(error.into()),
                None if said == count => Ok(()),
                None => Err("not everything was issued".into()),
            }
        })
    }

    /// What a peer takes for `count` devices, or so many times as many; nothing if it is not installed.
    fn peer(&self, peer: &Peer, count: u64) -> Result<Option<Taken>> {
        let dir = tempfile::tempdir_in(self.dir)?;
        let key = self.ca.private_key().ok_or("the CA has no key")?;
        fs::write(dir.path().join("ca.pem"), self.ca.certificate_pem())?;
        fs::write(dir.path().join("ca.key"), key.to_pem())?;
        let count = count * peer.times;
        let run = |flag: &str, script: &str| {
            Command::new("sh")
                .args([flag, script])
                .env("COUNT", count.to_string())
                .current_dir(dir.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
        };
        if !run("-c", peer.needs)?.success() {
            println!("{}: not installed", peer.name);
            return Ok(None);
        }
        let taken = Taken::of(count, cpu_of_children, || {
            match run("-ec", peer.script)?.success() {
                true => Ok(()),
                false => Err(format!("{} failed", peer.name).into()),
            }
        })?;
        Ok(Some(taken))
    }
}

/// A program that does the same in the obvious way.
struct Peer {
    name: &'static str,
    /// Whether it is installed.
    needs: &'static str,
    /// How many times as many devices it makes as the slow ones.
    times: u64,
    /// Makes COUNT devices.
    script: &'static str,
}

/// What makes RSA keys by a library that could be linked. Python's cryptography brings an OpenSSL of its own, the latest;
/// certtool is GnuTLS's, whose keys nettle makes. A program that starts for each key does so in a tenth of its time.
const RSA_PEERS: [Peer; 3] = [
    Peer {
        name: "the OpenSSL in Python's cryptography",
        needs: "python3 -c 'import cryptography'",
        times: 2,
        script: "python3 -c '
import os
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import rsa
for i in range(int(os.environ[\"COUNT\"])):
    rsa.generate_private_key(65537, 2048).private_bytes(s.Encoding.DER, s.PrivateFormat.PKCS8, s.NoEncryption())
'",
    },
    Peer {
        name: "certtool",
        needs: "command -v certtool",
        times: 2,
        script: "i=0; while [ $i -lt $COUNT ]; do
           certtool --generate-privkey --key-type rsa --bits 2048 --outfile r.key
           i=$((i+1)); done",
    },
    Peer {
        name: "the system's OpenSSL",
        needs: "command -v openssl",
        times: 1,
        script: "i=0; while [ $i -lt $COUNT ]; do
           openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out r.key
           i=$((i+1)); done",
    },
];

/// The Python program makes the very certificate and files that a batch makes.
const PEERS: [Peer; 4] = [
    Peer {
        name: "the shell toolkit's openssl, EC",
        needs: "command -v openssl",
        times: 1,
        script: "i=0; while [ $i -lt $COUNT ]; do
           openssl ecparam -name prime256v1 -genkey -noout -out p$i.key
           openssl req -new -key p$i.key -subj /CN=p$i -out p$i.csr
           openssl x509 -req -in p$i.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 500 -out p$i.crt
           rm p$i.csr; i=$((i+1)); done",
    },
    Peer {
        name: "certtool",
        needs: "command -v certtool",
        times: 1,
        script: "echo 'tls_www_client' > t; i=0; while [ $i -lt $COUNT ]; do
           certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile c$i.key
           certtool --generate-certificate --load-privkey c$i.key --load-ca-certificate ca.pem --load-ca-privkey ca.key --template t --outfile c$i.crt
           i=$((i+1)); done",
    },
    Peer {
        name: "cfssl",
        needs: "command -v cfssl && command -v cfssljson",
        times: 1,
        script: "i=0; while [ $i -lt $COUNT ]; do
           echo '{\"CN\":\"f'$i'\",\"key\":{\"algo\":\"ecdsa\",\"size\":256}}' | cfssl gencert -ca ca.pem -ca-key ca.key - | cfssljson -bare f$i
           i=$((i+1)); done",
    },
    Peer {
        name: "Python's cryptography, one process",
        needs: "python3 -c 'import cryptography'",
        times: 100,
        script: "python3 -c '
import datetime, os
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.hazmat.primitives import hashes, serialization as s
from cryptography.hazmat.primitives.asymmetric import ec
pem = open(\"ca.pem\", \"rb\").read()
ca = x509.load_pem_x509_certificate(pem)
key = s.load_pem_private_key(open(\"ca.key\", \"rb\").read(), None)
now = datetime.datetime.now(datetime.timezone.utc)
usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
for i in range(int(os.environ[\"COUNT\"])):
    own = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f\"y{i}\")])
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(ca.subject).public_key(own.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + datetime.timedelta(500))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256()))
    with open(os.open(f\"y{i}.key\", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), \"wb\") as file:
        file.write(own.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    with open(f\"y{i}.crt\", \"xb\") as file:
        file.write(made.public_bytes(s.Encoding.PEM) + pem)
'",
    },
];
