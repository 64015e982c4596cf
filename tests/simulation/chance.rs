//! Chance out of a seed. Each purpose has a stream of its own, so that a fault
//! that is taken out does not shift the others.

use std::ops::Range;

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn of(seed: u64, purpose: &str) -> Self {
        let mut chance = Self(seed);
        for byte in purpose.bytes() {
            chance.0 = chance.next() ^ u64::from(byte);
        }
        chance
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    /// True so many times in a hundred thousand.
    pub fn hits(&mut self, rate: u64) -> bool {
        self.below(100_000) < rate
    }

    /// Around a mean: from a tenth of it to about twice.
    pub fn around(&mut self, mean: u64) -> u64 {
        mean / 10 + self.below(mean * 2)
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("below the length")]
    }

    pub fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below the length")
    }
}
