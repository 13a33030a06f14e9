//! Things and their principals: read, listed, made, attached, detached, deleted.

use std::collections::HashMap;

use aws_sdk_iot::types;
use futures::{Stream, TryStreamExt, stream};

use crate::call::{PAGE, every_page};
use crate::{Cloud, CloudError};

/// A thing as the registry has it.
#[derive(Clone, Debug)]
pub struct Thing {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// The id AWS gave it, another one if it is deleted and made again. Lists do not tell it.
    pub id: Option<String>,
    /// Its attributes.
    pub attributes: HashMap<String, String>,
}

impl Cloud {
    /// A thing by its name; `None` if there is none.
    ///
    /// # Errors
    /// When the call fails for another reason than that there is none.
    pub async fn thing(&self, name: &str) -> Result<Option<Thing>, CloudError> {
        let send = || self.iot.describe_thing().thing_name(name).send();
        match self.call("DescribeThing", send).await {
            Ok(found) => Ok(Some(Thing {
                name: name.to_owned(),
                arn: found.thing_arn.unwrap_or_default(),
                id: found.thing_id,
                attributes: found.attributes.unwrap_or_default(),
            })),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a thing without type and attributes.
    ///
    /// # Errors
    /// `ResourceAlreadyExistsException` if there is one that has them.
    pub async fn make_thing(&self, name: &str) -> Result<Thing, CloudError> {
        let send = || self.iot.create_thing().thing_name(name).send();
        let made = self.call("CreateThing", send).await?;
        Ok(Thing {
            name: name.to_owned(),
            arn: made.thing_arn.unwrap_or_default(),
            id: made.thing_id,
            attributes: HashMap::new(),
        })
    }

    /// Gives a thing an attribute. If it has as many as it may, this one takes the place of the others
    /// where `instead` allows that.
    ///
    /// # Errors
    /// When the thing does not exist or AWS refuses the attribute.
    pub async fn set_attribute(
        &self,
        thing: &str,
        name: &str,
        value: &str,
        instead: bool,
    ) -> Result<(), CloudError> {
        let update = async |merge: bool| {
            let send = || {
                let attributes = types::AttributePayload::builder().attributes(name, value);
                let call = self.iot.update_thing().thing_name(thing);
                call.attribute_payload(attributes.merge(merge).build())
                    .send()
            };
            self.call("UpdateThing", send).await.map(drop)
        };
        match update(true).await {
            // AWS General Reference: 3 attributes for a thing without a type.
            Err(error)
                if instead
                    && (error.is("InvalidRequestException")
                        || error.is("LimitExceededException")) =>
            {
                update(false).await
            }
            other => other,
        }
    }

    /// Deletes a thing; one that does not exist is deleted already (API reference, "DeleteThing").
    ///
    /// # Errors
    /// When principals are attached to it.
    pub async fn delete_thing(&self, name: &str) -> Result<(), CloudError> {
        let send = || self.iot.delete_thing().thing_name(name).send();
        match self.call("DeleteThing", send).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Every thing, page by page, in the order of the registry.
    pub fn things(&self) -> impl Stream<Item = Result<Thing, CloudError>> + '_ {
        let pages = stream::try_unfold(Some(None), async move |marker: Option<Option<String>>| {
            let Some(token) = marker else {
                return Ok::<_, CloudError>(None);
            };
            let send = || {
                let call = self.iot.list_things().set_next_token(token.clone());
                call.max_results(PAGE).send()
            };
            let answer = self.call("ListThings", send).await?;
            let things = answer.things.unwrap_or_default().into_iter().map(read);
            let things: Vec<Result<Thing, CloudError>> = things.collect();
            let next = answer.next_token.filter(|token| !token.is_empty());
            Ok(Some((stream::iter(things), next.map(Some))))
        });
        pages.try_flatten()
    }

    /// Every principal of a thing: the ARNs of its certificates, and the ids of Cognito identities.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if there is no such thing.
    pub async fn principals(&self, thing: &str) -> Result<Vec<String>, CloudError> {
        let principals = every_page(async |token| {
            let send = || {
                let call = self.iot.list_thing_principals().thing_name(thing);
                call.max_results(PAGE).set_next_token(token.clone()).send()
            };
            let answer = self.call("ListThingPrincipals", send).await?;
            Ok((answer.principals.unwrap_or_default(), answer.next_token))
        });
        let mut principals = principals.await?;
        principals.sort_unstable();
        Ok(principals)
    }

    /// Every thing that a principal is attached to, by name.
    ///
    /// # Errors
    /// `ResourceNotFoundException` if there is no such certificate.
    pub async fn things_of(&self, principal: &str) -> Result<Vec<String>, CloudError> {
        let things = every_page(async |token| {
            let send = || {
                let call = self.iot.list_principal_things().principal(principal);
                call.max_results(PAGE).set_next_token(token.clone()).send()
            };
            let answer = self.call("ListPrincipalThings", send).await?;
            Ok((answer.things.unwrap_or_default(), answer.next_token))
        });
        things.await
    }

    /// Attaches a principal to a thing; twice is once.
    ///
    /// # Errors
    /// When either does not exist.
    pub async fn attach_principal(&self, thing: &str, principal: &str) -> Result<(), CloudError> {
        let send = || {
            let call = self.iot.attach_thing_principal().thing_name(thing);
            call.principal(principal).send()
        };
        self.call("AttachThingPrincipal", send).await.map(drop)
    }

    /// Detaches a principal from a thing; what is not attached is detached already. AWS does it within
    /// several seconds (API reference, "DetachThingPrincipal").
    ///
    /// # Errors
    /// When the call fails for another reason than that there is nothing to detach.
    pub async fn detach_principal(&self, thing: &str, principal: &str) -> Result<(), CloudError> {
        let send = || {
            let call = self.iot.detach_thing_principal().thing_name(thing);
            call.principal(principal).send()
        };
        match self.call("DetachThingPrincipal", send).await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }
}

fn read(item: types::ThingAttribute) -> Result<Thing, CloudError> {
    let name = item.thing_name;
    Ok(Thing {
        name: name.ok_or_else(|| CloudError::incomplete("ListThings", "thingName"))?,
        arn: item.thing_arn.unwrap_or_default(),
        id: None,
        attributes: item.attributes.unwrap_or_default(),
    })
}
