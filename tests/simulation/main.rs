//! The whole engine, the bytes of its journal included, in a world that goes
//! wrong in every way we know of: deterministic, under virtual time, out of a
//! seed.
//!
//! Each seed draws a site and a random subset of faults (`swarm`). While they go
//! on, safety is judged; then everything is healed, and within a bounded time
//! everything that is owed must be done (`verdict`). The judge (`judge`) sees what
//! goes into the world and what comes out of it, and knows nothing of the engine.
//!
//! `SEED=n` lives through one seed and prints what happened, with no more against
//! it than shows what is wrong; `SEEDS=n` asks for another number of seeds than the
//! ordinary one, `SEEDS=n..m` for those from one to below another.
#![allow(unreachable_pub, reason = "the modules of one test program")]

#[allow(dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/dice.rs"]
mod dice;
#[allow(dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/hunt.rs"]
mod hunt;
#[allow(dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/pendant.rs"]
mod pendant;
#[allow(dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/rig.rs"]
mod rig;
#[allow(dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "../support/schema.rs"]
mod schema;

mod air;
mod blame;
mod broker;
mod centre;
mod chance;
mod disk;
mod judge;
mod reader;
mod run;
mod swarm;
mod trace;
mod verdict;
mod world;

use swarm::Swarm;
use trace::Trace;

/// Seeds of the ordinary run.
const ORDINARY: u64 = 2_000;

#[test]
fn every_promise_holds_in_every_seed() {
    if let Ok(seed) = std::env::var("SEED") {
        let seed = seed.parse().expect("a number");
        // The least that shows it is the story that is read with least effort.
        let found = run::probe(seed);
        let swarm = found.as_ref().map_or_else(|| Swarm::of(seed), |it| it.simplest.clone());
        let outcome = run::live(&swarm, Trace::readable());
        println!("{swarm}\n{}", outcome.lines.join("\n"));
        assert!(found.is_none(), "{}", found.expect("just seen"));
        return;
    }
    let found = hunt::hunt(hunt::seeds("SEEDS", ORDINARY), run::probe);
    assert!(found.is_none(), "{}", found.expect("just seen").1);
}

#[test]
fn the_same_seed_twice_is_the_same_world() {
    for seed in 0..20 {
        let [first, again] = [(), ()].map(|()| run::live(&Swarm::of(seed), Trace::default()).hash);
        assert_eq!(first, again, "SEED={seed}");
    }
}

/// The judge bites: every fault that is planted is found.
#[cfg(feature = "mutants")]
#[test]
fn every_mutant_is_found() {
    use pendant_gateway::engine::mutant::{Mutant, plant};
    let found = |mutant: Mutant| {
        hunt::hunt(0..ORDINARY, |seed| {
            plant(Some(mutant));
            // A fault may also show by an assertion of the engine.
            let lived = std::panic::catch_unwind(|| run::blame(&Swarm::of(seed)));
            plant(None);
            lived.map_or(Some("it panics".to_owned()), |blame| Some(blame?.to_string()))
        })
    };
    for mutant in Mutant::ALL {
        let found = found(mutant);
        println!("{mutant:?}: {found:?}");
        assert!(found.is_some(), "{mutant:?} is not found in {ORDINARY} seeds");
    }
}
