//! The topic filter of a FROM clause.

/// What is wrong with a topic filter, if anything is (AWS IoT developer guide, "MQTT topics", "FROM clause").
///
/// The eight levels and 256 bytes that limit subscriptions hold here as well.
pub(super) fn fault(filter: &str) -> Option<String> {
    if filter.is_empty() {
        return Some("the topic filter is empty".to_owned());
    }
    if filter.len() > LONGEST {
        return Some(format!("a topic filter has at most {LONGEST} bytes"));
    }
    if filter.contains('\0') {
        return Some("a topic filter cannot contain the character U+0000".to_owned());
    }
    let levels: Vec<&str> = filter.split('/').collect();
    if levels.len() > DEEPEST {
        return Some(format!("a topic filter has at most {DEEPEST} levels"));
    }
    if filter.starts_with("$aws/rules/") {
        return Some(
            "rules cannot subscribe to the topics of basic ingest; leave FROM away, or name the topic behind \
             `$aws/rules/NAME/`"
                .to_owned(),
        );
    }
    if filter.starts_with("$share/") {
        return Some("a rule cannot be a member of a shared subscription".to_owned());
    }
    for (index, level) in levels.iter().enumerate() {
        if level.contains('#') && (*level != "#" || index + 1 < levels.len()) {
            return Some("`#` is the whole of the last level, or no part of a filter".to_owned());
        }
        if level.contains('+') && *level != "+" {
            return Some("`+` is the whole of a level, or no part of a filter".to_owned());
        }
    }
    None
}

const LONGEST: usize = 256;
const DEEPEST: usize = 8;
