//! The pure engine on one core, on a big site: every pendant is heard, in no
//! order, and a tenth of them has a session open.

use crate::Outcome;
use crate::pendant::{HEARTBEAT, Pendant, start};
use crate::stats::{median, print, print_noise};
use crate::world::{Disk, Memory, World, link, settings};
use pendant_gateway::engine::journal::JournalKey;
use pendant_gateway::engine::keyring::Keyring;
use pendant_gateway::engine::settings::Settings;
use pendant_protocol::{Body, FrameBytes, Outcome as Shown};

const PENDANTS: usize = 10_000;
/// One pendant in so many has a session.
const SESSION_EVERY: usize = 10;
const FRAMES: usize = 100_000;
const ROUNDS: usize = 5;
/// Longer than any round lasts.
const SESSION_MIN: u16 = 240;
/// Prime to any number of pendants here: neighbours are not heard one after the other.
const STRIDE: usize = 7_919;

/// With a broker that takes everything.
pub(crate) fn frames() -> Outcome {
    rates("engine.frames_per_s", true)
}

/// Without one: everything stays in the journal.
pub(crate) fn broker_down() -> Outcome {
    rates("engine.broker_down_frames_per_s", false)
}

pub(crate) fn bytes() -> Outcome {
    print("engine.bytes_per_pendant", Site::new(PENDANTS).bytes_each()?, "B");
    Ok(())
}

fn rates(name: &str, broker: bool) -> Outcome {
    let site = Site::new(PENDANTS);
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push(1e6 / site.frame_us(broker, FRAMES, 1)?);
    }
    print_noise(name, &rates, "1/s");
    print(name, median(&rates), "1/s");
    Ok(())
}

pub(crate) struct Site {
    pendants: Vec<Pendant>,
    keyring: Keyring,
}

impl Site {
    pub(crate) fn new(pendants: usize) -> Self {
        let pendants: Vec<Pendant> = (1..).take(pendants).map(Pendant::new).collect();
        let mut keyring = Keyring::new();
        for pendant in &pendants {
            keyring.insert(pendant.enrolment());
        }
        Self { pendants, keyring }
    }

    /// A gateway whose sessions are open, and the pendants as they then are.
    fn busy(&self, broker: bool, links: u8) -> Outcome<(World<Memory>, Vec<Pendant>)> {
        let key = JournalKey::from_bytes([7; 32]);
        let links = (0..links).map(link).collect::<Outcome<_>>()?;
        let settings = Settings { links, ..settings()? };
        let mut world = World::with(Memory::default(), &self.keyring, key, broker, settings)?;
        let mut pendants = self.pendants.clone();
        for pendant in pendants.iter_mut().step_by(SESSION_EVERY) {
            exchange(&mut world, pendant, HEARTBEAT)?;
            let shown = exchange(&mut world, pendant, start(SESSION_MIN))?;
            if shown != Shown::SessionStarted {
                return Err(format!("a session was answered by {shown:?}").into());
            }
        }
        Ok((world, pendants))
    }

    /// What one of so many frames costs, each heard by so many links, microseconds.
    pub(crate) fn frame_us(&self, broker: bool, frames: usize, links: u8) -> Outcome<f64> {
        let (mut world, mut pendants) = self.busy(broker, links)?;
        let taken_s = say(&mut world, &frames_of(&mut pendants, frames), links)?;
        // Releases of what the broker took are journalled in batches.
        let kept = world.backlog() as usize;
        if broker == (kept >= frames) {
            return Err(format!("{kept} events are kept of {frames}").into());
        }
        Ok(taken_s * 1e6 / frames as f64)
    }

    /// What a frame costs behind so many events that wait, microseconds.
    pub(crate) fn frame_behind_us(&self, events: usize, frames: usize) -> Outcome<f64> {
        let (mut world, mut pendants) = self.busy(false, 1)?;
        for _ in 0..events.div_ceil(FRAMES) {
            let some = frames_of(&mut pendants, events.min(FRAMES));
            say(&mut world, &some, 1)?;
        }
        let waiting = world.backlog() as usize;
        if waiting < events {
            return Err(format!("{waiting} events wait of {events}").into());
        }
        Ok(say(&mut world, &frames_of(&mut pendants, frames), 1)? * 1e6 / frames as f64)
    }

    /// What the engine has on the heap for each pendant, once all have spoken.
    fn bytes_each(&self) -> Outcome<f64> {
        let (mut world, mut pendants) = self.busy(true, 1)?;
        for pendant in &mut pendants {
            world.frame(&pendant.say(HEARTBEAT))?;
        }
        let engine = world.into_engine();
        let before = crate::HEAP.allocated();
        drop(engine);
        Ok((before - crate::HEAP.allocated()) as f64 / PENDANTS as f64)
    }
}

/// So many heartbeats, of all in turn.
fn frames_of(pendants: &mut [Pendant], frames: usize) -> Vec<FrameBytes> {
    let count = pendants.len();
    (0..frames).map(|turn| pendants[turn * STRIDE % count].say(HEARTBEAT)).collect()
}

/// Seconds that the frames, and all that follows from them, take.
fn say<D: Disk>(world: &mut World<D>, frames: &[FrameBytes], links: u8) -> Outcome<f64> {
    let begun = on_cpu_s()?;
    for frame in frames {
        world.frame_heard_by(links, frame)?;
    }
    Ok(on_cpu_s()? - begun)
}

fn exchange<D: Disk>(world: &mut World<D>, pendant: &mut Pendant, body: Body) -> Outcome<Shown> {
    world.frame(&pendant.say(body))?;
    // With several links an answer is held until shortly before its time.
    world.wait_ms(1_000)?;
    let frame = world.answer.take().ok_or("no answer")?;
    let shown = pendant.hear(&frame, pendant.counter).ok_or("an answer that does not open")?;
    Ok(shown.outcome)
}

/// Seconds that this thread has run: what others take of the core does not count.
pub(crate) fn on_cpu_s() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = text.split_whitespace().next().ok_or("/proc/thread-self/schedstat is empty")?;
    Ok(ns.parse::<f64>()? / 1e9)
}
