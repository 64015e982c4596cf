//! Events set apart: a broker refused them, or hung up on them. Each is kept,
//! tried again at that broker after a wait that doubles, tried elsewhere
//! meanwhile, and stands in nobody's way.

use super::line::Brokers;
use crate::engine::journal::Lsn;
use crate::engine::seam::{BROKERS_MAX, BrokerId};
use crate::engine::time::Mono;
use std::collections::{BTreeMap, BTreeSet};

/// First and longest time that a refused event is set apart, ms.
pub(super) const APART_MS: std::ops::RangeInclusive<u64> = 60_000..=3_600_000;
/// Most events set apart; beyond it the oldest is offered again early.
const APART_MAX: usize = 4096;

/// How one broker stands to one event. The wait stays when it is over, so that
/// the next refusal waits longer.
#[derive(Clone, Copy, Debug, Default)]
struct Wait {
    until: Option<Mono>,
    last_ms: u64,
}

/// The events set apart.
#[derive(Debug, Default)]
pub(super) struct Apart {
    events: BTreeMap<Lsn, [Wait; BROKERS_MAX]>,
    due: BTreeSet<(Mono, Lsn, BrokerId)>,
}

impl Apart {
    /// A broker refused an event. Gives an event that must give way for it.
    pub(super) fn set(&mut self, lsn: Lsn, broker: BrokerId, now: Mono) -> Option<Lsn> {
        let last_ms = self.events.get(&lsn).map_or(0, |waits| waits[broker.index()].last_ms);
        let wait_ms = (last_ms * 2).clamp(*APART_MS.start(), *APART_MS.end());
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
        if let Some(earlier) = wait.until.replace(until) {
            self.due.remove(&(earlier, lsn, broker));
        }
        wait.last_ms = wait_ms;
        self.due.insert((until, lsn, broker));
    }

    /// Whether an event is not to go to a broker now.
    pub(super) fn is_apart(&self, lsn: Lsn, broker: BrokerId) -> bool {
        self.events.get(&lsn).is_some_and(|waits| waits[broker.index()].until.is_some())
    }

    /// Whether an event is to go to none of these now.
    pub(super) fn is_apart_from(&self, lsn: Lsn, brokers: Brokers) -> bool {
        let Some(waits) = self.events.get(&lsn) else { return false };
        brokers.iter().all(|broker| waits[broker.index()].until.is_some())
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
            waits[broker.index()].until = None;
        }
        Some(lsn)
    }

    /// An event is delivered, or gone.
    pub(super) fn forget(&mut self, lsn: Lsn) {
        for (broker, wait) in BrokerId::all().zip(self.events.remove(&lsn).into_iter().flatten()) {
            if let Some(until) = wait.until {
                self.due.remove(&(until, lsn, broker));
            }
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
