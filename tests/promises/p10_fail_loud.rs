//! P10: what degrades is told to the centre, counted, and shown.

use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::air::{AirReport, Sign};
use pendant_gateway::engine::notice::Notice;
use pendant_gateway::engine::seam::{DiskFault, Input, LinkId};

#[test]
fn a_link_that_goes_and_comes_is_told_and_its_first_coming_is_not() {
    let pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    for up in [true, false, true] {
        rig.input(Input::Link { link: LinkId(1), up });
        rig.run_ms(100);
    }
    assert_eq!((rig.count("link_down"), rig.count("link_up")), (1, 1));
    let down = rig.seen.iter().find(|s| s.kind() == "link_down").expect("told");
    assert_eq!(down.json["data"]["detail"]["link"], "rx1");
}

#[test]
fn a_port_that_was_never_there_is_told() {
    let pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.input(Input::Link { link: LinkId(0), up: false });
    rig.run_ms(100);
    assert_eq!(rig.count("link_down"), 1);
}

#[test]
fn a_jammed_channel_is_told_with_its_sign_and_so_is_its_end() {
    let pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let second = |rig: &mut Rig, noise_dbm| {
        let report = AirReport { noise_dbm: Some(noise_dbm), failures: 0, frames: 0 };
        rig.input(Input::Air { link: LinkId(1), report });
        rig.run_ms(1_000);
    };
    for _ in 0..100 {
        second(&mut rig, -116);
    }
    assert_eq!(rig.count("jamming_suspected"), 0);
    for _ in 0..30 {
        second(&mut rig, -88);
    }
    assert_eq!((rig.count("jamming_suspected"), rig.count("jamming_over")), (1, 0));
    let told = rig.seen.iter().find(|seen| seen.kind() == "jamming_suspected").expect("told");
    let expected = serde_json::json!({
        "air": { "link": "rx1", "sign": "noise", "noise_dbm": -88, "usual_dbm": -116 }
    });
    assert_eq!((told.lane(), &told.json["data"]["detail"]), ("trouble", &expected));
    assert!(rig.gateway.as_ref().expect("running").suspects_jamming(LinkId(1)));
    for _ in 0..90 {
        second(&mut rig, -116);
    }
    assert_eq!(rig.count("jamming_over"), 1);
    let sign = Some(Sign::Noise);
    for sign in [sign, None] {
        assert!(rig.notices.contains(&Notice::Jamming { link: LinkId(1), sign }));
    }
}

#[test]
fn a_failed_journal_shows_in_the_status_until_it_works() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.disk.fault = Some(DiskFault::ReadOnly);
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(100);
    assert!(!rig.gateway.as_ref().expect("running").status().journal_works);
    assert!(rig.notices.contains(&Notice::JournalFailed { fault: DiskFault::ReadOnly }));
    rig.disk.fault = None;
    rig.run_ms(60_000);
    assert!(rig.gateway.as_ref().expect("running").status().journal_works);
}

#[test]
fn a_journal_that_fails_for_long_holds_bounded_work_and_recovers() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.disk.fault = Some(DiskFault::Io);
    rig.broker_away();
    for _ in 0..3_000 {
        rig.frame(0, &pendant.say(PANIC));
        rig.run_ms(2);
    }
    assert!(rig.notices.contains(&Notice::JournalOverflow));
    assert!(rig.downlinks.is_empty(), "nothing is acknowledged on the word of a failed journal");
    rig.disk.fault = None;
    rig.run_ms(60_000);
    rig.broker_back();
    rig.run_ms(60_000);
    // 1024 frames waited for the disk and 256 events in memory; the rest was told lost.
    assert!(rig.count("panic") >= 1_000, "{}", rig.count("panic"));
    rig.downlinks.clear();
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(1_500);
    assert_eq!(rig.downlinks.len(), 1);
}

#[test]
fn a_disk_that_is_full_from_the_first_start_is_told_and_mends_without_a_restart() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.disk.files_max = Some(0);
    rig.start();
    rig.run_ms(500);
    assert_eq!(rig.count("gateway_started"), 1);
    assert_eq!(rig.count("journal_failed"), 1);
    // The centre's receipt is custody while the journal has none.
    assert_eq!(rig.exchange(&mut pendant, PANIC), Some(pendant_protocol::Outcome::Noted));
    rig.brokers[0].centre_there = false;
    rig.downlinks.clear();
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(3_000);
    assert!(rig.downlinks.is_empty());
    rig.disk.files_max = None;
    rig.run_ms(30_000);
    assert_eq!(rig.exchange(&mut pendant, PANIC), Some(pendant_protocol::Outcome::Noted));
    assert_eq!(rig.count("journal_restored"), 1);
    assert!(rig.gateway.as_ref().expect("running").status().journal_works);
}

#[test]
fn a_disk_that_gives_no_more_room_is_told_before_anything_is_given_up() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.run_ms(1_000);
    rig.disk.files_max = Some(rig.disk.files.len());
    rig.broker_away();
    for _ in 0..7_000 {
        rig.frame(0, &pendant.say(HEARTBEAT));
        rig.run_ms(1);
    }
    rig.disk.files_max = None;
    rig.run_ms(60_000);
    rig.broker_back();
    rig.run_ms(60_000);
    assert_eq!((rig.count("store_tight"), rig.count("store_roomy")), (1, 1));
}
