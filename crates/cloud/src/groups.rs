//! Thing types and thing groups: made, listed, deprecated, deleted.

use std::time::{Duration, Instant};

use aws_sdk_iot::types;

use crate::call::{PAGE, every_page};
use crate::templating::Change;
use crate::{Cloud, CloudError};

impl Cloud {
    /// Makes a thing type; one of this name is left as it is.
    ///
    /// # Errors
    /// When AWS refuses it.
    pub async fn ensure_thing_type(
        &self,
        name: &str,
        description: &str,
        searchable_attributes: &[&str],
    ) -> Result<Change, CloudError> {
        if self.thing_type_exists(name).await? {
            return Ok(Change::Unchanged);
        }
        let searchable = searchable_attributes.iter().map(|name| (*name).to_owned());
        let searchable: Vec<String> = searchable.collect();
        let send = || {
            let properties = types::ThingTypeProperties::builder()
                .thing_type_description(description)
                .set_searchable_attributes((!searchable.is_empty()).then(|| searchable.clone()));
            let call = self.iot.create_thing_type().thing_type_name(name);
            call.thing_type_properties(properties.build()).send()
        };
        made(self.call("CreateThingType", send).await)
    }

    /// Makes a thing group; one of this name is left as it is.
    ///
    /// # Errors
    /// When AWS refuses it.
    pub async fn ensure_thing_group(
        &self,
        name: &str,
        description: &str,
    ) -> Result<Change, CloudError> {
        if self.thing_group_exists(name).await? {
            return Ok(Change::Unchanged);
        }
        let send = || {
            let properties =
                types::ThingGroupProperties::builder().thing_group_description(description);
            let call = self.iot.create_thing_group().thing_group_name(name);
            call.thing_group_properties(properties.build()).send()
        };
        made(self.call("CreateThingGroup", send).await)
    }

    /// Deletes a thing group; one that does not exist is deleted already.
    ///
    /// # Errors
    /// When it has child groups.
    pub async fn delete_thing_group(&self, name: &str) -> Result<(), CloudError> {
        let send = || self.iot.delete_thing_group().thing_group_name(name).send();
        gone(self.call("DeleteThingGroup", send).await)
    }

    /// Whether a thing type is deprecated; `None` if there is no such type.
    pub(crate) async fn thing_type_deprecated(
        &self,
        name: &str,
    ) -> Result<Option<bool>, CloudError> {
        let send = || self.iot.describe_thing_type().thing_type_name(name).send();
        match self.call("DescribeThingType", send).await {
            Ok(found) => Ok(Some(
                found
                    .thing_type_metadata
                    .is_some_and(|metadata| metadata.deprecated),
            )),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deprecates a thing type, from when on no thing can be given it; one that does not exist, or is deprecated, is so
    /// already.
    ///
    /// # Errors
    /// When the call fails for another reason.
    pub async fn deprecate_thing_type(&self, name: &str) -> Result<(), CloudError> {
        if self.thing_type_deprecated(name).await? != Some(false) {
            return Ok(());
        }
        let send = || self.iot.deprecate_thing_type().thing_type_name(name).send();
        gone(self.call("DeprecateThingType", send).await)
    }

    /// Deletes a deprecated thing type, and waits for as long as AWS wants it to have been deprecated (five minutes);
    /// one that does not exist is deleted already. `waiting` is told how long it has been waited so far.
    ///
    /// # Errors
    /// When a thing has it, it is not deprecated, or AWS does not delete it within six minutes.
    pub async fn delete_thing_type(
        &self,
        name: &str,
        waiting: impl Fn(Duration),
    ) -> Result<(), CloudError> {
        let start = Instant::now();
        loop {
            let send = || self.iot.delete_thing_type().thing_type_name(name).send();
            let error = match gone(self.call("DeleteThingType", send).await) {
                Err(error) if error.is("InvalidRequestException") => error,
                other => return other,
            };
            // Nothing in the exception says whether it is the time: it is, if nothing else is in the way.
            let waited = start.elapsed();
            if waited > DEPRECATED_FOR
                || self.thing_type_deprecated(name).await? != Some(true)
                || !self.things_of_type(name).await?.is_empty()
            {
                return Err(error);
            }
            waiting(waited);
            tokio::time::sleep(BETWEEN_ATTEMPTS).await;
        }
    }

    /// Names of the things of a thing type.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn things_of_type(&self, name: &str) -> Result<Vec<String>, CloudError> {
        let things = every_page(async |token| {
            let send = || {
                let call = self.iot.list_things().thing_type_name(name);
                call.max_results(PAGE).set_next_token(token.clone()).send()
            };
            let answer = self.call("ListThings", send).await?;
            let page = answer.things.unwrap_or_default().into_iter();
            let names = page.filter_map(|thing| thing.thing_name).collect();
            Ok((names, answer.next_token))
        });
        things.await
    }

    /// Names of the things in a thing group; none if there is no such group.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn things_of_group(&self, name: &str) -> Result<Vec<String>, CloudError> {
        let things = every_page(async |token| {
            let send = || {
                let call = self.iot.list_things_in_thing_group().thing_group_name(name);
                call.max_results(PAGE).set_next_token(token.clone()).send()
            };
            let answer = self.call("ListThingsInThingGroup", send).await?;
            Ok((answer.things.unwrap_or_default(), answer.next_token))
        });
        match things.await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            other => other,
        }
    }
}

fn made<T>(answer: Result<T, CloudError>) -> Result<Change, CloudError> {
    match answer {
        Ok(_) => Ok(Change::Created),
        Err(error) if error.is("ResourceAlreadyExistsException") => Ok(Change::Unchanged),
        Err(error) => Err(error),
    }
}

fn gone<T>(answer: Result<T, CloudError>) -> Result<(), CloudError> {
    match answer {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}

/// A type may be deleted five minutes after it was deprecated (developer guide, "Thing types"); one more for clocks.
const DEPRECATED_FOR: Duration = Duration::from_secs(360);
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(5);
