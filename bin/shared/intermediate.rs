//! A CA below another one: made, or found as asked for, and its quota signed.

use std::path::Path;

use jitp_cli::{Common, Failure, NewCaKey, Result, read_text};
use jitp_core::ca::{CertificateAuthority, Quota, Subject};
use jitp_core::certificate::Certificate;
use jitp_core::csr::SigningRequest;
use jitp_core::failure::Class;
use jitp_core::store::Store;
use time::OffsetDateTime;

use super::Arguments;

/// What is asked for, and what it is made with.
pub(super) struct Intermediate<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) subject: &'a Subject,
    pub(super) store: &'a Store,
    pub(super) above: &'a CertificateAuthority,
    pub(super) now: OffsetDateTime,
}

/// Reads a request for the certificate of a CA.
pub(super) fn read_request(path: &Path) -> Result<SigningRequest> {
    let pem = read_text(path, "the request")?;
    SigningRequest::from_pem(&pem).map_err(|error| Failure::from(error).context(path.display()))
}

impl Intermediate<'_> {
    /// Makes the CA, for its own key or for that of a request.
    pub(super) async fn create(
        &self,
        common: &Common,
        wanted: &NewCaKey<'_>,
        request: Option<&SigningRequest>,
    ) -> Result<Certificate> {
        let Self {
            arguments,
            store,
            above,
            subject,
            now,
        } = *self;
        let (validity, path_length) = (arguments.validity, arguments.path_length);
        // What cannot be is found before a key is made where it stays.
        above.window(validity, now)?;
        if let Some(request) = request {
            store.check_ca_is_free(&arguments.name)?;
            let made = above.certify_intermediate(subject, request, validity, path_length, now)?;
            self.sign_quota(&made)?;
            let saved = store.save_ca_certificate(&arguments.name, &made.to_pem());
            saved.map_err(|error| self.without_quota(error.into()))?;
            return Ok(made);
        }
        let open = async |key: &str| Ok(arguments.cloud.kms_key(key).await?);
        let make = async |key: &str, kind| Ok(arguments.cloud.new_kms_key(key, kind).await?);
        let key = wanted.obtain(open, make).await?;
        let finish = || {
            let made = above.create_intermediate_of(subject, key, validity, path_length, now)?;
            // The quota first: there is no moment in which the CA is there without it.
            self.sign_quota(made.certificate())?;
            let saved = wanted.save(common, store, &arguments.name, &made);
            saved.map_err(|failure| self.without_quota(failure))?;
            Ok(made.certificate().clone())
        };
        finish().map_err(|failure| wanted.key_stays(failure))
    }

    /// Finds the CA that is there to be the one asked for, and signs another quota if that is what changed; says which.
    pub(super) fn renew(
        &self,
        present: &Certificate,
        request: Option<&SigningRequest>,
    ) -> Result<&'static str> {
        let conflict = |why: &str| {
            let message = format!(
                "there is a CA {} already ({}), {why}",
                self.arguments.name,
                present.subject_line()
            );
            Failure::new(Class::Conflict, message)
                .hint("a CA is never overwritten: choose another name, or pass --dir")
        };
        if !present.is_signed_by(self.above.certificate()) {
            return Err(conflict("signed by another CA"));
        }
        if !self.subject.is_that_of(present) {
            return Err(conflict("with another subject"));
        }
        if request.is_some_and(|request| request.public_key_info() != present.public_key_info()) {
            return Err(conflict("with another key than the request"));
        }
        Ok(match self.sign_quota(present)? {
            true => "updated",
            false => "unchanged",
        })
    }

    /// Takes the quota away again of a CA that could not be saved.
    fn without_quota(&self, failure: Failure) -> Failure {
        // If there is none, or it stays, the next run replaces it.
        let _ = std::fs::remove_file(self.store.quota_file(&self.arguments.name));
        failure
    }

    /// Signs the quota that is asked for, unless it is there already; says whether it did.
    fn sign_quota(&self, certificate: &Certificate) -> Result<bool> {
        let (name, flags) = (&self.arguments.name, &self.arguments.quota);
        let Some(count) = flags.count else {
            return Ok(false);
        };
        let until = match flags.until {
            Some(until) => until.end(self.now, certificate)?,
            None => certificate.not_after(),
        };
        let quota = Quota::new(certificate, count, &flags.prefix, until)?;
        // A file that is no quota of this CA is replaced too.
        let present = self.store.load_quota(name, certificate).ok().flatten();
        if present.as_ref() == Some(&quota) {
            return Ok(false);
        }
        self.store.save_quota(name, &quota.sign(self.above)?)?;
        Ok(true)
    }
}
