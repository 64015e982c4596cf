//! Which stored event comes next: the gravest lane first, each lane in the
//! order of reception. Positions are remembered by a cursor a lane, so that a
//! million events are passed over once and not at every look.

use crate::engine::event::{Event, Lane};
use crate::engine::journal::{Journal, Lsn};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most events read ahead.
const READ_AHEAD: usize = 128;

/// The stored events on their way out of the journal.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Events that are read, offered, awaited or released: nobody's next.
    claimed: BTreeSet<Lsn>,
    cursors: [Lsn; 3],
    /// The lane that is being read, and from where on.
    reading: Option<(Lane, Lsn)>,
    ready: VecDeque<(Lsn, Event)>,
}

impl Backlog {
    /// The next event, if it has been read.
    pub(super) fn pop(&mut self) -> Option<(Lsn, Event)> {
        self.ready.pop_front()
    }

    /// Events read from the journal.
    pub(super) fn take_read(
        &mut self,
        events: Vec<(Lsn, Event)>,
        end: Lsn,
        waits: impl Fn(Lsn) -> bool,
    ) {
        let Some((lane, from)) = self.reading.take() else { return };
        // Unless something before it was given back meanwhile.
        let cursor = &mut self.cursors[lane as usize];
        if *cursor == from {
            *cursor = end;
        }
        let later = std::mem::take(&mut self.ready);
        for (lsn, event) in events {
            if event.kind.lane() == lane && !self.claimed.contains(&lsn) && !waits(lsn) {
                self.claimed.insert(lsn);
                self.ready.push_back((lsn, event));
            }
        }
        // `fetch` reads only a lane graver than what is ready already.
        self.ready.extend(later);
    }

    /// The disk does not give this frame now.
    pub(super) fn unreadable(&mut self, lsn: Lsn) {
        let Some((lane, from)) = self.reading.take() else { return };
        let cursor = &mut self.cursors[lane as usize];
        if *cursor == from {
            *cursor = Lsn(lsn.0 + 1);
        }
    }

    /// Has the next stretch of the gravest lane read, or takes it from memory.
    pub(super) fn fetch(&mut self, journal: &mut Journal, waits: impl Fn(Lsn) -> bool) {
        if self.reading.is_some() || self.ready.len() >= READ_AHEAD {
            return;
        }
        for lane in Lane::ALL {
            if self.ready.front().is_some_and(|(_, event)| event.kind.lane() <= lane) {
                return;
            }
            let Some(lsn) = self.next_unclaimed(journal, lane, &waits) else { continue };
            self.cursors[lane as usize] = lsn;
            if journal.durable().covers(lsn) {
                self.reading = Some((lane, lsn));
                journal.read_backlog(lsn);
                return;
            }
            if let Some(event) = journal.open_event(lsn) {
                self.claimed.insert(lsn);
                self.ready.push_front((lsn, event));
                return;
            }
        }
    }

    /// The first event of a lane that is to be offered. What was passed over on
    /// the way is not looked at again: `look_again_from` takes the cursor back.
    fn next_unclaimed(
        &mut self,
        journal: &Journal,
        lane: Lane,
        waits: impl Fn(Lsn) -> bool,
    ) -> Option<Lsn> {
        let mut at = self.cursors[lane as usize];
        loop {
            let next = match lane {
                Lane::Urgent | Lane::Trouble => journal.indexed(lane, at).next(),
                Lane::Routine => journal.next_live(at),
            };
            self.cursors[lane as usize] = next.unwrap_or(at);
            let lsn = next?;
            let other_lane = lane == Lane::Routine && journal.is_indexed(lsn);
            if !other_lane && !self.claimed.contains(&lsn) && !waits(lsn) {
                return Some(lsn);
            }
            at = Lsn(lsn.0 + 1);
        }
    }

    /// An event is on its way, or done.
    pub(super) fn claim(&mut self, lsn: Lsn) {
        self.claimed.insert(lsn);
    }

    /// An event is to be offered again.
    pub(super) fn give_back(&mut self, lsn: Lsn) {
        self.claimed.remove(&lsn);
        self.look_again_from(lsn);
    }

    /// An event is in the journal no more.
    pub(super) fn forget(&mut self, lsn: Lsn) {
        self.claimed.remove(&lsn);
    }

    /// Something at this position or after it may be offered that could not be.
    pub(super) fn look_again_from(&mut self, lsn: Lsn) {
        for cursor in &mut self.cursors {
            *cursor = (*cursor).min(lsn);
        }
    }

    /// Frames have other positions.
    pub(super) fn moved(&mut self, moved: &BTreeMap<Lsn, Lsn>) {
        let to = |lsn: &Lsn| moved.get(lsn).copied().unwrap_or(*lsn);
        self.claimed = self.claimed.iter().map(to).collect();
        for (lsn, _) in &mut self.ready {
            *lsn = to(lsn);
        }
        let unclaimed = moved.values().filter(|lsn| !self.claimed.contains(lsn));
        if let Some(first) = unclaimed.min().copied() {
            self.look_again_from(first);
        }
    }
}
