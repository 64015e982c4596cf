//! Registers of the LoRa page (SX1276/77/78/79 datasheet rev 4, table 41 and
//! section 6.4), and what follows from them.

use crate::airtime::Shape;
use crate::sim::ether::Air;

pub(super) const FIFO: u8 = 0x00;
pub(super) const OP_MODE: u8 = 0x01;
pub(super) const FRF: u8 = 0x06;
pub(super) const PA_CONFIG: u8 = 0x09;
pub(super) const FIFO_ADDR_PTR: u8 = 0x0D;
pub(super) const FIFO_TX_BASE: u8 = 0x0E;
pub(super) const FIFO_RX_BASE: u8 = 0x0F;
pub(super) const FIFO_RX_CURRENT: u8 = 0x10;
pub(super) const IRQ_MASK: u8 = 0x11;
pub(super) const IRQ_FLAGS: u8 = 0x12;
pub(super) const RX_BYTES: u8 = 0x13;
pub(super) const RX_HEADERS: u8 = 0x14;
pub(super) const RX_PACKETS: u8 = 0x16;
pub(super) const MODEM_STAT: u8 = 0x18;
pub(super) const PACKET_SNR: u8 = 0x19;
pub(super) const PACKET_RSSI: u8 = 0x1A;
pub(super) const RSSI: u8 = 0x1B;
pub(super) const HOP_CHANNEL: u8 = 0x1C;
pub(super) const MODEM_CONFIG_1: u8 = 0x1D;
pub(super) const MODEM_CONFIG_2: u8 = 0x1E;
pub(super) const SYMBOL_TIMEOUT: u8 = 0x1F;
pub(super) const PREAMBLE: u8 = 0x20;
pub(super) const PAYLOAD_LENGTH: u8 = 0x22;
pub(super) const FIFO_RX_BYTE: u8 = 0x25;
pub(super) const MODEM_CONFIG_3: u8 = 0x26;
pub(super) const FREQUENCY_ERROR: u8 = 0x28;
pub(super) const DETECT_OPTIMIZE: u8 = 0x31;
pub(super) const INVERT_IQ: u8 = 0x33;
pub(super) const DETECTION_THRESHOLD: u8 = 0x37;
pub(super) const SYNC_WORD: u8 = 0x39;
pub(super) const INVERT_IQ_2: u8 = 0x3B;
pub(super) const DIO_MAPPING_1: u8 = 0x40;
pub(super) const VERSION: u8 = 0x42;
pub(super) const TCXO: u8 = 0x4B;
pub(super) const PA_DAC: u8 = 0x4D;

/// Registers of the address space.
pub(super) const COUNT: usize = 0x80;

/// Values after reset.
pub(super) const AFTER_RESET: [(u8, u8); 28] = [
    (OP_MODE, 0x09),
    (FRF, 0x6C),
    (FRF + 1, 0x80),
    (PA_CONFIG, 0x4F),
    (0x0A, 0x09),
    (0x0B, 0x2B),
    (0x0C, 0x20),
    (FIFO_TX_BASE, 0x80),
    (MODEM_STAT, 0x10),
    (MODEM_CONFIG_1, 0x72),
    (MODEM_CONFIG_2, 0x70),
    (SYMBOL_TIMEOUT, 0x64),
    (PREAMBLE + 1, 0x08),
    (PAYLOAD_LENGTH, 0x01),
    (0x23, 0xFF),
    (0x2F, 0x20),
    (0x30, 0x45),
    (DETECT_OPTIMIZE, 0x55),
    (INVERT_IQ, 0x27),
    (0x36, 0x03),
    (DETECTION_THRESHOLD, 0x0A),
    (SYNC_WORD, 0x12),
    (INVERT_IQ_2, 0x1D),
    (VERSION, 0x12),
    (TCXO, 0x09),
    (PA_DAC, 0x84),
    (0x61, 0x19),
    (0x70, 0xD0),
];

/// Registers that a host may not change.
pub(super) fn is_read_only(address: u8) -> bool {
    matches!(
        address,
        FIFO_RX_CURRENT
            | RX_BYTES..=HOP_CHANNEL
            | FIFO_RX_BYTE
            | FREQUENCY_ERROR..=0x2C
            | VERSION
    )
}

/// The register file.
pub(super) struct Registers(pub(super) [u8; COUNT]);

impl Registers {
    pub(super) fn after_reset() -> Self {
        let mut registers = [0; COUNT];
        for (address, value) in AFTER_RESET {
            registers[usize::from(address)] = value;
        }
        Self(registers)
    }

    pub(super) fn at(&self, address: u8) -> u8 {
        self.0[usize::from(address) % COUNT]
    }

    pub(super) fn set(&mut self, address: u8, value: u8) {
        self.0[usize::from(address) % COUNT] = value;
    }

    fn pair(&self, address: u8) -> u16 {
        u16::from_be_bytes([self.at(address), self.at(address + 1)])
    }

    /// Counts in two registers.
    pub(super) fn count(&mut self, address: u8) {
        let [high, low] = self.pair(address).wrapping_add(1).to_be_bytes();
        self.set(address, high);
        self.set(address + 1, low);
    }

    /// Carrier: steps of 32 MHz / 2^19.
    pub(super) fn frequency_hz(&self) -> u32 {
        let steps = u32::from_be_bytes([0, self.at(FRF), self.at(FRF + 1), self.at(FRF + 2)]);
        ((u64::from(steps) * 32_000_000 + (1 << 18)) >> 19) as u32
    }

    pub(super) fn low_data_rate(&self) -> bool {
        self.at(MODEM_CONFIG_3) & 0x08 != 0
    }

    pub(super) fn symbol_timeout(&self) -> u32 {
        u32::from(self.at(MODEM_CONFIG_2) & 3) << 8 | u32::from(self.at(SYMBOL_TIMEOUT))
    }

    /// What the modem is set to for this direction; `None`: it cannot work so.
    pub(super) fn air(&self, transmits: bool) -> Option<Air> {
        let config = [self.at(MODEM_CONFIG_1), self.at(MODEM_CONFIG_2)];
        let bandwidth_hz = *BANDWIDTHS_HZ.get(usize::from(config[0] >> 4))?;
        let spreading_factor = config[1] >> 4;
        let explicit_header = config[0] & 1 == 0;
        // Section 4.1.1.2: SF6 needs an implicit header and its own detector.
        let detector = (self.at(DETECT_OPTIMIZE) & 7, self.at(DETECTION_THRESHOLD));
        let fits = match spreading_factor {
            6 => !explicit_header && detector == (5, 0x0C),
            7..=12 => matches!(detector, (3 | 5, 0x0A)),
            _ => false,
        };
        let rate = config[0] >> 1 & 7;
        if !fits || !(1..=4).contains(&rate) {
            return None;
        }
        let inverted =
            if transmits { self.at(INVERT_IQ) & 0x01 == 0 } else { self.at(INVERT_IQ) & 0x40 != 0 };
        let sync = u16::from(self.at(SYNC_WORD));
        Some(Air {
            frequency_hz: self.frequency_hz(),
            shape: Shape {
                spreading_factor,
                bandwidth_hz,
                coding_rate_denominator: 4 + rate,
                preamble_symbols: self.pair(PREAMBLE),
                explicit_header,
                payload_crc: config[1] & 4 != 0,
            },
            iq_inverted: inverted,
            // 0xXY here is 0xX4Y4 in an SX126x.
            sync_word: (sync & 0xF0) << 8 | 0x0400 | (sync & 0x0F) << 4 | 0x04,
        })
    }

    /// What leaves the amplifier, dBm (section 5.4.2, 5.4.3 and 6.4).
    pub(super) fn power_dbm(&self) -> i16 {
        let config = self.at(PA_CONFIG);
        let output = i16::from(config & 0x0F);
        if config & 0x80 != 0 {
            let high = if self.at(PA_DAC) & 7 == 7 { 3 } else { 0 };
            2 + output + high
        } else {
            // Pmax = 10.8 + 0.6 * MaxPower.
            let max_tenths = 108 + 6 * i16::from(config >> 4 & 7);
            max_tenths / 10 - 15 + output
        }
    }

    /// RSSI = offset + register (section 6.4).
    pub(super) fn rssi_offset_dbm(&self) -> i16 {
        if self.frequency_hz() > 525_000_000 { -157 } else { -164 }
    }
}

/// Codes 0 to 9 of the bandwidth (section 6.4).
const BANDWIDTHS_HZ: [u32; 10] =
    [7_810, 10_420, 15_630, 20_830, 31_250, 41_670, 62_500, 125_000, 250_000, 500_000];
