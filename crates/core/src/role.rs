//! The ARN of a role that provisioning assumes: checked where it is given, not by the service much later.

use std::{fmt, str::FromStr};

use crate::failure::{Class, Classified};

/// ARN of an IAM role, `arn:aws:iam::123456789012:role/IoTProvisioning` (IAM user guide, "IAM identifiers").
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoleArn(String);

/// The text is no ARN of a role.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{text:?} is not the ARN of a role: {fault}; it is written arn:aws:iam::123456789012:role/IoTProvisioning, with \
     your account's number"
)]
pub struct RoleArnError {
    text: String,
    fault: &'static str,
}

impl RoleArn {
    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account the role is of, 12 digits.
    pub fn account(&self) -> &str {
        // from_str() has seen that it is there.
        self.0.split(':').nth(4).unwrap_or_default()
    }
}

impl FromStr for RoleArn {
    type Err = RoleArnError;

    fn from_str(text: &str) -> Result<Self, RoleArnError> {
        let refuse = |fault| RoleArnError {
            text: text.chars().take(LONGEST_SHOWN).collect(),
            fault,
        };
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [arn, partition, service, region, account, resource] = parts[..] else {
            return Err(refuse("it does not have six parts"));
        };
        if arn != "arn" || !(partition == "aws" || partition.starts_with("aws-")) {
            return Err(refuse("it does not begin with arn:aws"));
        }
        if service != "iam" || !region.is_empty() {
            return Err(refuse("it is not of IAM, which has no regions"));
        }
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refuse("an account is 12 digits"));
        }
        let Some(name) = resource.strip_prefix("role/") else {
            return Err(refuse("what it names is no role"));
        };
        // A path may stand before the name: role/service-role/IoTProvisioning.
        let (path, name) = name.rsplit_once('/').unwrap_or(("", name));
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(in_a_name) {
            return Err(refuse(
                "a role's name is 1 to 64 characters of a-z A-Z 0-9 + = , . @ _ -",
            ));
        }
        if path.len() > LONGEST_PATH || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("the path before the name is not one"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Classified for RoleArnError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

/// The alphabet of roles' names (IAM API reference, "CreateRole", RoleName).
fn in_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte)
}

/// IAM API reference, "CreateRole", RoleName.
const LONGEST_NAME: usize = 64;
/// IAM API reference, "CreateRole", Path, without its slashes.
const LONGEST_PATH: usize = 510;
/// Of a text that is no ARN, this much is said back.
const LONGEST_SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_known_by_its_account_in_every_partition_and_under_a_path() {
        for text in [
            "arn:aws:iam::123456789012:role/IoTProvisioning",
            "arn:aws-cn:iam::123456789012:role/IoTProvisioning",
            "arn:aws:iam::123456789012:role/service-role/factory/Made_by+me@2.0",
        ] {
            let role: RoleArn = text.parse().unwrap();
            assert_eq!(role.account(), "123456789012");
            assert_eq!(role.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_role_is_refused_with_what_is_wrong() {
        for (text, fault) in [
            ("", "six parts"),
            ("nonsense", "six parts"),
            ("arm:aws:iam::123456789012:role/a", "arn:aws"),
            ("arn:aws:sts::123456789012:role/a", "IAM"),
            ("arn:aws:iam:eu-central-1:123456789012:role/a", "IAM"),
            ("arn:aws:iam::12345678901:role/a", "12 digits"),
            ("arn:aws:iam::12345678901x:role/a", "12 digits"),
            ("arn:aws:iam::123456789012:user/a", "no role"),
            ("arn:aws:iam::123456789012:role/", "name"),
            ("arn:aws:iam::123456789012:role/a b", "name"),
            ("arn:aws:iam::123456789012:role/\u{e9}", "name"),
        ] {
            let refusal = text.parse::<RoleArn>().unwrap_err().to_string();
            assert!(refusal.contains(fault), "{text}: {refusal}");
        }
    }
}
