//! Whoever stands beside a receiver and knows what it could hear, and why it
//! could not hear the rest.
//!
//! It has the receiver's antenna and the same demodulator, but never sends: what
//! the receiver misses while it sends itself is for the caller to find, who sees
//! those frames too.

use super::demodulator::{Demodulator, Sight, Tuning};
use super::ether::{Air, Antenna, Arrival, Ether, Port, Wave};
use super::waves::{Band, decibels, milliwatts};
use crate::sensitivity::limit_snr_db;
use tokio::time::{Instant, sleep_until};

/// Waves that are remembered because they may have disturbed one that is not over.
const WAVES_MAX: usize = 512;

/// What a receiver could make of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It came whole.
    Whole,
    /// Too weak, even if nothing else had been in the air.
    TooWeak,
    /// Noise, or frames of another spreading or channel, were too strong.
    Drowned,
    /// Another frame of its kind was in the way.
    Collided,
    /// It was on another channel, or inverted, where the receiver does not listen.
    Elsewhere,
}

/// A frame that was sent, at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// How it reached the antenna.
    pub arrival: Arrival,
    /// What could be made of it.
    pub fate: Fate,
}

/// A receiver's neighbour. Everything that anybody sends comes to its eyes.
pub struct Witness {
    port: Port,
    tuning: Tuning,
    demodulator: Demodulator,
    waves: Vec<Wave>,
    arriving: Vec<Arrival>,
    /// Came whole and is about to be told.
    whole: Vec<(Instant, Vec<u8>)>,
}

impl Witness {
    /// A witness of a receiver on this antenna that listens to `air`.
    pub fn new(ether: &Ether, antenna: &Antenna, air: Air) -> Self {
        let low_data_rate = air.shape.is_low_data_rate();
        Self {
            port: ether.open(antenna, true),
            tuning: Tuning { air, since: Instant::now(), low_data_rate },
            demodulator: Demodulator::default(),
            waves: Vec::new(),
            arriving: Vec::new(),
            whole: Vec::new(),
        }
    }

    /// The next frame to end, at its end; `None` if the ether went away. Nothing
    /// is lost if the caller stops waiting.
    pub async fn see(&mut self) -> Option<Sighting> {
        loop {
            let step = self.demodulator.next_event();
            let end = self.arriving.iter().map(Arrival::ended).min();
            let next = step.into_iter().chain(end).min();
            tokio::select! {
                biased;
                wave = self.port.waves.recv() => self.hear(wave?),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    if step == next {
                        self.listen(next?);
                    } else {
                        return Some(self.judge(next?));
                    }
                }
            }
        }
    }

    fn hear(&mut self, wave: Wave) {
        if let Wave::Frame(arrival) = &wave {
            self.arriving.push(arrival.clone());
        }
        self.demodulator.hear(wave.clone());
        if self.waves.len() >= WAVES_MAX {
            self.waves.remove(0);
        }
        self.waves.push(wave);
    }

    fn listen(&mut self, at: Instant) {
        if let Some(Sight::Frame(frame)) = self.demodulator.step(at, Some(&self.tuning)) {
            if !frame.damaged {
                self.whole.push((at, frame.bytes));
            }
        }
    }

    /// Ends the first that ends now.
    fn judge(&mut self, at: Instant) -> Sighting {
        let place = self.arriving.iter().position(|arrival| arrival.ended() == at);
        let arrival = self.arriving.swap_remove(place.expect("one of them ends now"));
        let fate = self.fate(&arrival);
        let since = self.arriving.iter().map(|arrival| arrival.started).min().unwrap_or(at);
        self.waves.retain(|wave| wave.ended() > since);
        self.whole.retain(|(ended, _)| *ended >= at);
        Sighting { arrival, fate }
    }

    fn fate(&self, arrival: &Arrival) -> Fate {
        let (air, ended) = (&self.tuning.air, arrival.ended());
        if !air.is_same_channel(&arrival.air) {
            return Fate::Elsewhere;
        }
        if self.whole.iter().any(|(at, bytes)| *at == ended && *bytes == arrival.bytes) {
            return Fate::Whole;
        }
        let band = Band::of(air);
        let limit_db = limit_snr_db(air.shape.spreading_factor);
        let margin_db = |noise_mw: f64| f64::from(arrival.rssi_dbm) - decibels(noise_mw) - limit_db;
        let quiet_mw = milliwatts(band.quiet_dbm());
        if margin_db(quiet_mw) < 0.0 {
            return Fate::TooWeak;
        }
        let disturbs = |wave: &&Wave| match wave {
            Wave::Frame(other) => !air.is_same_channel(&other.air),
            Wave::Noise(_) => true,
        };
        let lasts = |wave: &&Wave| wave.overlap(arrival.started, ended) >= air.shape.symbol();
        let noise_mw: f64 = self
            .waves
            .iter()
            .filter(disturbs)
            .filter(lasts)
            .map(|wave| wave.power_mw_in(band))
            .sum();
        if margin_db(quiet_mw + noise_mw) < 0.0 { Fate::Drowned } else { Fate::Collided }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::airtime::Shape;
    use crate::sim::ether::{Field, Handset, HandsetSettings, Jamming, Position};
    use std::time::Duration;

    const AIR: Air = Air {
        frequency_hz: 868_100_000,
        shape: Shape {
            spreading_factor: 7,
            bandwidth_hz: 125_000,
            coding_rate_denominator: 5,
            preamble_symbols: 8,
            explicit_header: true,
            payload_crc: true,
        },
        iq_inverted: false,
        sync_word: 0x1424,
    };

    fn settings(air: Air) -> HandsetSettings {
        let (uplink, downlink) = (air, air);
        HandsetSettings { uplink, downlink, power_dbm: 14, offset_hz: 0, listens: None }
    }

    fn handset(ether: &Ether, x_m: f64, air: Air) -> Handset {
        let antenna = Antenna::at(Position::new(x_m, 0.0));
        Handset::new(ether.port_at(&antenna), settings(air))
    }

    /// An air over level ground: the limit at SF7, -124.5 dBm, is 3.8 km away.
    fn ground() -> Ether {
        Ether::in_field(Field { shadowing_db: 0.0, fading_db: 0.0, ..Field::default() })
    }

    async fn fates(witness: &mut Witness, count: usize) -> Vec<Fate> {
        let mut fates = Vec::new();
        while fates.len() < count {
            fates.push(witness.see().await.expect("the ether lives").fate);
        }
        fates.sort_unstable();
        fates
    }

    #[tokio::test(start_paused = true)]
    async fn every_frame_has_its_fate() {
        let ether = ground();
        let antenna = Antenna::default();
        let mut witness = Witness::new(&ether, &antenna, AIR);
        handset(&ether, 100.0, AIR).send(&[1; 24]).await;
        assert_eq!(fates(&mut witness, 1).await, [Fate::Whole]);
        // So far away that no port would be told of it.
        handset(&ether, 100_000.0, AIR).send(&[2; 24]).await;
        assert_eq!(fates(&mut witness, 1).await, [Fate::TooWeak]);
        let (mut one, mut other) = (handset(&ether, 100.0, AIR), handset(&ether, -100.0, AIR));
        tokio::join!(one.send(&[3; 24]), other.send(&[4; 24]));
        assert_eq!(fates(&mut witness, 2).await, [Fate::Collided; 2]);
        let (mut near, mut far) = (handset(&ether, 50.0, AIR), handset(&ether, 500.0, AIR));
        tokio::join!(near.send(&[5; 24]), far.send(&[6; 24]));
        assert_eq!(fates(&mut witness, 2).await, [Fate::Whole, Fate::Collided]);
        let next = Air { frequency_hz: 869_525_000, ..AIR };
        handset(&ether, 10.0, next).send(&[7; 24]).await;
        assert_eq!(fates(&mut witness, 1).await, [Fate::Elsewhere]);
        let inverted = Air { iq_inverted: true, ..AIR };
        handset(&ether, 10.0, inverted).send(&[9; 24]).await;
        assert_eq!(fates(&mut witness, 1).await, [Fate::Elsewhere]);
        let jammer = ether.jam(&antenna, Band::of(&AIR), 10, Jamming::Continuous);
        tokio::time::sleep(Duration::from_millis(10)).await;
        handset(&ether, 100.0, AIR).send(&[8; 24]).await;
        assert_eq!(fates(&mut witness, 1).await, [Fate::Drowned]);
        drop(jammer);
    }

    #[tokio::test(start_paused = true)]
    async fn it_sees_what_a_receiver_on_the_same_antenna_hears() {
        // Fading alone decides here: 3.8 km are at the limit.
        let ether = Ether::in_field(Field { shadowing_db: 0.0, ..Field::default() });
        let antenna = Antenna::default();
        let mut witness = Witness::new(&ether, &antenna, AIR);
        let mut receiver = Handset::new(ether.port_at(&antenna), settings(AIR));
        let mut sender = handset(&ether, 3_800.0, AIR);
        let mut whole = 0;
        for n in 0..200 {
            let bytes = [n; 24];
            let (_, heard) = tokio::join!(
                sender.send(&bytes),
                tokio::time::timeout(Duration::from_millis(100), receiver.hear())
            );
            let sighting = witness.see().await.expect("the ether lives");
            assert_eq!(sighting.fate == Fate::Whole, heard.is_ok(), "frame {n}");
            whole += u32::from(heard.is_ok());
        }
        assert!((20..180).contains(&whole), "{whole}");
    }
}
