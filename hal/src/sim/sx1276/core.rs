//! The chip's state, and how it changes with time and by transfers.

use super::registers::{self as reg, Registers};
use crate::sim::demodulator::{Demodulator, Received, Sight, Tuning};
use crate::sim::ether::{Emission, Outlet, Wave};
use crate::sim::wires::Machine;
use std::time::Duration;
use tokio::time::Instant;

/// Bits of `RegIrqFlags` (section 6.4).
pub(super) mod irq {
    pub(in super::super) const RX_TIMEOUT: u8 = 0x80;
    pub(in super::super) const RX_DONE: u8 = 0x40;
    pub(in super::super) const CRC_ERROR: u8 = 0x20;
    pub(in super::super) const HEADER: u8 = 0x10;
    pub(in super::super) const TX_DONE: u8 = 0x08;
    pub(in super::super) const CAD_DONE: u8 = 0x04;
    pub(in super::super) const CAD_DETECTED: u8 = 0x01;
}

/// Crystal oscillator, synthesiser, transmitter and receiver (table 7: 250, 60,
/// 120 and about 70 us).
const OSCILLATOR: Duration = Duration::from_micros(250);
const TRANSMIT_START: Duration = Duration::from_micros(180);
const RECEIVE_START: Duration = Duration::from_micros(130);

/// Device modes, bits 2:0 of `RegOpMode` (section 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Sleep,
    Standby,
    /// Synthesiser for transmission (2) or reception (4).
    Synthesis(u8),
    Transmit {
        until: Option<Instant>,
    },
    Receive {
        since: Instant,
        until: Option<Instant>,
        continuous: bool,
    },
    Detect {
        until: Instant,
    },
}

impl Mode {
    fn code(self) -> u8 {
        match self {
            Self::Sleep => 0,
            Self::Standby => 1,
            Self::Synthesis(code) => code,
            Self::Transmit { .. } => 3,
            Self::Receive { continuous: true, .. } => 5,
            Self::Receive { .. } => 6,
            Self::Detect { .. } => 7,
        }
    }
}

/// What was broken on purpose.
#[derive(Debug, Default)]
pub(super) struct Broken {
    pub(super) corrupt_payloads: u32,
    pub(super) interrupts_cut: bool,
    pub(super) miso_held: Option<u8>,
    pub(super) transmissions_held: bool,
}

/// A virtual SX1276's state.
pub struct Core {
    pub(super) registers: Registers,
    pub(super) fifo: [u8; 256],
    pub(super) mode: Mode,
    in_reset: bool,
    irq_since: Instant,
    demodulator: Demodulator,
    outlet: Option<Outlet>,
    pub(super) faults: Broken,
    pub(super) violations: Vec<String>,
}

impl Core {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            registers: Registers::after_reset(),
            fifo: [0; 256],
            mode: Mode::Standby,
            in_reset: false,
            irq_since: now,
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
        self.demodulator = old.demodulator;
        self.demodulator.release();
        self.faults = old.faults;
        self.violations = old.violations;
    }

    fn is_lora(&self) -> bool {
        self.registers.at(reg::OP_MODE) & 0x80 != 0
    }

    fn violate(&mut self, what: impl Into<String>) {
        // A driver that is wrong is wrong often.
        if self.violations.len() < 100 {
            self.violations.push(what.into());
        }
    }

    fn read(&mut self, address: u8, now: Instant) -> u8 {
        match address {
            reg::FIFO => {
                let pointer = self.step_pointer();
                if self.mode == Mode::Sleep {
                    self.violate("the FIFO was read in sleep mode");
                    return 0;
                }
                self.fifo[usize::from(pointer)]
            }
            reg::OP_MODE => self.registers.at(reg::OP_MODE) & 0xF8 | self.mode.code(),
            reg::RSSI => self.instant_rssi(now),
            reg::MODEM_STAT => self.modem_state(),
            _ => self.registers.at(address),
        }
    }

    fn write(&mut self, address: u8, value: u8, now: Instant) {
        match address {
            reg::FIFO => {
                let pointer = self.step_pointer();
                if self.mode == Mode::Sleep {
                    self.violate("the FIFO was written in sleep mode");
                } else {
                    self.fifo[usize::from(pointer)] = value;
                }
            }
            reg::OP_MODE => self.set_op_mode(value, now),
            // Writing a 1 clears the flag.
            reg::IRQ_FLAGS => {
                let flags = self.registers.at(reg::IRQ_FLAGS);
                self.registers.set(reg::IRQ_FLAGS, flags & !value);
            }
            _ if reg::is_read_only(address) => {
                self.violate(format!("register {address:02x} is read-only"));
            }
            _ => self.registers.set(address, value),
        }
    }

    fn step_pointer(&mut self) -> u8 {
        let pointer = self.registers.at(reg::FIFO_ADDR_PTR);
        self.registers.set(reg::FIFO_ADDR_PTR, pointer.wrapping_add(1));
        pointer
    }

    fn set_op_mode(&mut self, value: u8, now: Instant) {
        let before = self.registers.at(reg::OP_MODE);
        let mut value = value;
        if (value ^ before) & 0x80 != 0 && self.mode != Mode::Sleep && value & 7 != 0 {
            // Section 6.4: only in sleep mode; ignored otherwise.
            self.violate("LoRa mode was switched outside sleep mode");
            value = value & 0x7F | before & 0x80;
        }
        self.registers.set(reg::OP_MODE, value & 0xF8);
        if value & 7 == self.mode.code() {
            return;
        }
        if value & 7 > 1 && !self.is_lora() {
            self.violate("FSK is not modelled");
            return;
        }
        let start = if self.mode == Mode::Sleep { OSCILLATOR } else { Duration::ZERO };
        match value & 7 {
            0 => {
                self.fifo = [0; 256];
                for address in reg::RX_HEADERS..reg::RX_PACKETS + 2 {
                    self.registers.set(address, 0);
                }
                self.enter(Mode::Sleep);
            }
            1 => self.enter(Mode::Standby),
            3 => self.transmit(now + start),
            5 | 6 => self.receive(value & 7 == 5, now + start),
            7 => {
                let symbol = self.registers.air(false).map(|air| air.shape.symbol());
                // Section 4.1.6: a little less than two symbols.
                let until = now + start + symbol.unwrap_or_default() * 2;
                self.enter(Mode::Detect { until });
            }
            code => self.enter(Mode::Synthesis(code)),
        }
    }

    fn enter(&mut self, mode: Mode) {
        self.mode = mode;
        self.demodulator.release();
    }

    fn receive(&mut self, continuous: bool, now: Instant) {
        let since = now + RECEIVE_START;
        let symbol = self.registers.air(false).map_or(Duration::ZERO, |air| air.shape.symbol());
        let wait = symbol * self.registers.symbol_timeout();
        let until = (!continuous).then_some(since + wait);
        let base = self.registers.at(reg::FIFO_RX_BASE);
        self.registers.set(reg::FIFO_RX_BYTE, base);
        self.enter(Mode::Receive { since, until, continuous });
    }

    fn transmit(&mut self, now: Instant) {
        let length = self.registers.at(reg::PAYLOAD_LENGTH);
        let Some(air) = self.registers.air(true) else {
            self.violate("transmission with settings that no modem has");
            return self.enter(Mode::Transmit { until: None });
        };
        if self.registers.low_data_rate() != air.shape.is_low_data_rate() {
            self.violate("low data rate optimisation is not as the symbols need it");
        }
        let started = now + TRANSMIT_START;
        let until = started + air.shape.frame(length);
        let base = self.registers.at(reg::FIFO_TX_BASE);
        let bytes =
            (0..length).map(|place| self.fifo[usize::from(base.wrapping_add(place))]).collect();
        let held = self.faults.transmissions_held;
        self.enter(Mode::Transmit { until: (!held).then_some(until) });
        if let Some(outlet) = &self.outlet {
            let power_dbm = self.registers.power_dbm();
            outlet.emit(Emission { air, started, power_dbm, offset_hz: 0, bytes });
        }
    }

    /// Sets flags that are not masked.
    fn raise(&mut self, flags: u8, at: Instant) {
        let was_high = self.dio0();
        let flags = flags & !self.registers.at(reg::IRQ_MASK);
        self.registers.set(reg::IRQ_FLAGS, self.registers.at(reg::IRQ_FLAGS) | flags);
        if !was_high && self.dio0() {
            self.irq_since = at;
        }
    }

    /// DIO0 by bits 7:6 of `RegDioMapping1` (table 18).
    fn dio0(&self) -> bool {
        let flags = self.registers.at(reg::IRQ_FLAGS);
        let mapped = match self.registers.at(reg::DIO_MAPPING_1) >> 6 {
            0 => irq::RX_DONE,
            1 => irq::TX_DONE,
            2 => irq::CAD_DONE,
            _ => 0,
        };
        flags & mapped != 0
    }

    fn next_mode_event(&self) -> Option<Instant> {
        match self.mode {
            Mode::Receive { until, .. } | Mode::Transmit { until } => until,
            Mode::Detect { until } => Some(until),
            _ => None,
        }
    }

    fn end_mode(&mut self, at: Instant) {
        let flags = match self.mode {
            Mode::Receive { .. } => irq::RX_TIMEOUT,
            Mode::Transmit { .. } => irq::TX_DONE,
            Mode::Detect { .. } => {
                let air = self.registers.air(false);
                let active = air.is_some_and(|air| self.demodulator.is_channel_active(&air, at));
                irq::CAD_DONE | if active { irq::CAD_DETECTED } else { 0 }
            }
            _ => 0,
        };
        self.enter(Mode::Standby);
        self.raise(flags, at);
    }

    fn step_reception(&mut self, at: Instant) {
        let tuning = match (self.mode, self.registers.air(false)) {
            (Mode::Receive { since, .. }, Some(air)) => {
                Some(Tuning { air, since, low_data_rate: self.registers.low_data_rate() })
            }
            _ => None,
        };
        match self.demodulator.step(at, tuning.as_ref()) {
            // A header error raises nothing in this chip: it looks for the next frame.
            None | Some(Sight::HeaderError) => {}
            Some(Sight::Preamble) => {
                if let Mode::Receive { until, .. } = &mut self.mode {
                    *until = None;
                }
            }
            Some(Sight::Header) => {
                self.registers.count(reg::RX_HEADERS);
                self.raise(irq::HEADER, at);
            }
            Some(Sight::Frame(frame)) => self.take(frame, at),
        }
    }

    fn take(&mut self, mut frame: Received, at: Instant) {
        if self.faults.corrupt_payloads > 0 {
            self.faults.corrupt_payloads -= 1;
            frame.damaged = true;
        }
        let start = self.registers.at(reg::FIFO_RX_BYTE);
        let length = u8::try_from(frame.bytes.len()).unwrap_or(u8::MAX);
        for (place, &byte) in (0..length).zip(&frame.bytes) {
            self.fifo[usize::from(start.wrapping_add(place))] = byte;
        }
        if frame.damaged {
            self.fifo[usize::from(start)] ^= 0x10;
        } else {
            self.registers.count(reg::RX_PACKETS);
        }
        self.registers.set(reg::FIFO_RX_CURRENT, start);
        self.registers.set(reg::FIFO_RX_BYTE, start.wrapping_add(length));
        self.registers.set(reg::RX_BYTES, length);
        self.note_signal(&frame);
        if let Mode::Receive { continuous: false, .. } = self.mode {
            self.enter(Mode::Standby);
        }
        let error = if frame.damaged && frame.air.shape.payload_crc { irq::CRC_ERROR } else { 0 };
        self.raise(irq::RX_DONE | error, at);
    }

    /// Section 5.5.5: above the noise RSSI = offset + 16/15 of the register, below
    /// it offset + register + SNR. Frequency error: section 4.1.5.
    fn note_signal(&mut self, frame: &Received) {
        let above = i32::from(frame.signal_dbm - self.registers.rssi_offset_dbm());
        let snr_quarter_db = i32::from(frame.snr_quarter_db);
        let packet_rssi =
            if snr_quarter_db >= 0 { (above * 15 + 8) / 16 } else { above - snr_quarter_db / 4 };
        self.registers.set(reg::PACKET_SNR, frame.snr_quarter_db.to_le_bytes()[0]);
        self.registers.set(reg::PACKET_RSSI, packet_rssi.clamp(0, 255) as u8);
        let bandwidth_khz = f64::from(frame.air.shape.bandwidth_hz) / 1_000.0;
        let step_hz = f64::from(1 << 24) / 32_000_000.0 * bandwidth_khz / 500.0;
        let steps = (f64::from(frame.offset_hz) / step_hz).round() as i32;
        let [_, high, middle, low] = steps.to_be_bytes();
        for (address, byte) in (reg::FREQUENCY_ERROR..).zip([high & 0x0F, middle, low]) {
            self.registers.set(address, byte);
        }
    }

    /// RegModemStat: receiving, and whether a signal is followed.
    fn modem_state(&self) -> u8 {
        match self.mode {
            Mode::Receive { .. } if self.demodulator.knows_header() => 0x0F,
            Mode::Receive { .. } if self.demodulator.is_following() => 0x07,
            Mode::Receive { .. } => 0x04,
            _ => 0x10,
        }
    }

    fn instant_rssi(&self, at: Instant) -> u8 {
        match (self.mode, self.registers.air(false)) {
            (Mode::Receive { since, .. }, Some(air)) if since <= at => {
                let level_dbm = self.demodulator.level_dbm(&air, at).round() as i16;
                (level_dbm - self.registers.rssi_offset_dbm()).clamp(0, 255) as u8
            }
            _ => 0,
        }
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

    /// Section 2.2: the first bit says whether it is a write, the others where;
    /// in a burst the address counts up, but for the FIFO's.
    fn exchange(&mut self, mosi: &[u8], now: Instant) -> Vec<u8> {
        if let Some(byte) = self.faults.miso_held {
            return vec![byte; mosi.len()];
        }
        let mut miso = vec![0; mosi.len()];
        let Some((&first, rest)) = mosi.split_first() else { return miso };
        let mut address = first & 0x7F;
        for (sent, answer) in rest.iter().zip(&mut miso[1..]) {
            *answer = self.read_or_write(first & 0x80 != 0, address, *sent, now);
            if address != reg::FIFO {
                address = (address + 1) & 0x7F;
            }
        }
        miso
    }

    /// DIO0.
    fn interrupt(&self) -> Option<Instant> {
        (self.dio0() && !self.faults.interrupts_cut).then_some(self.irq_since)
    }

    /// It has no such line.
    fn is_busy(&self, _now: Instant) -> bool {
        false
    }

    /// NRESET (section 7.2.2).
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

impl Core {
    fn read_or_write(&mut self, writes: bool, address: u8, sent: u8, now: Instant) -> u8 {
        if writes {
            // MISO shows the old value; nobody relies on it.
            let old = if address == reg::FIFO { 0 } else { self.registers.at(address) };
            self.write(address, sent, now);
            old
        } else {
            self.read(address, now)
        }
    }
}
