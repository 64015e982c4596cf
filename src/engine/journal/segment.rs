//! What is known in memory of one segment: its file and one bit a frame.

use super::Lsn;
use super::slot::SLOTS_PER_SEGMENT;

const WORDS: usize = (SLOTS_PER_SEGMENT / 64) as usize;

/// One bit for each frame of a segment, and how many are set: room is reckoned
/// with that at every frame.
#[derive(Clone, Default)]
pub(super) struct Bits {
    words: Box<[u64; WORDS]>,
    set: u32,
}

impl Bits {
    pub(super) fn get(&self, index: u64) -> bool {
        let (word, bit) = place(index);
        self.words[word] & bit != 0
    }

    pub(super) fn set(&mut self, index: u64) {
        let (word, bit) = place(index);
        self.set += u32::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
    }

    /// Whether it was set.
    pub(super) fn clear(&mut self, index: u64) -> bool {
        let (word, bit) = place(index);
        let was = self.words[word] & bit != 0;
        self.words[word] &= !bit;
        self.set -= u32::from(was);
        was
    }

    pub(super) fn count(&self) -> u32 {
        self.set
    }

    /// The first set bit at or after an index.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        let (first, _) = place(from);
        (first..WORDS).find_map(|word| {
            let mut bits = self.words[word];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_that_of_the_bits() {
        let mut bits = Bits::default();
        for n in 0..4_000u64 {
            let index = n * 7_919 % SLOTS_PER_SEGMENT;
            if n % 3 == 0 {
                bits.clear(index);
            } else {
                bits.set(index);
            }
            let counted = (0..SLOTS_PER_SEGMENT).filter(|index| bits.get(*index)).count();
            assert_eq!(bits.count() as usize, counted, "after {n}");
        }
    }
}
