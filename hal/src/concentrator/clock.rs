//! The concentrator's counter and the gateway's clock: which moment of the one is
//! which of the other.
//!
//! A frame's stamp arrives some milliseconds after the frame, never before. So the
//! quickest arrival tells how the two clocks stand, and all others are measured by
//! it. An answer is reckoned from the stamp of the frame that it answers, not from
//! this estimate: it leaves to the microsecond, however late the stamp came.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Crystals of the two machines may differ by this much, parts in a million.
const DRIFT_PPM: i64 = 100;

/// No network on a site delays a datagram by this much: the counter was begun anew.
const REBASED_US: i64 = 2_000_000;

/// So many stamps in a row that come later than this tell that the one which came so
/// early was wrong, and the clocks are set by them.
const LATE_US: i64 = 500_000;
const LATE_IN_A_ROW_MAX: u32 = 8;

/// Frames are answered one or two seconds after their end, and remembered so long.
const ANSWERED_AFTER_US_MAX: u128 = 2_000_000;
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// More frames than eight demodulators hear in that time.
const FRAMES_MAX: usize = 2048;

/// Whoever asks for an answer counts in microseconds of another beginning.
const ROUNDED_US: u128 = 10;

/// Copies of one frame come from neighbouring channels within this time.
const GHOST_US: u32 = 50_000;

pub(super) struct Clock {
    begun: Instant,
    /// When the counter stood at zero, microseconds after `begun` (or before), as of
    /// the last stamp; and that stamp, without its wraps.
    zero: Option<Zero>,
    late_in_a_row: u32,
    frames: VecDeque<Frame>,
}

struct Zero {
    at_us: i64,
    seen_us: i64,
}

struct Frame {
    ended: Instant,
    tmst_us: u32,
    spreading_factor: Option<u8>,
    bytes: Vec<u8>,
}

/// Which counter an answer leaves at, and how it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Departure {
    pub(super) tmst_us: u32,
    /// As the frame that is answered, if it said.
    pub(super) spreading_factor: Option<u8>,
}

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, zero: None, late_in_a_row: 0, frames: VecDeque::new() }
    }

    /// A frame whose end was stamped so arrived now: when did it end? `None` for a
    /// copy of one that was heard already.
    pub(super) fn heard(
        &mut self,
        now: Instant,
        tmst_us: u32,
        spreading_factor: Option<u8>,
        bytes: &[u8],
    ) -> Option<Instant> {
        let old = |frame: &Frame| now.saturating_duration_since(frame.ended) > ANSWERED_WITHIN;
        while self.frames.front().is_some_and(old) || self.frames.len() >= FRAMES_MAX {
            self.frames.pop_front();
        }
        let ghost = |frame: &Frame| {
            let apart = frame.tmst_us.wrapping_sub(tmst_us) as i32;
            apart.unsigned_abs() < GHOST_US && frame.bytes == bytes
        };
        if self.frames.iter().any(ghost) {
            return None;
        }
        let ended = self.reckon(now, tmst_us);
        self.frames.push_back(Frame { ended, tmst_us, spreading_factor, bytes: bytes.to_vec() });
        Some(ended)
    }

    fn reckon(&mut self, now: Instant, tmst_us: u32) -> Instant {
        let now_us = since(self.begun, now);
        let zero = match &self.zero {
            None => Zero { at_us: now_us - i64::from(tmst_us), seen_us: i64::from(tmst_us) },
            Some(zero) => {
                // Seen through the wrap, every 71.6 minutes; of a longer silence too.
                let elapsed_us = now_us - (zero.at_us + zero.seen_us);
                let wraps = 1_i64 << 32;
                let short = i64::from(tmst_us.wrapping_sub(zero.seen_us as u32) as i32);
                let missed = (elapsed_us - short + wraps / 2).div_euclid(wraps) * wraps;
                let seen_us = zero.seen_us + short + missed;
                let quickest = now_us - seen_us;
                let creep = elapsed_us.max(0) * DRIFT_PPM / 1_000_000;
                let late = quickest - zero.at_us;
                self.late_in_a_row = if late > LATE_US { self.late_in_a_row + 1 } else { 0 };
                match late {
                    late if late.abs() > REBASED_US || self.late_in_a_row > LATE_IN_A_ROW_MAX => {
                        self.late_in_a_row = 0;
                        self.frames.clear();
                        Zero { at_us: now_us - i64::from(tmst_us), seen_us: i64::from(tmst_us) }
                    }
                    late => Zero { at_us: zero.at_us + late.min(creep), seen_us },
                }
            }
        };
        let ended_us = zero.at_us + zero.seen_us;
        self.zero = Some(zero);
        match u64::try_from(ended_us) {
            Ok(after) => self.begun + Duration::from_micros(after),
            Err(_) => {
                let before = Duration::from_micros(ended_us.unsigned_abs());
                self.begun.checked_sub(before).unwrap_or(self.begun)
            }
        }
    }

    /// When an answer leaves that is due at this time: so many whole seconds after a
    /// frame. `None` if no frame is known that it may answer.
    pub(super) fn departure(&self, at: Instant) -> Option<Departure> {
        let off = |frame: &Frame| {
            let after_us = at.saturating_duration_since(frame.ended).as_micros();
            let second = (after_us + 500_000) / 1_000_000 * 1_000_000;
            (after_us.abs_diff(second), second)
        };
        let nearest = self.frames.iter().map(|frame| (off(frame), frame));
        let ((off_us, after_us), frame) = nearest
            .filter(|((_, after_us), _)| (1..=ANSWERED_AFTER_US_MAX).contains(after_us))
            .min_by_key(|((off_us, _), _)| *off_us)?;
        let after_us = u32::try_from(after_us).ok().filter(|_| off_us <= ROUNDED_US)?;
        Some(Departure {
            tmst_us: frame.tmst_us.wrapping_add(after_us),
            spreading_factor: frame.spreading_factor,
        })
    }
}

/// Microseconds from `begun`.
fn since(begun: Instant, at: Instant) -> i64 {
    i64::try_from(at.saturating_duration_since(begun).as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The counter at a moment of a world in which it stood at `start`.
    fn stamp(start: u32, us: u64) -> u32 {
        start.wrapping_add(us as u32)
    }

    #[test]
    fn an_answer_leaves_by_its_frame_s_stamp_however_late_that_came() {
        let begun = Instant::now();
        let mut clock = Clock::new(begun);
        // The first stamp came 80 ms late, the next one at once.
        let first = clock.heard(begun + ms(1_080), 500_000, Some(7), b"one").expect("new");
        let second = clock.heard(begun + ms(1_500), 1_000_000, Some(10), b"two").expect("new");
        assert_eq!(first, begun + ms(1_080));
        assert_eq!(second, begun + ms(1_500));
        let at = |ended: Instant, s| clock.departure(ended + Duration::from_secs(s));
        let departs = |tmst_us, factor| Some(Departure { tmst_us, spreading_factor: Some(factor) });
        assert_eq!(at(first, 1), departs(1_500_000, 7));
        let rounded = first + ms(1_000) - Duration::from_nanos(999);
        assert_eq!(clock.departure(rounded), departs(1_500_000, 7));
        assert_eq!(at(second, 2), departs(3_000_000, 10));
        assert_eq!(clock.departure(begun + ms(2_222)), None);
    }

    #[test]
    fn a_ghost_on_the_next_channel_is_no_second_frame() {
        let begun = Instant::now();
        let mut clock = Clock::new(begun);
        assert!(clock.heard(begun, 10, None, b"same").is_some());
        assert!(clock.heard(begun + ms(1), 30, None, b"same").is_none());
        assert!(clock.heard(begun + ms(1), 30, None, b"other").is_some());
        // A repetition comes a second later and is one.
        assert!(clock.heard(begun + ms(1_000), 1_000_010, None, b"same").is_some());
    }

    /// A second too early would be hours of answers a second too late.
    #[test]
    fn a_stamp_that_came_too_early_is_not_believed_for_ever() {
        let begun = Instant::now();
        let mut clock = Clock::new(begun);
        clock.heard(begun + ms(10_000), 10_000_000, None, b"a");
        clock.heard(begun + ms(11_000), 12_900_000, None, b"wrong");
        let mut late_ms = Vec::new();
        for n in 0u32..12 {
            let arrived = begun + ms(12_000 + 1_000 * u64::from(n));
            let ended = clock.heard(arrived, 12_000_000 + n * 1_000_000, None, &n.to_le_bytes());
            late_ms.push((arrived - ended.expect("new")).as_millis());
        }
        assert!(late_ms[..8].iter().all(|late_ms| *late_ms > 1_800), "{late_ms:?}");
        assert_eq!(late_ms[8..], [0; 4]);
    }

    #[test]
    fn a_forwarder_that_begins_anew_is_believed() {
        let begun = Instant::now();
        let mut clock = Clock::new(begun);
        clock.heard(begun + ms(10), 3_000_000_000, None, b"a");
        let ended = clock.heard(begun + ms(60_000), 40_000, None, b"b").expect("new");
        assert_eq!(ended, begun + ms(60_000));
        let departs = clock.departure(ended + ms(1_000)).map(|departure| departure.tmst_us);
        assert_eq!(departs, Some(1_040_000));
    }

    proptest! {
        /// Whatever the delays, drifts, pauses and wraps: a frame is placed between its
        /// end and its arrival.
        #[test]
        fn a_frame_is_placed_where_it_ended(
            start in any::<u32>(),
            ppm in -40_i64..=40,
            steps in prop::collection::vec((1_u64..20_000, 1_u64..150), 1..200),
            pause_h in 0_u64..30,
        ) {
            let begun = Instant::now();
            let mut clock = Clock::new(begun);
            let mut world_us = 1_000_000_u64;
            for (n, (gap_ms, delay_ms)) in steps.into_iter().enumerate() {
                world_us += gap_ms * 1_000;
                if n == 100 {
                    world_us += pause_h * 3_600_000_000;
                }
                let drifted = i64::try_from(world_us).expect("small") * ppm / 1_000_000;
                let tmst = stamp(start, world_us.wrapping_add_signed(drifted));
                let arrived = begun + Duration::from_micros(world_us) + ms(delay_ms);
                let bytes = n.to_le_bytes();
                let ended = clock.heard(arrived, tmst, None, &bytes).expect("new");
                prop_assert!(ended <= arrived);
                // Drifted stamps are whole microseconds.
                let off_us = since(begun, ended) - i64::try_from(world_us).expect("small");
                prop_assert!(off_us >= -2, "{off_us} us");
            }
        }
    }
}
