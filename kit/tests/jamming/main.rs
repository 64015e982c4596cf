//! How surely and how soon the gateway tells that it is jammed, and how often it
//! mistakes ordinary traffic for that. The figures stand in docs/threat-model.md.

mod month;
mod works;

use month::Month;
use pendant_gateway::engine::air::{AirReport, Sign};
use pendant_hal::sim::ether::Jamming;
use std::time::Duration;
use tokio::time::Instant;
use works::Works;

/// What is asked of it (issue 5).
const SOON: Duration = Duration::from_secs(30);
/// Until the rate of the heartbeats is known.
const ORDINARY: Duration = Duration::from_secs(600);
/// How long somebody jams.
const JAMMED: Duration = Duration::from_secs(240);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Somebody jams, for each of three seeds: after how long it is told, by which
/// sign; and how many new messages are heard in the minutes under the jammer, of
/// which 80 are sent.
async fn detection(jamming: Jamming, power_dbm: i16, distance_m: f64) -> Vec<(Duration, Sign)> {
    let mut all = Vec::new();
    for seed in 1..=3 {
        let mut works = Works::start(seed).await;
        assert_eq!(works.news_within(ORDINARY).await, None, "seed {seed}, without a jammer");
        let jammer = works.jam(jamming, power_dbm, distance_m);
        let fresh = works.fresh;
        let begun = Instant::now();
        let told = works.news_within(JAMMED).await;
        let (after, news) = told.unwrap_or_else(|| panic!("seed {seed}: never told"));
        assert!(news.suspected, "{news:?}");
        // Other signs may come beside it, but none goes.
        while let Some((_, news)) = works.news_within(JAMMED.saturating_sub(begun.elapsed())).await
        {
            assert!(news.suspected, "seed {seed}: {news:?}");
        }
        let fresh = works.fresh - fresh;
        drop(jammer);
        let ended = Instant::now();
        while works.is_suspected() {
            assert!(works.news_within(JAMMED).await.is_some(), "seed {seed}: it does not end");
        }
        let over = ended.elapsed();
        let sign = news.sign;
        println!(
            "{jamming:?}, {power_dbm} dBm from {distance_m} m, seed {seed}: {sign:?} after \
             {after:.1?}, {fresh} messages heard in {JAMMED:?}, over {over:.1?} after its end"
        );
        all.push((after, sign));
    }
    all
}

async fn expect_soon(jamming: Jamming, power_dbm: i16, distance_m: f64, sign: Sign) {
    for (after, told) in detection(jamming, power_dbm, distance_m).await {
        assert!(after < SOON && told == sign, "{distance_m} m: {told:?} after {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn continuous_noise_is_told_within_30_s() {
    for (power_dbm, distance_m) in [(20, 30.0), (20, 100.0), (20, 300.0), (20, 500.0), (30, 500.0)]
    {
        expect_soon(Jamming::Continuous, power_dbm, distance_m, Sign::Noise).await;
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_are_broken_on_purpose_are_told_within_30_s() {
    for (power_dbm, distance_m) in [(20, 10.0), (20, 30.0), (30, 60.0), (36, 100.0)] {
        // In the header, and in the payload.
        for reaction in [ms(1), ms(60)] {
            let jamming = Jamming::Selective { reaction };
            expect_soon(jamming, power_dbm, distance_m, Sign::Failures).await;
        }
        let pulsed = Jamming::Pulsed { on: ms(60), period: ms(200) };
        expect_soon(pulsed, power_dbm, distance_m, Sign::Failures).await;
    }
}

/// A jammer that spoils already the preamble leaves nothing to count: only that
/// nobody is heard tells it, when 24 heartbeats of 200 pendants are missing.
#[tokio::test(start_paused = true)]
async fn a_jammer_of_preambles_is_told_by_the_silence() {
    let jamming = Jamming::Reactive { reaction: ms(1) };
    for (after, sign) in detection(jamming, 30, 10.0).await {
        assert!(sign == Sign::Loss && after < Duration::from_secs(110), "{sign:?} {after:?}");
    }
}

/// What is measured in hours of ordinary traffic on the ether makes months.
#[tokio::test(start_paused = true)]
async fn a_month_of_ordinary_traffic_is_no_jamming() {
    let long = std::env::var_os("LONG").is_some();
    let (seeds, months) = if long { (4, 12) } else { (1, 1) };
    let mut told = [0; 3];
    for seed in 1..=seeds {
        let mut works = Works::start(seed).await;
        let hours = Duration::from_secs(3 * 3_600);
        assert_eq!(works.news_within(hours).await, None, "seed {seed}");
        let sum = |of: fn(&AirReport) -> u32| works.reports.iter().map(of).sum::<u32>();
        let noisy = works.reports.iter().filter(|it| it.noise_dbm.is_some_and(|dbm| dbm > -107));
        println!(
            "seed {seed}: {} reports, {} noisy, {} frames, {} failures, {} new messages",
            works.reports.len(),
            noisy.count(),
            sum(|it| it.frames),
            sum(|it| it.failures),
            works.fresh,
        );
        // The traffic is what it is meant to be: it collides, and others disturb it.
        assert!(sum(|it| it.failures) > 50 && works.fresh > 3_000);
        for month in 1..=months {
            let alarms = Month::of(&works.reports, seed << 16 | month).run();
            println!("seed {seed}, month {month}: {alarms:?}");
            for (sum, alarms) in told.iter_mut().zip(alarms) {
                *sum += alarms;
            }
        }
    }
    println!("noise, failures, loss in {} months: {told:?}", seeds * months);
    assert!(told.iter().sum::<u64>() < seeds * months, "{told:?}");
}

/// The judge can see: half a minute of a jammer in a month is one suspicion.
#[tokio::test(start_paused = true)]
async fn half_a_minute_of_a_jammer_in_a_month_is_found() {
    let quiet = vec![AirReport { noise_dbm: Some(-117), failures: 0, frames: 0 }; 100];
    let noisy = AirReport { noise_dbm: Some(-95), failures: 0, frames: 0 };
    assert_eq!(Month::of(&quiet, 1).with(noisy, 30).run(), [1, 0, 0]);
    let broken = AirReport { noise_dbm: Some(-117), failures: 1, frames: 0 };
    assert_eq!(Month::of(&quiet, 1).with(broken, 30).run(), [0, 1, 0]);
}
