//! Numbers with units: the unit stands in the key, the value is a bare whole
//! number. Who writes "30s" or "868.1MHz" is told the number to write.

use std::ops::RangeInclusive;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Days,
    Mebibytes,
    Hertz,
    Dbm,
    Baud,
    Plain,
}

/// A number's unit and the range that makes sense.
#[derive(Clone, Debug)]
pub(super) struct Quantity {
    pub(super) unit: Unit,
    pub(super) range: RangeInclusive<i64>,
}

impl Quantity {
    pub(super) const fn new(unit: Unit, range: RangeInclusive<i64>) -> Self {
        Self { unit, range }
    }

    /// "a whole number of seconds, 5 to 3600".
    pub(super) fn describe(&self) -> String {
        let of = match self.unit {
            Unit::Seconds => " of seconds",
            Unit::Days => " of days",
            Unit::Mebibytes => " of mebibytes",
            Unit::Hertz => " of hertz",
            Unit::Dbm => " of dBm",
            Unit::Baud => " of baud",
            Unit::Plain => "",
        };
        format!("a whole number{of}, {} to {}", self.range.start(), self.range.end())
    }

    /// The number that was probably meant by `text`, a number with or without
    /// a unit behind it; only if it is a whole number within the range.
    pub(super) fn meant_by(&self, text: &str) -> Option<i64> {
        let text: String = text
            .trim_matches(['"', '\''])
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '_')
            .map(|c| if c == ',' { '.' } else { c.to_ascii_lowercase() })
            .collect();
        let number_ends = text.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c)));
        let (number, suffix) = text.split_at(number_ends.unwrap_or(text.len()));
        let number: f64 = number.parse().ok()?;
        if suffix.is_empty() {
            return self.unit.magnitudes().iter().find_map(|factor| self.whole(number * factor));
        }
        let (_, factor) = self.unit.suffixes().iter().find(|(name, _)| *name == suffix)?;
        self.whole(number * factor)
    }

    fn whole(&self, value: f64) -> Option<i64> {
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        let rounded = value.round();
        if !rounded.is_finite() || rounded.abs() > EXACT_MAX || (value - rounded).abs() > 1e-4 {
            return None;
        }
        // Exact: within 53 bits, checked above.
        #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
        let whole = rounded as i64;
        self.range.contains(&whole).then_some(whole)
    }
}

impl Unit {
    /// Units that people write behind such a number, in lower case, and what
    /// one of them is in this unit.
    const fn suffixes(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::Seconds => &[
                ("s", 1.0),
                ("sec", 1.0),
                ("second", 1.0),
                ("seconds", 1.0),
                ("ms", 0.001),
                ("m", 60.0),
                ("min", 60.0),
                ("minute", 60.0),
                ("minutes", 60.0),
                ("h", 3600.0),
                ("hour", 3600.0),
                ("hours", 3600.0),
                ("d", 86_400.0),
                ("day", 86_400.0),
                ("days", 86_400.0),
            ],
            Self::Days => &[
                ("d", 1.0),
                ("day", 1.0),
                ("days", 1.0),
                ("w", 7.0),
                ("week", 7.0),
                ("weeks", 7.0),
                ("h", 1.0 / 24.0),
                ("hours", 1.0 / 24.0),
            ],
            Self::Mebibytes => &[
                ("m", 1.0),
                ("mb", 1.0),
                ("mib", 1.0),
                ("g", 1024.0),
                ("gb", 1024.0),
                ("gib", 1024.0),
                ("k", 1.0 / 1024.0),
                ("kb", 1.0 / 1024.0),
                ("kib", 1.0 / 1024.0),
            ],
            Self::Hertz => {
                &[("hz", 1.0), ("khz", 1e3), ("k", 1e3), ("mhz", 1e6), ("m", 1e6), ("ghz", 1e9)]
            }
            Self::Dbm => &[("dbm", 1.0), ("db", 1.0)],
            Self::Baud => &[("bd", 1.0), ("baud", 1.0), ("bps", 1.0), ("k", 1e3), ("kbaud", 1e3)],
            Self::Plain => &[],
        }
    }

    /// What a bare number that is out of range may have been written in.
    const fn magnitudes(self) -> &'static [f64] {
        match self {
            Self::Hertz => &[1.0, 1e6, 1e3],
            Self::Seconds => &[1.0, 0.001],
            _ => &[1.0],
        }
    }
}

/// How many single edits (one character more, less or other, or two swapped)
/// lead from `a` to `b`: optimal string alignment.
fn edits(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let other = usize::from(a[i - 1] != b[j - 1]);
            let mut least =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + other);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

/// The word that was probably meant, if one is near: few edits away, or the
/// same but for the unit at its end (`keep_alive` or `keep_alive_ms` for
/// `keep_alive_s`).
pub(super) fn nearest<'w>(written: &str, words: &[&'w str]) -> Option<&'w str> {
    // A longer text is nobody's slip, and the table above grows with its square.
    const WRITTEN_MAX: usize = 64;
    if written.len() > WRITTEN_MAX {
        return None;
    }
    let written = written.to_ascii_lowercase().replace('-', "_");
    let stem =
        |word: &str| word.rsplit_once('_').map_or(word.to_owned(), |(stem, _)| stem.to_owned());
    let near = |word: &str| edits(&written, word) <= (word.len() / 3).clamp(1, 3);
    let same_stem = |word: &str| {
        stem(word) == written || (written.contains('_') && stem(word) == stem(&written))
    };
    words
        .iter()
        .copied()
        .filter(|word| near(word) || same_stem(word))
        .min_by_key(|word| (!same_stem(word), edits(&written, word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_a_unit_is_converted() {
        let seconds = Quantity::new(Unit::Seconds, 5..=3600);
        assert_eq!(seconds.meant_by("\"30s\""), Some(30));
        assert_eq!(seconds.meant_by("2 min"), Some(120));
        assert_eq!(seconds.meant_by("30000ms"), Some(30));
        assert_eq!(seconds.meant_by("30000"), Some(30));
        assert_eq!(seconds.meant_by("7.5"), None);
        assert_eq!(seconds.meant_by("2 fortnights"), None);
        let hertz = Quantity::new(Unit::Hertz, 150_000_000..=960_000_000);
        assert_eq!(hertz.meant_by("868.1MHz"), Some(868_100_000));
        assert_eq!(hertz.meant_by("868,1 MHz"), Some(868_100_000));
        assert_eq!(hertz.meant_by("868.1"), Some(868_100_000));
        assert_eq!(hertz.meant_by("868100"), Some(868_100_000));
        assert_eq!(hertz.meant_by("2.4 GHz"), None);
        let mebibytes = Quantity::new(Unit::Mebibytes, 16..=65_536);
        assert_eq!(mebibytes.meant_by("2GiB"), Some(2048));
        assert_eq!(mebibytes.meant_by(&"9".repeat(400)), None);
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let words = ["keep_alive_s", "session_expiry_s", "host", "port", "path"];
        assert_eq!(nearest("keep_alive", &words), Some("keep_alive_s"));
        assert_eq!(nearest("keep_alive_ms", &words), Some("keep_alive_s"));
        assert_eq!(nearest("keepalive_s", &words), Some("keep_alive_s"));
        assert_eq!(nearest("prot", &words), Some("port"));
        assert_eq!(nearest("Host", &words), Some("host"));
        assert_eq!(nearest("colour", &words), None);
        assert_eq!(nearest("", &words), None);
    }
}
