//! How far a frame was above what a receiver still understands, at its own
//! spreading factor and at each other.
//!
//! Two measurements bound it. The **ratio to the noise** (SNR) counts the noise that
//! there really is, but what chips report stops near +10 dB however strong a frame is.
//! The **strength** (RSSI) has no such end, but is compared with a channel without any
//! disturbance, and below the noise it is that of the noise. Each can only be too
//! hopeful in its own way, so the margin is the smaller of both; where the ratio is at
//! its end and the strength says more, it is marked as "at least".

use pendant_hal::sensitivity::{limit_snr_db, sensitivity_dbm};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Spreading factors that a margin is told for. 5 and 6 are the SX126x's alone, and no
/// pendant is known that uses them.
pub const SPREADING_FACTORS: RangeInclusive<u8> = 7..=12;

/// From here on the reported ratio says no more than "strong" (it stops between +8 and
/// +13 dB, by chip and spreading factor).
const SNR_END_DB: f64 = 8.0;

/// Where a receiver does not say: what nearly all pendants use.
const BANDWIDTH_HZ: u32 = 125_000;

/// How a frame was heard, as far as its receiver says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// Received signal strength, dBm.
    pub rssi_dbm: Option<i16>,
    /// Signal-to-noise ratio, dB.
    pub snr_db: Option<f64>,
    /// LoRa spreading factor, 5 to 12.
    pub spreading_factor: Option<u8>,
    /// LoRa bandwidth, Hz.
    pub bandwidth_hz: Option<u32>,
}

/// How far above the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    /// Decibels.
    pub db: f64,
    /// It may be more: the receiver's ratio was at its end.
    pub at_least: bool,
}

impl Margin {
    /// Decibels to one place, as they are told.
    #[must_use]
    pub fn rounded_db(&self) -> f64 {
        (self.db * 10.0).round() / 10.0
    }
}

impl Heard {
    /// What the margin would be at this spreading factor with the same power; `None` if
    /// the receiver measured nothing.
    #[must_use]
    pub fn margin_at(&self, spreading_factor: u8) -> Option<Margin> {
        let bandwidth_hz = self.bandwidth_hz.unwrap_or(BANDWIDTH_HZ);
        let by_snr = self.snr_db.map(|snr| snr - limit_snr_db(spreading_factor));
        let by_rssi = self
            .rssi_dbm
            .map(|rssi| f64::from(rssi) - sensitivity_dbm(spreading_factor, bandwidth_hz));
        let (Some(by_snr), Some(by_rssi)) = (by_snr, by_rssi) else {
            return by_snr.or(by_rssi).map(|db| Margin { db, at_least: false });
        };
        let ended = self.snr_db.is_some_and(|snr| snr >= SNR_END_DB);
        Some(Margin { db: by_snr.min(by_rssi), at_least: ended && by_rssi > by_snr })
    }

    /// The margin at the spreading factor that the frame had; if the receiver does not
    /// say that, at `otherwise`, or else at the most demanding one.
    #[must_use]
    pub fn margin(&self, otherwise: Option<u8>) -> Option<Margin> {
        self.margin_at(self.spreading_factor_or(otherwise))
    }

    /// See [`Self::margin`].
    #[must_use]
    pub fn spreading_factor_or(&self, otherwise: Option<u8>) -> u8 {
        self.spreading_factor.or(otherwise).unwrap_or(*SPREADING_FACTORS.start())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(rssi_dbm: i16, snr_db: f64) -> Heard {
        let (rssi_dbm, snr_db) = (Some(rssi_dbm), Some(snr_db));
        Heard { rssi_dbm, snr_db, ..Heard::default() }
    }

    fn at(heard: Heard, spreading_factor: u8) -> (f64, bool) {
        let margin = heard.margin_at(spreading_factor).expect("measured");
        (margin.rounded_db(), margin.at_least)
    }

    #[test]
    fn below_the_noise_the_ratio_counts() {
        // The strength is that of the noise, and would promise 20 dB at SF12.
        assert_eq!(at(heard(-117, -15.0), 12), (5.0, false));
        assert_eq!(at(heard(-117, -15.0), 7), (-7.5, false));
        assert_eq!(at(heard(-117, 0.0), 10), (15.0, false));
    }

    #[test]
    fn at_its_end_the_ratio_is_a_lower_bound() {
        assert_eq!(at(heard(-40, 10.0), 7), (17.5, true));
        assert_eq!(at(heard(-40, 10.0), 12), (30.0, true));
        assert_eq!(at(heard(-40, 7.75), 7), (15.3, false), "a disturbed place close by");
    }

    #[test]
    fn a_strength_that_does_not_fit_the_ratio_is_not_overlooked() {
        // Sensitivity at SF7 and 125 kHz is -124.5 dBm.
        assert_eq!(at(heard(-118, 10.0), 7), (6.5, false));
        // Twice the bandwidth lets in twice the noise.
        let wide = Heard { bandwidth_hz: Some(250_000), ..heard(-118, 10.0) };
        assert_eq!(at(wide, 7), (3.5, false));
    }

    #[test]
    fn what_was_not_measured_is_left_out() {
        let strength = Heard { rssi_dbm: Some(-100), ..Heard::default() };
        assert_eq!(at(strength, 9), (29.5, false));
        let ratio = Heard { snr_db: Some(-2.5), ..Heard::default() };
        assert_eq!(at(ratio, 9), (10.0, false));
        assert_eq!(Heard::default().margin_at(9), None);
    }

    #[test]
    fn the_frames_own_spreading_factor_goes_before_what_the_installer_says() {
        let mut frame = heard(-117, -5.0);
        assert_eq!(frame.margin(None).expect("measured").db, 2.5, "the most demanding");
        assert_eq!(frame.margin(Some(10)).expect("measured").db, 10.0);
        frame.spreading_factor = Some(12);
        assert_eq!(frame.margin(Some(10)).expect("measured").db, 15.0);
    }
}
