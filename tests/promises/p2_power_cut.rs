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
}

fn life() -> impl Strategy<Value = Life> {
    (
        prop::collection::vec((0..3usize, 0..40u64), 1..60),
        100..400_000u64,
        any::<u64>(),
        any::<bool>(),
    )
        .prop_map(|(frames, commit_us, reached, connected)| Life {
            frames,
            commit_us,
            reached,
            connected,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_survives_any_power_cut(lives in prop::collection::vec(life(), 1..5)) {
        let mut pendants = [Pendant::new(1), Pendant::new(2), Pendant::new(3)];
        let mut rig = Rig::off(&pendants.each_ref());
        let mut acknowledged = BTreeSet::new();
        for life in lives {
            rig.broker_there = life.connected;
            rig.disk.commit_us = 200;
            rig.start();
            rig.run_ms(300);
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
        rig.broker_there = true;
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
