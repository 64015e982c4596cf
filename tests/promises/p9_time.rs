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

/// What the centre got while the clock was unset is put right by one event.
#[test]
fn stamps_that_were_told_as_unset_can_be_put_right() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.wall_set = false;
    rig.start();
    rig.run_ms(5_000);
    rig.exchange(&mut pendant, PANIC);
    rig.run_ms(3_600_000);
    assert_eq!(rig.count("clock_set"), 0);
    rig.wall_set = true;
    rig.run_ms(120_000);
    let of = |kind: &str| rig.seen.iter().find(|seen| seen.kind() == kind).expect("told");
    let (panic, set) = (of("panic"), of("clock_set"));
    assert_eq!(panic.json["data"]["clock"]["source"], "unset");
    assert_eq!(set.json["data"]["clock"]["source"], "ntp");
    assert_eq!(set.boot(), panic.boot());
    let mono_ms = |seen: &Seen| seen.json["data"]["mono_ms"].as_u64().expect("always there");
    let time = humantime::parse_rfc3339(set.json["time"].as_str().expect("set")).expect("a time");
    let since = std::time::Duration::from_millis(mono_ms(set) - mono_ms(panic));
    let happened = humantime::format_rfc3339_millis(time - since).to_string();
    assert_eq!(happened, "2026-01-01T00:00:05.000Z");
    rig.run_ms(3_600_000);
    assert_eq!(rig.count("clock_set"), 1, "once");
}
