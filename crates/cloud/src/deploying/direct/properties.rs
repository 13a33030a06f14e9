//! The properties of a resource, read as the types that its service wants: CloudFormation takes a number for a text, and a
//! text for a number.

use serde_json::Value;

use super::super::DeployError;

/// Properties without functions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Properties<'a> {
    id: &'a str,
    value: &'a Value,
}

impl<'a> Properties<'a> {
    pub(super) fn new(id: &'a str, value: &'a Value) -> Self {
        Self { id, value }
    }

    /// The resource's name in the template.
    pub(super) fn id(&self) -> &'a str {
        self.id
    }

    /// All of them.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(name, value)| (name.as_str(), value))
    }

    /// A property that may be missing.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.value.get(name).filter(|value| !value.is_null())
    }

    /// The properties in a property.
    pub(super) fn within(&self, name: &str) -> Result<Properties<'a>, DeployError> {
        let value = self.get(name).filter(|value| value.is_object());
        let value = value.ok_or_else(|| self.wrong(name, "an object"))?;
        Ok(Self { id: self.id, value })
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<&'a str, DeployError> {
        let text = self.get(name).and_then(Value::as_str);
        text.ok_or_else(|| self.wrong(name, "a text"))
    }

    /// A text that may be missing.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<&'a str>, DeployError> {
        match self.get(name) {
            None => Ok(None),
            Some(_) => self.text(name).map(Some),
        }
    }

    /// A whole number that may be missing.
    pub(super) fn number(&self, name: &str) -> Result<Option<i32>, DeployError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = match value.as_str() {
            Some(text) => text.parse().ok(),
            None => value.as_i64().and_then(|number| i32::try_from(number).ok()),
        };
        number
            .map(Some)
            .ok_or_else(|| self.wrong(name, "a whole number"))
    }

    /// `true` or `false`, that may be missing.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, DeployError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let boolean = match value.as_str() {
            Some(text) => text.parse().ok(),
            None => value.as_bool(),
        };
        boolean
            .map(Some)
            .ok_or_else(|| self.wrong(name, "true or false"))
    }

    /// A list; one that is missing is empty.
    pub(super) fn list(&self, name: &str) -> Result<&'a [Value], DeployError> {
        match self.get(name) {
            None => Ok(&[]),
            Some(value) => {
                let list = value.as_array().map(Vec::as_slice);
                list.ok_or_else(|| self.wrong(name, "a list"))
            }
        }
    }

    /// A list of texts; one that is missing is empty.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&'a str>, DeployError> {
        let list = self.list(name)?.iter().map(Value::as_str);
        let texts: Option<Vec<&str>> = list.collect();
        texts.ok_or_else(|| self.wrong(name, "a list of texts"))
    }

    /// Refuses a property that is not among those that are made without CloudFormation: what is left out silently would be
    /// missed.
    pub(super) fn known(&self, names: &[&str]) -> Result<(), DeployError> {
        let mut members = self.members().filter(|(_, value)| !value.is_null());
        match members.find(|(name, _)| !names.contains(name)) {
            None => Ok(()),
            Some((name, _)) => Err(DeployError::Property {
                id: self.id.to_owned(),
                property: name.to_owned(),
                wanted: "one that is made without CloudFormation",
            }),
        }
    }

    pub(super) fn wrong(&self, name: &str, wanted: &'static str) -> DeployError {
        DeployError::Property {
            id: self.id.to_owned(),
            property: name.to_owned(),
            wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_may_be_a_text_and_what_is_wrong_is_named() {
        let value = json!({"Batch": "10", "Timeout": 15, "On": "true", "Name": "n", "List": ["a"], "No": null});
        let properties = Properties::new("Queue", &value);
        assert_eq!(properties.number("Batch").unwrap(), Some(10));
        assert_eq!(properties.number("Timeout").unwrap(), Some(15));
        assert_eq!(properties.boolean("On").unwrap(), Some(true));
        assert_eq!(properties.number("No").unwrap(), None);
        assert_eq!(properties.texts("List").unwrap(), ["a"]);
        let error = properties.number("Name").unwrap_err().to_string();
        assert!(error.contains("Queue") && error.contains("Name"), "{error}");
        assert!(properties.text("Missing").is_err());
        let known = properties.known(&["Batch", "Timeout", "On", "Name"]);
        assert!(known.unwrap_err().to_string().contains("List"));
    }
}
