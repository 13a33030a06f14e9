//! "Did you mean …?": the nearest of the words that would have been right.

/// The candidate that differs from `word` by the fewest edits, if few enough that a slip of the pen explains them:
/// letter case aside, at most a third of the word, rounded up, and at most three letters.
///
/// Words over 128 bytes have no neighbour: they are not typing mistakes, and the comparison costs the product of the
/// two lengths.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 128 {
        return None;
    }
    let lower: Vec<char> = word.to_lowercase().chars().collect();
    let limit = lower
        .len()
        .div_ceil(3)
        .min(3)
        .min(lower.len().saturating_sub(1));
    candidates
        .into_iter()
        .map(|candidate| {
            (
                edits(
                    &lower,
                    &candidate.to_lowercase().chars().collect::<Vec<_>>(),
                ),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …?` or nothing, ready to be put at the end of a sentence.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// Levenshtein distance.
fn edits(left: &[char], right: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_case_but_not_other_words() {
        let known = ["ThingName", "ThingTypeName", "ThingGroups"];
        assert_eq!(nearest("ThingNme", known), Some("ThingName"));
        assert_eq!(nearest("thingname", known), Some("ThingName"));
        assert_eq!(nearest("Certificate", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"T".repeat(100_000), known), None);
        assert_eq!(
            did_you_mean("ThingGroup", known),
            "; did you mean `ThingGroups`?"
        );
    }
}
