//! Where the devices of a fleet have their keys and certificates from.

use std::fs;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

use jitp_core::ca::{
    CaError, CertificateAuthority, DeviceSubject, PrivateKey, Profile, SerialNumber,
};
use jitp_core::mqtt::Identity;
use jitp_core::names::ThingName;
use jitp_core::store::Store;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// Keys and certificates, loaded when a device connects and let go of when it is connected.
pub trait Identities: Send + Sync {
    /// The identity of the device that is at this place of the fleet and has this name.
    ///
    /// # Errors
    /// Why there is none, in a sentence.
    fn identity(&self, place: u32, name: &str) -> Result<Identity, String>;
}

/// `NAME.key` and `NAME.crt` in a folder.
pub struct Files(Store);

impl Files {
    /// The identities of a store. Nothing is read yet.
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Names of which there is no certificate.
    pub fn missing<'a>(
        &self,
        names: impl Iterator<Item = String> + 'a,
    ) -> impl Iterator<Item = String> + 'a {
        let folder = self.0.dir().to_owned();
        names.filter(move |name| {
            ["key", "crt"]
                .iter()
                .any(|extension| !folder.join(format!("{name}.{extension}")).is_file())
        })
    }
}

impl Identities for Files {
    fn identity(&self, _place: u32, name: &str) -> Result<Identity, String> {
        let read = |extension: &str| {
            let path = self.0.dir().join(format!("{name}.{extension}"));
            fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let (chain, key) = (read("crt")?, Zeroizing::new(read("key")?));
        Identity::from_pem(&chain, &key).map_err(|error| format!("{name}: {error}"))
    }
}

/// Certificates that nobody has seen before, issued before the run begins and kept in memory, some 700 bytes for each.
pub struct Fresh {
    ca: CertificateDer<'static>,
    /// Place in the fleet of each, ascending.
    places: Vec<u32>,
    issued: Vec<Issued>,
}

struct Issued {
    certificate: Box<[u8]>,
    pkcs8: Zeroizing<Box<[u8]>>,
}

impl Fresh {
    /// Issues a certificate for each device, on all cores. They are in no ledger: nobody keeps their keys.
    ///
    /// # Errors
    /// The CA may not sign them.
    pub fn issue(
        ca: &CertificateAuthority,
        devices: &[(u32, ThingName)],
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        let profile = Profile::device();
        let issuer = ca.device_issuer(ca.window(profile.validity(), now)?, now)?;
        let one = |name: &ThingName| -> Result<Issued, CaError> {
            let subject = DeviceSubject::try_from(name)?;
            let key = PrivateKey::generate(profile.key_type())?;
            let device = issuer.issue(&subject, key, SerialNumber::random()?)?;
            Ok(Issued {
                certificate: device.certificate().der().into(),
                pkcs8: Zeroizing::new(device.private_key().to_rustls().secret_der().into()),
            })
        };
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, Issued)>, CaError> {
            let mut issued = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match devices.get(number) {
                    None => return Ok(issued),
                    Some((_, name)) => issued.push((number, one(name)?)),
                }
            }
        };
        let mut issued = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let mut issued = Vec::with_capacity(devices.len());
            for worker in workers {
                issued.extend(worker.join().map_err(|_| CaError::Sign)??);
            }
            Ok::<_, CaError>(issued)
        })?;
        issued.sort_by_key(|(number, _)| *number);
        Ok(Self {
            ca: CertificateDer::from(ca.certificate().der().to_vec()),
            places: devices.iter().map(|(place, _)| *place).collect(),
            issued: issued.into_iter().map(|(_, issued)| issued).collect(),
        })
    }
}

impl Identities for Fresh {
    fn identity(&self, place: u32, name: &str) -> Result<Identity, String> {
        let issued = self
            .places
            .binary_search(&place)
            .ok()
            .and_then(|number| self.issued.get(number))
            .ok_or_else(|| format!("{name} was not issued a certificate"))?;
        let chain = vec![
            CertificateDer::from(issued.certificate.to_vec()),
            self.ca.clone(),
        ];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.pkcs8.to_vec()));
        Identity::new(chain, key).map_err(|error| format!("{name}: {error}"))
    }
}
