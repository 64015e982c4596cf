//! A month of a works, for the judgement alone: the channel's seconds are drawn in
//! stretches from those that were measured on the ether, and every pendant beats
//! for itself, with the day's course of a works.

use super::works::{HEARTBEAT, MEANS_MAX, PENDANTS, expected};
use pendant_gateway::engine::air::{AirNews, AirReport, AirWatch, Sign};
use pendant_gateway::engine::seam::LinkId;
use pendant_gateway::engine::time::Mono;
use pendant_hal::sim::chance::Chance;
use pendant_protocol::PendantId;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

const SECONDS: u64 = 30 * 86_400;
const HOUR: u64 = 3_600;
/// Mean length of a stretch, s: longer than what is judged together.
const STRETCH: u64 = 60;

pub(crate) struct Month<'r> {
    reports: &'r [AirReport],
    chance: Chance,
    instead: Option<(AirReport, u64)>,
}

impl<'r> Month<'r> {
    pub(crate) fn of(reports: &'r [AirReport], seed: u64) -> Self {
        Self { reports, chance: Chance(seed), instead: None }
    }

    /// In the middle of the month there are so many seconds of this.
    pub(crate) fn with(self, report: AirReport, seconds: u64) -> Self {
        Self { instead: Some((report, seconds)), ..self }
    }

    /// How often jamming was suspected by noise, failures and loss.
    pub(crate) fn run(mut self) -> [u64; 3] {
        let mut watch = AirWatch::default();
        let mut told = [0; 3];
        let mut tell = |news: Option<AirNews>| {
            let sign = news.filter(|news| news.suspected).map(|news| news.sign);
            for (told, own) in told.iter_mut().zip([Sign::Noise, Sign::Failures, Sign::Loss]) {
                *told += u64::from(sign == Some(own));
            }
        };
        // Microseconds, whose, and whether another one follows.
        let mut beats: BinaryHeap<Reverse<(u64, u32, bool)>> = BinaryHeap::new();
        for pendant in 1..=PENDANTS {
            beats.push(Reverse((self.interval_us(), pendant, true)));
        }
        let mut place = 0;
        for second in 0..SECONDS {
            // At six everybody begins a session, within ten minutes.
            if second % (24 * HOUR) == 6 * HOUR {
                for pendant in 1..=PENDANTS {
                    let after_us = self.chance.next() % 600_000_000;
                    beats.push(Reverse((second * 1_000_000 + after_us, pendant, false)));
                }
            }
            while let Some(&Reverse((us, pendant, goes_on))) = beats.peek() {
                if us >= second * 1_000_000 {
                    break;
                }
                beats.pop();
                if goes_on {
                    beats.push(Reverse((us + self.interval_us(), pendant, true)));
                }
                let now = Mono::from_us(us);
                tell(watch.handle_time(now, expected));
                if is_in_range(second, pendant) {
                    tell(watch.heard(now, PendantId::new(pendant).expect("a number")));
                }
            }
            if self.chance.next() % STRETCH == 0 {
                place = self.chance.next() as usize;
            }
            place = (place + 1) % self.reports.len();
            let (report, seconds) = self.instead.unwrap_or((self.reports[place], 0));
            let is_instead = (SECONDS / 2..SECONDS / 2 + seconds).contains(&second);
            let report = if is_instead { report } else { self.reports[place] };
            let now = Mono::from_us(second * 1_000_000);
            tell(watch.handle_time(now, expected));
            tell(watch.report(now, LinkId(0), report));
        }
        told
    }

    fn interval_us(&mut self) -> u64 {
        let interval = self.chance.pause(HEARTBEAT).min(HEARTBEAT.mul_f64(MEANS_MAX));
        interval.max(Duration::from_micros(1)).as_micros() as u64
    }
}

/// From noon to one o'clock a third of all are in the canteen's cellar, and half of
/// the pendants spend the night out of range.
fn is_in_range(second: u64, pendant: u32) -> bool {
    match second / HOUR % 24 {
        12 => pendant % 3 != 0,
        20..=23 | 0..=5 => pendant % 2 == 0,
        _ => true,
    }
}
