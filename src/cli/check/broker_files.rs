//! Whether the certificates and the key for the broker can be used, found out
//! with the same library that will use them.

use super::findings::Findings;
use crate::config::{Broker, read_secret};
use crate::shell::tls::{KEY_FILE_BYTES_MAX, validity};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use std::path::Path;
use std::sync::Arc;

/// What ends within so many days is told.
pub(super) const SOON_DAYS: i64 = 30;

/// Whole days until then; negative once it is over.
pub(super) fn days_left(unix_s: i64) -> i64 {
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
    unix_s.saturating_sub(now).div_euclid(86_400)
}

pub(super) fn examine(broker: &Broker, findings: &mut Findings) {
    let provider = Arc::new(ring::default_provider());
    let roots = roots(&broker.ca_file, findings);
    let chain = certificates("certificate_file", &broker.certificate_file, findings);
    let (Some(chain), Some(key)) = (chain, key(&broker.key_file, findings)) else {
        return;
    };
    match_key(broker, &chain, key, &provider, findings);
    if let Some(roots) = roots {
        judge_certificate(broker, &chain, roots, provider, findings);
    }
}

fn roots(path: &Path, findings: &mut Findings) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = certificates("ca_file", path, findings)?;
    let ends = found.iter().filter_map(|certificate| validity(certificate));
    let days = ends.map(|ends| days_left(ends.not_after_unix_s)).min();
    for certificate in found {
        if let Err(error) = roots.add(certificate) {
            findings.wrong(
                "ca_file",
                format!(
                    "{} holds a certificate that cannot be an authority's: {error}",
                    path.display()
                ),
                "put the certificate of the authority there that signed the broker's, as PEM",
            );
            return None;
        }
    }
    if let Some(days) = days.filter(|days| *days < SOON_DAYS) {
        findings.advice(
            "ca_file",
            format!("an authority in {} ends in {days} days", path.display()),
            "ask the centre for its new one, and add it to the file: both may stand there",
        );
    }
    findings.good("ca_file", format!("authorities in {}: {}", path.display(), roots.len()));
    Some(roots)
}

/// At least one certificate.
fn certificates(
    key: &str,
    path: &Path,
    findings: &mut Findings,
) -> Option<Vec<CertificateDer<'static>>> {
    let shown = path.display();
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let fault = match read {
        Ok(certificates) if !certificates.is_empty() => return Some(certificates),
        Ok(_) => format!("{shown} holds no certificate"),
        Err(error) => format!("{shown} cannot be understood: {error}"),
    };
    findings.wrong(key, fault, "put certificates there as PEM: -----BEGIN CERTIFICATE-----");
    None
}

fn key(path: &Path, findings: &mut Findings) -> Option<PrivateKeyDer<'static>> {
    // The library's own words may repeat lines of the file: only the system's
    // are passed on.
    let read = read_secret(path, KEY_FILE_BYTES_MAX).map_err(pem::Error::Io);
    let fault = match read.and_then(|text| PrivateKeyDer::from_pem_slice(&text)) {
        Ok(key) => return Some(key),
        Err(pem::Error::Io(error)) => format!("{} cannot be read: {error}", path.display()),
        Err(_) => format!("{} holds no private key that can be used", path.display()),
    };
    findings.wrong(
        "key_file",
        fault,
        "put the certificate's private key there as PEM, without a passphrase",
    );
    None
}

fn match_key(
    broker: &Broker,
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
    findings: &mut Findings,
) {
    let (certificate, key_file) = (broker.certificate_file.display(), broker.key_file.display());
    match CertifiedKey::from_der(chain.to_vec(), key, provider) {
        Ok(_) => findings.good("key_file", format!("{key_file} is the key of {certificate}")),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => findings.wrong(
            "key_file",
            format!("{key_file} is not the key of {certificate}"),
            "put the key and the certificate of one request side by side; or make a new request",
        ),
        Err(error) => findings.wrong(
            "key_file",
            format!("{key_file} cannot be used: {error}"),
            "make a key of a usual kind (ECDSA P-256, Ed25519, RSA 2048 or more) and have it signed",
        ),
    }
}

fn tell_days(shown: &str, own: &CertificateDer<'_>, findings: &mut Findings) {
    match validity(own).map(|validity| days_left(validity.not_after_unix_s)) {
        Some(days) if days < SOON_DAYS => findings.advice(
            "certificate_file",
            format!("{shown} is valid now, but ends in {days} days"),
            "have a new one signed: `pendant-gateway setup --request` prints the request, and `setup \
             --certificate FILE` puts in place what comes back",
        ),
        Some(days) => {
            findings.good("certificate_file", format!("{shown} is valid now, {days} more days"));
        }
        None => findings.good("certificate_file", format!("{shown} is valid now")),
    }
}

/// Looks at the gateway's certificate as a broker would.
fn judge_certificate(
    broker: &Broker,
    chain: &[CertificateDer<'static>],
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
    findings: &mut Findings,
) {
    let shown = broker.certificate_file.display();
    let Ok(verifier) =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()
    else {
        return;
    };
    let (own, between) = chain.split_first().expect("a chain that was read is not empty");
    let fault = match verifier.verify_client_cert(own, between, UnixTime::now()) {
        Ok(_) => return tell_days(&shown.to_string(), own, findings),
        Err(Error::InvalidCertificate(fault)) => fault,
        Err(error) => {
            return findings.wrong(
                "certificate_file",
                format!("{shown}: {error}"),
                "have a new certificate signed",
            );
        }
    };
    match fault {
        // A signature that does not fit: another authority of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => findings.advice(
            "certificate_file",
            format!("{shown} was not signed by an authority in ca_file"),
            "right if the broker's own certificate comes from another authority; else ask the centre for the \
             one that belongs to this broker",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => findings.wrong(
            "certificate_file",
            format!("{shown} has expired"),
            "have a new certificate signed; if it should still be valid, look at this machine's clock (`date`)",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => findings.wrong(
            "certificate_file",
            format!("{shown} is not valid yet"),
            "set this machine's clock (`date` shows it; `timedatectl` sets it)",
        ),
        other => findings.wrong(
            "certificate_file",
            format!("{shown} is not one that a broker takes: {other}"),
            "have a certificate signed that is meant for clients (extended key usage clientAuth)",
        ),
    }
}
