//! Serial numbers of certificates.

use std::{fmt, str::FromStr};

use aws_lc_rs::rand;

use super::CaError;

/// A certificate's serial number: 20 octets, positive, of which the first is not zero (RFC 5280, 4.1.2.2).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SerialNumber([u8; Self::OCTETS]);

impl SerialNumber {
    /// How long every serial number made here is.
    pub const OCTETS: usize = 20;

    /// 155 random bits or more, far beyond the 64 that make a serial number unpredictable.
    ///
    /// # Errors
    /// [`CaError::Sign`] if the system has no randomness.
    pub fn random() -> Result<Self, CaError> {
        let mut octets = [0; Self::OCTETS];
        rand::fill(&mut octets).map_err(|_| CaError::Sign)?;
        octets[0] = octets[0] & 0x7f | 0x01;
        Ok(Self(octets))
    }

    /// `count` of them for whoever keeps a ledger: `station` tells ledgers of one CA apart (1 to 127), `first` and the
    /// numbers after it (their lower 40 bits) make them unique within one and keep an index of them growing at its end,
    /// and 112 random bits make each unpredictable.
    ///
    /// # Errors
    /// [`CaError::Sign`] if the system has no randomness.
    pub fn in_sequence(station: Station, first: u64, count: usize) -> Result<Vec<Self>, CaError> {
        const SEQUENCE: usize = 6;
        let mut random = vec![0; count * (Self::OCTETS - SEQUENCE)];
        // In one go: the generator takes longer to begin than to go on.
        rand::fill(&mut random).map_err(|_| CaError::Sign)?;
        let serial = |(sequence, random): (u64, &[u8])| {
            let mut octets = [0; Self::OCTETS];
            octets[0] = station.0;
            octets[1..SEQUENCE].copy_from_slice(&sequence.to_be_bytes()[3..]);
            octets[SEQUENCE..].copy_from_slice(random);
            Self(octets)
        };
        let each = random.chunks_exact(Self::OCTETS - SEQUENCE);
        Ok((first..).zip(each).map(serial).collect())
    }

    /// One that was written down; `None` if it is not 20 octets that begin with 1 to 127.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let octets: [u8; Self::OCTETS] = octets.try_into().ok()?;
        (1..=0x7f).contains(&octets[0]).then_some(Self(octets))
    }

    /// The 20 octets, most significant first.
    pub fn octets(&self) -> &[u8; Self::OCTETS] {
        &self.0
    }
}

/// What tells stations apart that sign with one CA, each with a ledger of its own: the first octet of their serial
/// numbers, 1 to 127.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Station(u8);

impl Station {
    /// That of a CA's only ledger.
    pub const FIRST: Self = Self(1);

    /// `None` for 0, which would shorten the serial number, and above 127, which would make it negative.
    pub fn new(number: u8) -> Option<Self> {
        (1..=0x7f).contains(&number).then_some(Self(number))
    }

    /// Every station there can be.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=0x7f).map(Self)
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for Station {
    type Err = String;

    fn from_str(number: &str) -> Result<Self, String> {
        number
            .parse()
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| "a station is a number from 1 to 127".to_owned())
    }
}

impl fmt::Display for Station {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SerialNumber {
    /// 40 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_positive_and_20_octets_long() {
        for _ in 0..1000 {
            let serial = SerialNumber::random().unwrap();
            assert_eq!(SerialNumber::from_octets(serial.octets()), Some(serial));
        }
        for wrong in [&[0; 20][..], &[0x80; 20], &[1; 19], &[1; 21]] {
            assert_eq!(SerialNumber::from_octets(wrong), None);
        }
    }

    #[test]
    fn serial_numbers_of_a_ledger_grow_with_the_sequence() {
        let station = Station::new(7).unwrap();
        let serial = |sequence| SerialNumber::in_sequence(station, sequence, 1).unwrap()[0];
        assert!(serial(1) < serial(2) && serial(255) < serial(256));
        assert_ne!(serial(1), serial(1));
        let several = SerialNumber::in_sequence(station, 5, 300).unwrap();
        assert!(several.len() == 300 && several.is_sorted());
        assert_eq!(several[299].octets()[..6], [7, 0, 0, 0, 1, 0x30]);
        assert_ne!(several[0].octets()[6..], several[1].octets()[6..]);
        assert_eq!(serial(0x01_0203_0405).octets()[..6], [7, 1, 2, 3, 4, 5]);
        assert!(Station::new(0).is_none() && Station::new(128).is_none());
        assert_eq!("127".parse(), Ok(Station(127)));
        for wrong in ["", "0", "128", "one", "1.0", "-1"] {
            assert!(wrong.parse::<Station>().is_err(), "{wrong}");
        }
    }
}
