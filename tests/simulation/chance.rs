//! Chance out of a seed. Each purpose has a stream of its own, so that a fault
//! that is taken out does not shift the others.

use crate::dice::Dice;
use std::ops::Range;

#[derive(Clone, Debug)]
pub struct Chance(Dice);

impl Chance {
    pub fn of(seed: u64, purpose: &str) -> Self {
        let mut dice = Dice(seed);
        for byte in purpose.bytes() {
            dice.0 = dice.next() ^ u64::from(byte);
        }
        Self(dice)
    }

    pub fn next(&mut self) -> u64 {
        self.0.next()
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0.below(n)
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
        self.0.pick(from)
    }

    pub fn place(&mut self, length: usize) -> usize {
        self.0.place(length)
    }
}
