//! The page's certificate: the installer's, or one that the gateway makes for
//! itself and keeps nowhere. The latter is compared by its fingerprint, once for
//! each start, as the code is asked for.

use crate::config::{PageCertificate, read_closed_secret};
use crate::shell::tls::KEY_FILE_BYTES_MAX;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType,
};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longer ones are refused by some browsers, whoever signed them.
const LASTS: Duration = Duration::from_secs(397 * 86_400);
/// For browsers whose clock is behind.
const BEFORE: Duration = Duration::from_secs(86_400);
/// It is read, or made, anew long before browsers find it too old.
const ANEW_AFTER: Duration = Duration::from_secs(180 * 86_400);

/// What a listener speaks TLS with.
#[derive(Clone)]
pub(super) struct PageTls {
    pub(super) config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, as browsers show it.
    pub(super) fingerprint: String,
}

/// Reads the files, or makes a certificate. `unix_now` is the wall clock's word.
///
/// # Errors
/// Says what to do about the files.
pub(super) fn page_tls(
    files: Option<&PageCertificate>,
    name: &str,
    address: IpAddr,
    unix_now: Duration,
) -> Result<PageTls, String> {
    let (chain, key) = match files {
        Some(files) => read(files)?,
        None => make(name, address, unix_now).map_err(|error| error.to_string())?,
    };
    let fingerprint = fingerprint(chain.first().expect("a chain has a certificate"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the ring provider has suites for both versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| format!("the page's certificate and key do not fit: {error}"))?;
    Ok(PageTls { config: Arc::new(config), fingerprint })
}

/// Whether a certificate that was read, or made, when the clock said `since` is to be
/// made anew: it is old, or the clock was set and a browser would not find it valid.
pub(super) fn is_outdated(since: Duration, unix_now: Duration) -> bool {
    unix_now > since + ANEW_AFTER || unix_now + BEFORE / 2 < since
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read(files: &PageCertificate) -> Result<ChainAndKey, String> {
    // Own words: the library's would quote the file, which may be a key.
    let trouble = |path: &Path| format!("{}: no PEM file that can be read", path.display());
    let certificate = files.certificate_file.as_path();
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|_| trouble(certificate))?;
    if chain.is_empty() {
        return Err(format!("{} holds no certificate", certificate.display()));
    }
    let text = read_closed_secret(&files.key_file, KEY_FILE_BYTES_MAX)
        .map_err(|error| format!("{}: {error}", files.key_file.display()))?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| trouble(&files.key_file))?;
    Ok((chain, key))
}

fn make(name: &str, address: IpAddr, unix_now: Duration) -> Result<ChainAndKey, rcgen::Error> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    if !address.is_unspecified() {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, format!("pendant gateway {name}"));
    params.distinguished_name = subject;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let from = unix_now.saturating_sub(BEFORE);
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + from;
    params.not_after = params.not_before + LASTS;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((vec![certificate.der().clone()], key.into()))
}

fn fingerprint(certificate: &[u8]) -> String {
    let hash = Sha256::digest(certificate);
    hash.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_certificate_is_short_lived_and_new_each_time() {
        let now = Duration::from_secs(1_800_000_000);
        let here = IpAddr::from([192, 0, 2, 7]);
        let (chain, _) = make("gw1", here, now).expect("it is made");
        let dates = crate::shell::tls::validity(&chain[0]).expect("dates");
        assert_eq!(dates.not_before_unix_s, 1_800_000_000 - 86_400);
        assert_eq!(dates.not_after_unix_s - dates.not_before_unix_s, 397 * 86_400);
        let (one, other) = (page_tls(None, "gw1", here, now), page_tls(None, "gw1", here, now));
        let (one, other) = (one.expect("made").fingerprint, other.expect("made").fingerprint);
        assert_eq!(one.len(), 32 * 3 - 1);
        assert_ne!(one, other);
    }

    #[test]
    fn it_is_made_anew_before_its_end_and_when_the_clock_leaves_its_time() {
        let made = Duration::from_secs(1_800_000_000);
        let hour = Duration::from_secs(3600);
        for (now, anew) in [
            (made, false),
            (made - hour, false),
            (made + 24 * 180 * hour, false),
            (made + (24 * 180 + 1) * hour, true),
            (made - 13 * hour, true),
        ] {
            assert_eq!(is_outdated(made, now), anew, "{now:?}");
        }
        assert!(is_outdated(Duration::ZERO, made), "made with an unset clock");
    }

    #[test]
    fn files_that_are_no_certificate_are_told_without_their_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("page.pem");
        std::fs::write(&file, "s3cret").expect("written");
        let files = PageCertificate { certificate_file: file.clone(), key_file: file };
        let told = page_tls(Some(&files), "gw1", IpAddr::from([0; 4]), Duration::ZERO);
        let told = told.err().expect("refused");
        assert!(told.contains("page.pem") && !told.contains("s3cret"), "{told}");
    }
}
