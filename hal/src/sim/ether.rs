//! The air between virtual radios: whoever transmits is heard by all others.
//!
//! An emission is announced to every other port when it begins, complete with
//! its bytes; whether and when a radio makes something of it is the radio's
//! affair, which knows what it was listening to. Distances are not modelled: all
//! ports are one path loss apart.

use crate::airtime::Shape;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Arrivals that a port holds for a radio that is looking elsewhere. At SF7 a
/// frame takes 60 ms.
const PORT_ARRIVALS_MAX: usize = 256;

/// Noise in 125 kHz at a noise figure of 6 dB, dBm.
pub(super) const NOISE_DBM: i16 = -117;

/// Path loss of some hundred metres among buildings, dB.
const PATH_LOSS_DB: i16 = 110;

/// What a radio must be set to in order to hear a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Air {
    /// Carrier frequency, Hz.
    pub frequency_hz: u32,
    /// Modulation and framing.
    pub shape: Shape,
    /// Whether IQ is inverted, as LoRaWAN's downlinks have it.
    pub iq_inverted: bool,
    /// LoRa sync word as in the SX126x's register 0x0740.
    pub sync_word: u16,
}

impl Air {
    /// Whether two are on the same channel, so that they hear or disturb each
    /// other: the carrier within a quarter of the bandwidth (SX1261/2 datasheet
    /// rev 2.1, section 6.1.1), the same spreading.
    pub fn is_same_channel(&self, other: &Self) -> bool {
        self.frequency_hz.abs_diff(other.frequency_hz) <= self.shape.bandwidth_hz / 4
            && self.shape.spreading_factor == other.shape.spreading_factor
            && self.shape.bandwidth_hz == other.shape.bandwidth_hz
    }
}

/// A frame as it leaves an antenna.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    /// How it is sent.
    pub air: Air,
    /// Its first symbol.
    pub started: Instant,
    /// Radiated power, dBm.
    pub power_dbm: i16,
    /// Payload, at most 255 bytes.
    pub bytes: Vec<u8>,
}

/// A frame as it reaches an antenna.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// How it was sent.
    pub air: Air,
    /// Its first symbol.
    pub started: Instant,
    /// Received power, dBm.
    pub rssi_dbm: i16,
    /// Signal-to-noise ratio, quarters of a decibel.
    pub snr_quarter_db: i8,
    /// Payload, at most 255 bytes.
    pub bytes: Vec<u8>,
}

impl Arrival {
    /// The end of its last symbol.
    pub fn ended(&self) -> Instant {
        let length = u8::try_from(self.bytes.len()).unwrap_or(u8::MAX);
        self.started + self.air.shape.frame(length)
    }
}

/// The air. Clones are the same air.
#[derive(Clone)]
pub struct Ether {
    shared: Arc<Shared>,
}

struct Shared {
    ports: Mutex<Ports>,
    path_loss_db: i16,
}

#[derive(Default)]
struct Ports {
    next: u64,
    open: Vec<(u64, mpsc::Sender<Arrival>)>,
}

impl Default for Ether {
    fn default() -> Self {
        Self::with_path_loss(PATH_LOSS_DB)
    }
}

impl Ether {
    /// An air in which everyone is so far from everyone, dB.
    pub fn with_path_loss(path_loss_db: i16) -> Self {
        Self { shared: Arc::new(Shared { ports: Mutex::default(), path_loss_db }) }
    }

    /// A new antenna.
    pub fn port(&self) -> Port {
        let (sender, arrivals) = mpsc::channel(PORT_ARRIVALS_MAX);
        let mut ports = self.ports();
        ports.next += 1;
        let id = ports.next;
        ports.open.push((id, sender));
        Port { outlet: Outlet::Here(self.clone(), id), arrivals }
    }

    fn emit(&self, from: u64, emission: &Emission) {
        let rssi_dbm = emission.power_dbm.saturating_sub(self.shared.path_loss_db);
        let snr_quarter_db = i16::clamp((rssi_dbm - NOISE_DBM) * 4, -128, 127) as i8;
        self.ports().open.retain(|(id, port)| {
            if *id == from {
                return true;
            }
            let arrival = Arrival {
                air: emission.air,
                started: emission.started,
                rssi_dbm,
                snr_quarter_db,
                bytes: emission.bytes.clone(),
            };
            // A port that is full is deaf; one that is closed is gone.
            !matches!(port.try_send(arrival), Err(mpsc::error::TrySendError::Closed(_)))
        });
    }

    fn ports(&self) -> MutexGuard<'_, Ports> {
        self.shared.ports.lock().expect("nothing panics while it holds the lock")
    }
}

/// Where emissions go.
#[derive(Clone)]
pub(super) enum Outlet {
    /// An ether in this process, from this port.
    Here(Ether, u64),
    /// An ether elsewhere.
    Away(mpsc::Sender<Emission>),
}

impl Outlet {
    pub(super) fn emit(&self, emission: Emission) {
        match self {
            Self::Here(ether, id) => ether.emit(*id, &emission),
            // A connection that cannot take it is as good as a torn antenna.
            Self::Away(sender) => drop(sender.try_send(emission)),
        }
    }
}

/// An antenna in an ether.
pub struct Port {
    pub(super) outlet: Outlet,
    pub(super) arrivals: mpsc::Receiver<Arrival>,
}

/// A frame that a station heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its first symbol.
    pub started: Instant,
    /// The end of its last symbol.
    pub ended: Instant,
    /// How it was sent and received, and its bytes.
    pub arrival: Arrival,
}

/// A simulated pendant's radio: it sends what it is told and hears everything,
/// whatever the settings.
pub struct Station {
    port: Port,
    arriving: Vec<Arrival>,
}

impl Station {
    /// A station on an antenna: [`Ether::port`] or [`super::socket::connect`].
    pub fn new(port: Port) -> Self {
        Self { port, arriving: Vec::new() }
    }

    /// Sends a frame now and returns at its end.
    pub async fn send(&self, air: Air, power_dbm: i16, bytes: &[u8]) -> Instant {
        let started = Instant::now();
        let length = u8::try_from(bytes.len()).expect("a LoRa frame has at most 255 bytes");
        self.port.outlet.emit(Emission { air, started, power_dbm, bytes: bytes.to_vec() });
        let ended = started + air.shape.frame(length);
        sleep_until(ended).await;
        ended
    }

    /// The next frame to end, at its end; `None` if the ether went away. Nothing
    /// is lost if the caller stops waiting.
    pub async fn hear(&mut self) -> Option<Heard> {
        loop {
            let first = (0..self.arriving.len()).min_by_key(|&n| self.arriving[n].ended());
            let until = first.map(|first| self.arriving[first].ended());
            let far = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                biased;
                arrival = self.port.arrivals.recv() => self.arriving.push(arrival?),
                () = sleep_until(until.unwrap_or(far)), if until.is_some() => {
                    let arrival = self.arriving.swap_remove(first?);
                    return Some(Heard {
                        started: arrival.started,
                        ended: arrival.ended(),
                        arrival,
                    });
                }
            }
        }
    }
}
