//! AWS's limits on calls of the control plane: one table for the client that keeps within them and the
//! local core that can enforce them.
//!
//! AWS General Reference, "AWS IoT Core endpoints and quotas", the default values; calls a second for an
//! account and region, each operation counted by itself. What the page does not list is not limited here.

/// Calls a second of one operation that AWS serves before it answers `ThrottlingException` (HTTP 400),
/// or `None` when no quota is documented.
pub fn calls_per_second(operation: &str) -> Option<u32> {
    let index = CALLS_PER_SECOND
        .binary_search_by_key(&operation, |(name, _)| name)
        .ok()?;
    Some(CALLS_PER_SECOND[index].1)
}

/// Requests a second of one operation of the MQTT API of fleet provisioning, whose quotas are apart from those
/// of the operations of the same names over HTTP.
pub fn mqtt_calls_per_second(operation: &str) -> Option<u32> {
    match operation {
        "CreateKeysAndCertificate" | "RegisterThing" => Some(10),
        "CreateCertificateFromCsr" => Some(20),
        _ => None,
    }
}

/// Operation and calls a second, ordered by operation.
pub const CALLS_PER_SECOND: [(&str, u32); 94] = [
    ("AcceptCertificateTransfer", 10),
    ("AddThingToBillingGroup", 60),
    ("AddThingToThingGroup", 100),
    ("AttachPolicy", 15),
    ("AttachPrincipalPolicy", 15),
    ("AttachThingPrincipal", 100),
    ("CancelCertificateTransfer", 10),
    ("CreateBillingGroup", 25),
    ("CreateCertificateFromCsr", 15),
    ("CreateKeysAndCertificate", 10),
    ("CreatePolicy", 10),
    ("CreatePolicyVersion", 10),
    ("CreateProvisioningClaim", 10),
    ("CreateProvisioningTemplate", 10),
    ("CreateProvisioningTemplateVersion", 10),
    ("CreateThing", 100),
    ("CreateThingGroup", 25),
    ("CreateThingType", 15),
    ("CreateTopicRule", 5),
    ("DeleteBillingGroup", 15),
    ("DeleteCACertificate", 10),
    ("DeleteCertificate", 10),
    ("DeletePolicy", 10),
    ("DeletePolicyVersion", 10),
    ("DeleteProvisioningTemplate", 10),
    ("DeleteProvisioningTemplateVersion", 10),
    ("DeleteRegistrationCode", 10),
    ("DeleteThing", 100),
    ("DeleteThingGroup", 15),
    ("DeleteThingType", 15),
    ("DeleteTopicRule", 20),
    ("DeprecateThingType", 15),
    ("DescribeBillingGroup", 100),
    ("DescribeCACertificate", 10),
    ("DescribeCertificate", 10),
    ("DescribeEndpoint", 10),
    ("DescribeEventConfigurations", 10),
    ("DescribeProvisioningTemplate", 10),
    ("DescribeProvisioningTemplateVersion", 10),
    ("DescribeThing", 350),
    ("DescribeThingGroup", 100),
    ("DescribeThingType", 100),
    ("DetachPolicy", 15),
    ("DetachPrincipalPolicy", 15),
    ("DetachThingPrincipal", 100),
    ("DisableTopicRule", 5),
    ("EnableTopicRule", 5),
    ("GetEffectivePolicies", 5),
    ("GetPolicy", 10),
    ("GetPolicyVersion", 15),
    ("GetRegistrationCode", 10),
    ("GetTopicRule", 200),
    ("ListAttachedPolicies", 15),
    ("ListBillingGroups", 10),
    ("ListCACertificates", 10),
    ("ListCertificates", 10),
    ("ListCertificatesByCA", 10),
    ("ListOutgoingCertificates", 10),
    ("ListPolicies", 10),
    ("ListPolicyPrincipals", 10),
    ("ListPolicyVersions", 10),
    ("ListPrincipalPolicies", 15),
    ("ListPrincipalThings", 10),
    ("ListPrincipalThingsV2", 10),
    ("ListProvisioningTemplateVersions", 10),
    ("ListProvisioningTemplates", 10),
    ("ListTagsForResource", 10),
    ("ListTargetsForPolicy", 10),
    ("ListThingGroups", 10),
    ("ListThingGroupsForThing", 100),
    ("ListThingPrincipals", 20),
    ("ListThingPrincipalsV2", 20),
    ("ListThingTypes", 10),
    ("ListThings", 10),
    ("ListThingsInBillingGroup", 25),
    ("ListThingsInThingGroup", 25),
    ("ListTopicRules", 2),
    ("RegisterCACertificate", 10),
    ("RegisterCertificate", 10),
    ("RegisterCertificateWithoutCA", 10),
    ("RegisterThing", 10),
    ("RejectCertificateTransfer", 10),
    ("RemoveThingFromBillingGroup", 15),
    ("RemoveThingFromThingGroup", 100),
    ("ReplaceTopicRule", 5),
    ("SetDefaultPolicyVersion", 10),
    ("TagResource", 10),
    ("TestAuthorization", 10),
    ("TransferCertificate", 10),
    ("UntagResource", 10),
    ("UpdateCACertificate", 10),
    ("UpdateCertificate", 10),
    ("UpdateThing", 100),
    ("UpdateThingGroupsForThing", 10),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ordered_and_names_every_operation_once() {
        assert!(CALLS_PER_SECOND.is_sorted_by(|left, right| left.0 < right.0));
    }

    #[test]
    fn an_operation_without_a_documented_quota_has_none() {
        assert_eq!(calls_per_second("AttachPolicy"), Some(15));
        assert_eq!(calls_per_second("DescribeThing"), Some(350));
        assert_eq!(calls_per_second("UpdateEventConfigurations"), None);
    }
}
