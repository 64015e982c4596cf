//! What a LoRa receiver makes of the waves at its antenna; both virtual chips
//! have one.
//!
//! A frame is followed from the end of its preamble on, if the receiver listens
//! to its channel by then and follows no other. It is judged twice: at the end
//! of its header and at its end.
//!
//! - **Against a frame of the same spreading** on the channel it must be 6 dB
//!   stronger (capture). What overlaps only its first preamble symbols does no
//!   harm: five symbols are enough to synchronise (Bor, Roedig, Voigt, Alonso:
//!   "Do LoRa low-power wide-area networks scale?", 2016).
//! - **Everything else** in the band is noise: spreading factors are nearly
//!   orthogonal, and so are chirps of which one is inverted. The ratio of the frame to all noise must be the demodulator's
//!   limit. Real receivers fail gradually below it: here within the first decibel
//!   the payload is damaged, within the second the header, below that nothing is
//!   seen.
//! - What lasts less than one symbol does no harm: the code corrects it.

use super::waves::{Air, Arrival, Band, Wave, decibels, milliwatts, quarter_db, whole_db};
use crate::sensitivity::limit_snr_db;
use std::time::Duration;
use tokio::time::Instant;

/// Of two frames on one channel the stronger survives from this margin on, dB.
const CAPTURE_DB: i16 = 6;

/// Symbols of preamble that the detector needs (SX1261/2 datasheet rev 2.1,
/// section 6.1.1.1 recommends six for the shortest that is sent; four are left
/// after synchronisation).
const DETECT_SYMBOLS: u32 = 4;

/// Last symbols of the preamble in which another frame disturbs.
const SYNCHRONISING_SYMBOLS: u32 = 5;

/// This much below the limit the payload is damaged; twice as much, the header
/// too; below that, the frame is not seen.
const FADING_DB: f64 = 1.0;

/// Waves that are kept; at SF7 a second has room for 16 frames.
const WAVES_MAX: usize = 256;

/// What a receiver is set to.
#[derive(Clone, Copy)]
pub(super) struct Tuning {
    pub(super) air: Air,
    /// It listens since then.
    pub(super) since: Instant,
    /// Whether low data rate optimisation is on.
    pub(super) low_data_rate: bool,
}

/// What a receiver notices, and when.
pub(super) enum Sight {
    Preamble,
    Header,
    HeaderError,
    Frame(Received),
}

/// A frame that was followed to its end.
pub(super) struct Received {
    pub(super) air: Air,
    pub(super) bytes: Vec<u8>,
    pub(super) damaged: bool,
    /// Mean power of frame and noise, dBm.
    pub(super) rssi_dbm: i16,
    /// Power of the frame alone, dBm.
    pub(super) signal_dbm: i16,
    pub(super) snr_quarter_db: i8,
    pub(super) offset_hz: i32,
}

struct Tracked {
    wave: Wave,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its preamble is not over.
    Preamble,
    /// The receiver follows it; the header is to come.
    Header,
    /// The receiver follows it to its end.
    Payload,
    /// It passes by, or is over; it may still disturb.
    Passing,
}

#[derive(Default)]
pub(super) struct Demodulator {
    waves: Vec<Tracked>,
    /// The frame that was followed last was over then.
    free_since: Option<Instant>,
}

impl Demodulator {
    /// Something begins to arrive.
    pub(super) fn hear(&mut self, wave: Wave) {
        if self.waves.len() >= WAVES_MAX {
            return;
        }
        let stage = if matches!(wave, Wave::Frame(_)) { Stage::Preamble } else { Stage::Passing };
        self.waves.push(Tracked { wave, stage });
    }

    /// The receiver stops following whatever it followed.
    pub(super) fn release(&mut self) {
        for tracked in &mut self.waves {
            if matches!(tracked.stage, Stage::Header | Stage::Payload) {
                tracked.stage = Stage::Passing;
            }
        }
    }

    /// Whether the header of the frame that the receiver follows was good.
    pub(super) fn knows_header(&self) -> bool {
        self.waves.iter().any(|it| it.stage == Stage::Payload)
    }

    /// Whether a frame is being followed.
    pub(super) fn is_following(&self) -> bool {
        self.waves.iter().any(|it| matches!(it.stage, Stage::Header | Stage::Payload))
    }

    /// When there is something to notice next.
    pub(super) fn next_event(&self) -> Option<Instant> {
        self.waves.iter().filter_map(Tracked::next_event).min()
    }

    /// What there is to notice at `at`, which [`Self::next_event`] gave.
    pub(super) fn step(&mut self, at: Instant, tuning: Option<&Tuning>) -> Option<Sight> {
        let place = self.waves.iter().position(|it| it.next_event() == Some(at))?;
        let Wave::Frame(arrival) = self.waves[place].wave.clone() else { return None };
        let sight = match self.waves[place].stage {
            Stage::Preamble => {
                let found = !self.is_following()
                    && tuning.is_some_and(|tuning| self.detects(place, &arrival, tuning));
                self.waves[place].stage = if found { Stage::Header } else { Stage::Passing };
                found.then_some(Sight::Preamble)
            }
            Stage::Header => {
                let broken = self.is_header_broken(place, &arrival);
                self.free_since = Some(at);
                self.waves[place].stage = if broken { Stage::Passing } else { Stage::Payload };
                Some(if broken { Sight::HeaderError } else { Sight::Header })
            }
            Stage::Payload => {
                self.free_since = Some(at);
                self.waves[place].stage = Stage::Passing;
                Some(Sight::Frame(self.receive(place, arrival, tuning)))
            }
            Stage::Passing => None,
        };
        self.forget(at);
        sight
    }

    /// Power in the channel, dBm.
    pub(super) fn level_dbm(&self, air: &Air, at: Instant) -> f64 {
        let band = Band::of(air);
        let active = |it: &&Tracked| it.wave.started() <= at && at < it.wave.ended();
        let waves = self.waves.iter().filter(active).map(|it| it.wave.power_mw_in(band));
        decibels(milliwatts(band.quiet_dbm()) + waves.sum::<f64>())
    }

    /// Whether a frame of the receiver's spreading is on the channel.
    pub(super) fn is_channel_active(&self, air: &Air, at: Instant) -> bool {
        self.waves.iter().any(|it| match &it.wave {
            Wave::Frame(arrival) => {
                arrival.started <= at && at < arrival.ended() && air.is_same_channel(&arrival.air)
            }
            Wave::Noise(_) => false,
        })
    }

    /// Whether the chip listens to this channel and has done so for long enough,
    /// and the preamble stands out.
    fn detects(&self, place: usize, arrival: &Arrival, tuning: &Tuning) -> bool {
        let (air, shape) = (&tuning.air, &arrival.air.shape);
        let preamble_end = arrival.started + shape.preamble();
        let symbol = shape.symbol();
        let sync = shape.preamble() - symbol * u32::from(shape.preamble_symbols);
        let needed = symbol * DETECT_SYMBOLS + sync;
        let from = preamble_end.checked_sub(needed).unwrap_or(arrival.started);
        tuning.since <= from
            && self.free_since.is_none_or(|since| since <= from)
            && air.is_same_channel(&arrival.air)
            && air.sync_word == arrival.air.sync_word
            && air.shape.explicit_header == shape.explicit_header
            && self.margin_db(place, arrival, from, preamble_end) >= -2.0 * FADING_DB
            && self.capture_db(place, arrival, from, preamble_end) > -CAPTURE_DB
    }

    fn is_header_broken(&self, place: usize, arrival: &Arrival) -> bool {
        let shape = &arrival.air.shape;
        let (from, until) = (arrival.started + shape.preamble(), arrival.started + shape.header());
        self.margin_db(place, arrival, from, until) < -FADING_DB
            || self.capture_db(place, arrival, from, until) <= -CAPTURE_DB
    }

    fn receive(&self, place: usize, arrival: Arrival, tuning: Option<&Tuning>) -> Received {
        let shape = &arrival.air.shape;
        let synchronising = shape.symbol() * SYNCHRONISING_SYMBOLS;
        let preamble_end = arrival.started + shape.preamble();
        let from = preamble_end.checked_sub(synchronising).unwrap_or(arrival.started);
        let ended = arrival.ended();
        let misread = tuning.is_none_or(|it| it.low_data_rate != shape.is_low_data_rate());
        let noise_dbm = self.noise_dbm(place, &arrival, from, ended);
        let signal_dbm = f64::from(arrival.rssi_dbm);
        let damaged = misread
            || self.margin_db(place, &arrival, from, ended) < 0.0
            || self.capture_db(place, &arrival, from, ended) < CAPTURE_DB;
        Received {
            air: arrival.air,
            damaged,
            rssi_dbm: whole_db(decibels(milliwatts(signal_dbm) + milliwatts(noise_dbm))),
            signal_dbm: arrival.rssi_dbm,
            snr_quarter_db: quarter_db(signal_dbm - noise_dbm),
            offset_hz: arrival.offset_hz,
            bytes: arrival.bytes,
        }
    }

    /// What else is in the air in this time for long enough to disturb.
    fn others(
        &self,
        place: usize,
        symbol: Duration,
        from: Instant,
        until: Instant,
    ) -> impl Iterator<Item = &Wave> {
        let others = self.waves.iter().enumerate().filter(move |(other, _)| *other != place);
        others
            .map(|(_, tracked)| &tracked.wave)
            .filter(move |wave| wave.overlap(from, until) >= symbol.min(until - from))
    }

    /// Thermal noise and all that is no frame of the same spreading, dBm.
    fn noise_dbm(&self, place: usize, arrival: &Arrival, from: Instant, until: Instant) -> f64 {
        let band = Band::of(&arrival.air);
        let others = self.others(place, arrival.air.shape.symbol(), from, until);
        let disturbing = others.filter(|wave| match wave {
            Wave::Frame(other) => !other.air.is_same_channel(&arrival.air),
            Wave::Noise(_) => true,
        });
        let mw = disturbing.map(|wave| wave.power_mw_in(band)).sum::<f64>();
        decibels(milliwatts(band.quiet_dbm()) + mw)
    }

    /// How far the frame is above the demodulator's limit, dB.
    fn margin_db(&self, place: usize, arrival: &Arrival, from: Instant, until: Instant) -> f64 {
        let noise_dbm = self.noise_dbm(place, arrival, from, until);
        let limit_db = limit_snr_db(arrival.air.shape.spreading_factor);
        f64::from(arrival.rssi_dbm) - noise_dbm - limit_db
    }

    /// How far the frame is above the strongest of the same spreading, dB.
    fn capture_db(&self, place: usize, arrival: &Arrival, from: Instant, until: Instant) -> i16 {
        self.others(place, arrival.air.shape.symbol(), from, until)
            .filter_map(|wave| match wave {
                Wave::Frame(other) if other.air.is_same_channel(&arrival.air) => {
                    Some(arrival.rssi_dbm - other.rssi_dbm)
                }
                _ => None,
            })
            .min()
            .unwrap_or(i16::MAX)
    }

    /// Waves are over when nothing that is still to be judged overlaps them.
    fn forget(&mut self, at: Instant) {
        let open = self.waves.iter().filter(|it| it.stage != Stage::Passing);
        let since = open.map(|it| it.wave.started()).min().unwrap_or(at).min(at);
        self.waves.retain(|it| it.stage != Stage::Passing || it.wave.ended() > since);
    }
}

impl Tracked {
    fn next_event(&self) -> Option<Instant> {
        let Wave::Frame(arrival) = &self.wave else { return None };
        let shape = &arrival.air.shape;
        match self.stage {
            Stage::Preamble => Some(arrival.started + shape.preamble()),
            Stage::Header => Some(arrival.started + shape.header()),
            Stage::Payload => Some(arrival.ended()),
            Stage::Passing => None,
        }
    }
}

#[cfg(test)]
#[path = "demodulator_tests.rs"]
mod tests;
