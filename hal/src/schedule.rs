//! Transmissions that wait for their time: bounded, in order of that time.

use crate::link::{FRAME_BYTES_MAX, LATE_MS_MAX, QUEUE_MAX, SendFault, Transmission};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Waiting transmissions of one link.
#[derive(Default)]
pub(crate) struct Schedule {
    /// The number keeps those of one moment in the order they came in.
    waiting: BTreeMap<(Instant, u64), Transmission>,
    number: u64,
}

impl Schedule {
    /// Takes one in, or says why not.
    pub(crate) fn insert(&mut self, transmission: Transmission) -> Result<(), SendFault> {
        if !(1..=FRAME_BYTES_MAX).contains(&transmission.bytes.len()) {
            return Err(SendFault::Length);
        }
        if self.waiting.len() >= QUEUE_MAX {
            return Err(SendFault::QueueFull);
        }
        self.number += 1;
        self.waiting.insert((transmission.at, self.number), transmission);
        Ok(())
    }

    /// The next one.
    pub(crate) fn next(&self) -> Option<&Transmission> {
        self.waiting.values().next()
    }

    /// Takes the next one out.
    pub(crate) fn take_next(&mut self) -> Option<Transmission> {
        self.waiting.pop_first().map(|(_, transmission)| transmission)
    }

    /// Moves the next one to its second chance, which it then has no more; false
    /// if it has none.
    pub(crate) fn defer_next(&mut self) -> bool {
        let Some(later) = self.next().and_then(Transmission::later) else { return false };
        self.waiting.pop_first();
        self.number += 1;
        self.waiting.insert((later.at, self.number), later);
        true
    }

    /// Takes all out, in order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Transmission> + use<> {
        std::mem::take(&mut self.waiting).into_values()
    }
}

/// Whether the time of a transmission has passed for good.
pub(crate) fn is_late(at: Instant, now: Instant) -> bool {
    now > at + Duration::from_millis(LATE_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Later, Wave};

    fn at(base: Instant, ms: u64, ticket: u64) -> Transmission {
        Transmission::native(ticket, base + Duration::from_millis(ms), vec![0x40])
    }

    #[test]
    fn order_is_by_time_then_by_arrival() {
        let base = Instant::now();
        let mut schedule = Schedule::default();
        for (ms, ticket) in [(20, 1), (10, 2), (20, 3), (5, 4)] {
            schedule.insert(at(base, ms, ticket)).expect("there is room");
        }
        assert_eq!(schedule.next().map(|next| next.ticket), Some(4));
        let order: Vec<u64> = std::iter::from_fn(|| schedule.take_next())
            .map(|transmission| transmission.ticket)
            .collect();
        assert_eq!(order, [4, 2, 1, 3]);
    }

    #[test]
    fn a_second_chance_is_taken_once() {
        let base = Instant::now();
        let wave = Wave::LoRaWan {
            frequency_hz: 869_525_000,
            spreading_factor: 12,
            bandwidth_hz: 125_000,
        };
        let later = Later { at: base + Duration::from_millis(30), wave };
        let mut schedule = Schedule::default();
        let first = Transmission { or: Some(later), ..at(base, 10, 1) };
        schedule.insert(first).expect("there is room");
        schedule.insert(at(base, 20, 2)).expect("there is room");
        assert!(schedule.defer_next());
        assert_eq!(schedule.next().map(|next| next.ticket), Some(2));
        assert!(!schedule.defer_next(), "it has no second chance");
        schedule.take_next();
        let last = schedule.take_next().expect("the one that was put off");
        let expected = Transmission { at: later.at, wave, ..at(base, 0, 1) };
        assert_eq!(last, expected);
        assert!(!schedule.defer_next());
    }

    #[test]
    fn full_empty_and_long_are_refused() {
        let base = Instant::now();
        let mut schedule = Schedule::default();
        for bytes in [vec![], vec![0; FRAME_BYTES_MAX + 1]] {
            let odd = Transmission { bytes, ..at(base, 0, 0) };
            assert_eq!(schedule.insert(odd), Err(SendFault::Length));
        }
        for ticket in 0..QUEUE_MAX as u64 {
            schedule.insert(at(base, 0, ticket)).expect("there is room");
        }
        assert_eq!(schedule.insert(at(base, 0, 99)), Err(SendFault::QueueFull));
        assert_eq!(schedule.drain().count(), QUEUE_MAX);
        schedule.insert(at(base, 0, 99)).expect("room again");
    }
}
