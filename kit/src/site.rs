//! A site full of pendants in one virtual air: wearers who walk about among
//! walls, their heartbeats and presses, and whoever disturbs them.
//!
//! Everything but the gateway's side: that is a radio at [`SiteSettings::gateway`], in
//! this process or behind a socket. The same seed gives the same site; in virtual
//! time it gives the same run.

mod tally;
mod walk;

pub use tally::{Account, Loss, Said};
pub use walk::Walk;

use crate::bench::{self, Memory, PendantHandle, SayError};
use crate::pendant::{Habits, Pendant, PendantIdentity, PressError, Windows};
use crate::sim::label_of;
use crate::wire::Wire;
use pendant_hal::radio::RadioSettings;
use pendant_hal::sim::chance::Chance;
use pendant_hal::sim::ether::{Air, Antenna, Ether};
use pendant_hal::sim::witness::Witness;
use pendant_protocol::{Body, FRAME_BYTES};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tally::Tally;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use walk::Walker;

/// Most pendants of a site; each is three tasks.
pub const PENDANTS_MAX: usize = 1_000;

/// A heartbeat comes after this many means at the latest (docs/protocol.md).
const INTERVAL_MEANS_MAX: f64 = 4.0;

/// Crystals are off by up to this many parts in a million.
const CRYSTAL_PPM: f64 = 10.0;

/// A site.
#[derive(Clone, Debug)]
pub struct SiteSettings {
    /// How everybody's radio is set.
    pub radio: RadioSettings,
    /// Where the gateway's antenna is.
    pub gateway: Antenna,
    /// Everything that is chance follows from it, but not how waves travel.
    pub seed: u64,
}

/// A pendant and who wears it.
#[derive(Clone, Debug)]
pub struct Wearer {
    /// Number and key.
    pub identity: PendantIdentity,
    /// What keeps its counters.
    pub memory: Memory,
    /// What that held.
    pub remembered: u32,
    /// Transmissions of one frame before the pendant gives up.
    pub attempts_max: u32,
    /// Where it is.
    pub walk: Walk,
    /// What it says again and again, and the mean time between two of these.
    pub habits: Vec<(Body, Duration)>,
}

/// What a pendant did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worn {
    /// Heartbeats and presses that ended, answered or given up.
    pub said: u32,
    /// Of these answered.
    pub answered: u32,
    /// Transmissions for them.
    pub transmissions: u32,
}

impl Worn {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            said: self.said + other.said,
            answered: self.answered + other.answered,
            transmissions: self.transmissions + other.transmissions,
        }
    }
}

/// A running site. Dropping it ends it.
#[derive(Debug)]
pub struct Site {
    handles: Vec<PendantHandle>,
    books: Books,
    quiet: watch::Sender<bool>,
    _running: JoinSet<()>,
}

impl Site {
    /// Brings these pendants to life in an ether; `told` is called for all that
    /// they say, when it ends. Of more than [`PENDANTS_MAX`] the rest stays at home.
    ///
    /// # Panics
    /// Outside a tokio runtime with time.
    #[must_use]
    pub fn start(
        settings: &SiteSettings,
        ether: &Ether,
        mut wearers: Vec<Wearer>,
        told: impl Fn(Said) + Clone + Send + 'static,
    ) -> Self {
        wearers.truncate(PENDANTS_MAX);
        let mut chance = Chance(settings.seed);
        let mut running = JoinSet::new();
        let mut walkers = Vec::new();
        let mut handles = Vec::new();
        let books = Books::of(wearers.len());
        let quiet = watch::Sender::new(false);
        for (place, wearer) in wearers.into_iter().enumerate() {
            let walker = Walker::new(wearer.walk, Chance(chance.next()));
            let mut own = Chance(chance.next());
            let habits = habits(settings, wearer.attempts_max);
            let id = wearer.identity.id;
            let pendant = Pendant::power_up(wearer.identity, habits, wearer.remembered, own.next());
            let wire = wire(settings, ether, &walker.antenna, &mut own);
            walkers.push(walker);
            let (book, told) = (books.clone(), told.clone());
            let onlooker: bench::Onlooker = Box::new(move |_, body, seen| {
                book.write(|tally| tally.end(place, id, seen));
                told(Said {
                    place,
                    pendant: id,
                    counter: seen.counter,
                    label: label_of(&body),
                    transmissions: seen.attempts,
                    answered: seen.answer.is_some(),
                });
            });
            let made = bench::spawn_before(onlooker, wire, vec![(pendant, wearer.memory)]);
            for (body, mean) in wearer.habits {
                for handle in &made {
                    let talk = talk(handle.clone(), mean, body, Chance(own.next()));
                    let (books, mut quiet) = (books.clone(), quiet.subscribe());
                    running.spawn(async move {
                        tokio::select! {
                            why = talk => books.write(|tally| tally.broken.push((place, why))),
                            _ = quiet.wait_for(|quiet| *quiet) => {}
                        }
                    });
                }
            }
            handles.extend(made);
        }
        running.spawn(walk::walk(walkers));
        let witness = Witness::new(ether, &settings.gateway, Air::of(&settings.radio));
        running.spawn(look(witness, books.clone()));
        Self { handles, books, quiet, _running: running }
    }

    /// The pendants, in the order in which they were given.
    #[must_use]
    pub fn pendants(&self) -> &[PendantHandle] {
        &self.handles
    }

    /// What each pendant did so far, in the same order.
    #[must_use]
    pub fn worn(&self) -> Vec<Worn> {
        self.books.read(|tally| tally.worn.clone())
    }

    /// What happened in the air so far.
    #[must_use]
    pub fn account(&self) -> Account {
        self.books.read(Tally::account)
    }

    /// Pendants whose memory or radio failed, so that they say nothing any more:
    /// their places, and why.
    #[must_use]
    pub fn broken(&self) -> Vec<(usize, String)> {
        self.books.read(|tally| tally.broken.clone())
    }

    /// No pendant begins anything of its own any more. Waits until what is on its
    /// way has been answered, at most for `patience`.
    pub async fn fall_silent(&self, patience: Duration) {
        self.quiet.send_replace(true);
        let mut under_way = self.books.under_way.subscribe();
        // What is not answered by then is told as under way.
        let _ = timeout(patience, under_way.wait_for(|count| *count == 0)).await;
    }
}

/// The tally, for all who write into it.
#[derive(Clone, Debug)]
struct Books {
    tally: Arc<Mutex<Tally>>,
    under_way: watch::Sender<usize>,
}

impl Books {
    fn of(wearers: usize) -> Self {
        let tally = Arc::new(Mutex::new(Tally::of(wearers)));
        Self { tally, under_way: watch::Sender::new(0) }
    }

    fn read<T>(&self, read: impl FnOnce(&Tally) -> T) -> T {
        read(&self.lock())
    }

    fn write(&self, write: impl FnOnce(&mut Tally)) {
        let mut tally = self.lock();
        write(&mut tally);
        self.under_way.send_replace(tally.under_way());
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("nothing panics while it holds the lock")
    }
}

/// Sees what reaches the gateway.
async fn look(mut witness: Witness, books: Books) {
    while let Some(sighting) = witness.see().await {
        books.write(|tally| tally.see(&sighting));
    }
}

fn windows(settings: &SiteSettings) -> Windows {
    Windows::fitting(settings.radio.shape().frame(FRAME_BYTES as u8))
}

fn habits(settings: &SiteSettings, attempts_max: u32) -> Habits {
    Habits { windows: windows(settings), attempts_max, ..Habits::default() }
}

fn wire(settings: &SiteSettings, ether: &Ether, antenna: &Antenna, chance: &mut Chance) -> Wire {
    let ppm = CRYSTAL_PPM * (2.0 * chance.fraction() - 1.0);
    let offset_hz = (f64::from(settings.radio.frequency_hz) * ppm / 1e6) as i32;
    let now = Instant::now();
    let listens = windows(settings).end(now) - now;
    Wire::on_antenna(&settings.radio, ether, antenna, offset_hz, listens)
}

/// Says one thing again and again at exponential intervals. Ends when the pendant
/// is broken, and says how.
async fn talk(handle: PendantHandle, mean: Duration, body: Body, mut chance: Chance) -> String {
    loop {
        let means = (-chance.fraction().ln()).min(INTERVAL_MEANS_MAX);
        sleep(mean.mul_f64(means)).await;
        match handle.say(body).await {
            // A pendant that is full of presses does without this one.
            Ok(_) | Err(SayError::Press(PressError::Full)) => {}
            Err(error) => return error.to_string(),
        }
    }
}
