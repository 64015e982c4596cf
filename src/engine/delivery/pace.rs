//! How fast the backlog may go, so that a centre to which a hundred gateways
//! return at once is not flooded. Fresh events are never held back.

use crate::engine::time::Mono;
use std::num::NonZeroU32;

/// What may go at once after a pause: as much as in this time, ms.
const BURST_MS: u64 = 20;

/// A steady rate (the virtual scheduling of ITU-T I.371, annex A).
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    interval_us: u64,
    /// When the next would go if all went evenly, us.
    next_us: u64,
}

impl Pace {
    /// So many events a second; `None`: as many as the line takes.
    pub(super) fn new(per_s_max: Option<NonZeroU32>) -> Self {
        let interval_us = per_s_max.map_or(0, |per_s| 1_000_000 / u64::from(per_s.get()));
        Self { interval_us, next_us: 0 }
    }

    /// When the next may go.
    pub(super) fn opens(&self) -> Mono {
        Mono::from_us(self.next_us.saturating_sub(BURST_MS * 1000))
    }

    /// One goes now.
    pub(super) fn spend(&mut self, now: Mono) {
        self.next_us = self.next_us.max(now.us()) + self.interval_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events that go within so many milliseconds.
    fn gone(pace: &mut Pace, ms: u64) -> u64 {
        let (mut count, mut now) = (0, Mono::from_us(5_000_000));
        let end = now.plus_ms(ms);
        while now < end && count < 10_000 {
            pace.spend(now);
            count += 1;
            now = now.max(pace.opens());
        }
        count
    }

    #[test]
    fn so_many_a_second_and_a_short_burst() {
        let mut pace = Pace::new(NonZeroU32::new(200));
        let gone = gone(&mut pace, 10_000);
        assert!((2_000..=2_005).contains(&gone), "{gone}");
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        assert_eq!(gone(&mut Pace::new(None), 1), 10_000);
    }
}
