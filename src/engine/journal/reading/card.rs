//! Segment files as gateways may have left them on a card, frame by frame: what the tests
//! of recovery read.

use super::{Clear, sealed};
use crate::engine::event::Boot;
use crate::engine::journal::medium_test::{self, BOOT, key};
use crate::engine::journal::recover::{Plan, Replay, Survey};
use crate::engine::journal::slot::{Plain, Written};
use crate::engine::journal::{JournalKey, Lsn, SEGMENT_BYTES, SLOT_BYTES};
use std::collections::BTreeMap;
use std::ops::Range;

/// A place in the log.
pub(in crate::engine::journal) fn at(segment: u64, index: u64) -> Lsn {
    Lsn(Lsn::first_of(segment).0 + index)
}

/// What frames of one segment say in clear.
#[derive(Clone, Copy)]
pub(in crate::engine::journal) struct Stretch {
    /// The file in which they stand.
    pub(in crate::engine::journal) file: u32,
    pub(in crate::engine::journal) segment: u64,
    /// Where the segment before ended.
    pub(in crate::engine::journal) after: Lsn,
    /// The durable mark; `None`: each frame was synced by itself.
    pub(in crate::engine::journal) durable: Option<Lsn>,
    pub(in crate::engine::journal) tail: Lsn,
    pub(in crate::engine::journal) boot: Boot,
    pub(in crate::engine::journal) next_file: Option<u32>,
}

/// Frames that were synced one by one.
pub(in crate::engine::journal) fn stretch(file: u32, segment: u64, after: Lsn) -> Stretch {
    Stretch { file, segment, after, durable: None, tail: Lsn(0), boot: BOOT, next_file: None }
}

/// The files by their numbers.
#[derive(Clone)]
pub(in crate::engine::journal) struct Card {
    pub(in crate::engine::journal) files: BTreeMap<u32, Vec<u8>>,
}

impl Card {
    /// Files of zeros.
    pub(in crate::engine::journal) fn of_files(files: u32) -> Self {
        let zeros = vec![0; SEGMENT_BYTES as usize];
        Self { files: (0..files).map(|file| (file, zeros.clone())).collect() }
    }

    /// Frames that say nothing of any pendant.
    pub(in crate::engine::journal) fn fill(&mut self, of: Stretch, indices: Range<u64>) {
        for index in indices {
            self.say(of, index, &Written::Released(Vec::new()));
        }
    }

    /// One frame.
    pub(in crate::engine::journal) fn say(
        &mut self,
        of: Stretch,
        index: u64,
        record: &Written<'_>,
    ) {
        self.seal(&key(), of, index, record);
    }

    /// One frame of the store that has this key.
    pub(in crate::engine::journal) fn seal(
        &mut self,
        key: &JournalKey,
        of: Stretch,
        index: u64,
        record: &Written<'_>,
    ) {
        let lsn = at(of.segment, index).0;
        let clear = Clear {
            lsn,
            durable_before: of.durable.map_or(lsn, |durable| durable.0),
            previous_end: of.after.0,
            tail: of.tail.0,
            boot: of.boot,
            next_file: of.next_file,
        };
        let frame = sealed(key, &clear, &Plain::new(record).0[..]);
        self.slot(of.file, index).copy_from_slice(&frame);
    }

    /// One bit of a frame is not what it was.
    pub(in crate::engine::journal) fn tear(&mut self, file: u32, index: u64) {
        self.slot(file, index)[100] ^= 1;
    }

    /// A whole frame, of another version.
    pub(in crate::engine::journal) fn age(&mut self, file: u32, index: u64, segment: u64) {
        let slot = self.slot(file, index);
        slot[4] -= 1;
        let seed = crc32c::crc32c(&segment.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &slot[4..]);
        slot[..4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Only so many frames of a file are left.
    pub(in crate::engine::journal) fn cut_short(&mut self, file: u32, slots: usize) {
        self.files.get_mut(&file).expect("the file").truncate(slots * SLOT_BYTES);
    }

    fn slot(&mut self, file: u32, index: u64) -> &mut [u8] {
        let first = index as usize * SLOT_BYTES;
        &mut self.files.get_mut(&file).expect("the file")[first..first + SLOT_BYTES]
    }

    /// The first pass over all files.
    pub(in crate::engine::journal) fn survey(&self) -> Survey {
        medium_test::survey(&self.files)
    }

    /// What the first pass found.
    pub(in crate::engine::journal) fn plan(&self) -> Plan {
        self.survey().plan().expect("frames of this version")
    }

    /// Both passes.
    pub(in crate::engine::journal) fn replay(&self) -> Replay {
        medium_test::replay(&self.files)
    }
}
