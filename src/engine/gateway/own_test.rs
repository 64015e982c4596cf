//! The gateway's own test alarm: it takes the way of every event, and its fate, unlike
//! that of any event of a pendant, may be shown on site.
//!
//! Only while it is fresh. When an event of the backlog reaches the centre depends on
//! how many urgent ones stand before it, and so on what pendants said (P5): a test that
//! nobody would take now is refused, and of one that goes back to the backlog no more is
//! shown.

use super::Gateway;
use crate::engine::event::{Detail, Kind, Stamp, Telling};
use crate::engine::time::{Mono, Now};

/// Two test alarms are at least so far apart, ms.
const APART_MS: u64 = 5_000;
/// So long the next one waits for one that is still on its way, ms.
const ON_ITS_WAY_MS: u64 = 60_000;

/// What may be shown of the newest test alarm of this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastTest {
    /// How many there were, this one included. Not the event's number: that would
    /// count what pendants say (P5).
    pub count: u64,
    /// When somebody asked for it.
    pub asked: Stamp,
    /// What became of it.
    pub fate: TestFate,
}

/// What became of a test alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestFate {
    /// It was offered, and may still reach the centre at once.
    OnItsWay,
    /// The centre has it (without receipts: a broker).
    Reached {
        /// So long after it was asked for, ms.
        after_ms: u64,
    },
    /// It did not reach the centre at once. It is kept and offered again like every
    /// event; whether it arrives is not shown here.
    Stuck,
}

/// Why there is no test alarm now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestRefusal {
    /// The last one is too fresh, or on its way.
    TooSoon {
        /// So long it has to wait, ms.
        wait_ms: u64,
    },
    /// No broker is connected that would take it.
    NoBroker,
}

/// A test alarm as the engine follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnTest {
    event: Telling,
    count: u64,
    asked: Stamp,
    reached_after_ms: Option<u64>,
}

impl Gateway {
    /// Whether somebody on site may have a test alarm now.
    ///
    /// # Errors
    /// Says why not. [`Input::Test`](crate::engine::seam::Input::Test) would do nothing.
    pub fn may_test(&self, now: Now) -> Result<(), TestRefusal> {
        if let Some(wait_ms) = self.last_test().and_then(|last| waits_ms(&last, now.mono)) {
            return Err(TestRefusal::TooSoon { wait_ms });
        }
        if self.delivery.takes_fresh() { Ok(()) } else { Err(TestRefusal::NoBroker) }
    }

    /// Somebody on site tries the way to the centre.
    pub(super) fn test(&mut self, now: Now) {
        if self.may_test(now).is_err() {
            return;
        }
        let count = self.own_test.map_or(0, |test| test.count) + 1;
        let event = self.tell_as(Kind::GatewayTest, Detail::None, now);
        self.delivery.follow(event);
        let asked = Stamp { mono: now.mono, wall: now.wall };
        self.own_test = Some(OwnTest { event, count, asked, reached_after_ms: None });
    }

    /// The centre has an event, as far as the gateway will ever know.
    pub(super) fn reached(&mut self, event: Telling, now: Now) {
        let Some(test) = self.own_test.as_mut().filter(|test| test.event == event) else { return };
        if self.delivery.follows(event) {
            let after_ms = now.mono.ms_since(test.asked.mono);
            test.reached_after_ms.get_or_insert(after_ms);
        }
    }

    pub(super) fn last_test(&self) -> Option<LastTest> {
        let test = self.own_test?;
        let fate = match test.reached_after_ms {
            Some(after_ms) => TestFate::Reached { after_ms },
            None if self.delivery.follows(test.event) => TestFate::OnItsWay,
            None => TestFate::Stuck,
        };
        Some(LastTest { count: test.count, asked: test.asked, fate })
    }
}

/// How long the next one has to wait, if it has.
fn waits_ms(last: &LastTest, now: Mono) -> Option<u64> {
    let wait_ms = if last.fate == TestFate::OnItsWay { ON_ITS_WAY_MS } else { APART_MS };
    let over_ms = now.ms_since(last.asked.mono);
    wait_ms.checked_sub(over_ms).filter(|wait_ms| *wait_ms > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::Wall;

    #[test]
    fn the_next_test_waits_until_the_last_one_is_long_enough_ago() {
        let waits = |fate: TestFate, ms: u64| {
            let asked = Stamp { mono: Mono::ZERO, wall: Wall::Unset };
            waits_ms(&LastTest { count: 1, asked, fate }, Mono::ZERO.plus_ms(ms))
        };
        let stuck = [0, 4_999, 5_000, 9_000].map(|ms| waits(TestFate::Stuck, ms));
        assert_eq!(stuck, [Some(5_000), Some(1), None, None]);
        let on_its_way = [0, 59_999, 60_000].map(|ms| waits(TestFate::OnItsWay, ms));
        assert_eq!(on_its_way, [Some(60_000), Some(1), None]);
    }
}
