//! Which stored event comes next: the gravest lane first, each lane in the
//! order of reception. Positions are remembered by a cursor a lane, so that a
//! million events are passed over once and not at every look.

use crate::engine::event::{Event, Lane};
use crate::engine::journal::{Journal, Lsn};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most events of a lane, and of those before it, that are read ahead.
const READ_AHEAD: usize = 128;

/// The stored events on their way out of the journal.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Events that are read, offered, awaited or released: nobody's next.
    claimed: BTreeSet<Lsn>,
    cursors: [Lsn; 3],
    /// Of all lanes together.
    cursor: Lsn,
    /// The lane that is being read, and from where on; all lanes while little waits.
    reading: Option<(Option<Lane>, Lsn)>,
    /// Of each lane.
    ready: [VecDeque<(Lsn, Event)>; 3],
}

impl Backlog {
    /// The next event, if it has been read.
    pub(super) fn pop(&mut self) -> Option<(Lsn, Event)> {
        self.ready.iter_mut().find_map(VecDeque::pop_front)
    }

    /// Whether an event has been read.
    pub(super) fn has_ready(&self) -> bool {
        self.ready.iter().any(|ready| !ready.is_empty())
    }

    /// Whether a read is under way.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Events read from the journal.
    pub(super) fn take_read(
        &mut self,
        events: Vec<(Lsn, Event)>,
        end: Lsn,
        waits: impl Fn(Lsn) -> bool,
    ) {
        let Some((of, from)) = self.reading.take() else { return };
        self.pass(of, from, end);
        for (lsn, event) in events {
            let lane = event.kind.lane();
            let wanted = of.is_none_or(|of| of == lane);
            if wanted && !self.claimed.contains(&lsn) && !waits(lsn) {
                self.claimed.insert(lsn);
                self.ready[lane as usize].push_back((lsn, event));
            }
        }
    }

    /// The disk does not give this frame now.
    pub(super) fn unreadable(&mut self, lsn: Lsn) {
        let Some((of, from)) = self.reading.take() else { return };
        self.pass(of, from, Lsn(lsn.0 + 1));
    }

    /// Moves a cursor on, unless something before it was given back meanwhile.
    fn pass(&mut self, of: Option<Lane>, from: Lsn, end: Lsn) {
        let cursor = of.map_or(&mut self.cursor, |lane| &mut self.cursors[lane as usize]);
        if *cursor == from {
            *cursor = end;
        }
    }

    /// Has read what comes next, or takes it from memory. If much waits that is the
    /// next stretch of the gravest lane. If little waits all of it is read, in stretches
    /// whose borders do not depend on what waits, so that when something can go does
    /// not tell of the lanes (P5).
    pub(super) fn fetch(&mut self, journal: &mut Journal, waits: impl Fn(Lsn) -> bool) {
        if self.reading.is_some() {
            return;
        }
        if journal.live() <= (self.claimed.len() + READ_AHEAD) as u64 {
            while let Some(lsn) = self.next_of_any(journal, &waits) {
                if self.take_stretch(journal, None, lsn) {
                    return;
                }
            }
            return;
        }
        let mut ahead = 0;
        for lane in Lane::ALL {
            ahead += self.ready[lane as usize].len();
            if ahead >= READ_AHEAD {
                return;
            }
            if let Some(lsn) = self.next_unclaimed(journal, lane, &waits) {
                self.cursors[lane as usize] = lsn;
                self.take_stretch(journal, Some(lane), lsn);
                return;
            }
        }
    }

    /// Has a stretch read, or takes its first event from memory. True if it is read.
    fn take_stretch(&mut self, journal: &mut Journal, of: Option<Lane>, lsn: Lsn) -> bool {
        let durable = journal.durable().covers(lsn);
        if durable {
            self.reading = Some((of, lsn));
            match of {
                Some(_) => journal.read_backlog(lsn),
                None => journal.read_stretch(lsn),
            }
        } else if let Some(event) = journal.open_event(lsn) {
            self.claimed.insert(lsn);
            self.ready[event.kind.lane() as usize].push_back((lsn, event));
        }
        durable
    }

    /// The first event of any lane that is to be offered.
    fn next_of_any(&mut self, journal: &Journal, waits: impl Fn(Lsn) -> bool) -> Option<Lsn> {
        let mut at = self.cursor;
        loop {
            let next = journal.next_live(at);
            self.cursor = next.unwrap_or(at);
            let lsn = next?;
            if !self.claimed.contains(&lsn) && !waits(lsn) {
                return Some(lsn);
            }
            at = Lsn(lsn.0 + 1);
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

    /// One that was offered and not taken is next again, and not read again: what else
    /// would be read with it depends on where it stands, and which one it is on the lanes (P5).
    pub(super) fn put_back(&mut self, lsn: Lsn, event: Event) {
        self.claimed.insert(lsn);
        let ready = &mut self.ready[event.kind.lane() as usize];
        let at = ready.partition_point(|(before, _)| *before < lsn);
        ready.insert(at, (lsn, event));
    }

    /// An event is in the journal no more.
    pub(super) fn forget(&mut self, lsn: Lsn) {
        self.claimed.remove(&lsn);
    }

    /// Something at this position or after it may be offered that could not be.
    pub(super) fn look_again_from(&mut self, lsn: Lsn) {
        for cursor in self.cursors.iter_mut().chain([&mut self.cursor]) {
            *cursor = (*cursor).min(lsn);
        }
    }

    /// Frames have other positions.
    pub(super) fn moved(&mut self, moved: &BTreeMap<Lsn, Lsn>) {
        let to = |lsn: &Lsn| moved.get(lsn).copied().unwrap_or(*lsn);
        self.claimed = self.claimed.iter().map(to).collect();
        for (lsn, _) in self.ready.iter_mut().flatten() {
            *lsn = to(lsn);
        }
        let unclaimed = moved.values().filter(|lsn| !self.claimed.contains(lsn));
        if let Some(first) = unclaimed.min().copied() {
            self.look_again_from(first);
        }
    }
}

#[cfg(test)]
mod tests;
