//! What a regulator lets a transmitter do: bands, power, duty cycle, dwell time.
//!
//! Sources: ERC Recommendation 70-03 annex 1 and EN 300 220-2 (EU868); 47 CFR
//! 15.247 (US915); LoRaWAN Regional Parameters RP002-1.0.4 for what holds beside
//! (AU915, AS923, IN865). They bind the installer, who must know the site's own
//! country; what stands here is enforced before every transmission.

use std::time::Duration;

/// A region, by the name that LoRaWAN gives its band plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// Europe, 863 to 870 MHz.
    Eu868,
    /// United States, 902 to 928 MHz.
    Us915,
    /// Australia, 915 to 928 MHz.
    Au915,
    /// Asia, 920 to 925 MHz.
    As923,
    /// India, 865 to 867 MHz.
    In865,
}

/// What holds in one band of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Its edges, Hz. All of a transmission lies between them.
    pub low_hz: u32,
    /// See `low_hz`.
    pub high_hz: u32,
    /// Most radiated power, dBm EIRP.
    pub eirp_dbm_max: i32,
    /// Most time on the air, thousandths of any hour; `None`: as much as it likes.
    pub duty_permille: Option<u16>,
    /// Longest single transmission; `None`: as long as it likes.
    pub dwell_max: Option<Duration>,
}

/// Frequencies that a site may begin with, Hz: where pendants speak, and where
/// they are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// Carrier from pendants, Hz.
    pub uplink_hz: u32,
    /// Carrier to pendants, Hz.
    pub downlink_hz: u32,
}

/// What a transmission takes up of the spectrum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Its middle, Hz.
    pub frequency_hz: u32,
    /// Its width, Hz.
    pub bandwidth_hz: u32,
}

const fn band(low_hz: u32, high_hz: u32, eirp_dbm_max: i32, duty_permille: u16) -> Band {
    Band { low_hz, high_hz, eirp_dbm_max, duty_permille: Some(duty_permille), dwell_max: None }
}

/// 25 mW and 500 mW ERP are 16.15 and 29.15 dBm EIRP.
const EU868: [Band; 6] = [
    band(863_000_000, 865_000_000, 16, 1),
    band(865_000_000, 868_000_000, 16, 10),
    band(868_000_000, 868_600_000, 16, 10),
    band(868_700_000, 869_200_000, 16, 1),
    band(869_400_000, 869_650_000, 29, 100),
    band(869_700_000, 870_000_000, 16, 10),
];

/// One transmission on one channel, 47 CFR 15.247 (a)(1) and (f).
const DWELL: Duration = Duration::from_millis(400);

/// From this bandwidth on a transmitter counts as wide-band in the United States
/// and Australia, and has no dwell time (47 CFR 15.247 (a)(2)).
const WIDE_HZ: u32 = 500_000;

impl Region {
    /// All regions.
    pub const ALL: [Self; 5] = [Self::Eu868, Self::Us915, Self::Au915, Self::As923, Self::In865];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eu868 => "EU868",
            Self::Us915 => "US915",
            Self::Au915 => "AU915",
            Self::As923 => "AS923",
            Self::In865 => "IN865",
        }
    }

    /// Channels for a site that has no reason for others. In EU868 answers leave
    /// where 10 % are allowed, and pendants speak elsewhere.
    pub fn channels(self) -> Channels {
        let (uplink_hz, downlink_hz) = match self {
            Self::Eu868 => (868_100_000, 869_525_000),
            Self::Us915 => (915_000_000, 915_000_000),
            Self::Au915 => (916_800_000, 916_800_000),
            Self::As923 => (923_200_000, 923_200_000),
            Self::In865 => (865_062_500, 865_062_500),
        };
        Channels { uplink_hz, downlink_hz }
    }

    /// What holds for transmissions on this carrier (its middle and its width, Hz); `None`:
    /// none are allowed.
    pub fn band(self, frequency_hz: u32, bandwidth_hz: u32) -> Option<Band> {
        let low = frequency_hz.checked_sub(bandwidth_hz / 2)?;
        let high = frequency_hz.checked_add(bandwidth_hz / 2)?;
        self.bands(bandwidth_hz).into_iter().find(|band| low >= band.low_hz && high <= band.high_hz)
    }

    /// All bands, for transmissions of this bandwidth, Hz.
    pub fn bands(self, bandwidth_hz: u32) -> Vec<Band> {
        let wide = bandwidth_hz >= WIDE_HZ;
        let single = |low_hz, high_hz, eirp_dbm_max, dwell_max| {
            vec![Band { low_hz, high_hz, eirp_dbm_max, duty_permille: None, dwell_max }]
        };
        match self {
            Self::Eu868 => EU868.to_vec(),
            // 30 dBm and an antenna of 6 dBi; narrower, 8 dBm in any 3 kHz.
            Self::Us915 if wide => single(902_000_000, 928_000_000, 36, None),
            Self::Us915 => single(902_000_000, 928_000_000, 30, Some(DWELL)),
            Self::Au915 if wide => single(915_000_000, 928_000_000, 30, None),
            Self::Au915 => single(915_000_000, 928_000_000, 30, Some(DWELL)),
            Self::As923 => {
                vec![Band { dwell_max: Some(DWELL), ..band(920_000_000, 925_000_000, 16, 10) }]
            }
            Self::In865 => single(865_000_000, 867_000_000, 30, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_in_europe_leave_where_ten_percent_are_allowed() {
        let Channels { uplink_hz, downlink_hz } = Region::Eu868.channels();
        let band = |hz| Region::Eu868.band(hz, 125_000).expect("a band");
        assert_eq!(band(downlink_hz).duty_permille, Some(100));
        assert_eq!(band(uplink_hz).duty_permille, Some(10));
    }

    #[test]
    fn no_transmission_crosses_the_edge_of_a_band() {
        let band = |hz, width| Region::Eu868.band(hz, width);
        assert!(band(869_525_000, 250_000).is_some());
        assert!(band(869_525_000, 500_000).is_none());
        assert!(band(868_550_000, 125_000).is_none());
        // Between the bands.
        assert!(band(869_300_000, 125_000).is_none());
        assert!(Region::Us915.band(868_100_000, 125_000).is_none());
        assert!(Region::In865.band(0, 125_000).is_none());
        assert!(Region::In865.band(u32::MAX, 125_000).is_none());
    }

    #[test]
    fn every_region_has_a_band_for_its_own_channels() {
        for region in Region::ALL {
            let Channels { uplink_hz, downlink_hz } = region.channels();
            for hz in [uplink_hz, downlink_hz] {
                assert!(region.band(hz, 125_000).is_some(), "{}", region.name());
            }
        }
        let dwell = |region: Region, width| {
            region.band(region.channels().downlink_hz, width).expect("a band").dwell_max
        };
        assert_eq!(dwell(Region::Us915, 125_000), Some(DWELL));
        assert_eq!(dwell(Region::Us915, 500_000), None);
        assert_eq!(dwell(Region::In865, 125_000), None);
    }
}
