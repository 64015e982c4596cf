//! For the tests of journal, delivery and gateway: journals with so much in them, and a
//! medium that does at once what they ask.

use super::recover::{Replay, Survey};
use super::segment::Segment;
use super::{Haste, Journal, JournalKey, Limits, Lsn, SLOT_BYTES};
use crate::engine::event::{
    Authentication, Boot, Detail, Event, EventIdKey, FromPendant, Kind, Stamp,
};
use crate::engine::name::Name;
use crate::engine::pendant::PendantState;
use crate::engine::seam::{DiskDone, DiskFault, DiskOp};
use crate::engine::time::{Mono, Wall};
use pendant_protocol::PendantId;
use std::collections::{BTreeMap, BTreeSet};

/// The boot of these journals.
pub(in crate::engine) const BOOT: Boot = 77;

/// A moment of this boot.
pub(in crate::engine) fn at_ms(ms: u64) -> Mono {
    Mono::ZERO.plus_ms(ms)
}

/// A journal of which nothing is on the medium.
pub(in crate::engine) fn journal(files_max: u32, files_reserved: u32) -> Journal {
    let plan = Survey::new().plan().expect("nothing is of no other version");
    let limits = Limits { files_max, files_reserved };
    let recovered = Replay::new(plan, key()).finish(BOOT, limits);
    recovered.expect("nothing is of no other store").journal
}

/// Files 0 to `files`, of which the first stand in the log as durable segments from 1
/// on, and the last ones are free.
pub(in crate::engine) fn filled(
    files_max: u32,
    files_reserved: u32,
    files: u32,
    free: u32,
) -> Journal {
    let mut journal = journal(files_max, files_reserved);
    journal.files = files;
    journal.free = (files - free..files).collect();
    for file in 0..files - free {
        let id = u64::from(file) + 1;
        journal.segments.insert(id, Segment::new(file, Lsn::first_of(id)));
    }
    journal.head = Lsn::first_of(u64::from(files - free) + 1);
    journal.durable = journal.head;
    journal
}

/// With so many events in its oldest segment that wait.
pub(in crate::engine) fn with_live(mut journal: Journal, live: u32) -> Journal {
    let oldest = journal.segments.get_mut(&1).expect("segment 1");
    (2..2 + u64::from(live)).for_each(|index| oldest.live.set(index));
    journal.live += u64::from(live);
    journal
}

/// An event of the gateway itself.
pub(in crate::engine) fn event(kind: Kind, boot: u64, number: u64) -> Event {
    Event {
        id: EventIdKey::derive(&[1; 16], &[]).of_frame(boot as u32, number as u32, 0),
        kind,
        boot,
        number,
        received: Stamp { mono: Mono::ZERO, wall: Wall::Unset },
        from: None,
        detail: Detail::None,
    }
}

/// The same of a pendant.
pub(in crate::engine) fn of(pendant: u32, event: Event) -> Event {
    let from = FromPendant {
        pendant,
        enrolment: 7,
        wearer: Name::new("nurse-7").expect("a name"),
        authentication: Authentication::Native,
        counter: event.number as u32,
        heard: None,
    };
    Event { from: Some(from), ..event }
}

/// Events of these kinds, numbered from the last one on, on the medium.
pub(in crate::engine) fn stored(
    journal: &mut Journal,
    medium: &mut Medium,
    kinds: &[Kind],
) -> Vec<Lsn> {
    let mut places = Vec::with_capacity(kinds.len());
    let last = journal.opened.last.into_iter().max().unwrap_or(0);
    for (number, kind) in (last + 1..).zip(kinds) {
        let event = event(*kind, BOOT, number);
        places.push(journal.append_event(&event, None, Haste::AtOnce).expect("room"));
        if number % 256 == 0 {
            medium.serve(journal, Mono::ZERO);
        }
    }
    medium.serve(journal, Mono::ZERO);
    places
}

/// What is known of a pendant that was never heard.
pub(in crate::engine) fn state(pendant: u32) -> PendantState {
    PendantState::new(PendantId::new(pendant).expect("a number"), 7)
}

/// A medium that does all at once, as long as it is not told to fail.
#[derive(Default)]
pub(in crate::engine) struct Medium {
    pub(in crate::engine) files: BTreeMap<u32, Vec<u8>>,
    /// No commit succeeds.
    pub(in crate::engine) fails: bool,
    /// No read of these frames succeeds, in the first file.
    pub(in crate::engine) unreadable: BTreeSet<u64>,
}

/// Operations in which a journal of sixteen files is copied ten times over.
const OPERATIONS_MAX: u32 = 20_000;

impl Medium {
    pub(in crate::engine) fn carry_out(&mut self, operation: DiskOp) -> DiskDone {
        match operation {
            DiskOp::Commit { ticket, .. } if self.fails => DiskDone::Failed(ticket, DiskFault::Io),
            DiskOp::Commit { ticket, file, offset, bytes } => {
                let at = offset as usize;
                let file = self.files.get_mut(&file).expect("it was made");
                file[at..at + bytes.len()].copy_from_slice(&bytes);
                DiskDone::Committed(ticket)
            }
            DiskOp::Allocate { ticket, file, bytes } => {
                self.files.insert(file, vec![0; bytes as usize]);
                DiskDone::Allocated(ticket)
            }
            DiskOp::Read { ticket, file, offset, bytes } => {
                let at = offset as usize;
                let asked = at..at + bytes as usize;
                let hit = |index: &u64| asked.contains(&(*index as usize * SLOT_BYTES));
                if file == 0 && self.unreadable.iter().any(hit) {
                    return DiskDone::Failed(ticket, DiskFault::Io);
                }
                DiskDone::Read(ticket, self.files[&file][asked].to_vec())
            }
        }
    }

    /// Until the journal wants nothing more, also when asked twice, or a sync has failed.
    pub(in crate::engine) fn serve(&mut self, journal: &mut Journal, now: Mono) {
        let mut idle = false;
        for served in 0.. {
            assert!(served < OPERATIONS_MAX, "the journal never comes to rest");
            let Some(operation) = journal.poll_operation(now) else {
                let waiting = journal.states_to_carry().into_iter();
                let carried = waiting.filter(|p| journal.carry_state(*p, &state(p.get()))).count();
                if idle && carried == 0 {
                    return;
                }
                idle = carried == 0;
                continue;
            };
            idle = false;
            let done = self.carry_out(operation);
            let failed = self.fails && matches!(done, DiskDone::Failed(..));
            journal.handle(done, now);
            if failed {
                return;
            }
        }
    }

    /// The positions of events that wait, as the next boot finds them.
    pub(in crate::engine) fn found(&self) -> BTreeSet<Lsn> {
        let limits = Limits { files_max: 8, files_reserved: 0 };
        let journal = replay(&self.files).finish(BOOT + 1, limits).expect("of this store").journal;
        live(&journal)
    }

    /// A frame of the first file is not what was written.
    pub(in crate::engine) fn damage(&mut self, index: u64) {
        let file = self.files.get_mut(&0).expect("the first file");
        file[index as usize * SLOT_BYTES + 100] ^= 1;
    }
}

/// Of the store that these journals are of.
pub(in crate::engine) fn key() -> JournalKey {
    JournalKey::from_bytes([9; 32])
}

/// The first pass over all files.
pub(in crate::engine) fn survey(files: &BTreeMap<u32, Vec<u8>>) -> Survey {
    let mut survey = Survey::new();
    files.iter().for_each(|(file, bytes)| survey.file(*file, bytes));
    survey
}

/// Both passes, as the next boot makes them.
pub(in crate::engine) fn replay(files: &BTreeMap<u32, Vec<u8>>) -> Replay {
    let mut replay = Replay::new(survey(files).plan().expect("of this version"), key());
    for file in replay.order() {
        replay.file(file, &files[&file]);
    }
    replay
}

/// The positions of events that wait.
pub(in crate::engine) fn live(journal: &Journal) -> BTreeSet<Lsn> {
    let mut from = Lsn(0);
    let next = || {
        let lsn = journal.next_live(from)?;
        from = lsn.next();
        Some(lsn)
    };
    std::iter::from_fn(next).collect()
}
