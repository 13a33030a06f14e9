//! Profiles: what kind of key a certificate is for, and how long it is valid.

use std::{fmt, str::FromStr};

use time::{
    Date, Duration, OffsetDateTime, Time, UtcOffset,
    format_description::well_known::{Iso8601, Rfc3339},
};

use super::{CaError, KeyType};
use crate::{
    certificate::Certificate,
    failure::{Class, Classified},
};

/// How long a new certificate is valid, counted from the moment it is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Validity {
    /// This many days of 24 hours.
    Days(u32),
    /// Up to and including this second.
    Until(OffsetDateTime),
    /// As long as the CA that signs it. Not for a root, which has no CA above it.
    UntilCaEnds,
}

/// The text is no validity.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{text:?} is not a validity: give a number of days (500), a date (2049-12-31), a time (2049-12-31T23:59:59Z), \
     or `ca` for as long as the CA"
)]
pub struct ValidityError {
    text: String,
}

impl Classified for ValidityError {
    fn class(&self) -> Class {
        Class::Configuration
    }
}

/// What a device certificate is made like, apart from its subject.
///
/// The extensions are not for choice: version 3, basicConstraints CA:FALSE (critical), keyUsage digitalSignature
/// (critical), extendedKeyUsage clientAuth, subject and authority key identifiers. RSA keys get digitalSignature alone
/// as well: a TLS client only ever signs with its key, keyEncipherment is for the key of a server that still does RSA
/// key exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Profile {
    key_type: KeyType,
    validity: Validity,
}

impl Profile {
    /// A device certificate: EC P-256, valid 500 days like those of the shell toolkit.
    pub fn device() -> Self {
        Self {
            key_type: KeyType::default(),
            validity: Validity::DEVICE,
        }
    }

    /// The same with another kind of key.
    pub fn with_key_type(self, key_type: KeyType) -> Self {
        Self { key_type, ..self }
    }

    /// The same with another validity; [`Validity::UntilCaEnds`] is the longest that is possible.
    pub fn with_validity(self, validity: Validity) -> Self {
        Self { validity, ..self }
    }

    /// The kind of key.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The validity.
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::device()
    }
}

impl Validity {
    /// A root's: ten years, so that devices made late in its life still get all of theirs.
    pub const ROOT: Self = Self::Days(3650);
    /// A device's: 500 days.
    pub const DEVICE: Self = Self::Days(500);

    /// Whether a root made at `now` could have it; to be asked before its key is made where it stays.
    ///
    /// # Errors
    /// When it is empty, past, beyond 9999 or [`Validity::UntilCaEnds`].
    pub fn check_root(self, now: OffsetDateTime) -> Result<(), CaError> {
        self.window(now, None).map(drop)
    }

    /// The second in which what begins at `now` under `ca` ends.
    ///
    /// # Errors
    /// When that is empty, past or beyond 9999.
    pub fn end(self, now: OffsetDateTime, ca: &Certificate) -> Result<OffsetDateTime, CaError> {
        match self {
            Self::UntilCaEnds => Ok(ca.not_after()),
            _ => Ok(self.window(now, None)?.not_after),
        }
    }

    /// First and last second of a certificate made at `now` under `ca` (`None` for a root).
    pub(super) fn window(
        self,
        now: OffsetDateTime,
        ca: Option<&Certificate>,
    ) -> Result<Window, CaError> {
        let now = whole_second(now);
        let mut not_before = now.saturating_sub(BACK_DATED);
        let not_after = match self {
            Self::Days(0) => return Err(CaError::ValidityEmpty),
            Self::Days(days) => now
                .checked_add(Duration::days(days.into()))
                .filter(|end| end.year() <= LAST_YEAR)
                .ok_or(CaError::ValidityBeyond9999)?,
            Self::Until(end) => whole_second(end),
            Self::UntilCaEnds => ca.ok_or(CaError::ValidityOfRoot)?.not_after(),
        };
        if not_after.year() > LAST_YEAR {
            return Err(CaError::ValidityBeyond9999);
        }
        if not_after <= now {
            return Err(CaError::ValidityPast { not_after });
        }
        if let Some(ca) = ca {
            if not_after > ca.not_after() {
                return Err(CaError::OutlivesCa {
                    not_after,
                    ca: ca.subject_line(),
                    ca_not_after: ca.not_after(),
                    days_left: (ca.not_after() - now).whole_days(),
                });
            }
            not_before = not_before.max(ca.not_before());
        }
        Ok(Window {
            not_before,
            not_after,
        })
    }
}

/// The first and the last second in which a certificate is valid, UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
}

impl Window {
    /// The window between two instants, of which fractions of seconds are dropped. Whether it lies within the life of a
    /// CA is asked by the CA.
    pub fn new(not_before: OffsetDateTime, not_after: OffsetDateTime) -> Self {
        Self {
            not_before: whole_second(not_before),
            not_after: whole_second(not_after),
        }
    }

    /// The first second.
    pub fn not_before(&self) -> OffsetDateTime {
        self.not_before
    }

    /// The last second.
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }
}

impl FromStr for Validity {
    type Err = ValidityError;

    /// `500`, `500d`, `2049-12-31` (to the end of that day, UTC), `2049-12-31T23:59:59Z`, `ca`.
    fn from_str(text: &str) -> Result<Self, ValidityError> {
        let days = text.strip_suffix('d').unwrap_or(text);
        if text.eq_ignore_ascii_case("ca") {
            Ok(Self::UntilCaEnds)
        } else if let (true, Ok(days)) = (days.bytes().all(|b| b.is_ascii_digit()), days.parse()) {
            Ok(Self::Days(days))
        } else if let Ok(end) = OffsetDateTime::parse(text, &Rfc3339) {
            Ok(Self::Until(end))
        } else if let (10, Ok(date)) = (text.len(), Date::parse(text, &Iso8601::DATE)) {
            Ok(Self::Until(date.with_time(END_OF_DAY).assume_utc()))
        } else {
            Err(ValidityError {
                text: text.to_owned(),
            })
        }
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Days(days) => write!(f, "{days}d"),
            Self::Until(end) => f.write_str(&instant(*end)),
            Self::UntilCaEnds => f.write_str("ca"),
        }
    }
}

/// An instant as messages write it: `2049-12-31T23:59:59Z`.
pub(super) fn instant(time: OffsetDateTime) -> String {
    whole_second(time)
        .format(&Rfc3339)
        .unwrap_or_else(|_| time.to_string())
}

/// UTC without a fraction, which is all that a certificate can say (RFC 5280, 4.1.2.5).
fn whole_second(time: OffsetDateTime) -> OffsetDateTime {
    let time = time.checked_to_offset(UtcOffset::UTC).unwrap_or(time);
    time - Duration::nanoseconds(time.nanosecond().into())
}

/// A device whose clock is slow must not find its new certificate to be of the future.
const BACK_DATED: Duration = Duration::MINUTE;

/// GeneralizedTime has four digits for the year.
const LAST_YEAR: i32 = 9999;

const END_OF_DAY: Time = match Time::from_hms(23, 59, 59) {
    Ok(time) => time,
    Err(_) => Time::MIDNIGHT,
};

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_validity_is_days_a_date_a_time_or_the_life_of_the_ca() {
        let read = |text: &str| text.parse::<Validity>();
        assert_eq!(read("500"), Ok(Validity::Days(500)));
        assert_eq!(read("30d"), Ok(Validity::Days(30)));
        assert_eq!(read("ca"), Ok(Validity::UntilCaEnds));
        let end = Validity::Until(datetime!(2049-12-31 23:59:59 UTC));
        assert_eq!(read("2049-12-31"), Ok(end));
        assert_eq!(read("2049-12-31T23:59:59Z"), Ok(end));
        assert_eq!(end.to_string(), "2049-12-31T23:59:59Z");
        for wrong in ["", "d", "-1", "1.5", "2049-13-01", "soon", "99999999999"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_window_starts_a_minute_ago_in_whole_seconds() {
        let now = datetime!(2026-11-21 12:00:00.75 +02:00);
        let window = Validity::Days(1).window(now, None).unwrap();
        assert_eq!(window.not_before, datetime!(2026-11-21 09:59:00 UTC));
        assert_eq!(window.not_after, datetime!(2026-11-22 10:00:00 UTC));
    }

    #[test]
    fn a_window_that_is_empty_past_or_beyond_9999_is_refused() {
        let now = datetime!(2026-11-21 12:00 UTC);
        let refusal = |validity: Validity| validity.window(now, None).unwrap_err().to_string();
        assert!(refusal(Validity::Days(0)).contains("0 days"));
        assert!(refusal(Validity::Days(u32::MAX)).contains("9999"));
        assert!(refusal(Validity::Until(now)).contains("past"));
        assert!(refusal(Validity::UntilCaEnds).contains("root"));
    }
}
