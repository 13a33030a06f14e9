//! Functions: programs and endpoints behind the ARNs of pre-provisioning hooks, and those created by the
//! Lambda API. A program is the very `bootstrap` that is deployed, and speaks the Lambda Runtime API.

mod endpoint;
mod invoke;
mod log;
mod package;
mod pool;
mod process;
mod runtime_api;
mod source;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::account::{self, Account, Function, functions as account_functions};
use crate::diary::Diary;
use pool::{Launch, Pool};

pub(crate) use invoke::{operations, plug_in};
pub(crate) use package::check as check_package;
pub use source::{GivenFunction, Source};

/// Why a function gave no answer; each reads on after the name of the function.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("is no ARN of a function (arn:aws:lambda:REGION:ACCOUNT:function:NAME)")]
    NoFunctionArn,
    #[error(
        "leads to no function here; start the local core with --function {name}=PATH, or create the function {name} by the Lambda API"
    )]
    Unknown { name: String },
    #[error(
        "has no permission for {service} on behalf of {source_arn} in account {account}; give it one: aws lambda add-permission --function-name {name} --statement-id iot --action lambda:InvokeFunction --principal {service}"
    )]
    NotPermitted {
        name: String,
        service: String,
        source_arn: String,
        account: String,
    },
    #[error("cannot be started: {0}")]
    Start(String),
    #[error("gave no answer within {} s", .0.as_secs_f64())]
    TooSlow(Duration),
    #[error("ended without an answer ({0})")]
    Crashed(String),
    #[error("failed: {0}")]
    Failed(String),
    #[error("failed: {}", log::shortened(.0))]
    Reported(Bytes),
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("is busy, and the local core is stopping")]
    Stopping,
}

/// Who calls a function, as its permissions judge it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    /// Service principal, for example `iot.amazonaws.com`.
    pub(crate) service: &'a str,
    /// ARN on whose behalf it is called.
    pub(crate) source_arn: &'a str,
    /// Account on whose behalf it is called.
    pub(crate) source_account: &'a str,
}

/// What functions are made from.
#[derive(Clone, Debug)]
pub(crate) struct FunctionSettings {
    /// The account whose functions they are.
    pub(crate) account: Account,
    /// Where their logs and failures are told.
    pub(crate) diary: Diary,
    /// The functions given by hand.
    pub(crate) given: Vec<GivenFunction>,
    /// What their programs find in their environment, to reach this core.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// The functions of a local core. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Functions {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    account: Account,
    diary: Diary,
    given: BTreeMap<String, Source>,
    environment: Vec<(&'static str, String)>,
    /// Pools by the name of the function, and what they were made of.
    pools: Mutex<HashMap<String, (String, Arc<Pool>)>>,
    /// Where zip files are unpacked; made when first needed.
    unpacked: package::Folder,
}

impl Functions {
    pub(crate) fn new(settings: FunctionSettings) -> Self {
        let given = settings.given.into_iter();
        Self {
            inner: Arc::new(Inner {
                account: settings.account,
                diary: settings.diary,
                given: given.map(|given| (given.name, given.source)).collect(),
                environment: settings.environment,
                pools: Mutex::default(),
                unpacked: package::Folder::default(),
            }),
        }
    }

    /// Calls the function behind an ARN on behalf of a service. One created by the API must permit it.
    pub(crate) async fn call(
        &self,
        arn: &str,
        payload: Bytes,
        caller: &Caller<'_>,
        deadline: Duration,
    ) -> Result<Bytes, CallError> {
        let name = self.callable(arn, caller)?;
        self.invoke(name, payload, deadline).await
    }

    /// The name of the function behind an ARN, if a service may call it on behalf of a resource.
    pub(crate) fn callable<'a>(
        &self,
        arn: &'a str,
        caller: &Caller<'_>,
    ) -> Result<&'a str, CallError> {
        let name = name_in_arn(arn).ok_or(CallError::NoFunctionArn)?;
        if !self.inner.given.contains_key(name) {
            let function = self.created(name)?;
            let Caller {
                service,
                source_arn,
                source_account,
            } = *caller;
            if !account_functions::may_be_called(&function, service, source_arn, source_account) {
                return Err(CallError::NotPermitted {
                    name: name.to_owned(),
                    service: service.to_owned(),
                    source_arn: source_arn.to_owned(),
                    account: source_account.to_owned(),
                });
            }
        }
        Ok(name)
    }

    /// Calls a function by its name, which takes `longest` at most, its start included.
    pub(crate) async fn invoke(
        &self,
        name: &str,
        payload: Bytes,
        longest: Duration,
    ) -> Result<Bytes, CallError> {
        let (pool, longest) = match self.inner.given.get(name) {
            Some(Source::Endpoint(endpoint)) => {
                let asked = endpoint::post(endpoint, payload);
                return match tokio::time::timeout(longest, asked).await {
                    Ok(answered) => answered,
                    Err(_) => Err(CallError::TooSlow(longest)),
                };
            }
            Some(Source::Program(path)) => (self.given_pool(name, path)?, longest),
            None => {
                let function = self.created(name)?;
                let own = Duration::from_secs(function.timeout);
                (self.created_pool(&function)?, longest.min(own))
            }
        };
        pool.call(payload, longest).await
    }

    /// Ends the programs, each by its process id, and waits until they are gone.
    pub(crate) async fn stop(&self) {
        let pools: Vec<_> = self.inner.pools.lock().drain().collect();
        for (_, (_, pool)) in pools {
            pool.stop().await;
        }
    }

    /// Whether a function was given by hand.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.inner.given.contains_key(name)
    }

    /// Whether there is a function of this name, given or created.
    pub(crate) fn is_there(&self, name: &str) -> bool {
        self.is_given(name) || self.created(name).is_ok()
    }

    fn created(&self, name: &str) -> Result<Arc<Function>, CallError> {
        let state = self.inner.account.snapshot();
        let function = state.functions.get(name).cloned();
        function.ok_or_else(|| CallError::Unknown {
            name: name.to_owned(),
        })
    }

    fn given_pool(&self, name: &str, path: &std::path::Path) -> Result<Arc<Pool>, CallError> {
        self.pool(name, "given", || {
            let program = match path.is_dir() {
                true => path.join("bootstrap"),
                false => path.to_owned(),
            };
            Ok(Launch {
                // It was written by hand, and may rely on what the caller's environment has.
                inherits: true,
                ..self.launch(name, program)
            })
        })
    }

    fn created_pool(&self, function: &Function) -> Result<Arc<Pool>, CallError> {
        self.pool(&function.name, &function.revision_id, || {
            if function.architecture != HOST_ARCHITECTURE {
                return Err(CallError::Start(format!(
                    "it was created for {}, and this machine is {HOST_ARCHITECTURE}; build it for this machine and pass --architectures {HOST_ARCHITECTURE}",
                    function.architecture
                )));
            }
            let folder = self.inner.unpacked.unpack(function)?;
            let mut launch = self.launch(&function.name, folder.join("bootstrap"));
            launch.arn.clone_from(&function.arn);
            launch.handler.clone_from(&function.handler);
            launch.memory_size = function.memory_size;
            launch.environment.extend(function.environment.clone());
            Ok(launch)
        })
    }

    fn launch(&self, name: &str, program: PathBuf) -> Launch {
        let environment = self.inner.environment.iter();
        Launch {
            name: name.to_owned(),
            arn: account_functions::arn(&self.inner.account.snapshot(), name),
            program,
            handler: "bootstrap".to_owned(),
            memory_size: 128,
            inherits: false,
            environment: environment
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        }
    }

    /// The pool of a function as it is now; the programs of what it was before are ended.
    fn pool(
        &self,
        name: &str,
        revision: &str,
        launch: impl FnOnce() -> Result<Launch, CallError>,
    ) -> Result<Arc<Pool>, CallError> {
        let mut pools = self.inner.pools.lock();
        let state = self.inner.account.snapshot();
        // Those of functions that were deleted go as well.
        pools.retain(|name, _| {
            self.inner.given.contains_key(name) || state.functions.contains_key(name)
        });
        if let Some((made_of, pool)) = pools.get(name)
            && made_of == revision
        {
            return Ok(Arc::clone(pool));
        }
        let pool = Arc::new(Pool::new(launch()?, self.inner.diary.clone()));
        pools.insert(name.to_owned(), (revision.to_owned(), Arc::clone(&pool)));
        Ok(pool)
    }
}

/// The name in `arn:aws:lambda:REGION:ACCOUNT:function:NAME`, with or without a version or alias behind
/// it. Region and account are not looked at: there is one of each.
fn name_in_arn(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    let head = [parts.next()?, parts.next()?, parts.next()?];
    if head[0] != "arn" || head[2] != "lambda" {
        return None;
    }
    (parts.nth(2)? == "function").then_some(())?;
    parts.next().filter(|name| !name.is_empty())
}

/// As AWS Lambda calls the processors of this machine.
pub(crate) const HOST_ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

/// An account's refusal, said by the API.
impl From<CallError> for account::ApiError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unknown { .. } | CallError::NoFunctionArn => {
                Self::not_found(format!("The function {error}"))
            }
            other => Self::new("ServiceException", format!("The function {other}")),
        }
    }
}
