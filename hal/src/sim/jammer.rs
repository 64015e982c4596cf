//! Whoever disturbs the air on purpose, or does not know better.

use super::ether::Ether;
use super::field::{Antenna, Position};
use super::waves::{Band, Emission};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Noise without an end is announced in pieces of this length.
const PIECE: Duration = Duration::from_secs(1);

/// What a selective jammer must at least receive in order to react, dBm: the
/// sensitivity at SF7.
const REACTS_DBM: f64 = -124.0;

/// How it disturbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jamming {
    /// Always.
    Continuous,
    /// For `on` of every `period`.
    Pulsed {
        /// How long.
        on: Duration,
        /// How often.
        period: Duration,
    },
    /// Only while somebody else sends, from the end of the preamble and this
    /// much later on: a jammer that is hard to find.
    Selective {
        /// What the jammer needs to recognise a preamble and to switch over.
        reaction: Duration,
    },
    /// Only while somebody else sends, from its beginning and this much later
    /// on: nobody receives even a preamble.
    Reactive {
        /// What the jammer needs to find that somebody sends.
        reaction: Duration,
    },
}

/// Something that jams. Dropping it ends it.
pub struct Jammer {
    noise: Option<JoinHandle<()>>,
    reflex: Option<(Ether, u64)>,
}

impl Jammer {
    pub(super) fn start(
        ether: Ether,
        antenna: Antenna,
        band: Band,
        power_dbm: i16,
        jamming: Jamming,
    ) -> Self {
        let (on, period) = match jamming {
            Jamming::Continuous => (PIECE, PIECE),
            Jamming::Pulsed { on, period } => (on, period),
            Jamming::Selective { .. } | Jamming::Reactive { .. } => {
                let reflex = Reflex { antenna, band, power_dbm, jamming };
                let number = ether.reflexes().add(reflex);
                return Self { noise: None, reflex: Some((ether, number)) };
            }
        };
        let noise = tokio::spawn(async move {
            let mut next = Instant::now();
            loop {
                ether.disturb(&antenna, band, power_dbm, next, on);
                next += period;
                sleep_until(next).await;
            }
        });
        Self { noise: Some(noise), reflex: None }
    }
}

impl Drop for Jammer {
    fn drop(&mut self) {
        if let Some(noise) = &self.noise {
            noise.abort();
        }
        if let Some((ether, number)) = &self.reflex {
            ether.reflexes().remove(*number);
        }
    }
}

/// Jammers that react to what others send.
#[derive(Default)]
pub(super) struct Reflexes(Mutex<Vec<(u64, Arc<Reflex>)>>);

struct Reflex {
    antenna: Antenna,
    band: Band,
    power_dbm: i16,
    jamming: Jamming,
}

impl Reflexes {
    fn add(&self, reflex: Reflex) -> u64 {
        let mut all = self.all();
        let number = all.last().map_or(0, |(number, _)| number + 1);
        all.push((number, Arc::new(reflex)));
        number
    }

    fn remove(&self, number: u64) {
        self.all().retain(|(own, _)| *own != number);
    }

    /// Whoever hears this emission disturbs it.
    pub(super) fn answer(&self, ether: &Ether, from: Position, emission: &Emission) {
        let all: Vec<Arc<Reflex>> = self.all().iter().map(|(_, it)| Arc::clone(it)).collect();
        for reflex in all {
            let loss_db = ether.field().loss_db(from, reflex.antenna.position());
            if f64::from(emission.power_dbm) - loss_db < REACTS_DBM {
                continue;
            }
            let shape = &emission.air.shape;
            let begin = match reflex.jamming {
                Jamming::Selective { reaction } => shape.preamble() + reaction,
                Jamming::Reactive { reaction } => reaction,
                Jamming::Continuous | Jamming::Pulsed { .. } => continue,
            };
            let length = u8::try_from(emission.bytes.len()).unwrap_or(u8::MAX);
            let duration = shape.frame(length).saturating_sub(begin);
            let started = emission.started + begin;
            ether.disturb(&reflex.antenna, reflex.band, reflex.power_dbm, started, duration);
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<(u64, Arc<Reflex>)>> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}
