//! The only place that reads clocks for the engine.

use crate::engine::time::{Mono, Now, Wall, WallSource};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// 2025-01-01T00:00:00Z: a clock that says less was never set.
const NEVER_SET_BEFORE_MS: i64 = 1_735_689_600_000;
/// How often the kernel is asked whether the clock is synchronised.
const ASK_KERNEL_EVERY: Duration = Duration::from_secs(10);
/// Stated for a clock for which nothing vouches: a day.
const UNVERIFIED_MS: u32 = 86_400_000;

/// Steady time since the start, and the wall clock with its quality.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    asked: Option<Instant>,
    source: WallSource,
    uncertainty_ms: u32,
}

impl Clock {
    /// Starts counting.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            asked: None,
            source: WallSource::Unverified,
            uncertainty_ms: UNVERIFIED_MS,
        }
    }

    /// This moment.
    pub fn now(&mut self) -> Now {
        let instant = Instant::now();
        if self.asked.is_none_or(|asked| instant - asked >= ASK_KERNEL_EVERY) {
            self.asked = Some(instant);
            (self.source, self.uncertainty_ms) = match pendant_hal::clock::synchronised_within() {
                Some(error) => {
                    (WallSource::Ntp, u32::try_from(error.as_millis()).unwrap_or(u32::MAX).max(1))
                }
                None => (WallSource::Unverified, UNVERIFIED_MS),
            };
        }
        Now { mono: self.mono(instant), wall: self.wall() }
    }

    /// An instant of the runtime's clock on the engine's.
    #[must_use]
    pub fn mono(&self, instant: Instant) -> Mono {
        let us = instant.saturating_duration_since(self.start).as_micros();
        Mono::from_us(u64::try_from(us).unwrap_or(u64::MAX))
    }

    /// And back.
    #[must_use]
    pub fn instant(&self, mono: Mono) -> Instant {
        self.start + Duration::from_micros(mono.us())
    }

    fn wall(&self) -> Wall {
        let unix_ms = unix_ms();
        if unix_ms < NEVER_SET_BEFORE_MS {
            return Wall::Unset;
        }
        Wall::Set { unix_ms, uncertainty_ms: self.uncertainty_ms, source: self.source }
    }
}

/// The system clock's second, counted from 1970, by which TLS judges certificates.
pub fn unix_s() -> i64 {
    unix_ms().div_euclid(1000)
}

#[expect(clippy::disallowed_methods, reason = "the shell's clock is where time comes in")]
fn unix_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0)
}
