//! The journal: what must not be lost. Pure; it asks for disk operations and
//! learns how they ended. The format is in `slot`, the rules by cases in
//! `docs/journal.md`.
//!
//! One log of preallocated segments takes the frames of every lane in order of
//! reception, so that neither the file nor the place written tells a heartbeat
//! from a cry for help. Rooms are budgets: `space` gives up routine first.

mod astray;
mod cleaning;
mod commit;
mod findings;
mod lsn;
#[cfg(test)]
pub(super) mod medium_test;
pub mod reading;
pub mod recover;
mod segment;
mod slot;
mod space;
mod states;
mod survey;
#[cfg(test)]
mod tests;
mod unhurried;
mod waiting;

pub use lsn::Lsn;
pub use slot::{JournalKey, SEGMENT_BYTES, SLOT_BYTES, SLOTS_PER_SEGMENT};
pub use space::Limits;
pub(super) use unhurried::Haste;

use super::age::Tick;
use super::command::Answered;
use super::event::{Boot, Event, Lane};
use super::mutant::{Mutant, planted};
use super::pendant::{Change, PendantState};
use super::seam::{DiskDone, DiskFault, DiskOp, DiskTicket};
use super::time::Mono;
use cleaning::{Cleaning, Unreadable};
use commit::{Failure, Running};
use pendant_protocol::PendantId;
use segment::Segment;
use slot::{BootCipher, Header, Opened, Plain, RUNS_MAX, Record, Run, Slot, Written};
use space::Room;
use states::States;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use unhurried::Unhurried;

/// Most frames waiting to become durable: 512 KiB. Beyond it the disk is too
/// slow for the air, and events go out live and unacknowledged.
const OPEN_MAX: usize = 1024;
/// Most frames in one read.
const READ_SLOTS_MAX: u64 = 64;
const _: () = assert!(SLOTS_PER_SEGMENT % READ_SLOTS_MAX == 0, "stretches end with a segment");

/// Everything below a position is on the medium. Only the journal can make one,
/// out of a sync that returned: the proof behind an acknowledgement (P1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Durable {
    below: Lsn,
}

impl Durable {
    pub(super) fn covers(self, lsn: Lsn) -> bool {
        lsn < self.below
    }
}

/// The journal has no room for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// What the journal has to report.
#[derive(Debug)]
pub(super) enum News {
    /// More is durable than before.
    Durable(Durable),
    /// Frames read for the backlog, live ones only, and where the reading ended.
    Backlog(Vec<(Lsn, Event)>, Lsn),
    /// Frames have other positions now.
    Moved(Vec<(Lsn, Lsn)>),
    /// Writing failed; it will be tried again.
    Failed(DiskFault),
    /// Writing works again.
    Restored,
    /// Events were given up for room: which numbers, and how many of each pendant.
    Shed(Vec<Shed>, Vec<(u32, u32)>),
    /// The disk gives no more room, or does again.
    Tight(bool),
    /// The disk gives no answer for this frame at present.
    Unreadable(Lsn),
    /// Frames were read back and are not what was written; their events are lost.
    Damaged(u64),
    /// The newest age goes with the segment that is being cleaned: write it anew.
    AgeGoes,
}

/// Numbers of one (boot, lane) that were given up, or lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed {
    /// The boot that gave the numbers.
    pub boot: Boot,
    /// Their lane.
    pub lane: Lane,
    /// First number.
    pub first: u64,
    /// Last number.
    pub last: u64,
    /// How many of the numbers in between.
    pub count: u64,
}

/// Frames behind the end of the log that a commit left which was cut off, or failed.
/// They are written over with zeros before the log goes on there, so that they never
/// pass for its continuation.
#[derive(Clone, Copy, Debug)]
struct Leftovers {
    first: Lsn,
    slots: u64,
}

enum ReadFor {
    Backlog,
    Cleaning,
}

struct Reading {
    purpose: ReadFor,
    first: Lsn,
    slots: u64,
    /// The frame for which the stretch is read.
    wanted: Lsn,
}

/// The journal of one boot.
pub(super) struct Journal {
    store: JournalKey,
    boot: Boot,
    ciphers: BTreeMap<Boot, BootCipher>,
    limits: Limits,
    opened: Opened,
    answered: Answered,
    /// The same, as far as it is durable.
    answered_durably: Answered,
    /// And what is not, where it is to stand.
    answering: VecDeque<(Lsn, Answered)>,
    /// The segment of the newest age, where it was written first.
    tick_in: u64,
    segments: BTreeMap<u64, Segment>,
    free: VecDeque<u32>,
    vacant: Vec<u32>,
    files: u32,
    head: Lsn,
    durable: Lsn,
    tail: Lsn,
    leftovers: Option<Leftovers>,
    open: VecDeque<(Lsn, Plain)>,
    unhurried: Option<Unhurried>,
    running: Option<Running>,
    failure: Option<Failure>,
    /// A commit took too long, and none was in time since.
    hangs: bool,
    allocating: Option<(DiskTicket, u32)>,
    growth_blocked_until: Option<Mono>,
    /// Not even one file could be made: there is no room for anything.
    starved: bool,
    /// The disk gave no room for another file.
    tight: bool,
    cleaning: Option<Cleaning>,
    /// A frame in the way of cleaning that the disk does not give.
    unreadable: Option<Unreadable>,
    reads: BTreeMap<DiskTicket, Reading>,
    states: States,
    indexed: [BTreeSet<Lsn>; 2],
    /// Covert alarms among the live events, and whose they are.
    covert_alarms: BTreeMap<Lsn, u32>,
    live: u64,
    tickets: u64,
    operations: VecDeque<DiskOp>,
    news: VecDeque<News>,
}

impl Journal {
    /// Records an event with the state that it left; durable later.
    pub(super) fn append_event(
        &mut self,
        event: &Event,
        state: Option<&PendantState>,
        haste: Haste,
    ) -> Result<Lsn, NoRoom> {
        let lane = event.kind.lane();
        let room = Room::of_event(event.kind);
        let lsn = self.append_with(&Written::Event(event, state), room, haste)?;
        // Events that found no room at first come after later ones.
        self.opened.last[lane as usize] = self.opened.last[lane as usize].max(event.number);
        self.keep(lsn, event);
        if let Some(pendant) = state.and_then(|state| PendantId::new(state.pendant)) {
            self.note_state(pendant, lsn);
        }
        Ok(lsn)
    }

    /// Records the gateway's age. False if there was no room for it.
    pub(super) fn append_tick(&mut self, tick: Tick) -> bool {
        if planted(Mutant::ForgetAge) {
            return true;
        }
        let lsn = self.append(&Written::Tick(tick), Room::Urgent);
        self.tick_in = lsn.as_ref().map_or(self.tick_in, |lsn| lsn.segment());
        lsn.is_ok()
    }

    /// Records what a message of the centre led to: always two frames, whatever
    /// it asked for. Where the last of them stands.
    pub(super) fn append_orders(
        &mut self,
        answered: &Answered,
        changes: Vec<Change>,
    ) -> Result<Lsn, NoRoom> {
        // In this order, also where a segment ends between them: a command that is known as
        // let through is answered as done.
        self.append(&Written::Ordered(changes), Room::Urgent)?;
        self.answered = answered.clone();
        let lsn = self.append(&Written::Answered(answered.clone()), Room::Urgent)?;
        self.answering.push_back((lsn, answered.clone()));
        Ok(lsn)
    }

    /// Whether what a message of the centre leads to finds room: so many states, its two
    /// frames, and those with which a segment begins that they may open.
    pub(super) fn has_room_for_orders(&self, states: usize) -> bool {
        let frames = states + 2;
        self.open.len() + frames + 2 <= OPEN_MAX
            && self.has_room_for_frames(Room::Urgent, frames as u64)
    }

    /// Marks events as needing no keeping any more, and journals that.
    pub(super) fn release(&mut self, events: &BTreeSet<Lsn>) {
        let released: Vec<Lsn> = events.iter().copied().filter(|lsn| self.forget(*lsn)).collect();
        // As many frames whether they stand in a row or apart: that is a matter of the
        // lanes in which they went (P5).
        for some in released.chunks(RUNS_MAX) {
            let mut runs: Vec<Run> = Vec::with_capacity(RUNS_MAX);
            for lsn in some {
                match runs.last_mut() {
                    Some(run) if run.first + u64::from(run.count) == lsn.0 => run.count += 1,
                    _ => runs.push(Run { first: lsn.0, count: 1 }),
                }
            }
            // Without room the events are merely offered again after a restart.
            let _ = self.append(&Written::Released(runs), Room::Urgent);
        }
    }

    /// Whether an event is still to be delivered.
    pub(super) fn is_live(&self, lsn: Lsn) -> bool {
        self.segments.get(&lsn.segment()).is_some_and(|segment| segment.live.get(lsn.index()))
    }

    /// How many events are to be delivered.
    pub(super) fn live(&self) -> u64 {
        self.live
    }

    /// The proof that goes with what is durable now.
    pub(super) fn durable(&self) -> Durable {
        Durable { below: self.durable }
    }

    /// Whether the journal cannot be written at present.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some() || self.hangs || self.starved
    }

    /// Live events of the urgent or the trouble lane from a position on, oldest first.
    pub(super) fn indexed(&self, lane: Lane, from: Lsn) -> impl Iterator<Item = Lsn> + '_ {
        self.indexed.get(lane as usize).into_iter().flat_map(move |set| set.range(from..)).copied()
    }

    /// Whether an event is of the urgent or the trouble lane.
    pub(super) fn is_indexed(&self, lsn: Lsn) -> bool {
        self.indexed.iter().any(|set| set.contains(&lsn))
    }

    /// Covert alarms of a pendant that are still to be delivered.
    pub(super) fn covert_alarms_of(&self, pendant: PendantId) -> impl Iterator<Item = Lsn> + '_ {
        let of_pendant = move |(_, of): &(&Lsn, &u32)| **of == pendant.get();
        self.covert_alarms.iter().filter(of_pendant).map(|(lsn, _)| *lsn)
    }

    /// Where a pendant's latest state stands.
    pub(super) fn state_at(&self, pendant: PendantId) -> Option<Lsn> {
        self.states.place(pendant)
    }

    /// Whether nothing waits to be written, or cannot be.
    pub(super) fn is_settled(&self) -> bool {
        self.failure.is_some() || self.starved || (self.open.is_empty() && self.running.is_none())
    }

    /// Whether an event of any lane would find room now.
    pub(super) fn has_room(&self) -> bool {
        self.has_room_for(Room::Routine)
    }

    /// Whether an event of a lane would find room now.
    pub(super) fn has_room_for_lane(&self, lane: Lane) -> bool {
        self.open.len() < OPEN_MAX && self.has_room_for(Room::of(lane))
    }

    /// The first live event at or after `from`.
    pub(super) fn next_live(&self, from: Lsn) -> Option<Lsn> {
        self.segments.range(from.segment()..).find_map(|(&id, segment)| {
            let start = if id == from.segment() { from.index() } else { 0 };
            segment.live.next(start).map(|index| Lsn(Lsn::first_of(id).0 + index))
        })
    }

    /// An event that is not durable yet and therefore still in memory.
    pub(super) fn open_event(&self, lsn: Lsn) -> Option<Event> {
        let place = self.open.binary_search_by_key(&lsn, |(lsn, _)| *lsn).ok()?;
        match self.open[place].1.record() {
            Some(Record::Event(event, _)) => Some(*event),
            _ => None,
        }
    }

    /// Asks for a stretch of the backlog from a durable event on.
    pub(super) fn read_backlog(&mut self, from: Lsn) {
        self.read((from, from), READ_SLOTS_MAX, ReadFor::Backlog);
    }

    /// Asks for the stretch of the backlog in which a durable event stands: stretches
    /// begin at the same places whatever waits.
    pub(super) fn read_stretch(&mut self, wanted: Lsn) {
        let first = Lsn(wanted.0 / READ_SLOTS_MAX * READ_SLOTS_MAX);
        self.read((first, wanted), READ_SLOTS_MAX, ReadFor::Backlog);
    }

    /// Next disk operation, if one is due.
    pub(super) fn poll_operation(&mut self, now: Mono) -> Option<DiskOp> {
        self.notice_hang(now);
        self.retry(now);
        self.keep_room(now);
        self.start_commit(now);
        self.operations.pop_front()
    }

    /// Next report.
    pub(super) fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// When the journal wants to be polled again by itself.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        let retry = self.failure.as_ref().filter(|f| !f.reopened).map(|f| f.retry_at);
        let hang = self.hang_deadline();
        let deadlines = [retry, hang, self.growth_deadline(), self.patience_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Whether there is a report.
    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Takes the end of an operation.
    pub(super) fn handle(&mut self, done: DiskDone, now: Mono) {
        match done {
            DiskDone::Committed(ticket) => self.committed(ticket, now),
            DiskDone::Allocated(ticket) => self.allocated(ticket),
            DiskDone::Read(ticket, bytes) => {
                if let Some(reading) = self.reads.remove(&ticket) {
                    self.take_read(&reading, &bytes);
                }
            }
            DiskDone::Failed(ticket, fault) => {
                if self.running.as_ref().is_some_and(|running| running.ticket == ticket) {
                    self.commit_failed(fault, now);
                } else if self.allocating.is_some_and(|(waiting, _)| waiting == ticket) {
                    self.allocation_failed(fault, now);
                } else if let Some(reading) = self.reads.remove(&ticket) {
                    self.read_failed(reading, now);
                }
            }
        }
    }

    fn append(&mut self, record: &Written<'_>, room: Room) -> Result<Lsn, NoRoom> {
        self.append_with(record, room, Haste::AtOnce)
    }

    fn append_with(
        &mut self,
        record: &Written<'_>,
        room: Room,
        haste: Haste,
    ) -> Result<Lsn, NoRoom> {
        if self.open.len() >= OPEN_MAX || !self.has_room_for(room) {
            return Err(NoRoom);
        }
        if self.head.index() == 0 {
            self.open_segment()?;
        }
        let lsn = self.head;
        self.open.push_back((lsn, Plain::new(record)));
        self.head = lsn.next();
        self.note_haste(lsn, haste);
        Ok(lsn)
    }

    fn read(&mut self, (from, wanted): (Lsn, Lsn), slots_max: u64, purpose: ReadFor) {
        let Some(segment) = self.segments.get(&from.segment()) else { return };
        let file = segment.file;
        let slots = slots_max.min(SLOTS_PER_SEGMENT - from.index());
        let bytes = u32::try_from(slots).expect("at most 64 frames") * SLOT_BYTES as u32;
        let ticket = self.ticket();
        self.reads.insert(ticket, Reading { purpose, first: from, slots, wanted });
        self.operations.push_back(DiskOp::Read { ticket, file, offset: byte_offset(from), bytes });
    }

    fn take_read(&mut self, reading: &Reading, bytes: &[u8]) {
        let mut events = Vec::new();
        let mut bad = 0;
        for step in 0..reading.slots {
            let lsn = Lsn(reading.first.0 + step);
            if lsn >= self.durable || !self.is_live(lsn) {
                continue;
            }
            let at = step as usize * SLOT_BYTES;
            let found = bytes.get(at..at + SLOT_BYTES).and_then(|slot| self.event_at(lsn, slot));
            match found {
                Some(event) => events.push((lsn, event)),
                None => {
                    self.forget(lsn);
                    bad += 1;
                }
            }
        }
        if bad > 0 {
            self.news.push_back(News::Damaged(bad));
        }
        // What became durable only meanwhile was not looked at.
        let end = Lsn(reading.first.0 + reading.slots).min(self.durable);
        match reading.purpose {
            ReadFor::Backlog => self.news.push_back(News::Backlog(events, end)),
            ReadFor::Cleaning => self.clean_chunk(end, events),
        }
    }

    /// A stretch that cannot be read is tried frame by frame, so that one bad
    /// sector hides no more than its own frame.
    fn read_failed(&mut self, reading: Reading, now: Mono) {
        if !self.segments.contains_key(&reading.first.segment()) {
            // Meanwhile all in it was delivered, and its file made free. Whoever waits for
            // the reading must not wait for ever.
            self.news.push_back(News::Backlog(Vec::new(), reading.wanted.next()));
            return;
        }
        if reading.slots > 1 {
            self.read((reading.wanted, reading.wanted), 1, reading.purpose);
            return;
        }
        match reading.purpose {
            ReadFor::Backlog => self.news.push_back(News::Unreadable(reading.first)),
            ReadFor::Cleaning if self.may_read_later(reading.first, now) => {}
            ReadFor::Cleaning => self.take_read(&reading, &[]),
        }
    }

    fn event_at(&mut self, lsn: Lsn, bytes: &[u8]) -> Option<Event> {
        let slot: &Slot = bytes.try_into().ok()?;
        let header = Header::read(slot, lsn.index()).filter(|header| header.lsn == lsn)?;
        let store = &self.store;
        let cipher =
            self.ciphers.entry(header.boot).or_insert_with(|| BootCipher::new(store, header.boot));
        match slot::open(cipher, &header, slot)? {
            Record::Event(event, _) => Some(*event),
            _ => None,
        }
    }

    fn keep(&mut self, lsn: Lsn, event: &Event) {
        let segment = self.segments.get_mut(&lsn.segment()).expect("its segment is open");
        segment.live.set(lsn.index());
        self.live += 1;
        if let Some(index) = self.indexed.get_mut(event.kind.lane() as usize) {
            index.insert(lsn);
        }
        self.covert_alarms.extend(event.covert_alarm_of().map(|pendant| (lsn, pendant)));
    }

    /// Takes an event out of what is to be delivered. False if it was not in it.
    fn forget(&mut self, lsn: Lsn) -> bool {
        let live = self
            .segments
            .get_mut(&lsn.segment())
            .is_some_and(|segment| segment.live.clear(lsn.index()));
        if live {
            self.live -= 1;
            for index in &mut self.indexed {
                index.remove(&lsn);
            }
            self.covert_alarms.remove(&lsn);
        }
        live
    }

    fn note_state(&mut self, pendant: PendantId, lsn: Lsn) {
        self.states.note(pendant, lsn);
    }

    fn ticket(&mut self) -> DiskTicket {
        self.tickets += 1;
        DiskTicket(self.tickets)
    }
}

fn byte_offset(lsn: Lsn) -> u32 {
    u32::try_from(lsn.index()).expect("an index is below 2048") * SLOT_BYTES as u32
}

/// Bytes that a record of these needs, for the test that holds the limits.
#[cfg(test)]
pub(in crate::engine) fn longest_record_bytes(event: &Event, state: &PendantState) -> usize {
    Plain::new(&Written::Event(event, Some(state))).used()
}
