//! Provisioning claims: certificates that a trusted user's app asks for, good for five minutes and for
//! provisioning by one template (developer guide, "Provisioning by trusted user").

use std::sync::Arc;

use serde_json::json;

use super::records::ProvisioningClaim;
use super::{ApiError, State, TemplateType, Timestamp, Transaction, templates};
use crate::policy::{NamedPolicy, PolicyDocument};
use crate::x509::X509;

/// How long a claim is served, in microseconds.
const LIFETIME: i64 = 5 * 60 * 1_000_000;

/// How long an expired claim is remembered, so that it can be said what it was, in microseconds.
const MEMORY: i64 = 24 * 3600 * 1_000_000;

/// Takes in a claim certificate issued for a template.
///
/// # Errors
/// `ResourceNotFoundException` without the template, `InvalidRequestException` when it is not for fleet
/// provisioning.
pub fn create(
    tx: &mut Transaction,
    template: &str,
    x509: X509,
) -> Result<Arc<ProvisioningClaim>, ApiError> {
    judge_template(tx, template)?;
    let id = x509.id.clone();
    tx.put_claim(ProvisioningClaim {
        id: id.clone(),
        template: template.to_owned(),
        expires_at: Timestamp(tx.now().0.saturating_add(LIFETIME)),
        ended: false,
        x509: Arc::new(x509),
    })?;
    let claim = tx.provisioning_claims.get(&id).cloned();
    claim.ok_or_else(|| ApiError::internal("the claim was not kept"))
}

/// Whether claims can be made for a template.
///
/// # Errors
/// As [`create`].
pub fn judge_template(state: &State, template: &str) -> Result<(), ApiError> {
    match templates::find(state, template)?.kind {
        TemplateType::FleetProvisioning => Ok(()),
        TemplateType::Jitp => Err(ApiError::invalid_request(format!(
            "Provisioning template {template} is of type JITP; claims are for FLEET_PROVISIONING"
        ))),
    }
}

/// Whether [`sweep`] would change something.
pub fn has_expired(state: &State, now: Timestamp) -> bool {
    let mut claims = state.provisioning_claims.values();
    claims.any(|claim| is_due(claim, now))
}

/// Ends the claims that have expired, and forgets those that are long gone.
///
/// # Errors
/// When a change cannot be stored.
pub fn sweep(tx: &mut Transaction) -> Result<(), ApiError> {
    let now = tx.now();
    let due: Vec<_> = tx
        .provisioning_claims
        .values()
        .filter(|claim| is_due(claim, now))
        .cloned()
        .collect();
    for claim in due {
        if claim.ended {
            tx.remove_claim(&claim.id);
        } else {
            let mut ended = ProvisioningClaim::clone(&claim);
            ended.ended = true;
            tx.put_claim(ended)?;
        }
    }
    Ok(())
}

fn is_due(claim: &ProvisioningClaim, now: Timestamp) -> bool {
    if claim.ended {
        claim.expires_at.0.saturating_add(MEMORY) <= now.0
    } else {
        claim.expires_at <= now
    }
}

/// What a claim may do: connect, ask for a certificate, and provision by its template.
///
/// # Errors
/// When this program's own document is not one; it is.
pub fn policy(state: &State, claim: &ProvisioningClaim) -> Result<NamedPolicy, ApiError> {
    let paths = [
        "$aws/certificates/create/*".to_owned(),
        "$aws/certificates/create-from-csr/*".to_owned(),
        format!("$aws/provisioning-templates/{}/provision/*", claim.template),
    ];
    let arns = |kind: &str| -> Vec<String> {
        let paths = paths.iter();
        paths.map(|path| state.scope.arn(kind, path)).collect()
    };
    let allow = |action: serde_json::Value, resource: serde_json::Value| json!({ "Effect": "Allow", "Action": action, "Resource": resource });
    let document = json!({
        "Version": "2012-10-17",
        "Statement": [
            allow(json!("iot:Connect"), json!("*")),
            allow(json!(["iot:Publish", "iot:Receive"]), json!(arns("topic"))),
            allow(json!("iot:Subscribe"), json!(arns("topicfilter"))),
        ],
    });
    let document = PolicyDocument::parse(&document.to_string())
        .map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(NamedPolicy {
        name: "the policy of provisioning claims".to_owned(),
        document: Arc::new(document),
    })
}
