//! What travels through the air, and what of it a receiver can use.
//!
//! Levels are in decibels of a milliwatt; sums of powers are made in milliwatts.

use crate::airtime::Shape;
use crate::radio::RadioSettings;
use crate::sensitivity;
use std::time::Duration;
use tokio::time::Instant;

/// LoRa sync word of private networks, as in the SX126x's register 0x0740.
const PRIVATE_SYNC_WORD: u16 = 0x1424;
/// LoRa sync word of LoRaWAN, likewise.
const LORAWAN_SYNC_WORD: u16 = 0x3444;

/// What a radio must be set to in order to hear a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Air {
    /// Carrier frequency, Hz.
    pub frequency_hz: u32,
    /// Modulation and framing.
    pub shape: Shape,
    /// Whether IQ is inverted, as LoRaWAN's downlinks have it.
    pub iq_inverted: bool,
    /// LoRa sync word as in the SX126x's register 0x0740.
    pub sync_word: u16,
}

impl Air {
    /// How a pendant sends under these settings; it is answered on the downlink's
    /// frequency.
    pub fn of(settings: &RadioSettings) -> Self {
        Self {
            frequency_hz: settings.frequency_hz,
            shape: settings.shape(),
            iq_inverted: false,
            sync_word: if settings.private_network { PRIVATE_SYNC_WORD } else { LORAWAN_SYNC_WORD },
        }
    }

    /// How a LoRaWAN pendant listens.
    pub fn lorawan_downlink(frequency_hz: u32, spreading_factor: u8, bandwidth_hz: u32) -> Self {
        Self {
            frequency_hz,
            shape: Shape {
                spreading_factor,
                bandwidth_hz,
                coding_rate_denominator: 5,
                preamble_symbols: 8,
                explicit_header: true,
                payload_crc: false,
            },
            iq_inverted: true,
            sync_word: LORAWAN_SYNC_WORD,
        }
    }

    /// Whether two are on the same channel, so that one can be taken for the
    /// other: the carrier within a quarter of the bandwidth (SX1261/2 datasheet
    /// rev 2.1, section 6.1.1), the same spreading. Inverted, chirps run the other
    /// way: to a receiver of the one the other is noise, as another spreading is.
    pub fn is_same_channel(&self, other: &Self) -> bool {
        self.iq_inverted == other.iq_inverted
            && self.frequency_hz.abs_diff(other.frequency_hz) <= self.shape.bandwidth_hz / 4
            && self.shape.spreading_factor == other.shape.spreading_factor
            && self.shape.bandwidth_hz == other.shape.bandwidth_hz
    }

    fn band(&self) -> Band {
        Band { centre_hz: self.frequency_hz, width_hz: self.shape.bandwidth_hz }
    }
}

/// A frame as it leaves an antenna.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    /// How it is sent.
    pub air: Air,
    /// Its first symbol.
    pub started: Instant,
    /// Radiated power, dBm.
    pub power_dbm: i16,
    /// How far the sender's crystal puts the carrier off, Hz.
    pub offset_hz: i32,
    /// Payload, at most 255 bytes.
    pub bytes: Vec<u8>,
}

/// A frame as it reaches an antenna.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// How it was sent.
    pub air: Air,
    /// Its first symbol.
    pub started: Instant,
    /// Received power, dBm.
    pub rssi_dbm: i16,
    /// Ratio to the thermal noise, quarters of a decibel.
    pub snr_quarter_db: i8,
    /// How far the carrier is off, Hz.
    pub offset_hz: i32,
    /// Payload, at most 255 bytes.
    pub bytes: Vec<u8>,
}

impl Arrival {
    /// The end of its last symbol.
    pub fn ended(&self) -> Instant {
        let length = u8::try_from(self.bytes.len()).unwrap_or(u8::MAX);
        self.started + self.air.shape.frame(length)
    }
}

/// Noise as it reaches an antenna.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    /// The band over which its power is spread evenly.
    pub band: Band,
    /// Its begin.
    pub started: Instant,
    /// How long it lasts.
    pub duration: Duration,
    /// Received power in the whole band, dBm.
    pub rssi_dbm: i16,
}

/// What reaches an antenna.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wave {
    /// A frame.
    Frame(Arrival),
    /// Noise.
    Noise(Noise),
}

impl Wave {
    pub(super) fn started(&self) -> Instant {
        match self {
            Self::Frame(arrival) => arrival.started,
            Self::Noise(noise) => noise.started,
        }
    }

    pub(super) fn ended(&self) -> Instant {
        match self {
            Self::Frame(arrival) => arrival.ended(),
            Self::Noise(noise) => noise.started + noise.duration,
        }
    }

    /// For how long it lasts within a time.
    pub(super) fn overlap(&self, from: Instant, until: Instant) -> Duration {
        self.ended().min(until).saturating_duration_since(self.started().max(from))
    }

    /// Its power within a receiver's band, milliwatts.
    pub(super) fn power_mw_in(&self, band: Band) -> f64 {
        let (own, rssi_dbm) = match self {
            Self::Frame(arrival) => (arrival.air.band(), arrival.rssi_dbm),
            Self::Noise(noise) => (noise.band, noise.rssi_dbm),
        };
        let shared = f64::from(own.shared_hz(band)) / f64::from(own.width_hz.max(1));
        milliwatts(rssi_dbm.into()) * shared
    }
}

/// A stretch of the spectrum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Its middle, Hz.
    pub centre_hz: u32,
    /// Its width, Hz.
    pub width_hz: u32,
}

impl Band {
    /// The band that a receiver listens to.
    pub fn of(air: &Air) -> Self {
        air.band()
    }

    fn shared_hz(self, other: Self) -> u32 {
        let from = |band: Self| band.centre_hz.saturating_sub(band.width_hz / 2);
        let until = |band: Self| band.centre_hz.saturating_add(band.width_hz / 2);
        until(self).min(until(other)).saturating_sub(from(self).max(from(other)))
    }

    /// What a receiver measures in it when nothing is sent, dBm.
    pub fn quiet_dbm(self) -> f64 {
        sensitivity::quiet_dbm(self.width_hz)
    }
}

pub(super) fn milliwatts(dbm: f64) -> f64 {
    10f64.powf(dbm / 10.0)
}

pub(super) fn decibels(milliwatts: f64) -> f64 {
    10.0 * milliwatts.log10()
}

/// A level in whole decibels.
pub(super) fn whole_db(level: f64) -> i16 {
    level.round().clamp(-300.0, 300.0) as i16
}

/// A ratio in the quarters of a decibel that both chips report.
pub(super) fn quarter_db(ratio_db: f64) -> i8 {
    (ratio_db * 4.0).round().clamp(-128.0, 127.0) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_counts_as_far_as_it_falls_into_the_band() {
        let ours = Band { centre_hz: 868_100_000, width_hz: 125_000 };
        let power_dbm = |centre_hz, width_hz| {
            let band = Band { centre_hz, width_hz };
            let started = Instant::now();
            let noise = Noise { band, started, duration: Duration::from_secs(1), rssi_dbm: -80 };
            decibels(Wave::Noise(noise).power_mw_in(ours))
        };
        assert!((power_dbm(868_100_000, 10_000) + 80.0).abs() < 0.01, "all of it");
        assert!((power_dbm(868_100_000, 1_250_000) + 90.0).abs() < 0.01, "a tenth");
        assert_eq!(power_dbm(868_300_000, 125_000), f64::NEG_INFINITY, "the next channel");
    }
}
