//! Certificates of handshakes, read once for all who ask.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::x509::{X509, X509Fault};

/// Certificates that a thread remembers: a device's, and the CAs it sends beside it.
const REMEMBERED: usize = 4;

thread_local! {
    /// What was read last, the latest first. A handshake asks for its certificate three times within a moment: for its
    /// key's kind, for the signature made with the key, and to know who is there. Devices of one maker send the same CA.
    static LATEST: RefCell<VecDeque<Arc<X509>>> = const { RefCell::new(VecDeque::new()) };
}

/// Reads a certificate, or finds that this thread has just read the same octets.
///
/// # Errors
/// As [`X509::from_der`]; what cannot be read is not remembered.
pub(super) fn read(der: &[u8]) -> Result<Arc<X509>, X509Fault> {
    LATEST.with_borrow_mut(|latest| {
        let found = match latest.iter().position(|known| known.der == der) {
            Some(place) => latest.remove(place),
            None => None,
        };
        let read = match found {
            Some(read) => read,
            None => Arc::new(X509::from_der(der)?),
        };
        latest.truncate(REMEMBERED - 1);
        latest.push_front(Arc::clone(&read));
        Ok(read)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_same_octets_are_read_once_and_others_anew() {
        let (ca, mut devices) = (made("ca"), Vec::new());
        let first = read(&ca).unwrap();
        for number in 0..3 * REMEMBERED {
            let device = made(&format!("device-{number}"));
            let known = read(&device).unwrap();
            assert_eq!(known.der, device);
            assert!(Arc::ptr_eq(&known, &read(&device).unwrap()));
            // What every device sends beside its own stays known.
            assert!(Arc::ptr_eq(&first, &read(&ca).unwrap()));
            devices.push((device, known));
        }
        LATEST.with_borrow(|latest| assert_eq!(latest.len(), REMEMBERED));
        let (device, known) = &devices[0];
        let anew = read(device).unwrap();
        assert!(!Arc::ptr_eq(&anew, known));
        assert_eq!(anew.id, known.id);
    }

    #[test]
    fn what_differs_in_one_octet_is_another_certificate() {
        let device = made("device");
        let known = read(&device).unwrap();
        let mut other = device.clone();
        *other.last_mut().unwrap() ^= 1;
        assert_ne!(read(&other).unwrap().id, known.id);
        assert!(read(&device[1..]).is_err());
        assert!(Arc::ptr_eq(&read(&device).unwrap(), &known));
    }
}
