//! LoRa radios through lora-phy's driver.

/// How a radio listens and speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RadioSettings {
    /// Carrier frequency, Hz.
    pub frequency_hz: u32,
    /// Spreading factor, 5 to 12.
    pub spreading_factor: u8,
    /// Bandwidth, Hz: 7810, 10420, 15630, 20830, 31250, 41670, 62500, 125000,
    /// 250000 or 500000.
    pub bandwidth_hz: u32,
    /// Denominator of the coding rate 4/n, 5 to 8.
    pub coding_rate_denominator: u8,
    /// Power at the chip's output, dBm.
    pub power_dbm: i8,
    /// Programmed preamble, symbols.
    pub preamble_symbols: u16,
    /// Whether the sync word is that of private networks (0x1424) and not
    /// LoRaWAN's (0x3444).
    pub private_network: bool,
}
