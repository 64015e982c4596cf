//! The pure engine on one core, on a big site: every pendant is heard, in no
//! order, and a tenth of them has a session open.

use crate::Outcome;
use crate::pendant::{HEARTBEAT, Pendant, start};
use crate::stats::{median, print, print_noise};
use crate::world::{Disk, Memory, World};
use pendant_gateway::engine::journal::JournalKey;
use pendant_gateway::engine::keyring::Keyring;
use pendant_protocol::{Body, FrameBytes, Outcome as Shown};

const PENDANTS: usize = 10_000;
const SESSIONS: usize = 1_000;
const FRAMES_EACH: usize = 10;
const ROUNDS: usize = 5;
/// Longer than any round lasts.
const SESSION_MIN: u16 = 240;
/// Prime to the number of pendants: neighbours are not heard one after the other.
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
    print("engine.bytes_per_pendant", Site::new().bytes_each()?, "B");
    Ok(())
}

fn rates(name: &str, broker: bool) -> Outcome {
    let site = Site::new();
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push(site.rate(broker)?);
    }
    print_noise(name, &rates, "1/s");
    print(name, median(&rates), "1/s");
    Ok(())
}

struct Site {
    pendants: Vec<Pendant>,
    keyring: Keyring,
}

impl Site {
    fn new() -> Self {
        let pendants: Vec<Pendant> = (1..).take(PENDANTS).map(Pendant::new).collect();
        let mut keyring = Keyring::new();
        for pendant in &pendants {
            keyring.insert(pendant.enrolment());
        }
        Self { pendants, keyring }
    }

    /// A gateway whose sessions are open, and the pendants as they then are.
    fn busy<D: Disk>(&self, disk: D, broker: bool) -> Outcome<(World<D>, Vec<Pendant>)> {
        let key = JournalKey::from_bytes([7; 32]);
        let mut world = World::new(disk, &self.keyring, key, broker)?;
        let mut pendants = self.pendants.clone();
        for pendant in pendants.iter_mut().step_by(PENDANTS / SESSIONS) {
            exchange(&mut world, pendant, HEARTBEAT)?;
            let shown = exchange(&mut world, pendant, start(SESSION_MIN))?;
            if shown != Shown::SessionStarted {
                return Err(format!("a session was answered by {shown:?}").into());
            }
        }
        Ok((world, pendants))
    }

    fn rate(&self, broker: bool) -> Outcome<f64> {
        let (mut world, mut pendants) = self.busy(Memory::default(), broker)?;
        let frames = frames_of(&mut pendants, FRAMES_EACH);
        let begun = on_cpu_s()?;
        for frame in &frames {
            world.frame(frame)?;
        }
        let rate = frames.len() as f64 / (on_cpu_s()? - begun);
        // Releases of what the broker took are journalled in batches.
        let kept = world.backlog() as usize;
        if broker == (kept >= frames.len()) {
            return Err(format!("{kept} events are kept of {}", frames.len()).into());
        }
        Ok(rate)
    }

    /// What the engine has on the heap for each pendant, once all have spoken.
    fn bytes_each(&self) -> Outcome<f64> {
        let (mut world, mut pendants) = self.busy(Memory::default(), true)?;
        for pendant in &mut pendants {
            world.frame(&pendant.say(HEARTBEAT))?;
        }
        let engine = world.into_engine();
        let before = crate::HEAP.allocated();
        drop(engine);
        Ok((before - crate::HEAP.allocated()) as f64 / PENDANTS as f64)
    }
}

/// Heartbeats of all, in turn.
fn frames_of(pendants: &mut [Pendant], each: usize) -> Vec<FrameBytes> {
    let turns = (0..PENDANTS * each).map(|turn| turn * STRIDE % PENDANTS);
    turns.map(|who| pendants[who].say(HEARTBEAT)).collect()
}

fn exchange<D: Disk>(world: &mut World<D>, pendant: &mut Pendant, body: Body) -> Outcome<Shown> {
    world.frame(&pendant.say(body))?;
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
