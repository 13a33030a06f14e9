//! A time span as people write it: 90m, 12h, 7d.

use std::str::FromStr;

use time::Duration;

/// A time span of whole seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Age(Duration);

impl Age {
    /// How long it is.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err("give a number and a unit: 90m, 12h, 7d".to_owned()),
        };
        let number: u32 = digits.parse().map_err(|error| format!("{error}"))?;
        Ok(Self(Duration::seconds(i64::from(number) * unit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        let read = |text: &str| {
            text.parse::<Age>()
                .map(|age| age.duration().whole_seconds())
        };
        assert_eq!(read("90m"), Ok(5_400));
        assert_eq!(read("30d"), Ok(2_592_000));
        assert_eq!(read("0s"), Ok(0));
        for wrong in ["", "d", "30", "1.5h", "-1d", "30w", "99999999999d"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
