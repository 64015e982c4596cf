//! What the chip makes of what its antenna hears.

use super::core::{Core, Mode, Outcome, irq};
use crate::sim::demodulator::{Received, Sight, Tuning};
use std::time::Duration;
use tokio::time::Instant;

/// Where the carrier's error stands after a frame: 20 bits, two's complement.
/// The datasheet does not name it; drivers in use agree on it.
const FREQUENCY_ERROR: u16 = 0x076B;

impl Core {
    /// The next thing that the antenna hears, at its time.
    pub(super) fn step_reception(&mut self, at: Instant) {
        let tuning = self.tuning();
        match self.demodulator.step(at, tuning.as_ref()) {
            None => {}
            Some(Sight::Preamble) => {
                if self.settings.timer_stops_on_preamble {
                    self.stop_timer();
                }
                self.raise(irq::PREAMBLE, at);
            }
            Some(Sight::Header) if self.faults.corrupt_headers > 0 => {
                self.faults.corrupt_headers -= 1;
                self.demodulator.release();
                self.lose_header(at);
            }
            Some(Sight::Header) => {
                self.stop_timer();
                self.raise(irq::HEADER, at);
            }
            Some(Sight::HeaderError) => self.lose_header(at),
            Some(Sight::Frame(frame)) => self.take(frame, at),
        }
    }

    fn tuning(&self) -> Option<Tuning> {
        let (Mode::Receive { since, .. }, Some(air)) = (self.mode, self.air()) else {
            return None;
        };
        let low_data_rate = self.settings.modulation?.low_data_rate;
        Some(Tuning { air, since, low_data_rate })
    }

    fn lose_header(&mut self, at: Instant) {
        self.stop_timer();
        self.statistics[2] = self.statistics[2].saturating_add(1);
        self.leave_single_reception();
        self.raise(irq::HEADER_ERROR, at);
    }

    fn take(&mut self, mut frame: Received, at: Instant) {
        if self.faults.corrupt_payloads > 0 {
            self.faults.corrupt_payloads -= 1;
            frame.damaged = true;
        }
        // A frame longer than 255 bytes has no header that says so.
        let length = u8::try_from(frame.bytes.len()).unwrap_or(u8::MAX);
        let start = self.rx_pointer;
        for &byte in &frame.bytes[..usize::from(length)] {
            self.buffer[usize::from(self.rx_pointer)] = byte;
            self.rx_pointer = self.rx_pointer.wrapping_add(1);
        }
        if frame.damaged {
            self.buffer[usize::from(start)] ^= 0x10;
        }
        self.rx_last = (length, start);
        self.packet_status = [
            half_db(frame.rssi_dbm),
            frame.snr_quarter_db.to_le_bytes()[0],
            half_db(frame.signal_dbm),
        ];
        self.note_offset(&frame);
        self.statistics[0] = self.statistics[0].saturating_add(1);
        let error = if frame.damaged && frame.air.shape.payload_crc { irq::CRC_ERROR } else { 0 };
        self.statistics[1] = self.statistics[1].saturating_add(u16::from(error != 0));
        self.leave_single_reception();
        self.outcome = Outcome::DataAvailable;
        self.raise(irq::RX_DONE | error, at);
    }

    /// Error in hertz = 1.55 * value * bandwidth / 1.6 MHz.
    fn note_offset(&mut self, frame: &Received) {
        let bandwidth_hz = f64::from(frame.air.shape.bandwidth_hz);
        let value = (f64::from(frame.offset_hz) * 1_600_000.0 / (1.55 * bandwidth_hz)).round();
        let [_, high, middle, low] = (value as i32).to_be_bytes();
        for (address, byte) in (FREQUENCY_ERROR..).zip([high & 0x0F, middle, low]) {
            self.settings.registers.insert(address, byte);
        }
    }

    fn leave_single_reception(&mut self) {
        if let Mode::Receive { continuous: false, .. } = self.mode {
            self.enter(Mode::StandbyRc);
        }
    }

    fn stop_timer(&mut self) {
        if let Mode::Receive { until, .. } = &mut self.mode {
            *until = None;
        }
    }

    /// Whether somebody is sending on the channel.
    pub(super) fn is_channel_active(&self, at: Instant) -> bool {
        self.air().is_some_and(|air| self.demodulator.is_channel_active(&air, at))
    }

    /// `GetRssiInst`: power on the channel. The receiver must run.
    pub(super) fn instant_rssi(&self, at: Instant) -> u8 {
        match (self.mode, self.air()) {
            (Mode::Receive { since, .. }, Some(air)) if since <= at => {
                let level_dbm = self.demodulator.level_dbm(&air, at);
                (-2.0 * level_dbm).round().clamp(0.0, 255.0) as u8
            }
            _ => u8::MAX,
        }
    }

    /// How long channel activity detection takes: its symbols, and half of one
    /// to think (section 6.1.4 gives no more).
    pub(super) fn detection_time(&self) -> Duration {
        self.air().map_or(Duration::ZERO, |air| {
            air.shape.symbol() * self.settings.cad_symbols + air.shape.symbol() / 2
        })
    }
}

/// Section 13.5.3: -RSSI in halves of a decibel.
fn half_db(dbm: i16) -> u8 {
    (-2 * dbm).clamp(0, 255) as u8
}
