//! TLS towards the broker: client certificate, private authority, one name.
//!
//! The files are read anew for every connection, so a renewed certificate is
//! taken into use by the next reconnect without a restart.
//!
//! **Clock (P9).** A gateway without a battery-backed clock starts in the past.
//! A certificate that is "not valid yet" is therefore judged as of its own first
//! moment: that the clock is wrong is far likelier than that the site's own
//! authority dates ahead, and an alarm must not wait for NTP. "Expired" stays
//! what it is.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Certificates in one chain that may each be "not valid yet".
const CHAIN_MAX: usize = 8;

/// Where the three PEM files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that may vouch for the broker.
    pub authority: PathBuf,
    /// This gateway's certificate, its own first, then intermediates.
    pub certificate: PathBuf,
    /// The private key that belongs to it.
    pub key: PathBuf,
}

/// Which of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    /// [`TlsFiles::authority`].
    Authority,
    /// [`TlsFiles::certificate`].
    Certificate,
    /// [`TlsFiles::key`].
    Key,
}

impl fmt::Display for TlsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority => "certificate authority",
            Self::Certificate => "client certificate",
            Self::Key => "private key",
        })
    }
}

/// A file that cannot be used, and why. Says nothing of what the file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFilesError {
    /// Which file.
    pub which: TlsFile,
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for TlsFilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.which, self.path.display(), self.why)
    }
}

impl std::error::Error for TlsFilesError {}

/// When a certificate may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second, counted from 1970-01-01T00:00:00Z.
    pub not_before_unix_s: i64,
    /// Last second, counted likewise.
    pub not_after_unix_s: i64,
}

/// What a connection needs.
#[derive(Debug)]
pub struct ClientTls {
    /// For the TLS library.
    pub config: Arc<ClientConfig>,
    /// Of this gateway's own certificate; `None` if its dates cannot be read.
    pub own: Option<Validity>,
}

/// Reads the files and makes a configuration that speaks TLS 1.2 or later, shows
/// the client certificate and accepts only a broker that bears `server_name`.
///
/// # Errors
/// Names the file that must be mended. A `server_name` that is neither a host
/// name nor an address is reported against the authority file's use.
pub fn client_tls(files: &TlsFiles, server_name: &str) -> Result<ClientTls, TlsFilesError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let fault = |which, path: &Path, why: String| TlsFilesError { which, path: path.into(), why };

    let roots = root_store(&files.authority)?;
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| fault(TlsFile::Authority, &files.authority, e.to_string()))?;
    let name = ServerName::try_from(server_name.to_owned()).map_err(|_| {
        let why = format!("cannot vouch for {server_name:?}, which is no host name or address");
        fault(TlsFile::Authority, &files.authority, why)
    })?;

    let chain = certificates(TlsFile::Certificate, &files.certificate)?;
    let own = chain.first().and_then(|certificate| validity(certificate));
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|e| fault(TlsFile::Key, &files.key, pem_trouble(&e)))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the ring provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NamedServer { inner, name }))
        .with_client_auth_cert(chain, key)
        .map_err(|e| fault(TlsFile::Key, &files.key, key_trouble(&e)))?;
    Ok(ClientTls { config: Arc::new(config), own })
}

fn root_store(path: &Path) -> Result<RootCertStore, TlsFilesError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(TlsFile::Authority, path)? {
        roots.add(certificate).map_err(|e| TlsFilesError {
            which: TlsFile::Authority,
            path: path.into(),
            why: format!("holds a certificate that cannot be used: {e}"),
        })?;
    }
    Ok(roots)
}

fn certificates(
    which: TlsFile,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsFilesError> {
    let read = || -> Result<Vec<_>, pem::Error> {
        let found: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
        if found.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(found) }
    };
    read().map_err(|e| TlsFilesError { which, path: path.into(), why: pem_trouble(&e) })
}

/// Own words: the library's would quote the file, which may be a key.
fn pem_trouble(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(e) => format!("cannot be read: {e}"),
        pem::Error::NoItemsFound => "holds no such item in PEM form".to_owned(),
        _ => "is damaged: not valid PEM".to_owned(),
    }
}

fn key_trouble(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "does not belong to the client certificate".into(),
        _ => "cannot be used; give an ECDSA P-256 or P-384, Ed25519 or RSA key".into(),
    }
}

/// Verifies the broker by the configured name, whatever host was dialled (a site
/// may dial an address), and forgives a clock that is behind.
#[derive(Debug)]
struct NamedServer {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for NamedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut as_of = now;
        for _ in 0..CHAIN_MAX {
            let verdict = self.inner.verify_server_cert(
                end_entity,
                intermediates,
                &self.name,
                ocsp_response,
                as_of,
            );
            match verdict {
                Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
                    not_before,
                    ..
                })) if not_before > as_of => as_of = not_before,
                verdict => return verdict,
            }
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYet))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Reads the dates of a DER certificate (RFC 5280 section 4.1); `None` if it is
/// not shaped like one. Judges nothing: it serves warnings and fault texts.
#[must_use]
pub fn validity(certificate: &[u8]) -> Option<Validity> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (to_be_signed, _) = element(certificate, SEQUENCE)?;
    // The version is absent from version 1 certificates.
    let rest = element(to_be_signed, VERSION).map_or(to_be_signed, |(_, rest)| rest);
    let (_serial, rest) = element(rest, INTEGER)?;
    let (_signature, rest) = element(rest, SEQUENCE)?;
    let (_issuer, rest) = element(rest, SEQUENCE)?;
    let (dates, _) = element(rest, SEQUENCE)?;
    let (not_before_unix_s, dates) = time(dates)?;
    let (not_after_unix_s, _) = time(dates)?;
    Some(Validity { not_before_unix_s, not_after_unix_s })
}

/// The contents of the DER element with `tag` at the front, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    if found != tag {
        return None;
    }
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let octets = usize::from(first & 0x7F);
        if !(1..=3).contains(&octets) {
            return None;
        }
        let (digits, after) = rest.split_at_checked(octets)?;
        length = digits.iter().fold(0, |sum, &digit| (sum << 8) | usize::from(digit));
        rest = after;
    }
    rest.split_at_checked(length)
}

/// A UTCTime (two-digit year, 50 to 49 meaning 1950 to 2049) or GeneralizedTime.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let long = element(bytes, GENERALIZED_TIME);
    let (text, rest) = long.or_else(|| element(bytes, UTC_TIME))?;
    let (year_digits, fields) = text.split_at_checked(if long.is_some() { 4 } else { 2 })?;
    let year = match (number(year_digits)?, long.is_some()) {
        (year, true) => year,
        (year, false) if year >= 50 => 1900 + year,
        (year, false) => 2000 + year,
    };
    if fields.len() != 11 || fields[10] != b'Z' {
        return None;
    }
    let field = |at: usize| number(&fields[at..at + 2]);
    let (month, day) = (field(0)?, field(2)?);
    if !(1..=12).contains(&month) {
        return None;
    }
    let seconds = field(4)? * 3600 + field(6)? * 60 + field(8)?;
    Some((days_from_1970(year, month, day) * 86_400 + seconds, rest))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

/// Days of the Gregorian calendar. Years are counted from March, so that the leap
/// day comes last and the months before it have lengths that one line gives.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let from_march = (month + 9) % 12;
    let year = if month <= 2 { year - 1 } else { year };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (from_march * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_by_the_gregorian_calendar() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 23), 20_780),
            ((2100, 3, 1), 47_541),
        ] {
            assert_eq!(days_from_1970(date.0, date.1, date.2), days, "{date:?}");
        }
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let utc = [&[UTC_TIME, 13][..], b"491231235959Z"].concat();
        let general = [&[GENERALIZED_TIME, 15][..], b"20491231235959Z"].concat();
        assert_eq!(time(&utc), Some((2_524_607_999, &[][..])));
        assert_eq!(time(&general), Some((2_524_607_999, &[][..])));
        let last_century = [&[UTC_TIME, 13][..], b"500101000000Z"].concat();
        assert_eq!(time(&last_century).map(|(s, _)| s), Some(-631_152_000));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(0u8.., 0..64)) {
            let _ = validity(&bytes);
            let _ = time(&bytes);
            let _ = validity(&[&[SEQUENCE, 60, SEQUENCE, 58, INTEGER, 1, 1][..], &bytes].concat());
        }
    }
}
