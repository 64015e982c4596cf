//! The bench's clock, and what is made of its readings.

use std::time::{Duration, Instant};

/// Longest wait for anything that must happen; never waited for in full.
pub(crate) const SOON: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "the bench's only clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The value below which `percent` of all lie.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

pub(crate) fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(crate) fn print(name: &str, value: f64, unit: &str) {
    let digits = match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 10.0 => 1,
        _ => 3,
    };
    println!("{name} {value:.digits$} {unit}");
}

/// What the machine does by itself: how far the floor's rounds lie apart.
pub(crate) fn print_noise(what: &str, rounds: &[f64], unit: &str) {
    let (least, most) = (percentile(rounds, 0), percentile(rounds, 100));
    println!("# {what}: {least:.1}..{most:.1} {unit} in {} rounds", rounds.len());
}
