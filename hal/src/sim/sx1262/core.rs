//! The chip's state, and how it changes with time.

use crate::airtime::Shape;
use crate::sim::demodulator::Demodulator;
use crate::sim::ether::{Air, Outlet, Wave};
use crate::sim::wires::Machine;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Interrupts (SX1261/2 datasheet rev 2.1, table 13-29).
pub(super) mod irq {
    pub(in super::super) const TX_DONE: u16 = 0x0001;
    pub(in super::super) const RX_DONE: u16 = 0x0002;
    pub(in super::super) const PREAMBLE: u16 = 0x0004;
    pub(in super::super) const HEADER: u16 = 0x0010;
    pub(in super::super) const HEADER_ERROR: u16 = 0x0020;
    pub(in super::super) const CRC_ERROR: u16 = 0x0040;
    pub(in super::super) const CAD_DONE: u16 = 0x0080;
    pub(in super::super) const CAD_DETECTED: u16 = 0x0100;
    pub(in super::super) const TIMEOUT: u16 = 0x0200;
}

/// Command status, bits 3:1 of the status byte (table 13-76).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Outcome {
    Taken = 1,
    DataAvailable = 2,
    Timeout = 3,
    ProcessingError = 4,
    Refused = 5,
    Transmitted = 6,
}

/// Chip modes (section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Sleep { warm: bool },
    StandbyRc,
    StandbyXosc,
    Synthesis,
    Receive { since: Instant, until: Option<Instant>, continuous: bool },
    Transmit { until: Option<Instant>, whole: bool },
    Detect { until: Instant },
}

impl Mode {
    /// Bits 6:4 of the status byte (table 13-76).
    fn code(self) -> u8 {
        match self {
            Self::Sleep { .. } => 0,
            Self::StandbyRc => 2,
            Self::StandbyXosc => 3,
            Self::Synthesis => 4,
            Self::Receive { .. } | Self::Detect { .. } => 5,
            Self::Transmit { .. } => 6,
        }
    }
}

/// Start-up with calibration of all blocks (section 9.2.1, table 8-2).
pub(super) const START: Duration = Duration::from_micros(3_500);

/// What is set by commands and lost by a reset.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) lora: bool,
    pub(super) frequency_hz: u32,
    pub(super) modulation: Option<Modulation>,
    pub(super) packet: Option<Packet>,
    /// What `SetTxParams` says, dBm; what leaves depends on `amplifier` too.
    pub(super) power_dbm: Option<i16>,
    /// Bytes of `SetPaConfig`: duty cycle, maximum, device.
    pub(super) amplifier: [u8; 3],
    pub(super) irq_mask: u16,
    pub(super) dio1_mask: u16,
    pub(super) tx_base: u8,
    pub(super) rx_base: u8,
    /// How long the TCXO gets to start; `None`: a crystal is expected.
    pub(super) tcxo: Option<Duration>,
    pub(super) fallback: Mode,
    pub(super) cad_symbols: u32,
    /// After a detection it listens for so long; `None`: it does not.
    pub(super) cad_listens: Option<Duration>,
    pub(super) timer_stops_on_preamble: bool,
    pub(super) registers: BTreeMap<u16, u8>,
}

/// Modulation parameters (section 13.4.5.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Modulation {
    pub(super) spreading_factor: u8,
    pub(super) bandwidth_hz: u32,
    pub(super) coding_rate_denominator: u8,
    pub(super) low_data_rate: bool,
}

/// Packet parameters (section 13.4.6.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) preamble_symbols: u16,
    pub(super) explicit_header: bool,
    pub(super) payload_bytes: u8,
    pub(super) crc: bool,
    pub(super) iq_inverted: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lora: false,
            frequency_hz: 0,
            modulation: None,
            packet: None,
            power_dbm: None,
            // The SX1262's optimum for 22 dBm (table 13-21).
            amplifier: [4, 7, 0],
            irq_mask: 0,
            dio1_mask: 0,
            tx_base: 0,
            rx_base: 0,
            tcxo: None,
            fallback: Mode::StandbyRc,
            cad_symbols: 1,
            cad_listens: None,
            timer_stops_on_preamble: false,
            // Values after reset (table 12-1).
            registers: BTreeMap::from([
                (0x0736, 0x0D),
                (0x0740, 0x14),
                (0x0741, 0x24),
                (0x0889, 0x01),
                (0x08AC, 0x94),
                (0x08D8, 0xC8),
                (0x08E7, 0x18),
                (0x0911, 0x05),
            ]),
        }
    }
}

/// What was broken on purpose.
#[derive(Debug, Default)]
pub(super) struct Broken {
    pub(super) busy_held: bool,
    pub(super) corrupt_payloads: u32,
    pub(super) corrupt_headers: u32,
    pub(super) interrupts_cut: bool,
    pub(super) interrupts_lost: u32,
    pub(super) miso_held: Option<u8>,
    pub(super) miso_garbled: u32,
    /// The oscillator on the board is a TCXO that DIO3 feeds.
    pub(super) needs_tcxo: bool,
    pub(super) transmissions_held: bool,
}

impl Broken {
    /// A byte of rubbish; differs from transfer to transfer and repeats with the
    /// run.
    pub(super) fn noise(&self, place: usize) -> u8 {
        let n =
            self.miso_garbled.wrapping_mul(0x9E37_79B1) ^ (place as u32).wrapping_mul(0x85EB_CA6B);
        (n ^ n >> 15 ^ n >> 24) as u8
    }
}

/// A virtual SX1262's state.
pub struct Core {
    pub(super) settings: Settings,
    pub(super) mode: Mode,
    pub(super) busy_until: Instant,
    pub(super) in_reset: bool,
    pub(super) outcome: Outcome,
    pub(super) irq_status: u16,
    pub(super) irq_since: Instant,
    /// The line stays low although it ought to be high.
    pub(super) edge_lost: bool,
    pub(super) buffer: [u8; 256],
    /// Where the next received payload goes, and where and how long the last one is.
    pub(super) rx_pointer: u8,
    pub(super) rx_last: (u8, u8),
    pub(super) packet_status: [u8; 3],
    pub(super) statistics: [u16; 3],
    pub(super) device_errors: u16,
    pub(super) demodulator: Demodulator,
    pub(super) outlet: Option<Outlet>,
    pub(super) faults: Broken,
    pub(super) violations: Vec<String>,
}

impl Core {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            settings: Settings::default(),
            mode: Mode::StandbyRc,
            busy_until: now + START,
            in_reset: false,
            outcome: Outcome::Taken,
            irq_status: 0,
            irq_since: now,
            edge_lost: false,
            buffer: [0; 256],
            rx_pointer: 0,
            rx_last: (0, 0),
            packet_status: [0; 3],
            statistics: [0; 3],
            device_errors: 0,
            demodulator: Demodulator::default(),
            outlet: None,
            faults: Broken::default(),
            violations: Vec::new(),
        }
    }

    /// Forgets all but what comes from outside.
    pub(super) fn restart(&mut self, now: Instant) {
        let fresh = Self::new(now);
        let old = std::mem::replace(self, fresh);
        self.outlet = old.outlet;
        // What is in the air does not care.
        self.demodulator = old.demodulator;
        self.demodulator.release();
        self.faults = old.faults;
        self.violations = old.violations;
    }

    /// Bits 7 and 0 are reserved; real chips answer with bit 7 set.
    pub(super) fn status(&self) -> u8 {
        0x80 | self.mode.code() << 4 | (self.outcome as u8) << 1
    }

    /// Latches interrupts that are not masked.
    pub(super) fn raise(&mut self, flags: u16, at: Instant) {
        let flags = flags & self.settings.irq_mask;
        let was_high = self.irq_status & self.settings.dio1_mask != 0;
        self.irq_status |= flags;
        if !was_high && flags & self.settings.dio1_mask != 0 {
            self.irq_since = at;
            self.edge_lost = self.faults.interrupts_lost > 0;
            self.faults.interrupts_lost = self.faults.interrupts_lost.saturating_sub(1);
        }
    }

    /// Whether the oscillator starts; only STDBY_RC and sleep do without.
    pub(super) fn has_clock(&self) -> bool {
        !self.faults.needs_tcxo || self.settings.tcxo.is_some()
    }

    /// Registers that nobody wrote read as zero.
    pub(super) fn register(&self, address: u16) -> u8 {
        self.settings.registers.get(&address).copied().unwrap_or(0)
    }

    /// What the chip is set to on the air, if it is set at all.
    pub(super) fn air(&self) -> Option<Air> {
        let Modulation { spreading_factor, bandwidth_hz, coding_rate_denominator, .. } =
            self.settings.modulation?;
        let packet = self.settings.packet?;
        Some(Air {
            frequency_hz: self.settings.frequency_hz,
            shape: Shape {
                spreading_factor,
                bandwidth_hz,
                coding_rate_denominator,
                preamble_symbols: packet.preamble_symbols,
                explicit_header: packet.explicit_header,
                payload_crc: packet.crc,
            },
            iq_inverted: packet.iq_inverted,
            sync_word: u16::from_be_bytes([self.register(0x0740), self.register(0x0741)]),
        })
    }

    fn next_mode_event(&self) -> Option<Instant> {
        match self.mode {
            Mode::Receive { until, .. } | Mode::Transmit { until, .. } => until,
            Mode::Detect { until } => Some(until),
            _ => None,
        }
    }

    fn end_mode(&mut self, at: Instant) {
        match self.mode {
            Mode::Receive { .. } => {
                self.enter(Mode::StandbyRc);
                self.outcome = Outcome::Timeout;
                self.raise(irq::TIMEOUT, at);
            }
            Mode::Transmit { whole: false, .. } => {
                self.enter(Mode::StandbyRc);
                self.outcome = Outcome::Timeout;
                self.raise(irq::TIMEOUT, at);
            }
            Mode::Transmit { .. } => {
                self.enter(self.settings.fallback);
                self.outcome = Outcome::Transmitted;
                self.raise(irq::TX_DONE, at);
            }
            Mode::Detect { .. } => {
                let detected = self.is_channel_active(at);
                self.enter(match self.settings.cad_listens.filter(|_| detected) {
                    Some(time) => {
                        Mode::Receive { since: at, until: Some(at + time), continuous: false }
                    }
                    None => Mode::StandbyRc,
                });
                let flags = if detected { irq::CAD_DETECTED } else { 0 };
                self.raise(irq::CAD_DONE | flags, at);
            }
            _ => {}
        }
    }

    /// Changes the mode; whatever was being received is lost.
    pub(super) fn enter(&mut self, mode: Mode) {
        self.mode = mode;
        self.demodulator.release();
    }
}

impl Machine for Core {
    fn advance(&mut self, now: Instant) {
        while let Some(at) = self.next_event().filter(|&at| at <= now) {
            if self.next_mode_event() == Some(at) {
                self.end_mode(at);
            } else {
                self.step_reception(at);
            }
        }
    }

    fn next_event(&self) -> Option<Instant> {
        [self.next_mode_event(), self.demodulator.next_event()].into_iter().flatten().min()
    }

    fn exchange(&mut self, mosi: &[u8], now: Instant) -> Vec<u8> {
        self.execute(mosi, now)
    }

    /// DIO1.
    fn interrupt(&self) -> Option<Instant> {
        let high = self.irq_status & self.settings.dio1_mask != 0;
        (high && !self.faults.interrupts_cut && !self.edge_lost).then_some(self.irq_since)
    }

    fn is_busy(&self, now: Instant) -> bool {
        let asleep = matches!(self.mode, Mode::Sleep { .. });
        self.faults.busy_held || self.in_reset || asleep || now < self.busy_until
    }

    /// NRST (section 8.1).
    fn reset(&mut self, low: bool, now: Instant) {
        if low || self.in_reset {
            self.restart(now);
        }
        self.in_reset = low;
    }

    fn hear(&mut self, wave: Wave) {
        self.demodulator.hear(wave);
    }

    fn attach(&mut self, outlet: Outlet) {
        self.outlet = Some(outlet);
    }
}
