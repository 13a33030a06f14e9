//! Wildcard patterns compiled for asking them often: no allocation, and time linear in the text.

use super::pattern::Token;

/// A compiled pattern. The common forms are one comparison; the rest goes from left to right and never back over a
/// `*`, so `*a*a*a…` costs no more than reading the text (a segment with `?` in it: segment times text).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Matcher {
    /// `*`
    Any,
    /// no wildcard
    Exact(Box<str>),
    /// `text*`
    Prefix(Box<str>),
    /// `*text`
    Suffix(Box<str>),
    /// `text*text`
    Ends(Box<(Box<str>, Box<str>)>),
    /// `?` but no `*`
    Fixed(Segment),
    /// anything else
    Glob(Box<Glob>),
}

/// What stands before the first `*`, between two, and after the last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Glob {
    first: Segment,
    middle: Box<[Segment]>,
    last: Segment,
    /// Bytes a text must have at least.
    shortest: usize,
    /// Letters a text must have.
    letters: Letters,
}

/// The ASCII characters of a text, one bit each. A pattern with `*` needs a search; most texts lack one of its letters,
/// and then there is nothing to search for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Letters(u128);

impl Letters {
    pub(crate) fn of(text: &str) -> Self {
        Self(
            text.bytes()
                .filter(u8::is_ascii)
                .fold(0, |bits, byte| bits | 1 << byte),
        )
    }

    fn contains(self, needed: Self) -> bool {
        needed.0 & !self.0 == 0
    }
}

/// A piece of a pattern without `*`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Segment {
    Text(Box<str>),
    /// `None` is `?`.
    Mixed(Box<[Option<char>]>),
}

impl Matcher {
    /// Compiles tokens.
    pub(crate) fn new(tokens: &[Token]) -> Self {
        let mut segments: Vec<Segment> = Vec::new();
        let mut current: Vec<Option<char>> = Vec::new();
        let mut stars = 0_usize;
        for token in tokens {
            match token {
                Token::Literal(letter) => current.push(Some(*letter)),
                Token::One => current.push(None),
                Token::Star => {
                    // Of several stars in a row one is enough. `*?*` keeps both, with the `?` as a segment.
                    if stars == 0 || !current.is_empty() {
                        segments.push(Segment::new(&current));
                        current.clear();
                    }
                    stars += 1;
                }
            }
        }
        let last = Segment::new(&current);
        if stars == 0 {
            return match last {
                Segment::Text(text) => Self::Exact(text),
                mixed => Self::Fixed(mixed),
            };
        }
        let first = segments.remove(0);
        match (first, segments.is_empty(), last) {
            (Segment::Text(first), true, Segment::Text(last)) => {
                match (first.is_empty(), last.is_empty()) {
                    (true, true) => Self::Any,
                    (false, true) => Self::Prefix(first),
                    (true, false) => Self::Suffix(last),
                    (false, false) => Self::Ends(Box::new((first, last))),
                }
            }
            (first, _, last) => {
                let all = || segments.iter().chain([&first, &last]);
                let shortest = all().map(Segment::shortest).sum();
                let letters = all().fold(Letters::default(), |bits, segment| {
                    Letters(bits.0 | segment.letters().0)
                });
                Self::Glob(Box::new(Glob {
                    first,
                    middle: segments.into(),
                    last,
                    shortest,
                    letters,
                }))
            }
        }
    }

    /// The matchers for what may follow `prefix` in a text that the tokens match: the ARN's beginning is the same for
    /// a whole connection, so it is matched once, here, and a decision compares only the topic.
    ///
    /// Several, where a `*` may end before, within or after the prefix; none, if the prefix itself does not match.
    pub(crate) fn after(tokens: &[Token], prefix: &str) -> Vec<Self> {
        // The positions an automaton for the pattern can be in, ascending; each stands for "the rest from here".
        let mut positions = Vec::new();
        enter(tokens, 0, &mut positions);
        let mut next = Vec::new();
        for letter in prefix.chars() {
            next.clear();
            for &at in &positions {
                match tokens.get(at) {
                    Some(Token::Star) => enter(tokens, at, &mut next),
                    Some(Token::One) => enter(tokens, at + 1, &mut next),
                    Some(Token::Literal(wanted)) if *wanted == letter => {
                        enter(tokens, at + 1, &mut next)
                    }
                    _ => {}
                }
            }
            next.sort_unstable();
            next.dedup();
            // Whatever an earlier star can still match, the last star reached can match too.
            if let Some(star) = next
                .iter()
                .rposition(|&at| tokens.get(at) == Some(&Token::Star))
            {
                next.drain(..star);
            }
            std::mem::swap(&mut positions, &mut next);
        }
        let mut matchers: Vec<Self> = Vec::new();
        for at in positions {
            let matcher = Self::new(&tokens[at..]);
            if matcher == Self::Any {
                return vec![Self::Any];
            }
            if !matchers.contains(&matcher) {
                matchers.push(matcher);
            }
        }
        matchers
    }

    /// Whether the whole text matches.
    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.matches(text),
            simple => simple.matches_simple(text),
        }
    }

    /// The same for a text whose letters are known, because it is compared with many patterns.
    #[inline]
    pub(crate) fn matches_letters(&self, text: &str, letters: Letters) -> bool {
        match self {
            Self::Glob(glob) => letters.contains(glob.letters) && glob.matches(text),
            simple => simple.matches_simple(text),
        }
    }

    /// Whether [`Self::matches_letters`] looks at the letters.
    pub(crate) fn needs_letters(&self) -> bool {
        matches!(self, Self::Glob(_))
    }

    #[inline]
    fn matches_simple(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(wanted) => **wanted == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Suffix(suffix) => text.ends_with(&**suffix),
            Self::Ends(ends) => {
                text.len() >= ends.0.len() + ends.1.len()
                    && text.starts_with(&*ends.0)
                    && text.ends_with(&*ends.1)
            }
            Self::Fixed(segment) => segment.at_start(text) == Some(text.len()),
            Self::Glob(glob) => glob.matches(text),
        }
    }
}

/// Adds a position, and those behind it that need no letter.
fn enter(tokens: &[Token], mut at: usize, positions: &mut Vec<usize>) {
    positions.push(at);
    while tokens.get(at) == Some(&Token::Star) {
        at += 1;
        positions.push(at);
    }
}

impl Glob {
    fn matches(&self, text: &str) -> bool {
        if text.len() < self.shortest {
            return false;
        }
        let Some(start) = self.first.at_start(text) else {
            return false;
        };
        let rest = &text[start..];
        let Some(end) = self.last.at_end(rest) else {
            return false;
        };
        let mut rest = &rest[..end];
        for segment in &self.middle {
            // The leftmost place leaves the most for what follows, so no other place need be tried.
            match segment.find(rest) {
                Some(after) => rest = &rest[after..],
                None => return false,
            }
        }
        true
    }
}

impl Segment {
    fn new(letters: &[Option<char>]) -> Self {
        match letters.iter().copied().collect::<Option<String>>() {
            Some(text) => Self::Text(text.into()),
            None => Self::Mixed(letters.into()),
        }
    }

    /// Bytes it takes at least.
    fn shortest(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Mixed(letters) => letters
                .iter()
                .map(|letter| letter.map_or(1, char::len_utf8))
                .sum(),
        }
    }

    fn letters(&self) -> Letters {
        match self {
            Self::Text(text) => Letters::of(text),
            Self::Mixed(letters) => Letters::of(&letters.iter().flatten().collect::<String>()),
        }
    }

    /// Where it ends, if the text starts with it.
    fn at_start(&self, text: &str) -> Option<usize> {
        match self {
            Self::Text(wanted) => text.starts_with(&**wanted).then_some(wanted.len()),
            Self::Mixed(letters) => {
                let mut found = text.chars();
                for wanted in letters {
                    let letter = found.next()?;
                    if wanted.is_some_and(|wanted| wanted != letter) {
                        return None;
                    }
                }
                Some(text.len() - found.as_str().len())
            }
        }
    }

    /// Where it starts, if the text ends with it.
    fn at_end(&self, text: &str) -> Option<usize> {
        match self {
            Self::Text(wanted) => text.ends_with(&**wanted).then(|| text.len() - wanted.len()),
            Self::Mixed(letters) => {
                let mut found = text.chars();
                for wanted in letters.iter().rev() {
                    let letter = found.next_back()?;
                    if wanted.is_some_and(|wanted| wanted != letter) {
                        return None;
                    }
                }
                Some(found.as_str().len())
            }
        }
    }

    /// Where its leftmost occurrence ends.
    fn find(&self, text: &str) -> Option<usize> {
        match self {
            Self::Text(wanted) => text.find(&**wanted).map(|at| at + wanted.len()),
            Self::Mixed(_) => {
                let shortest = self.shortest();
                text.char_indices()
                    .take_while(|(at, _)| text.len() - at >= shortest)
                    .find_map(|(at, _)| self.at_start(&text[at..]).map(|length| at + length))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn tokens(pattern: &str) -> Vec<Token> {
        let token = |letter| match letter {
            '*' => Token::Star,
            '?' => Token::One,
            other => Token::Literal(other),
        };
        pattern.chars().map(token).collect()
    }

    /// The definition, written down: exponential, and obviously right.
    fn naive(pattern: &[Token], text: &[char]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some(Token::Star), _) => {
                naive(&pattern[1..], text) || (!text.is_empty() && naive(pattern, &text[1..]))
            }
            (Some(Token::One), Some(_)) => naive(&pattern[1..], &text[1..]),
            (Some(Token::Literal(wanted)), Some(found)) => {
                wanted == found && naive(&pattern[1..], &text[1..])
            }
            _ => false,
        }
    }

    fn random(rng: &mut StdRng, alphabet: &[char], longest: usize) -> String {
        let length = rng.random_range(0..=longest);
        (0..length)
            .map(|_| alphabet[rng.random_range(0..alphabet.len())])
            .collect()
    }

    #[test]
    fn agrees_with_the_definition_on_random_patterns_and_texts() {
        let mut rng = StdRng::seed_from_u64(17);
        let mut matched = 0;
        for _ in 0..60_000 {
            let pattern = tokens(&random(&mut rng, &['a', 'b', 'ü', '*', '*', '?'], 9));
            let text = random(&mut rng, &['a', 'b', 'ü', '/'], 10);
            let letters: Vec<char> = text.chars().collect();
            let wanted = naive(&pattern, &letters);
            assert_eq!(
                Matcher::new(&pattern).matches(&text),
                wanted,
                "{pattern:?} {text:?}"
            );
            matched += u32::from(wanted);

            // Cut anywhere, the rest matches exactly when the whole does.
            let cut = rng.random_range(0..=letters.len());
            let prefix: String = letters[..cut].iter().collect();
            let rest: String = letters[cut..].iter().collect();
            let after = Matcher::after(&pattern, &prefix);
            assert_eq!(
                after.iter().any(|one| one.matches(&rest)),
                wanted,
                "{pattern:?} {prefix:?} {rest:?}"
            );
        }
        assert!(
            matched > 3_000,
            "too few matches to mean something: {matched}"
        );
    }

    #[test]
    fn common_forms_become_single_comparisons() {
        assert_eq!(Matcher::new(&tokens("***")), Matcher::Any);
        assert_eq!(Matcher::new(&tokens("")), Matcher::Exact("".into()));
        assert_eq!(Matcher::new(&tokens("a/b")), Matcher::Exact("a/b".into()));
        assert_eq!(Matcher::new(&tokens("a/*")), Matcher::Prefix("a/".into()));
        assert_eq!(Matcher::new(&tokens("*/a")), Matcher::Suffix("/a".into()));
        assert_eq!(
            Matcher::new(&tokens("a**b")),
            Matcher::Ends(Box::new(("a".into(), "b".into())))
        );
        let arn = "arn:aws:iot:eu-west-1:123456789012:topic/";
        assert_eq!(Matcher::after(&tokens("*"), arn), [Matcher::Any]);
        assert_eq!(
            Matcher::after(&tokens("arn:aws:iot:*"), arn),
            [Matcher::Any]
        );
        assert_eq!(
            Matcher::after(&tokens(&format!("{arn}a")), arn),
            [Matcher::Exact("a".into())]
        );
        assert_eq!(
            Matcher::after(&tokens("arn:aws:iot:us-east-1:123456789012:topic/a"), arn),
            []
        );
    }

    #[test]
    fn hostile_patterns_cost_no_more_than_reading_the_text() {
        let text = "a".repeat(65_535);
        let hostile = [
            format!("{}b", "*a".repeat(1_000)),
            format!("{}b*", "*a".repeat(1_000)),
            format!("*{}b*", "a".repeat(1_000)),
            format!("{}b", "*?".repeat(1_000)),
            "*a?".repeat(600) + "b*",
        ];
        let start = Instant::now();
        for pattern in &hostile {
            let matcher = Matcher::new(&tokens(pattern));
            assert!(!matcher.matches(&text), "{pattern:.20}");
            assert!(
                Matcher::after(&tokens(pattern), &text[..200])
                    .iter()
                    .all(|one| !one.matches(&text))
            );
        }
        // Generous: an exponential or cubic matcher would not return today.
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?}",
            start.elapsed()
        );
    }
}
