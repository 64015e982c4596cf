//! What is a sign of jamming, and what is not.

use super::channel::Channel as ChannelWatch;
use super::loss::Loss;
use super::{AirReport, AirWatch, Rate, Sign};
use crate::engine::seam::LinkId;
use crate::engine::time::Mono;
use pendant_protocol::PendantId;
use proptest::prelude::*;

/// A channel, one report a second.
#[derive(Default)]
struct Channel {
    watch: ChannelWatch,
    second: u64,
}

impl Channel {
    fn second(&mut self, noise_dbm: i16, failures: u32, frames: u32) -> Option<(Sign, bool)> {
        self.report(AirReport { noise_dbm: Some(noise_dbm), failures, frames })
    }

    fn report(&mut self, report: AirReport) -> Option<(Sign, bool)> {
        self.second += 1;
        self.watch.take(Mono::ZERO.plus_ms(self.second * 1_000), report)
    }

    /// A site with a frame every three seconds, for so many seconds.
    fn ordinary(seconds: u64) -> Self {
        let mut channel = Self::default();
        for n in 0..seconds {
            let noise_dbm = -116 + i16::from(n % 5 == 0);
            assert_eq!(channel.second(noise_dbm, 0, u32::from(n % 3 == 0)), None);
        }
        channel
    }

    /// How many seconds until there is news, and which.
    fn until_news(&mut self, noise_dbm: i16, failures: u32, frames: u32) -> (u64, (Sign, bool)) {
        let begun = self.second;
        while self.second - begun < 10_000 {
            if let Some(news) = self.second(noise_dbm, failures, frames) {
                return (self.second - begun, news);
            }
        }
        panic!("no news");
    }
}

#[test]
fn noise_is_told_after_20_seconds_and_its_end_a_minute_after_it() {
    let mut channel = Channel::ordinary(3_600);
    assert_eq!(channel.until_news(-95, 0, 0), (20, (Sign::Noise, true)));
    assert!(channel.watch.is_suspected());
    for _ in 0..600 {
        assert_eq!(channel.second(-95, 0, 0), None, "told once");
    }
    let (seconds, news) = channel.until_news(-116, 0, 1);
    assert_eq!(news, (Sign::Noise, false));
    assert!((70..=74).contains(&seconds), "{seconds}");
}

#[test]
fn a_gateway_that_starts_beside_a_jammer_knows_it() {
    let mut channel = Channel::default();
    assert_eq!(channel.until_news(-80, 0, 0), (20, (Sign::Noise, true)));
}

#[test]
fn frames_that_break_are_told_when_nothing_else_comes() {
    let mut channel = Channel::ordinary(3_600);
    let (seconds, news) = channel.until_news(-116, 1, 0);
    assert_eq!(news, (Sign::Failures, true));
    assert_eq!(seconds, 12);
    // Where two of five are whole, most messages arrive at last.
    let mut channel = Channel::ordinary(3_600);
    for n in 0..3_600 {
        assert_eq!(channel.second(-116, u32::from(n % 5 < 3), u32::from(n % 5 >= 3)), None);
    }
}

/// Pendants of one site, heard in turn.
struct Crowd {
    loss: Loss,
    now: Mono,
    pendants: u32,
    /// What the policy lets expect of each, ms.
    interval_ms: u64,
    next: u32,
}

impl Crowd {
    fn new(pendants: u32, interval_ms: u64) -> Self {
        Self { loss: Loss::default(), now: Mono::ZERO, pendants, interval_ms, next: 0 }
    }

    /// So many frames, so far apart; true if a suspicion ended.
    fn heard(&mut self, frames: u32, every_ms: u64) -> bool {
        let mut over = false;
        for _ in 0..frames {
            assert_eq!(self.silent_for(every_ms), None);
            self.next = self.next % self.pendants + 1;
            let pendant = PendantId::new(self.next).expect("a number");
            over |= self.loss.heard(self.now, pendant);
        }
        over
    }

    /// After how many ms of silence a suspicion begins, if it does within a time.
    /// Looks when it is due, as the gateway does.
    fn silent_for(&mut self, time_ms: u64) -> Option<u64> {
        let begun = self.now;
        let end = begun.plus_ms(time_ms);
        while let Some(due) = self.loss.next_deadline().filter(|due| *due <= end) {
            self.now = due;
            let expected = || Rate::of((0..self.pendants).map(|_| self.interval_ms));
            if self.loss.handle_time(self.now, expected) {
                return Some(self.now.ms_since(begun));
            }
        }
        self.now = end;
        None
    }
}

const DAY_MS: u64 = 86_400_000;

#[test]
fn silence_is_told_when_24_heartbeats_are_missing() {
    let mut crowd = Crowd::new(200, 600_000);
    assert!(!crowd.heard(200, 3_000));
    assert_eq!(crowd.silent_for(DAY_MS), Some(72_000));
    assert!(crowd.loss.is_suspected());
    assert_eq!(crowd.silent_for(DAY_MS), None, "told once");
    assert!(!crowd.heard(7, 3_000));
    assert!(crowd.heard(1, 3_000), "eight pendants are back");
    assert!(!crowd.loss.is_suspected());
}

/// Eight frames of each pendant within minutes: a shift begins. A rate that is above
/// that of the heartbeats makes nobody impatient, one below it makes patient.
#[test]
fn no_more_is_expected_than_heartbeats_and_no_more_than_was_heard() {
    let mut crowd = Crowd::new(200, 600_000);
    crowd.heard(1_600, 300);
    assert_eq!(crowd.silent_for(DAY_MS), Some(72_000));
    let mut crowd = Crowd::new(200, 600_000);
    crowd.heard(200, 12_000);
    assert_eq!(crowd.silent_for(DAY_MS), Some(288_000), "most are out of range");
    // At the highest rates a gap says nothing yet.
    let mut crowd = Crowd::new(5_000, 60_000);
    crowd.heard(200, 12);
    assert_eq!(crowd.silent_for(DAY_MS), Some(10_000));
}

#[test]
fn few_pendants_and_rare_frames_are_left_to_supervision() {
    // Seven, however often; 40 that beat once in ten minutes; few frames after a start.
    for (pendants, interval_ms, frames, every_ms) in
        [(7, 600_000, 10_000, 100), (39, 1_000_000, 1_000, 25_700), (200, 600_000, 63, 3_000)]
    {
        let mut crowd = Crowd::new(pendants, interval_ms);
        crowd.heard(frames, every_ms);
        assert_eq!(crowd.silent_for(DAY_MS), None, "{pendants} pendants");
    }
    // One of many that sends without an end is one.
    let mut crowd = Crowd::new(200, 600_000);
    crowd.heard(63, 3_000);
    for _ in 0..1_000 {
        crowd.loss.heard(crowd.now, PendantId::new(63).expect("a number"));
    }
    assert_eq!(crowd.silent_for(DAY_MS), None);
}

#[test]
fn an_outage_of_a_link_is_no_loss() {
    let mut crowd = Crowd::new(200, 600_000);
    crowd.heard(200, 3_000);
    crowd.loss.forget();
    assert_eq!(crowd.silent_for(DAY_MS), None);
    crowd.heard(64, 3_000);
    assert_eq!(crowd.silent_for(DAY_MS), Some(72_000));
}

#[test]
fn other_people_s_traffic_is_no_jamming() {
    let mut channel = Channel::ordinary(3_600);
    for n in 0..3_600u64 {
        // Half of the samples are loud.
        assert_eq!(channel.second(if n % 2 == 0 { -80 } else { -116 }, 0, 1), None);
    }
}

#[test]
fn a_louder_place_becomes_usual_within_hours_but_never_a_jammer() {
    let mut channel = Channel::ordinary(3_600);
    for _ in 0..4 * 3_600 {
        channel.second(-104, 0, 1);
    }
    assert!(!channel.watch.is_suspected(), "{:?}", channel.watch.usual_dbm());
    for _ in 0..30 * 86_400 {
        channel.second(-85, 0, 1);
    }
    assert!(channel.watch.is_suspected());
}

/// What stays becomes usual, and then a suspicion ends: docs/threat-model.md says after
/// how long. From -94 dBm on it never does.
#[test]
fn a_steady_weak_jammer_is_told_as_over_when_it_has_become_usual() {
    for (noise_dbm, minutes) in [(-104, 27), (-100, 44), (-95, 65)] {
        let mut channel = Channel::ordinary(3_600);
        let (_, told) = channel.until_news(noise_dbm, 0, 1);
        assert_eq!(told, (Sign::Noise, true));
        let (seconds, told) = channel.until_news(noise_dbm, 0, 1);
        assert_eq!(told, (Sign::Noise, false));
        assert!(seconds.abs_diff(minutes * 60) < 120, "{noise_dbm} dBm: {seconds} s");
    }
}

#[test]
fn what_was_before_an_outage_of_the_radio_is_forgotten_but_not_a_suspicion() {
    let mut channel = Channel::ordinary(3_600);
    for _ in 0..19 {
        assert_eq!(channel.second(-90, 0, 0), None);
    }
    channel.watch.forget();
    assert_eq!(channel.until_news(-90, 0, 0), (20, (Sign::Noise, true)));
    channel.watch.forget();
    assert!(channel.watch.is_suspected());
}

/// A link that goes takes what was counted of its channel along, and of no other.
#[test]
fn a_link_that_goes_begins_to_be_judged_anew() {
    let mut air = AirWatch::default();
    let noisy = AirReport { noise_dbm: Some(-80), failures: 0, frames: 0 };
    let second = |air: &mut AirWatch, n: u64, link| {
        air.report(Mono::ZERO.plus_ms(n * 1_000), LinkId(link), noisy).map(|news| news.sign)
    };
    for n in 0..19 {
        assert_eq!([second(&mut air, n, 0), second(&mut air, n, 1)], [None, None]);
    }
    air.link_down(LinkId(0));
    assert_eq!(second(&mut air, 19, 1), Some(Sign::Noise));
    for n in 19..38 {
        assert_eq!(second(&mut air, n, 0), None, "second {n}");
    }
    assert_eq!(second(&mut air, 38, 0), Some(Sign::Noise));
    air.link_down(LinkId(0));
    assert!(air.suspects(LinkId(0)), "a suspicion stays");
}

#[test]
fn the_usual_level_follows_quiet_by_an_eighth_loud_by_a_256th_and_is_told_rounded() {
    let mut channel = Channel::default();
    channel.second(-116, 0, 1);
    for _ in 0..127 {
        channel.second(-110, 0, 1);
    }
    assert_eq!(channel.watch.usual_dbm(), Some(-116));
    channel.second(-110, 0, 1);
    assert_eq!(channel.watch.usual_dbm(), Some(-115), "it is half a decibel above");
    let mut channel = Channel::default();
    channel.second(-100, 0, 1);
    channel.second(-116, 0, 1);
    assert_eq!(channel.watch.usual_dbm(), Some(-102));
}

#[test]
fn a_silence_is_judged_late_where_nobody_looked_in_time_and_never_early() {
    let mut crowd = Crowd::new(200, 600_000);
    crowd.heard(200, 3_000);
    let due = crowd.loss.next_deadline().expect("a silence is awaited");
    let early = Mono::from_us(due.us() - 1);
    assert!(!crowd.loss.handle_time(early, || panic!("it is not asked what is expected")));
    let expected = || Rate::of((0..200).map(|_| 600_000));
    assert!(crowd.loss.handle_time(due.plus_ms(60_000), expected));
}

proptest! {
    #[test]
    fn suspected_and_over_alternate_and_nothing_overflows(
        reports in prop::collection::vec(
            (prop::option::of(any::<i16>()), 0u32..3, any::<u32>(), 0u32..40), 0..400,
        )
    ) {
        let mut channel = Channel::default();
        let mut suspected = false;
        for (noise_dbm, failures, frames, rare) in reports {
            let failures = if rare == 0 { u32::MAX } else { failures };
            let frames = if rare < 20 { 0 } else { frames };
            if let Some((_, begins)) = channel.report(AirReport { noise_dbm, failures, frames }) {
                prop_assert_eq!(begins, !suspected);
                suspected = begins;
            }
            prop_assert_eq!(suspected, channel.watch.is_suspected());
        }
    }
}
