//! The air between virtual radios: whoever transmits is heard by all others, as
//! loud as the [`Field`] between them lets it be.
//!
//! A wave is announced to every other port when it begins, complete with its
//! bytes; whether and when a radio makes something of it is the radio's affair,
//! which knows what it was listening to and what else it heard.

use super::demodulator::{Demodulator, Sight, Tuning};
pub use super::field::{Antenna, Field, Position, Wall};
use super::jammer::Reflexes;
pub use super::jammer::{Jammer, Jamming};
pub use super::waves::{Air, Arrival, Emission, Noise, Wave};
use super::waves::{Band, quarter_db, whole_db};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Waves that a port holds for a radio that is looking elsewhere. At SF7 a frame
/// takes 60 ms.
const PORT_WAVES_MAX: usize = 256;

/// Path loss of some hundred metres among buildings, dB.
const PATH_LOSS_DB: i16 = 110;

/// What arrives below this is told to nobody: 20 dB below the noise in the
/// narrowest band (7.8 kHz), where no spreading factor finds it.
const AUDIBLE_DBM: f64 = -150.0;

/// The air. Clones are the same air.
#[derive(Clone)]
pub struct Ether {
    shared: Arc<Shared>,
}

struct Shared {
    ports: Mutex<Ports>,
    field: Field,
    reflexes: Reflexes,
}

#[derive(Default)]
struct Ports {
    next: u64,
    waves: u64,
    open: Vec<Open>,
}

struct Open {
    id: u64,
    antenna: Antenna,
    /// What fading knows the antenna by: the first of its ports.
    fades_as: u64,
    /// It is told of what nobody can hear, too.
    hears_all: bool,
    waves: mpsc::Sender<Wave>,
    /// It is told of waves until then; `None` for ever.
    listens_until: Option<Instant>,
}

impl Default for Ether {
    fn default() -> Self {
        Self::with_path_loss(PATH_LOSS_DB)
    }
}

impl Ether {
    /// An air in which everyone is so far from everyone, dB.
    pub fn with_path_loss(path_loss_db: i16) -> Self {
        Self::in_field(Field::flat(path_loss_db.into()))
    }

    /// The air over a site.
    pub fn in_field(field: Field) -> Self {
        let reflexes = Reflexes::default();
        Self { shared: Arc::new(Shared { ports: Mutex::default(), field, reflexes }) }
    }

    /// The site.
    pub fn field(&self) -> &Field {
        &self.shared.field
    }

    /// A new antenna, at the origin.
    pub fn port(&self) -> Port {
        self.port_at(&Antenna::default())
    }

    /// A radio on this antenna, which may move.
    pub fn port_at(&self, antenna: &Antenna) -> Port {
        self.open(antenna, false)
    }

    /// The same, told also of what is too weak for anybody.
    pub(super) fn open(&self, antenna: &Antenna, hears_all: bool) -> Port {
        let (sender, waves) = mpsc::channel(PORT_WAVES_MAX);
        let mut ports = self.ports();
        ports.next += 1;
        let id = ports.next;
        let mates = ports.open.iter().find(|port| port.antenna.is(antenna));
        let fades_as = mates.map_or(id, |port| port.fades_as);
        let antenna = antenna.clone();
        let port = Open { id, antenna, fades_as, hears_all, waves: sender, listens_until: None };
        ports.open.push(port);
        Port { outlet: Outlet::Here(self.clone(), id), waves }
    }

    /// Something jams from this antenna until what is returned is dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime with time.
    pub fn jam(&self, antenna: &Antenna, band: Band, power_dbm: i16, jamming: Jamming) -> Jammer {
        Jammer::start(self.clone(), antenna.clone(), band, power_dbm, jamming)
    }

    /// Noise from this antenna.
    pub fn disturb(
        &self,
        antenna: &Antenna,
        band: Band,
        power_dbm: i16,
        started: Instant,
        duration: Duration,
    ) {
        self.announce(None, antenna.position(), power_dbm, |rssi_dbm| {
            Wave::Noise(Noise { band, started, duration, rssi_dbm: whole_db(rssi_dbm) })
        });
    }

    pub(super) fn reflexes(&self) -> &Reflexes {
        &self.shared.reflexes
    }

    fn emit(&self, from: u64, emission: &Emission) {
        let position = {
            let ports = self.ports();
            let own = ports.open.iter().find(|port| port.id == from);
            own.map_or_else(Position::default, |port| port.antenna.position())
        };
        let quiet_dbm = Band::of(&emission.air).quiet_dbm();
        self.announce(Some(from), position, emission.power_dbm, |rssi_dbm| {
            Wave::Frame(Arrival {
                air: emission.air,
                started: emission.started,
                rssi_dbm: whole_db(rssi_dbm),
                snr_quarter_db: quarter_db(f64::from(whole_db(rssi_dbm)) - quiet_dbm.round()),
                offset_hz: emission.offset_hz,
                bytes: emission.bytes.clone(),
            })
        });
        self.shared.reflexes.answer(self, position, emission);
    }

    fn announce(
        &self,
        from: Option<u64>,
        position: Position,
        power_dbm: i16,
        wave: impl Fn(f64) -> Wave,
    ) {
        let field = &self.shared.field;
        let now = Instant::now();
        let mut ports = self.ports();
        ports.waves += 1;
        let nth = ports.waves;
        ports.open.retain(|port| {
            if Some(port.id) == from {
                return true;
            }
            if port.listens_until.is_some_and(|until| until <= now) {
                return !port.waves.is_closed();
            }
            let loss_db = field.loss_db(position, port.antenna.position());
            let rssi_dbm = f64::from(power_dbm) - loss_db + field.fade_db(nth, port.fades_as);
            if rssi_dbm < AUDIBLE_DBM && !port.hears_all {
                return !port.waves.is_closed();
            }
            // A port that is full is deaf; one that is closed is gone.
            let sent = port.waves.try_send(wave(rssi_dbm));
            !matches!(sent, Err(mpsc::error::TrySendError::Closed(_)))
        });
    }

    fn listen_until(&self, id: u64, until: Instant) {
        if let Some(port) = self.ports().open.iter_mut().find(|port| port.id == id) {
            port.listens_until = Some(until);
        }
    }

    fn ports(&self) -> MutexGuard<'_, Ports> {
        self.shared.ports.lock().expect("nothing panics while it holds the lock")
    }
}

/// Where emissions go.
#[derive(Clone)]
pub enum Outlet {
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

    /// Needs no waves after that; a connection elsewhere gets them all the same.
    fn listen_until(&self, until: Instant) {
        if let Self::Here(ether, id) = self {
            ether.listen_until(*id, until);
        }
    }
}

/// An antenna in an ether.
pub struct Port {
    pub(super) outlet: Outlet,
    pub(super) waves: mpsc::Receiver<Wave>,
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

/// A sniffer that can send: it hears every frame, whatever its settings and
/// whatever else is in the air.
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
        send(&self.port.outlet, air, power_dbm, 0, bytes).await
    }

    /// The next frame to end, at its end; `None` if the ether went away. Nothing
    /// is lost if the caller stops waiting.
    pub async fn hear(&mut self) -> Option<Heard> {
        loop {
            let first = (0..self.arriving.len()).min_by_key(|&n| self.arriving[n].ended());
            let until = first.map(|first| self.arriving[first].ended());
            tokio::select! {
                biased;
                wave = self.port.waves.recv() => if let Wave::Frame(arrival) = wave? {
                    self.arriving.push(arrival);
                },
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
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

/// How a pendant's radio is set.
#[derive(Clone, Copy, Debug)]
pub struct HandsetSettings {
    /// How it sends.
    pub uplink: Air,
    /// How it is answered.
    pub downlink: Air,
    /// Radiated power, dBm.
    pub power_dbm: i16,
    /// How far its crystal puts every carrier off, Hz.
    pub offset_hz: i32,
    /// For how long it listens after each frame; `None`: always.
    pub listens: Option<Duration>,
}

/// A pendant's radio: it hears what reaches it undamaged while it does not send
/// (half-duplex), and only for a while after it has sent.
pub struct Handset {
    port: Port,
    settings: HandsetSettings,
    listening_since: Instant,
    demodulator: Demodulator,
}

impl Handset {
    /// A radio on an antenna.
    pub fn new(port: Port, settings: HandsetSettings) -> Self {
        let now = Instant::now();
        if settings.listens.is_some() {
            port.outlet.listen_until(now);
        }
        Self { port, settings, listening_since: now, demodulator: Demodulator::default() }
    }

    /// Sends a frame now and returns at its end.
    pub async fn send(&mut self, bytes: &[u8]) -> Instant {
        let HandsetSettings { uplink, power_dbm, offset_hz, listens, .. } = self.settings;
        self.demodulator.release();
        let ended = send(&self.port.outlet, uplink, power_dbm, offset_hz, bytes).await;
        if let Some(listens) = listens {
            self.port.outlet.listen_until(ended + listens);
        }
        self.listening_since = ended;
        ended
    }

    /// The next frame that was received whole, and the end of its last symbol;
    /// `None` if the ether went away. Nothing is lost if the caller stops waiting.
    pub async fn hear(&mut self) -> Option<(Vec<u8>, Instant)> {
        loop {
            let next = self.demodulator.next_event();
            tokio::select! {
                biased;
                wave = self.port.waves.recv() => self.demodulator.hear(wave?),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    let air = self.settings.downlink;
                    let low_data_rate = air.shape.is_low_data_rate();
                    let tuning = Tuning { air, since: self.listening_since, low_data_rate };
                    let at = next?;
                    match self.demodulator.step(at, Some(&tuning)) {
                        Some(Sight::Frame(frame)) if !frame.damaged => {
                            return Some((frame.bytes, at));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

async fn send(outlet: &Outlet, air: Air, power_dbm: i16, offset_hz: i32, bytes: &[u8]) -> Instant {
    let started = Instant::now();
    let length = u8::try_from(bytes.len()).expect("a LoRa frame has at most 255 bytes");
    outlet.emit(Emission { air, started, power_dbm, offset_hz, bytes: bytes.to_vec() });
    let ended = started + air.shape.frame(length);
    sleep_until(ended).await;
    ended
}
