//! What the engine keeps in memory for each pendant. A gateway of 512 MiB that
//! also runs other things must carry the biggest site.

#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "support/pendant.rs"]
mod pendant;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "support/rig.rs"]
mod rig;

use cap::Cap;
use pendant::*;
use pendant_protocol::Outcome;
use rig::Rig;
use std::alloc::System;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

const PENDANTS: u32 = 10_000;
const SESSIONS: usize = 1_000;
const BYTES_MAX: usize = 1024;

#[test]
fn a_pendant_takes_at_most_a_kibibyte() {
    let mut pendants: Vec<Pendant> = (1..=PENDANTS).map(Pendant::new).collect();
    let mut rig = Rig::new(&pendants.iter().collect::<Vec<_>>());
    for pendant in pendants.iter_mut().take(SESSIONS) {
        rig.exchange(pendant, HEARTBEAT);
        assert_eq!(rig.exchange(pendant, start(600)), Some(Outcome::SessionStarted));
    }
    for pendant in &mut pendants {
        rig.frame(0, &pendant.say(HEARTBEAT));
        rig.run_ms(20);
    }
    let gateway = rig.gateway.take().expect("it runs");
    assert_eq!(gateway.status().pendants, PENDANTS as usize);
    let before = HEAP.allocated();
    drop(gateway);
    let each = (before - HEAP.allocated()) / PENDANTS as usize;
    println!("{each} bytes a pendant");
    assert!(each > 200, "a pendant's keys alone take so much: {each}");
    assert!(each <= BYTES_MAX, "{each} bytes a pendant");
}
