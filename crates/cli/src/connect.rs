//! Connecting as a device: flags, files and endpoint become the options of an MQTT session.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jitp_core::failure::Class;
use jitp_core::mqtt::{Endpoint, Event, Identity, Options, Retry, Session, Trust, Version};
use jitp_core::names::ThingName;
use jitp_core::store::{DeviceIdentity, Store};

use crate::common::Common;
use crate::environment;
use crate::failure::{Failure, Result};
use crate::input::read_file;

// Where to connect. (No docstring: clap would show it as what the program does.)
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection options")]
pub struct EndpointFlags {
    /// MQTT endpoint, `host` or `host:port` [default: AWS_IOT_ENDPOINT, then DescribeEndpoint]
    #[arg(long, value_name = "ENDPOINT", env = environment::AWS_IOT_ENDPOINT, hide_env = true)]
    endpoint: Option<String>,

    /// PEM file of the roots the endpoint is judged by [default: AWS_IOT_CAFILE, then the Amazon roots]
    #[arg(long, value_name = "FILE", env = environment::AWS_IOT_CAFILE, hide_env = true)]
    cafile: Option<PathBuf>,
}

impl EndpointFlags {
    /// Whether flag or environment name an endpoint, so that nobody has to be asked for it.
    pub fn is_told(&self) -> bool {
        self.endpoint.is_some()
    }

    /// The endpoint: as told, or by `describe_endpoint`, which asks the account.
    ///
    /// # Errors
    /// When it is none, or the account cannot be asked.
    pub async fn endpoint(
        &self,
        describe_endpoint: impl AsyncFnOnce() -> Result<String>,
    ) -> Result<Endpoint> {
        match &self.endpoint {
            Some(endpoint) => endpoint.parse(),
            None => describe_endpoint().await?.parse(),
        }
        .map_err(|error| Failure::new(Class::Configuration, format!("{error}")))
    }

    /// The roots the endpoint is judged by.
    ///
    /// # Errors
    /// When the file cannot be read or holds none.
    pub fn trust(&self) -> Result<Trust> {
        let Some(path) = &self.cafile else {
            return Ok(Trust::amazon_roots());
        };
        let pem = read_file(path, "the root certificates")?;
        Trust::from_pem(&pem, path.display().to_string())
            .map_err(|error| Failure::new(Class::Configuration, format!("{error}")))
    }
}

// Flags of programs that connect as a device. (No docstring: clap would show it as what the program does.)
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection options")]
pub struct ConnectFlags {
    #[command(flatten)]
    endpoint: EndpointFlags,

    /// MQTT version, 5 or 3.1.1
    #[arg(long, value_name = "VERSION", default_value_t = Version::default())]
    mqtt_version: Version,

    /// Seconds to keep trying to get in
    #[arg(long, value_name = "SECONDS", default_value_t = 75, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    connect_timeout: u64,
}

impl ConnectFlags {
    /// Everything a session needs. `describe_endpoint` asks the account for its endpoint, when
    /// neither flag nor environment names one.
    ///
    /// # Errors
    /// When the device has no certificate here, or endpoint or roots cannot be used.
    pub async fn options(
        &self,
        common: &Common,
        device: &ThingName,
        describe_endpoint: impl AsyncFnOnce() -> Result<String>,
    ) -> Result<Options> {
        let store = Store::open(&common.dir)?;
        let identity = store.load_device(device)?;
        if let Some(warning) = store.device_key_warning(device) {
            common.warn(warning.to_string());
        }
        self.options_for(
            device.as_str(),
            mqtt_identity(&identity)?,
            describe_endpoint,
        )
        .await
    }

    /// As [`ConnectFlags::options`], for a certificate of any kind and a client id.
    ///
    /// # Errors
    /// When endpoint or roots cannot be used.
    pub async fn options_for(
        &self,
        client_id: &str,
        identity: Identity,
        describe_endpoint: impl AsyncFnOnce() -> Result<String>,
    ) -> Result<Options> {
        let trust = self.endpoint.trust()?;
        let endpoint = self.endpoint.endpoint(describe_endpoint).await?;
        let mut options = Options::new(endpoint, client_id, identity, trust);
        options.version = self.mqtt_version;
        let total_timeout = Duration::from_secs(self.connect_timeout);
        options.retry = Retry {
            // An attempt takes a second at the least: the time the caller gave is the limit.
            attempts: u32::try_from(self.connect_timeout).unwrap_or(u32::MAX),
            total_timeout,
            attempt_timeout: Retry::default().attempt_timeout.min(total_timeout),
            ..Retry::default()
        };
        Ok(options)
    }

    /// Connects, telling a person about every attempt.
    ///
    /// # Errors
    /// As [`ConnectFlags::options`], and when the device does not get in.
    pub async fn session(
        &self,
        common: &Common,
        device: &ThingName,
        describe_endpoint: impl AsyncFnOnce() -> Result<String>,
    ) -> Result<Session> {
        let options = self.options(common, device, describe_endpoint).await?;
        let narrator = common.clone();
        let name = device.clone();
        Ok(Session::connect(options, move |event| narrate(&narrator, &name, event)).await?)
    }
}

/// Says what happens to a connection, for a person.
fn narrate(common: &Common, device: &ThingName, event: &Event) {
    // The first attempt is nothing to talk about.
    if !matches!(event, Event::Attempt { .. }) {
        common.say(format!("{device}: {event}"));
    }
}

/// A key and its certificates as an MQTT session presents them.
///
/// # Errors
/// When they cannot be used in TLS.
pub fn mqtt_identity(device: &DeviceIdentity) -> Result<Identity> {
    let key = device.private_key().to_pem();
    Identity::from_pem(device.chain_pem().as_bytes(), key.as_bytes())
        .map_err(|error| Failure::new(Class::Configuration, format!("{error}")))
}
