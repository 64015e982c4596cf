//! The concentrator's counter and the gateway's clock: which moment of the one is
//! which of the other.
//!
//! A frame's stamp arrives some milliseconds after the frame, never before. So the
//! quickest arrival tells how the two clocks stand, and all others are measured by
//! it. An answer is reckoned from the stamp of the frame that it answers, not from
//! this estimate: it leaves to the microsecond, however late the stamp came.

use super::session::FRAMES_PER_S_MAX;
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

/// Frames are answered one or two seconds after their end, LoRaWAN's joins five or six,
/// and its other frames up to sixteen (RxDelay of 15 s, and the second window). They are
/// remembered a little longer.
const ANSWERED_AFTER_US_MAX: i64 = 16_000_000;
const REMEMBERED_US: i64 = 17_000_000;

/// As many as the session takes in that time.
const FRAMES_MAX: usize = 17 * FRAMES_PER_S_MAX as usize;

/// Whoever asks for an answer counts in microseconds of another beginning.
const ROUNDED_US: i64 = 10;

/// An end is moved by so much at a time, and so often at most, until it is apart from all
/// others.
const APART_US: i64 = 2 * ROUNDED_US + 1;
const MOVES_MAX: i64 = 16;

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
    /// Microseconds after `begun`.
    ended_us: i64,
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
        let now_us = since(self.begun, now);
        let old = |frame: &Frame| now_us - frame.ended_us > REMEMBERED_US;
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
        let reckoned_us = self.reckon(now_us, tmst_us);
        let ended_us = self.apart(reckoned_us);
        let bytes = bytes.to_vec();
        self.frames.push_back(Frame { ended_us, tmst_us, spreading_factor, bytes });
        Some(self.instant(ended_us))
    }

    /// An answer names its frame by its time alone: so many whole seconds after the
    /// frame's end. Ends that are whole seconds apart, of frames on two channels or of two
    /// within 16 s, would be taken for each other; at 50 frames a second that is one
    /// answer in sixty. So such an end is told some microseconds too early, which harms
    /// nobody: it is an estimate, and the answer leaves by the frame's own stamp. To the
    /// past, because no frame ends after it was heard.
    fn apart(&self, reckoned_us: i64) -> i64 {
        let taken =
            |us: i64| self.frames.iter().any(|frame| second_off_us(us - frame.ended_us) < APART_US);
        let moved = (0..MOVES_MAX).map(|n| reckoned_us - n * APART_US);
        // A flood of frames a whole number of seconds apart: none of them is answered.
        moved.into_iter().find(|us| !taken(*us)).unwrap_or(reckoned_us)
    }

    /// When a frame ended, microseconds after `begun`.
    fn reckon(&mut self, now_us: i64, tmst_us: u32) -> i64 {
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
        ended_us
    }

    fn instant(&self, us: i64) -> Instant {
        let apart = Duration::from_micros(us.unsigned_abs());
        if us < 0 {
            self.begun.checked_sub(apart).unwrap_or(self.begun)
        } else {
            self.begun + apart
        }
    }

    /// When an answer leaves that is due at this time: so many whole seconds after a
    /// frame. `None` if it is not known which frame it answers.
    pub(super) fn departure(&self, at: Instant) -> Option<Departure> {
        let at_us = since(self.begun, at);
        let mut answered = self.frames.iter().filter_map(|frame| {
            let after_us = at_us - frame.ended_us;
            let seconds_us = (after_us + 500_000).div_euclid(1_000_000) * 1_000_000;
            let is_answer = second_off_us(after_us) <= ROUNDED_US
                && (1..=ANSWERED_AFTER_US_MAX).contains(&seconds_us);
            is_answer.then_some((frame, u32::try_from(seconds_us).ok()?))
        });
        let (frame, seconds_us) = answered.next()?;
        answered.next().is_none().then(|| Departure {
            tmst_us: frame.tmst_us.wrapping_add(seconds_us),
            spreading_factor: frame.spreading_factor,
        })
    }
}

/// How far a time is from a whole number of seconds, microseconds.
fn second_off_us(us: i64) -> i64 {
    let beyond = us.rem_euclid(1_000_000);
    beyond.min(1_000_000 - beyond)
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

    /// The window is that of LoRaWAN: 16 s at most.
    #[test]
    fn a_frame_is_answered_for_as_long_as_a_pendant_may_listen_and_no_longer() {
        let begun = Instant::now();
        let mut clock = Clock::new(begun);
        let ended = clock.heard(begun, u32::MAX - 500_000, None, b"a frame").expect("new");
        for s in [1, 2, 5, 6, 15, 16] {
            let departs = clock.departure(ended + Duration::from_secs(s));
            let tmst_us = (s as u32 * 1_000_000).wrapping_sub(500_001);
            assert_eq!(departs, Some(Departure { tmst_us, spreading_factor: None }), "{s} s");
        }
        assert_eq!(clock.departure(ended), None);
        assert_eq!(clock.departure(ended + Duration::from_secs(17)), None);
        // It is not forgotten before.
        clock.heard(begun + ms(16_900), 16_399_999, None, b"another").expect("new");
        assert!(clock.departure(ended + Duration::from_secs(16)).is_some());
    }

    /// On two channels at once, and whole seconds apart: each is told apart by its end.
    #[test]
    fn frames_that_end_whole_seconds_apart_are_each_answered_by_their_own_stamp() {
        let begun = Instant::now();
        let mut clock = Clock::new(begun);
        let heard = [(0, 7), (0, 10), (3_000_004, 9), (5_000_000, 12)];
        let mut ended = Vec::new();
        for (n, (stamp, factor)) in (0u8..).zip(heard) {
            let arrived = begun + Duration::from_micros(u64::from(stamp));
            let told = clock.heard(arrived, stamp, Some(factor), &[n]).expect("new");
            assert!(told <= arrived && arrived - told <= Duration::from_micros(100));
            ended.push(told);
        }
        for ((stamp, factor), ended) in heard.into_iter().zip(ended) {
            for s in [1_u32, 2, 5] {
                let departs = clock.departure(ended + Duration::from_secs(s.into()));
                let tmst_us = stamp + s * 1_000_000;
                let expected = Departure { tmst_us, spreading_factor: Some(factor) };
                assert_eq!(departs, Some(expected), "SF{factor} + {s} s");
            }
        }
    }

    /// So many at once that no end is free: rather no answer than one to another pendant.
    #[test]
    fn what_cannot_be_told_apart_is_not_answered() {
        let begun = Instant::now();
        let mut clock = Clock::new(begun);
        let stamps = (0..3 * MOVES_MAX as u32).map(|n| n.to_le_bytes());
        let ended: Vec<Instant> =
            stamps.map(|bytes| clock.heard(begun, 7, None, &bytes).expect("new")).collect();
        let answered = |ended: &Instant| clock.departure(*ended + ms(1_000)).is_some();
        let told_apart = ended.iter().filter(|ended| answered(ended)).count();
        assert_eq!(told_apart as i64, MOVES_MAX - 1, "all but those that share the first end");
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
                // Drifted stamps are whole microseconds, and ends are kept apart.
                let off_us = since(begun, ended) - i64::try_from(world_us).expect("small");
                prop_assert!(off_us >= -2 - MOVES_MAX * APART_US, "{off_us} us");
            }
        }
    }
}
