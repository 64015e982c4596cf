//! SPI commands (SX1261/2 datasheet rev 2.1, chapter 13).

use super::core::{Core, Mode, Modulation, Outcome, Packet, START};
use crate::sim::ether::Emission;
use crate::sim::wires::Machine;
use std::time::Duration;
use tokio::time::Instant;

/// BUSY after a command that changes no mode is over (600 ns) before anybody can
/// look at it. In paused time a look takes no time, so it must take none here.
const ORDINARY: Duration = Duration::ZERO;

/// A chip timer step, nanoseconds (section 13.1.4).
const TIMER_STEP_NS: u64 = 15_625;

/// `SetRx` with this timeout listens until it is told otherwise (section 13.1.5).
const CONTINUOUS: u32 = 0xFF_FFFF;

/// What a command does besides answering.
type Effect = Result<Duration, Outcome>;

const PARSED: Effect = Ok(ORDINARY);

impl Core {
    /// One assertion of chip select: as many bytes out as in.
    pub(super) fn execute(&mut self, mosi: &[u8], now: Instant) -> Vec<u8> {
        if let Some(byte) = self.faults.miso_held {
            return vec![byte; mosi.len()];
        }
        let mut miso = self.answer(mosi, now);
        if self.faults.miso_garbled > 0 {
            self.faults.miso_garbled -= 1;
            for (place, byte) in miso.iter_mut().enumerate() {
                *byte = self.faults.noise(place);
            }
        }
        miso
    }

    fn answer(&mut self, mosi: &[u8], now: Instant) -> Vec<u8> {
        let mut miso = vec![self.status(); mosi.len()];
        if let Mode::Sleep { warm } = self.mode {
            // The falling edge of chip select wakes it (section 9.3); what is
            // clocked meanwhile is lost.
            self.wake(warm, now);
            return miso;
        }
        if self.is_busy(now) {
            self.violate(format!("a transfer while BUSY was high: {mosi:02x?}"));
            return miso;
        }
        let Some((&opcode, parameters)) = mosi.split_first() else {
            return miso;
        };
        let answer = &mut miso[1..];
        let effect = match opcode {
            0x00..=0x1F | 0xC0 => self.access(opcode, parameters, answer, now),
            0x80..=0x84 | 0xC1 | 0xC5 | 0xD1 | 0xD2 => self.change_mode(opcode, parameters, now),
            _ => self.configure(opcode, parameters),
        };
        match effect {
            Ok(busy) => {
                self.busy_until = self.busy_until.max(now + busy);
                if !is_query(opcode) {
                    self.outcome = Outcome::Taken;
                }
            }
            Err(outcome) => {
                self.outcome = outcome;
                self.violate(format!("{outcome:?} in {:?}: {mosi:02x?}", self.mode));
            }
        }
        miso
    }

    fn violate(&mut self, what: String) {
        // A driver that is wrong is wrong often.
        if self.violations.len() < 100 {
            self.violations.push(what);
        }
    }

    fn wake(&mut self, warm: bool, now: Instant) {
        if warm {
            self.mode = Mode::StandbyRc;
            self.busy_until = now + Duration::from_micros(340);
        } else {
            self.restart(now);
        }
    }

    /// Registers, buffer and status (sections 13.2, 13.3 and 13.5).
    fn access(&mut self, opcode: u8, sent: &[u8], answer: &mut [u8], now: Instant) -> Effect {
        let fill = |answer: &mut [u8], at: usize, bytes: &[u8]| {
            for (place, byte) in answer.iter_mut().skip(at).zip(bytes) {
                *place = *byte;
            }
        };
        match (opcode, sent) {
            (0xC0, _) => {}
            (0x00, _) => self.statistics = [0; 3],
            (0x02, &[high, low]) => {
                self.irq_status &= !u16::from_be_bytes([high, low]);
                self.edge_lost &= self.irq_status & self.settings.dio1_mask != 0;
            }
            (0x07, &[_, _] | &[_, _, _]) => self.device_errors = 0,
            (0x08, &[m1, m0, d1, d0, _, _, _, _]) => {
                self.settings.irq_mask = u16::from_be_bytes([m1, m0]);
                self.settings.dio1_mask = u16::from_be_bytes([d1, d0]);
            }
            (0x0D, &[a1, a0, ref data @ ..]) => {
                let base = u16::from_be_bytes([a1, a0]);
                for (place, byte) in data.iter().enumerate() {
                    let address = base.wrapping_add(place as u16);
                    self.settings.registers.insert(address, *byte);
                }
            }
            (0x0E, &[offset, ref data @ ..]) => {
                for (place, byte) in data.iter().enumerate() {
                    self.buffer[usize::from(offset.wrapping_add(place as u8))] = *byte;
                }
            }
            (0x10, _) => {
                let bytes = self.statistics.map(u16::to_be_bytes).concat();
                fill(answer, 1, &bytes);
            }
            (0x11, _) => fill(answer, 1, &[u8::from(self.settings.lora)]),
            (0x12, _) => fill(answer, 1, &self.irq_status.to_be_bytes()),
            (0x13, _) => fill(answer, 1, &[self.rx_last.0, self.rx_last.1]),
            (0x14, _) => fill(answer, 1, &self.packet_status),
            (0x15, _) => {
                let rssi = self.instant_rssi(now);
                fill(answer, 1, &[rssi]);
            }
            (0x17, _) => fill(answer, 1, &self.device_errors.to_be_bytes()),
            (0x1D, &[a1, a0, _, ref rest @ ..]) => {
                let base = u16::from_be_bytes([a1, a0]);
                let data: Vec<u8> = (0..rest.len())
                    .map(|place| self.register(base.wrapping_add(place as u16)))
                    .collect();
                fill(answer, 3, &data);
            }
            (0x1E, &[offset, _, ref rest @ ..]) => {
                let data: Vec<u8> = (0..rest.len())
                    .map(|place| self.buffer[usize::from(offset.wrapping_add(place as u8))])
                    .collect();
                fill(answer, 2, &data);
            }
            _ => return Err(Outcome::ProcessingError),
        }
        PARSED
    }

    /// Section 13.1.
    fn change_mode(&mut self, opcode: u8, sent: &[u8], now: Instant) -> Effect {
        let ready = now + self.oscillator_start();
        if !self.has_clock() && !matches!((opcode, sent), (0x80, &[0]) | (0x84, _)) {
            // XOSC_START_ERR (table 13-86); it stays in STDBY_RC.
            self.device_errors |= 0x20;
            return Err(Outcome::Refused);
        }
        match (opcode, sent) {
            (0x80, &[0]) => {
                self.enter(Mode::StandbyRc);
                PARSED
            }
            (0x80, &[1]) => {
                self.enter(Mode::StandbyXosc);
                Ok(ready + Duration::from_micros(31) - now)
            }
            (0x84, &[config]) => {
                if !matches!(self.mode, Mode::StandbyRc | Mode::StandbyXosc) {
                    return Err(Outcome::Refused);
                }
                self.enter(Mode::Sleep { warm: config & 4 != 0 });
                PARSED
            }
            (0xC1, &[]) => {
                let busy = ready - now + self.switch_time(50, 40, 0, 15);
                self.enter(Mode::Synthesis);
                Ok(busy)
            }
            (0x82, &[t2, t1, t0]) => self.receive(u32::from_be_bytes([0, t2, t1, t0]), now),
            (0x83, &[t2, t1, t0]) => self.transmit(u32::from_be_bytes([0, t2, t1, t0]), now),
            // Continuous wave and endless preamble: the model's air has neither.
            (0xD1 | 0xD2, &[]) => {
                self.enter(Mode::Transmit { until: None, whole: true });
                Ok(ready - now)
            }
            (0xC5, &[]) => {
                self.air().ok_or(Outcome::Refused)?;
                let busy = ready - now + self.switch_time(83, 62, 41, 0);
                let until = now + busy + self.detection_time();
                self.enter(Mode::Detect { until });
                Ok(busy)
            }
            _ => Err(Outcome::ProcessingError),
        }
    }

    /// The oscillator runs in every mode but sleep and STDBY_RC.
    fn oscillator_start(&self) -> Duration {
        match self.mode {
            Mode::StandbyRc | Mode::Sleep { .. } => self.settings.tcxo.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }

    /// Table 8-2: microseconds from STDBY_RC, STDBY_XOSC, FS and the other modes.
    fn switch_time(&self, rc: u64, xosc: u64, synthesis: u64, active: u64) -> Duration {
        Duration::from_micros(match self.mode {
            Mode::StandbyRc | Mode::Sleep { .. } => rc,
            Mode::StandbyXosc => xosc,
            Mode::Synthesis => synthesis,
            _ => active,
        })
    }

    fn receive(&mut self, timeout: u32, now: Instant) -> Effect {
        if !self.settings.lora || self.air().is_none() {
            return Err(Outcome::Refused);
        }
        let busy = self.oscillator_start() + self.switch_time(83, 62, 41, 15);
        let since = now + busy;
        let timed = timeout != 0 && timeout != CONTINUOUS;
        self.enter(Mode::Receive {
            since,
            until: timed.then(|| since + timer(timeout)),
            continuous: timeout == CONTINUOUS,
        });
        self.rx_pointer = self.settings.rx_base;
        Ok(busy)
    }

    fn transmit(&mut self, timeout: u32, now: Instant) -> Effect {
        let (Some(air), Some(packet), Some(power_dbm), true) =
            (self.air(), self.settings.packet, self.output_dbm(), self.settings.lora)
        else {
            return Err(Outcome::Refused);
        };
        let busy = self.oscillator_start() + self.switch_time(126, 105, 76, 92);
        let started = now + busy;
        if self.settings.modulation.is_some_and(|it| it.low_data_rate)
            != air.shape.is_low_data_rate()
        {
            self.violate("low data rate optimisation is not as the symbols need it".into());
        }
        // Section 15.4: bit 2 of this register is set unless IQ is inverted.
        if (self.register(0x0736) & 4 == 0) != air.iq_inverted {
            self.violate("the register of section 15.4 is not as the inversion needs it".into());
        }
        let airtime = air.shape.frame(packet.payload_bytes);
        let whole = timeout == 0 || timer(timeout) >= airtime;
        let until = started + if whole { airtime } else { timer(timeout) };
        let bytes = (0..packet.payload_bytes)
            .map(|place| self.buffer[usize::from(self.settings.tx_base.wrapping_add(place))])
            .collect();
        let until = (!self.faults.transmissions_held).then_some(until);
        self.enter(Mode::Transmit { until, whole });
        if let Some(outlet) = &self.outlet {
            outlet.emit(Emission { air, started, power_dbm, offset_hz: 0, bytes });
        }
        Ok(busy)
    }

    /// What leaves the amplifier, dBm (table 13-21): the setting counts from the
    /// optimum of the amplifier's configuration.
    pub(super) fn output_dbm(&self) -> Option<i16> {
        let (optimum_dbm, setting_dbm) = match self.settings.amplifier {
            [4, 7, 0] => (22, 22),
            [3, 5, 0] => (20, 22),
            [2, 3, 0] => (17, 22),
            [2, 2, 0] => (14, 22),
            [6, 0, 1] => (15, 14),
            [4, 0, 1] => (14, 14),
            [1, 0, 1] => (10, 13),
            _ => return None,
        };
        self.settings.power_dbm.map(|power_dbm| power_dbm - setting_dbm + optimum_dbm)
    }

    /// Sections 13.1.11 to 13.1.15, 13.3.5, 13.3.6 and 13.4.
    fn configure(&mut self, opcode: u8, sent: &[u8]) -> Effect {
        let in_standby_rc = self.mode == Mode::StandbyRc;
        match (opcode, sent) {
            (0x86, &[f3, f2, f1, f0]) => {
                // Section 13.4.1: steps of 32 MHz / 2^25.
                let steps = u64::from(u32::from_be_bytes([f3, f2, f1, f0]));
                self.settings.frequency_hz = ((steps * 32_000_000 + (1 << 24)) >> 25) as u32;
            }
            (0x88, &[symbols, _, _, exit @ 0..=1, t2, t1, t0]) if symbols <= 4 => {
                self.settings.cad_symbols = 1 << symbols;
                let time = timer(u32::from_be_bytes([0, t2, t1, t0]));
                self.settings.cad_listens = (exit == 1).then_some(time);
            }
            (0x89, &[_]) if in_standby_rc => return Ok(self.calibration()),
            (0x8A, &[kind @ 0..=1]) if in_standby_rc => self.settings.lora = kind == 1,
            (0x8B, &[factor, bandwidth, rate, low]) if self.settings.lora => {
                let modulation = modulation(factor, bandwidth, rate, low);
                self.settings.modulation = Some(modulation.ok_or(Outcome::ProcessingError)?);
            }
            (0x8C, &[p1, p0, header, length, crc, iq]) if self.settings.lora => {
                self.settings.packet = Some(Packet {
                    preamble_symbols: u16::from_be_bytes([p1, p0]),
                    explicit_header: header == 0,
                    payload_bytes: length,
                    crc: crc != 0,
                    iq_inverted: iq != 0,
                });
            }
            (0x8E, &[power, _]) => {
                self.settings.power_dbm = Some(i16::from(i8::from_le_bytes([power])));
            }
            (0x8F, &[tx, rx]) => (self.settings.tx_base, self.settings.rx_base) = (tx, rx),
            (0x93, &[mode]) => {
                self.settings.fallback = match mode {
                    0x20 => Mode::StandbyRc,
                    0x30 => Mode::StandbyXosc,
                    0x40 => Mode::Synthesis,
                    _ => return Err(Outcome::ProcessingError),
                };
            }
            (0x97, &[0..=7, d2, d1, d0]) if in_standby_rc => {
                self.settings.tcxo = Some(timer(u32::from_be_bytes([0, d2, d1, d0])));
            }
            (0x95, &[duty, max, device @ 0..=1, 1]) => {
                self.settings.amplifier = [duty, max, device];
            }
            // Regulator, antenna switch, symbol timeout, image calibration: taken,
            // without effect on what is modelled.
            (0x9D | 0xA0, &[_]) => {}
            (0x96, &[_]) if in_standby_rc => {}
            (0x98, &[_, _]) if in_standby_rc => return Ok(self.calibration()),
            (0x9F, &[stops]) => self.settings.timer_stops_on_preamble = stops != 0,
            (0x89 | 0x8A | 0x8B | 0x8C | 0x96 | 0x97 | 0x98, _) => return Err(Outcome::Refused),
            _ => return Err(Outcome::ProcessingError),
        }
        PARSED
    }

    /// Calibration waits for the oscillator first, and fails without one: the
    /// errors of PLL, ADC and image calibration (table 13-86).
    fn calibration(&mut self) -> Duration {
        if !self.has_clock() {
            self.device_errors |= 0x0020 | 0x0010 | 0x0008 | 0x0004;
        }
        self.settings.tcxo.unwrap_or_default() + START
    }
}

/// Commands that only ask leave the status of the one before.
fn is_query(opcode: u8) -> bool {
    matches!(opcode, 0x00 | 0x10..=0x1F | 0xC0)
}

fn timer(steps: u32) -> Duration {
    Duration::from_nanos(u64::from(steps) * TIMER_STEP_NS)
}

/// Tables 13-47 to 13-50.
fn modulation(factor: u8, bandwidth: u8, rate: u8, low: u8) -> Option<Modulation> {
    let bandwidth_hz = match bandwidth {
        0x00 => 7_810,
        0x08 => 10_420,
        0x01 => 15_630,
        0x09 => 20_830,
        0x02 => 31_250,
        0x0A => 41_670,
        0x03 => 62_500,
        0x04 => 125_000,
        0x05 => 250_000,
        0x06 => 500_000,
        _ => return None,
    };
    let valid = (5..=12).contains(&factor) && (1..=4).contains(&rate) && low <= 1;
    valid.then_some(Modulation {
        spreading_factor: factor,
        bandwidth_hz,
        coding_rate_denominator: 4 + rate,
        low_data_rate: low == 1,
    })
}
