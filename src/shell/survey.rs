//! How each pendant was heard of late, through which link: what `survey` shows.
//!
//! It holds apparent facts only (P5): number, counter, time and signal of frames,
//! which anyone with a receiver has as well; never what a frame meant.

use crate::engine::seam::LinkId;
use crate::engine::time::Mono;
use crate::margin::Heard;
use pendant_hal::Signal;
use pendant_protocol::PendantId;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// Frames are counted over this time.
pub const WINDOW_MINUTES: u64 = 15;
const WINDOW_MS: u64 = WINDOW_MINUTES * 60_000;
/// Most frames that are remembered of a pendant on a link.
const FRAMES_MAX: usize = 32;
/// A pendant that has lost power skips a block of counters (docs/protocol.md);
/// what lies between two counters so far apart was never sent.
pub const SKIPPED_MIN: u32 = 64;
/// Most rows. The one that was silent for longest gives way.
const ROWS_MAX: usize = 4096;
/// Latest receptions of all pendants together that are told one by one. Who asks every
/// second misses none at up to so many a second; a radio at SF7 hears 16.
const RECENT_MAX: usize = 256;

/// What was heard of late.
#[derive(Debug, Default)]
pub struct Survey {
    ears: BTreeMap<(PendantId, LinkId), Ear>,
    recent: VecDeque<Reception>,
    /// Receptions since the start.
    receptions: u64,
}

/// A frame came through a link, for the first time or again.
#[derive(Debug)]
struct Reception {
    /// Rises by one a reception, from 1 on.
    number: u64,
    of: (PendantId, LinkId),
    counter: u32,
    signal: Signal,
    at: Mono,
}

#[derive(Debug)]
struct Ear {
    last: Mono,
    signal: Signal,
    /// Counters in the order of hearing, each once.
    heard: VecDeque<(Mono, u32)>,
}

impl Survey {
    /// An authentic frame was heard, for the first time or again.
    pub fn hear(
        &mut self,
        (pendant, link): (PendantId, LinkId),
        counter: u32,
        signal: Signal,
        at: Mono,
    ) {
        self.note(Reception {
            number: self.receptions + 1,
            of: (pendant, link),
            counter,
            signal,
            at,
        });
        let newest = self.counters(pendant, at).max();
        if newest.is_some_and(|newest| counter.abs_diff(newest) >= SKIPPED_MIN) {
            self.of_mut(pendant).for_each(|ear| ear.heard.clear());
        }
        if self.ears.len() >= ROWS_MAX && !self.ears.contains_key(&(pendant, link)) {
            let silent = self.ears.iter().min_by_key(|(_, ear)| ear.last).map(|(key, _)| *key);
            silent.and_then(|key| self.ears.remove(&key));
        }
        let ear = self.ears.entry((pendant, link)).or_insert(Ear {
            last: at,
            signal,
            heard: VecDeque::new(),
        });
        (ear.last, ear.signal) = (at, signal);
        if ear.heard.iter().all(|(_, known)| *known != counter) {
            ear.heard.push_back((at, counter));
            if ear.heard.len() > FRAMES_MAX {
                ear.heard.pop_front();
            }
        }
    }

    fn note(&mut self, reception: Reception) {
        self.receptions = reception.number;
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(reception);
    }

    /// All rows, by pendant and link, and the latest receptions in the order of hearing;
    /// `names` are the links'.
    #[must_use]
    pub fn rows(&self, now: Mono, names: &[String]) -> Value {
        let row = |(&(pendant, link), ear): (&(PendantId, LinkId), &Ear)| {
            let frames = ear.recent(now).count();
            let heard = heard(&ear.signal);
            let margin = heard.spreading_factor.and_then(|factor| heard.margin_at(factor));
            json!({
                "pendant": pendant.to_string(),
                "link": names.get(usize::from(link.0)),
                "last_heard_s": now.ms_since(ear.last) / 1000,
                "rssi_dbm": heard.rssi_dbm,
                "snr_db": heard.snr_db,
                "spreading_factor": heard.spreading_factor,
                "bandwidth_hz": heard.bandwidth_hz,
                "margin_db": margin.map(|margin| margin.rounded_db()),
                "frequency_error_hz": ear.signal.frequency_error_hz,
                "frames": frames,
                "lost_percent": self.lost_percent(pendant, ear, now),
            })
        };
        let reception = |reception: &Reception| {
            let heard = heard(&reception.signal);
            let (pendant, link) = reception.of;
            json!({
                "number": reception.number,
                "pendant": pendant.to_string(),
                "link": names.get(usize::from(link.0)),
                "counter": reception.counter,
                "age_ms": now.ms_since(reception.at),
                "rssi_dbm": heard.rssi_dbm,
                "snr_db": heard.snr_db,
                "spreading_factor": heard.spreading_factor,
                "bandwidth_hz": heard.bandwidth_hz,
            })
        };
        json!({
            "minutes": WINDOW_MINUTES,
            "rows": self.ears.iter().map(row).collect::<Vec<_>>(),
            "receptions": self.receptions,
            "recent": self.recent.iter().map(reception).collect::<Vec<_>>(),
        })
    }

    /// How many of the counters between the lowest and the highest that any link heard this
    /// one missed; `None` if that says nothing. Of one that has forgotten its oldest, from
    /// the lowest that it knows.
    fn lost_percent(&self, pendant: PendantId, ear: &Ear, now: Mono) -> Option<u32> {
        let mut low = self.counters(pendant, now).min()?;
        if ear.heard.len() == FRAMES_MAX {
            low = ear.recent(now).min()?;
        }
        let sent = self.counters(pendant, now).max()? - low + 1;
        let heard = u32::try_from(ear.recent(now).count()).ok()?;
        (sent > 1).then(|| 100 * sent.saturating_sub(heard) / sent)
    }

    fn counters(&self, pendant: PendantId, now: Mono) -> impl Iterator<Item = u32> {
        let all = self.ears.range((pendant, LinkId(0))..=(pendant, LinkId(u8::MAX)));
        all.flat_map(move |(_, ear)| ear.recent(now))
    }

    fn of_mut(&mut self, pendant: PendantId) -> impl Iterator<Item = &mut Ear> {
        let all = self.ears.range_mut((pendant, LinkId(0))..=(pendant, LinkId(u8::MAX)));
        all.map(|(_, ear)| ear)
    }
}

impl Ear {
    fn recent(&self, now: Mono) -> impl Iterator<Item = u32> {
        let within = move |at: &Mono| now.ms_since(*at) < WINDOW_MS;
        self.heard.iter().filter(move |(at, _)| within(at)).map(|(_, counter)| *counter)
    }
}

fn heard(signal: &Signal) -> Heard {
    Heard {
        rssi_dbm: signal.rssi_dbm,
        snr_db: signal.snr_quarter_db.map(|quarters| f64::from(quarters) / 4.0),
        spreading_factor: signal.spreading_factor,
        bandwidth_hz: signal.bandwidth_hz,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;

    fn pendant(number: u32) -> PendantId {
        PendantId::new(number).expect("a pendant's number")
    }

    fn at(ms: u64) -> Mono {
        Mono::ZERO.plus_ms(ms)
    }

    fn signal(rssi_dbm: i16) -> Signal {
        let frequency_error_hz = Some(-1_250);
        let snr_quarter_db = Some(-13);
        let rssi_dbm = Some(rssi_dbm);
        let (spreading_factor, bandwidth_hz) = (Some(9), Some(125_000));
        Signal {
            rssi_dbm,
            snr_quarter_db,
            spreading_factor,
            bandwidth_hz,
            frequency_error_hz,
            ..Signal::default()
        }
    }

    fn rows(survey: &Survey, now: Mono) -> Vec<Value> {
        let names = ["roof".to_owned(), "hall".to_owned()];
        survey.rows(now, &names)["rows"].as_array().expect("a list").clone()
    }

    #[test]
    fn what_one_link_missed_is_known_by_the_other() {
        let mut survey = Survey::default();
        for counter in 1..=10 {
            survey.hear(
                (pendant(7), LinkId(0)),
                counter,
                signal(-90),
                at(u64::from(counter) * 1000),
            );
            if counter % 2 == 0 {
                survey.hear((pendant(7), LinkId(1)), counter, signal(-118), at(20_000));
            }
        }
        // Heard again: no further frame, but a newer moment.
        survey.hear((pendant(7), LinkId(0)), 10, signal(-92), at(12_000));
        let rows = rows(&survey, at(30_000));
        assert_eq!(rows.len(), 2);
        let expected = json!({
            "pendant": "000007", "link": "roof", "last_heard_s": 18, "rssi_dbm": -92,
            "snr_db": -3.25, "spreading_factor": 9, "bandwidth_hz": 125_000, "margin_db": 9.3,
            "frequency_error_hz": -1_250, "frames": 10, "lost_percent": 0,
        });
        assert_eq!(rows[0], expected);
        assert_eq!((&rows[1]["frames"], &rows[1]["lost_percent"]), (&json!(5), &json!(50)));
    }

    #[test]
    fn who_hears_all_has_missed_nothing_however_long_it_goes_on() {
        let mut survey = Survey::default();
        for counter in 1..=80 {
            let now = at(u64::from(counter) * 1000);
            survey.hear((pendant(7), LinkId(0)), counter, signal(-90), now);
            if counter % 2 == 0 {
                survey.hear((pendant(7), LinkId(1)), counter, signal(-118), now);
            }
        }
        let rows = rows(&survey, at(80_000));
        let lost = rows.iter().map(|row| &row["lost_percent"]).collect::<Vec<_>>();
        // The sparse one knows its 32 latest, of the 63 from 18 on.
        assert_eq!(lost, [&json!(0), &json!(49)]);
    }

    #[test]
    fn old_frames_and_skipped_counters_do_not_count() {
        let mut survey = Survey::default();
        survey.hear((pendant(7), LinkId(0)), 1, signal(-90), at(0));
        assert_eq!(rows(&survey, at(0))[0]["lost_percent"], Value::Null, "one frame says nothing");
        survey.hear((pendant(7), LinkId(0)), 2, signal(-90), at(10 * MINUTE_MS));
        survey.hear((pendant(7), LinkId(0)), 4, signal(-90), at(16 * MINUTE_MS));
        let row = &rows(&survey, at(16 * MINUTE_MS))[0];
        assert_eq!((&row["frames"], &row["lost_percent"]), (&json!(2), &json!(33)));
        survey.hear((pendant(7), LinkId(0)), 4 + SKIPPED_MIN, signal(-90), at(17 * MINUTE_MS));
        survey.hear((pendant(7), LinkId(0)), 5 + SKIPPED_MIN, signal(-90), at(17 * MINUTE_MS));
        let row = &rows(&survey, at(17 * MINUTE_MS))[0];
        assert_eq!((&row["frames"], &row["lost_percent"]), (&json!(2), &json!(0)));
        let silent = &rows(&survey, at(60 * MINUTE_MS))[0];
        assert_eq!((&silent["frames"], &silent["last_heard_s"]), (&json!(0), &json!(43 * 60)));
    }

    #[test]
    fn counters_at_the_top_and_many_pendants_are_bounded() {
        let mut survey = Survey::default();
        survey.hear((pendant(1), LinkId(0)), 0, signal(-90), at(0));
        survey.hear((pendant(1), LinkId(0)), u32::MAX, signal(-90), at(1));
        survey.hear((pendant(1), LinkId(0)), u32::MAX - 1, signal(-90), at(2));
        assert_eq!(rows(&survey, at(3))[0]["lost_percent"], 0);
        for number in 2..=u32::try_from(ROWS_MAX).expect("fits") + 1 {
            for counter in 0..50 {
                survey.hear((pendant(number), LinkId(0)), counter, signal(-90), at(10));
            }
        }
        let rows = rows(&survey, at(20));
        assert_eq!(rows.len(), ROWS_MAX);
        assert_eq!(rows[0]["pendant"], "000002", "the longest silent gave way");
        assert_eq!(rows[0]["frames"], FRAMES_MAX);
    }

    #[test]
    fn the_latest_receptions_are_told_one_by_one_and_numbered() {
        let mut survey = Survey::default();
        let names = ["roof".to_owned(), "hall".to_owned()];
        assert_eq!(survey.rows(at(0), &names)["recent"], json!([]));
        survey.hear((pendant(7), LinkId(1)), 41, signal(-90), at(1_000));
        survey.hear((pendant(7), LinkId(1)), 41, signal(-92), at(3_000));
        survey.hear((pendant(8), LinkId(9)), 5, Signal::default(), at(3_500));
        let told = survey.rows(at(4_000), &names);
        assert_eq!(told["receptions"], 3);
        let again = json!({
            "number": 2, "pendant": "000007", "link": "hall", "counter": 41, "age_ms": 1_000,
            "rssi_dbm": -92, "snr_db": -3.25, "spreading_factor": 9, "bandwidth_hz": 125_000,
        });
        assert_eq!(told["recent"][1], again, "a repetition is a reception of its own");
        let stranger = &told["recent"][2];
        assert_eq!((&stranger["link"], &stranger["rssi_dbm"]), (&Value::Null, &Value::Null));
        for counter in 0..1_000 {
            survey.hear((pendant(9), LinkId(0)), counter, signal(-90), at(5_000));
        }
        let told = survey.rows(at(6_000), &names);
        let numbers = told["recent"].as_array().expect("a list");
        assert_eq!((numbers.len(), &told["receptions"]), (RECENT_MAX, &json!(1_003)));
        assert_eq!(numbers[RECENT_MAX - 1]["number"], 1_003, "the oldest give way");
    }
}
