//! The little of DER (X.690) that putting certificates together takes.

pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The first element with its header, and what follows it.
pub(super) fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, length) = header(der)?;
    der.split_at_checked(header.checked_add(length)?)
}

/// The contents of the first element, if it has this tag, and what follows it.
pub(super) fn contents(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, _) = header(der)?;
    let (whole, rest) = element(der)?;
    (*whole.first()? == tag).then_some((whole.get(size..)?, rest))
}

/// The sizes of an element's header and contents.
fn header(der: &[u8]) -> Option<(usize, usize)> {
    let first = *der.get(1)?;
    if first < 0x80 {
        return Some((2, first.into()));
    }
    let octets = usize::from(first & 0x7f);
    let length = der
        .get(2..2 + octets)
        .filter(|_| (1..=4).contains(&octets))?;
    let length = length.iter().fold(0, |sum, &b| sum << 8 | usize::from(b));
    Some((2 + octets, length))
}

pub(super) fn wrap(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut der = Vec::with_capacity(contents.len() + 6);
    push(&mut der, tag, contents);
    der
}

/// Appends an element.
pub(super) fn push(der: &mut Vec<u8>, tag: u8, contents: &[u8]) {
    push_header(der, tag, contents.len());
    der.extend_from_slice(contents);
}

/// Appends what stands before contents of this length.
pub(super) fn push_header(der: &mut Vec<u8>, tag: u8, length: usize) {
    der.push(tag);
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        der.push(short);
        return;
    }
    let octets = length.to_be_bytes();
    let octets = &octets[octets.len() - length_octets(length)..];
    der.push(0x80 | octets.len() as u8);
    der.extend_from_slice(octets);
}

/// The size of a whole element with contents of this length.
pub(super) fn element_size(length: usize) -> usize {
    match length {
        0..0x80 => 2 + length,
        _ => 2 + length_octets(length) + length,
    }
}

/// How many octets it takes to write a length down.
fn length_octets(length: usize) -> usize {
    (usize::BITS - length.leading_zeros()).div_ceil(8) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_short_as_der_wants_and_read_back() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let der = wrap(SEQUENCE, &vec![7; length]);
            let (inside, rest) = contents(SEQUENCE, &der).unwrap();
            assert_eq!((inside.len(), rest.len()), (length, 0));
            assert_eq!(element_size(length), der.len());
        }
        assert_eq!(wrap(SEQUENCE, &[0; 128])[..3], [SEQUENCE, 0x81, 128]);
    }

    #[test]
    fn what_is_cut_short_is_no_element() {
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 2, 1],
            &[0x30, 0x80],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
        ] {
            assert!(element(der).is_none(), "{der:?}");
        }
        assert!(contents(SEQUENCE, &[2, 1, 1]).is_none());
    }
}
