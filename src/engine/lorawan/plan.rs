//! Regional parameters (RP002-1.0.4): where an uplink is answered, and what a join
//! tells a device of the channels.

use crate::engine::seam::{Signal, Wave};

/// A block of eight channels of US915, 1 to 8, as concentrators are set to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubBand(u8);

impl SubBand {
    /// `None` outside 1 to 8.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (1..=8).contains(&number).then_some(Self(number))
    }

    /// 1 to 8.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// A band plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Europe, 863 to 870 MHz.
    Eu868,
    /// United States, 902 to 928 MHz.
    Us915 {
        /// The channels that this gateway hears.
        sub_band: SubBand,
    },
}

/// Channels of EU868 beside the three that every device knows, Hz: those that
/// packet forwarders are shipped with.
const EU868_MORE_HZ: [u32; 5] = [867_100_000, 867_300_000, 867_500_000, 867_700_000, 867_900_000];

impl Plan {
    /// In which waves an uplink may be answered: in its first window and in its
    /// second. `None` if it is not known how it came.
    pub(in crate::engine) fn windows(self, heard: &Signal) -> Option<[Wave; 2]> {
        let frequency_hz = heard.frequency_hz?;
        let spreading_factor = heard.spreading_factor.filter(|sf| (7..=12).contains(sf))?;
        Some(match self {
            Self::Eu868 => [
                Wave::LoRaWan { frequency_hz, spreading_factor, bandwidth_hz: 125_000 },
                Wave::LoRaWan {
                    frequency_hz: 869_525_000,
                    spreading_factor: 12,
                    bandwidth_hz: 125_000,
                },
            ],
            Self::Us915 { .. } => {
                let (channel, wide) = us915_channel(frequency_hz)?;
                // SF8 in 500 kHz is answered in SF7 (RP002-1.0.4, table 17).
                let spreading_factor = if wide { 7 } else { spreading_factor.min(10) };
                [
                    Wave::LoRaWan {
                        frequency_hz: 923_300_000 + 600_000 * (channel % 8),
                        spreading_factor,
                        bandwidth_hz: 500_000,
                    },
                    Wave::LoRaWan {
                        frequency_hz: 923_300_000,
                        spreading_factor: 12,
                        bandwidth_hz: 500_000,
                    },
                ]
            }
        })
    }

    /// DLSettings of a join: no offset of the first window's data rate, and the second
    /// window's as every device has it before.
    pub(super) fn downlink_settings(self) -> u8 {
        match self {
            Self::Eu868 => 0,
            Self::Us915 { .. } => 8,
        }
    }

    /// CFList of a join: five more channels, or a mask of those that are heard.
    pub(super) fn channel_list(self) -> [u8; 16] {
        let mut list = [0; 16];
        match self {
            Self::Eu868 => {
                for (place, frequency_hz) in list.chunks_exact_mut(3).zip(EU868_MORE_HZ) {
                    place.copy_from_slice(&(frequency_hz / 100).to_le_bytes()[..3]);
                }
            }
            Self::Us915 { sub_band } => {
                let block = sub_band.get() - 1;
                list[usize::from(block)] = 0xFF;
                // The wide channel beside the eight.
                list[8] = 1 << block;
                list[15] = 1;
            }
        }
        list
    }
}

/// An uplink channel's number in US915, and whether it is one of 500 kHz.
fn us915_channel(frequency_hz: u32) -> Option<(u32, bool)> {
    let place = |lowest_hz: u32, step_hz: u32, channels: u32| {
        let above_hz = frequency_hz.checked_sub(lowest_hz)?;
        let channel = above_hz / step_hz;
        (above_hz % step_hz == 0 && channel < channels).then_some(channel)
    };
    let narrow = place(902_300_000, 200_000, 64).map(|channel| (channel, false));
    narrow.or_else(|| place(903_000_000, 1_600_000, 8).map(|channel| (channel, true)))
}

/// The weakest signal-to-noise ratio at which a frame is received, quarters of a
/// decibel (SX1276 datasheet, table 13).
pub(super) fn demodulation_floor_quarter_db(spreading_factor: u8) -> i16 {
    // -7.5 dB at SF7, and 2.5 dB less with every step.
    -30 - 10 * (i16::from(spreading_factor) - 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(frequency_hz: u32, spreading_factor: u8) -> Signal {
        Signal {
            frequency_hz: Some(frequency_hz),
            spreading_factor: Some(spreading_factor),
            ..Signal::default()
        }
    }

    fn waves(plan: Plan, frequency_hz: u32, factor: u8) -> Option<[(u32, u8, u32); 2]> {
        let windows = plan.windows(&heard(frequency_hz, factor))?;
        Some(windows.map(|wave| match wave {
            Wave::LoRaWan { frequency_hz, spreading_factor, bandwidth_hz } => {
                (frequency_hz, spreading_factor, bandwidth_hz)
            }
            Wave::Native => panic!("a LoRaWAN plan"),
        }))
    }

    #[test]
    fn europe_answers_where_it_was_called_and_then_at_869_525() {
        let second = (869_525_000, 12, 125_000);
        let first = |hz, sf| waves(Plan::Eu868, hz, sf);
        assert_eq!(first(868_300_000, 7), Some([(868_300_000, 7, 125_000), second]));
        assert_eq!(first(867_100_000, 12), Some([(867_100_000, 12, 125_000), second]));
        assert_eq!(first(868_300_000, 6), None);
        assert_eq!(Plan::Eu868.windows(&Signal::default()), None);
    }

    #[test]
    fn the_states_answer_on_eight_wide_channels() {
        let plan = Plan::Us915 { sub_band: SubBand::new(2).expect("1 to 8") };
        let second = (923_300_000, 12, 500_000);
        // Channels 8 and 15: the second block's first and last.
        assert_eq!(waves(plan, 903_900_000, 10), Some([(923_300_000, 10, 500_000), second]));
        assert_eq!(waves(plan, 905_300_000, 7), Some([(927_500_000, 7, 500_000), second]));
        // Channel 65, 500 kHz.
        assert_eq!(waves(plan, 904_600_000, 8), Some([(923_900_000, 7, 500_000), second]));
        // The last of either width, and where one more would be.
        assert_eq!(waves(plan, 914_900_000, 7), Some([(927_500_000, 7, 500_000), second]));
        assert_eq!(waves(plan, 914_200_000, 8), Some([(927_500_000, 7, 500_000), second]));
        assert_eq!([915_100_000, 915_800_000].map(|hz| waves(plan, hz, 8)), [None, None]);
        assert_eq!(waves(plan, 868_100_000, 7), None);
        assert_eq!(waves(plan, 903_950_000, 7), None);
    }

    #[test]
    fn a_join_tells_the_channels() {
        let list = Plan::Eu868.channel_list();
        // 867.1 MHz in units of 100 Hz, the lowest byte first.
        assert_eq!(list[..3], [0x18, 0x4F, 0x84]);
        assert_eq!(list[15], 0);
        let plan = Plan::Us915 { sub_band: SubBand::new(2).expect("1 to 8") };
        let mut expected = [0; 16];
        (expected[1], expected[8], expected[15]) = (0xFF, 0x02, 1);
        assert_eq!(plan.channel_list(), expected);
        assert_eq!([0, 9].map(SubBand::new), [None, None]);
    }
}
