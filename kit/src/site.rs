//! A site full of pendants in one virtual air: wearers who walk about among
//! walls, their heartbeats and presses, and whoever disturbs them.
//!
//! Everything but the gateway's side: that is a radio at [`Site::gateway`], in
//! this process or behind a socket. The same seed gives the same site; in virtual
//! time it gives the same run.

use crate::bench::{self, Memory, PendantHandle};
use crate::pendant::{Habits, Pendant, PendantIdentity, Windows};
use crate::wire::Wire;
use pendant_hal::radio::RadioSettings;
use pendant_hal::sim::ether::{Antenna, Ether, Field, Position};
use pendant_protocol::{Body, FRAME_BYTES};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Most pendants of a site; each is three tasks.
pub const PENDANTS_MAX: usize = 1_000;

/// Wearers move in steps of this time.
const STEP: Duration = Duration::from_secs(5);

/// A heartbeat comes after this many means at the latest (docs/protocol.md).
const INTERVAL_MEANS_MAX: f64 = 4.0;

/// Crystals are off by up to this many parts in a million.
const CRYSTAL_PPM: f64 = 10.0;

/// A site.
#[derive(Clone, Debug)]
pub struct SiteSettings {
    /// How everybody's radio is set.
    pub radio: RadioSettings,
    /// How waves travel.
    pub field: Field,
    /// Where the gateway's antenna is.
    pub gateway: Position,
    /// Two opposite corners of where wearers walk.
    pub area: [Position; 2],
    /// How fast they walk, metres a second; 0: they stand.
    pub speed_m_s: f64,
    /// Mean time between two heartbeats of one pendant.
    pub heartbeat: Duration,
    /// Mean time between two presses (check-ins) of one pendant.
    pub press: Duration,
    /// Transmissions of one frame before a pendant gives up.
    pub attempts_max: u32,
    /// Everything that is chance follows from it.
    pub seed: u64,
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
    gateway: Antenna,
    worn: Arc<Mutex<Vec<Worn>>>,
    _running: JoinSet<()>,
}

impl Site {
    /// Brings these pendants to life in an ether over [`SiteSettings::field`].
    /// Of more than [`PENDANTS_MAX`] the rest stays at home.
    ///
    /// # Panics
    /// Outside a tokio runtime with time.
    #[must_use]
    pub fn start(
        settings: &SiteSettings,
        ether: &Ether,
        pendants: Vec<(PendantIdentity, Memory, u32)>,
    ) -> Self {
        let mut chance = Chance(settings.seed);
        let mut running = JoinSet::new();
        let mut walkers = Vec::new();
        let count = pendants.len().min(PENDANTS_MAX);
        let worn = Arc::new(Mutex::new(vec![Worn::default(); count]));
        for (place, (identity, memory, remembered)) in
            pendants.into_iter().take(PENDANTS_MAX).enumerate()
        {
            let walker = Walker::new(settings, chance.next());
            let mut own = Chance(chance.next());
            let pendant = Pendant::power_up(identity, habits(settings), remembered, own.next());
            let wire = wire(settings, ether, &walker.antenna, &mut own);
            walkers.push(walker);
            let mut handles = bench::spawn(wire, vec![(pendant, memory)]);
            let Some(handle) = handles.pop() else { continue };
            let book = Book { worn: Arc::clone(&worn), place };
            for (mean, body) in [
                (settings.heartbeat, Body::Heartbeat { place: 0 }),
                (settings.press, Body::CheckIn { place: 0 }),
            ] {
                let chance = Chance(own.next());
                running.spawn(talk(handle.clone(), book.clone(), mean, body, chance));
            }
        }
        if settings.speed_m_s > 0.0 {
            running.spawn(walk(walkers));
        }
        Self { gateway: Antenna::at(settings.gateway), worn, _running: running }
    }

    /// The gateway's antenna.
    #[must_use]
    pub fn gateway(&self) -> &Antenna {
        &self.gateway
    }

    /// What each pendant did so far, in the order in which they were given.
    #[must_use]
    pub fn worn(&self) -> Vec<Worn> {
        lock(&self.worn).clone()
    }
}

fn lock(worn: &Mutex<Vec<Worn>>) -> MutexGuard<'_, Vec<Worn>> {
    worn.lock().expect("nothing panics while it holds the lock")
}

fn windows(settings: &SiteSettings) -> Windows {
    Windows::fitting(settings.radio.shape().frame(FRAME_BYTES as u8))
}

fn habits(settings: &SiteSettings) -> Habits {
    Habits { windows: windows(settings), attempts_max: settings.attempts_max, ..Habits::default() }
}

fn wire(settings: &SiteSettings, ether: &Ether, antenna: &Antenna, chance: &mut Chance) -> Wire {
    let ppm = CRYSTAL_PPM * (2.0 * chance.fraction() - 1.0);
    let offset_hz = (f64::from(settings.radio.frequency_hz) * ppm / 1e6) as i32;
    let now = Instant::now();
    let listens = windows(settings).end(now) - now;
    Wire::on_antenna(&settings.radio, ether, antenna, offset_hz, listens)
}

/// Where one pendant's deeds are written down.
#[derive(Clone)]
struct Book {
    worn: Arc<Mutex<Vec<Worn>>>,
    place: usize,
}

impl Book {
    fn write(&self, transmissions: u32, answered: bool) {
        let worn = &mut lock(&self.worn)[self.place];
        *worn = worn.and(Worn { said: 1, answered: u32::from(answered), transmissions });
    }
}

/// Says one thing again and again at exponential intervals.
async fn talk(handle: PendantHandle, book: Book, mean: Duration, body: Body, mut chance: Chance) {
    if mean.is_zero() {
        return;
    }
    loop {
        sleep(chance.interval(mean)).await;
        // A pendant that is full of presses does without this one.
        let Ok(seen) = handle.press(body).await else { continue };
        let Ok(seen) = seen.await else { return };
        book.write(seen.attempts, seen.answer.is_some());
    }
}

/// Moves all wearers.
async fn walk(mut walkers: Vec<Walker>) {
    loop {
        sleep(STEP).await;
        walkers.iter_mut().for_each(Walker::step);
    }
}

/// A wearer who goes from one place to the next, and often stays a while.
struct Walker {
    antenna: Antenna,
    area: [Position; 2],
    step_m: f64,
    goal: Position,
    /// Steps that he stays where he is.
    stays: u32,
    chance: Chance,
}

impl Walker {
    fn new(settings: &SiteSettings, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let area = settings.area;
        let antenna = Antenna::at(chance.place(area));
        let goal = chance.place(area);
        let step_m = settings.speed_m_s * STEP.as_secs_f64();
        Self { antenna, area, step_m, goal, stays: 0, chance }
    }

    fn step(&mut self) {
        if self.stays > 0 {
            self.stays -= 1;
            return;
        }
        let here = self.antenna.position();
        let left_m = here.distance_m(self.goal);
        if left_m <= self.step_m {
            self.antenna.move_to(self.goal);
            self.goal = self.chance.place(self.area);
            // Up to half an hour.
            self.stays = (self.chance.next() % 360) as u32;
            return;
        }
        let part = self.step_m / left_m;
        self.antenna.move_to(Position::new(
            here.x_m + (self.goal.x_m - here.x_m) * part,
            here.y_m + (self.goal.y_m - here.y_m) * part,
        ));
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Within (0, 1).
    fn fraction(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Exponentially distributed, cut off.
    fn interval(&mut self, mean: Duration) -> Duration {
        mean.mul_f64((-self.fraction().ln()).min(INTERVAL_MEANS_MAX))
    }

    fn place(&mut self, [a, b]: [Position; 2]) -> Position {
        let x_m = a.x_m + (b.x_m - a.x_m) * self.fraction();
        Position::new(x_m, a.y_m + (b.y_m - a.y_m) * self.fraction())
    }
}
