//! Frames for which nobody waits: what is never answered, and needs no help. They wait
//! a little for others, so that one sync serves several and the medium lives longer.
//! What is answered is never among them (P1), nor is an alarm.

use super::commit::COMMIT_SLOTS_MAX;
use super::{Journal, Lsn};
use crate::engine::time::Mono;

/// Longest wait, ms. A power cut takes what is younger, if no broker had it.
const WAIT_MS: u64 = 5_000;

/// How soon a frame must be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Haste {
    /// As soon as the disk can.
    AtOnce,
    /// It may wait for others, from this moment on.
    Unhurried(Mono),
}

/// The end of the open frames, if nothing in it has haste.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unhurried {
    /// The first of them.
    first: Lsn,
    /// When it has waited long enough.
    until: Mono,
}

impl Journal {
    /// A frame was appended behind others.
    pub(super) fn note_haste(&mut self, lsn: Lsn, haste: Haste) {
        self.unhurried = match haste {
            Haste::AtOnce => None,
            Haste::Unhurried(now) => Some(
                self.unhurried.unwrap_or(Unhurried { first: lsn, until: now.plus_ms(WAIT_MS) }),
            ),
        };
    }

    /// A commit is under way that ends here.
    pub(super) fn note_commit(&mut self, end: Lsn) {
        self.unhurried.take_if(|unhurried| unhurried.first < end);
    }

    /// Whether all that is open may wait for more.
    pub(super) fn waits_for_others(&self, now: Mono) -> bool {
        let Some((&(first, _), unhurried)) = self.open.front().zip(self.unhurried) else {
            return false;
        };
        unhurried.first <= first && now < unhurried.until && self.open.len() < COMMIT_SLOTS_MAX
    }

    /// When it has waited long enough; a commit that is under way asks again by itself.
    pub(super) fn patience_deadline(&self) -> Option<Mono> {
        let idle = self.running.is_none() && self.failure.is_none();
        self.unhurried.filter(|_| idle).map(|unhurried| unhurried.until)
    }
}
