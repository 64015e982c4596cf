//! What the two ends of a fleet saw, and whether it agrees: what pendants were told is
//! kept, and what the centre has.

use crate::centre::Missing;
use crate::pendant::Seen;
use crate::watch::{Desk, Show, Told, UnixMs};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Pendant and counter of a frame.
type Frame = (u32, u32);

/// What the gateways' side writes down.
#[derive(Debug, Default)]
pub(super) struct Books {
    site: Mutex<Site>,
    /// Gateways connected to the broker.
    up: watch::Sender<usize>,
    /// Gateways at which nothing is on its way any more.
    settled: watch::Sender<usize>,
    offers: AtomicU64,
    /// Events that the centre told for the first time.
    pub(super) told: AtomicU64,
    /// Times at which nothing is disturbed bear odd numbers, each another.
    calm: AtomicU64,
}

#[derive(Debug, Default)]
struct Site {
    acknowledged: BTreeSet<Frame>,
    /// The last trouble of a line to the broker.
    fault: Option<String>,
    given_up: u64,
    transmissions: u64,
    calm: Vec<Duration>,
    disturbed: Vec<Duration>,
}

fn count(counts: &watch::Sender<usize>, one_more: bool) {
    counts.send_modify(|count| if one_more { *count += 1 } else { *count -= 1 });
}

impl Books {
    fn site(&self) -> MutexGuard<'_, Site> {
        // Nothing panics while it holds the lock.
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A gateway is connected, or is no longer.
    pub(super) fn up(&self, is_up: bool) {
        count(&self.up, is_up);
    }

    /// A gateway's line to the broker has this trouble.
    pub(super) fn fault(&self, fault: String) {
        self.site().fault = Some(fault);
    }

    /// How far it is, for who waited too long.
    pub(super) fn standing(&self) -> String {
        let (up, settled) = (*self.up.borrow(), *self.settled.borrow());
        let fault = self.site().fault.clone().unwrap_or_else(|| "none".into());
        format!(
            "{up} gateways are connected, {settled} owe nothing; a line's last trouble: {fault}"
        )
    }

    /// Nothing is on its way at a gateway any more, or is again.
    pub(super) fn settled(&self, is_settled: bool) {
        count(&self.settled, is_settled);
    }

    /// Gateways that are connected.
    pub(super) fn ups(&self) -> watch::Receiver<usize> {
        self.up.subscribe()
    }

    /// Gateways at which nothing is on its way.
    pub(super) fn all_settled(&self) -> watch::Receiver<usize> {
        self.settled.subscribe()
    }

    /// An event was offered to the broker, for the first time or again.
    pub(super) fn offered(&self) {
        self.offers.fetch_add(1, Ordering::Relaxed);
    }

    /// So many offers were made.
    pub(super) fn offers(&self) -> u64 {
        self.offers.load(Ordering::Relaxed)
    }

    /// From now on something is disturbed, or nothing is.
    pub(super) fn set_calm(&self, is_calm: bool) {
        if is_calm != self.calm().is_some() {
            self.calm.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of this calm time, if it is one.
    pub(super) fn calm(&self) -> Option<u64> {
        Some(self.calm.load(Ordering::Relaxed)).filter(|number| number % 2 == 1)
    }

    /// What a pendant said has ended.
    pub(super) fn seen(&self, pendant: u32, seen: &Seen) {
        let mut site = self.site();
        site.transmissions += u64::from(seen.attempts);
        if seen.answer.is_some() {
            site.acknowledged.insert((pendant, seen.counter));
        } else {
            site.given_up += 1;
        }
    }

    /// A gateway has the receipt of what it heard so long ago, in this calm time.
    pub(super) fn receipted(&self, after: Duration, calm: Option<u64>) {
        let is_calm = calm.is_some() && calm == self.calm();
        let mut site = self.site();
        let delays = if is_calm { &mut site.calm } else { &mut site.disturbed };
        delays.push(after);
    }

    /// Frames that pendants may forget.
    pub(super) fn acknowledged(&self) -> u64 {
        self.site().acknowledged.len() as u64
    }

    /// Given up by pendants, and all transmissions.
    pub(super) fn said(&self) -> (u64, u64) {
        let site = self.site();
        (site.given_up, site.transmissions)
    }

    /// From a frame to its event's receipt: in calm times, and all.
    pub(super) fn delays(&self) -> (Delays, Delays) {
        let site = self.site();
        let all = site.calm.iter().chain(&site.disturbed).copied().collect();
        (Delays::of(site.calm.clone()), Delays::of(all))
    }
}

/// How long something took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Delays {
    /// How many there are.
    pub count: u64,
    /// Half took less.
    pub p50: Duration,
    /// One in a hundred took longer.
    pub p99: Duration,
    /// The longest.
    pub worst: Duration,
}

impl Delays {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |share: usize| all.get((all.len() * share / 100).min(all.len().wrapping_sub(1)));
        Self {
            count: all.len() as u64,
            p50: at(50).copied().unwrap_or_default(),
            p99: at(99).copied().unwrap_or_default(),
            worst: all.last().copied().unwrap_or_default(),
        }
    }
}

/// What the centre's desk was told. It shows nothing.
#[derive(Debug)]
pub(super) struct Listening {
    books: Arc<Books>,
    heard: Heard,
}

/// What the centre has.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// What was told of a frame: kinds, each with its ids.
    frames: BTreeMap<Frame, BTreeMap<String, BTreeSet<String>>>,
    /// Ids told, and how often as new.
    ids: BTreeMap<String, u32>,
    events: u64,
    again: u64,
    wrong: Vec<String>,
}

impl Listening {
    pub(super) fn new(books: Arc<Books>) -> Self {
        Self { books, heard: Heard::default() }
    }

    pub(super) fn end(self) -> Heard {
        self.heard
    }
}

impl Show for Listening {
    fn tell(&mut self, told: &Told, _: &Desk, _: UnixMs) {
        let heard = &mut self.heard;
        match told {
            Told::Event { event, again, flaws, .. } => {
                if !flaws.is_empty() {
                    heard.wrong.push(format!("{} of {}: {flaws:?}", event.id, event.gateway));
                }
                if *again {
                    heard.again += 1;
                    return;
                }
                heard.events += 1;
                self.books.told.fetch_add(1, Ordering::Relaxed);
                *heard.ids.entry(event.id.clone()).or_default() += 1;
                let pendant = event.data.pendant.as_deref();
                let pendant = pendant.and_then(|it| u32::from_str_radix(it, 16).ok());
                if let Some(frame) = pendant.zip(event.data.counter) {
                    let kinds = heard.frames.entry(frame).or_default();
                    let ids = kinds.entry(event.data.kind.clone()).or_default();
                    ids.insert(event.id.clone());
                }
            }
            Told::Malformed { topic, why, .. } => {
                heard.wrong.push(format!("on {topic}: {why:?}"));
            }
            _ => {}
        }
    }

    fn flush(&mut self, _: &Desk, _: UnixMs) -> io::Result<Vec<u64>> {
        Ok(Vec::new())
    }

    fn tick(&mut self, _: &Desk, _: UnixMs) {}
}

/// Most faults of a kind that are spelt out.
const SPELT_MAX: usize = 5;

/// What the centre has, beside what pendants were told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Different events at the centre.
    pub events: u64,
    /// Events that came again, and were known again.
    pub again: u64,
    /// What is wrong. Empty: nothing was lost, nothing came twice.
    pub faults: Vec<String>,
}

/// Compares both ends. `missing` are the numbers that the centre's ledger lacks, `owed`
/// the events that gateways still keep.
pub(super) fn judge(books: &Books, heard: &Heard, missing: &[Missing], owed: u64) -> Verdict {
    let mut faults = Vec::new();
    let mut fault = |what: &str, all: Vec<String>| {
        if !all.is_empty() {
            let some: Vec<_> = all.iter().take(SPELT_MAX).cloned().collect();
            faults.push(format!("{} {what}: {}", all.len(), some.join("; ")));
        }
    };
    let frame = |(pendant, counter): &Frame| format!("{pendant:06x}/{counter}");
    let site = books.site();
    let lost = site.acknowledged.iter().filter(|it| !heard.frames.contains_key(it));
    fault("frames were acknowledged, and the centre has no event of them", {
        lost.map(frame).collect()
    });
    let several = heard.frames.iter().flat_map(|(of, kinds)| {
        let several = kinds.iter().filter(|(_, ids)| ids.len() > 1);
        several.map(move |(kind, ids)| format!("{} {kind} {ids:?}", frame(of)))
    });
    fault("presses have several ids", several.collect());
    let twice = heard.ids.iter().filter(|(_, count)| **count > 1);
    fault("ids were told twice as new", twice.map(|(id, _)| id.clone()).collect());
    let gaps = missing.iter().map(|it| format!("{it:?}"));
    fault("ranges of numbers are missing", gaps.collect());
    fault("messages are not as the contract has them", heard.wrong.clone());
    if owed > 0 {
        fault("gateways' journals are not empty", vec![format!("{owed} events are left")]);
    }
    Verdict { events: heard.events, again: heard.again, faults }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(acknowledged: &[Frame]) -> Books {
        let books = Books::default();
        books.site().acknowledged.extend(acknowledged);
        books
    }

    fn heard(told: &[(Frame, &str, &str)]) -> Heard {
        let mut heard = Heard::default();
        for (frame, kind, id) in told {
            let kinds = heard.frames.entry(*frame).or_default();
            kinds.entry((*kind).to_owned()).or_default().insert((*id).to_owned());
            *heard.ids.entry((*id).to_owned()).or_default() += 1;
        }
        heard
    }

    #[test]
    fn a_lost_press_a_second_id_a_second_telling_and_a_debt_are_each_found() {
        let whole = [((1, 7), "panic", "a"), ((1, 8), "heartbeat", "b")];
        let acknowledged = [(1, 7), (1, 8)];
        let faults =
            |told: &[_], owed| judge(&books(&acknowledged), &heard(told), &[], owed).faults;
        assert_eq!(faults(&whole, 0), Vec::<String>::new());
        assert!(faults(&whole[..1], 0)[0].contains("000001/8"));
        assert!(faults(&[whole[0], whole[1], ((1, 7), "panic", "c")], 0)[0].contains("several"));
        assert!(faults(&[whole[0], whole[1], whole[1]], 0)[0].contains("told twice"));
        assert!(faults(&whole, 1)[0].contains("1 events are left"));
    }

    #[test]
    fn only_what_began_and_ended_in_the_same_calm_counts_as_calm() {
        let books = Books::default();
        assert_eq!(books.calm(), None);
        books.set_calm(true);
        let first = books.calm();
        books.receipted(Duration::from_millis(1), first);
        books.set_calm(false);
        books.receipted(Duration::from_millis(2), first);
        books.set_calm(true);
        books.receipted(Duration::from_millis(3), first);
        let (calm, all) = books.delays();
        assert_eq!((calm.count, calm.worst), (1, Duration::from_millis(1)));
        assert_eq!((all.count, all.worst), (3, Duration::from_millis(3)));
    }
}
