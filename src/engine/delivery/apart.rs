//! Events set apart: a broker refused them, or hung up on them. Each is kept,
//! tried again at that broker after a wait that doubles, tried elsewhere
//! meanwhile, and stands in nobody's way.
//!
//! The wait is the broker's, not the event's. Which event is at its turn when the
//! broker begins to refuse, or ends, is a matter of lanes; if each event brought its
//! own wait along, the times of the next tries would tell of the lanes (P5).

use super::line::Brokers;
use crate::engine::journal::Lsn;
use crate::engine::seam::{BROKERS_MAX, BrokerId};
use crate::engine::time::Mono;
use std::collections::{BTreeMap, BTreeSet};

/// First and longest time that a refused event is set apart, ms.
pub(super) const APART_MS: std::ops::RangeInclusive<u64> = 60_000..=3_600_000;
/// Most events set apart; beyond it the oldest is offered again early.
const APART_MAX: usize = 4096;

/// How long a broker is left alone with what it refused.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    wait_ms: u64,
    /// What is refused again after this waits longer.
    ends: Option<Mono>,
}

impl Round {
    fn begin(&mut self, wait_ms: u64, now: Mono) {
        *self = Self { wait_ms, ends: Some(now.plus_ms(wait_ms)) };
    }

    /// The wait of an event that was refused for the first time, as it came.
    fn first(&mut self, now: Mono) -> u64 {
        if self.ends.is_none() {
            self.begin(*APART_MS.start(), now);
        }
        *APART_MS.start()
    }

    /// The wait of an event that was refused out of the backlog.
    fn next(&mut self, now: Mono) -> u64 {
        if self.ends.is_none_or(|ends| ends <= now) {
            self.begin((self.wait_ms * 2).clamp(*APART_MS.start(), *APART_MS.end()), now);
        }
        self.wait_ms
    }
}

/// The events set apart.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// Until when, at each broker. They stay when the wait is over, until they are taken.
    events: BTreeMap<Lsn, [Option<Mono>; BROKERS_MAX]>,
    due: BTreeSet<(Mono, Lsn, BrokerId)>,
    rounds: [Round; BROKERS_MAX],
}

impl Apart {
    /// A broker refused an event, as it came or out of the backlog. Gives an event that
    /// must give way for it.
    pub(super) fn set(
        &mut self,
        lsn: Lsn,
        broker: BrokerId,
        replayed: bool,
        now: Mono,
    ) -> Option<Lsn> {
        let round = &mut self.rounds[broker.index()];
        let wait_ms = if replayed { round.next(now) } else { round.first(now) };
        self.wait(lsn, broker, now, wait_ms);
        if self.events.len() <= APART_MAX {
            return None;
        }
        let oldest = *self.events.keys().next()?;
        self.forget(oldest);
        Some(oldest)
    }

    /// Not at this broker before so many milliseconds are over.
    pub(super) fn wait(&mut self, lsn: Lsn, broker: BrokerId, now: Mono, wait_ms: u64) {
        let wait = &mut self.events.entry(lsn).or_default()[broker.index()];
        let until = now.plus_ms(wait_ms);
        if let Some(earlier) = wait.replace(until) {
            self.due.remove(&(earlier, lsn, broker));
        }
        self.due.insert((until, lsn, broker));
    }

    /// Whether an event is not to go to a broker now.
    pub(super) fn is_apart(&self, lsn: Lsn, broker: BrokerId) -> bool {
        self.events.get(&lsn).is_some_and(|waits| waits[broker.index()].is_some())
    }

    /// Whether an event is to go to none of these now.
    pub(super) fn is_apart_from(&self, lsn: Lsn, brokers: Brokers) -> bool {
        let Some(waits) = self.events.get(&lsn) else { return false };
        brokers.iter().all(|broker| waits[broker.index()].is_some())
    }

    /// The first event that is set apart.
    pub(super) fn first(&self) -> Option<Lsn> {
        self.events.keys().next().copied()
    }

    /// When the next wait is over.
    pub(super) fn next_due(&self) -> Option<Mono> {
        self.due.first().map(|(until, ..)| *until)
    }

    /// An event whose wait at some broker is over.
    pub(super) fn take_due(&mut self, now: Mono) -> Option<Lsn> {
        let (until, lsn, broker) = *self.due.first().filter(|(until, ..)| *until <= now)?;
        self.due.remove(&(until, lsn, broker));
        if let Some(waits) = self.events.get_mut(&lsn) {
            waits[broker.index()] = None;
        }
        Some(lsn)
    }

    /// A broker took something out of the backlog: what it refuses next waits as at first.
    pub(super) fn taken_again(&mut self, broker: BrokerId) {
        self.rounds[broker.index()] = Round::default();
    }

    /// An event is delivered, or gone.
    pub(super) fn forget(&mut self, lsn: Lsn) {
        let Some(waits) = self.events.remove(&lsn) else { return };
        for (broker, until) in BrokerId::all().zip(waits) {
            if let Some(until) = until {
                self.due.remove(&(until, lsn, broker));
            }
        }
        if self.events.is_empty() {
            self.rounds = Default::default();
        }
    }

    /// Frames have other positions.
    pub(super) fn moved(&mut self, to: impl Fn(Lsn) -> Lsn) {
        self.events = std::mem::take(&mut self.events)
            .into_iter()
            .map(|(lsn, waits)| (to(lsn), waits))
            .collect();
        self.due = std::mem::take(&mut self.due)
            .into_iter()
            .map(|(until, lsn, broker)| (until, to(lsn), broker))
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER: BrokerId = BrokerId(0);

    /// When an event that stands apart may be tried again, s.
    fn due_s(apart: &Apart, lsn: u64) -> Option<u64> {
        let found = apart.due.iter().find(|(_, of, _)| *of == Lsn(lsn));
        found.map(|(until, ..)| until.us() / 1_000_000)
    }

    fn at_s(s: u64) -> Mono {
        Mono::ZERO.plus_ms(s * 1_000)
    }

    #[test]
    fn the_wait_doubles_up_to_an_hour() {
        let mut apart = Apart::default();
        let (mut now_s, mut waits) = (0, Vec::new());
        for turn in 0..9 {
            apart.set(Lsn(1), BROKER, turn > 0, at_s(now_s));
            let due = due_s(&apart, 1).expect("it stands apart");
            waits.push(due - now_s);
            assert_eq!(apart.take_due(at_s(due)), Some(Lsn(1)));
            now_s = due;
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
    }

    /// P5: two events wait, one of them since long. Which of them is tried when the broker
    /// refuses for the last time is a matter of lanes.
    #[test]
    fn the_next_try_does_not_tell_which_event_was_refused() {
        let due = [1, 2].map(|last| {
            let mut apart = Apart::default();
            apart.set(Lsn(1), BROKER, true, at_s(0));
            apart.set(Lsn(2), BROKER, true, at_s(0));
            apart.set(Lsn(1), BROKER, true, at_s(60));
            apart.set(Lsn(3), BROKER, false, at_s(100));
            apart.set(Lsn(last), BROKER, true, at_s(190));
            due_s(&apart, last)
        });
        assert_eq!(due[0], due[1]);
    }

    #[test]
    fn what_comes_new_is_tried_again_soon_whatever_was_refused_for_long() {
        let mut apart = Apart::default();
        for s in [0, 60, 180, 420, 900] {
            apart.set(Lsn(1), BROKER, true, at_s(s));
        }
        apart.set(Lsn(2), BROKER, false, at_s(1_000));
        assert_eq!(due_s(&apart, 2), Some(1_060));
        apart.taken_again(BROKER);
        apart.set(Lsn(3), BROKER, true, at_s(1_100));
        assert_eq!(due_s(&apart, 3), Some(1_160));
    }

    #[test]
    fn the_next_wait_that_ends_and_the_first_event_are_known() {
        let mut apart = Apart::default();
        assert_eq!((apart.first(), apart.next_due()), (None, None));
        apart.wait(Lsn(9), BROKER, at_s(0), 5_000);
        apart.wait(Lsn(4), BROKER, at_s(0), 7_000);
        assert_eq!((apart.first(), apart.next_due()), (Some(Lsn(4)), Some(at_s(5))));
        assert_eq!(apart.take_due(at_s(4)), None);
        assert_eq!(apart.take_due(at_s(5)), Some(Lsn(9)));
        assert_eq!((apart.first(), apart.next_due()), (Some(Lsn(4)), Some(at_s(7))));
    }

    #[test]
    fn what_is_gone_stands_apart_no_more_and_with_the_last_its_broker_is_trusted_anew() {
        let mut apart = Apart::default();
        for s in [0, 60] {
            apart.set(Lsn(1), BROKER, true, at_s(s));
        }
        apart.set(Lsn(2), BROKER, true, at_s(60));
        apart.forget(Lsn(1));
        assert_eq!([1, 2].map(|lsn| apart.is_apart(Lsn(lsn), BROKER)), [false, true]);
        assert_eq!([1, 2].map(|lsn| due_s(&apart, lsn)), [None, Some(180)]);
        apart.forget(Lsn(2));
        apart.set(Lsn(3), BROKER, true, at_s(61));
        assert_eq!(due_s(&apart, 3), Some(121));
    }

    #[test]
    fn what_moved_stands_apart_at_its_new_place() {
        let mut apart = Apart::default();
        for lsn in [1, 2] {
            apart.set(Lsn(lsn), BROKER, true, at_s(0));
        }
        apart.moved(|lsn| if lsn == Lsn(1) { Lsn(9) } else { lsn });
        assert_eq!([1, 2, 9].map(|lsn| apart.is_apart(Lsn(lsn), BROKER)), [false, true, true]);
        assert_eq!([1, 2, 9].map(|lsn| due_s(&apart, lsn)), [None, Some(60), Some(60)]);
    }
}
