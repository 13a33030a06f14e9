//! How a registered CA differs from what `register` would make of it.

use std::collections::BTreeSet;

use jitp_core::ca::CertificateAuthority;
use serde_json::Value;

use crate::{Cloud, Registration, RegistrationConfig, RegistrationError};

/// One difference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Drift {
    /// What differs: `status`, `roleArn`, or a JSON path into the template.
    pub what: String,
    /// What the account has; empty for nothing.
    pub registered: String,
    /// What would be registered; empty for nothing.
    pub wanted: String,
}

impl Drift {
    fn new(what: impl Into<String>, registered: impl Into<String>, wanted: &str) -> Self {
        Self {
            what: what.into(),
            registered: registered.into(),
            wanted: wanted.to_owned(),
        }
    }
}

impl Cloud {
    /// Compares a registered CA with what it would be registered with; nothing is changed. No difference
    /// means that `register` would report no change.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn drift(
        &self,
        ca: &CertificateAuthority,
        registration: &Registration<'_>,
    ) -> Result<Vec<Drift>, RegistrationError> {
        let wanted = self.wanted_config(registration).await?;
        let id = ca.certificate().id().as_str();
        let Some(found) = self.registered_ca(id).await? else {
            return Ok(vec![Drift::new("registration", "", id)]);
        };
        let mut drift = Vec::new();
        let mut compare = |what: &str, registered: &str, wanted: &str| {
            if registered != wanted {
                drift.push(Drift::new(what, registered, wanted));
            }
        };
        let status = if found.active { "ACTIVE" } else { "INACTIVE" };
        compare("status", status, "ACTIVE");
        let auto = if found.auto_registration {
            "ENABLE"
        } else {
            "DISABLE"
        };
        compare("autoRegistrationStatus", auto, "ENABLE");
        compare(
            "certificateMode",
            found.mode.as_str(),
            registration.mode.as_str(),
        );
        match (found.registration_config, wanted) {
            (
                Some(RegistrationConfig::Body {
                    template_body: body,
                    role_arn: role,
                }),
                RegistrationConfig::Body {
                    template_body,
                    role_arn,
                },
            ) => {
                compare("roleArn", &role, &role_arn);
                let (one, other) = (parse(&body), parse(&template_body));
                differences("$", Some(&one), Some(&other), &mut drift);
            }
            (Some(RegistrationConfig::Name(name)), RegistrationConfig::Name(wanted)) => {
                compare("templateName", &name, &wanted);
            }
            (Some(RegistrationConfig::Name(name)), RegistrationConfig::Body { .. }) => {
                compare("templateName", &name, "");
            }
            (None, RegistrationConfig::Body { template_body, .. }) => {
                compare("registrationConfig", "", &template_body);
            }
            (_, RegistrationConfig::Name(wanted)) => compare("templateName", "", &wanted),
        }
        Ok(drift)
    }
}

/// A body that is no JSON is compared as text.
fn parse(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()))
}

fn differences(path: &str, one: Option<&Value>, other: Option<&Value>, drift: &mut Vec<Drift>) {
    match (one, other) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let path = format!("{path}.{key}");
                differences(&path, left.get(key), right.get(key), drift);
            }
        }
        (one, other) if one == other => {}
        (one, other) => {
            let text = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
            drift.push(Drift::new(path, text(one), &text(other)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_named_by_their_path_and_order_is_none() {
        let one = json!({"a": {"b": 1, "c": [1, 2]}, "d": "x"});
        let other = json!({"e": null, "a": {"c": [2, 1], "b": 1}});
        let mut drift = Vec::new();
        differences("$", Some(&one), Some(&other), &mut drift);
        assert_eq!(
            drift,
            [
                Drift::new("$.a.c", "[1,2]", "[2,1]"),
                Drift::new("$.d", "\"x\"", ""),
                Drift::new("$.e", "", "null"),
            ]
        );
        let mut none = Vec::new();
        differences("$", Some(&one), Some(&one), &mut none);
        assert_eq!(none, []);
    }
}
