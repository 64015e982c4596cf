//! Room: segments opened, files grown, and the oldest segment cleaned when there
//! is no more. Cleaning carries forward what must stay (urgent events, the state
//! of pendants) and gives up routine, oldest first, when its budget is spent.

use super::segment::Segment;
use super::slot::{Opened, Record, SEGMENT_BYTES, SLOTS_PER_SEGMENT};
use super::{Journal, Lsn, NoRoom, Plain, READ_SLOTS_MAX, ReadFor, Shed};
use crate::engine::event::{Event, Lane};
use crate::engine::pendant::PendantState;
use crate::engine::seam::{DiskFault, DiskOp};
use crate::engine::time::Mono;
use pendant_protocol::PendantId;
use std::collections::BTreeMap;

/// Free segments kept at all times. The last one is for urgent events and for
/// cleaning alone.
const FREE_SEGMENTS_MIN: usize = 2;
/// Most events of the trouble lane. They tell what was shed, so they are carried
/// like urgent ones until there are absurdly many.
const TROUBLE_MAX: u64 = 1024;
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
        self.begin(file, self.head.segment(), previous_end);
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
        self.begin(file, next, previous_end);
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

    fn drop_void_segments(&mut self, durable: Lsn, before: u64) {
        let first_void =
            if durable.index() == 0 { durable.segment() } else { durable.segment() + 1 };
        while let Some((&id, _)) = self.segments.range(first_void..before).next() {
            let segment = self.segments.remove(&id).expect("just found");
            self.free.push_back(segment.file);
        }
    }

    fn begin(&mut self, file: u32, id: u64, previous_end: Lsn) {
        self.segments.insert(id, Segment::new(file, previous_end));
        self.head = Lsn::first_of(id);
        self.open.push_back((self.head, Plain::new(&Record::Opened(self.opened))));
        self.head = self.head.next();
        // Every segment holds what outlives the ones before it.
        self.open.push_back((self.head, Plain::new(&Record::Answered(self.answered.clone()))));
        self.head = self.head.next();
    }

    /// Grows or cleans while fewer segments are free than must be.
    pub(super) fn keep_room(&mut self, now: Mono) {
        self.advance_cleaning();
        self.growth_blocked_until.take_if(|until| *until <= now);
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
        let may_grow = self.present() < self.limits.files_max;
        if may_grow && !blocked {
            let ticket = self.ticket();
            let file = self.vacant.last().copied().unwrap_or(self.files);
            self.allocating = Some((ticket, file));
            self.operations.push_back(DiskOp::Allocate { ticket, file, bytes: SEGMENT_BYTES });
        } else if self.free.len() < FREE_SEGMENTS_MIN && self.cleaning.is_none() {
            self.start_cleaning();
        }
    }

    /// Files that are there.
    fn present(&self) -> u32 {
        self.files - u32::try_from(self.vacant.len()).unwrap_or(self.files).min(self.files)
    }

    pub(super) fn growth_deadline(&self) -> Option<Mono> {
        self.growth_blocked_until.filter(|_| self.tight || self.free.len() < FREE_SEGMENTS_MIN)
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
        let sheds = if trouble > TROUBLE_MAX {
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
            Some(Cleaning { segment, step: Step::Settling(end), .. }) if *end <= self.durable => {
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
