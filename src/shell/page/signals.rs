//! How each link heard over the last day or week, out of the history. Reads are
//! kept for a while: the history counts by quarters of an hour.

use crate::shell::history::{BUCKET_S, HistoryReader, ROWS_READ_MAX, Row, Spread, Subject};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a read is good.
const FRESH: Duration = Duration::from_secs(60);
/// Reads of [`ROWS_READ_MAX`] rows for one plot: 200 pendants on two links make
/// 270,000 rows a week.
const READS_MAX: u32 = 64;

/// Over how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Period {
    Day,
    Week,
}

impl Period {
    pub(super) const fn seconds(self) -> u64 {
        match self {
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
        }
    }

    /// Points of a plot are so far apart: about as many as it has room for.
    pub(super) const fn step_s(self) -> u64 {
        match self {
            Self::Day => BUCKET_S,
            Self::Week => 8 * BUCKET_S,
        }
    }
}

/// What one link heard in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) frames: u32,
    pub(super) rssi_dbm: Spread,
    /// Times that the link went away.
    pub(super) losses: u32,
}

/// By link and the beginning of the step.
pub(super) type Signals = BTreeMap<(u8, u64), Heard>;

type Read = (Instant, Arc<Signals>);

#[derive(Debug)]
pub(super) struct SignalReader {
    history: HistoryReader,
    read: Mutex<BTreeMap<Period, Read>>,
}

impl SignalReader {
    pub(super) fn new(history: HistoryReader) -> Self {
        Self { history, read: Mutex::new(BTreeMap::new()) }
    }

    /// `None` if the history cannot be read now; the page says so.
    pub(super) async fn signals(&self, period: Period, unix_s: u64) -> Option<Arc<Signals>> {
        let mut read = self.read.lock().await;
        if let Some((at, signals)) = read.get(&period) {
            if at.elapsed() < FRESH {
                return Some(signals.clone());
            }
        }
        let from = unix_s.saturating_sub(period.seconds());
        let signals = Arc::new(self.fold(period, from, unix_s + 1).await?);
        read.insert(period, (Instant::now(), signals.clone()));
        Some(signals)
    }

    async fn fold(&self, period: Period, from: u64, until: u64) -> Option<Signals> {
        let mut signals = Signals::new();
        let mut from = from;
        for _ in 0..READS_MAX {
            let rows = self.history.read(from, until).await.ok()?;
            let last = rows.last().map(|row| row.from_unix_s);
            let is_all = rows.len() < ROWS_READ_MAX;
            // The last quarter of an hour may be cut, and is read again whole; if it
            // fills a read alone, what is behind it in that quarter is let go.
            let is_whole =
                |row: &&Row| is_all || Some(row.from_unix_s) != last || row.from_unix_s <= from;
            rows.iter().filter(is_whole).for_each(|row| add(&mut signals, period, row));
            match last {
                Some(last) if !is_all => from = if last > from { last } else { last + BUCKET_S },
                _ => break,
            }
        }
        Some(signals)
    }
}

fn add(signals: &mut Signals, period: Period, row: &Row) {
    let step = row.from_unix_s / period.step_s() * period.step_s();
    let heard = signals.entry((row.link.0, step)).or_default();
    match row.subject {
        Subject::Link => heard.losses += row.tally.count,
        Subject::Pendant(_) => {
            heard.frames += row.tally.count;
            heard.rssi_dbm.merge(&row.tally.rssi_dbm);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::seam::{LinkId, Signal};
    use crate::shell::history::{Fact, History, HistoryLimits, Sample};
    use pendant_protocol::PendantId;

    const NOW: u64 = 1_800_000_000;

    fn heard(unix_s: u64, pendant: u32, link: u8, rssi_dbm: i16) -> Sample {
        let pendant = PendantId::new(pendant).expect("a number in range");
        let signal = Signal { rssi_dbm: Some(rssi_dbm), ..Signal::default() };
        Sample { unix_s, link: LinkId(link), fact: Fact::Heard(pendant, signal) }
    }

    #[tokio::test]
    async fn pendants_of_a_link_are_counted_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let history = History::open(folder.path().join("history"), HistoryLimits::default());
        let mut status = history.status();
        status.wait_for(|status| status.open).await.expect("it opens");
        history.record(heard(NOW - 10, 1, 0, -80));
        history.record(heard(NOW - 10, 2, 0, -100));
        history.record(heard(NOW - 10, 2, 1, -110));
        history.record(heard(NOW - 2 * 86_400, 2, 0, -120));
        history.record(Sample { unix_s: NOW - 5, link: LinkId(1), fact: Fact::LinkLost });
        let reader = SignalReader::new(history.reader());
        let day = reader.signals(Period::Day, NOW).await.expect("it is open");
        assert_eq!(day.len(), 2);
        let of = |link| day.iter().find(|((of, _), _)| *of == link).expect("heard").1;
        assert_eq!((of(0).frames, of(0).rssi_dbm.min, of(0).rssi_dbm.sum), (2, -100, -180));
        assert_eq!((of(1).frames, of(1).losses), (1, 1));
        let week = reader.signals(Period::Week, NOW).await.expect("it is open");
        assert_eq!(week.values().map(|heard| heard.frames).sum::<u32>(), 4);
        history.close().await;
        let other = Period::Week.step_s();
        assert_eq!(other % BUCKET_S, 0);
        assert!(
            SignalReader::new(reader.history.clone()).signals(Period::Day, NOW).await.is_none()
        );
    }
}
