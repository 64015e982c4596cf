//! P7: a fresh alarm overtakes any backlog; routine never displaces urgent.

use crate::pendant::*;
use crate::rig::*;

#[test]
fn a_fresh_alarm_overtakes_the_backlog() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.broker_away();
    for _ in 0..5_000 {
        rig.frame(0, &pendant.say(HEARTBEAT));
        rig.run_ms(1);
    }
    rig.run_ms(3_000);
    rig.broker_back();
    rig.run_ms(10);
    let before = rig.seen.len();
    rig.frame(0, &pendant.say(PANIC));
    let pressed_us = rig.now_us;
    rig.run_ms(20);
    let panic = rig.seen.iter().find(|s| s.kind() == "panic").expect("told while draining");
    assert!(panic.at_us - pressed_us < 1_000, "told {} us later", panic.at_us - pressed_us);
    assert!(before < 4_000, "the backlog was still long");
}

#[test]
fn the_backlog_comes_urgent_first_then_trouble_then_routine() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.broker_away();
    rig.run_ms(1_000);
    for n in 0..600 {
        let body = if n % 100 == 99 { PANIC } else { HEARTBEAT };
        rig.frame(0, &pendant.say(body));
        rig.run_ms(2);
    }
    rig.run_ms(3_000);
    let before = rig.seen.len();
    rig.broker_back();
    rig.run_ms(10_000);
    let drained: Vec<&str> = rig.seen[before..].iter().map(Seen::lane).collect();
    assert!(drained.iter().filter(|lane| **lane == "urgent").count() == 6);
    assert!(drained.is_sorted_by_key(|lane| match *lane {
        "urgent" => 0,
        "trouble" => 1,
        _ => 2,
    }));
}

#[test]
fn routine_is_shed_for_room_told_by_ranges_and_urgent_never() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.settings.journal.files_max = 8;
    rig.start();
    rig.run_ms(500);
    rig.broker_away();
    let mut panics = 0;
    // A million in the long mode.
    let frames = if std::env::var_os("LONG").is_some() { 1_000_000 } else { 30_000 };
    for n in 0..frames {
        let is_panic = n % 500 == 0 && panics < 60;
        panics += usize::from(is_panic);
        rig.frame(0, &pendant.say(if is_panic { PANIC } else { HEARTBEAT }));
        rig.run_ms(1);
        if n % 1_000 == 0 {
            rig.site.clear();
            rig.downlinks.clear();
            rig.notices.clear();
        }
    }
    rig.run_ms(5_000);
    assert!(rig.disk.files.len() <= 8);
    rig.restart();
    rig.broker_back();
    rig.run_ms(120_000);
    assert_eq!(rig.count("panic"), panics, "no urgent event was given up");
    assert!(rig.count("events_shed") > 0);
    assert_eq!(rig.backlog(), 0);

    // What is missing is exactly what was declared: ranges and their counts.
    let (mut void, mut of_pendant) = (0, 0);
    for shed in rig.seen.iter().filter(|s| s.kind() == "events_shed") {
        let detail = &shed.json["data"]["detail"];
        if detail["void"]["room"] == "routine" {
            void += detail["void"]["count"].as_u64().expect("a count");
        }
        of_pendant += detail["given_up"]["000001"].as_u64().unwrap_or(0);
    }
    assert_eq!(of_pendant, void, "it is told whose events they were");
    let heartbeats: std::collections::BTreeSet<u64> =
        rig.seen.iter().filter(|s| s.kind() == "heartbeat").map(Seen::number).collect();
    assert_eq!(heartbeats.len() as u64 + void, frames - panics as u64);
}

#[test]
fn a_full_disk_still_takes_urgent_events() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.start();
    rig.run_ms(500);
    rig.disk.files_max = Some(rig.disk.files.len());
    rig.broker_away();
    for n in 0..20_000 {
        let body = if n % 400 == 0 { PANIC } else { HEARTBEAT };
        rig.frame(0, &pendant.say(body));
        rig.run_ms(1);
    }
    rig.run_ms(20_000);
    rig.downlinks.clear();
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(1_500);
    assert_eq!(rig.downlinks.len(), 1, "an urgent event finds room and is acknowledged");
    rig.broker_back();
    rig.run_ms(120_000);
    assert_eq!(rig.count("panic"), 51);
}

/// A full journal gives up the same number of events, and reads and writes the same,
/// whether a discreet panic was among them or not (P5).
#[test]
fn what_a_full_journal_reads_and_writes_does_not_tell_a_discreet_panic() {
    let [quiet, pressed] = [HEARTBEAT, DISCREET].map(|body| {
        let mut pendant = Pendant::new(1);
        let mut rig = Rig::off(&[&pendant]);
        rig.settings.journal.files_max = 5;
        rig.settings.journal.files_reserved = 2;
        rig.start();
        rig.run_ms(500);
        rig.broker_away();
        for n in 0..12_000 {
            let body = if n == 700 { body } else { HEARTBEAT };
            rig.frame(0, &pendant.say(body));
            rig.run_ms(1);
        }
        rig.run_ms(20_000);
        let read = rig.site.iter().any(|trace| matches!(trace, SiteTrace::Read { .. }));
        assert!(read, "the journal was cleaned");
        rig.site
    });
    assert_eq!(quiet.len(), pressed.len());
    let differs = quiet.iter().zip(&pressed).find(|(quiet, pressed)| quiet != pressed);
    assert_eq!(differs, None);
}

/// Short lives on a journal that may not grow: each costs a few frames, and the
/// journal is not used up.
#[test]
fn a_loop_of_starts_and_crashes_does_not_use_the_journal_up() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.settings.journal.files_max = 5;
    rig.settings.journal.files_reserved = 2;
    rig.brokers[0].there = false;
    for life in 0..200u64 {
        rig.start();
        rig.run_ms(1 + life % 7);
        rig.crash();
    }
    rig.start();
    rig.run_ms(1_000);
    rig.downlinks.clear();
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(1_500);
    assert_eq!(rig.downlinks.len(), 1, "answered on the journal's word");
    assert!(rig.disk.files.len() <= 5);
    rig.broker_back();
    rig.run_ms(60_000);
    assert_eq!(rig.count("panic"), 1);
    assert_eq!(rig.backlog(), 0);
    assert_eq!(rig.report.expect("started").damaged, 0);
}
