//! Reading the journal back. Two passes over the segment files: `Survey` learns
//! from the frames' headers how far the log was durable, `Replay` takes what is
//! below that. Bad frames below it are damage and are told; from there on the
//! first bad frame ends the log, since nothing after it was ever acknowledged.

use super::segment::{Bits, Segment};
use super::slot::{self, BootCipher, Header, Opened, Record, Run, SLOT_BYTES, Slot};
use super::space::{Limits, first_opened};
use super::{Journal, JournalKey, Lsn, SEGMENT_BYTES, SLOTS_PER_SEGMENT, Shed};
use crate::engine::age::Tick;
use crate::engine::command::Answered;
use crate::engine::event::{Boot, EndedBoot, Event, Lane};
use crate::engine::pendant::{Change, PendantState};
use pendant_protocol::PendantId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// Why the journal cannot be used. Nothing was changed on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoverError {
    /// Whole frames, but none opens: the store key belongs to another store.
    ForeignKey,
    /// Written by a version whose frames this build cannot read.
    OtherVersion,
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ForeignKey => {
                "the journal was sealed with another store key: put the key file of this \
                 store back, or move the journal folder away to begin a new one"
            }
            Self::OtherVersion => {
                "the journal was written by another version of the gateway: start that \
                 version until its events are delivered, or move the journal folder away"
            }
        })
    }
}

impl std::error::Error for RecoverError {}

struct Surveyed {
    file: u32,
    full_length: bool,
    segment: u64,
    /// Frames that are whole.
    valid: Bits,
    previous_end: Lsn,
}

/// First pass: headers only.
#[derive(Default)]
pub struct Survey {
    found: BTreeMap<u64, Surveyed>,
    free: Vec<u32>,
    short: Vec<u32>,
    files: u32,
    durable: Lsn,
    tail: Lsn,
    other_version: bool,
    newest_id: u64,
}

impl Survey {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one segment file, whatever is in it.
    pub fn file(&mut self, file: u32, bytes: &[u8]) {
        self.files = self.files.max(file + 1);
        let full_length = bytes.len() == SEGMENT_BYTES as usize;
        let mut segments: BTreeMap<u64, (Bits, Lsn)> = BTreeMap::new();
        for (index, slot) in (0..SLOTS_PER_SEGMENT).zip(whole_slots(bytes)) {
            let Some(header) = Header::read(slot, index) else {
                self.other_version |= slot::is_of_other_version(slot);
                continue;
            };
            self.durable = self.durable.max(header.durable_before);
            self.newest_id = self.newest_id.max(header.lsn.segment());
            self.tail = self.tail.max(header.tail);
            let (valid, previous_end) = segments.entry(header.lsn.segment()).or_default();
            valid.set(index);
            *previous_end = header.previous_end;
        }
        // A recycled file still holds frames of its earlier lives: the newest counts.
        match segments.pop_last() {
            Some((segment, (valid, previous_end))) => {
                self.keep(Surveyed { file, full_length, segment, valid, previous_end });
            }
            None => self.set_free(file, full_length),
        }
    }

    fn set_free(&mut self, file: u32, full_length: bool) {
        if full_length { self.free.push(file) } else { self.short.push(file) }
    }

    /// Of two files with the same segment the fuller one counts.
    fn keep(&mut self, new: Surveyed) {
        let segment = new.segment;
        let other = match self.found.remove(&segment) {
            Some(old) if old.valid.count() >= new.valid.count() => {
                self.found.insert(segment, old);
                new
            }
            old => {
                self.found.insert(segment, new);
                let Some(old) = old else { return };
                old
            }
        };
        self.set_free(other.file, other.full_length);
    }

    /// Ends the first pass.
    ///
    /// # Errors
    /// `OtherVersion` if the frames are of another format.
    pub fn plan(mut self) -> Result<Plan, RecoverError> {
        if self.found.is_empty() && self.other_version {
            return Err(RecoverError::OtherVersion);
        }
        let tail_segment = self.tail.segment();
        let stale: Vec<u64> = self.found.range(..tail_segment).map(|(id, _)| *id).collect();
        for id in stale {
            self.discard(id);
        }
        let cut = self.cut();
        let beyond: Vec<u64> =
            self.found.keys().copied().filter(|id| Lsn::first_of(*id) >= cut).collect();
        for id in beyond {
            self.discard(id);
        }
        self.discard_skipped();
        let present: BTreeSet<u32> = (self.found.values().map(|found| found.file))
            .chain(self.free.iter().copied())
            .collect();
        let vacant = (0..self.files).filter(|file| !present.contains(file)).collect();
        Ok(Plan {
            order: self.found.values().map(|found| found.file).collect(),
            by_file: self.found.into_values().map(|found| (found.file, found)).collect(),
            free: self.free,
            vacant,
            files: self.files,
            cut,
            tail: self.tail,
            newest_id: self.newest_id,
        })
    }

    fn discard(&mut self, id: u64) {
        if let Some(found) = self.found.remove(&id) {
            self.set_free(found.file, found.full_length);
        }
    }

    /// Where the log ends: from the durable mark on, the first frame that is
    /// not whole, stepping over the ends of segments that were left early.
    fn cut(&self) -> Lsn {
        let mut at = self.durable;
        loop {
            // Torn first commits of earlier boots may name the same end: the
            // newest segment that does is the one that went on from there.
            let successor = (self.found.range(at.segment() + 1..))
                .rfind(|(_, found)| found.previous_end == at)
                .map(|(_, found)| found);
            if let Some(next) = successor {
                if !next.valid.get(0) {
                    return at;
                }
                at = Lsn::first_of(next.segment);
                continue;
            }
            match self.found.get(&at.segment()) {
                Some(found) if found.valid.get(at.index()) => at = at.next(),
                _ => return at,
            }
        }
    }

    /// Segments that their successor skipped hold nothing that was ever durable.
    fn discard_skipped(&mut self) {
        let mut newer = self.found.keys().next_back().copied();
        while let Some(id) = newer {
            let end = self.found[&id].previous_end;
            let before =
                if end.index() == 0 { end.segment().wrapping_sub(1) } else { end.segment() };
            let skipped: Vec<u64> = match before {
                u64::MAX => self.found.range(..id).map(|(id, _)| *id).collect(),
                before => self.found.range(before + 1..id).map(|(id, _)| *id).collect(),
            };
            for id in skipped {
                self.discard(id);
            }
            newer = self.found.range(..id).next_back().map(|(id, _)| *id);
        }
    }
}

/// What the first pass found: the files to read again, in this order.
pub struct Plan {
    order: Vec<u32>,
    by_file: BTreeMap<u32, Surveyed>,
    free: Vec<u32>,
    vacant: Vec<u32>,
    files: u32,
    cut: Lsn,
    tail: Lsn,
    /// The highest segment id ever seen; ids below it may stand in torn leftovers
    /// and are never given again.
    newest_id: u64,
}

impl Plan {
    /// Files to give to `Replay::file`, in order.
    #[must_use]
    pub fn order(&self) -> &[u32] {
        &self.order
    }
}

/// Second pass: what the frames say.
pub struct Replay {
    plan: Plan,
    store: JournalKey,
    ciphers: BTreeMap<Boot, BootCipher>,
    segments: BTreeMap<u64, Segment>,
    lanes: [BTreeSet<Lsn>; 2],
    live: u64,
    released: Vec<Run>,
    states: BTreeMap<PendantId, (Lsn, PendantState)>,
    tick: Option<Tick>,
    answered: Answered,
    numbers: BTreeMap<Boot, [u64; 3]>,
    newest_boot: Option<Boot>,
    previous_end: Option<Lsn>,
    damaged: u64,
    gap_open: [bool; 3],
    voids: Vec<Shed>,
    opened: u64,
    sealed_elsewhere: u64,
}

/// What was found, before it is made into a running gateway.
pub(in crate::engine) struct Recovered {
    pub(in crate::engine) journal: Journal,
    pub(in crate::engine) states: BTreeMap<PendantId, PendantState>,
    pub(in crate::engine) previous: Option<EndedBoot>,
    pub(in crate::engine) tick: Option<Tick>,
    pub(in crate::engine) answered: Answered,
    pub(in crate::engine) damaged: u64,
    pub(in crate::engine) voids: Vec<Shed>,
}

impl Replay {
    /// Begins the second pass.
    #[must_use]
    pub fn new(plan: Plan, store: JournalKey) -> Self {
        let tail = plan.tail;
        Self {
            plan,
            store,
            ciphers: BTreeMap::new(),
            segments: BTreeMap::new(),
            lanes: Default::default(),
            live: 0,
            released: Vec::new(),
            states: BTreeMap::new(),
            tick: None,
            answered: Answered::default(),
            numbers: BTreeMap::new(),
            newest_boot: None,
            previous_end: (tail != Lsn(0)).then_some(tail),
            damaged: 0,
            gap_open: [false; 3],
            voids: Vec::new(),
            opened: 0,
            sealed_elsewhere: 0,
        }
    }

    /// Which files to give, in this order.
    #[must_use]
    pub fn order(&self) -> Vec<u32> {
        self.plan.order.clone()
    }

    /// Takes one file.
    pub fn file(&mut self, file: u32, bytes: &[u8]) {
        let Some(found) = self.plan.by_file.remove(&file) else { return };
        self.note_missing_before(&found);
        let next_start = self
            .plan
            .by_file
            .values()
            .filter(|other| other.segment > found.segment)
            .min_by_key(|other| other.segment)
            .map(|next| next.previous_end);
        let end = match next_start {
            Some(end) if end.segment() == found.segment => end.index(),
            _ => SLOTS_PER_SEGMENT,
        };
        let slots: Vec<&Slot> = whole_slots(bytes).collect();
        self.segments.insert(found.segment, Segment::new(file, found.previous_end));
        for index in 0..end {
            let lsn = Lsn(Lsn::first_of(found.segment).0 + index);
            if lsn >= self.plan.cut {
                break;
            }
            let slot = slots.get(index as usize).copied().filter(|_| found.valid.get(index));
            match slot.and_then(|slot| self.open(slot, index)) {
                Some((boot, record)) => self.take(lsn, boot, record),
                None => self.damage(1),
            }
        }
        self.previous_end = Some(Lsn(Lsn::first_of(found.segment).0 + end));
    }

    /// A segment names the end of the one before; if that was not given, it is missing.
    fn note_missing_before(&mut self, found: &Surveyed) {
        let Some(seen) = self.previous_end else { return };
        if found.previous_end > seen {
            self.damage(found.previous_end.0 - seen.0);
        }
    }

    fn damage(&mut self, slots: u64) {
        self.damaged += slots;
        self.gap_open = [true; 3];
    }

    fn open(&mut self, slot: &Slot, index: u64) -> Option<(Boot, Record)> {
        let header = Header::read(slot, index)?;
        let store = &self.store;
        let cipher =
            self.ciphers.entry(header.boot).or_insert_with(|| BootCipher::new(store, header.boot));
        let record = slot::open(cipher, &header, slot);
        match record {
            Some(_) => self.opened += 1,
            None => self.sealed_elsewhere += 1,
        }
        record.map(|record| (header.boot, record))
    }

    fn take(&mut self, lsn: Lsn, boot: Boot, record: Record) {
        self.newest_boot = Some(boot);
        match record {
            Record::Opened(opened) => self.take_opened(boot, &opened),
            Record::Event(event, state) => {
                self.take_number(&event);
                let lane = event.kind.lane();
                let segment =
                    self.segments.get_mut(&lsn.segment()).expect("inserted before its frames");
                segment.live.set(lsn.index());
                self.live += 1;
                if let Some(index) = self.lanes.get_mut(lane as usize) {
                    index.insert(lsn);
                }
                if let Some(state) = state {
                    self.take_state(lsn, *state);
                }
            }
            Record::State(state) => self.take_state(lsn, *state),
            Record::Released(runs) => self.released.extend(runs),
            Record::Tick(tick) => self.tick = Some(tick),
            Record::Answered(answered) => self.answered = answered,
            Record::Ordered(changes) => changes.iter().for_each(|change| self.take_change(change)),
        }
    }

    fn take_state(&mut self, lsn: Lsn, state: PendantState) {
        if let Some(pendant) = PendantId::new(state.pendant) {
            self.states.insert(pendant, (lsn, state));
        }
    }

    fn take_change(&mut self, change: &Change) {
        let pendant = PendantId::new(change.pendant);
        if let Some((_, state)) = pendant.and_then(|pendant| self.states.get_mut(&pendant)) {
            state.apply(change);
        }
    }

    fn take_opened(&mut self, boot: Boot, opened: &Opened) {
        for lane in Lane::ALL {
            self.reach(boot, lane, opened.last[lane as usize] + 1);
            if let Some(previous) = &opened.previous {
                self.reach(previous.boot, lane, previous.last[lane as usize] + 1);
            }
        }
    }

    fn take_number(&mut self, event: &Event) {
        let lane = event.kind.lane();
        self.reach(event.boot, lane, event.number);
        let last = &mut self.numbers.entry(event.boot).or_default()[lane as usize];
        // Events carried forward bear old numbers and close no gap.
        if event.number > *last {
            *last = event.number;
            self.gap_open[lane as usize] = false;
        }
    }

    /// Numbers below `number` that were never seen were in damaged frames, if
    /// there were any since the last of this lane.
    fn reach(&mut self, boot: Boot, lane: Lane, number: u64) {
        let known = self.numbers.get(&boot).map(|last| last[lane as usize]);
        let last = known.unwrap_or(0);
        if self.gap_open[lane as usize] && known.is_some() && number > last + 1 {
            self.voids.push(Shed {
                boot,
                lane,
                first: last + 1,
                last: number - 1,
                count: number - 1 - last,
            });
        }
        let entry = self.numbers.entry(boot).or_default();
        entry[lane as usize] = entry[lane as usize].max(number - 1);
    }

    /// Makes the journal of a new boot out of what was read.
    pub(in crate::engine) fn finish(
        mut self,
        boot: Boot,
        limits: Limits,
    ) -> Result<Recovered, RecoverError> {
        if self.opened == 0 && self.sealed_elsewhere > 0 {
            return Err(RecoverError::ForeignKey);
        }
        self.apply_releases();
        let previous = self.newest_boot.map(|boot| EndedBoot {
            boot,
            last: self.numbers.get(&boot).copied().unwrap_or_default(),
        });
        let oldest = self.segments.keys().next().copied();
        let next = self.plan.newest_id + 1;
        let mut state_at = BTreeMap::new();
        let mut lsn_states = BTreeMap::new();
        let mut states = BTreeMap::new();
        for (pendant, (lsn, mut state)) in self.states {
            state.suspect |= self.damaged > 0;
            state_at.insert(pendant, lsn);
            lsn_states.insert(lsn, pendant);
            states.insert(pendant, state);
        }
        self.ciphers.insert(boot, BootCipher::new(&self.store, boot));
        let journal = Journal {
            store: self.store,
            boot,
            ciphers: self.ciphers,
            limits,
            opened: Opened { previous, ..first_opened() },
            answered: self.answered.clone(),
            segments: self.segments,
            free: VecDeque::from(self.plan.free),
            vacant: self.plan.vacant,
            files: self.plan.files,
            head: Lsn::first_of(next),
            durable: self.plan.cut,
            tail: oldest.map_or(Lsn::first_of(next), Lsn::first_of),
            open: VecDeque::new(),
            running: None,
            failure: None,
            allocating: None,
            growth_blocked_until: None,
            starved: false,
            tight: false,
            cleaning: None,
            reads: BTreeMap::new(),
            states: lsn_states,
            state_at,
            indexed: self.lanes,
            live: self.live,
            tickets: 0,
            operations: VecDeque::new(),
            news: VecDeque::new(),
        };
        Ok(Recovered {
            journal,
            states,
            previous,
            tick: self.tick,
            answered: self.answered,
            damaged: self.damaged,
            voids: self.voids,
        })
    }

    fn apply_releases(&mut self) {
        for run in std::mem::take(&mut self.released) {
            for lsn in (run.first..run.first + u64::from(run.count)).map(Lsn) {
                let cleared = self
                    .segments
                    .get_mut(&lsn.segment())
                    .is_some_and(|segment| segment.live.clear(lsn.index()));
                if cleared {
                    self.live -= 1;
                    for lane in &mut self.lanes {
                        lane.remove(&lsn);
                    }
                }
            }
        }
    }
}

fn whole_slots(bytes: &[u8]) -> impl Iterator<Item = &Slot> {
    bytes.chunks_exact(SLOT_BYTES).map(|slot| slot.try_into().expect("chunks are of this length"))
}
