//! One moment of an account: persistent maps, cheap to clone, read without locks.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::clock::Timestamp;
use super::records::{
    BillingGroup, CaCertificate, Certificate, CertificateStatus, EventConfigurations,
    EventSourceMapping, Function, OwnershipToken, Policy, ProvisioningClaim, ProvisioningTemplate,
    Role, Thing, ThingGroup, ThingPrincipalType, ThingType, TopicRule,
};
use crate::policy::NamedPolicy;
use crate::x509::X509;

/// Where the account is: the parts of every ARN.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scope {
    /// Region, for example `eu-west-1`.
    pub region: String,
    /// Account id, 12 digits.
    pub account_id: String,
}

impl Scope {
    /// `arn:aws:iot:REGION:ACCOUNT:KIND/NAME`.
    pub fn arn(&self, kind: &str, name: &str) -> String {
        format!(
            "arn:aws:iot:{}:{}:{kind}/{name}",
            self.region, self.account_id
        )
    }

    /// The name in an ARN of this account and the given kind.
    pub fn name_in<'a>(&self, arn: &'a str, kind: &str) -> Option<&'a str> {
        let rest = arn.strip_prefix("arn:aws:iot:")?;
        let rest = rest.strip_prefix(self.region.as_str())?.strip_prefix(':')?;
        let rest = rest
            .strip_prefix(self.account_id.as_str())?
            .strip_prefix(':')?;
        rest.strip_prefix(kind)?.strip_prefix('/')
    }
}

/// Everything an account holds at one moment.
///
/// A change copies the parts of a map that lead to what it changes, with dozens of keys in each. Maps that grow with the
/// devices have keys that are shared, and copied without memory of their own.
#[derive(Clone)]
#[non_exhaustive]
pub struct State {
    /// The parts of every ARN.
    pub scope: Arc<Scope>,
    /// `host` or `host:port` of the data endpoint.
    pub endpoint: Arc<str>,
    /// The registration code, once one was asked for: 64 hex digits.
    pub registration_code: Option<Arc<str>>,
    /// CA certificates by id.
    pub ca_certificates: OrdMap<String, Arc<CaCertificate>>,
    /// Device certificates by id.
    pub certificates: OrdMap<Arc<str>, Arc<Certificate>>,
    /// Things by name.
    pub things: OrdMap<Arc<str>, Arc<Thing>>,
    /// Policies by name.
    pub policies: OrdMap<String, Arc<Policy>>,
    /// Thing types by name.
    pub thing_types: OrdMap<String, Arc<ThingType>>,
    /// Thing groups by name.
    pub thing_groups: OrdMap<String, Arc<ThingGroup>>,
    /// Billing groups by name.
    pub billing_groups: OrdMap<String, Arc<BillingGroup>>,
    /// Provisioning templates by name.
    pub provisioning_templates: OrdMap<String, Arc<ProvisioningTemplate>>,
    /// Temporary claim certificates by id.
    pub provisioning_claims: OrdMap<String, Arc<ProvisioningClaim>>,
    /// Ownership tokens by the SHA-256 of their text, in hex.
    pub(super) ownership_tokens: OrdMap<String, Arc<OwnershipToken>>,
    /// Functions of AWS Lambda by name.
    pub functions: OrdMap<String, Arc<Function>>,
    /// Event source mappings of AWS Lambda by id.
    pub event_sources: OrdMap<String, Arc<EventSourceMapping>>,
    /// Roles of IAM by name.
    pub roles: OrdMap<String, Arc<Role>>,
    /// Topic rules by name.
    pub topic_rules: OrdMap<String, Arc<TopicRule>>,
    /// Tags by resource ARN.
    pub tags: OrdMap<String, Arc<BTreeMap<String, String>>>,
    /// Registry events switched on.
    pub event_configurations: Arc<EventConfigurations>,

    /// Policies attached to a target (certificate ARN, group ARN, Cognito identity).
    pub(super) policies_by_target: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    /// Targets a policy is attached to.
    pub(super) targets_by_policy: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    /// Principals (ARN) of a thing.
    pub(super) principals_by_thing: OrdMap<Arc<str>, OrdMap<Arc<str>, ThingPrincipalType>>,
    /// Things of a principal (ARN).
    pub(super) things_by_principal: OrdMap<Arc<str>, OrdMap<Arc<str>, ThingPrincipalType>>,
    /// Things directly in a group.
    pub(super) things_by_group: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    /// Groups a thing is directly in.
    pub(super) groups_by_thing: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    /// Groups directly in a group.
    pub(super) children_by_group: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    /// Things of a billing group.
    pub(super) things_by_billing_group: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    /// Things of a type.
    pub(super) things_by_type: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    /// CA ids by the DER of their subject.
    pub(super) cas_by_subject: OrdMap<Vec<u8>, OrdSet<String>>,
    /// Things by age.
    pub(super) things_by_age: OrdSet<(Timestamp, Arc<str>)>,
    /// Device certificates by age.
    pub(super) certificates_by_age: OrdSet<(Timestamp, Arc<str>)>,
    /// Device certificates of a CA by age.
    pub(super) certificates_by_ca: OrdMap<Arc<str>, OrdSet<(Timestamp, Arc<str>)>>,
    /// Ownership tokens by the moment they expire.
    pub(super) ownership_tokens_by_expiry: OrdSet<(Timestamp, String)>,
}

impl State {
    pub(super) fn new(scope: Scope, endpoint: &str) -> Self {
        Self {
            scope: Arc::new(scope),
            endpoint: endpoint.into(),
            registration_code: None,
            ca_certificates: OrdMap::new(),
            certificates: OrdMap::new(),
            things: OrdMap::new(),
            policies: OrdMap::new(),
            thing_types: OrdMap::new(),
            thing_groups: OrdMap::new(),
            billing_groups: OrdMap::new(),
            provisioning_templates: OrdMap::new(),
            provisioning_claims: OrdMap::new(),
            ownership_tokens: OrdMap::new(),
            ownership_tokens_by_expiry: OrdSet::new(),
            functions: OrdMap::new(),
            event_sources: OrdMap::new(),
            roles: OrdMap::new(),
            topic_rules: OrdMap::new(),
            tags: OrdMap::new(),
            event_configurations: Arc::default(),
            policies_by_target: OrdMap::new(),
            targets_by_policy: OrdMap::new(),
            principals_by_thing: OrdMap::new(),
            things_by_principal: OrdMap::new(),
            things_by_group: OrdMap::new(),
            groups_by_thing: OrdMap::new(),
            children_by_group: OrdMap::new(),
            things_by_billing_group: OrdMap::new(),
            things_by_type: OrdMap::new(),
            cas_by_subject: OrdMap::new(),
            things_by_age: OrdSet::new(),
            certificates_by_age: OrdSet::new(),
            certificates_by_ca: OrdMap::new(),
        }
    }

    /// Whether connections of a certificate may go on: it is ACTIVE, or a claim that has not expired.
    pub fn may_stay_connected(&self, id: &str) -> bool {
        match self.certificates.get(id) {
            Some(certificate) => certificate.status == CertificateStatus::Active,
            None => self
                .provisioning_claims
                .get(id)
                .is_some_and(|claim| !claim.ended),
        }
    }

    /// ARN of a certificate id, as principals and policy targets are written.
    pub fn certificate_arn(&self, id: &str) -> String {
        self.scope.arn("cert", id)
    }

    /// Names of the policies attached to a target ARN, in alphabetical order.
    pub fn policy_names_of_target(&self, target: &str) -> Vec<String> {
        names(&self.policies_by_target, target)
    }

    /// Targets a policy is attached to, in alphabetical order.
    pub fn targets_of_policy(&self, policy: &str) -> Vec<String> {
        names(&self.targets_by_policy, policy)
    }

    /// The default versions of the policies attached to a certificate itself.
    pub fn policies_of_certificate(&self, id: &str) -> Vec<NamedPolicy> {
        self.named(self.policy_names_of_target(&self.certificate_arn(id)))
    }

    /// The default versions of the policies on the groups a thing is in, their parents included; they
    /// apply to a connection whose client id is the thing name (developer guide, "Thing groups").
    pub fn policies_of_thing_groups(&self, thing: &str) -> Vec<NamedPolicy> {
        let mut wanted = BTreeSet::new();
        for group in self.groups_of_thing(thing) {
            for group in self.group_and_ancestors(&group) {
                wanted.extend(self.policy_names_of_target(&group.arn));
            }
        }
        self.named(wanted)
    }

    /// Whether a connection of this certificate, for this thing, may do what it might `before`: nothing that is asked for
    /// has changed. May say no where it was something else that changed.
    pub fn grants_as(&self, before: &Self, certificate_id: &str, thing: &str) -> bool {
        let arn = self.certificate_arn(certificate_id);
        same(&self.certificates, &before.certificates, certificate_id)
            && same(
                &self.provisioning_claims,
                &before.provisioning_claims,
                certificate_id,
            )
            && same(&self.things, &before.things, thing)
            && self.principals_by_thing.get(thing) == before.principals_by_thing.get(thing)
            && self.policies_by_target.get(arn.as_str()) == before.policies_by_target.get(arn.as_str())
            && self.policies.ptr_eq(&before.policies)
            // Of a thing in no group, groups change nothing.
            && !self.groups_by_thing.contains_key(thing)
            && !before.groups_by_thing.contains_key(thing)
    }

    /// Default versions of the policies named; names without a policy are left out.
    pub fn named(&self, names: impl IntoIterator<Item = String>) -> Vec<NamedPolicy> {
        names
            .into_iter()
            .filter_map(|name| {
                let document = Arc::clone(&self.policies.get(&name)?.default_document()?.document);
                Some(NamedPolicy { name, document })
            })
            .collect()
    }

    /// Things a certificate is attached to, in alphabetical order, and how.
    pub fn things_of_certificate(&self, id: &str) -> Vec<(Arc<Thing>, ThingPrincipalType)> {
        self.things_of_principal(&self.certificate_arn(id))
    }

    /// Things a principal ARN is attached to, in alphabetical order, and how.
    pub fn things_of_principal(&self, principal: &str) -> Vec<(Arc<Thing>, ThingPrincipalType)> {
        let Some(things) = self.things_by_principal.get(principal) else {
            return Vec::new();
        };
        things
            .iter()
            .filter_map(|(name, kind)| Some((Arc::clone(self.things.get(name)?), *kind)))
            .collect()
    }

    /// The thing a certificate is attached to exclusively.
    pub fn exclusive_thing_of_certificate(&self, id: &str) -> Option<Arc<Thing>> {
        self.things_of_certificate(id)
            .into_iter()
            .find_map(|(thing, kind)| (kind == ThingPrincipalType::ExclusiveThing).then_some(thing))
    }

    /// How a certificate is attached to a thing, if it is.
    pub fn attachment(&self, thing: &str, certificate_id: &str) -> Option<ThingPrincipalType> {
        let principals = self.principals_by_thing.get(thing)?;
        principals
            .get(self.certificate_arn(certificate_id).as_str())
            .copied()
    }

    /// Principal ARNs of a thing, in alphabetical order, and how they are attached.
    pub fn principals_of_thing(&self, thing: &str) -> Vec<(String, ThingPrincipalType)> {
        let Some(principals) = self.principals_by_thing.get(thing) else {
            return Vec::new();
        };
        principals
            .iter()
            .map(|(principal, kind)| (principal.to_string(), *kind))
            .collect()
    }

    /// Groups a thing is directly in, in alphabetical order.
    pub fn groups_of_thing(&self, thing: &str) -> Vec<String> {
        names(&self.groups_by_thing, thing)
    }

    /// Things directly in a group, in alphabetical order.
    pub fn things_of_group(&self, group: &str) -> Vec<String> {
        names(&self.things_by_group, group)
    }

    /// Groups directly in a group, in alphabetical order.
    pub fn children_of_group(&self, group: &str) -> Vec<String> {
        names(&self.children_by_group, group)
    }

    /// Things of a billing group, in alphabetical order.
    pub fn things_of_billing_group(&self, group: &str) -> Vec<String> {
        names(&self.things_by_billing_group, group)
    }

    /// A group and every group above it, itself first.
    pub fn group_and_ancestors(&self, group: &str) -> Vec<Arc<ThingGroup>> {
        let mut path = Vec::new();
        let mut next = self.thing_groups.get(group);
        while let Some(group) = next {
            path.push(Arc::clone(group));
            next = group
                .parent
                .as_ref()
                .and_then(|parent| self.thing_groups.get(parent));
        }
        path
    }

    /// A group's descendants, itself not included.
    pub fn descendants_of_group(&self, group: &str) -> Vec<String> {
        let mut found = self.children_of_group(group);
        let mut at = 0;
        while at < found.len() {
            let children = self.children_of_group(&found[at]);
            found.extend(children);
            at += 1;
        }
        found
    }

    /// Things, oldest first.
    pub fn things_by_age(&self) -> &OrdSet<(Timestamp, Arc<str>)> {
        &self.things_by_age
    }

    /// Device certificates, oldest first.
    pub fn certificates_by_age(&self) -> &OrdSet<(Timestamp, Arc<str>)> {
        &self.certificates_by_age
    }

    /// Device certificates registered under a CA, oldest first; `None` when there are none.
    pub fn certificates_of_ca(&self, ca: &str) -> Option<&OrdSet<(Timestamp, Arc<str>)>> {
        self.certificates_by_ca.get(ca)
    }

    /// CA certificates with exactly this subject, whatever their status.
    pub fn cas_by_subject(&self, subject_der: &[u8]) -> Vec<Arc<CaCertificate>> {
        let Some(ids) = self.cas_by_subject.get(subject_der) else {
            return Vec::new();
        };
        ids.iter()
            .filter_map(|id| self.ca_certificates.get(id).cloned())
            .collect()
    }

    /// CA certificates whose name and key signed a certificate, whatever their status. More than one
    /// only when the same CA key is registered under several certificates.
    pub fn cas_that_signed(&self, x509: &X509) -> Vec<Arc<CaCertificate>> {
        self.cas_by_subject(&x509.issuer_der)
            .into_iter()
            .filter(|ca| x509.verify_signed_by(&ca.x509).is_ok())
            .collect()
    }
}

/// Whether both have the same record under this key, or none.
fn same<K, T>(one: &OrdMap<K, Arc<T>>, other: &OrdMap<K, Arc<T>>, key: &str) -> bool
where
    K: Ord + Borrow<str>,
{
    match (one.get(key), other.get(key)) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

fn names(index: &OrdMap<Arc<str>, OrdSet<Arc<str>>>, key: &str) -> Vec<String> {
    index
        .get(key)
        .map(|names| names.iter().map(|name| name.to_string()).collect())
        .unwrap_or_default()
}
