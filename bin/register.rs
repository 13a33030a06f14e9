//! Register a CA with AWS IoT, together with the template that provisions its devices.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jitp_cli::{CloudFlags, Common, Failure, Report, Result};
use jitp_cloud::{CertificateMode, Cloud, CloudError, RegistrationConfig};
use jitp_core::ca::{CertificateAuthority, RegistrationCode};
use jitp_core::failure::Class;
use jitp_core::names::CaName;
use jitp_core::store::Store;
use jitp_core::template::Template;
use serde::Serialize;
use time::OffsetDateTime;

fn main() -> ExitCode {
    jitp_cli::run(register)
}
