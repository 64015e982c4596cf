//! How much of the backlog may be on its way to one broker: enough to keep the
//! line busy, and so little that a fresh event waits behind it for no longer
//! than one round trip. Counted in bytes; every event has the same number.
//!
//! The round trip of an event that was offered alone is the line's own time.
//! While events come back within one and a half of that, the window grows; if
//! even the quickest of a round takes twice as long, a queue has formed and it
//! shrinks. Every ten seconds one event goes alone again, since a line's own time
//! changes.
//!
//! A backlog without a rate may queue for a millisecond whatever the line's own time:
//! nobody notices, and many events on the way share the wake-ups of broker and gateway.

use crate::engine::payload::EVENT_WIRE_BYTES;
use crate::engine::time::Mono;

/// Most events of the backlog on the way at once.
const EVENTS_MAX: usize = 128;
/// How often one event goes alone, ms.
const PROBE_EVERY_MS: u64 = 10_000;
/// How long the backlog waits for the line to be empty for that, ms: fresh events
/// may keep it busy.
const PROBE_PATIENCE_MS: u64 = 2_000;
/// Round trips of events that went alone, of which the shortest counts: one
/// that a busy machine delayed must not open the window for ten seconds.
const ALONE_KEPT: usize = 4;

/// A queue as short as this is none for a backlog without a rate, us.
const QUEUE_UNNOTICED_US: u64 = 1_000;

/// The window of one connection.
#[derive(Clone, Debug)]
pub(super) struct Window {
    bytes: usize,
    bytes_max: usize,
    /// Up to this round trip no queue has formed, us.
    unnoticed_us: u64,
    /// Round trips of the latest events that went alone, us.
    alone_us: [Option<u64>; ALONE_KEPT],
    /// Until the first queue is met the window doubles each round.
    doubling: bool,
    /// Bytes that came back in this round, and the quickest of them, us.
    round_bytes: usize,
    round_least_us: u64,
    probe_at: Mono,
}

impl Window {
    /// For a connection whose broker allows so many unanswered publishes; a
    /// quarter of them is kept for fresh events. `paced`: the backlog has a rate.
    pub(super) fn new(in_flight_max: u16, paced: bool, now: Mono) -> Self {
        let events_max = EVENTS_MAX.min(usize::from(in_flight_max) * 3 / 4).max(1);
        Self {
            bytes: EVENT_WIRE_BYTES,
            bytes_max: events_max * EVENT_WIRE_BYTES,
            unnoticed_us: if paced { 0 } else { QUEUE_UNNOTICED_US },
            alone_us: [None; ALONE_KEPT],
            doubling: true,
            round_bytes: 0,
            round_least_us: u64::MAX,
            probe_at: now.plus_ms(PROBE_EVERY_MS),
        }
    }

    /// Whether one more event of the backlog may go while so many are open.
    pub(super) fn admits(&self, open: usize, now: Mono) -> bool {
        let probing = self.probe_at <= now && now < self.probe_at.plus_ms(PROBE_PATIENCE_MS);
        let bytes = if probing { EVENT_WIRE_BYTES } else { self.bytes };
        (open + 1) * EVENT_WIRE_BYTES <= bytes
    }

    /// An event came back that had been offered with `before` others open.
    pub(super) fn came_back(&mut self, sent: Mono, before: usize, now: Mono) {
        let took_us = now.us().saturating_sub(sent.us());
        if before == 0 {
            self.alone_us.rotate_right(1);
            self.alone_us[0] = Some(took_us);
        }
        if before == 0 || now >= self.probe_at.plus_ms(PROBE_PATIENCE_MS) {
            self.probe_at = now.plus_ms(PROBE_EVERY_MS);
        }
        self.round_bytes += EVENT_WIRE_BYTES;
        self.round_least_us = self.round_least_us.min(took_us);
        if self.round_bytes >= self.bytes {
            self.end_round();
        }
    }

    fn end_round(&mut self) {
        let own_us = self.alone_us.iter().flatten().min().copied();
        let took_us = self.round_least_us;
        let longer_than = |halves: u64| {
            took_us > self.unnoticed_us && own_us.is_some_and(|own| took_us / halves > own / 2)
        };
        self.doubling &= !longer_than(3);
        self.bytes = if longer_than(4) {
            (self.bytes / 4 * 3).max(EVENT_WIRE_BYTES)
        } else if longer_than(3) {
            self.bytes
        } else if self.doubling {
            (self.bytes * 2).min(self.bytes_max)
        } else {
            (self.bytes + EVENT_WIRE_BYTES).min(self.bytes_max)
        };
        self.round_bytes = 0;
        self.round_least_us = u64::MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A line that takes `each_us` for an event, one after the other, and
    /// `travel_us` there and back. Drains for `ms` and gives the events
    /// delivered, and how long a fresh event would have waited at the end, us.
    fn drain(paced: bool, each_us: u64, travel_us: u64, ms: u64) -> (usize, u64) {
        let mut window = Window::new(u16::MAX, paced, Mono::ZERO);
        let mut open: VecDeque<(Mono, usize, u64)> = VecDeque::new();
        let (mut now_us, mut free_at_us, mut delivered) = (0, 0, 0);
        while now_us < ms * 1000 {
            let now = Mono::from_us(now_us);
            while window.admits(open.len(), now) {
                free_at_us = free_at_us.max(now_us) + each_us;
                open.push_back((now, open.len(), free_at_us + travel_us));
            }
            let (sent, before, back_us) = open.pop_front().expect("one is always admitted");
            now_us = back_us;
            delivered += 1;
            window.came_back(sent, before, Mono::from_us(now_us));
        }
        (delivered, free_at_us.saturating_sub(now_us))
    }

    #[test]
    fn a_fast_line_is_kept_busy_with_a_short_queue() {
        // A broker on the same machine: 30 us an event, 70 us of travel.
        let (delivered, waits_us) = drain(true, 30, 70, 1_000);
        assert!(delivered > 1_000_000 / 30 * 9 / 10, "{delivered} events");
        assert!(waits_us <= 200, "{waits_us} us");
    }

    #[test]
    fn without_a_rate_a_fast_line_holds_a_millisecond() {
        let (delivered, waits_us) = drain(false, 30, 70, 1_000);
        assert!(delivered > 1_000_000 / 30 * 9 / 10, "{delivered} events");
        assert!((500..=1_200).contains(&waits_us), "{waits_us} us");
    }

    #[test]
    fn a_slow_line_holds_no_more_than_a_round_trip() {
        // 64 kbit/s: an event takes 175 ms.
        for paced in [true, false] {
            let (delivered, waits_us) = drain(paced, 175_000, 50_000, 60_000);
            assert!(delivered > 60_000 / 175 * 9 / 10, "{delivered} events");
            assert!(waits_us <= 225_000, "{waits_us} us");
        }
    }

    #[test]
    fn a_long_line_is_filled() {
        // A satellite: 600 ms of travel, 1 Mbit/s.
        let (delivered, waits_us) = drain(true, 11_000, 600_000, 120_000);
        assert!(delivered > 120_000 / 11 * 7 / 10, "{delivered} events");
        assert!(waits_us <= 700_000, "{waits_us} us");
    }

    #[test]
    fn fresh_events_that_keep_the_line_busy_do_not_starve_the_backlog() {
        let mut window = Window::new(u16::MAX, true, Mono::ZERO);
        window.came_back(Mono::ZERO, 0, Mono::from_us(100));
        let due = Mono::ZERO.plus_ms(PROBE_EVERY_MS + 1);
        assert!(!window.admits(1, due), "one is to go alone");
        assert!(window.admits(1, due.plus_ms(PROBE_PATIENCE_MS)));
    }

    /// Lets so many rounds of events come back, each after so long.
    fn rounds(window: &mut Window, took_us: &[u64]) {
        for us in took_us {
            while window.round_bytes + EVENT_WIRE_BYTES < window.bytes {
                window.came_back(Mono::ZERO, 1, Mono::from_us(*us));
            }
            window.came_back(Mono::ZERO, 1, Mono::from_us(*us));
        }
    }

    #[test]
    fn it_doubles_until_it_meets_a_queue_and_then_grows_by_one() {
        let events = |took_us: &[u64]| {
            let mut window = Window::new(u16::MAX, true, Mono::ZERO);
            window.came_back(Mono::ZERO, 0, Mono::from_us(100));
            rounds(&mut window, took_us);
            window.bytes / EVENT_WIRE_BYTES
        };
        assert_eq!(events(&[]), 2);
        // Half as long again as the line's own time is no queue yet.
        assert_eq!(events(&[100, 150, 100]), 16);
        assert_eq!(events(&[100, 160]), 4);
        assert_eq!(events(&[100, 160, 100, 100]), 6);
        assert_eq!(events(&[100, 100, 250]), 6);
    }

    #[test]
    fn one_goes_alone_ten_seconds_after_the_last_that_did() {
        let mut window = Window::new(u16::MAX, true, Mono::ZERO);
        let at = |ms| Mono::ZERO.plus_ms(ms);
        rounds(&mut window, &[100, 100, 100]);
        window.came_back(at(5_000), 0, at(5_000));
        assert!(window.admits(1, at(14_999)));
        assert!(!window.admits(1, at(15_000)), "one is to go alone");
        // While fresh events keep the line busy none can, and then it is put off.
        window.came_back(at(16_000), 1, at(16_000));
        assert!(!window.admits(1, at(16_999)));
        assert!(window.admits(1, at(17_000)));
        window.came_back(at(17_000), 1, at(17_000));
        assert!(window.admits(1, at(26_999)));
        assert!(!window.admits(1, at(27_000)));
    }

    #[test]
    fn a_broker_that_allows_little_is_not_given_more() {
        let window = Window::new(2, true, Mono::ZERO);
        assert!(window.admits(0, Mono::ZERO));
        assert!(!window.admits(1, Mono::ZERO));
    }
}
