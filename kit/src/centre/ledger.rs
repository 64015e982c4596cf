//! Proof that nothing is missing.
//!
//! A gateway numbers its events from 1 within each (boot, lane). So a number
//! below the highest one heard, that has not been heard, is missing: still on
//! its way, or lost. What the gateway itself declared as never to come (shed,
//! or void after a restart) is not missing.
//!
//! Who comes late cannot know what was before: then a series begins with its
//! lowest number heard, unless the boot began before our eyes.
//!
//! What a rogue gateway makes up is bounded, each gateway by itself: see the constants.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// Series of one gateway that are kept: 32 boots of three lanes. The one not heard of
/// for longest makes room.
const SERIES_MAX: usize = 96;
/// Ranges of one series. With more, its lowest hole is given up, and counted.
const RANGES_MAX: usize = 1024;
/// Gateways whose numbers are kept.
const GATEWAYS_MAX: usize = super::command::GATEWAYS_MAX;

/// One series of numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// Site and gateway, as in the topic.
    pub gateway: String,
    /// The gateway's boot, as in the payload.
    pub boot: String,
    /// The lane, as in the topic.
    pub lane: String,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} boot {} {}", self.gateway, self.boot, self.lane)
    }
}

/// Numbers of one series that are missing, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Of which series.
    pub series: Series,
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}: number {}", self.series, self.first)
        } else {
            write!(f, "{}: numbers {} to {}", self.series, self.first, self.last)
        }
    }
}

/// From where on all numbers of a series are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Since {
    /// From number 1.
    Start,
    /// From the lowest number heard.
    FirstHeard,
}

/// Which numbers of which series are accounted for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Ledger {
    since: Since,
    /// By gateway, boot and lane.
    #[serde(serialize_with = "as_pairs", deserialize_with = "of_pairs")]
    gateways: Gateways,
    /// Counts what was heard, to know which series was not heard of for longest.
    heard: u64,
}

impl Ledger {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(since: Since) -> Self {
        Self { since, gateways: BTreeMap::new(), heard: 0 }
    }

    /// This series began before our eyes.
    pub fn begin(&mut self, series: &Series) {
        if let Some(ranges) = self.ranges(series) {
            ranges.since = Since::Start;
        }
    }

    /// A number was heard, or a range of them was declared as never to come.
    /// Says whether any of it is new. 0 and backward ranges count for nothing.
    pub fn account(&mut self, series: &Series, first: u64, last: u64) -> bool {
        if first == 0 || last < first {
            return false;
        }
        // What there is no room to account for may be new.
        self.ranges(series).is_none_or(|ranges| ranges.add(first, last))
    }

    /// The gateway declared that `last` was the series' last number: up to
    /// there all must come.
    pub fn close(&mut self, series: &Series, last: u64) {
        if let Some(ranges) = self.ranges(series) {
            ranges.expected = ranges.expected.max(last);
        }
    }

    /// How many numbers of a gateway were given up, because it left too many holes.
    #[must_use]
    pub fn given_up(&self, gateway: &str) -> u64 {
        let series = self.gateways.get(gateway).into_iter().flat_map(BTreeMap::values);
        series.fold(0, |sum, ranges| sum.saturating_add(ranges.given_up))
    }

    fn ranges(&mut self, series: &Series) -> Option<&mut Ranges> {
        self.heard += 1;
        let (since, heard) = (self.since, self.heard);
        if !self.gateways.contains_key(&series.gateway) && self.gateways.len() >= GATEWAYS_MAX {
            return None;
        }
        let of_gateway = self.gateways.entry(series.gateway.clone()).or_default();
        let key = (series.boot.clone(), series.lane.clone());
        if of_gateway.len() >= SERIES_MAX && !of_gateway.contains_key(&key) {
            let idle = of_gateway.iter().min_by_key(|(_, ranges)| ranges.heard);
            let idle = idle.map(|(key, _)| key.clone());
            idle.and_then(|key| of_gateway.remove(&key));
        }
        let ranges = of_gateway.entry(key).or_insert_with(|| Ranges {
            since,
            by_first: BTreeMap::new(),
            expected: 0,
            given_up: 0,
            heard,
        });
        ranges.heard = heard;
        Some(ranges)
    }

    /// What is missing now, in order.
    pub fn missing(&self) -> impl Iterator<Item = Missing> {
        self.gateways.iter().flat_map(|(gateway, of_gateway)| {
            of_gateway.iter().flat_map(move |((boot, lane), ranges)| {
                let (gateway, boot, lane) = (gateway.clone(), boot.clone(), lane.clone());
                let series = Series { gateway, boot, lane };
                ranges.holes().map(move |(first, last)| Missing {
                    series: series.clone(),
                    first,
                    last,
                })
            })
        })
    }
}

type Gateways = BTreeMap<String, BTreeMap<(String, String), Ranges>>;

/// A map whose keys are no texts, for formats that have no other keys.
fn as_pairs<S: Serializer>(gateways: &Gateways, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(gateways.iter().flat_map(|(gateway, of_gateway)| {
        of_gateway.iter().map(move |((boot, lane), ranges)| (gateway, boot, lane, ranges))
    }))
}

fn of_pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Gateways, D::Error> {
    let mut gateways = Gateways::new();
    for (gateway, boot, lane, ranges) in Vec::<(String, _, _, _)>::deserialize(deserializer)? {
        gateways.entry(gateway).or_default().insert((boot, lane), ranges);
    }
    Ok(gateways)
}

/// Disjoint ranges that do not touch, from first to last number.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Ranges {
    since: Since,
    by_first: BTreeMap<u64, u64>,
    /// Up to here all is expected, also if nothing higher was heard.
    expected: u64,
    /// Numbers that are not waited for any more.
    given_up: u64,
    /// When it was heard of last, by the ledger's count.
    heard: u64,
}

impl Ranges {
    fn add(&mut self, first: u64, last: u64) -> bool {
        let before = self.by_first.range(..=first).next_back();
        if before.is_some_and(|(_, end)| *end >= last) {
            return false;
        }
        let (mut first, mut last) = (first, last);
        // All that overlap or touch become one.
        while let Some((&begin, &end)) = self.by_first.range(..=last.saturating_add(1)).next_back()
        {
            if end.saturating_add(1) < first {
                break;
            }
            self.by_first.remove(&begin);
            first = first.min(begin);
            last = last.max(end);
        }
        self.by_first.insert(first, last);
        if self.by_first.len() > RANGES_MAX {
            self.give_up_lowest_hole();
        }
        true
    }

    fn give_up_lowest_hole(&mut self) {
        let Some((first, last)) = self.by_first.pop_first() else { return };
        if let Some(next) = self.by_first.first_entry() {
            let (begin, end) = (*next.key(), *next.get());
            self.given_up = self.given_up.saturating_add(begin - last - 1);
            next.remove();
            self.by_first.insert(first, end);
        }
    }

    fn holes(&self) -> impl Iterator<Item = (u64, u64)> {
        let beyond = self.expected.checked_add(1).map(|end| (end, end));
        let mut next = match self.since {
            Since::Start => 1,
            Since::FirstHeard => self.by_first.keys().next().copied().unwrap_or(u64::MAX),
        };
        let ends = self.by_first.iter().map(|(first, last)| (*first, *last));
        ends.chain(beyond).filter_map(move |(first, last)| {
            let hole = (next < first).then(|| (next, first - 1));
            next = next.max(last.saturating_add(1));
            hole
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn series(lane: &str) -> Series {
        Series { gateway: "s/g".into(), boot: "01".into(), lane: lane.into() }
    }

    fn holes(ledger: &Ledger) -> Vec<(u64, u64)> {
        ledger.missing().map(|missing| (missing.first, missing.last)).collect()
    }

    #[test]
    fn a_planted_gap_is_found_and_its_filling_too() {
        let mut ledger = Ledger::new(Since::Start);
        let urgent = series("urgent");
        for number in [1, 2, 5, 4, 9] {
            assert!(ledger.account(&urgent, number, number));
        }
        assert!(!ledger.account(&urgent, 4, 4));
        assert!(ledger.account(&series("routine"), 1, 1));
        assert_eq!(holes(&ledger), [(3, 3), (6, 8)]);
        ledger.account(&urgent, 6, 8);
        let text: Vec<String> = ledger.missing().map(|missing| missing.to_string()).collect();
        assert_eq!(text, ["s/g boot 01 urgent: number 3"]);
        ledger.account(&urgent, 3, 3);
        assert_eq!(holes(&ledger), []);
    }

    #[test]
    fn what_was_declared_and_never_came_is_missing() {
        let mut ledger = Ledger::new(Since::Start);
        ledger.account(&series("urgent"), 1, 2);
        ledger.close(&series("urgent"), 4);
        ledger.close(&series("trouble"), 1);
        assert_eq!(holes(&ledger), [(1, 1), (3, 4)]);
        ledger.close(&series("trouble"), 0);
        ledger.account(&series("trouble"), 1, 1);
        ledger.account(&series("urgent"), 3, 4);
        assert_eq!(holes(&ledger), []);
    }

    #[test]
    fn absurd_numbers_do_no_harm() {
        let mut ledger = Ledger::new(Since::Start);
        let urgent = series("urgent");
        assert!(!ledger.account(&urgent, 0, 0));
        assert!(!ledger.account(&urgent, 5, 4));
        assert!(ledger.account(&urgent, u64::MAX, u64::MAX));
        ledger.close(&urgent, u64::MAX);
        assert_eq!(holes(&ledger), [(1, u64::MAX - 1)]);
        assert!(ledger.account(&urgent, 1, u64::MAX));
        assert_eq!(holes(&ledger), []);
    }

    #[test]
    fn who_comes_late_misses_only_what_came_since() {
        let mut ledger = Ledger::new(Since::FirstHeard);
        let urgent = series("urgent");
        ledger.close(&urgent, 3);
        ledger.account(&urgent, 12, 12);
        ledger.account(&urgent, 14, 14);
        assert_eq!(holes(&ledger), [(13, 13)]);
        ledger.account(&urgent, 9, 9);
        assert_eq!(holes(&ledger), [(10, 11), (13, 13)]);
        ledger.begin(&urgent);
        assert_eq!(holes(&ledger), [(1, 8), (10, 11), (13, 13)]);
    }

    #[test]
    fn what_a_rogue_makes_up_is_bounded_and_its_own_loss() {
        let mut ledger = Ledger::new(Since::Start);
        ledger.account(&series("urgent"), 2, 2);
        let rogue = |boot: u64| Series {
            gateway: "s/rogue".into(),
            boot: boot.to_string(),
            lane: "urgent".into(),
        };
        for boot in 0..500 {
            ledger.account(&rogue(boot), 1, 1);
        }
        assert_eq!(ledger.gateways["s/rogue"].len(), SERIES_MAX);
        for number in 1..5000 {
            ledger.account(&rogue(499), 2 * number, 2 * number);
        }
        let rogues = ledger.missing().filter(|it| it.series == rogue(499)).count();
        assert!(rogues <= RANGES_MAX, "{rogues}");
        assert_eq!(ledger.given_up("s/rogue"), 5000 - 1 - RANGES_MAX as u64);
        for number in 0..2 * GATEWAYS_MAX {
            let gateway = format!("s/{number}");
            ledger.account(&Series { gateway, ..rogue(0) }, 1, 1);
        }
        assert_eq!(ledger.gateways.len(), GATEWAYS_MAX);
        let mine: Vec<_> = ledger.missing().filter(|it| it.series == series("urgent")).collect();
        assert_eq!((mine.len(), mine[0].first, mine[0].last), (1, 1, 1));
        let text = serde_json::to_string(&ledger).expect("JSON");
        let again: Ledger = serde_json::from_str(&text).expect("a ledger");
        assert!(ledger.missing().eq(again.missing()));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_set(
            ranges in proptest::collection::vec((1u64..40, 0u64..6), 0..30),
            last in 0u64..50,
        ) {
            let mut ledger = Ledger::new(Since::Start);
            let mut set = BTreeSet::new();
            for (first, length) in ranges {
                let numbers = first..=first + length;
                let new = numbers.clone().any(|number| !set.contains(&number));
                set.extend(numbers);
                prop_assert_eq!(ledger.account(&series("x"), first, first + length), new);
            }
            ledger.close(&series("x"), last);
            let highest = set.last().copied().unwrap_or(0).max(last);
            let expected: Vec<u64> = (1..=highest).filter(|n| !set.contains(n)).collect();
            let found: Vec<u64> = holes(&ledger).into_iter().flat_map(|(a, b)| a..=b).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
