//! What is known in memory of one segment: its file and one bit a frame.

use super::Lsn;
use super::slot::SLOTS_PER_SEGMENT;

const WORDS: usize = (SLOTS_PER_SEGMENT / 64) as usize;

/// One segment of the log.
pub(super) struct Segment {
    pub(super) file: u32,
    /// Where the segment before ended.
    pub(super) previous_end: Lsn,
    live: Box<[u64; WORDS]>,
}

impl Segment {
    pub(super) fn new(file: u32, previous_end: Lsn) -> Self {
        Self { file, previous_end, live: Box::new([0; WORDS]) }
    }

    pub(super) fn is_live(&self, index: u64) -> bool {
        let (word, bit) = place(index);
        self.live[word] & bit != 0
    }

    pub(super) fn set_live(&mut self, index: u64) {
        let (word, bit) = place(index);
        self.live[word] |= bit;
    }

    /// Whether it was live.
    pub(super) fn clear_live(&mut self, index: u64) -> bool {
        let (word, bit) = place(index);
        let was = self.live[word] & bit != 0;
        self.live[word] &= !bit;
        was
    }

    /// The first live frame at or after an index.
    pub(super) fn next_live(&self, from: u64) -> Option<u64> {
        let (first, _) = place(from);
        (first..WORDS).find_map(|word| {
            let mut bits = self.live[word];
            if word == first {
                bits &= u64::MAX << (from % 64);
            }
            (bits != 0).then(|| word as u64 * 64 + u64::from(bits.trailing_zeros()))
        })
    }
}

fn place(index: u64) -> (usize, u64) {
    ((index / 64) as usize, 1 << (index % 64))
}
