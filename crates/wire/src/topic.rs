//! Topics and topic filters: what is well-formed, what is within AWS's limits, what matches.

use crate::limits::{SHARE_NAME_BYTES, TOPIC_BYTES, TOPIC_SLASHES};

/// Why a topic or topic filter is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TopicFault {
    /// It has no characters.
    #[error("it is empty")]
    Empty,
    /// A topic to publish on has `+` or `#`.
    #[error("it contains a wildcard")]
    Wildcard,
    /// A wildcard that is not a whole level, or a `#` that is not the last level.
    #[error("a wildcard stands where none may (+ is a whole level, # the last one)")]
    MisplacedWildcard,
    /// More than 256 bytes.
    #[error("it is longer than 256 bytes")]
    TooLong,
    /// More than 7 slashes.
    #[error("it has more than 7 slashes")]
    TooDeep,
    /// `$share/` without a group name, without a filter, or with a wildcard in the name.
    #[error("it is no $share/<group>/<filter>")]
    Share,
}

/// Checks a topic to publish on.
///
/// # Errors
/// The rule it breaks; the limits do not count a `$aws/rules/<rule>/` prefix.
pub fn check_topic(topic: &str) -> Result<(), TopicFault> {
    if topic.is_empty() {
        return Err(TopicFault::Empty);
    }
    if topic.bytes().any(|byte| byte == b'+' || byte == b'#') {
        return Err(TopicFault::Wildcard);
    }
    check_size(topic)
}

/// Checks a topic filter, `$share/<group>/` included.
///
/// # Errors
/// The rule it breaks; the limits do not count `$share/<group>/` nor a `$aws/rules/<rule>/` prefix.
pub fn check_filter(filter: &str) -> Result<(), TopicFault> {
    let filter = match filter.strip_prefix("$share/") {
        Some(_) => split_share(filter).ok_or(TopicFault::Share)?.1,
        None if filter == "$share" => return Err(TopicFault::Share),
        None => filter,
    };
    if filter.is_empty() {
        return Err(TopicFault::Empty);
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let wild = level.bytes().any(|byte| byte == b'+' || byte == b'#');
        if wild && (level.len() != 1 || (level == "#" && levels.peek().is_some())) {
            return Err(TopicFault::MisplacedWildcard);
        }
    }
    check_size(filter)
}

/// The group and the inner filter of `$share/<group>/<filter>`, when it is one.
pub fn split_share(filter: &str) -> Option<(&str, &str)> {
    let (group, inner) = filter.strip_prefix("$share/")?.split_once('/')?;
    let named = !group.is_empty()
        && group.len() <= SHARE_NAME_BYTES
        && !group.bytes().any(|byte| byte == b'+' || byte == b'#');
    (named && !inner.is_empty()).then_some((group, inner))
}

/// Whether a filter has a wildcard level.
pub fn has_wildcard(filter: &str) -> bool {
    filter.bytes().any(|byte| byte == b'+' || byte == b'#')
}

/// Whether a topic matches a filter (without `$share`), as AWS IoT Core sees it: `a/#` matches `a/`
/// and `a/b` but not `a` (MQTT says it does), and a first-level wildcard does not match `$` topics.
///
/// This is the definition; a broker uses an index that agrees with it.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && !filter.starts_with('$') {
        return false;
    }
    let mut topic = topic.split('/');
    for level in filter.split('/') {
        match (level, topic.next()) {
            ("#", Some(_)) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}

fn check_size(topic: &str) -> Result<(), TopicFault> {
    let counted = match topic.strip_prefix("$aws/rules/") {
        Some(rest) => rest.split_once('/').map_or(topic, |(_, rest)| rest),
        None => topic,
    };
    if counted.len() > TOPIC_BYTES {
        return Err(TopicFault::TooLong);
    }
    if counted.bytes().filter(|byte| *byte == b'/').count() > TOPIC_SLASHES {
        return Err(TopicFault::TooDeep);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_children_but_not_its_parent() {
        assert!(!matches("a/#", "a"));
        assert!(matches("a/#", "a/"));
        assert!(matches("a/#", "a/b/c"));
        assert!(matches("#", "a"));
        assert!(!matches("#", "$aws/events"));
        assert!(!matches("+/events", "$aws/events"));
        assert!(matches("$aws/#", "$aws/events"));
        assert!(matches("a/+/c", "a//c"));
        assert!(!matches("a/+", "a"));
        assert!(!matches("/a", "a"));
    }

    #[test]
    fn wildcards_stand_alone_and_a_hash_is_last() {
        for good in [
            "a",
            "/",
            "+",
            "#",
            "a/+/b",
            "a/#",
            "$share/g/a/#",
            "$aws/events/#",
        ] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a+",
            "a/#/b",
            "a/b#",
            "$share/",
            "$share/g",
            "$share/g/",
            "$share/g+/a",
            "$share//a",
        ] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn eight_levels_and_256_bytes_are_the_most() {
        assert_eq!(check_topic("a/b/c/d/e/f/g/h"), Ok(()));
        assert_eq!(check_topic("a/b/c/d/e/f/g/h/i"), Err(TopicFault::TooDeep));
        assert_eq!(check_topic("$aws/rules/r/a/b/c/d/e/f/g/h"), Ok(()));
        assert_eq!(check_filter("$share/g/a/b/c/d/e/f/g/h"), Ok(()));
        assert_eq!(check_topic(&"x".repeat(256)), Ok(()));
        assert_eq!(check_topic(&"x".repeat(257)), Err(TopicFault::TooLong));
        assert_eq!(check_topic("a/+"), Err(TopicFault::Wildcard));
    }
}
