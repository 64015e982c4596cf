//! TLS towards the broker: client certificate, private authority, one name.
//!
//! What was read stays in memory until something better was: `uplink/renewal.rs`
//! looks whether the files have changed.
//!
//! **Clock (P9).** A gateway without a battery-backed clock starts in the past.
//! A certificate that is "not valid yet" is therefore judged as of its own first
//! moment: that the clock is wrong is far likelier than that the site's own
//! authority dates ahead, and an alarm must not wait for NTP. "Expired" stays
//! what it is.

mod validity;

pub use validity::{Validity, validity};

use crate::config::read_closed_secret;
use crate::engine::certificate::{CertificateOf, Unfit};
use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A key as PEM, with whatever else stands in its file: RSA of 4096 bits takes 3300.
pub const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
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

impl TlsFile {
    /// Whose certificate a fault of this file is about.
    #[must_use]
    pub const fn of(self) -> CertificateOf {
        match self {
            Self::Authority => CertificateOf::Authority,
            Self::Certificate | Self::Key => CertificateOf::Gateway,
        }
    }
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
    /// What is wrong with it, as the centre is told.
    pub unfit: Unfit,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for TlsFilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.which, self.path.display(), self.why)
    }
}

impl std::error::Error for TlsFilesError {}

/// What a connection needs.
#[derive(Debug)]
pub struct ClientTls {
    /// For the TLS library.
    pub config: Arc<ClientConfig>,
    /// Of this gateway's own certificate; `None` if its dates cannot be read.
    pub own: Option<Validity>,
    chain: Vec<CertificateDer<'static>>,
    authorities: Vec<CertificateDer<'static>>,
    shown: Shown,
}

/// When what a broker showed last ends.
type Shown = Arc<Mutex<Option<i64>>>;

impl ClientTls {
    /// Whether the same certificates stand in both.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.chain == other.chain && self.authorities == other.authorities
    }

    /// Each certificate that is in use with this, and its last second.
    pub fn ends(&self) -> impl Iterator<Item = (CertificateOf, i64)> {
        let shown = *self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let all = [
            (CertificateOf::Gateway, first_end(&self.chain)),
            (CertificateOf::Authority, first_end(&self.authorities)),
            (CertificateOf::Broker, shown),
        ];
        all.into_iter().filter_map(|(of, ends)| Some((of, ends?)))
    }

    /// As if a broker had shown a certificate that ends then.
    #[cfg(test)]
    pub(crate) fn show(&self, ends_unix_s: i64) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(ends_unix_s);
    }

    /// Whether our certificate has ended at this second.
    #[must_use]
    pub fn has_ended(&self, now_unix_s: i64) -> bool {
        first_end(&self.chain).is_some_and(|ends| ends < now_unix_s)
    }
}

/// The last second of the one that ends first, as far as their dates can be read.
fn first_end(certificates: &[CertificateDer<'_>]) -> Option<i64> {
    let ends = certificates.iter().filter_map(|certificate| validity(certificate));
    ends.map(|dates| dates.not_after_unix_s).min()
}

/// Reads the files and makes a configuration that speaks TLS 1.2 or later, shows
/// the client certificate and accepts only a broker that bears `server_name`.
///
/// # Errors
/// Names the file that must be mended. A `server_name` that is neither a host
/// name nor an address is reported against the authority file's use.
pub fn client_tls(files: &TlsFiles, server_name: &str) -> Result<ClientTls, TlsFilesError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let fault = |which, path: &Path, (unfit, why): (Unfit, String)| TlsFilesError {
        which,
        path: path.into(),
        unfit,
        why,
    };
    let damaged = |why: String| (Unfit::Damaged, why);

    let authorities = certificates(TlsFile::Authority, &files.authority)?;
    let roots = root_store(&authorities)
        .map_err(|why| fault(TlsFile::Authority, &files.authority, damaged(why)))?;
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| fault(TlsFile::Authority, &files.authority, damaged(e.to_string())))?;
    let name = ServerName::try_from(server_name.to_owned()).map_err(|_| {
        let why = format!("cannot vouch for {server_name:?}, which is no host name or address");
        fault(TlsFile::Authority, &files.authority, damaged(why))
    })?;

    let chain = certificates(TlsFile::Certificate, &files.certificate)?;
    let own = chain.first().and_then(|certificate| validity(certificate));
    let key = read_closed_secret(&files.key, KEY_FILE_BYTES_MAX)
        .map_err(pem::Error::Io)
        .and_then(|text| PrivateKeyDer::from_pem_slice(&text))
        .map_err(|e| fault(TlsFile::Key, &files.key, pem_trouble(&e)))?;
    let shown = Shown::default();
    let verifier = NamedServer { inner, name, shown: Arc::clone(&shown) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the ring provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(chain.clone(), key)
        .map_err(|e| match e {
            rustls::Error::InvalidCertificate(e) => {
                let why = damaged(format!("holds no certificate that can be used: {e}"));
                fault(TlsFile::Certificate, &files.certificate, why)
            }
            e => fault(TlsFile::Key, &files.key, key_trouble(&e)),
        })?;
    // A session that is taken up again shows and judges no certificate.
    config.resumption = Resumption::disabled();
    Ok(ClientTls { config: Arc::new(config), own, chain, authorities, shown })
}

fn root_store(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        roots
            .add(certificate.clone())
            .map_err(|e| format!("holds a certificate that cannot be used: {e}"))?;
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
    read().map_err(|e| {
        let (unfit, why) = pem_trouble(&e);
        TlsFilesError { which, path: path.into(), unfit, why }
    })
}

/// Own words: the library's would quote the file, which may be a key.
fn pem_trouble(error: &pem::Error) -> (Unfit, String) {
    match error {
        pem::Error::Io(e) => (Unfit::Unreadable, format!("cannot be read: {e}")),
        pem::Error::NoItemsFound => (Unfit::Damaged, "holds no such item in PEM form".to_owned()),
        _ => (Unfit::Damaged, "is damaged: not valid PEM".to_owned()),
    }
}

fn key_trouble(error: &rustls::Error) -> (Unfit, String) {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            (Unfit::WrongKey, "does not belong to the client certificate".to_owned())
        }
        _ => {
            let why = "cannot be used; give an ECDSA P-256 or P-384, Ed25519 or RSA key";
            (Unfit::Damaged, why.to_owned())
        }
    }
}

/// Verifies the broker by the configured name, whatever host was dialled (a site
/// may dial an address), and forgives a clock that is behind.
#[derive(Debug)]
struct NamedServer {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
    shown: Shown,
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
                Ok(verdict) => {
                    let mut all = intermediates.to_vec();
                    all.push(end_entity.clone());
                    *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = first_end(&all);
                    return Ok(verdict);
                }
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
