//! What a reading of the journal found, in numbers that anyone on site may see:
//! frames and where they stand, never what they hold (P5).

use super::Lsn;
use super::survey::Plan;
use crate::engine::event::Boot;

/// Most ranges of lost frames that are kept apart; beyond, only counted.
const RANGES_MAX: usize = 64;

/// What one boot left in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootFound {
    /// Its number.
    pub boot: Boot,
    /// Frames that were read back.
    pub frames: u64,
    /// Id of the first segment that it wrote.
    pub first_segment: u64,
    /// Id of the last one.
    pub last_segment: u64,
}

/// Frames in a row that could not be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostFrames {
    /// Number of the file in which they should be; `None` if it is not there.
    pub file: Option<u32>,
    first: Lsn,
    last: Lsn,
}

impl LostFrames {
    /// Id of the segment and index in it of the first frame.
    #[must_use]
    pub fn first(&self) -> (u64, u64) {
        (self.first.segment(), self.first.index())
    }

    /// Id of the segment and index in it of the last frame.
    #[must_use]
    pub fn last(&self) -> (u64, u64) {
        (self.last.segment(), self.last.index())
    }

    /// How many frames.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }
}

/// What was found. Counts of frames are of 512 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Segment files of which something is known: the highest number plus one.
    pub files: u32,
    /// Files that hold nothing that counts.
    pub files_free: u64,
    /// Files that are too short, and hold nothing that counts.
    pub files_short: u64,
    /// Segments that make up the log.
    pub segments: u64,
    /// Frames that were read back.
    pub frames: u64,
    /// Events that wait to be delivered.
    pub waiting: u64,
    /// What each boot left, oldest first.
    pub boots: Vec<BootFound>,
    /// Frames that were durable once and could not be read back.
    pub damaged: u64,
    /// Where they are, at most 64 ranges.
    pub lost: Vec<LostFrames>,
    /// Frames of commits that were cut off: nobody was answered on them.
    pub void_frames: u64,
}

impl Findings {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            files: plan.files,
            files_free: plan.free.len() as u64,
            files_short: plan.short,
            segments: plan.segments.len() as u64,
            void_frames: plan.void_frames,
            ..Self::default()
        }
    }

    pub(super) fn read_back(&mut self, boot: Boot, lsn: Lsn) {
        self.frames += 1;
        let segment = lsn.segment();
        // Frames of one boot follow each other; damage may hide some.
        match self.boots.iter_mut().rfind(|found| found.boot == boot) {
            Some(found) => {
                found.frames += 1;
                found.last_segment = segment;
            }
            None => self.boots.push(BootFound {
                boot,
                frames: 1,
                first_segment: segment,
                last_segment: segment,
            }),
        }
    }

    pub(super) fn lost(&mut self, first: Lsn, last: Lsn, file: Option<u32>) {
        self.damaged += last.0 - first.0 + 1;
        if let Some(range) = self.lost.last_mut() {
            if range.file == file && range.last.next() == first {
                range.last = last;
                return;
            }
        }
        if self.lost.len() < RANGES_MAX {
            self.lost.push(LostFrames { file, first, last });
        }
    }

    /// Frames that are lost beyond the ranges that are kept apart.
    #[must_use]
    pub fn lost_elsewhere(&self) -> u64 {
        self.damaged - self.lost.iter().map(LostFrames::frames).sum::<u64>()
    }
}

#[cfg(test)]
mod tests;
