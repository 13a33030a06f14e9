//! The pre-provisioning hook: asked before a template is executed, and denied whatever is not a clear
//! yes within five seconds (developer guide, "Pre-provisioning hooks").

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Inner;
use super::register::refuse_reserved;
use super::rejection::Rejection;
use crate::account::{Certificate, State};
use crate::functions::Caller;

/// How long a hook has, its start included.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// The only version of the payload there is.
const PAYLOAD_VERSION: &str = "2020-04-01";

/// What a hook is told, in the form of payloadVersion 2020-04-01.
pub(super) struct HookCall<'a> {
    pub(super) claim_certificate_id: &'a str,
    pub(super) certificate: &'a Certificate,
    pub(super) template_arn: &'a str,
    pub(super) client_id: &'a str,
    pub(super) parameters: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    claim_certificate_id: &'a str,
    certificate_id: &'a str,
    certificate_pem: &'a str,
    template_arn: &'a str,
    client_id: &'a str,
    parameters: &'a BTreeMap<String, String>,
}

/// What a hook answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    allow_provisioning: bool,
    #[serde(default)]
    parameter_overrides: Option<BTreeMap<String, String>>,
}

impl Inner {
    /// Asks a template's hook; the parameters it overrides or adds.
    pub(super) async fn ask_hook(
        &self,
        state: &State,
        hook: &Value,
        call: &HookCall<'_>,
    ) -> Result<BTreeMap<String, String>, Rejection> {
        let arn = hook["targetArn"].as_str().unwrap_or_default();
        let denied = |why: String| Rejection::access_denied(format!("the hook {arn} {why}"));
        let version = hook["payloadVersion"].as_str().unwrap_or(PAYLOAD_VERSION);
        if version != PAYLOAD_VERSION {
            return Err(denied(format!(
                "has payloadVersion {version}; there is {PAYLOAD_VERSION}"
            )));
        }
        let event = Event {
            claim_certificate_id: call.claim_certificate_id,
            certificate_id: &call.certificate.id,
            certificate_pem: &call.certificate.pem,
            template_arn: call.template_arn,
            client_id: call.client_id,
            parameters: call.parameters,
        };
        let payload = serde_json::to_vec(&event)
            .map_err(|error| denied(format!("cannot be told the request: {error}")))?;
        let caller = Caller {
            service: "iot.amazonaws.com",
            source_arn: call.template_arn,
            source_account: &state.scope.account_id,
        };
        let answer = self
            .functions
            .call(arn, payload.into(), &caller, DEADLINE)
            .await
            .map_err(|error| denied(error.to_string()))?;
        let verdict: Verdict = serde_json::from_slice(&answer)
            .map_err(|error| denied(format!("answered nonsense: {error}")))?;
        if !verdict.allow_provisioning {
            return Err(denied("answered allowProvisioning false".to_owned()));
        }
        let overrides = verdict.parameter_overrides.unwrap_or_default();
        refuse_reserved(&overrides).map_err(|refused| {
            denied(format!("overrides what it may not: {}", refused.reason()))
        })?;
        Ok(overrides)
    }
}
