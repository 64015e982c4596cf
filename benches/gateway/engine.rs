//! The pure engine on one core.

use crate::Outcome;
use crate::pendant::{HEARTBEAT, Pendant};
use crate::stats::{median, print, print_noise};
use crate::world::{Memory, World};
use pendant_gateway::engine::journal::JournalKey;
use pendant_gateway::engine::keyring::Keyring;
use pendant_protocol::FrameBytes;

const PENDANTS: u32 = 1_000;
const FRAMES_EACH: usize = 100;
const ROUNDS: usize = 5;

pub(crate) fn frames() -> Outcome {
    let mut pendants: Vec<Pendant> = (1..=PENDANTS).map(Pendant::new).collect();
    let mut keyring = Keyring::new();
    for pendant in &pendants {
        keyring.insert(pendant.enrolment());
    }
    let mut frames = Vec::new();
    for _ in 0..FRAMES_EACH {
        frames.extend(pendants.iter_mut().map(|pendant| pendant.say(HEARTBEAT)));
    }
    for (name, broker) in
        [("engine.frames_per_s", true), ("engine.broker_down_frames_per_s", false)]
    {
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            rates.push(rate(&keyring, &frames, broker)?);
        }
        print_noise(name, &rates, "1/s");
        print(name, median(&rates), "1/s");
    }
    Ok(())
}

fn rate(keyring: &Keyring, frames: &[FrameBytes], broker: bool) -> Outcome<f64> {
    let mut world =
        World::new(Memory::default(), keyring, JournalKey::from_bytes([7; 32]), broker)?;
    let begun = on_cpu_s()?;
    for frame in frames {
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

/// Seconds that this thread has run: what others take of the core does not count.
fn on_cpu_s() -> Outcome<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = text.split_whitespace().next().ok_or("/proc/thread-self/schedstat is empty")?;
    Ok(ns.parse::<f64>()? / 1e9)
}
