//! Patterns of IAM and of Lambda's permissions: `*` for any characters and `?` for one.

/// ArnLike: each of the six parts by itself.
pub(super) fn is_like(pattern: &str, arn: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.splitn(6, ':'), arn.splitn(6, ':'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if matches(pattern.as_bytes(), part.as_bytes()) => {}
            _ => return false,
        }
    }
}

/// Whether the whole text matches. Goes back to the last `*` only, so that no pattern takes long.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match star {
                Some((back, skipped)) => {
                    star = Some((back, skipped + 1));
                    at = back + 1;
                    read = skipped + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_arns_match_part_by_part() {
        let arn = "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/Fleet";
        for (pattern, expected) in [
            (arn, true),
            ("arn:aws:iot:*:123456789012:provisioningtemplate/*", true),
            ("arn:aws:iot:eu-west-?:*:*", true),
            ("arn:*", false),
            (
                "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/Other",
                false,
            ),
            (
                "arn:aws:iot:eu-west-1:210987654321:provisioningtemplate/*",
                false,
            ),
            ("*", false),
            ("arn:aws:iot:*:*:*t*t*e*Fleet", true),
        ] {
            assert_eq!(is_like(pattern, arn), expected, "{pattern}");
        }
        let long = "*a".repeat(500);
        assert!(!matches(long.as_bytes(), "a".repeat(400).as_bytes()));
    }
}
