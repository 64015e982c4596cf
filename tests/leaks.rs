//! The mutation check of P5: deliberate leaks, and that the twins see each.
//! Run with `--features leaks` (`--all-features` has it too).

#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "support/hunt.rs"]
mod hunt;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "support/pendant.rs"]
mod pendant;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "support/rig.rs"]
mod rig;
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared by several test programs")]
#[path = "support/twins.rs"]
mod twins;

use pendant::start;
use pendant_gateway::engine::leak::Leak;
use rig::Rig;
use twins::{Heard, Pair, Plant, Say, Step, compare, hunt};

/// Each leak shows within so many histories. A retransmission of the very frame
/// is the rarest of what they have to contain.
const CAUGHT_WITHIN: u64 = 100;

fn caught(pair: Pair, prepare: &(dyn Fn(&mut Rig) + Sync)) -> Option<u64> {
    hunt(pair, 0..CAUGHT_WITHIN, prepare).map(|(seed, _)| seed + 1)
}

fn assert_all_caught(pair: Pair, leaks: &[Leak]) {
    assert_eq!(caught(pair, &|_| {}), None, "nothing leaks that was not asked to");
    for leak in leaks {
        let set = |rig: &mut Rig| rig.gateway.as_mut().expect("it runs").set_leak(*leak);
        let history = caught(pair, &set);
        println!("{pair:?}, {leak:?}: history {history:?}");
        assert!(history.is_some(), "{pair:?}, {leak:?}: not caught in {CAUGHT_WITHIN} histories");
    }
}

#[test]
fn every_leak_of_a_duress_pin_is_caught() {
    assert_all_caught(Pair::Pins, &Leak::ALL);
}

#[test]
fn every_leak_of_a_discreet_panic_is_caught() {
    assert_all_caught(Pair::Discreet, &Leak::ALL);
}

/// The centre's reactions belong to the compared history.
#[test]
fn a_centre_that_receipts_a_covert_event_sooner_is_caught() {
    let hasty = |rig: &mut Rig| {
        rig.receipt_us = |seen| if seen.json["data"]["covert"] == true { 1_000 } else { 2_000 };
    };
    for pair in [Pair::Pins, Pair::Discreet] {
        assert!(caught(pair, &hasty).is_some(), "{pair:?}");
    }
}

/// The centre tracks and closes what the journal has no room for, or does not know.
#[test]
fn a_frame_more_for_what_the_centre_changed_is_caught() {
    let twin = Step::Say(0, Say::Twin, Heard::By(0));
    let unknown = vec![
        Step::Plant(Plant { full: true, ..Plant::default() }),
        twin.clone(),
        Step::Restart,
        Step::Wait(60_000),
    ];
    let without_room = vec![
        Step::Plant(Plant { small: true, ..Plant::default() }),
        // The centre learns the boot.
        Step::Wait(45_000),
        Step::Say(0, Say::Same(start(30)), Heard::By(0)),
        twin,
        Step::Refusal(Some(0x97)),
        Step::Flood(1, 10_000),
        Step::Wait(30_000),
        Step::Repeat(0, 0),
        Step::Wait(90_000),
        Step::Repeat(0, 0),
        Step::Refusal(None),
    ];
    let leak = |rig: &mut Rig| rig.gateway.as_mut().expect("it runs").set_leak(Leak::Unkept);
    for steps in [unknown, without_room] {
        let tells = |prepare: &dyn Fn(&mut Rig)| {
            compare(Pair::Pins, &steps, prepare).map(|found| found.line)
        };
        assert_eq!(tells(&|_: &mut Rig| {}), None, "{steps:?}");
        let line = tells(&leak);
        assert!(line.is_some(), "{steps:?}");
    }
}
