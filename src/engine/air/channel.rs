//! One radio's channel: its noise, and the frames that break on it.

use super::{AirReport, Sign};
use crate::engine::time::Mono;
use std::collections::VecDeque;

/// So much above the usual level is noisy, dB: a receiver reaches half as far or
/// less (at 33 dB a decade).
const NOISY_DB: i16 = 10;
/// The usual level is never taken to be above this, dBm: where a gateway is
/// started beside a jammer, that is not usual.
const USUAL_MAX_DBM: i16 = -100;
/// Samples that are judged together, and how many noisy ones are a sign. Other
/// people's frames and bursts are noise too, for half of the time at most.
const SAMPLES: usize = 25;
const NOISY_SAMPLES: usize = 20;
/// A suspicion stays with so much less, so that a jammer at the limit is told once.
const STILL_NOISY_DB: i16 = 6;
const STILL_NOISY_SAMPLES: usize = 13;
/// The usual level follows quieter samples by an eighth of the difference, and
/// louder ones by a 256th of a decibel each, so that a new machine becomes usual
/// within hours.
const SCALE: i32 = 256;

/// Reports over which failures are counted, how many are a sign, and how many
/// times as many as whole frames they must be.
const FAILURE_REPORTS: usize = 30;
const FAILURES_MIN: u32 = 12;
const FAILURES_SHARE: u32 = 2;

/// Without any sign for this long it is over, ms.
const QUIET_MS: u64 = 60_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Channel {
    /// Usual level, [`SCALE`]ths of a decibel of a milliwatt.
    usual: Option<i32>,
    noisy: VecDeque<bool>,
    reports: VecDeque<(u32, u32)>,
    suspected: Option<Suspicion>,
}

#[derive(Clone, Copy, Debug)]
struct Suspicion {
    sign: Sign,
    seen: Mono,
}

impl Channel {
    /// Takes a report; tells what was seen first when a suspicion begins or ends.
    pub(super) fn take(&mut self, now: Mono, report: AirReport) -> Option<(Sign, bool)> {
        let noisy = self.is_noisy(report.noise_dbm);
        let breaking = self.is_breaking(report);
        let sign = match (noisy, breaking) {
            (true, _) => Some(Sign::Noise),
            (false, true) => Some(Sign::Failures),
            (false, false) => None,
        };
        match (&mut self.suspected, sign) {
            (Some(suspicion), Some(_)) => {
                suspicion.seen = now;
                None
            }
            (None, Some(sign)) => {
                self.suspected = Some(Suspicion { sign, seen: now });
                Some((sign, true))
            }
            (suspected, None) => {
                let over = suspected.take_if(|it| now.ms_since(it.seen) >= QUIET_MS)?;
                Some((over.sign, false))
            }
        }
    }

    pub(super) fn forget(&mut self) {
        self.noisy.clear();
        self.reports.clear();
    }

    pub(super) fn is_suspected(&self) -> bool {
        self.suspected.is_some()
    }

    pub(super) fn usual_dbm(&self) -> Option<i16> {
        let usual = (self.usual? + SCALE / 2).div_euclid(SCALE);
        i16::try_from(usual).ok()
    }

    fn is_noisy(&mut self, noise_dbm: Option<i16>) -> bool {
        let (noisy_db, samples) = match self.suspected {
            None => (NOISY_DB, NOISY_SAMPLES),
            Some(_) => (STILL_NOISY_DB, STILL_NOISY_SAMPLES),
        };
        if let Some(noise_dbm) = noise_dbm {
            let level = i32::from(noise_dbm) * SCALE;
            let highest = i32::from(USUAL_MAX_DBM) * SCALE;
            let usual = self.usual.get_or_insert(level.min(highest));
            let noisy = level >= *usual + i32::from(noisy_db) * SCALE;
            *usual = if level < *usual {
                *usual + (level - *usual) / 8
            } else {
                (*usual + 1).min(level).min(highest)
            };
            push(&mut self.noisy, noisy, SAMPLES);
        }
        self.noisy.iter().filter(|noisy| **noisy).count() >= samples
    }

    fn is_breaking(&mut self, report: AirReport) -> bool {
        push(&mut self.reports, (report.failures, report.frames), FAILURE_REPORTS);
        let sum = |of: fn(&(u32, u32)) -> u32| {
            self.reports.iter().map(of).fold(0u32, u32::saturating_add)
        };
        let (failures, frames) = (sum(|it| it.0), sum(|it| it.1));
        failures >= FAILURES_MIN && failures >= frames.saturating_mul(FAILURES_SHARE)
    }
}

fn push<T>(last: &mut VecDeque<T>, value: T, most: usize) {
    if last.len() >= most {
        last.pop_front();
    }
    last.push_back(value);
}
