//! What a device's certificate is to say, as flags.

use clap::Args;
use jitp_cli::Result;
use jitp_core::ca::{Attribute, DeviceSubject, KeyType, Profile, Validity};
use jitp_core::names::ThingName;

#[derive(Args)]
#[command(next_help_heading = "Certificate options")]
pub(super) struct CertificateFlags {
    /// Key type: p256, p384, rsa2048, rsa3072 or rsa4096 [default: p256]
    #[arg(long, value_name = "TYPE")]
    pub(super) key_type: Option<KeyType>,

    /// How long it is valid: days, a date, or `ca` for as long as the CA [default: 500]
    #[arg(long, value_name = "DAYS|DATE|ca")]
    pub(super) validity: Option<Validity>,

    /// Country in the subject, two letters
    #[arg(long, value_name = "C")]
    country: Option<String>,

    /// Organization in the subject
    #[arg(long, value_name = "O")]
    organization: Option<String>,

    /// Organizational unit in the subject
    #[arg(long, value_name = "OU")]
    organizational_unit: Option<String>,

    /// State or province in the subject
    #[arg(long, value_name = "ST")]
    state: Option<String>,

    /// Distinguished name qualifier in the subject
    #[arg(long, value_name = "TEXT")]
    dn_qualifier: Option<String>,

    /// Serial number of the device in the subject (not the certificate's own)
    #[arg(long, value_name = "TEXT")]
    serial_number: Option<String>,
}

impl CertificateFlags {
    /// The attributes that were given.
    pub(super) fn attributes(&self) -> Vec<(Attribute, String)> {
        let optional = [
            (Attribute::Country, &self.country),
            (Attribute::Organization, &self.organization),
            (Attribute::OrganizationalUnit, &self.organizational_unit),
            (Attribute::State, &self.state),
            (Attribute::DnQualifier, &self.dn_qualifier),
            (Attribute::SerialNumber, &self.serial_number),
        ];
        let given =
            |(attribute, value): (Attribute, &Option<String>)| Some((attribute, value.clone()?));
        optional.into_iter().filter_map(given).collect()
    }

    pub(super) fn subject(&self, device: &ThingName) -> Result<DeviceSubject> {
        let mut subject = DeviceSubject::new(device.clone())?;
        for (attribute, value) in self.attributes() {
            subject = subject.with(attribute, &value)?;
        }
        Ok(subject)
    }

    pub(super) fn profile(&self) -> Profile {
        let mut profile = Profile::device();
        if let Some(key_type) = self.key_type {
            profile = profile.with_key_type(key_type);
        }
        if let Some(validity) = self.validity {
            profile = profile.with_validity(validity);
        }
        profile
    }
}
