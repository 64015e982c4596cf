//! How weak a LoRa frame may be: the demodulator's limit, and the noise of a quiet
//! channel under it.

/// Thermal noise at 17 C, dBm in one hertz.
const THERMAL_DBM_HZ: f64 = -174.0;

/// Noise that the receiver adds, dB (a usual value for an SX126x board).
const NOISE_FIGURE_DB: f64 = 6.0;

/// Lowest ratio of a frame to the noise at which it is demodulated, dB (SX1261/2
/// datasheet rev 2.1, table 6-1; SX1276 datasheet rev 7, table 13, from SF6 on): -2.5
/// at SF5, 2.5 less a step, -20 at SF12. It does not depend on the bandwidth.
pub fn limit_snr_db(spreading_factor: u8) -> f64 {
    -2.5 * (f64::from(spreading_factor.clamp(5, 12)) - 4.0)
}

/// What a receiver measures in a band of this width when nothing is sent, dBm.
pub fn quiet_dbm(bandwidth_hz: u32) -> f64 {
    THERMAL_DBM_HZ + NOISE_FIGURE_DB + 10.0 * f64::from(bandwidth_hz.max(1)).log10()
}

/// Weakest frame that is demodulated on a quiet channel, dBm.
pub fn sensitivity_dbm(spreading_factor: u8, bandwidth_hz: u32) -> f64 {
    quiet_dbm(bandwidth_hz) + limit_snr_db(spreading_factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_datasheets() {
        let published = [-2.5, -5.0, -7.5, -10.0, -12.5, -15.0, -17.5, -20.0];
        for (factor, limit) in (5..).zip(published) {
            assert_eq!(limit_snr_db(factor), limit, "SF{factor}");
        }
        for (factor, bandwidth_hz, dbm) in [
            (7, 125_000, -124.5),
            (12, 125_000, -137.0),
            (7, 250_000, -121.5),
            (9, 500_000, -123.5),
        ] {
            let of = sensitivity_dbm(factor, bandwidth_hz);
            assert!((of - dbm).abs() < 0.1, "SF{factor}, {bandwidth_hz} Hz: {of}");
        }
    }
}
