//! Placeholders in the documents under `policies/` and `etc/templates/`: `${TemplateName}` and its like.
//!
//! A placeholder is a word without a colon. What AWS itself replaces is left alone: policy variables
//! (`${iot:Connection.Thing.ThingName}`), and the names in an `Fn::Sub` that nobody gives a value here.

use crate::failure::{Class, Classified};

/// A value that cannot be filled in.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceholderError {
    /// The document has no such placeholder.
    #[error("there is no ${{{name}}} in the document")]
    NotThere {
        /// The name as given.
        name: String,
    },
    /// A character that would end the JSON string the placeholder stands in, or begin another placeholder.
    #[error("{value:?} cannot stand for ${{{name}}}: it contains {character:?}")]
    Character {
        /// The placeholder.
        name: String,
        /// Its value.
        value: String,
        /// The first character that cannot be.
        character: char,
    },
}

impl Classified for PlaceholderError {
    fn class(&self) -> Class {
        Class::Configuration
    }
}

/// Fills values into a JSON document, each wherever its placeholder stands.
///
/// # Errors
/// When the document lacks a placeholder that has a value, or a value is no plain text.
pub fn fill(document: &str, values: &[(&str, &str)]) -> Result<String, PlaceholderError> {
    let mut filled = document.to_owned();
    for (name, value) in values {
        let placeholder = format!("${{{name}}}");
        if !document.contains(&placeholder) {
            return Err(PlaceholderError::NotThere {
                name: (*name).to_owned(),
            });
        }
        let unfit = |letter: &char| matches!(letter, '"' | '\\' | '$') || letter.is_control();
        if let Some(character) = value.chars().find(unfit) {
            return Err(PlaceholderError::Character {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
                character,
            });
        }
        filled = filled.replace(&placeholder, value);
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_filled_wherever_it_stands_and_policy_variables_stay() {
        let document =
            r#"["a/${TemplateName}/b", "${TemplateName}", "${iot:ClientId}", "${Other}"]"#;
        let filled = fill(document, &[("TemplateName", "fleet")]).unwrap();
        assert_eq!(
            filled,
            r#"["a/fleet/b", "fleet", "${iot:ClientId}", "${Other}"]"#
        );
    }

    #[test]
    fn what_would_break_the_document_or_is_not_in_it_is_refused() {
        let refusal = fill("{}", &[("TemplateNam", "x")]).unwrap_err();
        assert!(refusal.to_string().contains("${TemplateNam}"), "{refusal}");
        for value in ["a\"b", "a\\", "${A}", "a\nb"] {
            assert!(fill("\"${A}\"", &[("A", value)]).is_err(), "{value:?}");
        }
    }
}
