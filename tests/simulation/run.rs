//! One seed from its beginning to the verdict, and many of them.

use super::blame::{Blame, Promise, SAME_NONCE};
use super::swarm::{Fault, Swarm};
use super::trace::Trace;
use super::world::World;
use crate::pendant::{HEARTBEAT, PANIC};
use std::fmt;

/// After healing everything is to be done within this time: a refused event is
/// set apart for an hour at most.
const LIVENESS_MS: u64 = 2 * 3_600_000;
/// How often is looked whether it is.
const LOOK_MS: u64 = 20_000;

/// What came of a seed.
pub struct Outcome {
    pub blame: Option<Blame>,
    pub hash: u64,
    pub lines: Vec<String>,
}

/// Lives through a seed.
pub fn live(swarm: &Swarm, trace: Trace) -> Outcome {
    let mut world = World::new(swarm.clone(), trace);
    world.run_until(swarm.safety_ms * 1000);
    if world.judge.is_content() {
        world.heal();
        finish(&mut world);
    }
    let World { judge, trace, .. } = world;
    let hash = trace.hash();
    Outcome { blame: judge.into_blame(), hash, lines: trace.into_lines() }
}

/// The liveness phase: whatever is owed is done, and new presses are heard.
fn finish(world: &mut World) {
    let step = |world: &mut World, ms: u64| world.run_until(world.now_us + ms * 1000);
    // A start that is under way, pauses that are long, links that come back.
    step(world, 120_000);
    for wearer in 0..world.air.wearers.len() {
        world.press_body(wearer, HEARTBEAT);
        world.press_body(wearer, PANIC);
    }
    let end_us = world.now_us + LIVENESS_MS * 1000;
    // The longest session is some minutes, and its grace.
    step(world, 600_000);
    while world.judge.is_content() && world.now_us < end_us && !is_done(world) {
        step(world, LOOK_MS);
    }
    let at_us = world.now_us;
    let unanswered = world.judge.unanswered();
    if !unanswered.is_empty() {
        let why = format!("all is well, and {unanswered:?} are not answered");
        world.judge.blame(at_us, Promise::Alive, why);
    }
    world.judge.conclude(at_us);
    if !is_done(world) {
        let backlog = world.backlog();
        let why = format!("{backlog} events are not delivered although all is well");
        world.judge.blame(at_us, Promise::Alive, why);
    }
}

fn is_done(world: &World) -> bool {
    world.backlog() == 0 && world.judge.owed().is_empty()
}

/// A seed at which something was found, made as simple as is cheap.
pub struct Failure {
    pub seed: u64,
    pub blame: Blame,
    pub simplest: Swarm,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, blame, simplest } = self;
        write!(f, "SEED={seed}: {blame}\n  simplest that shows it: {simplest}")
    }
}

/// What is found wrong, and not by chance: two salts of 16 bits are the same once in 65,535
/// times (docs/protocol.md, 14), and a hundred thousand seeds hold thousands of pairs.
/// What is wrong shows whatever the engine draws.
pub fn blame(swarm: &Swarm) -> Option<Blame> {
    let blame = live(swarm, Trace::default()).blame?;
    if blame.why != SAME_NONCE {
        return Some(blame);
    }
    live(&Swarm { draws: swarm.draws + 1, ..swarm.clone() }, Trace::default()).blame
}

/// Lives through a seed and looks for the least that shows what was found.
pub fn probe(seed: u64) -> Option<Failure> {
    let swarm = Swarm::of(seed);
    let blame = blame(&swarm)?;
    let mut failure = Failure { seed, blame, simplest: swarm };
    for fault in Fault::ALL {
        let simpler = failure.simplest.without(fault);
        if failure.simplest.has(fault) {
            let still = self::blame(&simpler);
            if still.is_some_and(|blame| blame.promise == failure.blame.promise) {
                failure.simplest = simpler;
            }
        }
    }
    Some(failure)
}
