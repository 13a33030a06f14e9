//! The outside judges: OpenSSL with X509_STRICT, and WebPKI for client authentication.

use openssl::{
    stack::Stack,
    x509::{
        X509, X509PurposeId, X509StoreContext,
        store::X509StoreBuilder,
        verify::{X509VerifyFlags, X509VerifyParam},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;

/// What both judges say of a client certificate; the message names the judge.
pub(crate) fn judge(
    leaf: &[u8],
    intermediates: &[&[u8]],
    root: &[u8],
    at: OffsetDateTime,
) -> Result<(), String> {
    openssl(leaf, intermediates, root, at).map_err(|e| format!("openssl: {e}"))?;
    webpki(leaf, intermediates, root, at).map_err(|e| format!("webpki: {e}"))
}

/// OpenSSL alone, for CAs that WebPKI would not take as anchors.
pub(crate) fn openssl(
    leaf: &[u8],
    intermediates: &[&[u8]],
    root: &[u8],
    at: OffsetDateTime,
) -> Result<(), String> {
    let verify = || {
        let mut param = X509VerifyParam::new()?;
        param.set_flags(X509VerifyFlags::X509_STRICT)?;
        param.set_purpose(X509PurposeId::SSL_CLIENT)?;
        param.set_time(at.unix_timestamp());
        let mut store = X509StoreBuilder::new()?;
        store.add_cert(X509::from_der(root)?)?;
        store.set_param(&param)?;
        let mut untrusted = Stack::new()?;
        for intermediate in intermediates {
            untrusted.push(X509::from_der(intermediate)?)?;
        }
        let leaf = X509::from_der(leaf)?;
        X509StoreContext::new()?.init(&store.build(), &leaf, &untrusted, |context| {
            Ok((context.verify_cert()?, context.error()))
        })
    };
    match verify() {
        Ok((true, _)) => Ok(()),
        Ok((false, why)) => Err(why.error_string().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn webpki(
    leaf: &[u8],
    intermediates: &[&[u8]],
    root: &[u8],
    at: OffsetDateTime,
) -> Result<(), webpki::Error> {
    let root = CertificateDer::from(root);
    let anchor = webpki::anchor_from_trusted_cert(&root)?;
    let intermediates: Vec<_> = intermediates
        .iter()
        .map(|&der| CertificateDer::from(der))
        .collect();
    let leaf = CertificateDer::from(leaf);
    let seconds = u64::try_from(at.unix_timestamp()).expect("after 1970");
    webpki::EndEntityCert::try_from(&leaf)?
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &[anchor],
            &intermediates,
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)),
            webpki::KeyUsage::client_auth(),
            None,
            None,
        )
        .map(drop)
}
