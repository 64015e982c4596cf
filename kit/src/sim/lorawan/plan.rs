//! Regional parameters (RP002-1.0.4) as a device has them: where it speaks, and when
//! and where it listens. Written apart from the gateway's: each holds the other to the
//! standard.

use pendant_hal::sim::ether::Air;
use serde::Deserialize;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Bandwidth of all uplink channels here, Hz.
pub(super) const UPLINK_HZ: u32 = 125_000;

/// RxDelay that every device begins with, s.
const RX_DELAY_S: u8 = 1;

/// After its request to join a device listens so long, microseconds.
const JOIN_US: [u32; 2] = [5_000_000, 6_000_000];
/// After a data frame.
const DATA_US: [u32; 2] = [1_000_000, 2_000_000];

/// A band plan by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum PlanName {
    /// Europe, 863 to 870 MHz.
    #[default]
    #[serde(rename = "EU868")]
    Eu868,
    /// United States, 902 to 928 MHz.
    #[serde(rename = "US915")]
    Us915,
}

/// A band plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Europe, 863 to 870 MHz.
    Eu868,
    /// United States, 902 to 928 MHz.
    Us915 {
        /// The eight channels that the gateway hears, 1 to 8.
        sub_band: u8,
    },
}

/// When a device listens, and to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Counted from the end of its own frame.
    pub(super) after_us: u32,
    /// How a downlink must leave to be heard.
    pub(super) air: Air,
}

impl Window {
    pub(super) fn after(&self) -> Duration {
        Duration::from_micros(self.after_us.into())
    }
}

/// What a frame is, as far as its windows follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Join,
    Data,
}

impl Plan {
    /// `None` if there must be a sub-band and is none, or the other way round.
    pub(in crate::sim) fn new(name: PlanName, sub_band: Option<u8>) -> Option<Self> {
        match (name, sub_band) {
            (PlanName::Eu868, None) => Some(Self::Eu868),
            (PlanName::Us915, Some(sub_band @ 1..=8)) => Some(Self::Us915 { sub_band }),
            _ => None,
        }
    }

    /// Channels that a device knows before it has joined, Hz.
    pub(super) fn channels_hz(self) -> Vec<u32> {
        match self {
            Self::Eu868 => vec![868_100_000, 868_300_000, 868_500_000],
            Self::Us915 { sub_band } => {
                let first = 8 * u32::from(sub_band - 1);
                (first..first + 8).map(|channel| 902_300_000 + 200_000 * channel).collect()
            }
        }
    }

    /// Spreading factors of uplinks with [`UPLINK_HZ`].
    pub(super) fn spreading_factors(self) -> RangeInclusive<u8> {
        match self {
            Self::Eu868 => 7..=12,
            Self::Us915 { .. } => 7..=10,
        }
    }

    /// Longest payload of the application (N of RP002-1.0.4, tables 14 and 21).
    pub(super) fn payload_bytes_max(self, spreading_factor: u8) -> usize {
        match (self, spreading_factor) {
            (Self::Us915 { .. }, 10) => 11,
            (Self::Us915 { .. }, 9) => 53,
            (Self::Us915 { .. }, 8) => 125,
            (Self::Eu868, 10..) => 51,
            (Self::Eu868, 9) => 115,
            _ => 242,
        }
    }

    /// The two windows of a frame.
    pub(super) fn windows(self, sort: Sort, channel_hz: u32, spreading_factor: u8) -> [Window; 2] {
        let [first_us, second_us] = match sort {
            Sort::Join => JOIN_US,
            Sort::Data => DATA_US,
        };
        let [first, second] = match self {
            Self::Eu868 => [
                Air::lorawan_downlink(channel_hz, spreading_factor, 125_000),
                Air::lorawan_downlink(869_525_000, 12, 125_000),
            ],
            Self::Us915 { .. } => {
                let channel = (channel_hz - 902_300_000) / 200_000;
                let answers_hz = 923_300_000 + 600_000 * (channel % 8);
                [
                    Air::lorawan_downlink(answers_hz, spreading_factor, 500_000),
                    Air::lorawan_downlink(923_300_000, 12, 500_000),
                ]
            }
        };
        [Window { after_us: first_us, air: first }, Window { after_us: second_us, air: second }]
    }

    /// Whether a join accept leaves the windows where [`Self::windows`] has them.
    pub(super) fn keeps_windows(self, rx_delay_s: u8, rx2_data_rate: u8) -> bool {
        let second = match self {
            Self::Eu868 => 0,
            Self::Us915 { .. } => 8,
        };
        // 0 means 1 s as well (LoRaWAN 1.0.3, section 5.7).
        rx_delay_s.max(1) == RX_DELAY_S && rx2_data_rate == second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_of_the_regional_parameters() {
        let us = Plan::Us915 { sub_band: 2 };
        let [first, second] = us.windows(Sort::Data, 904_300_000, 9);
        assert_eq!((first.after_us, second.after_us), (1_000_000, 2_000_000));
        assert_eq!(first.air, Air::lorawan_downlink(924_500_000, 9, 500_000));
        assert_eq!(second.air, Air::lorawan_downlink(923_300_000, 12, 500_000));
        let [first, second] = Plan::Eu868.windows(Sort::Join, 868_300_000, 10);
        assert_eq!((first.after_us, second.after_us), (5_000_000, 6_000_000));
        assert_eq!(first.air, Air::lorawan_downlink(868_300_000, 10, 125_000));
        assert_eq!(second.air, Air::lorawan_downlink(869_525_000, 12, 125_000));
    }

    #[test]
    fn a_sub_band_has_its_eight_channels_and_europe_none() {
        let us = Plan::new(PlanName::Us915, Some(2)).expect("a plan");
        let channels = us.channels_hz();
        assert_eq!((channels.len(), channels[0], channels[7]), (8, 903_900_000, 905_300_000));
        for (name, sub_band) in
            [(PlanName::Us915, None), (PlanName::Us915, Some(9)), (PlanName::Eu868, Some(1))]
        {
            assert_eq!(Plan::new(name, sub_band), None, "{name:?} {sub_band:?}");
        }
    }

    #[test]
    fn a_join_that_moves_the_windows_is_seen() {
        let us = Plan::Us915 { sub_band: 1 };
        assert!(us.keeps_windows(1, 8) && us.keeps_windows(0, 8));
        assert!(!us.keeps_windows(2, 8) && !us.keeps_windows(1, 0));
        assert!(Plan::Eu868.keeps_windows(1, 0) && !Plan::Eu868.keeps_windows(1, 8));
    }
}
