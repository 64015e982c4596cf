//! Chance that repeats with its seed.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): enough for air, pauses and walks; no
/// secret may come from it.
#[derive(Clone, Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// The next number.
    #[allow(clippy::should_implement_trait, reason = "it never ends, and is no iterator")]
    pub fn next(&mut self) -> u64 {
        let drawn = mix(self.0);
        self.0 = self.0.wrapping_add(GAMMA);
        drawn
    }

    /// Evenly within (0, 1): neither of the two.
    pub fn fraction(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Exponentially distributed with this mean.
    pub fn pause(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-self.fraction().ln())
    }
}

/// The step of SplitMix64: the golden ratio.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a generator in this state draws: spreads near numbers far apart.
pub fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_published_generator() {
        // The first draws of seed 1234567 in the authors' reference code.
        let mut chance = Chance(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| chance.next()).collect();
        assert_eq!(
            drawn,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
