//! Whether a device may be provisioned: pure, and no unless something says yes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::{AllowList, Answer, Request};

/// A decision and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decision {
    /// What AWS IoT hears.
    pub answer: Answer,
    /// Why.
    pub reason: Reason,
}

/// Why a device was allowed or refused.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// It is on the list.
    Listed,
    /// It is on the list, and has claimed its place with this very certificate before.
    ListedAgain,
    /// It is on the list, and renews the certificate it has.
    Renewal,
    /// It is not on the list.
    NotListed,
    /// It does not say what it is known by.
    ParameterMissing(String),
    /// It says more than it may.
    ParameterNotAllowed(String),
    /// Its place was claimed with another certificate.
    Claimed(String),
    /// Another device with the same parameters was faster by moments.
    ClaimedMeanwhile,
    /// Its claim certificate has brought in as many devices as it may.
    ClaimUsedUp(u32),
    /// Its place, or the count of its claim certificate, was being written by others for too long.
    Contended,
    /// There is no list to look at.
    NoList(String),
    /// The request is none.
    Malformed(String),
}

impl Reason {
    /// A stable word for filters and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::ListedAgain => "listed-again",
            Self::Renewal => "renewal",
            Self::NotListed => "not-listed",
            Self::ParameterMissing(_) => "parameter-missing",
            Self::ParameterNotAllowed(_) => "parameter-not-allowed",
            Self::Claimed(_) => "claimed",
            Self::ClaimedMeanwhile => "claimed-meanwhile",
            Self::ClaimUsedUp(_) => "claim-used-up",
            Self::Contended => "contended",
            Self::NoList(_) => "no-list",
            Self::Malformed(_) => "malformed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed => write!(f, "the device is on the allow list"),
            Self::ListedAgain => write!(
                f,
                "the device is on the allow list and has claimed its place with this certificate before"
            ),
            Self::Renewal => write!(f, "the device renews the certificate it has"),
            Self::NotListed => write!(f, "no device of the allow list has these parameters"),
            Self::ParameterMissing(name) => write!(f, "the device does not tell its {name}"),
            Self::ParameterNotAllowed(name) => write!(
                f,
                "the device tells {name}, which is neither what it is known by nor free to tell"
            ),
            Self::Claimed(certificate) => write!(
                f,
                "the device has been provisioned, with the certificate {certificate}; remove certificateId from its item to let it in anew"
            ),
            Self::ClaimedMeanwhile => {
                write!(f, "another device with the same parameters was faster")
            }
            Self::ClaimUsedUp(limit) => write!(
                f,
                "the claim certificate has brought in {limit} devices, which is its limit"
            ),
            Self::Contended => write!(
                f,
                "too many devices of one claim certificate came at once; the device may ask again"
            ),
            Self::NoList(why) => write!(f, "there is no allow list to look at: {why}"),
            Self::Malformed(why) => {
                write!(f, "the request is none of a pre-provisioning hook: {why}")
            }
        }
    }
}

impl Decision {
    /// Yes, with these parameters instead of the device's own.
    pub fn allow(reason: Reason, overrides: BTreeMap<String, String>) -> Self {
        let answer = Answer {
            allow_provisioning: true,
            parameter_overrides: overrides,
        };
        Self { answer, reason }
    }

    /// No.
    pub fn deny(reason: Reason) -> Self {
        Self {
            answer: Answer::default(),
            reason,
        }
    }
}

/// Decides by a list in the package.
pub fn decide(list: &AllowList, request: &Request) -> Decision {
    let Some(device) = list.device(&request.parameters) else {
        return Decision::deny(Reason::NotListed);
    };
    let known = device.parameters.keys().map(String::as_str);
    match extra(request, known, &list.free_parameters) {
        Some(name) => Decision::deny(Reason::ParameterNotAllowed(name)),
        None => Decision::allow(Reason::Listed, device.overrides.clone()),
    }
}

/// What a table says of a device.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Record {
    /// The certificate that its place was claimed with.
    pub certificate_id: Option<String>,
    /// What the template is told of it.
    pub overrides: BTreeMap<String, String>,
}

/// How a device that asks stands to its record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Nothing need be written.
    Settled(Decision),
    /// Allowed once its place is claimed for it.
    ToClaim(BTreeMap<String, String>),
    /// Allowed once its new certificate is written in place of the one it has.
    ToRenew(BTreeMap<String, String>),
}

/// Decides by the record of a table, if there is one, as far as it can be decided before something is written.
pub fn judge_record(
    record: Option<&Record>,
    request: &Request,
    key: &str,
    free: &BTreeSet<String>,
) -> Standing {
    let deny = |reason| Standing::Settled(Decision::deny(reason));
    if request.parameters.get(key).is_none_or(String::is_empty) {
        return deny(Reason::ParameterMissing(key.to_owned()));
    }
    let Some(record) = record else {
        return deny(Reason::NotListed);
    };
    if let Some(name) = extra(request, [key], free) {
        return deny(Reason::ParameterNotAllowed(name));
    }
    let overrides = record.overrides.clone();
    match &record.certificate_id {
        None => Standing::ToClaim(overrides),
        // Asked again: the answer to the first time was lost, or provisioning failed later.
        Some(claimed) if *claimed == request.certificate_id => {
            Standing::Settled(Decision::allow(Reason::ListedAgain, overrides))
        }
        Some(claimed) if *claimed == request.claim_certificate_id => Standing::ToRenew(overrides),
        Some(claimed) => deny(Reason::Claimed(claimed.clone())),
    }
}

/// The first parameter that a device may not tell.
fn extra<'a>(
    request: &Request,
    known: impl IntoIterator<Item = &'a str>,
    free: &BTreeSet<String>,
) -> Option<String> {
    let known: BTreeSet<&str> = known.into_iter().collect();
    let mut told = request.parameters.keys();
    let extra = told.find(|name| !known.contains(name.as_str()) && !free.contains(*name));
    extra.cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(parameters: &[(&str, &str)]) -> Request {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Request {
            claim_certificate_id: "claim".to_owned(),
            certificate_id: "new".to_owned(),
            template_arn: "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/fleet"
                .to_owned(),
            client_id: "claim-iot-1".to_owned(),
            parameters: parameters.iter().map(owned).collect(),
        }
    }

    fn list() -> AllowList {
        AllowList::parse(
            r#"{
                "devices": [
                    { "parameters": { "License": "1", "Model": "a" } },
                    { "parameters": { "License": "2" }, "overrides": { "Site": "north" } }
                ],
                "freeParameters": ["Firmware"]
            }"#,
        )
        .unwrap()
    }

    #[track_caller]
    fn denied(decision: Decision, reason: Reason) {
        assert_eq!(decision, Decision::deny(reason));
        assert!(!decision.answer.allow_provisioning);
    }

    #[test]
    fn who_is_not_on_the_list_is_refused() {
        denied(decide(&list(), &request(&[])), Reason::NotListed);
        denied(
            decide(&list(), &request(&[("License", "3")])),
            Reason::NotListed,
        );
        // All of what it is known by, not some of it.
        denied(
            decide(&list(), &request(&[("License", "1")])),
            Reason::NotListed,
        );
        let nobody = AllowList::default();
        denied(
            decide(&nobody, &request(&[("License", "2")])),
            Reason::NotListed,
        );
    }

    #[test]
    fn who_is_on_the_list_is_let_in_with_what_the_list_adds() {
        let decision = decide(&list(), &request(&[("License", "1"), ("Model", "a")]));
        assert_eq!(decision, Decision::allow(Reason::Listed, BTreeMap::new()));
        let decision = decide(&list(), &request(&[("License", "2"), ("Firmware", "7")]));
        assert!(decision.answer.allow_provisioning);
        assert_eq!(decision.answer.parameter_overrides["Site"], "north");
    }

    #[test]
    fn a_device_tells_nothing_that_the_list_does_not_know() {
        let sly = request(&[("License", "2"), ("Policy", "Everything")]);
        denied(
            decide(&list(), &sly),
            Reason::ParameterNotAllowed("Policy".to_owned()),
        );
    }

    fn standing(certificate_id: Option<&str>) -> Standing {
        let record = Record {
            certificate_id: certificate_id.map(ToOwned::to_owned),
            overrides: BTreeMap::new(),
        };
        judge_record(
            Some(&record),
            &request(&[("License", "1")]),
            "License",
            &BTreeSet::new(),
        )
    }

    #[test]
    fn a_place_is_claimed_once_and_belongs_to_its_certificate() {
        let none = BTreeMap::new;
        assert_eq!(standing(None), Standing::ToClaim(none()));
        assert_eq!(standing(Some("claim")), Standing::ToRenew(none()));
        let again = Decision::allow(Reason::ListedAgain, none());
        assert_eq!(standing(Some("new")), Standing::Settled(again));
        let other = Decision::deny(Reason::Claimed("other".to_owned()));
        assert_eq!(standing(Some("other")), Standing::Settled(other));
    }

    #[test]
    fn a_record_does_not_excuse_what_a_device_tells() {
        let free = BTreeSet::new();
        let record = Record::default();
        let ask = |parameters: &[(&str, &str)], record| {
            judge_record(record, &request(parameters), "License", &free)
        };
        let denied = |reason| Standing::Settled(Decision::deny(reason));
        let missing = denied(Reason::ParameterMissing("License".to_owned()));
        assert_eq!(ask(&[], Some(&record)), missing);
        assert_eq!(ask(&[("License", "")], Some(&record)), missing);
        assert_eq!(ask(&[("License", "1")], None), denied(Reason::NotListed));
        let more = [("License", "1"), ("Policy", "x")];
        let not_allowed = denied(Reason::ParameterNotAllowed("Policy".to_owned()));
        assert_eq!(ask(&more, Some(&record)), not_allowed);
    }
}
