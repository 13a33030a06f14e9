//! What AWS IoT asks a pre-provisioning hook, and what it hears (developer guide, "Pre-provisioning hooks", payload
//! version 2020-04-01). The crate `aws_lambda_events` has no such event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A device wants to be provisioned. Members that are unknown are left aside; those that are missing are an error, and
/// so a refusal.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The certificate the device is connected with: its claim, or, when it renews, the one it has.
    pub claim_certificate_id: String,
    /// The certificate it is to get.
    pub certificate_id: String,
    /// ARN of the template.
    pub template_arn: String,
    /// MQTT client id of the connection.
    pub client_id: String,
    /// What the device says of itself.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// Whether the device is provisioned, and with which parameters instead of its own.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Whether it is provisioned.
    pub allow_provisioning: bool,
    /// Added to, or in place of, what the device said.
    pub parameter_overrides: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_of_the_developer_guide_is_read() {
        let request: Request = serde_json::from_str(
            r#"{
                "claimCertificateId": "aa", "certificateId": "bb", "certificatePem": "-----BEGIN…",
                "templateArn": "arn:aws:iot:us-east-1:1234567890:provisioningtemplate/MyTemplate",
                "clientId": "221a6d10-9c7f-42f1-9153-e52e6fc869c1",
                "parameters": { "SerialNumber": "N" }
            }"#,
        )
        .unwrap();
        assert_eq!(request.parameters["SerialNumber"], "N");
        assert!(serde_json::from_str::<Request>(r#"{"parameters":{}}"#).is_err());
    }

    #[test]
    fn the_answer_has_the_members_aws_reads() {
        let refusal = serde_json::to_string(&Answer::default()).unwrap();
        assert_eq!(
            refusal,
            r#"{"allowProvisioning":false,"parameterOverrides":{}}"#
        );
    }
}
