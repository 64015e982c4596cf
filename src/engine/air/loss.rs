//! A silence that many pendants share.
//!
//! The usual rate is that of the last frames, and never above that of the
//! heartbeats that the site's policy lets expect: presses at the beginning of a
//! shift are none, and pendants that are out of range are not missed.

use super::Rate;
use crate::engine::time::Mono;
use pendant_protocol::PendantId;
use std::collections::VecDeque;

/// So many frames must be missing at the usual rate. One in e^24 gaps is as long,
/// and one in e^12 if half of the pendants have left unnoticed.
const MISSING_FRAMES: u64 = 24;
/// Frames that make the usual rate.
const RATE_FRAMES: usize = 64;
/// A frame counts if none of the last seven that count was of the same pendant: a
/// rate that one pendant makes is none, nor is one of less than eight.
const OTHERS: usize = 7;
/// A silence is at least so long, ms, and, where it would have to be longer than
/// this, not judged: then each pendant's own supervision tells.
const SILENCE_MS_MIN: u64 = 10_000;
const SILENCE_MS_MAX: u64 = 600_000;
/// It is over when so many frames that count were heard.
const BACK_FRAMES: usize = OTHERS + 1;

#[derive(Clone, Debug, Default)]
pub(super) struct Loss {
    counted: VecDeque<(Mono, PendantId)>,
    /// When the silence that goes on is too long.
    due: Option<Mono>,
    last: Mono,
    /// How many frames it still takes to end a suspicion; 0: there is none.
    suspected: usize,
}

impl Loss {
    /// True if a suspicion ends.
    pub(super) fn heard(&mut self, now: Mono, pendant: PendantId) -> bool {
        self.last = now;
        let mut over = false;
        if self.counted.iter().rev().take(OTHERS).all(|(_, other)| *other != pendant) {
            if self.counted.len() >= RATE_FRAMES {
                self.counted.pop_front();
            }
            self.counted.push_back((now, pendant));
            over = self.suspected == 1;
            self.suspected = self.suspected.saturating_sub(1);
        }
        self.due = self.observed_ms().map(|silence_ms| now.plus_ms(silence_ms));
        over
    }

    /// True if a suspicion begins.
    pub(super) fn handle_time(&mut self, now: Mono, expected: impl FnOnce() -> Rate) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        let silence_ms = expected().ms_for(MISSING_FRAMES).filter(|ms| *ms <= SILENCE_MS_MAX);
        let due = silence_ms.map(|silence_ms| self.last.plus_ms(silence_ms));
        self.due = due.filter(|due| *due > now);
        let begins = due.is_some_and(|due| due <= now) && self.suspected == 0;
        if begins {
            self.suspected = BACK_FRAMES;
        }
        begins
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.due
    }

    pub(super) fn forget(&mut self) {
        self.counted.clear();
        self.due = None;
    }

    pub(super) fn is_suspected(&self) -> bool {
        self.suspected > 0
    }

    /// How long a silence is too long by the rate of the last frames, ms.
    fn observed_ms(&self) -> Option<u64> {
        if self.counted.len() < RATE_FRAMES {
            return None;
        }
        let ((first, _), (last, _)) = (self.counted.front()?, self.counted.back()?);
        let silence_ms = last.ms_since(*first) * MISSING_FRAMES / (RATE_FRAMES as u64 - 1);
        (silence_ms <= SILENCE_MS_MAX).then_some(silence_ms.max(SILENCE_MS_MIN))
    }
}
