//! The AWS IoT control plane in the toolkit's words.
//!
//! All calls of the AWS SDK are in here, because its generated client is by far the longest part
//! of every build.

mod bounded;
mod ca;
mod call;
mod certificates;
mod claims;
mod creating;
mod deleting;
mod deploying;
mod drift;
mod environment;
mod error;
mod groups;
mod keeping;
mod kms;
mod mappings;
mod orphans;
mod pace;
mod policies;
mod queue_age;
mod queues;
mod registration;
mod registry;
mod statuses;
mod sweep;
mod teardown;
mod templates;
mod templating;
mod things;
mod twins;
mod waiting;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use bounded::Bounded;
use clap::Args;
use pace::Pace;
use tokio::sync::RwLock;

pub use ca::{CertificateMode, RegisteredCa, RegistrationConfig};
pub use certificates::{CertificateDetails, CertificateStatus, CertificateSummary, IssuedByAws};
pub use claims::{
    ClaimError, ClaimStopped, CreatedClaim, NewClaim, TemporaryClaim, claim_policy,
    claim_policy_name, device_policy,
};
pub use creating::{
    CreatedThing, Creation, CreationError, CreationOutcome, CreationStopped, IssueError,
    IssueThing, Policy, Source, Unfinished,
};
pub use deleting::{Certificates, Deletion, Step, Stopped, own_policy};
pub use deploying::{
    Artefacts, Bucket, Compared, DeployError, Direct, NewStack, Package, Proposal, ResourceChange,
    Sought, StackEvent, StackState,
};
pub use drift::Drift;
pub use environment::{
    Documents, EVENTS, Environment, EnvironmentError, EnvironmentPlan, EnvironmentStep, Hook,
    HookError, Part, PartState, Place,
};
pub use error::CloudError;
pub use jitp_stack::Resource as StackResource;
pub use keeping::KEEP;
pub use kms::{KmsError, KmsKey};
pub use mappings::{Mapping, MappingError};
pub use orphans::Mark;
pub use pace::Quotas;
pub use policies::{PolicyDetails, PolicyState};
pub use queues::{Queue, QueueMessage, QueueState, Undeleted};
pub use registration::{Outcome, Registered, RegisteredTemplate, Registration, RegistrationError};
pub use registry::Missing;
pub use statuses::StatusChange;
pub use sweep::{Finding, Kind, Removal, Sweep};
pub use teardown::{Left, Teardown, TeardownError, TeardownReach, TeardownStep};
pub use templates::{
    NewTemplate, ProvisioningTemplate, TemplateChange, TemplateKind, TemplateSummary,
    TemplateVersion,
};
pub use templating::{AppliedTemplate, Change, TemplatingError, VersionRoom};
pub use things::Thing;

// Which account and region to talk to; what is `None` is resolved as every AWS tool does. (No docstring: clap would show it as what the program does.)
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "AWS options")]
pub struct CloudSettings {
    /// AWS region [default: as for every AWS tool]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,

    /// AWS profile [default: as for every AWS tool]
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,

    /// Account you mean; programs stop if the credentials belong to another [default: AWS_ACCOUNT]
    #[arg(long, value_name = "ID", env = "AWS_ACCOUNT", hide_env = true, value_parser = account_id)]
    pub account: Option<String>,

    /// Limits on calls a second to keep within: aws, off, or auto for aws only where calls go to AWS
    #[arg(
        long,
        value_enum,
        value_name = "QUOTAS",
        default_value_t,
        hide_possible_values = true
    )]
    pub quotas: Quotas,
}

/// The SDK panics over an endpoint that is no URL.
fn check_endpoints() -> Result<(), CloudError> {
    for name in [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_CLOUDFORMATION",
        "AWS_ENDPOINT_URL_CLOUDWATCH",
        "AWS_ENDPOINT_URL_IAM",
        "AWS_ENDPOINT_URL_IOT",
        "AWS_ENDPOINT_URL_KMS",
        "AWS_ENDPOINT_URL_LAMBDA",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_SQS",
        "AWS_ENDPOINT_URL_STS",
    ] {
        let Some(value) = std::env::var_os(name) else {
            continue;
        };
        let value = value.to_string_lossy();
        let host = value
            .strip_prefix("http://")
            .or_else(|| value.strip_prefix("https://"));
        let plain = |host: &str| {
            host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
                && host.chars().all(|letter| letter.is_ascii_graphic())
        };
        if !host.is_some_and(plain) {
            return Err(CloudError::NoUrl {
                variable: name,
                value: value.into_owned(),
            });
        }
    }
    Ok(())
}

/// Whether calls go to AWS itself. Only `AWS_ENDPOINT_URL` and its kin lead elsewhere.
fn is_aws(endpoint_url: Option<&str>) -> bool {
    let elsewhere = |url: &str| !url.contains(".amazonaws.com");
    let of_iot = std::env::var("AWS_ENDPOINT_URL_IOT").unwrap_or_default();
    let urls = [endpoint_url.unwrap_or_default(), &of_iot];
    !urls.iter().any(|url| !url.is_empty() && elsewhere(url))
}

/// An account id is 12 digits.
fn account_id(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an AWS account id has 12 digits".to_owned())
    }
}

/// A connection to the control plane of one account in one region.
#[derive(Clone, Debug)]
pub struct Cloud {
    iot: aws_sdk_iot::Client,
    sts: aws_sdk_sts::Client,
    // Made when they are first asked for: a program that never does is spared their code.
    cloudformation: OnceLock<aws_sdk_cloudformation::Client>,
    cloudwatch: OnceLock<aws_sdk_cloudwatch::Client>,
    iam: OnceLock<aws_sdk_iam::Client>,
    lambda: OnceLock<aws_sdk_lambda::Client>,
    s3: OnceLock<aws_sdk_s3::Client>,
    sqs: OnceLock<aws_sdk_sqs::Client>,
    /// What further clients are made of.
    config: SdkConfig,
    region: String,
    account: Option<String>,
    pace: Arc<Pace>,
    /// Whether a CA registers unknown certificates, by its id; asked once.
    auto_registering: Arc<Mutex<HashMap<String, bool>>>,
    /// Read-locked from asking for a certificate until its key is on the disk.
    asking: Arc<RwLock<()>>,
}

impl Cloud {
    /// Resolves region and credentials and, where the caller named an account, makes sure that the
    /// credentials belong to it, before anything is done.
    ///
    /// # Errors
    /// When no region is configured, or the account is another one.
    pub async fn connect(settings: &CloudSettings) -> Result<Self, CloudError> {
        check_endpoints()?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::disabled()) // see call.rs
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(5))
                    .operation_attempt_timeout(Duration::from_secs(20))
                    .operation_timeout(Duration::from_secs(60))
                    .build(),
            );
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &settings.profile {
            // Named outright it goes before credentials in the environment, as with the AWS CLI.
            let credentials = ProfileFileCredentialsProvider::builder().profile_name(profile);
            loader = loader
                .profile_name(profile)
                .credentials_provider(credentials.build());
        }
        let config = loader.load().await;
        let region = config
            .region()
            .map(ToString::to_string)
            .filter(|region| !region.is_empty())
            .ok_or(CloudError::NoRegion)?;
        let quotas_count = match settings.quotas {
            Quotas::Auto => is_aws(config.endpoint_url()),
            Quotas::Aws => true,
            Quotas::Off => false,
        };
        let cloud = Self {
            cloudformation: OnceLock::new(),
            cloudwatch: OnceLock::new(),
            iam: OnceLock::new(),
            lambda: OnceLock::new(),
            iot: aws_sdk_iot::Client::from_conf(
                aws_sdk_iot::config::Builder::from(&config)
                    .interceptor(Bounded::CONTROL)
                    .build(),
            ),
            s3: OnceLock::new(),
            sqs: OnceLock::new(),
            sts: aws_sdk_sts::Client::from_conf(
                aws_sdk_sts::config::Builder::from(&config)
                    .interceptor(Bounded::CONTROL)
                    .build(),
            ),
            region,
            config,
            account: settings.account.clone(),
            pace: Arc::new(Pace::new(quotas_count)),
            auto_registering: Arc::default(),
            asking: Arc::default(),
        };
        if let Some(meant) = &cloud.account {
            let found = cloud.account_of_credentials().await?;
            if found != *meant {
                return Err(CloudError::OtherAccount {
                    meant: meant.clone(),
                    found,
                });
            }
        }
        Ok(cloud)
    }

    fn cloudformation(&self) -> &aws_sdk_cloudformation::Client {
        self.cloudformation.get_or_init(|| {
            aws_sdk_cloudformation::Client::from_conf(
                aws_sdk_cloudformation::config::Builder::from(&self.config)
                    .interceptor(Bounded::CONTROL)
                    .build(),
            )
        })
    }

    fn cloudwatch(&self) -> &aws_sdk_cloudwatch::Client {
        self.cloudwatch.get_or_init(|| {
            aws_sdk_cloudwatch::Client::from_conf(
                aws_sdk_cloudwatch::config::Builder::from(&self.config)
                    .interceptor(Bounded::CONTROL)
                    .build(),
            )
        })
    }

    fn iam(&self) -> &aws_sdk_iam::Client {
        self.iam.get_or_init(|| {
            aws_sdk_iam::Client::from_conf(
                aws_sdk_iam::config::Builder::from(&self.config)
                    .interceptor(Bounded::CONTROL)
                    .build(),
            )
        })
    }

    fn lambda(&self) -> &aws_sdk_lambda::Client {
        self.lambda.get_or_init(|| {
            aws_sdk_lambda::Client::from_conf(
                aws_sdk_lambda::config::Builder::from(&self.config)
                    .interceptor(Bounded::CONTROL)
                    .build(),
            )
        })
    }

    fn s3(&self) -> &aws_sdk_s3::Client {
        self.s3.get_or_init(|| {
            aws_sdk_s3::Client::from_conf(
                aws_sdk_s3::config::Builder::from(&self.config)
                    .interceptor(Bounded::CONTROL)
                    // A package takes its time on a slow line.
                    .timeout_config(
                        TimeoutConfig::builder()
                            .connect_timeout(Duration::from_secs(5))
                            .operation_attempt_timeout(Duration::from_secs(600))
                            .build(),
                    )
                    // A bucket is a host only where AWS answers.
                    .force_path_style(!is_aws(self.config.endpoint_url()))
                    .build(),
            )
        })
    }

    fn sqs(&self) -> &aws_sdk_sqs::Client {
        self.sqs.get_or_init(|| {
            aws_sdk_sqs::Client::from_conf(
                aws_sdk_sqs::config::Builder::from(&self.config)
                    .interceptor(Bounded::MESSAGES)
                    .build(),
            )
        })
    }

    /// The region calls go to.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The account calls go to: 12 digits.
    ///
    /// # Errors
    /// When STS cannot be asked.
    pub async fn account(&self) -> Result<String, CloudError> {
        match &self.account {
            Some(account) => Ok(account.clone()),
            None => self.account_of_credentials().await,
        }
    }

    async fn account_of_credentials(&self) -> Result<String, CloudError> {
        let identity = self
            .call("GetCallerIdentity", || {
                self.sts.get_caller_identity().send()
            })
            .await?;
        identity
            .account
            .ok_or_else(|| CloudError::incomplete("GetCallerIdentity", "Account"))
    }

    /// The account's MQTT endpoint (`iot:Data-ATS`), as the service names it.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn endpoint(&self) -> Result<String, CloudError> {
        let send = || {
            let call = self.iot.describe_endpoint();
            call.endpoint_type("iot:Data-ATS").send()
        };
        let endpoint = self.call("DescribeEndpoint", send).await?;
        endpoint
            .endpoint_address
            .ok_or_else(|| CloudError::incomplete("DescribeEndpoint", "endpointAddress"))
    }
}
