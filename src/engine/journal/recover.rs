//! Second pass of recovery: `Replay` takes what is below the cut that the survey
//! found. Bad frames there are damage and are told; from there on the first bad
//! frame ended the log, since nothing after it was ever acknowledged.

pub use super::findings::{BootFound, Findings, LostFrames};
pub use super::survey::{Headers, Plan, RecoverError, Survey};
pub use super::waiting::Waiting;

use super::segment::Segment;
use super::slot::{self, BootCipher, Header, Opened, Record, Run};
use super::space::{Limits, first_opened};
use super::states::States;
use super::survey::{Planned, whole_slots};
use super::{Journal, JournalKey, Leftovers, Lsn, Shed};
use crate::engine::age::Tick;
use crate::engine::command::Answered;
use crate::engine::event::{Boot, EndedBoot, Lane};
use crate::engine::mutant::{Mutant, planted};
use crate::engine::pendant::{Change, PendantState};
use pendant_protocol::PendantId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a frame says, as far as recovery needs it.
enum Said {
    Event {
        lane: Lane,
        boot: Boot,
        number: u64,
        covert_alarm_of: Option<u32>,
        state: Option<Box<PendantState>>,
    },
    Other(Box<Record>),
}

/// One file's frames, opened.
pub struct OpenedFile {
    file: u32,
    /// Of the frames from the first on: who wrote it and what; `None` if it cannot
    /// be read.
    frames: Vec<Option<(Boot, Said)>>,
    sealed_elsewhere: u64,
}

/// Opens files for a [`Replay`]: in any order, also several at the same time.
#[derive(Clone)]
pub struct Opener {
    plan: Plan,
    store: JournalKey,
}

impl Opener {
    /// Opens what is below the cut in one file.
    #[must_use]
    pub fn open(&self, file: u32, bytes: &[u8]) -> OpenedFile {
        open(&self.plan, &self.store, file, bytes)
    }
}

fn open(plan: &Plan, store: &JournalKey, file: u32, bytes: &[u8]) -> OpenedFile {
    let mut opened = OpenedFile { file, frames: Vec::new(), sealed_elsewhere: 0 };
    let Some(segment) = plan.segment_of(file) else { return opened };
    opened.frames.reserve_exact(segment.end as usize);
    let mut states: BTreeMap<u32, usize> = BTreeMap::new();
    let mut ciphers: BTreeMap<Boot, BootCipher> = BTreeMap::new();
    let mut slots = whole_slots(bytes);
    for index in 0..segment.end {
        let slot = slots.next().filter(|_| segment.valid.get(index));
        // The file may have changed since it was surveyed.
        let whole = slot.and_then(|slot| {
            let header = Header::read(slot, index)?;
            (header.lsn.segment() == segment.first.segment()).then_some((slot, header))
        });
        let said = whole.and_then(|(slot, header)| {
            let cipher =
                ciphers.entry(header.boot).or_insert_with(|| BootCipher::new(store, header.boot));
            let record = slot::open(cipher, &header, slot);
            opened.sealed_elsewhere += u64::from(record.is_none());
            Some((header.boot, Said::from(record?)))
        });
        // A pendant's later state is all that counts: the files that are open at a time are
        // to stay small in memory.
        if let Some(pendant) = said.as_ref().and_then(|(_, said)| said.state_of()) {
            let older = states.insert(pendant, opened.frames.len());
            let older = older.and_then(|index| opened.frames[index].as_mut());
            older.into_iter().for_each(|(_, said)| said.drop_state());
        }
        opened.frames.push(said);
    }
    opened
}

impl Said {
    /// Whose state it bears beside an event.
    fn state_of(&self) -> Option<u32> {
        match self {
            Self::Event { state, .. } => state.as_ref().map(|state| state.pendant),
            Self::Other(_) => None,
        }
    }

    fn drop_state(&mut self) {
        if let Self::Event { state, .. } = self {
            *state = None;
        }
    }
}

impl From<Record> for Said {
    fn from(record: Record) -> Self {
        match record {
            Record::Event(event, state) => Self::Event {
                lane: event.kind.lane(),
                boot: event.boot,
                number: event.number,
                covert_alarm_of: event.covert_alarm_of(),
                state,
            },
            other => Self::Other(Box::new(other)),
        }
    }
}

/// Second pass: what the frames say.
pub struct Replay {
    plan: Plan,
    store: JournalKey,
    segments: BTreeMap<u64, Segment>,
    lanes: [BTreeSet<Lsn>; 2],
    covert_alarms: BTreeMap<Lsn, u32>,
    live: u64,
    released: Vec<Run>,
    states: BTreeMap<PendantId, (Lsn, PendantState)>,
    tick: Option<Tick>,
    answered: Answered,
    numbers: BTreeMap<Boot, [u64; 3]>,
    newest_boot: Option<Boot>,
    /// How the boot before that one ended.
    before: Option<EndedBoot>,
    previous_end: Option<Lsn>,
    findings: Findings,
    /// How often damage was met so far.
    damages: u64,
    /// How often when the last number of each boot and lane was seen.
    damages_at: BTreeMap<Boot, [u64; 3]>,
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
            findings: Findings::of(&plan),
            plan,
            store,
            segments: BTreeMap::new(),
            lanes: Default::default(),
            covert_alarms: BTreeMap::new(),
            live: 0,
            released: Vec::new(),
            states: BTreeMap::new(),
            tick: None,
            answered: Answered::default(),
            numbers: BTreeMap::new(),
            newest_boot: None,
            before: None,
            previous_end: (tail != Lsn(0)).then_some(tail),
            damages: 0,
            damages_at: BTreeMap::new(),
            voids: Vec::new(),
            opened: 0,
            sealed_elsewhere: 0,
        }
    }

    /// Which files to give, in this order.
    #[must_use]
    pub fn order(&self) -> Vec<u32> {
        self.plan.order()
    }

    /// What opens the files, apart from the replay itself.
    #[must_use]
    pub fn opener(&self) -> Opener {
        Opener { plan: self.plan.clone(), store: self.store.clone() }
    }

    /// Takes one file.
    pub fn file(&mut self, file: u32, bytes: &[u8]) {
        let opened = open(&self.plan, &self.store, file, bytes);
        self.take(opened);
    }

    /// Takes one file that was opened. Files must come in order.
    pub fn take(&mut self, opened: OpenedFile) {
        let Some(segment) = self.plan.segment_of(opened.file) else { return };
        let Planned { file, first, end, previous_end, .. } = *segment;
        self.note_missing_before(previous_end);
        self.segments.insert(first.segment(), Segment::new(file, previous_end));
        self.sealed_elsewhere += opened.sealed_elsewhere;
        for (lsn, frame) in (first.0..).map(Lsn).zip(opened.frames) {
            match frame {
                Some((boot, said)) => {
                    self.opened += 1;
                    self.findings.read_back(boot, lsn);
                    self.take_frame(lsn, boot, said);
                }
                None => self.damage(lsn, lsn, Some(file)),
            }
        }
        self.previous_end = Some(Lsn(first.0 + end));
        if self.plan.end_is_missing && self.plan.segments.last().map(|last| last.file) == Some(file)
        {
            // How many frames there were, nothing tells: a segment's worth at most is
            // known to be gone.
            let cut = self.plan.cut;
            self.damage(cut, Lsn(Lsn::first_of(cut.segment() + 1).0 - 1), None);
        }
    }

    /// What was found so far; all of it once every file was given.
    #[must_use]
    pub fn findings(&mut self) -> Findings {
        self.apply_releases();
        Findings { waiting: self.live, ..self.findings.clone() }
    }

    /// The events that wait, to be read without a gateway.
    ///
    /// # Errors
    /// `ForeignKey` if nothing could be opened.
    pub fn into_waiting(mut self) -> Result<Waiting, RecoverError> {
        self.check_key()?;
        self.apply_releases();
        Ok(Waiting::new(self.plan, self.store, self.segments, self.voids))
    }

    /// # Errors
    /// `ForeignKey` if there are frames and none opened.
    pub fn check_key(&self) -> Result<(), RecoverError> {
        let foreign = self.opened == 0 && self.sealed_elsewhere > 0;
        if foreign { Err(RecoverError::ForeignKey) } else { Ok(()) }
    }

    /// A segment names the end of the one before; if that was not given, it is missing.
    fn note_missing_before(&mut self, previous_end: Lsn) {
        let Some(seen) = self.previous_end else { return };
        if previous_end > seen {
            self.damage(seen, Lsn(previous_end.0 - 1), None);
        }
    }

    fn damage(&mut self, first: Lsn, last: Lsn, file: Option<u32>) {
        self.findings.lost(first, last, file);
        self.damages += 1;
    }

    fn take_frame(&mut self, lsn: Lsn, boot: Boot, said: Said) {
        self.newest_boot = Some(boot);
        let record = match said {
            Said::Event { lane, boot, number, covert_alarm_of, state } => {
                self.take_number(boot, lane, number);
                let segment =
                    self.segments.get_mut(&lsn.segment()).expect("inserted before its frames");
                segment.live.set(lsn.index());
                self.live += 1;
                if let Some(index) = self.lanes.get_mut(lane as usize) {
                    index.insert(lsn);
                }
                self.covert_alarms.extend(covert_alarm_of.map(|pendant| (lsn, pendant)));
                if let Some(state) = state {
                    self.take_state(lsn, *state);
                }
                return;
            }
            Said::Other(record) => *record,
        };
        match record {
            Record::Opened(opened) => self.take_opened(boot, &opened),
            Record::State(state) => self.take_state(lsn, *state),
            Record::Released(runs) => self.released.extend(runs),
            Record::Tick(tick) => self.tick = Some(tick),
            Record::Answered(answered) => self.answered = answered,
            Record::Ordered(changes) => changes.iter().for_each(|change| self.take_change(change)),
            Record::Event(..) => unreachable!("events are taken above"),
        }
    }

    fn take_state(&mut self, lsn: Lsn, mut state: PendantState) {
        if lsn >= self.plan.settled {
            state.forget_replies();
        }
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
        self.before = opened.previous;
        for lane in Lane::ALL {
            self.reach(boot, lane, opened.last[lane as usize] + 1);
            if let Some(previous) = &opened.previous {
                self.reach(previous.boot, lane, previous.last[lane as usize] + 1);
            }
        }
    }

    fn take_number(&mut self, boot: Boot, lane: Lane, number: u64) {
        self.reach(boot, lane, number);
        let last = &mut self.numbers.entry(boot).or_default()[lane as usize];
        // Events carried forward bear old numbers and close no gap.
        if number > *last {
            *last = number;
            self.damages_at.entry(boot).or_default()[lane as usize] = self.damages;
        }
    }

    /// Numbers below `number` that were never seen were in damaged frames, if
    /// there were any since the last of this boot and lane. Of a boot that was not
    /// met before, all of them may have been.
    fn reach(&mut self, boot: Boot, lane: Lane, number: u64) {
        let last = self.numbers.get(&boot).map_or(0, |last| last[lane as usize]);
        let damages = self.damages_at.get(&boot).map_or(0, |at| at[lane as usize]);
        if self.damages > damages && number > last + 1 {
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
        self.check_key()?;
        self.apply_releases();
        let previous = self.ended_boot();
        let oldest = self.segments.keys().next().copied();
        let mut places = States::default();
        let mut states = BTreeMap::new();
        for (pendant, (lsn, mut state)) in std::mem::take(&mut self.states) {
            state.lorawan.skip_downlink_counters();
            if self.findings.damaged > 0 {
                state.doubt();
            }
            if planted(Mutant::ForgetWindow) {
                state.highest = None;
            }
            places.note(pendant, lsn);
            states.insert(pendant, state);
        }
        let (goes_on, leftovers) = (self.plan.goes_on.is_some(), self.leftovers());
        let head = if goes_on { self.plan.cut } else { Lsn::first_of(self.plan.newest_id + 1) };
        let mut journal = Journal {
            ciphers: BTreeMap::from([(boot, BootCipher::new(&self.store, boot))]),
            store: self.store,
            boot,
            limits,
            opened: Opened { previous, ..first_opened() },
            answered: self.answered.clone(),
            answered_durably: self.answered.clone(),
            answering: VecDeque::new(),
            tick_in: 0,
            segments: self.segments,
            free: self.plan.free.iter().copied().collect(),
            vacant: self.plan.vacant.clone(),
            files: self.plan.files,
            head,
            leftovers,
            durable: self.plan.cut,
            tail: oldest.map_or(head, Lsn::first_of),
            open: VecDeque::new(),
            unhurried: None,
            running: None,
            failure: None,
            hangs: false,
            allocating: None,
            growth_blocked_until: None,
            starved: false,
            tight: false,
            cleaning: None,
            unreadable: None,
            reads: BTreeMap::new(),
            states: places,
            indexed: self.lanes,
            covert_alarms: self.covert_alarms,
            live: self.live,
            tickets: 0,
            operations: VecDeque::new(),
            news: VecDeque::new(),
        };
        if goes_on {
            journal.say_opened(journal.opened);
        }
        Ok(Recovered {
            journal,
            states,
            previous,
            tick: self.tick,
            answered: self.answered,
            damaged: self.findings.damaged,
            voids: self.voids,
        })
    }

    /// What a commit that was cut off left where the log goes on.
    fn leftovers(&self) -> Option<Leftovers> {
        let slots = self.plan.goes_on.map_or(0, |goes_on| goes_on.leftovers);
        (slots > 0).then_some(Leftovers { first: self.plan.cut, slots })
    }

    /// The boot before this one that the centre may have heard of, and how it ended.
    fn ended_boot(&self) -> Option<EndedBoot> {
        let newest = self.newest_boot.map(|boot| EndedBoot {
            boot,
            last: self.numbers.get(&boot).copied().unwrap_or_default(),
        });
        // A boot that died before it could tell anything did not tell how the one
        // before it ended.
        let told_nothing = newest.is_some_and(|ended| ended.last == [0; 3]);
        if told_nothing { self.before.or(newest) } else { newest }
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
                    self.covert_alarms.remove(&lsn);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
