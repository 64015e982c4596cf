//! What the antenna hears, and what the chip makes of it.

use super::core::{Core, Mode, Outcome, irq};
use crate::sim::ether::{Arrival, NOISE_DBM};
use std::time::Duration;
use tokio::time::Instant;

/// Of two frames on one channel the stronger survives from this margin on.
const CAPTURE_DB: i16 = 6;

/// Symbols of preamble that the detector needs (SX1261/2 datasheet rev 2.1,
/// section 6.1.1.1 recommends six for the shortest that is sent; four are left
/// after synchronisation).
const DETECT_SYMBOLS: u32 = 4;

/// A frame on its way.
pub(super) struct Incoming {
    arrival: Arrival,
    stage: Stage,
    jammed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its preamble is not over.
    Preamble,
    /// The chip follows it; the header is to come.
    Header,
    /// The chip follows it to its end.
    Payload,
    /// It passes by.
    Missed,
}

impl Incoming {
    /// The chip stops following it.
    pub(super) fn release(&mut self) {
        if self.is_followed() {
            self.stage = Stage::Missed;
        }
    }

    fn is_followed(&self) -> bool {
        matches!(self.stage, Stage::Header | Stage::Payload)
    }

    fn next_event(&self) -> Instant {
        let shape = &self.arrival.air.shape;
        match self.stage {
            Stage::Preamble => self.arrival.started + shape.preamble(),
            Stage::Header => self.arrival.started + shape.header(),
            Stage::Payload | Stage::Missed => self.arrival.ended(),
        }
    }
}

impl Core {
    /// A frame begins to arrive.
    pub(super) fn hear(&mut self, arrival: Arrival) {
        let mut jammed = false;
        for other in &mut self.incoming {
            let overlaps =
                other.arrival.started < arrival.ended() && arrival.started < other.arrival.ended();
            if overlaps && other.arrival.air.is_same_channel(&arrival.air) {
                let margin_db = arrival.rssi_dbm - other.arrival.rssi_dbm;
                other.jammed |= margin_db > -CAPTURE_DB;
                jammed |= margin_db < CAPTURE_DB;
            }
        }
        self.incoming.push(Incoming { arrival, stage: Stage::Preamble, jammed });
    }

    pub(super) fn next_reception_event(&self) -> Option<Instant> {
        self.incoming.iter().map(Incoming::next_event).min()
    }

    /// The next thing that the antenna hears, at its time.
    pub(super) fn step_reception(&mut self, at: Instant) {
        let Some(place) =
            (0..self.incoming.len()).find(|&place| self.incoming[place].next_event() == at)
        else {
            return;
        };
        match self.incoming[place].stage {
            Stage::Preamble => self.step_preamble(place, at),
            Stage::Header => self.step_header(place, at),
            Stage::Payload => self.step_end(place, at),
            Stage::Missed => drop(self.incoming.swap_remove(place)),
        }
    }

    fn step_preamble(&mut self, place: usize, at: Instant) {
        let followed = self.incoming.iter().any(Incoming::is_followed);
        if followed || !self.is_tuned_to(place, at) {
            self.incoming[place].stage = Stage::Missed;
            return;
        }
        self.incoming[place].stage = Stage::Header;
        if self.settings.timer_stops_on_preamble {
            self.stop_timer();
        }
        self.raise(irq::PREAMBLE, at);
    }

    /// Whether the chip listens to this channel and has done so for long enough.
    fn is_tuned_to(&self, place: usize, preamble_end: Instant) -> bool {
        let arrival = &self.incoming[place].arrival;
        let (Mode::Receive { since, .. }, Some(air)) = (self.mode, self.air()) else {
            return false;
        };
        let sync_symbols = arrival.air.shape.preamble()
            - arrival.air.shape.symbol() * u32::from(arrival.air.shape.preamble_symbols);
        let needed = arrival.air.shape.symbol() * DETECT_SYMBOLS + sync_symbols;
        since + needed <= preamble_end
            && air.is_same_channel(&arrival.air)
            && air.iq_inverted == arrival.air.iq_inverted
            && air.sync_word == arrival.air.sync_word
            && air.shape.explicit_header == arrival.air.shape.explicit_header
            && arrival.snr_quarter_db >= limit_snr_quarter_db(air.shape.spreading_factor)
    }

    fn step_header(&mut self, place: usize, at: Instant) {
        self.stop_timer();
        if self.faults.corrupt_headers > 0 {
            self.faults.corrupt_headers -= 1;
            self.incoming[place].stage = Stage::Missed;
            self.statistics[2] = self.statistics[2].saturating_add(1);
            self.raise(irq::HEADER_ERROR, at);
            if let Mode::Receive { continuous: false, .. } = self.mode {
                self.enter(Mode::StandbyRc);
            }
            return;
        }
        self.incoming[place].stage = Stage::Payload;
        self.raise(irq::HEADER, at);
    }

    fn step_end(&mut self, place: usize, at: Instant) {
        let Incoming { arrival, mut jammed, .. } = self.incoming.swap_remove(place);
        if self.faults.corrupt_payloads > 0 {
            self.faults.corrupt_payloads -= 1;
            jammed = true;
        }
        // A frame longer than 255 bytes has no header that says so.
        let length = u8::try_from(arrival.bytes.len()).unwrap_or(u8::MAX);
        let start = self.rx_pointer;
        for &byte in &arrival.bytes[..usize::from(length)] {
            self.buffer[usize::from(self.rx_pointer)] = byte;
            self.rx_pointer = self.rx_pointer.wrapping_add(1);
        }
        if jammed {
            self.buffer[usize::from(start)] ^= 0x10;
        }
        self.rx_last = (length, start);
        // Section 13.5.3: -RSSI / 0.5 dB, SNR * 4.
        let rssi = (-2 * arrival.rssi_dbm).clamp(0, 255) as u8;
        self.packet_status = [rssi, arrival.snr_quarter_db.to_le_bytes()[0], rssi];
        self.statistics[0] = self.statistics[0].saturating_add(1);
        let checked = arrival.air.shape.payload_crc;
        let error = if jammed && checked { irq::CRC_ERROR } else { 0 };
        self.statistics[1] = self.statistics[1].saturating_add(u16::from(error != 0));
        if let Mode::Receive { continuous: false, .. } = self.mode {
            self.enter(Mode::StandbyRc);
        }
        self.outcome = Outcome::DataAvailable;
        self.raise(irq::RX_DONE | error, at);
    }

    fn stop_timer(&mut self) {
        if let Mode::Receive { until, .. } = &mut self.mode {
            *until = None;
        }
    }

    /// Whether somebody is sending on the channel.
    pub(super) fn is_channel_active(&self, at: Instant) -> bool {
        self.strongest(at).is_some()
    }

    /// Power on the channel, dBm.
    pub(super) fn instant_rssi_dbm(&self, at: Instant) -> i16 {
        self.strongest(at).unwrap_or(NOISE_DBM)
    }

    fn strongest(&self, at: Instant) -> Option<i16> {
        let air = self.air()?;
        self.incoming
            .iter()
            .map(|incoming| &incoming.arrival)
            .filter(|arrival| arrival.started <= at && air.is_same_channel(&arrival.air))
            .map(|arrival| arrival.rssi_dbm)
            .max()
    }

    /// How long channel activity detection takes: its symbols, and half of one
    /// to think (section 6.1.4 gives no more).
    pub(super) fn detection_time(&self) -> Duration {
        self.air().map_or(Duration::ZERO, |air| {
            air.shape.symbol() * self.settings.cad_symbols + air.shape.symbol() / 2
        })
    }
}

/// Demodulator limits (table 6-1): -2.5 dB at SF5, 2.5 dB less a step, -20 dB at SF12.
fn limit_snr_quarter_db(spreading_factor: u8) -> i8 {
    match spreading_factor {
        5 => -10,
        6 => -20,
        7 => -30,
        8 => -40,
        9 => -50,
        10 => -60,
        11 => -70,
        _ => -80,
    }
}
