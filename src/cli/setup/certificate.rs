//! What a certificate says of itself: whose it is, and whether it is an authority's.

use crate::shell::tls::validity;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::{Duration, SystemTime};
use yasna::models::ObjectIdentifier;
use yasna::{ASN1Result, BERReader, Tag};

/// id-at-commonName (RFC 5280, appendix A.1).
const COMMON_NAME: [u64; 4] = [2, 5, 4, 3];
/// id-at-organizationName.
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];
/// id-ce-basicConstraints.
const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];

/// What people want to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Its common name, or else its organisation.
    pub(super) name: String,
    pub(super) is_authority: bool,
    /// SHA-256 of the whole, as other programs show it.
    pub(super) fingerprint: String,
    /// Its first second, seconds since 1970.
    pub(super) begins_unix_s: Option<i64>,
    /// Its last second, seconds since 1970.
    pub(super) ends_unix_s: Option<i64>,
}

impl Facts {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (names, is_authority) = yasna::parse_der(certificate, read).ok()?;
        let of_kind = |kind: &[u64]| {
            let named = |(of, _): &&(ObjectIdentifier, String)| of.components() == kind;
            names.iter().find(named).map(|(_, name)| name.escape_debug().to_string())
        };
        let name = of_kind(&COMMON_NAME).or_else(|| of_kind(&ORGANIZATION));
        let fingerprint =
            Sha256::digest(certificate).iter().fold(String::new(), |mut text, byte| {
                let colon = if text.is_empty() { "" } else { ":" };
                write!(text, "{colon}{byte:02X}").expect("a String takes everything");
                text
            });
        let validity = validity(certificate);
        Some(Self {
            name: name.unwrap_or_else(|| "without a name".to_owned()),
            is_authority,
            fingerprint,
            begins_unix_s: validity.map(|validity| validity.not_before_unix_s),
            ends_unix_s: validity.map(|validity| validity.not_after_unix_s),
        })
    }

    /// The day on which it ends.
    pub(super) fn ends(&self) -> String {
        let unix_s = self.ends_unix_s.and_then(|unix_s| u64::try_from(unix_s).ok());
        let time = unix_s.map(|unix_s| SystemTime::UNIX_EPOCH + Duration::from_secs(unix_s));
        let text = time.map(|time| humantime::format_rfc3339_seconds(time).to_string());
        // A day is enough for people.
        text.and_then(|text| text.split('T').next().map(str::to_owned))
            .unwrap_or_else(|| "?".to_owned())
    }
}

/// All certificates of a text; `what` it should be, for messages.
pub(super) fn certificates(
    text: &[u8],
    what: &str,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => {
            Err(format!("{what} holds no certificate: it begins with -----BEGIN CERTIFICATE-----"))
        }
        Err(_) => Err(format!("{what} is damaged: copy it again, from BEGIN to END, all lines")),
    }
}

/// Names of the subject, and whether it is an authority's (RFC 5280 section 4.1).
fn read(reader: BERReader<'_, '_>) -> ASN1Result<(Vec<(ObjectIdentifier, String)>, bool)> {
    reader.read_sequence(|reader| {
        let facts = reader.next().read_sequence(|reader| {
            reader.read_optional(|reader| {
                reader.read_tagged(Tag::context(0), |version| version.read_u8())
            })?;
            for _serial_signature_issuer_validity in 0..4 {
                reader.next().read_der()?;
            }
            let names = reader.next().read_sequence_of_names()?;
            let _public_key = reader.next().read_der()?;
            for unique_id in [1, 2] {
                reader.read_optional(|reader| {
                    reader
                        .read_tagged_implicit(Tag::context(unique_id), |id| id.read_bitvec_bytes())
                })?;
            }
            let extensions = reader
                .read_optional(|reader| reader.read_tagged(Tag::context(3), read_extensions))?;
            Ok((names, extensions.unwrap_or(false)))
        })?;
        let _algorithm = reader.next().read_der()?;
        let _signature = reader.next().read_der()?;
        Ok(facts)
    })
}

trait Names {
    fn read_sequence_of_names(self) -> ASN1Result<Vec<(ObjectIdentifier, String)>>;
}

impl Names for BERReader<'_, '_> {
    fn read_sequence_of_names(self) -> ASN1Result<Vec<(ObjectIdentifier, String)>> {
        let mut names = Vec::new();
        self.read_sequence_of(|set| {
            set.read_set_of(|pair| {
                pair.read_sequence(|pair| {
                    let kind = pair.next().read_oid()?;
                    let text = pair.next().read_tagged_der()?;
                    names.push((kind, String::from_utf8_lossy(text.value()).into_owned()));
                    Ok(())
                })
            })
        })?;
        Ok(names)
    }
}

/// Whether the basic constraints say that it is an authority's.
fn read_extensions(reader: BERReader<'_, '_>) -> ASN1Result<bool> {
    let mut is_authority = false;
    reader.read_sequence_of(|extension| {
        extension.read_sequence(|extension| {
            let kind = extension.next().read_oid()?;
            extension.read_optional(|critical| critical.read_bool())?;
            let value = extension.next().read_bytes()?;
            if kind.components().as_slice() == BASIC_CONSTRAINTS {
                is_authority = yasna::parse_der(&value, |value| {
                    value.read_sequence(|value| {
                        let is = value.read_optional(|is| is.read_bool())?;
                        value.read_optional(|length| length.read_u8())?;
                        Ok(is.unwrap_or(false))
                    })
                })?;
            }
            Ok(())
        })
    })?;
    Ok(is_authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
    use std::sync::LazyLock;

    fn certificate(name: &str, is_ca: IsCa) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["host".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::OrganizationName, "Centre & Sons");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = is_ca;
        params.not_after = rcgen::date_time_ymd(2031, 5, 17);
        params.self_signed(&KeyPair::generate().expect("a key")).expect("signed").der().clone()
    }

    #[test]
    fn a_certificate_tells_its_name_its_end_and_whether_it_is_an_authority_s() {
        for (is_ca, is_authority) in [
            (IsCa::Ca(BasicConstraints::Constrained(0)), true),
            (IsCa::Ca(BasicConstraints::Unconstrained), true),
            (IsCa::ExplicitNoCa, false),
            (IsCa::NoCa, false),
        ] {
            let facts = Facts::of(&certificate("Centre\u{1b}root", is_ca)).expect("readable");
            assert_eq!(
                (facts.name.as_str(), facts.is_authority),
                ("Centre\\u{1b}root", is_authority)
            );
            assert_eq!((facts.ends().as_str(), facts.fingerprint.len()), ("2031-05-17", 95));
        }
    }

    static GOOD: LazyLock<CertificateDer<'static>> = LazyLock::new(|| certificate("x", IsCa::NoCa));

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(0u8.., 0..80), at in 0usize..400) {
            let _ = Facts::of(&CertificateDer::from(bytes.clone()));
            let mut damaged = GOOD.to_vec();
            let at = at.min(damaged.len() - 1);
            damaged[at] ^= bytes.first().copied().unwrap_or(1);
            let _ = Facts::of(&CertificateDer::from(damaged));
        }
    }
}
