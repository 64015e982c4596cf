//! What the judge finds.

use std::fmt;

/// What was broken; the names of DESIGN 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    Custody,
    NoLoss,
    Once,
    NobodyElse,
    CovertStays,
    UrgentFirst,
    QuietOrLost,
    HonestTime,
    FailLoud,
    Timers,
    /// When all is well again, everything goes on.
    Alive,
    /// The engine keeps to its own seam.
    Sound,
}

/// Two different downlinks with one nonce: by a fault, or by chance.
pub const SAME_NONCE: &str = "two downlinks with one nonce";

/// The first thing that was found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    pub at_us: u64,
    pub promise: Promise,
    pub why: String,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} at {}.{:06} s: {}",
            self.promise,
            self.at_us / 1_000_000,
            self.at_us % 1_000_000,
            self.why
        )
    }
}
