//! The gateway's age: time for timers, which runs on through restarts (P11).
//!
//! Steady time begins anew with every boot and wall clocks step, so neither can
//! hold a due time. The age is steady time plus what earlier boots have lived,
//! as journalled every minute; time spent switched off is added when the wall
//! clocks before and after can tell it. A clock that was set wrong meanwhile can
//! make a timer fire early, never keep it from firing.

use super::time::{Now, Wall};
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
    /// The last tick before this boot, until a set clock has told how long the
    /// gateway was off.
    unproven: Option<Tick>,
}

impl AgeClock {
    /// Goes on after `tick`; `known` is the latest age that anything journalled bears.
    pub(super) fn resume(tick: Option<Tick>, known: Age, now: Now) -> Self {
        let since = tick.map_or(Age::default(), |tick| tick.age).max(known);
        let base = Age(since.0.saturating_sub(now.mono.us() / 1000));
        let mut clock = Self { base, unproven: tick };
        clock.take_wall(now);
        clock
    }

    /// The age at a moment of this boot.
    pub(super) fn at(&self, now: Now) -> Age {
        self.base.plus_ms(now.mono.us() / 1000)
    }

    /// The first set clock of the boot tells how long the gateway was off: by so
    /// many ms is it older than was known.
    pub(super) fn take_wall(&mut self, now: Now) -> u64 {
        let Wall::Set { unix_ms: this, .. } = now.wall else { return 0 };
        let Some(Tick { age, wall: Wall::Set { unix_ms: then, .. } }) = self.unproven.take() else {
            return 0;
        };
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
