//! Whether somebody jams: a judgement of what one radio reports of its channel.
//!
//! Three signs, each enough by itself; the numbers and what they were measured
//! to do are in `docs/jamming.md`:
//!
//! 1. **Noise**: the channel is far above its usual level in most of the last
//!    seconds, while no frame is being received.
//! 2. **Failures**: many frames begin, and nearly all of them break.
//! 3. **Loss**: nothing at all is received for a time in which many frames would
//!    have been, at the rate of the last minutes. Nothing is known of who sends
//!    them: it is the loss that many pendants share.
//!
//! All of it is apparent on site: a discreet panic is a frame like any other.

use super::time::Mono;
use std::collections::VecDeque;

/// Reports are made at this interval, ms; a missing one is a second in which
/// nothing was measured.
pub const REPORT_INTERVAL_MS: u64 = 1_000;

/// What a radio reports of one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AirReport {
    /// Power on the channel while no frame was being received, dBm; `None` if it
    /// was not measured.
    pub noise_dbm: Option<i16>,
    /// Frames whose header or payload failed its checksum.
    pub failures: u32,
    /// Frames that were received whole, whoever sent them.
    pub frames: u32,
}

/// Why jamming is suspected.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Sign {
    /// The channel is noisy.
    Noise,
    /// Frames begin and break.
    Failures,
    /// Frames do not come at all.
    Loss,
}

impl Sign {
    /// The name in payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Failures => "failures",
            Self::Loss => "loss",
        }
    }
}

/// What the judgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AirNews {
    /// Jamming is suspected, for this reason.
    Suspected(Sign),
    /// It is over.
    Over,
}

/// So much above the usual level is noisy, dB. A receiver then reaches a third
/// as far (at 30 dB a decade less than half).
const NOISY_DB: i16 = 10;
/// The usual level is never taken to be above this, dBm: where a gateway is
/// started beside a jammer, that is not usual.
const USUAL_MAX_DBM: i16 = -100;
/// Samples that are judged together, and how many noisy ones are a sign. Other
/// people's transmissions are noise too, for a fifth of the time at most.
const SAMPLES: usize = 25;
const NOISY_SAMPLES: usize = 20;
/// The usual level follows quieter samples by an eighth of the difference, and
/// louder ones by a 256th of a decibel each, so that a new machine becomes usual
/// within hours.
const SCALE: i32 = 256;

/// Seconds over which failures are counted, how many are a sign, and how many
/// times as many as whole frames they must be.
const FAILURE_SECONDS: usize = 25;
const FAILURES_MIN: u32 = 8;
const FAILURES_SHARE: u32 = 4;

/// So many frames must be missing at the usual rate. One in e^12 gaps is as long
/// if the rate has halved unnoticed.
const MISSING_FRAMES: u64 = 25;
/// The usual rate is the lesser of the means over these times, seconds: neither a
/// busy hour nor one that was is usual.
const RATE_SECONDS: [u64; 2] = [600, 3_600];
/// Parts of a frame a second in which the rate is kept.
const RATE_SCALE: u64 = 1 << 24;
/// With fewer frames than one in so many seconds silence says nothing; then each
/// pendant's own supervision tells.
const RARE_SECONDS: u64 = 20;

/// Without any sign for this long it is over, ms.
const QUIET_MS: u64 = 60_000;

/// One radio's channel.
#[derive(Clone, Debug, Default)]
pub struct AirWatch {
    /// Usual level, 256ths of a decibel of a milliwatt.
    usual: Option<i32>,
    samples: VecDeque<bool>,
    seconds: VecDeque<(u32, u32)>,
    /// Frames a second in each mean, in [`RATE_SCALE`].
    rates: [u64; 2],
    /// Seconds in which reports came since a frame was received.
    silent_seconds: u64,
    suspected: bool,
    last_sign: Option<Mono>,
}

impl AirWatch {
    /// Takes a report; says whether the judgement changes.
    pub fn take(&mut self, now: Mono, report: AirReport) -> Option<AirNews> {
        let signs = [
            (self.is_noisy(report.noise_dbm), Sign::Noise),
            (self.is_breaking(report), Sign::Failures),
            (self.is_missing(report.frames), Sign::Loss),
        ];
        let sign = signs.iter().find(|(found, _)| *found).map(|(_, sign)| *sign);
        if sign.is_some() {
            self.last_sign = Some(now);
        }
        match (self.suspected, sign) {
            (false, Some(sign)) => {
                self.suspected = true;
                Some(AirNews::Suspected(sign))
            }
            (true, None) if self.last_sign.is_none_or(|at| now.ms_since(at) >= QUIET_MS) => {
                self.suspected = false;
                Some(AirNews::Over)
            }
            _ => None,
        }
    }

    /// The radio is down: what was before says nothing about what comes. A
    /// suspicion stays until the air is known to be quiet.
    pub fn forget(&mut self) {
        *self = Self {
            usual: self.usual,
            suspected: self.suspected,
            last_sign: self.last_sign,
            ..Self::default()
        };
    }

    /// Whether jamming is suspected now.
    #[must_use]
    pub fn is_suspected(&self) -> bool {
        self.suspected
    }

    /// The usual level of the channel, dBm, once it is known.
    #[must_use]
    pub fn usual_dbm(&self) -> Option<i16> {
        let usual = (self.usual? + SCALE / 2).div_euclid(SCALE);
        i16::try_from(usual).ok()
    }

    fn is_noisy(&mut self, noise_dbm: Option<i16>) -> bool {
        if let Some(noise_dbm) = noise_dbm {
            let level = i32::from(noise_dbm) * SCALE;
            let highest = i32::from(USUAL_MAX_DBM) * SCALE;
            let usual = self.usual.get_or_insert(level.min(highest));
            let noisy = level >= *usual + i32::from(NOISY_DB) * SCALE;
            *usual = if level < *usual {
                *usual + (level - *usual) / 8
            } else {
                (*usual + 1).min(level).min(highest)
            };
            push(&mut self.samples, noisy, SAMPLES);
        }
        self.samples.iter().filter(|noisy| **noisy).count() >= NOISY_SAMPLES
    }

    fn is_breaking(&mut self, report: AirReport) -> bool {
        push(&mut self.seconds, (report.failures, report.frames), FAILURE_SECONDS);
        let sum = |of: fn(&(u32, u32)) -> u32| {
            self.seconds.iter().map(of).fold(0u32, u32::saturating_add)
        };
        let (failures, frames) = (sum(|it| it.0), sum(|it| it.1));
        failures >= FAILURES_MIN && failures >= frames.saturating_mul(FAILURES_SHARE)
    }

    fn is_missing(&mut self, frames: u32) -> bool {
        // Frames that come after a loss say what the rate is, and the loss does
        // not: it would make itself usual.
        if frames == 0 {
            self.silent_seconds += 1;
        } else {
            for (rate, mean) in self.rates.iter_mut().zip(RATE_SECONDS) {
                for _ in 0..=self.silent_seconds.min(2 * mean) {
                    *rate -= *rate / mean;
                }
                *rate += u64::from(frames) * RATE_SCALE / mean;
            }
            self.silent_seconds = 0;
        }
        let usual = self.rates.iter().copied().min().unwrap_or(0);
        usual >= RATE_SCALE / RARE_SECONDS
            && self.silent_seconds.saturating_mul(usual) >= MISSING_FRAMES * RATE_SCALE
    }
}

fn push<T>(last: &mut VecDeque<T>, value: T, most: usize) {
    if last.len() >= most {
        last.pop_front();
    }
    last.push_back(value);
}

#[cfg(test)]
#[path = "air_test.rs"]
mod tests;
