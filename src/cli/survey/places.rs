//! How pendants were heard at each place of a walk test, and what that is worth. Pure.

use super::walk::{Frame, Stretch, Walk};
use crate::margin::{Heard, Margin, SPREADING_FACTORS};
use crate::shell::survey::SKIPPED_MIN;
use std::collections::{BTreeMap, BTreeSet};

/// From here on a place is good: people, doors and vehicles that come between take
/// 5 to 10 dB, and this much is left for them.
pub(super) const GOOD_MARGIN_DB: f64 = 10.0;
/// From here on it is weak; below, any change takes the pendant away.
pub(super) const WEAK_MARGIN_DB: f64 = 5.0;
/// A good place loses no more. A pendant repeats what is not answered, so that few losses
/// cost a second or two.
pub(super) const GOOD_LOST_PERCENT: usize = 10;
/// A weak place loses no more.
pub(super) const WEAK_LOST_PERCENT: usize = 30;
/// Fewer frames say too little for "good".
pub(super) const GOOD_FRAMES_MIN: usize = 3;

/// How a pendant was heard at a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) label: String,
    /// `None`: no pendant was heard here.
    pub(super) pendant: Option<String>,
    /// Frames, each once, whichever receiver had them.
    pub(super) heard: usize,
    /// By the gaps in its counter between two frames of this place.
    pub(super) lost: usize,
    /// Between the last frame before this place and the first here, or likewise behind it.
    pub(super) perhaps_lost: usize,
    /// Of each frame where it was heard best.
    pub(super) signal: Summary,
    /// Receivers, the best first.
    pub(super) receivers: Vec<Receiver>,
    pub(super) verdict: Verdict,
    /// Why it is not good.
    pub(super) reasons: Vec<String>,
}

/// How one receiver heard it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Receiver {
    pub(super) link: String,
    /// Frames, each once.
    pub(super) heard: usize,
    pub(super) signal: Summary,
}

/// Some frames' signals. `None` where receivers do not measure it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Summary {
    pub(super) rssi_min_dbm: Option<f64>,
    pub(super) rssi_median_dbm: Option<f64>,
    pub(super) snr_min_db: Option<f64>,
    pub(super) snr_median_db: Option<f64>,
    /// At the spreading factors that the frames had. The median.
    pub(super) margin: Option<Margin>,
    /// At each of [`SPREADING_FACTORS`]. The medians.
    pub(super) margins: Vec<Option<Margin>>,
    /// That the frames had, as far as known.
    pub(super) spreading_factors: BTreeSet<u8>,
}

/// What a place is worth, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Good,
    Weak,
    Poor,
    NotHeard,
}

impl Verdict {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Weak => "weak",
            Self::Poor => "poor",
            Self::NotHeard => "not heard",
        }
    }
}

/// Every place in the order of the first visit, with a row a pendant that was heard there.
pub(super) fn places(walk: &Walk) -> Vec<Place> {
    let mut labels: Vec<&str> = Vec::new();
    for label in walk.stretches.iter().filter_map(|stretch| stretch.label.as_deref()) {
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    let losses = Losses::of(&walk.stretches);
    labels.into_iter().flat_map(|label| at_label(walk, &losses, label)).collect()
}

fn at_label(walk: &Walk, losses: &Losses, label: &str) -> Vec<Place> {
    let visits: Vec<usize> = (0..walk.stretches.len())
        .filter(|&visit| walk.stretches[visit].label.as_deref() == Some(label))
        .collect();
    let mut frames: BTreeMap<&str, Vec<&Frame>> = BTreeMap::new();
    for frame in visits.iter().flat_map(|&visit| &walk.stretches[visit].frames) {
        frames.entry(&frame.pendant).or_default().push(frame);
    }
    if frames.is_empty() {
        let perhaps = losses.perhaps.iter().filter(|((_, visit), _)| visits.contains(visit));
        return vec![Place {
            label: label.to_owned(),
            pendant: walk.head.pendant.clone(),
            heard: 0,
            lost: 0,
            perhaps_lost: perhaps.map(|(_, lost)| lost).sum(),
            signal: Summary::default(),
            receivers: Vec::new(),
            verdict: Verdict::NotHeard,
            reasons: vec!["no receiver heard anything here".to_owned()],
        }];
    }
    let place = |(pendant, frames): (&str, Vec<&Frame>)| {
        let of = |losses: &Counted| {
            visits.iter().filter_map(|&visit| losses.get(&(pendant.to_owned(), visit))).sum()
        };
        let best = best_of_each(&frames, walk.head.spreading_factor);
        let signal = Summary::of(&best, walk.head.spreading_factor);
        let (heard, lost) = (best.len(), of(&losses.sure));
        let (verdict, reasons) = judge(heard, lost, signal.margin);
        Place {
            label: label.to_owned(),
            pendant: Some(pendant.to_owned()),
            heard,
            lost,
            perhaps_lost: of(&losses.perhaps),
            receivers: receivers(&frames, walk.head.spreading_factor),
            signal,
            verdict,
            reasons,
        }
    };
    frames.into_iter().map(place).collect()
}

/// What so many frames with this margin are worth, and why not more.
fn judge(heard: usize, lost: usize, margin: Option<Margin>) -> (Verdict, Vec<String>) {
    let lost_percent = 100 * lost / (heard + lost).max(1);
    let by_margin = match margin {
        None => {
            Some((Verdict::Good, "no receiver measures signals: judged by losses alone".to_owned()))
        }
        Some(margin) if margin.db < WEAK_MARGIN_DB => {
            Some((Verdict::Poor, format!("the margin is below {WEAK_MARGIN_DB} dB")))
        }
        Some(margin) if margin.db < GOOD_MARGIN_DB => {
            Some((Verdict::Weak, format!("the margin is below {GOOD_MARGIN_DB} dB")))
        }
        Some(_) => None,
    };
    let by_losses = (lost_percent > GOOD_LOST_PERCENT).then(|| {
        let verdict = if lost_percent > WEAK_LOST_PERCENT { Verdict::Poor } else { Verdict::Weak };
        (verdict, format!("{lost_percent} % of the frames were lost"))
    });
    let by_number = (heard < GOOD_FRAMES_MIN)
        .then(|| (Verdict::Weak, format!("fewer than {GOOD_FRAMES_MIN} frames: press more often")));
    let findings = [by_margin, by_losses, by_number];
    let worst = findings.iter().flatten().map(|(verdict, _)| *verdict).max();
    let reasons = findings.into_iter().flatten().map(|(_, reason)| reason).collect();
    (worst.unwrap_or(Verdict::Good), reasons)
}

/// Of each counter the reception with the largest margin.
fn best_of_each<'f>(frames: &[&'f Frame], otherwise: Option<u8>) -> Vec<&'f Heard> {
    let mut best: BTreeMap<u32, &Heard> = BTreeMap::new();
    let worth = |heard: &Heard| {
        let margin_db = heard.margin(otherwise).map_or(f64::NEG_INFINITY, |margin| margin.db);
        (margin_db, heard.rssi_dbm)
    };
    for frame in frames {
        let known = best.entry(frame.counter).or_insert(&frame.heard);
        if worth(&frame.heard) > worth(known) {
            *known = &frame.heard;
        }
    }
    best.into_values().collect()
}

/// The one that has most frames first; among equals the one with the larger margin.
fn receivers(frames: &[&Frame], otherwise: Option<u8>) -> Vec<Receiver> {
    let mut by_link: BTreeMap<&str, Vec<&Frame>> = BTreeMap::new();
    for &frame in frames {
        by_link.entry(frame.link.as_deref().unwrap_or("removed")).or_default().push(frame);
    }
    let receiver = |(link, frames): (&str, Vec<&Frame>)| {
        let best = best_of_each(&frames, otherwise);
        let signal = Summary::of(&best, otherwise);
        Receiver { link: link.to_owned(), heard: best.len(), signal }
    };
    let mut receivers: Vec<Receiver> = by_link.into_iter().map(receiver).collect();
    let margin_db = |receiver: &Receiver| receiver.signal.margin.map_or(f64::MIN, |m| m.db);
    receivers
        .sort_by(|a, b| b.heard.cmp(&a.heard).then_with(|| margin_db(b).total_cmp(&margin_db(a))));
    receivers
}

impl Summary {
    fn of(heard: &[&Heard], otherwise: Option<u8>) -> Self {
        let rssi = sorted(heard.iter().filter_map(|heard| heard.rssi_dbm.map(f64::from)));
        let snr = sorted(heard.iter().filter_map(|heard| heard.snr_db));
        let at = |factor| median_margin(heard.iter().filter_map(|heard| heard.margin_at(factor)));
        Self {
            rssi_min_dbm: rssi.first().copied(),
            rssi_median_dbm: median(&rssi),
            snr_min_db: snr.first().copied(),
            snr_median_db: median(&snr),
            margin: median_margin(heard.iter().filter_map(|heard| heard.margin(otherwise))),
            margins: SPREADING_FACTORS.map(at).collect(),
            spreading_factors: heard
                .iter()
                .filter_map(|heard| heard.spreading_factor.or(otherwise))
                .collect(),
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The lower one of the two in the middle.
fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

fn median_margin(margins: impl Iterator<Item = Margin>) -> Option<Margin> {
    let mut margins: Vec<Margin> = margins.collect();
    margins.sort_by(|a, b| a.db.total_cmp(&b.db));
    margins.get(margins.len().saturating_sub(1) / 2).copied()
}

/// Frames by pendant and stretch.
type Counted = BTreeMap<(String, usize), usize>;

/// Frames that were sent and not heard.
#[derive(Default)]
struct Losses {
    /// Between two frames that were heard in the same stretch.
    sure: Counted,
    /// Between frames of two stretches: in either, or in one between them.
    perhaps: Counted,
}

impl Losses {
    fn of(stretches: &[Stretch]) -> Self {
        // Counters, and where each was heard first.
        let mut counters: BTreeMap<&str, BTreeMap<u32, usize>> = BTreeMap::new();
        for (visit, stretch) in stretches.iter().enumerate() {
            for frame in &stretch.frames {
                let known = counters.entry(&frame.pendant).or_default();
                known.entry(frame.counter).or_insert(visit);
            }
        }
        let mut losses = Self::default();
        for (pendant, counters) in counters {
            let later = counters.iter().skip(1);
            for ((counter, &visit), (next, &next_visit)) in counters.iter().zip(later) {
                let step = next - counter;
                if step > 1 && step < SKIPPED_MIN {
                    losses.add(pendant, visit.min(next_visit)..=visit.max(next_visit), step - 1);
                }
            }
        }
        losses
    }

    fn add(&mut self, pendant: &str, visits: std::ops::RangeInclusive<usize>, lost: u32) {
        let sure = visits.start() == visits.end();
        let counted = if sure { &mut self.sure } else { &mut self.perhaps };
        for visit in visits {
            *counted.entry((pendant.to_owned(), visit)).or_default() += lost as usize;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::walk::tests::{at_place, head};
    use super::super::walk::{Head, Line};
    use super::*;

    /// At the place that was marked last, in the order of the list: counter, receiver,
    /// RSSI, SNR.
    pub(crate) fn say(walk: &mut Walk, pendant: &str, frames: &[(u32, &str, i16, f64)]) {
        for (counter, link, rssi_dbm, snr_db) in frames {
            let (rssi_dbm, snr_db) = (Some(*rssi_dbm), Some(*snr_db));
            let unix_ms = walk.until_unix_ms + 1_000;
            walk.apply(Line::Frame(Frame {
                number: unix_ms,
                unix_ms,
                pendant: pendant.into(),
                link: Some((*link).into()),
                counter: *counter,
                heard: Heard { rssi_dbm, snr_db, ..Heard::default() },
            }));
        }
    }

    pub(crate) fn mark(walk: &mut Walk, label: Option<&str>) {
        walk.apply(at_place(label, walk.until_unix_ms + 1_000));
    }

    /// Two receivers, three places, one of them visited twice; spreading factor 9.
    pub(crate) fn example() -> Walk {
        let mut walk = Walk::new(head());
        mark(&mut walk, Some("lobby"));
        let near = [(10, "roof", -80, 9.0), (11, "roof", -82, 7.5), (11, "hall", -118, -10.0)];
        say(&mut walk, "00012f", &near);
        mark(&mut walk, None);
        say(&mut walk, "00012f", &[(13, "roof", -90, 5.0)]);
        mark(&mut walk, Some("cellar stairs"));
        let far = [(15, "hall", -117, -5.0), (17, "hall", -118, -6.0), (18, "hall", -118, -4.0)];
        say(&mut walk, "00012f", &far);
        mark(&mut walk, Some("boiler room"));
        mark(&mut walk, Some("lobby"));
        say(&mut walk, "00012f", &[(24, "roof", -81, 8.0)]);
        walk
    }

    #[test]
    fn frames_losses_and_receivers_of_each_place() {
        let places = places(&example());
        let figures = |place: &Place| (place.heard, place.lost, place.perhaps_lost);
        let labels: Vec<&str> = places.iter().map(|place| place.label.as_str()).collect();
        assert_eq!(labels, ["lobby", "cellar stairs", "boiler room"], "each once");
        // 12 on the way from the lobby; 14 on the way to the cellar; 16 there; 19 to 23
        // somewhere between cellar, boiler room and lobby.
        assert_eq!(figures(&places[0]), (3, 0, 1 + 5));
        assert_eq!(figures(&places[1]), (3, 1, 1 + 5));
        assert_eq!(figures(&places[2]), (0, 0, 5));

        let lobby = &places[0];
        assert_eq!(
            (lobby.signal.rssi_min_dbm, lobby.signal.rssi_median_dbm),
            (Some(-82.0), Some(-81.0))
        );
        assert_eq!((lobby.signal.snr_min_db, lobby.signal.snr_median_db), (Some(7.5), Some(8.0)));
        // SNR 8 dB is at its end, and 12.5 dB above the limit of SF9.
        assert_eq!(lobby.signal.margin, Some(Margin { db: 20.5, at_least: true }));
        assert_eq!((lobby.verdict, lobby.reasons.as_slice()), (Verdict::Good, [].as_slice()));
        let heard: Vec<_> = lobby.receivers.iter().map(|r| (r.link.as_str(), r.heard)).collect();
        assert_eq!(heard, [("roof", 3), ("hall", 1)]);

        let cellar = &places[1];
        assert_eq!(cellar.signal.margin.map(|margin| margin.db), Some(7.5));
        let margins: Vec<f64> = cellar.signal.margins.iter().flatten().map(|m| m.db).collect();
        assert_eq!(margins, [2.5, 5.0, 7.5, 10.0, 12.5, 15.0], "SF7 to SF12");
        assert_eq!(cellar.verdict, Verdict::Weak);
        assert_eq!(cellar.reasons, ["the margin is below 10 dB", "25 % of the frames were lost"]);
        assert_eq!(places[2].verdict, Verdict::NotHeard);
    }

    #[test]
    fn the_worst_finding_makes_the_verdict() {
        let at = |heard, lost, db| judge(heard, lost, Some(Margin { db, at_least: false })).0;
        assert_eq!(at(3, 0, 10.0), Verdict::Good);
        assert_eq!(at(9, 1, 10.0), Verdict::Good, "10 % lost");
        assert_eq!(at(3, 0, 9.9), Verdict::Weak);
        assert_eq!(at(8, 1, 30.0), Verdict::Weak, "11 % lost");
        assert_eq!(at(2, 0, 30.0), Verdict::Weak, "two frames say little");
        assert_eq!(at(3, 0, 4.9), Verdict::Poor);
        assert_eq!(at(2, 1, 30.0), Verdict::Poor, "33 % lost");
        assert_eq!(at(2, 0, 4.9), Verdict::Poor, "not raised by what comes later");
        let (verdict, reasons) = judge(5, 0, None);
        assert_eq!(verdict, Verdict::Good);
        assert_eq!(reasons, ["no receiver measures signals: judged by losses alone"]);
    }

    #[test]
    fn a_block_of_counters_that_was_skipped_is_not_lost() {
        let mut walk = Walk::new(head());
        mark(&mut walk, Some("lobby"));
        say(&mut walk, "00012f", &[(10, "roof", -80, 9.0), (74, "roof", -80, 9.0)]);
        say(&mut walk, "00012f", &[(137, "roof", -80, 9.0)]);
        assert_eq!(places(&walk)[0].lost, 62, "only what is nearer than a block");
    }

    #[test]
    fn pendants_are_told_apart_and_repetitions_are_one_frame() {
        let mut walk = Walk::new(Head { spreading_factor: None, ..head() });
        mark(&mut walk, Some("lobby"));
        say(&mut walk, "00012f", &[(1, "roof", -90, 3.0), (1, "roof", -89, 4.0)]);
        say(&mut walk, "000130", &[(7, "roof", -110, -6.0)]);
        let places = places(&walk);
        let rows: Vec<_> = places.iter().map(|p| (p.pendant.as_deref(), p.heard)).collect();
        assert_eq!(rows, [(Some("00012f"), 1), (Some("000130"), 1)]);
        assert_eq!(places[0].signal.snr_median_db, Some(4.0), "the better one");
        assert_eq!(places[1].signal.margin.map(|m| m.db), Some(1.5), "as for SF7");
        assert!(places[1].signal.spreading_factors.is_empty());
    }
}
