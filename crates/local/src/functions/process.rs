//! One process of a function: started, given work, ended by its own process id.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::CallError;
use super::log;
use super::pool::Launch;
use super::runtime_api::{Desk, Outcome, Work, router};
use crate::diary::Diary;

/// How long one is waited for that was told to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// A running process, and the Runtime API it was told of. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    desk: Arc<Desk>,
    work: mpsc::Sender<Work>,
    serving: JoinHandle<()>,
    /// Whether it has done work before.
    is_used: bool,
}

/// What has become of a piece of work.
#[derive(Debug)]
pub(super) enum Done {
    /// The process reported, and can be given more.
    Outcome(Outcome),
    /// It ended before it had fetched the work, which another process may do.
    NotBegun(CallError),
    /// It ended.
    Ended(CallError),
}

impl Process {
    pub(super) async fn start(launch: &Launch, diary: &Diary) -> Result<Self, CallError> {
        let failed =
            |error: &io::Error| CallError::Start(format!("{}: {error}", launch.program.display()));
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .map_err(|error| failed(&error))?;
        let address = listener.local_addr().map_err(|error| failed(&error))?;
        let (work, fetched) = mpsc::channel(1);
        let desk = Arc::new(Desk::new(fetched));
        let api = router(Arc::clone(&desk));
        let serving = tokio::spawn(async move {
            // It serves until it is aborted.
            let _ = axum::serve(listener, api).await;
        });
        let mut command = command(launch, &address.to_string());
        let mut child = match spawn(&mut command).await {
            Ok(child) => child,
            Err(error) => {
                serving.abort();
                return Err(failed(&error));
            }
        };
        // They end with the process, whose last words are worth most.
        log::follow(child.stdout.take(), &launch.name, diary);
        log::follow(child.stderr.take(), &launch.name, diary);
        Ok(Self {
            child,
            desk,
            work,
            serving,
            is_used: false,
        })
    }

    /// Does one piece of work; the caller sees to the time it takes, and drops a process that is late.
    pub(super) async fn work(&mut self, work: Work) -> Done {
        let outcome = self.desk.expect(&work.request_id);
        let was_used = std::mem::replace(&mut self.is_used, true);
        // There is room: it is given one piece at a time.
        let _ = self.work.try_send(work);
        tokio::select! {
            biased;
            outcome = outcome => match outcome {
                Ok(outcome) => Done::Outcome(outcome),
                Err(_) => Done::Ended(CallError::Crashed("its work was lost".to_owned())),
            },
            status = self.child.wait() => {
                let error = self.ended(status);
                match was_used && !self.desk.was_fetched() {
                    true => Done::NotBegun(error),
                    false => Done::Ended(error),
                }
            }
        }
    }

    fn ended(&self, status: io::Result<ExitStatus>) -> CallError {
        let how = match status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        match self.desk.init_error() {
            Some(said) => CallError::Start(format!("{how}; it said {}", log::shortened(&said))),
            None => CallError::Crashed(how),
        }
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it, and waits until it is gone.
    pub(super) async fn stop(mut self) {
        self.kill();
        if tokio::time::timeout(FAREWELL, self.child.wait())
            .await
            .is_err()
        {
            tracing::warn!("a function's process does not end");
        }
    }

    fn kill(&mut self) {
        // Its id is its own as long as it was not waited for; what it has started itself is in its group.
        let group = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.start_kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        self.serving.abort();
    }
}

fn command(launch: &Launch, api: &str) -> Command {
    let folder = launch.program.parent();
    let mut command = Command::new(&launch.program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if !launch.inherits {
        command.env_clear();
        for name in ["PATH", "TZ"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("LANG", "en_US.UTF-8");
    }
    if let Some(folder) = folder.filter(|folder| folder.is_dir()) {
        command.current_dir(folder).env("LAMBDA_TASK_ROOT", folder);
    }
    command
        .envs(&launch.environment)
        .env("AWS_LAMBDA_RUNTIME_API", api)
        .env("AWS_LAMBDA_FUNCTION_NAME", &launch.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env(
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            launch.memory_size.to_string(),
        )
        .env(
            "AWS_LAMBDA_LOG_GROUP_NAME",
            format!("/aws/lambda/{}", launch.name),
        )
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "local")
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("_HANDLER", &launch.handler);
    command
}

/// Starts it. A program just written may be open for writing in a child another thread is about to start;
/// that passes.
async fn spawn(command: &mut Command) -> io::Result<Child> {
    for _ in 0..50 {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            started => return started,
        }
    }
    command.spawn()
}
