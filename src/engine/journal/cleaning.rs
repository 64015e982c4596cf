//! Cleaning: the oldest segment is made free. What must stay (urgent events, the
//! state of pendants) is carried forward; routine is given up, oldest first, when
//! too much waits.
//!
//! Giving up costs the same reads and writes whatever was given up (P5): of every
//! segment a fixed number of frames is carried, urgent ones first and then the
//! newest routine ones, and they are written when all is read.

use super::slot::{SLOTS_PER_SEGMENT, Written};
use super::space::{CHEAP_SLOTS, Room, SEGMENT_SLOTS};
use super::{Journal, Lsn, News, NoRoom, OPEN_MAX, READ_SLOTS_MAX, ReadFor, Shed};
use crate::engine::event::{Detail, Event, Lane};
use crate::engine::mutant::{Mutant, planted};
use crate::engine::pendant::PendantState;
use crate::engine::time::Mono;
use pendant_protocol::PendantId;
use std::collections::{BTreeMap, BTreeSet};

/// Most events of the trouble lane. They tell what was shed, so they are carried
/// like urgent ones until there are absurdly many.
const TROUBLE_MAX: u64 = 1024;
/// Events that a segment's cleaning carries at least when it gives up others. More
/// than this many that must stay in one segment show in what is written.
const CARRIED_MIN: u64 = 16;

/// What is given up, while giving up.
struct GivingUp {
    /// This lane and those below it.
    least: Lane,
    /// From here on nothing is given up.
    until: Lsn,
    /// How many of each pendant; those that lose nothing stand there with 0.
    by_pendant: BTreeMap<u32, u32>,
}

/// The oldest segment on its way to being free.
pub(super) struct Cleaning {
    segment: u64,
    giving_up: Option<GivingUp>,
    /// To be carried when the whole segment is read.
    held: Option<Vec<(Lsn, Event)>>,
    shed: BTreeMap<(u64, Lane), Shed>,
    step: Step,
}

enum Step {
    /// A read is under way.
    Reading,
    /// All live events are carried; the states come next.
    States,
    /// Everything carried is below this; once that is durable the tail moves.
    Settling(Lsn),
    /// The new tail is told below this; once that is durable the file is free.
    Freeing(Lsn, u32),
}

/// How long to wait before cleaning is tried again where the disk gave no
/// answer, ms, and after how many times that counts as damage: five minutes, so
/// that a device that hangs and comes back loses nothing.
const CLEAN_AGAIN_MS: u64 = 10_000;
const UNREADABLE_TIMES_MAX: u32 = 30;

/// A frame in the way of cleaning that the disk does not give.
pub(super) struct Unreadable {
    lsn: Lsn,
    times: u32,
    /// `None`: the wait is over.
    pub(super) again_at: Option<Mono>,
}

impl Cleaning {
    fn of(segment: u64) -> Self {
        Self { segment, giving_up: None, held: None, shed: BTreeMap::new(), step: Step::Reading }
    }

    /// Frames that were not durable stand elsewhere now, all below `end`.
    pub(super) fn settle_below(&mut self, end: Lsn) {
        if let Step::Settling(old) | Step::Freeing(old, _) = &mut self.step {
            *old = end;
        }
    }

    fn gives_up(&self, lsn: Lsn, lane: Lane) -> bool {
        self.giving_up.as_ref().is_some_and(|what| lane >= what.least && lsn < what.until)
    }

    fn count(&mut self, event: &Event, lane: Lane, given_up: bool) {
        let Some(what) = &mut self.giving_up else { return };
        if let Some(from) = &event.from {
            *what.by_pendant.entry(from.pendant).or_default() += u32::from(given_up);
        }
        if !given_up {
            return;
        }
        let Event { boot, number, .. } = *event;
        self.give_up(Shed { boot, lane, first: number, last: number, count: 1 });
        // What it told is told again: else numbers would be missing without a word.
        match &event.detail {
            Detail::Void { boot, lane, first, last, count } => {
                self.give_up(Shed {
                    boot: *boot,
                    lane: *lane,
                    first: *first,
                    last: *last,
                    count: *count,
                });
            }
            Detail::GivenUp { pendants } => {
                let Some(what) = &mut self.giving_up else { return };
                for (pendant, count) in pendants {
                    let sum = what.by_pendant.entry(*pendant).or_default();
                    *sum = sum.saturating_add(*count);
                }
            }
            _ => {}
        }
    }

    fn give_up(&mut self, new: Shed) {
        let shed = self.shed.entry((new.boot, new.lane)).or_insert(Shed { count: 0, ..new });
        shed.first = shed.first.min(new.first);
        shed.last = shed.last.max(new.last);
        shed.count += new.count;
    }
}

impl Journal {
    /// Begins with the oldest segment, if it can be and anything is to be gained.
    pub(super) fn start_cleaning(&mut self) {
        let Some((&id, _)) = self.segments.first_key_value() else { return };
        if Lsn::first_of(id + 1) > self.durable || self.segments.len() < 2 {
            return;
        }
        let trouble = self.indexed[Lane::Trouble as usize].len() as u64;
        let least = if planted(Mutant::ShedUrgent) {
            Some(Lane::Urgent)
        } else if trouble > TROUBLE_MAX {
            Some(Lane::Trouble)
        } else if self.live > self.limits.events_max(self.present()) {
            Some(Lane::Routine)
        } else {
            None
        };
        // What must stay is not copied for nothing, nor for little.
        let above = |least| &self.indexed[..least as usize];
        let stay = |least| above(least).iter().map(BTreeSet::len).sum::<usize>() as u64;
        let nothing_given_up = least.is_none_or(|least: Lane| stay(least) == self.live);
        let gains_little = self.carried_by(id) > CHEAP_SLOTS;
        if nothing_given_up && gains_little && (self.is_nearly_full() || !self.would_shrink()) {
            return;
        }
        let mut cleaning = Cleaning::of(id);
        let live = u64::from(self.segments[&id].live.count());
        let mut carried = live;
        if let Some(least) = least {
            let (until, stays) = self.given_up_until(id, least);
            carried = stays.max(CARRIED_MIN).min(live);
            cleaning.held = (stays <= CARRIED_MIN).then(Vec::new);
            cleaning.giving_up = Some(GivingUp { least, until, by_pendant: BTreeMap::new() });
        }
        // A round that cannot be ended, since one before it was cut off, would only take the
        // room in which another can when less waits.
        if carried + self.states.count_in_segment(id) >= self.spare() {
            return;
        }
        self.cleaning = Some(cleaning);
        if id >= self.tick_in {
            self.news.push_back(News::AgeGoes);
        }
        self.clean_from(Lsn::first_of(id));
    }

    /// Whether more than seven eighths of all files are live.
    fn is_nearly_full(&self) -> bool {
        let capacity = u64::from(self.present()) * (SLOTS_PER_SEGMENT - 1);
        self.live > capacity / 8 * 7
    }

    /// Whether the log would stand in fewer files if all of it were written anew; each round leaves an
    /// empty release behind. Else the oldest segment is copied, and then the next, for ever.
    fn would_shrink(&self) -> bool {
        let segments = self.segments.len() as u64;
        let frames = self.live + self.states.count() + segments;
        frames.div_ceil(SEGMENT_SLOTS) < segments
    }

    /// Whether cleaning may begin: none is under way, and none waits for the disk, be it
    /// to read what is to be carried or to take it.
    pub(super) fn may_clean(&self) -> bool {
        let waits = self.unreadable.as_ref().is_some_and(|waiting| waiting.again_at.is_some());
        self.cleaning.is_none() && !waits && self.open.len() < OPEN_MAX
    }

    /// The disk does not give a frame that is to be carried forward. That may pass:
    /// the round is given up and begun again later. False if it was too often.
    pub(super) fn may_read_later(&mut self, lsn: Lsn, now: Mono) -> bool {
        if planted(Mutant::ReadErrorIsDamage) {
            return false;
        }
        let times = match &self.unreadable {
            Some(before) if before.lsn == lsn => before.times + 1,
            _ => 1,
        };
        let again_at = Some(now.plus_ms(CLEAN_AGAIN_MS));
        self.unreadable =
            (times < UNREADABLE_TIMES_MAX).then_some(Unreadable { lsn, times, again_at });
        if self.unreadable.is_some() {
            if let Some(cleaning) = self.cleaning.take() {
                self.report(cleaning);
            }
        }
        self.unreadable.is_some()
    }

    /// Up to where a segment's events are given up, so that enough stay; and how
    /// many stay whatever happens.
    fn given_up_until(&self, id: u64, least: Lane) -> (Lsn, u64) {
        let (first, end) = (Lsn::first_of(id), Lsn::first_of(id + 1));
        let above = &self.indexed[..least as usize];
        let stays: usize = above.iter().map(|lane| lane.range(first..end).count()).sum();
        let stays = stays as u64;
        let live = &self.segments[&id].live;
        let mut wanted = CARRIED_MIN.saturating_sub(stays);
        let mut until = end;
        for lsn in (first.0..end.0).rev().map(Lsn) {
            if wanted == 0 {
                break;
            }
            if live.get(lsn.index()) && !above.iter().any(|lane| lane.contains(&lsn)) {
                wanted -= 1;
                until = lsn;
            }
        }
        (until, stays)
    }

    /// Reads on from a position, or goes to the states when nothing live is left.
    fn clean_from(&mut self, from: Lsn) {
        let Some(cleaning) = &self.cleaning else { return };
        let segment = &self.segments[&cleaning.segment];
        let next =
            (from.segment() == cleaning.segment).then(|| segment.live.next(from.index())).flatten();
        match next {
            Some(index) => {
                let lsn = Lsn(Lsn::first_of(cleaning.segment).0 + index);
                self.read((lsn, lsn), READ_SLOTS_MAX, ReadFor::Cleaning);
            }
            None => self.carry_held(),
        }
    }

    /// Takes a part of the segment that was read; `next` is where to read on.
    pub(super) fn clean_chunk(&mut self, next: Lsn, events: Vec<(Lsn, Event)>) {
        let Some(mut cleaning) = self.cleaning.take() else { return };
        let mut moved = Vec::new();
        for (old, event) in events {
            let lane = event.kind.lane();
            let given_up = cleaning.gives_up(old, lane);
            cleaning.count(&event, lane, given_up);
            if given_up {
                self.forget(old);
            } else if let Some(held) = &mut cleaning.held {
                held.push((old, event));
            } else if let Ok(new) = self.carry(old, event) {
                moved.push((old, new));
            } else {
                // The disk is behind: give this round up, begin again later.
                self.news.push_back(News::Moved(moved));
                self.report(cleaning);
                return;
            }
        }
        self.news.push_back(News::Moved(moved));
        // What is held is live still, and must not be read again.
        self.cleaning = Some(cleaning);
        self.clean_from(next);
    }

    fn carry_held(&mut self) {
        let Some(mut cleaning) = self.cleaning.take() else { return };
        let mut moved = Vec::new();
        for (old, event) in cleaning.held.take().unwrap_or_default() {
            // It may have been delivered meanwhile.
            if !self.is_live(old) {
                continue;
            }
            let Ok(new) = self.carry(old, event) else {
                self.news.push_back(News::Moved(moved));
                self.report(cleaning);
                return;
            };
            moved.push((old, new));
        }
        self.news.push_back(News::Moved(moved));
        cleaning.step = Step::States;
        self.cleaning = Some(cleaning);
    }

    fn carry(&mut self, old: Lsn, event: Event) -> Result<Lsn, NoRoom> {
        let new = self.append(&Written::Event(&event, None), Room::Cleaning)?;
        self.forget(old);
        self.keep(new, &event);
        Ok(new)
    }

    /// The pendants whose latest state stands in the segment being cleaned. Each
    /// must be handed to `carry_state` before the segment can go.
    pub(in crate::engine) fn states_to_carry(&self) -> Vec<PendantId> {
        match &self.cleaning {
            Some(Cleaning { .. }) if planted(Mutant::LeaveStatesBehind) => Vec::new(),
            Some(Cleaning { segment, step: Step::States, .. }) => self.states.in_segment(*segment),
            _ => Vec::new(),
        }
    }

    /// Writes a pendant's state anew. False if there was no room.
    pub(in crate::engine) fn carry_state(
        &mut self,
        pendant: PendantId,
        state: &PendantState,
    ) -> bool {
        let cleaned = self.cleaning.as_ref().map(|cleaning| cleaning.segment);
        let carried = cleaned.is_some() && self.state_at(pendant).map(Lsn::segment) == cleaned;
        let room = if carried { Room::Cleaning } else { Room::Urgent };
        let appended = self.append(&Written::State(state), room);
        if let Ok(lsn) = appended {
            self.note_state(pendant, lsn);
        }
        appended.is_ok()
    }

    /// A pendant that is enrolled no more: its state need not be carried.
    pub(in crate::engine) fn drop_state(&mut self, pendant: PendantId) {
        self.states.forget(pendant);
    }

    /// Tells what a round of cleaning gave up.
    fn report(&mut self, cleaning: Cleaning) {
        if !cleaning.shed.is_empty() {
            let ranges = cleaning.shed.into_values().collect();
            let pendants = cleaning.giving_up.map(|what| what.by_pendant).unwrap_or_default();
            self.news.push_back(News::Shed(ranges, pendants.into_iter().collect()));
        }
    }

    pub(super) fn advance_cleaning(&mut self) {
        let states_done = matches!(&self.cleaning, Some(Cleaning { step: Step::States, .. }))
            && self.states_to_carry().is_empty();
        if states_done {
            if let Some(cleaning) = self.cleaning.take() {
                let step = Step::Settling(self.head);
                let settling = Cleaning { step, ..Cleaning::of(cleaning.segment) };
                self.report(cleaning);
                self.cleaning = Some(settling);
            }
        }
        match &self.cleaning {
            Some(Cleaning { segment, step: Step::Settling(end), .. })
                if *end <= self.durable || planted(Mutant::FreeTooSoon) =>
            {
                self.move_tail(*segment);
            }
            Some(Cleaning { step: Step::Freeing(end, file), .. }) if *end <= self.durable => {
                self.free.push_back(*file);
                self.cleaning = None;
            }
            _ => {}
        }
    }

    /// The file may be written into only when the new tail is on the medium: a
    /// torn first commit in it would else look like damage to the segment that was
    /// there.
    fn move_tail(&mut self, cleaned: u64) {
        let before = self.tail;
        let oldest = self.segments.range(cleaned + 1..).next().map(|(id, _)| *id);
        self.tail = oldest.map_or(before, Lsn::first_of);
        // An empty release: a frame that says nothing but its header.
        let Ok(told) = self.append(&Written::Released(Vec::new()), Room::Cleaning) else {
            self.tail = before;
            return;
        };
        if let Some(segment) = self.segments.remove(&cleaned) {
            let step = Step::Freeing(told.next(), segment.file);
            self.cleaning = Some(Cleaning { step, ..Cleaning::of(cleaned) });
        }
    }
}

#[cfg(test)]
mod tests;
