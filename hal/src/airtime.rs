//! How long a LoRa frame is on the air (Semtech AN1200.13; for the SX126x's
//! spreading factors 5 and 6, SX1261/2 datasheet rev 2.1, section 6.1.4).

use std::time::Duration;

/// Everything that decides how long a frame takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Spreading factor, 5 to 12.
    pub spreading_factor: u8,
    /// Bandwidth, Hz.
    pub bandwidth_hz: u32,
    /// Denominator of the coding rate 4/n, 5 to 8.
    pub coding_rate_denominator: u8,
    /// Programmed preamble, symbols.
    pub preamble_symbols: u16,
    /// Whether the header is on the air.
    pub explicit_header: bool,
    /// Whether a CRC of the payload is on the air.
    pub payload_crc: bool,
}

impl Shape {
    fn symbol_ns(&self) -> u64 {
        symbol_ns(self.spreading_factor, self.bandwidth_hz)
    }

    /// Duration of one symbol.
    pub fn symbol(&self) -> Duration {
        Duration::from_nanos(self.symbol_ns())
    }

    /// From the first symbol to the last of preamble and sync word.
    pub fn preamble(&self) -> Duration {
        let quarters = u64::from(self.preamble_symbols) * 4 + self.sync_quarters();
        Duration::from_nanos(self.symbol_ns() * quarters / 4)
    }

    /// From the first symbol to the last of the header block, where a receiver
    /// knows that a frame comes: eight symbols after the sync word.
    pub fn header(&self) -> Duration {
        self.preamble() + Duration::from_nanos(self.symbol_ns() * 8)
    }

    /// From the first symbol to the last of a frame with `payload_bytes`.
    pub fn frame(&self, payload_bytes: u8) -> Duration {
        let symbols = 8 + self.payload_symbols(payload_bytes);
        self.preamble() + Duration::from_nanos(self.symbol_ns() * symbols)
    }

    /// Sync word and start of frame, quarters of a symbol.
    fn sync_quarters(&self) -> u64 {
        if self.spreading_factor <= 6 { 25 } else { 17 }
    }

    /// Symbols after the first eight of header and payload.
    fn payload_symbols(&self, payload_bytes: u8) -> u64 {
        let factor = i64::from(self.spreading_factor);
        let header_bits = if self.explicit_header { 20 } else { 0 };
        let crc_bits = if self.payload_crc { 16 } else { 0 };
        let slack_bits = if factor <= 6 { 0 } else { 8 };
        let bits = 8 * i64::from(payload_bytes) + crc_bits - 4 * factor + slack_bits + header_bits;
        let bits_per_block = 4 * if self.is_low_data_rate() { factor - 2 } else { factor };
        let blocks = u64::try_from(bits)
            .map_or(0, |bits| bits.div_ceil(bits_per_block.unsigned_abs().max(1)));
        blocks * u64::from(self.coding_rate_denominator)
    }

    /// See [`is_low_data_rate`].
    pub fn is_low_data_rate(&self) -> bool {
        is_low_data_rate(self.spreading_factor, self.bandwidth_hz)
    }
}

/// Duration of one symbol, nanoseconds.
fn symbol_ns(spreading_factor: u8, bandwidth_hz: u32) -> u64 {
    (1_000_000_000u64 << spreading_factor) / u64::from(bandwidth_hz.max(1))
}

/// Whether low data rate optimisation must be on: from 16.38 ms a symbol
/// (section 6.1.1.4).
#[must_use]
pub fn is_low_data_rate(spreading_factor: u8, bandwidth_hz: u32) -> bool {
    symbol_ns(spreading_factor, bandwidth_hz) >= 16_380_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(spreading_factor: u8, bandwidth_hz: u32) -> Shape {
        Shape {
            spreading_factor,
            bandwidth_hz,
            coding_rate_denominator: 5,
            preamble_symbols: 8,
            explicit_header: true,
            payload_crc: true,
        }
    }

    /// Values of The Things Network's airtime calculator, and of the table in
    /// AN1200.13 for SF7.
    #[test]
    fn published_values() {
        for (factor, bandwidth_hz, bytes, us) in [
            (7, 125_000, 38, 82_176),
            (8, 125_000, 38, 143_872),
            (9, 125_000, 38, 267_264),
            (10, 125_000, 38, 493_568),
            (11, 125_000, 38, 1_069_056),
            (12, 125_000, 38, 1_974_272),
            (7, 250_000, 38, 41_088),
            (10, 125_000, 24, 370_688),
            // Ten bytes in a LoRaWAN uplink, at each data rate of EU868.
            (7, 125_000, 23, 61_696),
            (8, 125_000, 23, 113_152),
            (9, 125_000, 23, 205_824),
            (10, 125_000, 23, 370_688),
            (11, 125_000, 23, 823_296),
            (12, 125_000, 23, 1_482_752),
        ] {
            let airtime = shape(factor, bandwidth_hz).frame(bytes);
            assert_eq!(airtime.as_micros(), us, "SF{factor}, {bandwidth_hz} Hz");
        }
    }

    #[test]
    fn the_parts_are_in_order() {
        let shape = shape(10, 125_000);
        assert_eq!(shape.symbol(), Duration::from_micros(8_192));
        assert_eq!(shape.preamble(), Duration::from_micros(8_192 * 49 / 4));
        assert!(shape.preamble() < shape.header());
        assert!(shape.header() < shape.frame(1));
    }
}
