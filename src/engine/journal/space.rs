//! Room: who may write when there is little, segments opened, files grown.

use super::segment::Segment;
use super::slot::{Opened, Record, SEGMENT_BYTES, SLOTS_PER_SEGMENT, Written};
use super::{Journal, Lsn, NoRoom, Plain};
use crate::engine::event::{Kind, Lane};
use crate::engine::mutant::{Mutant, planted};
use crate::engine::seam::{DiskFault, DiskOp};
use crate::engine::time::Mono;
use pendant_protocol::PendantId;
use std::collections::VecDeque;

/// Free segments kept at all times: one for cleaning, one for urgent events, and
/// one to write into while another is made.
const FREE_SEGMENTS_MIN: usize = 3;
/// With more free segments than this nobody's room need be reckoned.
const PLENTY_SEGMENTS: usize = 4;
/// Frames of a segment, less those with which it begins.
pub(super) const SEGMENT_SLOTS: u64 = SLOTS_PER_SEGMENT - 2;
/// What cleaning writes beside what it carries: the new tail, and the beginning of
/// a segment.
const CLEANING_SLOTS: u64 = 4;
/// A segment is recycled before the journal grows if no more than half of it must
/// be written anew.
pub(super) const CHEAP_SLOTS: u64 = SLOTS_PER_SEGMENT / 2;
/// How long to wait before growing is tried again after the disk was full, ms.
const GROW_AGAIN_MS: u64 = 10_000;

/// How much room the journal may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most segment files (1 MiB each).
    pub files_max: u32,
    /// Segment files made at the start, so that urgent events have room on a
    /// full disk.
    pub files_reserved: u32,
}

impl Limits {
    /// Events of all lanes beyond which routine is given up: three quarters of the
    /// files beyond the reserved ones, so that cleaning always gains.
    pub(super) fn events_max(self, files: u32) -> u64 {
        u64::from(files.saturating_sub(self.files_reserved).max(1)) * (SLOTS_PER_SEGMENT - 1) * 3
            / 4
    }
}

/// For what room is wanted. Each leaves the rooms below it untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Events that are not urgent: a whole segment stays for those that are.
    Routine,
    /// Urgent events, and what is written beside events: what the oldest segment
    /// needs to be cleaned stays.
    Urgent,
    /// Cleaning: all there is, so that it can always be ended.
    Cleaning,
}

impl Room {
    pub(super) fn of(lane: Lane) -> Self {
        if lane == Lane::Urgent { Self::Urgent } else { Self::Routine }
    }

    /// Damage, and the start before it, are written where urgent events may be, since what
    /// cleans a damaged segment leaves no sign of it.
    pub(super) fn of_event(kind: Kind) -> Self {
        match kind {
            Kind::GatewayStarted | Kind::JournalDamage => Self::Urgent,
            _ => Self::of(kind.lane()),
        }
    }
}

impl Journal {
    /// Whether one more frame finds room.
    pub(super) fn has_room_for(&self, room: Room) -> bool {
        self.has_room_for_frames(room, 1)
    }

    /// Whether so many more do.
    pub(super) fn has_room_for_frames(&self, room: Room, frames: u64) -> bool {
        if self.free.len() > PLENTY_SEGMENTS {
            return true;
        }
        let kept = match room {
            Room::Cleaning => 0,
            Room::Urgent => self.cleaning_needs(),
            Room::Routine => self.cleaning_needs() + SEGMENT_SLOTS,
        };
        self.spare() >= kept + frames
    }

    /// Frames that the files at hand still take.
    pub(super) fn spare(&self) -> u64 {
        let in_head =
            if self.head.index() == 0 { 0 } else { SLOTS_PER_SEGMENT - self.head.index() };
        self.free.len() as u64 * SEGMENT_SLOTS + in_head
    }

    /// Most frames that cleaning the oldest segment will write.
    fn cleaning_needs(&self) -> u64 {
        match self.segments.first_key_value() {
            Some((&id, _)) if id != self.head.segment() => self.carried_by(id) + CLEANING_SLOTS,
            _ => 0,
        }
    }

    /// Frames of a segment that would have to be written anew.
    pub(super) fn carried_by(&self, id: u64) -> u64 {
        let live = self.segments.get(&id).map_or(0, |segment| u64::from(segment.live.count()));
        live + self.states.count_in_segment(id)
    }

    /// Starts the next segment at `head`.
    pub(super) fn open_segment(&mut self) -> Result<(), NoRoom> {
        let file = self.free.pop_front().ok_or(NoRoom)?;
        // A boot begins a segment of its own wherever the log ended before.
        let previous_end = if self.open.is_empty() { self.durable } else { self.head };
        self.begin(file, self.head.segment(), previous_end, self.opened);
        Ok(())
    }

    /// Puts every open frame under new positions in a new segment. `None` while
    /// there is no file for it.
    pub(super) fn reopen(&mut self) -> Option<Vec<(Lsn, Lsn)>> {
        let file = self.free.pop_front()?;
        let open = std::mem::take(&mut self.open);
        let next = self.segments.keys().next_back().map_or(1, |last| last + 1);
        // Segments of which nothing is durable never were: their files are free.
        let previous_end = self.durable;
        let opened = self.opened_before(&open);
        // A command that is known as let through stands behind what it changed.
        let answered = std::mem::replace(&mut self.answered, self.answered_durably.clone());
        self.begin(file, next, previous_end, opened);
        self.answered = answered;
        let mut moved = Vec::new();
        for (old, plain) in open {
            let record = plain.record();
            let answers = self.answering.iter().position(|(lsn, _)| *lsn == old);
            let begins = matches!(record, Some(Record::Opened(_) | Record::Answered(_)));
            if begins && answers.is_none() {
                continue;
            }
            if self.head.index() == 0 && self.open_segment().is_err() {
                // What finds no place here is offered live and not acknowledged.
                self.forget(old);
                continue;
            }
            let new = self.head;
            self.head = new.next();
            if let Some((lsn, _)) = answers.and_then(|place| self.answering.get_mut(place)) {
                *lsn = new;
            }
            if let Some(Record::Event(event, _)) = &record {
                if self.forget(old) {
                    self.keep(new, event);
                }
            }
            if let Some(Record::Event(_, Some(state)) | Record::State(state)) = &record {
                let pendant = PendantId::new(state.pendant);
                let latest = pendant.filter(|pendant| self.states.place(*pendant) == Some(old));
                latest.into_iter().for_each(|pendant| self.note_state(pendant, new));
            }
            self.open.push_back((new, plain));
            moved.push((old, new));
        }
        self.drop_void_segments(previous_end, next);
        if let Some(cleaning) = &mut self.cleaning {
            // What was carried forward stands elsewhere now.
            cleaning.settle_below(self.head);
        }
        Some(moved)
    }

    fn drop_void_segments(&mut self, durable: Lsn, before: u64) {
        let first_void =
            if durable.index() == 0 { durable.segment() } else { durable.segment() + 1 };
        while let Some((&id, _)) = self.segments.range(first_void..before).next() {
            let segment = self.segments.remove(&id).expect("just found");
            self.free.push_back(segment.file);
        }
    }

    /// The last numbers without those of events that are not durable: they come
    /// behind what says this.
    fn opened_before(&self, open: &VecDeque<(Lsn, Plain)>) -> Opened {
        let mut opened = self.opened;
        if planted(Mutant::TellOpenNumbers) {
            return opened;
        }
        for (_, plain) in open {
            if let Some(Record::Event(event, _)) = plain.record() {
                let last = &mut opened.last[event.kind.lane() as usize];
                if event.boot == self.boot {
                    *last = (*last).min(event.number - 1);
                }
            }
        }
        opened
    }

    fn begin(&mut self, file: u32, id: u64, previous_end: Lsn, opened: Opened) {
        self.segments.insert(id, Segment::new(file, previous_end));
        self.head = Lsn::first_of(id);
        self.say_opened(opened);
    }

    /// What every segment and every boot begins with: what outlives the segments
    /// before it.
    pub(super) fn say_opened(&mut self, opened: Opened) {
        self.open.push_back((self.head, Plain::new(&Written::Opened(opened))));
        self.head = self.head.next();
        self.open.push_back((self.head, Plain::new(&Written::Answered(self.answered.clone()))));
        self.head = self.head.next();
    }

    /// Recycles or grows while fewer segments are free than must be. What can be
    /// had by writing little is recycled first, so that the journal stays as small
    /// as what waits; else it grows as far as it may, and then cleans.
    pub(super) fn keep_room(&mut self, now: Mono) {
        self.advance_cleaning();
        self.growth_blocked_until.take_if(|until| *until <= now);
        if let Some(unreadable) = &mut self.unreadable {
            unreadable.again_at.take_if(|at| *at <= now);
        }
        // A disk that was full is tried again, so that its state is not told for ever.
        let tight = self.tight && self.growth_blocked_until.is_none();
        let short = self.free.len() < FREE_SEGMENTS_MIN;
        let reserving = self.present() < self.limits.files_reserved;
        let idle = self.running.is_none() && self.open.is_empty();
        if !(short || reserving || tight) || self.allocating.is_some() || !(idle || short) {
            return;
        }
        if short && !reserving {
            let cheap = |id: u64| self.carried_by(id) <= CHEAP_SLOTS;
            let oldest = self.segments.first_key_value().map(|(id, _)| *id);
            if self.may_clean() && oldest.is_some_and(cheap) {
                self.start_cleaning();
            }
            // Without a free file a journal that fails cannot be begun anew.
            if self.cleaning.is_some() && !self.free.is_empty() {
                return;
            }
        }
        let may_grow = self.present() < self.limits.files_max;
        if may_grow && self.growth_blocked_until.is_none() {
            let ticket = self.ticket();
            let file = self.vacant.last().copied().unwrap_or(self.files);
            self.allocating = Some((ticket, file));
            self.operations.push_back(DiskOp::Allocate { ticket, file, bytes: SEGMENT_BYTES });
        } else if short && self.may_clean() {
            self.start_cleaning();
        }
    }

    /// Files that are there.
    pub(super) fn present(&self) -> u32 {
        self.files - u32::try_from(self.vacant.len()).unwrap_or(self.files).min(self.files)
    }

    pub(super) fn growth_deadline(&self) -> Option<Mono> {
        let short = self.free.len() < FREE_SEGMENTS_MIN;
        let clean = self.unreadable.as_ref().and_then(|unreadable| unreadable.again_at);
        let clean = clean.filter(|_| short && self.cleaning.is_none());
        let grow = self.growth_blocked_until.filter(|_| self.tight || short);
        grow.into_iter().chain(clean).min()
    }

    pub(super) fn allocated(&mut self, ticket: crate::engine::seam::DiskTicket) {
        let Some((_, file)) = self.allocating.take_if(|(waiting, _)| *waiting == ticket) else {
            return;
        };
        self.free.push_back(file);
        self.vacant.retain(|vacant| *vacant != file);
        self.files = self.files.max(file + 1);
        self.growth_blocked_until = None;
        if self.has_room() && std::mem::take(&mut self.starved) {
            self.news.push_back(super::News::Restored);
        }
        if std::mem::take(&mut self.tight) {
            self.news.push_back(super::News::Tight(false));
        }
    }

    pub(super) fn allocation_failed(&mut self, fault: DiskFault, now: Mono) {
        self.allocating = None;
        if !self.has_room() && self.segments.is_empty() && !self.starved {
            self.starved = true;
            self.news.push_back(super::News::Failed(fault));
        } else if !self.starved && !std::mem::replace(&mut self.tight, true) {
            self.news.push_back(super::News::Tight(true));
        }
        self.growth_blocked_until = Some(now.plus_ms(GROW_AGAIN_MS));
    }
}

/// What a new journal's first segment says.
pub(super) const fn first_opened() -> Opened {
    Opened { last: [0; 3], previous: None }
}

#[cfg(test)]
mod tests;
