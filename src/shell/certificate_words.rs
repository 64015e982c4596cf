//! What is said on site of certificates and their end.

use crate::engine::certificate::{CertificateOf, Expiry, Nearness};
use std::time::{Duration, SystemTime};

/// When and whose, and what to do about it.
pub fn words(expiry: Expiry) -> String {
    let (whose, remedy) = match expiry.of {
        CertificateOf::Gateway => (
            "this gateway's certificate",
            "have a new one signed and put it into the configured place; no restart is needed",
        ),
        CertificateOf::Authority => (
            "a certificate of the authorities in the configured file",
            "ask the centre for the one that follows it; if that stands in the file already, take \
             the old one out",
        ),
        CertificateOf::Broker => ("the broker's certificate", "have it renewed there"),
    };
    let when = date(expiry.ends_unix_s);
    match expiry.near {
        Nearness::Far => format!("{whose} is a new one, which ends at {when}"),
        Nearness::Month => format!("{whose} ends within 30 days, at {when}: {remedy}"),
        Nearness::Week => format!("{whose} ends within 7 days, at {when}: {remedy}"),
        Nearness::Day => format!("{whose} ends within a day, at {when}: {remedy}"),
        Nearness::Ended => format!("{whose} has ended at {when}: {remedy}"),
    }
}

/// RFC 3339, or the bare second outside the years 1970 to 9999.
fn date(unix_s: i64) -> String {
    const YEAR_10000_S: u64 = 253_402_300_800;
    match u64::try_from(unix_s) {
        Ok(s) if s < YEAR_10000_S => {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(s);
            humantime::format_rfc3339_seconds(time).to_string()
        }
        _ => format!("second {unix_s} since 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seam::BrokerId;

    #[test]
    fn the_end_is_told_with_its_date_and_a_remedy() {
        let of = CertificateOf::Gateway;
        let expiry = |ends_unix_s, near| Expiry { broker: BrokerId(0), of, ends_unix_s, near };
        let text = words(expiry(1_609_459_200, Nearness::Week));
        assert!(text.starts_with("this gateway's certificate ends within 7 days"), "{text}");
        assert!(text.contains("2021-01-01T00:00:00Z: have a new one signed"), "{text}");
        for odd in [i64::MIN, -1, i64::MAX] {
            assert!(words(expiry(odd, Nearness::Ended)).contains(&odd.to_string()));
        }
    }
}
