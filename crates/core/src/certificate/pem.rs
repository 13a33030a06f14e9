//! PEM text (RFC 7468): written here, read by rustls-pki-types.

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls_pki_types::pem;

/// What is wrong with a PEM text, in the words that stand in it.
pub(crate) fn fault(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("there is no line -----END {}-----", line(end_marker))
        }
        pem::Error::IllegalSectionStart { line: start } => {
            format!("the line {} begins no block", line(start))
        }
        pem::Error::Base64Decode(_) => {
            "what stands between its BEGIN and END lines is not base64".to_owned()
        }
        other => other.to_string(),
    }
}

/// As it stands in the text, of which the reader hands out bytes: a file may hold any.
fn line(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes)
        .trim()
        .chars()
        .take(80)
        .collect();
    text.escape_debug().to_string()
}

/// PEM text of one block, lines of 64 characters ending in a line feed.
///
/// The buffer is allocated once in its final size, so a caller that wipes the answer has wiped every copy.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    encode_before(label, der, "")
}

/// As [`encode`], with something after it.
pub(crate) fn encode_before(label: &str, der: &[u8], after: &str) -> String {
    let lines = der.len().div_ceil(48);
    let block = 2 * label.len() + 32 + der.len().div_ceil(3) * 4 + lines;
    let mut text = String::with_capacity(block + after.len());
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
    text.push_str(after);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_text_is_described_by_its_lines() {
        use rustls_pki_types::{CertificateDer, pem::PemObject};
        let fault_of = |text: &str| {
            fault(&CertificateDer::from_pem_slice(text.as_bytes()).expect_err("damaged"))
        };
        assert_eq!(
            fault_of("-----BEGIN CERTIFICATE-----\nAAAA\n"),
            "there is no line -----END CERTIFICATE-----"
        );
        assert_eq!(
            fault_of("-----BEGIN CERTIFICATE\nAAAA\n"),
            "the line -----BEGIN CERTIFICATE begins no block"
        );
        let text = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
        assert!(fault_of(text).contains("base64"), "{}", fault_of(text));
    }

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
