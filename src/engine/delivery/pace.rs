//! How fast the backlog may go, so that a centre to which a hundred gateways
//! return at once is not flooded. Fresh events are never held back.
//!
//! It goes in batches at even times. Between them what comes next is read, so that
//! neither when something leaves nor how much of it tells which lanes wait (P5).

use crate::engine::time::Mono;
use std::num::NonZeroU32;

/// Shortest time between two batches, ms: longer than the reads for one take.
const BATCH_EVERY_MS: u64 = 50;

/// A steady rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// `None`: as fast as the line takes it.
    batches: Option<Batches>,
    /// Nothing waits.
    rested: bool,
    at: Mono,
    left: u32,
}

#[derive(Clone, Copy, Debug)]
struct Batches {
    every_us: u64,
    events: u32,
}

impl Pace {
    /// So many events a second; `None`: as many as the line takes.
    pub(super) fn new(per_s_max: Option<NonZeroU32>) -> Self {
        let batches = per_s_max.map(|per_s| {
            let per_s = u64::from(per_s.get());
            let events = (per_s * BATCH_EVERY_MS).div_ceil(1_000);
            let every_us = events * 1_000_000 / per_s;
            Batches { every_us, events: u32::try_from(events).unwrap_or(u32::MAX) }
        });
        Self { batches, rested: true, at: Mono::ZERO, left: 0 }
    }

    /// Nothing waits.
    pub(super) fn rest(&mut self) {
        self.rested = true;
    }

    /// Something waits. If nothing did before, it goes with a batch of its own.
    pub(super) fn wake(&mut self, now: Mono) {
        let Some(Batches { every_us, events }) = self.batches else { return };
        if std::mem::take(&mut self.rested) {
            self.begin(after(now, every_us), events);
        }
    }

    /// Whether one may go now. If not, one may at `opens`.
    pub(super) fn may_go(&mut self, now: Mono) -> bool {
        let Some(Batches { every_us, events }) = self.batches else { return true };
        if now >= after(self.at, every_us) {
            // The line was slower; what it missed is not made up for.
            self.begin(now, events);
        } else if self.left == 0 {
            self.begin(after(self.at, every_us), events);
        }
        now >= self.at
    }

    fn begin(&mut self, at: Mono, events: u32) {
        self.at = at;
        self.left = events;
    }

    /// When the next batch goes.
    pub(super) fn opens(&self) -> Mono {
        self.at
    }

    /// One goes now.
    pub(super) fn spend(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

fn after(at: Mono, us: u64) -> Mono {
    Mono::from_us(at.us() + us)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many go at which ms of the first so many.
    fn gone(per_s: u32, ms: u64) -> Vec<(u64, u32)> {
        let mut pace = Pace::new(NonZeroU32::new(per_s));
        let (begin, mut gone) = (Mono::from_us(5_000_000), Vec::new());
        pace.wake(begin);
        for ms in 0..ms {
            let mut count = 0;
            while count < 10_000 && pace.may_go(begin.plus_ms(ms)) {
                pace.spend();
                count += 1;
            }
            gone.extend((count > 0).then_some((ms, count)));
        }
        gone
    }

    #[test]
    fn it_goes_in_even_batches() {
        assert_eq!(gone(200, 200), [(50, 10), (100, 10), (150, 10)]);
        assert_eq!(gone(2, 2_000), [(500, 1), (1_000, 1), (1_500, 1)]);
        assert_eq!(gone(50, 181), [(60, 3), (120, 3), (180, 3)]);
        assert_eq!(gone(200, 10_001).iter().map(|(_, count)| count).sum::<u32>(), 2_000);
    }

    #[test]
    fn what_comes_after_a_rest_goes_with_a_batch_of_its_own() {
        let mut pace = Pace::new(NonZeroU32::new(200));
        let at = |ms| Mono::ZERO.plus_ms(ms);
        pace.wake(at(0));
        assert_eq!(pace.opens(), at(50));
        // It is woken already.
        pace.wake(at(10));
        assert_eq!(pace.opens(), at(50));
        pace.rest();
        pace.wake(at(70));
        assert_eq!(pace.opens(), at(120));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let mut pace = Pace::new(None);
        assert!((0..10_000).all(|_| {
            pace.spend();
            pace.may_go(Mono::ZERO)
        }));
    }

    #[test]
    fn a_line_that_is_slower_is_not_held_up() {
        let mut pace = Pace::new(NonZeroU32::new(200));
        pace.wake(Mono::ZERO);
        assert!(!pace.may_go(Mono::ZERO));
        for ms in (50..2_000).step_by(180) {
            assert!(pace.may_go(Mono::ZERO.plus_ms(ms)), "{ms}");
            pace.spend();
        }
    }
}
