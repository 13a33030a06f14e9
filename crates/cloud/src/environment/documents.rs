//! What the environment of a fleet is made of: names, and the JSON documents that Terraform and CloudFormation render too.

use std::collections::BTreeMap;

use jitp_core::placeholders::{self, PlaceholderError};
use serde_json::{Value, json};

use crate::{claim_policy, claim_policy_name, device_policy};

/// Every kind of registry event (API reference, "UpdateEventConfigurations").
pub const EVENTS: [&str; 11] = [
    "THING",
    "THING_GROUP",
    "THING_TYPE",
    "THING_GROUP_MEMBERSHIP",
    "THING_GROUP_HIERARCHY",
    "THING_TYPE_ASSOCIATION",
    "JOB",
    "JOB_EXECUTION",
    "POLICY",
    "CERTIFICATE",
    "CA_CERTIFICATE",
];

/// Body of the provisioning template, with placeholders.
const FLEET_TEMPLATE: &str = include_str!("../../../../etc/templates/fleet.json");

/// The one policy that the provisioning role has; its name without the partition.
pub(super) const REGISTRATION_POLICY: &str =
    "iam::aws:policy/service-role/AWSIoTThingsRegistration";

/// What the environment of a fleet is called and made of.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Its provisioning template, whose name is the environment's.
    pub template: String,
    /// Role that provisioning assumes.
    pub role: String,
    /// Policy of the devices.
    pub device_policy: String,
    /// Policy of the claims.
    pub claim_policy: String,
    /// Thing group of the devices.
    pub thing_group: String,
    /// Thing type of the devices.
    pub thing_type: String,
    /// Attributes that things can be found by without an index; three at most.
    pub searchable_attributes: Vec<String>,
    /// The function that is asked before a device is provisioned, and its role.
    pub hook_name: String,
    /// What that function is made of; `None` for no hook.
    pub hook: Option<Hook>,
    /// Events that are published.
    pub events: Vec<String>,
    /// Body of the template, with placeholders for policy, thing type and thing group.
    pub body: String,
}

/// A pre-provisioning hook.
#[derive(Clone)]
pub struct Hook {
    /// The zip file with its program `bootstrap`.
    pub package: Vec<u8>,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// Variables of its environment.
    pub variables: BTreeMap<String, String>,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hook")
            .field("package", &format_args!("{} bytes", self.package.len()))
            .field("architecture", &self.architecture)
            .finish_non_exhaustive()
    }
}

impl Environment {
    /// An environment whose other names follow from that of its template, without a hook.
    pub fn named(template: &str) -> Self {
        Self {
            template: template.to_owned(),
            role: format!("{template}-provisioning"),
            device_policy: format!("{template}-device"),
            claim_policy: claim_policy_name(template),
            thing_group: template.to_owned(),
            thing_type: format!("{template}-device"),
            searchable_attributes: vec!["license".to_owned()],
            hook_name: format!("{template}-hook"),
            hook: None,
            events: vec!["THING".to_owned()],
            body: FLEET_TEMPLATE.to_owned(),
        }
    }
}

/// The account and region an environment is made in.
#[derive(Clone, Debug)]
pub struct Place {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: &'static str,
    /// The region.
    pub region: String,
    /// The account: 12 digits.
    pub account: String,
}

impl Place {
    /// A place; the partition follows from the region.
    pub fn new(region: &str, account: &str) -> Self {
        let partition = match region.split('-').next() {
            Some("cn") => "aws-cn",
            Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        Self {
            partition,
            region: region.to_owned(),
            account: account.to_owned(),
        }
    }

    /// ARN of something of a service in this account and region.
    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        let Self {
            partition,
            region,
            account,
        } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

/// Everything JSON about an environment.
#[derive(Clone, Debug)]
pub struct Documents {
    /// Policy of the devices.
    pub device_policy: String,
    /// Policy of the claims.
    pub claim_policy: String,
    /// Body of the provisioning template.
    pub template: String,
    /// Who may assume the provisioning role.
    pub role_trust: Value,
    /// Who may assume the hook's role.
    pub hook_trust: Value,
    /// What the hook's role may do.
    pub hook_policy: Value,
    /// Who may call the hook: members of AddPermission.
    pub hook_permission: Value,
    /// Which events are published.
    pub events: Value,
}

impl Documents {
    /// Renders the documents of an environment.
    ///
    /// # Errors
    /// When a name cannot stand in a document, or the template lacks a placeholder.
    pub fn of(environment: &Environment, place: &Place) -> Result<Self, PlaceholderError> {
        let trust = |service: &str| {
            json!({ "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": service },
                "Action": "sts:AssumeRole",
            }] })
        };
        let template = &environment.template;
        let hook = &environment.hook_name;
        let log = format!("log-group:/aws/lambda/{hook}:*");
        let mut allowed = vec![json!({
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": place.arn("logs", &log),
        })];
        let variables = environment.hook.as_ref().map(|hook| &hook.variables);
        if let Some(table) = variables.and_then(|variables| variables.get("ALLOW_TABLE")) {
            allowed.push(json!({
                "Effect": "Allow",
                "Action": ["dynamodb:GetItem", "dynamodb:UpdateItem"],
                "Resource": place.arn("dynamodb", &format!("table/{table}")),
            }));
        }
        let events = EVENTS.map(|event| {
            let enabled = environment.events.iter().any(|wanted| wanted == event);
            (event.to_owned(), json!({ "Enabled": enabled }))
        });
        let values = [
            ("PolicyName", environment.device_policy.as_str()),
            ("ThingTypeName", &environment.thing_type),
            ("ThingGroupName", &environment.thing_group),
        ];
        Ok(Self {
            device_policy: device_policy(template)?,
            claim_policy: claim_policy(template)?,
            template: placeholders::fill(&environment.body, &values)?,
            role_trust: trust("iot.amazonaws.com"),
            hook_trust: trust("lambda.amazonaws.com"),
            hook_policy: json!({ "Version": "2012-10-17", "Statement": allowed }),
            hook_permission: json!({
                "FunctionName": hook,
                "Action": "lambda:InvokeFunction",
                "Principal": "iot.amazonaws.com",
                "SourceAccount": place.account,
                "SourceArn": place.arn("iot", &format!("provisioningtemplate/{template}")),
            }),
            events: Value::Object(events.into_iter().collect()),
        })
    }
}
