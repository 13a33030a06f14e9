//! A station: a working folder, a fresh local core, and the programs as processes.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use jitp_local::server::{Local, Options};
use serde_json::Value;
use tempfile::TempDir;

/// Where a program of this build is.
pub(crate) fn program(name: &str) -> &'static Path {
    let path = match name {
        "create-root" => env!("CARGO_BIN_EXE_create-root"),
        "create-intermediate" => env!("CARGO_BIN_EXE_create-intermediate"),
        "register" => env!("CARGO_BIN_EXE_register"),
        "provision" => env!("CARGO_BIN_EXE_provision"),
        "ledger" => env!("CARGO_BIN_EXE_ledger"),
        "create-thing" => env!("CARGO_BIN_EXE_create-thing"),
        "delete-thing" => env!("CARGO_BIN_EXE_delete-thing"),
        "enable-certificate" => env!("CARGO_BIN_EXE_enable-certificate"),
        "disable-certificate" => env!("CARGO_BIN_EXE_disable-certificate"),
        "device-status" => env!("CARGO_BIN_EXE_device-status"),
        "thing-certificates" => env!("CARGO_BIN_EXE_thing-certificates"),
        "sweep" => env!("CARGO_BIN_EXE_sweep"),
        "ca" => env!("CARGO_BIN_EXE_ca"),
        "fleet-provision" => env!("CARGO_BIN_EXE_fleet-provision"),
        "needs-renewal" => env!("CARGO_BIN_EXE_needs-renewal"),
        "create-claim" => env!("CARGO_BIN_EXE_create-claim"),
        "template" => env!("CARGO_BIN_EXE_template"),
        "environment" => env!("CARGO_BIN_EXE_environment"),
        "deploy" => env!("CARGO_BIN_EXE_deploy"),
        "queue" => env!("CARGO_BIN_EXE_queue"),
        "lint" => env!("CARGO_BIN_EXE_lint"),
        "teardown" => env!("CARGO_BIN_EXE_teardown"),
        "pub" => env!("CARGO_BIN_EXE_pub"),
        "sub" => env!("CARGO_BIN_EXE_sub"),
        "loadtest" => env!("CARGO_BIN_EXE_loadtest"),
        "loadtest-full" => env!("CARGO_BIN_EXE_loadtest-full"),
        "iot-local" => env!("CARGO_BIN_EXE_iot-local"),
        other => panic!("no program called {other}"),
    };
    Path::new(path)
}

/// Every program of the toolkit.
pub(crate) const PROGRAMS: [&str; 27] = [
    "create-root",
    "create-intermediate",
    "register",
    "provision",
    "ledger",
    "pub",
    "sub",
    "create-thing",
    "delete-thing",
    "enable-certificate",
    "disable-certificate",
    "device-status",
    "thing-certificates",
    "sweep",
    "ca",
    "fleet-provision",
    "needs-renewal",
    "create-claim",
    "template",
    "teardown",
    "environment",
    "deploy",
    "queue",
    "lint",
    "loadtest",
    "loadtest-full",
    "iot-local",
];

/// A program's end: what it printed and its exit code.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }

    /// Asserts exit code 0 and hands on stdout.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }

    /// Asserts this exit code, an empty stdout, and hands on stderr.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:#?}");
        assert_eq!(self.stdout, "", "a failed run answers nothing: {self:#?}");
        self.stderr
    }

    /// The answer as JSON lines.
    #[track_caller]
    pub(crate) fn json(self) -> Vec<Value> {
        self.ok()
            .lines()
            .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
            .collect()
    }
}

/// A working folder without any service behind it.
pub(crate) struct Folder {
    dir: TempDir,
    environment: Vec<(String, String)>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary folder"),
            environment: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A request as a device makes it, with a key that stays there.
    pub(crate) fn write_request(&self, name: &str) {
        let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1);
        let key = openssl::ec::EcKey::generate(&group.expect("a curve")).expect("a key");
        let key = openssl::pkey::PKey::from_ec_key(key).expect("a key");
        let mut request = openssl::x509::X509ReqBuilder::new().expect("a request");
        request.set_pubkey(&key).expect("its key");
        request
            .sign(&key, openssl::hash::MessageDigest::sha256())
            .expect("signed");
        let pem = request.build().to_pem().expect("PEM");
        std::fs::write(self.path(name), pem).expect("written");
    }

    /// Names in the folder, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.dir.path())
            .expect("the folder is there")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.into()));
    }

    /// A variable of the environment that programs start with here.
    pub(crate) fn variable(&self, name: &str) -> String {
        let found = self.environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// A program, ready to start in this folder with nothing of the caller's environment.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S]) -> Command {
        let mut command = Command::new(program(name));
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a program to its end; one that takes more than a minute has hung.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S]) -> Ended {
        self.finish(self.start(name, arguments))
    }

    pub(crate) fn start<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S]) -> Child {
        self.command(name, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    /// Waits for a program's end while reading what it prints; one that takes a minute and a half
    /// has hung, and is ended.
    pub(crate) fn finish(&self, child: Child) -> Ended {
        let id = child.id().to_string();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        match receiver.recv_timeout(Duration::from_secs(90)) {
            Ok(output) => Ended::of(output.expect("the output can be read")),
            Err(_) => {
                let _ = Command::new("kill").args(["-KILL", &id]).status();
                panic!("hung: {:#?}", receiver.recv());
            }
        }
    }
}

/// A folder with a fresh local core behind it.
pub(crate) struct Station {
    pub(crate) folder: Folder,
    pub(crate) core: Local,
}

impl Station {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let core = Local::start(options).await.expect("the core starts");
        let mut folder = Folder::new();
        for (name, value) in core.environment() {
            folder.set(name, value);
        }
        Self { folder, core }
    }

    /// A station whose CA `root` exists and is registered.
    pub(crate) async fn registered() -> Self {
        let station = Self::start().await;
        station.run("create-root", &[] as &[&str]).await.ok();
        station.run("register", &[] as &[&str]).await.ok();
        station
    }

    /// Runs a program while the core goes on serving.
    pub(crate) async fn run<S: AsRef<OsStr>>(&self, name: &str, arguments: &[S]) -> Ended {
        let child = self.folder.start(name, arguments);
        tokio::task::block_in_place(|| self.folder.finish(child))
    }
}
