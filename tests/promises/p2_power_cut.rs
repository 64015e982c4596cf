//! P2 under power cuts: of the commit under way any sectors may reach the medium,
//! in any order. What was acknowledged is there, what was not leaves no damage.

use crate::pendant::*;
use crate::rig::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
struct Life {
    /// A frame of which pendant, after how many milliseconds.
    frames: Vec<(usize, u64)>,
    commit_us: u64,
    /// Which sectors of the last commit reached the medium.
    reached: u64,
    connected: bool,
    /// How long the first commits of the boot take, and how long it may settle.
    begin: (u64, u64),
}

fn life() -> impl Strategy<Value = Life> {
    (
        prop::collection::vec((0..3usize, 0..40u64), 0..60),
        100..400_000u64,
        any::<u64>(),
        any::<bool>(),
        (prop_oneof![Just(200), 200..50_000u64], 0..300u64),
    )
        .prop_map(|(frames, commit_us, reached, connected, begin)| Life {
            begin,
            frames,
            commit_us,
            reached,
            connected,
        })
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn what_was_acknowledged_survives_any_power_cut(lives in prop::collection::vec(life(), 1..7)) {
        let mut pendants = [Pendant::new(1), Pendant::new(2), Pendant::new(3)];
        let mut rig = Rig::off(&pendants.each_ref());
        let mut acknowledged = BTreeSet::new();
        for life in lives {
            rig.brokers[0].there = life.connected;
            rig.disk.commit_us = life.begin.0;
            rig.start();
            rig.run_ms(life.begin.1);
            prop_assert_eq!(rig.report.expect("started").damaged, 0, "a torn tail is no damage");
            rig.disk.commit_us = life.commit_us;
            for (who, wait_ms) in life.frames {
                let frame = pendants[who].say(PANIC);
                rig.frame(0, &frame);
                rig.run_ms(wait_ms);
            }
            // Counters of pendants go on; what was answered by now is owed.
            for transmit in rig.downlinks.drain(..) {
                for pendant in &pendants {
                    for counter in 1..=pendant.counter {
                        if pendant.clone().hear(&transmit.frame, counter).is_some() {
                            acknowledged.insert((u64::from(pendant.id.get()), u64::from(counter)));
                        }
                    }
                }
            }
            let mask = life.reached;
            rig.power_cut(|sector| mask >> (sector % 64) & 1 == 1);
        }
        rig.brokers[0].there = true;
        rig.disk.commit_us = 200;
        rig.start();
        rig.run_ms(120_000);
        let told: BTreeSet<(u64, u64)> = rig
            .seen
            .iter()
            .filter(|seen| seen.kind() == "panic")
            .map(|seen| {
                let pendant = seen.json["data"]["pendant"].as_str().expect("a pendant");
                let counter = seen.json["data"]["counter"].as_u64().expect("a counter");
                (u64::from_str_radix(pendant, 16).expect("hexadecimal"), counter)
            })
            .collect();
        let lost: Vec<_> = acknowledged.difference(&told).collect();
        prop_assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        prop_assert_eq!(rig.backlog(), 0);
    }
}

#[test]
fn the_torn_first_commit_of_a_boot_is_void_for_ever() {
    for reached in 0..8usize {
        let mut pendant = Pendant::new(1);
        let mut rig = Rig::new(&[&pendant]);
        rig.exchange(&mut pendant, PANIC);
        rig.crash();
        // The second boot's first commit is under way when the power goes.
        rig.disk.commit_us = 1_000_000;
        rig.start();
        rig.run_ms(1);
        rig.power_cut(|sector| reached >> sector & 1 == 1);
        rig.disk.commit_us = 200;
        rig.start();
        rig.run_ms(500);
        rig.exchange(&mut pendant, PANIC);
        for _ in 0..3 {
            rig.restart();
            rig.run_ms(30_000);
            assert_eq!(rig.report.expect("started").damaged, 0, "sectors {reached:03b}");
        }
        assert_eq!(rig.count("panic"), 2);
        assert_eq!(rig.count("journal_damage"), 0);
        assert_eq!(rig.backlog(), 0);
    }
}
