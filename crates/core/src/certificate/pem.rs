//! PEM text (RFC 7468): written here, read by rustls-pki-types.

use base64::{Engine, engine::general_purpose::STANDARD};

/// PEM text of one block, lines of 64 characters ending in a line feed.
///
/// The buffer is allocated once in its final size, so a caller that wipes the answer has wiped every copy.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let lines = der.len().div_ceil(48);
    let mut text = String::with_capacity(2 * label.len() + 32 + der.len().div_ceil(3) * 4 + lines);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for line in der.chunks(48) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_fits_the_buffer_it_was_given_and_reads_back() {
        for length in [1, 2, 3, 47, 48, 49, 96, 1000] {
            let der = vec![0x5a; length];
            let text = encode("CERTIFICATE", &der);
            assert_eq!(text.capacity(), text.len(), "length {length}");
            let (_, read) = x509_parser::pem::parse_x509_pem(text.as_bytes()).unwrap();
            assert_eq!(read.contents, der);
        }
    }
}
