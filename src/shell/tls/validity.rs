//! From when until when a certificate may be used.

/// When a certificate may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second, counted from 1970-01-01T00:00:00Z.
    pub not_before_unix_s: i64,
    /// Last second, counted likewise.
    pub not_after_unix_s: i64,
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
