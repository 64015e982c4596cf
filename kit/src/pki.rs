//! A certificate authority on the fly: for the demonstration, for benches, and
//! for tests of what a gateway does with certificates that are not right.
//!
//! Keys are written with mode 0600. Nothing here is meant to outlive a bench:
//! certificates are valid for [`VALID_DAYS`] days.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

/// How long a certificate made here is valid.
pub const VALID_DAYS: i64 = 30;

/// Why no certificate or TLS configuration came about.
#[derive(Debug)]
pub enum PkiError {
    /// The certificate could not be made.
    Certificate(rcgen::Error),
    /// The TLS configuration could not be made.
    Tls(String),
    /// This file does not hold what it should.
    File(PathBuf, String),
}

impl fmt::Display for PkiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(error) => write!(f, "cannot make a certificate: {error}"),
            Self::Tls(error) => write!(f, "cannot make a TLS configuration: {error}"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for PkiError {}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificate(error)
    }
}

impl From<rustls::Error> for PkiError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error.to_string())
    }
}

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct Leaf {
    common_name: String,
    hosts: Vec<String>,
    usage: ExtendedKeyUsagePurpose,
    expired: bool,
}

impl Leaf {
    /// A server on this machine: `localhost` and `127.0.0.1`.
    #[must_use]
    pub fn server() -> Self {
        Self {
            common_name: "broker".into(),
            hosts: vec!["localhost".into(), "127.0.0.1".into()],
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            expired: false,
        }
    }

    /// A client of this name.
    #[must_use]
    pub fn client(name: &str) -> Self {
        Self {
            common_name: name.into(),
            hosts: Vec::new(),
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            expired: false,
        }
    }

    /// The same, valid until yesterday.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.expired = true;
        self
    }

    /// The same, for this host alone.
    #[must_use]
    pub fn for_host(mut self, host: &str) -> Self {
        self.hosts = vec![host.into()];
        self
    }
}

/// A certificate with its key.
pub struct Identity {
    certificate_pem: String,
    key_pem: String,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// Where an [`Identity`] was written.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    /// PEM certificate.
    pub certificate: PathBuf,
    /// PEM key, mode 0600.
    pub key: PathBuf,
}

impl Identity {
    /// Writes `{stem}.crt` and `{stem}.key` into `directory`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path, stem: &str) -> io::Result<IdentityFiles> {
        let files = IdentityFiles {
            certificate: directory.join(format!("{stem}.crt")),
            key: directory.join(format!("{stem}.key")),
        };
        write_with_mode(&files.certificate, &self.certificate_pem, 0o644)?;
        write_with_mode(&files.key, &self.key_pem, 0o600)?;
        Ok(files)
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }
}

fn write_with_mode(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// A certificate authority.
pub struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl fmt::Debug for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pki(..)")
    }
}

impl Pki {
    /// Makes an authority. A second one is what tests call "another CA".
    ///
    /// # Errors
    /// See [`PkiError`].
    pub fn new() -> Result<Self, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named("pendant-kit authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = OffsetDateTime::now_utc();
        params.not_before = now - Duration::days(VALID_DAYS);
        params.not_after = now + Duration::days(VALID_DAYS);
        Ok(Self { ca: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Makes a certificate and its key.
    ///
    /// # Errors
    /// See [`PkiError`].
    pub fn issue(&self, leaf: &Leaf) -> Result<Identity, PkiError> {
        let mut params = CertificateParams::new(leaf.hosts.clone())?;
        params.distinguished_name = named(&leaf.common_name);
        params.extended_key_usages = vec![leaf.usage.clone()];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let now = OffsetDateTime::now_utc();
        params.not_before = now - Duration::days(2);
        params.not_after = now + Duration::days(if leaf.expired { -1 } else { VALID_DAYS });
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.ca)?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        })
    }

    /// Writes the authority's certificate to `directory/ca.crt`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_ca(&self, directory: &Path) -> io::Result<PathBuf> {
        let path = directory.join("ca.crt");
        write_with_mode(&path, &self.ca.pem(), 0o644)?;
        Ok(path)
    }

    /// TLS for a server that shows `identity` and asks every client for a
    /// certificate of this authority.
    ///
    /// # Errors
    /// See [`PkiError`].
    pub fn server_config(&self, identity: &Identity) -> Result<Arc<ServerConfig>, PkiError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(self.roots()?),
            Arc::clone(&provider),
        )
        .build()
        .map_err(|error| PkiError::Tls(error.to_string()))?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![identity.certificate.clone()], identity.private_key())?;
        Ok(Arc::new(config))
    }

    /// TLS for a client that trusts this authority and shows `identity`.
    ///
    /// # Errors
    /// See [`PkiError`].
    pub fn client_config(&self, identity: &Identity) -> Result<Arc<ClientConfig>, PkiError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(vec![identity.certificate.clone()], identity.private_key())?;
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, PkiError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone())?;
        Ok(roots)
    }
}

/// TLS for a client from PEM files: the authority it trusts, its certificate
/// (with those between, if any) and its key.
///
/// # Errors
/// Names the file.
pub fn client_config_of_files(
    ca: &Path,
    certificate: &Path,
    key: &Path,
) -> Result<Arc<ClientConfig>, PkiError> {
    let wrong =
        |path: &Path, error: &dyn fmt::Display| PkiError::File(path.into(), error.to_string());
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, PkiError> {
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        let found: Vec<_> = read.map_err(|error| wrong(path, &error))?;
        if found.is_empty() {
            return Err(wrong(path, &"no certificate in it"));
        }
        Ok(found)
    };
    let mut roots = RootCertStore::empty();
    for root in certificates(ca)? {
        roots.add(root).map_err(|error| wrong(ca, &error))?;
    }
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(certificate)?, key_der)
        .map_err(|error| wrong(certificate, &error))?;
    Ok(Arc::new(config))
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_for_the_owner_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let pki = Pki::new().expect("an authority");
        let files = pki
            .issue(&Leaf::client("gateway"))
            .expect("a certificate")
            .write(directory.path(), "gateway")
            .expect("written");
        let mode = std::fs::metadata(&files.key).expect("the key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let ca = pki.write_ca(directory.path()).expect("written");
        let text = std::fs::read_to_string(ca).expect("the authority's certificate");
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----"));
    }
}
