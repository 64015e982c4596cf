//! What is known in memory of one segment: its file and one bit a frame.

use super::Lsn;
use super::slot::SLOTS_PER_SEGMENT;

const WORDS: usize = (SLOTS_PER_SEGMENT / 64) as usize;

/// One bit for each frame of a segment.
#[derive(Clone, Default)]
pub(super) struct Bits(Box<[u64; WORDS]>);

impl Bits {
    pub(super) fn get(&self, index: u64) -> bool {
        let (word, bit) = place(index);
        self.0[word] & bit != 0
    }

    pub(super) fn set(&mut self, index: u64) {
        let (word, bit) = place(index);
        self.0[word] |= bit;
    }

    /// Whether it was set.
    pub(super) fn clear(&mut self, index: u64) -> bool {
        let (word, bit) = place(index);
        let was = self.0[word] & bit != 0;
        self.0[word] &= !bit;
        was
    }

    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The first set bit at or after an index.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        let (first, _) = place(from);
        (first..WORDS).find_map(|word| {
            let mut bits = self.0[word];
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

/// One segment of the log.
pub(super) struct Segment {
    pub(super) file: u32,
    /// Where the segment before ended.
    pub(super) previous_end: Lsn,
    /// Events that are still to be delivered.
    pub(super) live: Bits,
}

impl Segment {
    pub(super) fn new(file: u32, previous_end: Lsn) -> Self {
        Self { file, previous_end, live: Bits::default() }
    }
}
