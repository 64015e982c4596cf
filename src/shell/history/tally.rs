//! What is counted: one row a quarter of an hour, pendant and link.

use crate::engine::seam::{LinkId, Signal};
use pendant_protocol::PendantId;
use serde::{Deserialize, Serialize};

/// Length of the time over which a row counts, seconds.
pub const BUCKET_S: u64 = 900;

/// Bytes of a row's key.
pub const KEY_BYTES: usize = 9;

/// Whom a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The link itself.
    Link,
    /// A pendant, as heard through the link.
    Pendant(PendantId),
}

/// Smallest, largest and mean of what was measured, in the unit in which it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// How many values.
    pub count: u32,
    /// The smallest; 0 without values.
    pub min: i16,
    /// The largest; 0 without values.
    pub max: i16,
    /// All of them together.
    pub sum: i64,
}

impl Spread {
    /// Adds the values of another.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        self.count = self.count.saturating_add(other.count);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum = self.sum.saturating_add(other.sum);
    }

    fn of(value: Option<i16>) -> Self {
        value.map_or(Self::default(), |value| Self {
            count: 1,
            min: value,
            max: value,
            sum: value.into(),
        })
    }
}

/// What is known of a subject in one quarter of an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// For a pendant: frames heard. For a link: times it went away.
    pub count: u32,
    /// Signal strength, dBm.
    pub rssi_dbm: Spread,
    /// Signal-to-noise ratio, quarters of a decibel.
    pub snr_quarter_db: Spread,
}

impl Tally {
    /// One frame.
    pub(super) fn frame(signal: Signal) -> Self {
        Self {
            count: 1,
            rssi_dbm: Spread::of(signal.rssi_dbm),
            snr_quarter_db: Spread::of(signal.snr_quarter_db),
        }
    }

    /// One loss of a link.
    pub(super) fn loss() -> Self {
        Self { count: 1, ..Self::default() }
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.rssi_dbm.merge(&other.rssi_dbm);
        self.snr_quarter_db.merge(&other.snr_quarter_db);
    }
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// When the quarter of an hour begins, seconds since 1970.
    pub from_unix_s: u64,
    /// About whom.
    pub subject: Subject,
    /// Through which link.
    pub link: LinkId,
    /// What.
    pub tally: Tally,
}

/// A row's key in the store. Big-endian with time first: the oldest rows come
/// first, and a span of time is a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) bucket: u32,
    /// 0 stands for the link: no pendant bears it.
    pub(super) pendant: u32,
    pub(super) link: u8,
}

impl Key {
    pub(super) fn new(unix_s: u64, subject: Subject, link: LinkId) -> Self {
        let pendant = match subject {
            Subject::Link => 0,
            Subject::Pendant(pendant) => pendant.get(),
        };
        Self { bucket: bucket(unix_s), pendant, link: link.0 }
    }

    pub(super) fn bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes[..4].copy_from_slice(&self.bucket.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.pendant.to_be_bytes());
        bytes[8] = self.link;
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; KEY_BYTES] = bytes.try_into().ok()?;
        let (bucket, rest) = bytes.split_first_chunk()?;
        let (pendant, link) = rest.split_first_chunk()?;
        Some(Self {
            bucket: u32::from_be_bytes(*bucket),
            pendant: u32::from_be_bytes(*pendant),
            link: *link.first()?,
        })
    }
}

/// The number of the quarter of an hour since 1970.
pub(super) fn bucket(unix_s: u64) -> u32 {
    u32::try_from(unix_s / BUCKET_S).unwrap_or(u32::MAX)
}

/// What was stored, or `None` if it is nothing that we write.
#[must_use]
pub fn row(key: &[u8], value: &[u8]) -> Option<Row> {
    let key = Key::parse(key)?;
    Some(Row {
        from_unix_s: u64::from(key.bucket) * BUCKET_S,
        subject: match key.pendant {
            0 => Subject::Link,
            number => Subject::Pendant(PendantId::new(number)?),
        },
        link: LinkId(key.link),
        tally: tally(value)?,
    })
}

/// Key and value of a row as it is stored.
#[must_use]
pub fn row_bytes(row: &Row) -> ([u8; KEY_BYTES], Vec<u8>) {
    (Key::new(row.from_unix_s, row.subject, row.link).bytes(), value(&row.tally))
}

pub(super) fn tally(value: &[u8]) -> Option<Tally> {
    postcard::from_bytes(value).ok()
}

pub(super) fn value(tally: &Tally) -> Vec<u8> {
    postcard::to_stdvec(tally).expect("numbers can always be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(rssi_dbm: i16, snr_quarter_db: i16) -> Signal {
        Signal {
            rssi_dbm: Some(rssi_dbm),
            snr_quarter_db: Some(snr_quarter_db),
            ..Signal::default()
        }
    }

    #[test]
    fn tallies_add_up() {
        let mut tally = Tally::default();
        tally.merge(&Tally::frame(signal(-90, 20)));
        tally.merge(&Tally::frame(signal(-110, -12)));
        tally.merge(&Tally::frame(Signal::default()));
        assert_eq!(tally.count, 3);
        assert_eq!(tally.rssi_dbm, Spread { count: 2, min: -110, max: -90, sum: -200 });
        assert_eq!(tally.snr_quarter_db, Spread { count: 2, min: -12, max: 20, sum: 8 });
    }

    #[test]
    fn rows_are_written_and_read_and_sort_by_time() {
        let pendant = PendantId::new(0x12f).expect("a number in range");
        let key = Key::new(1_700_000_000, Subject::Pendant(pendant), LinkId(3));
        let tally = Tally::frame(signal(-100, 4));
        let read = row(&key.bytes(), &value(&tally)).expect("just written");
        assert_eq!(read.from_unix_s, 1_700_000_000 / 900 * 900);
        assert_eq!((read.subject, read.link), (Subject::Pendant(pendant), LinkId(3)));
        assert_eq!(read.tally, tally);
        let later = Key::new(1_700_000_900, Subject::Link, LinkId(0));
        assert!(later.bytes() > key.bytes());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(key in proptest::collection::vec(0u8.., 0..12),
                                  value in proptest::collection::vec(0u8.., 0..48)) {
            let _ = row(&key, &value);
        }
    }
}
