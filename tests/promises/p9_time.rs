//! P9: every timestamp says how good it is; no clock refuses an alarm.

use crate::pendant::*;
use crate::rig::*;

#[test]
fn an_unset_clock_is_said_so_and_refuses_nothing() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.wall_set = false;
    rig.start();
    rig.run_ms(500);
    rig.exchange(&mut pendant, PANIC);
    let panic = rig.seen.iter().find(|s| s.kind() == "panic").expect("told");
    assert_eq!(panic.json["data"]["clock"]["source"], "unset");
    assert!(panic.json.get("time").is_none());
}

#[test]
fn an_event_told_after_the_clock_was_set_bears_the_reckoned_time() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.wall_set = false;
    rig.brokers[0].there = false;
    rig.start();
    rig.run_ms(5_000);
    rig.exchange(&mut pendant, PANIC);
    rig.run_ms(3_600_000);
    rig.wall_set = true;
    rig.broker_back();
    rig.run_ms(5_000);
    let panic = rig.seen.iter().find(|s| s.kind() == "panic").expect("told");
    assert_eq!(panic.json["time"], "2026-01-01T00:00:05.000Z");
    assert_eq!(panic.json["data"]["clock"]["source"], "ntp");
    assert!(panic.json["data"]["delay_ms"].as_u64().expect("a delay") > 3_600_000);
    assert_eq!(panic.json["data"]["replayed"], true);
}
