//! The gateway's key and certificate request, and whether a certificate that comes back
//! is one with which a broker of the centre will let it in.

use super::certificate::{Facts, certificates};
use crate::cli::Failure;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Makes a key: ECDSA on P-256, which every broker takes, as PKCS#8 PEM.
pub(super) fn new_key() -> Result<Zeroizing<String>, Failure> {
    let key = KeyPair::generate()
        .map_err(|error| Failure::failed(format!("no key can be made: {error}")))?;
    Ok(Zeroizing::new(key.serialize_pem()))
}

/// The request to sign a certificate for this key, as PEM. The common name is the gateway's.
pub(super) fn request(key: &str, gateway: &str) -> Result<String, Failure> {
    // The library's words may repeat parts of the key.
    let key = KeyPair::from_pem(key).map_err(|_| {
        Failure::failed(
            "the gateway's key is of a kind for which this program makes no requests; make one with: \
             openssl req -new -key gateway.key -subj /CN=NAME -out gateway.csr",
        )
    })?;
    let unsigned =
        |error: rcgen::Error| Failure::failed(format!("no request can be made: {error}"));
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, gateway);
    params.serialize_request(&key).and_then(|request| request.pem()).map_err(unsigned)
}

/// The authorities of a text, all of them; `what` it is, for messages.
///
/// # Errors
/// Says what is wrong with the first that is none.
pub(super) fn authorities(text: &[u8], what: &str) -> Result<Vec<Facts>, String> {
    let mut found = Vec::new();
    for certificate in certificates(text, what)? {
        let facts = Facts::of(&certificate)
            .ok_or_else(|| format!("{what} holds a certificate that cannot be understood"))?;
        if !facts.is_authority {
            return Err(format!(
                "{what} is the certificate of \"{}\", which is no authority; ask the centre for the \
                 certificate of the authority that signed its broker's (often ca.pem)",
                facts.name
            ));
        }
        found.push(facts);
    }
    Ok(found)
}

/// Whether the gateway can show this certificate: it belongs to the key, an authority
/// of `ca` vouches for it, it has not ended, and it is meant for clients.
///
/// # Errors
/// Says what is wrong and what to do.
pub(super) fn judge(certificate: &[u8], key: &[u8], ca: &[u8]) -> Result<Facts, String> {
    let chain = certificates(certificate, "the certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "the key is not one that can be used: PEM, without a passphrase".to_owned())?;
    let provider = Arc::new(ring::default_provider());
    match CertifiedKey::from_der(chain.clone(), key, &provider) {
        Ok(_) => {}
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            return Err("the certificate does not belong to this gateway's key: is it another gateway's, or of \
                        an older request? `pendant-gateway setup --request` prints the present request"
                .to_owned());
        }
        Err(error) => return Err(format!("the certificate and its key cannot be used: {error}")),
    }
    let mut roots = RootCertStore::empty();
    for authority in certificates(ca, "the centre's authority")? {
        roots
            .add(authority)
            .map_err(|error| format!("the centre's authority cannot be used: {error}"))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| format!("the centre's authority cannot be used: {error}"))?;
    let (own, between) = chain.split_first().expect("a chain that was read is not empty");
    match verified(&*verifier, own, between) {
        Ok(()) => Facts::of(own).ok_or_else(|| "the certificate cannot be understood".to_owned()),
        Err(Error::InvalidCertificate(fault)) => Err(unfit(&fault)),
        Err(error) => Err(format!("the certificate cannot be used: {error}")),
    }
}

/// A clock that is behind is far likelier than an authority that dates ahead, and a Pi has
/// none that runs on: what is not valid yet is judged as of its first moment, as the
/// gateway does with a broker's certificate.
fn verified(
    verifier: &dyn ClientCertVerifier,
    own: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
) -> Result<(), Error> {
    let mut as_of = UnixTime::now();
    // Each turn is another certificate of the chain.
    for _ in 0..=between.len() + 1 {
        match verifier.verify_client_cert(own, between, as_of) {
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
                not_before,
                ..
            })) if not_before > as_of => as_of = not_before,
            verdict => return verdict.map(drop),
        }
    }
    Err(Error::InvalidCertificate(CertificateError::NotValidYet))
}

fn unfit(fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the certificate was not signed by the centre's authority in ca.pem. If the centre has one authority \
             for brokers and another for gateways, give both in one file: setup --replace --ca FILE"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired; have a new one signed. If it should still be valid, look at this \
             machine's clock (`date`)"
        }
        _ => {
            return format!(
                "the certificate is not one that a broker takes: have one signed that is meant for clients \
                 (extended key usage clientAuth) ({fault})"
            );
        }
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, Issuer, date_time_ymd};

    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        pem: String,
    }

    impl Authority {
        fn new() -> Self {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let pem = params.self_signed(&key).expect("signed").pem();
            Self { issuer: Issuer::new(params, key), pem }
        }

        fn sign(&self, key: &str, years: (i32, i32), usage: ExtendedKeyUsagePurpose) -> String {
            let key = KeyPair::from_pem(key).expect("a key");
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "gw1");
            params.not_before = date_time_ymd(years.0, 1, 1);
            params.not_after = date_time_ymd(years.1, 1, 1);
            params.extended_key_usages = vec![usage];
            params.signed_by(&key, &self.issuer).expect("signed").pem()
        }
    }

    #[test]
    fn what_cannot_be_shown_to_a_broker_is_refused_with_its_reason() {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        let (centre, other) = (Authority::new(), Authority::new());
        let (key, other_key) = (new_key().expect("a key"), new_key().expect("a key"));
        let now = (2020, 2120);
        let good = centre.sign(&key, now, ClientAuth);
        let judged = |certificate: &str, key: &str, ca: &str| {
            judge(certificate.as_bytes(), key.as_bytes(), ca.as_bytes())
        };
        let facts = judged(&good, &key, &centre.pem).expect("it is good");
        assert_eq!((facts.name.as_str(), facts.ends().as_str()), ("gw1", "2120-01-01"));
        let ahead = centre.sign(&key, (2119, 2120), ClientAuth);
        judged(&ahead, &key, &centre.pem).expect("the clock may be behind");
        for (certificate, key, ca, words) in [
            (centre.sign(&key, (2119, 2120), ServerAuth), &key, &centre.pem, "meant for clients"),
            (good.clone(), &key, &other.pem, "not signed by the centre's authority"),
            (good.clone(), &other_key, &centre.pem, "does not belong to this gateway's key"),
            (centre.sign(&key, (2020, 2021), ClientAuth), &key, &centre.pem, "has expired"),
            (centre.sign(&key, now, ServerAuth), &key, &centre.pem, "meant for clients"),
            (good[..good.len() / 2].to_owned(), &key, &centre.pem, "damaged"),
            ("nothing".to_owned(), &key, &centre.pem, "holds no certificate"),
            (good.clone(), &Zeroizing::new(good.clone()), &centre.pem, "the key is not one"),
        ] {
            let why = judged(&certificate, key, ca).expect_err(words);
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn only_an_authority_is_taken_for_one() {
        let centre = Authority::new();
        assert_eq!(authorities(centre.pem.as_bytes(), "ca.pem").expect("one").len(), 1);
        let both = [centre.pem.as_str(), &Authority::new().pem].concat();
        assert_eq!(authorities(both.as_bytes(), "ca.pem").expect("two").len(), 2);
        let leaf = centre.sign(
            &new_key().expect("a key"),
            (2020, 2120),
            ExtendedKeyUsagePurpose::ServerAuth,
        );
        let why = authorities(leaf.as_bytes(), "ca.pem").expect_err("a broker's");
        assert!(why.contains("\"gw1\", which is no authority"), "{why}");
    }

    #[test]
    fn the_request_names_the_gateway_and_nothing_of_the_key() {
        let key = new_key().expect("a key");
        let request = request(&key, "crane-2").expect("a request");
        assert!(request.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{request}");
        let line = key.lines().nth(2).expect("a key has lines");
        assert!(!request.contains(line));
        let why = super::request(
            "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
            "x",
        );
        assert!(why.expect_err("refused").text.contains("openssl req -new"));
    }
}
