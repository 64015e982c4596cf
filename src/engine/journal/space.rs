//! Room: segments opened, files grown, and the oldest segment cleaned when there
//! is no more. Cleaning carries forward what must stay (urgent events, the state
//! of pendants) and gives up routine, oldest first, when its budget is spent.

use super::segment::Segment;
use super::slot::{Opened, Record, SEGMENT_BYTES, SLOTS_PER_SEGMENT};
use super::{Journal, Lsn, NoRoom, Plain, READ_SLOTS_MAX, ReadFor, Shed};
use crate::engine::event::{Event, Lane};
use crate::engine::mutant::{Mutant, planted};
use crate::engine::pendant::PendantState;
use crate::engine::seam::{DiskFault, DiskOp};
use crate::engine::time::Mono;
use pendant_protocol::PendantId;
use std::collections::{BTreeMap, VecDeque};

/// Free segments kept at all times. The last one is for urgent events and for
/// cleaning alone.
const FREE_SEGMENTS_MIN: usize = 2;
/// Most events of the trouble lane. They tell what was shed, so they are carried
/// like urgent ones until there are absurdly many.
const TROUBLE_MAX: u64 = 1024;
/// How long to wait before growing is tried again after the disk was full, ms.
const GROW_AGAIN_MS: u64 = 10_000;

/// Files beyond the most that there may be, for starts that died before they
/// had cleaned: without a file to write to nothing could ever be cleaned again.
const SPARE_FILES: u32 = 16;
/// How long to wait before cleaning is tried again where the disk gave no
/// answer, ms, and after how many times that counts as damage: five minutes, so
/// that a device that hangs and comes back loses nothing.
const CLEAN_AGAIN_MS: u64 = 10_000;
const UNREADABLE_TIMES_MAX: u32 = 30;

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
    /// Room for events that are not urgent: three quarters of the files beyond
    /// the reserved ones, so that cleaning always gains.
    fn routine_slots_max(self, files: u32) -> u64 {
        u64::from(files.saturating_sub(self.files_reserved).max(1)) * (SLOTS_PER_SEGMENT - 1) * 3
            / 4
    }
}

/// The oldest segment on its way to being free.
pub(super) struct Cleaning {
    segment: u64,
    /// This lane and those below it are given up.
    sheds: Option<Lane>,
    shed: BTreeMap<(u64, Lane), Shed>,
    moved: Vec<(Lsn, Lsn)>,
    step: Step,
}

enum Step {
    /// A read is under way.
    Reading,
    /// All live events are carried; the states come next.
    States,
    /// Everything carried is below this; once that is durable the file is free.
    Settling(Lsn),
}

/// A frame in the way of cleaning that the disk does not give.
pub(super) struct Unreadable {
    lsn: Lsn,
    times: u32,
    /// `None`: the wait is over.
    again_at: Option<Mono>,
}

impl Journal {
    /// Starts the next segment at `head`.
    pub(super) fn open_segment(&mut self, may_use_reserve: bool) -> Result<(), NoRoom> {
        let spare = if may_use_reserve { 0 } else { 1 };
        if self.free.len() <= spare {
            return Err(NoRoom);
        }
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
        self.begin(file, next, previous_end, opened);
        let mut moved = Vec::new();
        for (old, plain) in open {
            if matches!(plain.record(), Some(Record::Opened(_) | Record::Answered(_))) {
                continue;
            }
            if self.head.index() == 0 && self.open_segment(true).is_err() {
                // What finds no place here is offered live and not acknowledged.
                self.forget(old);
                continue;
            }
            let new = self.head;
            self.head = new.next();
            if let Some(Record::Event(event, _)) = plain.record() {
                if self.forget(old) {
                    self.keep(new, event.kind.lane());
                }
            }
            if let Some(pendant) = self.states.get(&old).copied() {
                self.note_state(pendant, new);
            }
            self.open.push_back((new, plain));
            moved.push((old, new));
        }
        self.drop_void_segments(previous_end, next);
        if let Some(Cleaning { step: Step::Settling(end), .. }) = &mut self.cleaning {
            // What was carried forward stands elsewhere now.
            *end = self.head;
        }
        Some(moved)
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

    fn drop_void_segments(&mut self, durable: Lsn, before: u64) {
        let first_void =
            if durable.index() == 0 { durable.segment() } else { durable.segment() + 1 };
        while let Some((&id, _)) = self.segments.range(first_void..before).next() {
            let segment = self.segments.remove(&id).expect("just found");
            self.free.push_back(segment.file);
        }
    }

    fn begin(&mut self, file: u32, id: u64, previous_end: Lsn, opened: Opened) {
        self.segments.insert(id, Segment::new(file, previous_end));
        self.head = Lsn::first_of(id);
        self.open.push_back((self.head, Plain::new(&Record::Opened(opened))));
        self.head = self.head.next();
        // Every segment holds what outlives the ones before it.
        self.open.push_back((self.head, Plain::new(&Record::Answered(self.answered.clone()))));
        self.head = self.head.next();
    }

    /// Grows or cleans while fewer segments are free than must be.
    pub(super) fn keep_room(&mut self, now: Mono) {
        self.advance_cleaning();
        self.growth_blocked_until.take_if(|until| *until <= now);
        if let Some(unreadable) = &mut self.unreadable {
            unreadable.again_at.take_if(|at| *at <= now);
        }
        // A disk that was full is tried again, so that its state is not told for ever.
        let tight = self.tight && self.growth_blocked_until.is_none();
        let wanted = self.free.len() < FREE_SEGMENTS_MIN
            || self.present() < self.limits.files_reserved
            || tight;
        let idle = self.running.is_none() && self.open.is_empty();
        if !wanted || self.allocating.is_some() || !(idle || self.free.len() < FREE_SEGMENTS_MIN) {
            return;
        }
        let blocked = self.growth_blocked_until.is_some();
        let stuck = self.is_stuck();
        let files_max = self.limits.files_max + if stuck { SPARE_FILES } else { 0 };
        let may_grow = self.present() < files_max;
        if may_grow && !blocked {
            let ticket = self.ticket();
            let file = self.vacant.last().copied().unwrap_or(self.files);
            self.allocating = Some((ticket, file));
            self.operations.push_back(DiskOp::Allocate { ticket, file, bytes: SEGMENT_BYTES });
        } else if self.free.len() < FREE_SEGMENTS_MIN && !stuck && self.may_clean() {
            self.start_cleaning();
        }
    }

    /// Files that are there.
    fn present(&self) -> u32 {
        self.files - u32::try_from(self.vacant.len()).unwrap_or(self.files).min(self.files)
    }

    fn may_clean(&self) -> bool {
        let waits = self.unreadable.as_ref().is_some_and(|waiting| waiting.again_at.is_some());
        self.cleaning.is_none() && !waits
    }

    /// Nothing can be written without another file, and so nothing be cleaned.
    fn is_stuck(&self) -> bool {
        let waits_for_file = self.failure.as_ref().is_some_and(|failure| !failure.reopened);
        self.free.is_empty() && (self.head.index() == 0 || waits_for_file)
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

    fn start_cleaning(&mut self) {
        let Some((&id, _)) = self.segments.first_key_value() else { return };
        if Lsn::first_of(id + 1) > self.durable || self.segments.len() < 2 {
            return;
        }
        let urgent = self.indexed[Lane::Urgent as usize].len() as u64;
        let trouble = self.indexed[Lane::Trouble as usize].len() as u64;
        let routine = self.live.saturating_sub(urgent + trouble);
        let sheds = if planted(Mutant::ShedUrgent) {
            Some(Lane::Urgent)
        } else if trouble > TROUBLE_MAX {
            Some(Lane::Trouble)
        } else if routine > self.limits.routine_slots_max(self.present()) {
            Some(Lane::Routine)
        } else {
            None
        };
        // A store full of what must stay gains nothing by being copied around.
        let capacity = u64::from(self.present()) * (SLOTS_PER_SEGMENT - 1);
        if sheds.is_none() && self.live > capacity / 8 * 7 {
            return;
        }
        self.cleaning = Some(Cleaning { sheds, ..Cleaning::of(id) });
        self.clean_from(Lsn::first_of(id));
    }

    /// Reads on from a position, or goes to the states when nothing live is left.
    fn clean_from(&mut self, from: Lsn) {
        let Some(cleaning) = &mut self.cleaning else { return };
        let segment = &self.segments[&cleaning.segment];
        let next =
            (from.segment() == cleaning.segment).then(|| segment.live.next(from.index())).flatten();
        match next {
            Some(index) => {
                let lsn = Lsn(Lsn::first_of(cleaning.segment).0 + index);
                self.read(lsn, READ_SLOTS_MAX, ReadFor::Cleaning);
            }
            None => cleaning.step = Step::States,
        }
    }

    pub(super) fn clean_chunk(&mut self, next: Lsn, events: Vec<(Lsn, Event)>) {
        let Some(mut cleaning) = self.cleaning.take() else { return };
        for (old, event) in events {
            let lane = event.kind.lane();
            if cleaning.sheds.is_some_and(|least| lane >= least) {
                self.forget(old);
                cleaning.count_shed(&event, lane);
                continue;
            }
            let record = Record::Event(Box::new(event), None);
            let Ok(new) = self.append(&record, true) else {
                // The disk is behind: give this round up, begin again later.
                self.report(cleaning);
                return;
            };
            self.forget(old);
            self.keep(new, lane);
            cleaning.moved.push((old, new));
        }
        self.cleaning = Some(cleaning);
        self.clean_from(next);
    }

    /// The pendants whose latest state stands in the segment being cleaned. Each
    /// must be handed to `carry_state` before the segment can go.
    pub(in crate::engine) fn states_to_carry(&self) -> Vec<PendantId> {
        match &self.cleaning {
            Some(Cleaning { .. }) if planted(Mutant::LeaveStatesBehind) => Vec::new(),
            Some(Cleaning { segment, step: Step::States, .. }) => self
                .states
                .range(Lsn::first_of(*segment)..Lsn::first_of(segment + 1))
                .map(|(_, pendant)| *pendant)
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Writes a pendant's state anew. False if there was no room.
    pub(in crate::engine) fn carry_state(
        &mut self,
        pendant: PendantId,
        state: PendantState,
    ) -> bool {
        let appended = self.append(&Record::State(Box::new(state)), true);
        if let Ok(lsn) = appended {
            self.note_state(pendant, lsn);
        }
        appended.is_ok()
    }

    /// A pendant that is enrolled no more: its state need not be carried.
    pub(in crate::engine) fn drop_state(&mut self, pendant: PendantId) {
        if let Some(lsn) = self.state_at.remove(&pendant) {
            self.states.remove(&lsn);
        }
    }

    /// Tells what a round of cleaning moved and gave up.
    fn report(&mut self, cleaning: Cleaning) {
        self.news.push_back(super::News::Moved(cleaning.moved));
        if !cleaning.shed.is_empty() {
            self.news.push_back(super::News::Shed(cleaning.shed.into_values().collect()));
        }
    }

    fn advance_cleaning(&mut self) {
        if matches!(&self.cleaning, Some(c) if matches!(c.step, Step::States))
            && self.states_to_carry().is_empty()
        {
            if let Some(cleaning) = self.cleaning.take() {
                let step = Step::Settling(self.head);
                let settling = Cleaning { step, ..Cleaning::of(cleaning.segment) };
                self.report(cleaning);
                self.cleaning = Some(settling);
            }
        }
        let settled = match &self.cleaning {
            Some(Cleaning { segment, step: Step::Settling(end), .. })
                if *end <= self.durable || planted(Mutant::FreeTooSoon) =>
            {
                *segment
            }
            _ => return,
        };
        self.cleaning = None;
        if let Some(segment) = self.segments.remove(&settled) {
            self.free.push_back(segment.file);
        }
        if let Some((&oldest, _)) = self.segments.first_key_value() {
            self.tail = Lsn::first_of(oldest);
        }
    }
}

impl Cleaning {
    fn of(segment: u64) -> Self {
        Self { segment, sheds: None, shed: BTreeMap::new(), moved: Vec::new(), step: Step::Reading }
    }

    fn count_shed(&mut self, event: &Event, lane: Lane) {
        let shed = self.shed.entry((event.boot, lane)).or_insert(Shed {
            boot: event.boot,
            lane,
            first: event.number,
            last: event.number,
            count: 0,
        });
        shed.first = shed.first.min(event.number);
        shed.last = shed.last.max(event.number);
        shed.count += 1;
    }
}

/// What a new journal's first segment says.
pub(super) const fn first_opened() -> Opened {
    Opened { last: [0; 3], previous: None }
}
