//! Times as patterns write them: `parse_time` and `time_to_epoch` (AWS IoT developer guide; the letters are Joda-Time's).
//!
//! Zones are UTC, GMT, Z and offsets such as `+01:00` or `UTC+01:00`; names such as `America/Belize` are not known here.

use time::format_description::well_known::Iso8601;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// One piece of a pattern: a run of one letter, or text.
enum Piece {
    Field(char, usize),
    Text(String),
}

/// A time in milliseconds since 1970 as the pattern writes it in a zone; none for letters or zones that are not known.
pub(super) fn format(pattern: &str, milliseconds: i64, zone: &str) -> Option<String> {
    let (offset, zone_name) = zone_offset(zone)?;
    let nanoseconds = i128::from(milliseconds).checked_mul(1_000_000)?;
    let moment = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .ok()?
        .checked_to_offset(offset)?;
    let mut text = String::new();
    for piece in pieces(pattern)? {
        let (letter, count) = match piece {
            Piece::Text(literal) => {
                text.push_str(&literal);
                continue;
            }
            Piece::Field(letter, count) => (letter, count),
        };
        let number = |value: i64| format!("{value:0count$}");
        let hour = i64::from(moment.hour());
        let half_day = |hour: i64| if hour % 12 == 0 { 12 } else { hour % 12 };
        text.push_str(&match letter {
            'y' | 'u' | 'Y' | 'x' if count == 2 => format!("{:02}", moment.year().rem_euclid(100)),
            'y' | 'u' | 'Y' => number(moment.year().into()),
            'M' | 'L' if count >= 4 => moment.month().to_string(),
            'M' | 'L' if count == 3 => moment.month().to_string()[..3].to_owned(),
            'M' | 'L' => number(u8::from(moment.month()).into()),
            'd' => number(moment.day().into()),
            'D' => number(moment.ordinal().into()),
            'E' if count >= 4 => moment.weekday().to_string(),
            'E' => moment.weekday().to_string()[..3].to_owned(),
            'e' => number(moment.weekday().number_from_monday().into()),
            'w' => number(moment.iso_week().into()),
            'H' => number(hour),
            'k' => number(if hour == 0 { 24 } else { hour }),
            'h' => number(half_day(hour)),
            'K' => number(hour % 12),
            'm' => number(moment.minute().into()),
            's' => number(moment.second().into()),
            'S' => format!("{:09}", moment.nanosecond())
                .chars()
                .chain(std::iter::repeat('0'))
                .take(count)
                .collect(),
            'a' => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            'G' => if moment.year() > 0 { "AD" } else { "BC" }.to_owned(),
            'z' => zone_name.clone(),
            'Z' | 'X' => {
                let (hours, minutes, _) = offset.as_hms();
                let colon = if count >= 2 { ":" } else { "" };
                let sign = if offset.is_negative() { '-' } else { '+' };
                format!("{sign}{:02}{colon}{:02}", hours.abs(), minutes.abs())
            }
            _ => return None,
        });
    }
    Some(text)
}

/// Milliseconds since 1970 of a text that a pattern wrote; without a zone it is UTC.
pub(super) fn parse(text: &str, pattern: &str) -> Option<i64> {
    let mut rest = text;
    let (mut year, mut month, mut day) = (1970_i32, 1_u8, 1_u8);
    let (mut hour, mut minute, mut second, mut nanosecond) = (0_u8, 0_u8, 0_u8, 0_u32);
    let mut afternoon = None;
    let mut offset = UtcOffset::UTC;
    let pieces = pieces(pattern)?;
    let fields_touch = |index: usize| matches!(pieces.get(index + 1), Some(Piece::Field(..)));
    for (index, piece) in pieces.iter().enumerate() {
        let (letter, count) = match piece {
            Piece::Text(literal) => {
                rest = rest.strip_prefix(literal.as_str())?;
                continue;
            }
            Piece::Field(letter, count) => (*letter, *count),
        };
        let mut digits = |fewest: usize| -> Option<&str> {
            let longest = if fields_touch(index) { count } else { 9 };
            let length = rest
                .bytes()
                .take(longest)
                .take_while(u8::is_ascii_digit)
                .count();
            (length >= fewest).then_some(())?;
            let (digits, behind) = rest.split_at(length);
            rest = behind;
            Some(digits)
        };
        match letter {
            'y' | 'u' => {
                let digits = digits(1)?;
                year = digits.parse().ok()?;
                if count == 2 && digits.len() == 2 {
                    year += 2000;
                }
            }
            'M' | 'L' if count >= 3 => {
                let named = |number: &u8| {
                    let name = Month::try_from(*number).ok()?.to_string();
                    let name = if count == 3 { &name[..3] } else { &name };
                    let head = rest.get(..name.len())?;
                    head.eq_ignore_ascii_case(name).then_some(name.len())
                };
                let (number, length) =
                    (1..=12).find_map(|number| named(&number).map(|length| (number, length)))?;
                month = number;
                rest = &rest[length..];
            }
            'M' | 'L' => month = digits(1)?.parse().ok()?,
            'd' => day = digits(1)?.parse().ok()?,
            'H' | 'h' | 'K' | 'k' => hour = digits(1)?.parse().ok()?,
            'm' => minute = digits(1)?.parse().ok()?,
            's' => second = digits(1)?.parse().ok()?,
            'S' => {
                let digits = digits(1)?;
                let padded: String = digits.chars().chain("000000000".chars()).take(9).collect();
                nanosecond = padded.parse().ok()?;
            }
            'a' => {
                let word = rest.get(..2)?;
                afternoon = Some(word.eq_ignore_ascii_case("pm"));
                rest = &rest[2..];
            }
            'z' | 'Z' | 'X' | 'V' => {
                let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
                offset = zone_offset(&rest[..length])?.0;
                rest = &rest[length..];
            }
            _ => return None,
        }
    }
    if !rest.is_empty() {
        return None;
    }
    if let Some(afternoon) = afternoon {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    let time = Time::from_hms_nano(hour, minute, second, nanosecond).ok()?;
    let moment = PrimitiveDateTime::new(date, time).assume_offset(offset);
    i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// A pattern cut into runs of letters, quoted text and signs; none when a quote is open.
fn pieces(pattern: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_ascii_alphabetic() {
            let mut count = 1;
            while letters.next_if_eq(&letter).is_some() {
                count += 1;
            }
            if count > LONGEST_FIELD {
                return None;
            }
            pieces.push(Piece::Field(letter, count));
        } else if letter == '\'' {
            let mut text = String::new();
            if letters.next_if_eq(&'\'').is_some() {
                text.push('\'');
            } else {
                loop {
                    match letters.next()? {
                        '\'' if letters.next_if_eq(&'\'').is_some() => text.push('\''),
                        '\'' => break,
                        other => text.push(other),
                    }
                }
            }
            pieces.push(Piece::Text(text));
        } else {
            pieces.push(Piece::Text(letter.to_string()));
        }
    }
    Some(pieces)
}

/// The offset of a zone, and what it is called.
fn zone_offset(zone: &str) -> Option<(UtcOffset, String)> {
    let offset = zone
        .strip_prefix("UTC")
        .or_else(|| zone.strip_prefix("GMT"))
        .unwrap_or(zone);
    if matches!(offset, "" | "Z") && !zone.is_empty() {
        let name = if zone == "Z" { "UTC" } else { zone };
        return Some((UtcOffset::UTC, name.to_owned()));
    }
    // The parser of a library judges hours and minutes; any date will do before them.
    let moment = OffsetDateTime::parse(&format!("1970-01-02T00:00:00{offset}"), &Iso8601::PARSING);
    Some((moment.ok()?.offset(), offset.to_owned()))
}

/// A field of more letters than that pads nothing anybody reads.
const LONGEST_FIELD: usize = 20;
