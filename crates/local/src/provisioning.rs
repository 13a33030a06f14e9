//! Provisioning: what a filled-in template makes in the account, all of it or nothing.
//!
//! The same steps serve just-in-time provisioning, RegisterThing and fleet provisioning (developer
//! guide, "Provisioning templates").

use std::collections::BTreeMap;

use jitp_core::template::{
    CertificateResource, CertificateSource, CertificateStatus as TemplateStatus, Filled, Override,
    PolicySource, ThingPrincipalType as TemplatePrincipalType, ThingResource,
    policy_name_for_document,
};

use crate::account::issuing::Issued;
use crate::account::things::{CreateThing, UpdateThing};
use crate::account::{
    Account, ApiError, CertificateStatus, ThingPrincipalType, Transaction, certificates, groups,
    policies, principals, things,
};

/// What a template made or found.
#[derive(Clone, Debug, Default)]
pub struct Provisioned {
    /// The thing, if the template has one.
    pub thing_name: Option<String>,
    /// Id of the certificate, if the template has one.
    pub certificate_id: Option<String>,
    /// ARNs by the logical ids of the template.
    pub resource_arns: BTreeMap<String, String>,
    /// What was done, one sentence a step, in order.
    pub steps: Vec<String>,
}

/// Executes a filled-in template.
///
/// A certificate that the template names by id must be registered already; one given as PEM is
/// registered if it is not, one asked for by a CSR is issued.
///
/// # Errors
/// What the account refuses: a named policy, type or group that does not exist, a name that AWS
/// would not take, an existing thing that differs where the template says `FAIL`. Nothing of the
/// template is done then.
pub fn provision(account: &Account, filled: &Filled) -> Result<Provisioned, ApiError> {
    // Keys and signatures take time; they do not belong under the account's write lock.
    let issued = match &filled.certificate {
        Some(CertificateResource {
            source: CertificateSource::Csr(csr),
            ..
        }) => Some(
            account
                .issuing_ca()?
                .issue_for_csr(csr, account.clock().timestamp().whole_seconds())?,
        ),
        _ => None,
    };
    account.write(|tx| execute(tx, filled, issued))
}

/// Executes a filled-in template within a change; `issued` is what a CSR in it came to.
pub(crate) fn execute(
    tx: &mut Transaction,
    filled: &Filled,
    issued: Option<Issued>,
) -> Result<Provisioned, ApiError> {
    let mut run = Run {
        tx,
        done: Provisioned::default(),
    };
    if let Some(thing) = &filled.thing {
        run.thing(thing)?;
    }
    let certificate = match &filled.certificate {
        Some(certificate) => Some(run.certificate(certificate, issued)?),
        None => None,
    };
    for policy in &filled.policies {
        run.policy(&policy.logical_id, &policy.source, certificate.as_deref())?;
    }
    if let (Some(resource), Some(id)) = (&filled.certificate, &certificate) {
        run.attach_to_thing(resource, id)?;
        run.status(resource, id)?;
    }
    Ok(run.done)
}

struct Run<'a> {
    tx: &'a mut Transaction,
    done: Provisioned,
}

impl Run<'_> {
    fn step(&mut self, sentence: String) {
        self.done.steps.push(sentence);
    }

    fn thing(&mut self, wanted: &ThingResource) -> Result<(), ApiError> {
        let name = &wanted.thing_name;
        if self.tx.things.contains_key(name.as_str()) {
            self.existing_thing(wanted)?;
        } else {
            things::create(
                self.tx,
                CreateThing {
                    name: name.clone(),
                    type_name: wanted.thing_type_name.clone(),
                    attributes: wanted.attributes.clone(),
                    billing_group: wanted.billing_group.clone(),
                },
            )?;
            self.step(format!("thing {name} created"));
            for group in &wanted.thing_groups {
                groups::add_thing(self.tx, group, name)?;
                self.step(format!("thing {name} added to thing group {group}"));
            }
        }
        let arn = things::find(self.tx, name)?.arn.clone();
        self.done
            .resource_arns
            .insert(wanted.logical_id.clone(), arn);
        self.done.thing_name = Some(name.clone());
        Ok(())
    }

    /// A thing that is there already stays as it is, unless OverrideSettings say otherwise.
    fn existing_thing(&mut self, wanted: &ThingResource) -> Result<(), ApiError> {
        let name = &wanted.thing_name;
        let found = things::find(self.tx, name)?;
        let overrides = wanted.override_settings;
        let mut update = UpdateThing::default();
        let same_attributes = found.attributes == wanted.attributes;
        match overrides.attribute_payload {
            Some(Override::Fail) if !same_attributes => {
                return Err(conflict(name, "attributes"));
            }
            Some(Override::Replace) if !same_attributes => {
                update.attributes = Some(wanted.attributes.clone());
            }
            Some(Override::Merge) => {
                update.attributes = Some(wanted.attributes.clone());
                update.merge = true;
            }
            _ => {}
        }
        let same_type = found.type_name == wanted.thing_type_name;
        match overrides.thing_type_name {
            Some(Override::Fail) if !same_type => return Err(conflict(name, "thing type")),
            Some(Override::Replace) if !same_type => {
                update.remove_type = wanted.thing_type_name.is_none();
                update.type_name.clone_from(&wanted.thing_type_name);
            }
            _ => {}
        }
        if update.attributes.is_some() || update.type_name.is_some() || update.remove_type {
            things::update(self.tx, name, update)?;
            self.step(format!("thing {name} updated"));
        } else {
            self.step(format!("thing {name} exists"));
        }
        self.existing_groups(wanted)?;
        if let Some(group) = &wanted.billing_group
            && found.billing_group.is_none()
        {
            things::join_billing_group(self.tx, name, group)?;
            self.step(format!("thing {name} added to billing group {group}"));
        }
        Ok(())
    }

    fn existing_groups(&mut self, wanted: &ThingResource) -> Result<(), ApiError> {
        let name = &wanted.thing_name;
        let present = self.tx.groups_of_thing(name);
        let mut asked = wanted.thing_groups.clone();
        asked.sort();
        match wanted.override_settings.thing_groups {
            Some(Override::Fail) if present != asked => return Err(conflict(name, "thing groups")),
            Some(Override::Replace) => {
                for group in present.iter().filter(|group| !asked.contains(group)) {
                    groups::remove_thing(self.tx, group, name)?;
                    self.step(format!("thing {name} removed from thing group {group}"));
                }
            }
            Some(Override::Merge) => {}
            _ => return Ok(()),
        }
        for group in asked.iter().filter(|group| !present.contains(group)) {
            groups::add_thing(self.tx, group, name)?;
            self.step(format!("thing {name} added to thing group {group}"));
        }
        Ok(())
    }

    /// Finds or registers the certificate, and answers its id.
    fn certificate(
        &mut self,
        wanted: &CertificateResource,
        issued: Option<Issued>,
    ) -> Result<String, ApiError> {
        let certificate = match &wanted.source {
            CertificateSource::Id(id) => certificates::find(self.tx, id)?,
            CertificateSource::Pem {
                certificate_pem,
                ca_certificate_pem,
            } => self.given_certificate(certificate_pem, ca_certificate_pem.as_deref())?,
            CertificateSource::Csr(_) => {
                let issued = issued.ok_or_else(|| {
                    ApiError::internal("the certificate asked for was not issued")
                })?;
                let certificate = certificates::take_issued(
                    self.tx,
                    issued.x509,
                    &issued.pem,
                    CertificateStatus::Inactive,
                )?;
                self.step(format!("certificate {} issued", certificate.id));
                certificate
            }
        };
        self.done
            .resource_arns
            .insert(wanted.logical_id.clone(), certificate.arn.clone());
        self.done.certificate_id = Some(certificate.id.clone());
        Ok(certificate.id.clone())
    }

    fn given_certificate(
        &mut self,
        pem: &str,
        ca_pem: Option<&str>,
    ) -> Result<std::sync::Arc<crate::account::Certificate>, ApiError> {
        match certificates::register(self.tx, pem, ca_pem, CertificateStatus::Inactive) {
            Err(ApiError {
                code: "ResourceAlreadyExistsException",
                members,
                ..
            }) => {
                let id = members
                    .iter()
                    .find_map(|(name, value)| (*name == "resourceId").then_some(value.as_str()));
                certificates::find(self.tx, id.unwrap_or_default())
            }
            registered => {
                let certificate = registered?;
                self.step(format!("certificate {} registered", certificate.id));
                Ok(certificate)
            }
        }
    }

    fn policy(
        &mut self,
        logical_id: &str,
        source: &PolicySource,
        certificate: Option<&str>,
    ) -> Result<(), ApiError> {
        let name = match source {
            PolicySource::Name(name) => name.clone(),
            PolicySource::Document(document) => {
                let name = policy_name_for_document(document);
                if !self.tx.policies.contains_key(&name) {
                    policies::create(self.tx, &name, document, BTreeMap::new())?;
                    self.step(format!("policy {name} created"));
                }
                name
            }
        };
        let arn = policies::find(self.tx, &name)?.arn.clone();
        self.done.resource_arns.insert(logical_id.to_owned(), arn);
        if let Some(id) = certificate {
            let target = self.tx.certificate_arn(id);
            policies::attach(self.tx, &name, &target)?;
            self.step(format!("policy {name} attached to the certificate"));
        }
        Ok(())
    }

    fn attach_to_thing(&mut self, wanted: &CertificateResource, id: &str) -> Result<(), ApiError> {
        let Some(thing) = self.done.thing_name.clone() else {
            return Ok(());
        };
        let kind = match wanted.thing_principal_type {
            TemplatePrincipalType::Exclusive => ThingPrincipalType::ExclusiveThing,
            TemplatePrincipalType::NonExclusive => ThingPrincipalType::NonExclusiveThing,
        };
        let principal = self.tx.certificate_arn(id);
        principals::attach(self.tx, &thing, &principal, Some(kind))?;
        self.step(format!("certificate attached to thing {thing}"));
        Ok(())
    }

    fn status(&mut self, wanted: &CertificateResource, id: &str) -> Result<(), ApiError> {
        let status = match wanted.status {
            TemplateStatus::Active => CertificateStatus::Active,
            TemplateStatus::Inactive => CertificateStatus::Inactive,
        };
        let present = certificates::find(self.tx, id)?.status;
        if present == status {
            return Ok(());
        }
        // A certificate that is new here has no status of its own yet.
        let is_new = present == CertificateStatus::PendingActivation
            || !matches!(wanted.source, CertificateSource::Id(_));
        match wanted.override_status {
            Some(Override::DoNothing) if !is_new => return Ok(()),
            Some(Override::Fail) if !is_new => return Err(conflict(id, "certificate status")),
            _ => {}
        }
        certificates::update(self.tx, id, status)?;
        self.step(format!("certificate {status}"));
        Ok(())
    }
}

/// What OverrideSettings `FAIL` comes to. RegisterThing knows it as
/// ConflictingResourceUpdateException.
fn conflict(name: &str, what: &str) -> ApiError {
    ApiError::new(
        "ConflictingResourceUpdateException",
        format!("{name} exists with another {what}, and the template's OverrideSettings say FAIL"),
    )
}
