//! The AWS IoT control plane in the toolkit's words.
//!
//! All calls of the AWS SDK are in here, because its generated client is by far the longest part
//! of every build.

mod ca;
mod error;
mod registration;
mod registry;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use clap::Args;

pub use ca::{CertificateMode, RegisteredCa, RegistrationConfig};
pub use error::CloudError;
pub use registration::{Outcome, Registered, Registration, RegistrationError};

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
    region: String,
    account: Option<String>,
}

impl Cloud {
    /// Resolves region and credentials and, where the caller named an account, makes sure that the
    /// credentials belong to it, before anything is done.
    ///
    /// # Errors
    /// When no region is configured, or the account is another one.
    pub async fn connect(settings: &CloudSettings) -> Result<Self, CloudError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(5))
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
            loader = loader.profile_name(profile);
        }
        let config = loader.load().await;
        let region = config
            .region()
            .map(ToString::to_string)
            .ok_or(CloudError::NoRegion)?;
        let cloud = Self {
            iot: aws_sdk_iot::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            region,
            account: settings.account.clone(),
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
            .sts
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("GetCallerIdentity", error))?;
        identity
            .account
            .ok_or_else(|| CloudError::incomplete("GetCallerIdentity", "Account"))
    }

    /// The account's MQTT endpoint (`iot:Data-ATS`), as the service names it.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn endpoint(&self) -> Result<String, CloudError> {
        let endpoint = self
            .iot
            .describe_endpoint()
            .endpoint_type("iot:Data-ATS")
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("DescribeEndpoint", error))?;
        endpoint
            .endpoint_address
            .ok_or_else(|| CloudError::incomplete("DescribeEndpoint", "endpointAddress"))
    }
}
