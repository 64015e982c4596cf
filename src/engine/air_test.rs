//! What is a sign of jamming, and what is not.

use super::{AirNews, AirReport, AirWatch, Sign};
use crate::engine::time::Mono;
use proptest::prelude::*;

/// A channel, one report a second.
#[derive(Default)]
struct Channel {
    watch: AirWatch,
    second: u64,
}

impl Channel {
    fn second(&mut self, noise_dbm: i16, failures: u32, frames: u32) -> Option<AirNews> {
        self.report(AirReport { noise_dbm: Some(noise_dbm), failures, frames })
    }

    fn report(&mut self, report: AirReport) -> Option<AirNews> {
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
    fn until_news(&mut self, noise_dbm: i16, failures: u32, frames: u32) -> (u64, AirNews) {
        let begun = self.second;
        while self.second - begun < 1_000 {
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
    assert_eq!(channel.until_news(-95, 0, 0), (20, AirNews::Suspected(Sign::Noise)));
    assert!(channel.watch.is_suspected());
    for _ in 0..600 {
        assert_eq!(channel.second(-95, 0, 0), None, "told once");
    }
    let (seconds, news) = channel.until_news(-116, 0, 1);
    assert_eq!(news, AirNews::Over);
    assert!((60..=70).contains(&seconds), "{seconds}");
}

#[test]
fn a_gateway_that_starts_beside_a_jammer_knows_it() {
    let mut channel = Channel::default();
    assert_eq!(channel.until_news(-80, 0, 0), (20, AirNews::Suspected(Sign::Noise)));
}

#[test]
fn frames_that_break_are_told_when_nothing_else_comes() {
    let mut channel = Channel::ordinary(3_600);
    let (seconds, news) = channel.until_news(-116, 1, 0);
    assert_eq!(news, AirNews::Suspected(Sign::Failures));
    assert!((8..=20).contains(&seconds), "{seconds}");
    // A fifth that is whole is no jammer's work.
    let mut channel = Channel::ordinary(3_600);
    for n in 0..3_600 {
        assert_eq!(channel.second(-116, u32::from(n % 4 != 0), u32::from(n % 4 == 0)), None);
    }
}

#[test]
fn silence_is_told_when_25_frames_are_missing() {
    let mut channel = Channel::ordinary(6 * 3_600);
    let (seconds, news) = channel.until_news(-116, 0, 0);
    assert_eq!(news, AirNews::Suspected(Sign::Loss));
    assert!((73..=77).contains(&seconds), "{seconds}: a third of a frame a second");
    // It stays until frames come.
    for _ in 0..3_600 {
        assert_eq!(channel.second(-116, 0, 0), None);
    }
    let (seconds, news) = channel.until_news(-116, 0, 1);
    assert_eq!((seconds, news), (60, AirNews::Over));
}

#[test]
fn a_site_that_says_little_is_not_jammed() {
    let mut channel = Channel::default();
    // One frame in a minute for a day, ten minutes of one in ten seconds, and then
    // none for a day.
    for n in 0..86_400 {
        assert_eq!(channel.second(-116, 0, u32::from(n % 60 == 0)), None);
    }
    for n in 0..600 {
        assert_eq!(channel.second(-116, 0, u32::from(n % 10 == 0)), None);
    }
    for _ in 0..86_400 {
        assert_eq!(channel.second(-116, 0, 0), None);
    }
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

#[test]
fn an_outage_of_the_radio_is_no_loss() {
    let mut channel = Channel::ordinary(3_600);
    for _ in 0..60 {
        assert_eq!(channel.second(-116, 0, 0), None);
    }
    channel.watch.forget();
    for _ in 0..600 {
        assert_eq!(channel.second(-116, 0, 0), None);
    }
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
            match channel.report(AirReport { noise_dbm, failures, frames }) {
                Some(AirNews::Suspected(_)) => {
                    prop_assert!(!suspected);
                    suspected = true;
                }
                Some(AirNews::Over) => {
                    prop_assert!(suspected);
                    suspected = false;
                }
                None => {}
            }
            prop_assert_eq!(suspected, channel.watch.is_suspected());
        }
    }
}
