//! Which MQTT version a connection speaks, from the first bytes it sends.

use crate::{Version, WireError};

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sniffed {
    /// Too few bytes to tell.
    More,
    /// A CONNECT of this version.
    Version(Version),
}

/// Reads the protocol level out of the beginning of a CONNECT, without consuming it.
///
/// # Errors
/// The bytes are no CONNECT, or one of a version other than 3.1.1 and 5.
pub fn sniff(bytes: &[u8]) -> Result<Sniffed, WireError> {
    let Some(&first) = bytes.first() else {
        return Ok(Sniffed::More);
    };
    if first != 0x10 {
        return Err(WireError::Malformed("the first packet is not CONNECT"));
    }
    let Some((length, header)) = crate::decode::remaining_length(&bytes[1..])? else {
        return Ok(Sniffed::More);
    };
    let body = &bytes[1 + header..];
    let (name, level): (&[u8], usize) = match body.get(..2) {
        None => {
            return if length < 2 {
                Err(TRUNCATED)
            } else {
                Ok(Sniffed::More)
            };
        }
        Some([0, 4]) => (b"MQTT", 6),
        Some([0, 6]) => (b"MQIsdp", 8),
        Some(_) => return Err(WireError::Malformed("protocol name")),
    };
    if length <= level {
        return Err(TRUNCATED);
    }
    let Some(&found) = body.get(level) else {
        return Ok(Sniffed::More);
    };
    if &body[2..level] != name {
        return Err(WireError::Malformed("protocol name"));
    }
    match (name, found) {
        (b"MQTT", 4) => Ok(Sniffed::Version(Version::V3)),
        (b"MQTT", 5) => Ok(Sniffed::Version(Version::V5)),
        (_, level) => Err(WireError::UnsupportedVersion(level)),
    }
}

const TRUNCATED: WireError = WireError::Malformed("CONNECT ends within its header");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_level_selects_the_version() {
        assert_eq!(
            sniff(b"\x10\x0d\x00\x04MQTT\x04"),
            Ok(Sniffed::Version(Version::V3))
        );
        assert_eq!(
            sniff(b"\x10\x0d\x00\x04MQTT\x05"),
            Ok(Sniffed::Version(Version::V5))
        );
    }

    #[test]
    fn mqtt_3_1_is_refused_by_its_level() {
        assert_eq!(
            sniff(b"\x10\x0f\x00\x06MQIsdp\x03"),
            Err(WireError::UnsupportedVersion(3))
        );
        assert_eq!(
            sniff(b"\x10\x0f\x00\x04MQTT\x03"),
            Err(WireError::UnsupportedVersion(3))
        );
    }

    #[test]
    fn every_prefix_asks_for_more() {
        let whole = b"\x10\x0d\x00\x04MQTT\x04";
        for cut in 0..whole.len() {
            assert_eq!(sniff(&whole[..cut]), Ok(Sniffed::More), "{cut}");
        }
    }

    #[test]
    fn other_protocols_are_told_apart_at_once() {
        assert!(sniff(b"GET / HTTP/1.1").is_err());
        assert!(sniff(b"\x16\x03\x01").is_err());
        assert!(sniff(b"\x10\x02\x00\x04").is_err());
        assert!(sniff(b"\x10\xff\xff\xff\xff").is_err());
    }
}
