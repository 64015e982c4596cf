//! The gateway's age: time for timers, which runs on through restarts (P11).
//!
//! Steady time begins anew with every boot and wall clocks step, so neither can
//! hold a due time. The age is steady time plus what earlier boots have lived,
//! as journalled every minute; time spent switched off is added when the wall
//! clocks before and after can tell it. A clock that was set wrong meanwhile can
//! make a timer fire early, never keep it from firing.

use super::time::{Now, Wall, WallSource};
use serde::{Deserialize, Serialize};

/// A moment in the gateway's life, milliseconds since its first start.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(super) struct Age(u64);

impl Age {
    pub(super) fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    pub(super) fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The age as it was journalled, with the wall clock of that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tick {
    pub(super) age: Age,
    pub(super) wall: Wall,
}

/// How often the age is journalled, ms: so much of a timer is lived twice at most
/// after a power cut with an unset clock.
pub(super) const TICK_MS: u64 = 60_000;

/// The running age.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgeClock {
    base: Age,
    /// The last tick before this boot, until a clock that is vouched for has told how long
    /// the gateway was off.
    unproven: Option<Tick>,
    /// A clock for which nothing vouches has told it once. Without a battery it goes on
    /// after a power cut where it was, until a time server sets it.
    told_unverified: bool,
}

impl AgeClock {
    /// Goes on after `tick`; `known` is the latest age that anything journalled bears.
    pub(super) fn resume(tick: Option<Tick>, known: Age, now: Now) -> Self {
        let since = tick.map_or(Age::default(), |tick| tick.age).max(known);
        let base = Age(since.0.saturating_sub(now.mono.us() / 1000));
        let mut clock = Self { base, unproven: tick, told_unverified: false };
        clock.take_wall(now);
        clock
    }

    /// The age at a moment of this boot.
    pub(super) fn at(&self, now: Now) -> Age {
        self.base.plus_ms(now.mono.us() / 1000)
    }

    /// The first set clock of the boot tells how long the gateway was off, and so does the
    /// first one that is vouched for: by so many ms is it older than was known.
    pub(super) fn take_wall(&mut self, now: Now) -> u64 {
        let Wall::Set { unix_ms: this, source, .. } = now.wall else { return 0 };
        let before = match source {
            WallSource::Ntp => self.unproven.take(),
            WallSource::Unverified if std::mem::replace(&mut self.told_unverified, true) => None,
            WallSource::Unverified => self.unproven,
        };
        let Some(Tick { age, wall: Wall::Set { unix_ms: then, .. } }) = before else { return 0 };
        let proven = age.plus_ms(u64::try_from(this.saturating_sub(then)).unwrap_or(0));
        let missing = proven.ms_since(self.at(now));
        self.base = self.base.plus_ms(missing);
        missing
    }

    /// Milliseconds of this boot's steady time at which an age is reached.
    pub(super) fn mono_ms_of(&self, age: Age) -> u64 {
        age.ms_since(self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::{Mono, WallSource};

    fn now(mono_ms: u64, unix_ms: Option<i64>) -> Now {
        let wall = unix_ms.map_or(Wall::Unset, |unix_ms| Wall::Set {
            unix_ms,
            uncertainty_ms: 10,
            source: WallSource::Ntp,
        });
        Now { mono: Mono::from_us(mono_ms * 1_000), wall }
    }

    /// The journal is read before the age goes on: that may take seconds of the boot.
    #[test]
    fn the_age_goes_on_where_it_was_however_late_in_the_boot_it_is_known() {
        let tick = Tick { age: Age(600_000), wall: Wall::Unset };
        let clock = AgeClock::resume(Some(tick), Age(601_500), now(5_250, None));
        assert_eq!(clock.at(now(5_250, None)), Age(601_500));
        assert_eq!(clock.at(now(7_251, None)), Age(603_501));
        assert_eq!(clock.mono_ms_of(Age(603_501)), 7_251);
        assert_eq!(clock.mono_ms_of(Age(1)), 0, "it was reached in an earlier boot");
    }

    #[test]
    fn the_first_set_clock_tells_how_long_the_gateway_was_off_and_only_once() {
        let tick = Tick { age: Age(600_000), wall: now(0, Some(1_000_000)).wall };
        let mut clock = AgeClock::resume(Some(tick), Age(600_000), now(5_000, None));
        assert_eq!(clock.take_wall(now(8_000, None)), 0);
        // 70 s after the tick, of which this boot has lived 4 s.
        assert_eq!(clock.take_wall(now(9_000, Some(1_070_000))), 66_000);
        assert_eq!(clock.at(now(9_000, None)), Age(670_000));
        assert_eq!(clock.take_wall(now(10_000, Some(9_999_000))), 0);
        assert_eq!(clock.at(now(10_000, None)), Age(671_000));
    }

    /// The system goes on with the time of its last life until a time server is reached.
    #[test]
    fn a_clock_that_went_on_where_it_was_hides_no_time_off() {
        let tick = Tick { age: Age(600_000), wall: now(0, Some(1_000_000)).wall };
        let unverified = |mono_ms, unix_ms| {
            let (uncertainty_ms, source) = (86_400_000, WallSource::Unverified);
            Now { wall: Wall::Set { unix_ms, uncertainty_ms, source }, ..now(mono_ms, None) }
        };
        let mut clock = AgeClock::resume(Some(tick), Age(600_000), unverified(0, 1_000_500));
        assert_eq!(clock.at(now(0, None)), Age(600_500));
        assert_eq!(clock.take_wall(unverified(2_000, 9_000_000)), 0, "a step moves no timer");
        assert_eq!(clock.take_wall(now(10_000, Some(8_200_000))), 7_189_500);
        assert_eq!(clock.at(now(10_000, None)), Age(7_800_000));
        assert_eq!(clock.take_wall(now(11_000, Some(9_999_000))), 0);
    }
}
