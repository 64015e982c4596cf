//! Positions in the log.

use super::slot::SLOTS_PER_SEGMENT;

/// A position in the log: segment id * 2048 + index. Never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub(crate) u64);

impl Lsn {
    pub(super) fn first_of(segment: u64) -> Self {
        Self(segment * SLOTS_PER_SEGMENT)
    }

    pub(super) fn segment(self) -> u64 {
        self.0 / SLOTS_PER_SEGMENT
    }

    pub(super) fn index(self) -> u64 {
        self.0 % SLOTS_PER_SEGMENT
    }

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
