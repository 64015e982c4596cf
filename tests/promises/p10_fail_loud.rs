//! P10: what degrades is told to the centre, counted, and shown.

use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::air::{AirReport, Sign};
use pendant_gateway::engine::lamp::Light;
use pendant_gateway::engine::notice::Notice;
use pendant_gateway::engine::seam::{DiskFault, Input, LinkId, TransmitOutcome};

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

/// A loose plug: up for a moment every five seconds. In an hour that would be 1440 events.
#[test]
fn a_link_that_comes_and_goes_all_the_time_is_told_as_gone_until_it_stays() {
    let pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let flap = |rig: &mut Rig| {
        for (up, ms) in [(true, 100), (false, 4_900)] {
            rig.input(Input::Link { link: LinkId(1), up });
            rig.run_ms(ms);
        }
    };
    (0..720).for_each(|_| flap(&mut rig));
    assert_eq!((rig.count("link_down"), rig.count("link_up")), (2, 1));
    assert_eq!(rig.gateway.as_ref().expect("running").status().links_up, 0);
    rig.input(Input::Link { link: LinkId(1), up: true });
    assert_eq!(rig.gateway.as_ref().expect("running").status().links_up, 1, "it is used at once");
    rig.run_ms(59_000);
    assert_eq!(rig.count("link_up"), 1);
    rig.run_ms(1_100);
    assert_eq!((rig.count("link_down"), rig.count("link_up")), (2, 2));
    // Long after that it is told at once, both ways.
    rig.run_ms(600_000);
    for (up, told) in [(false, (3, 2)), (true, (3, 3))] {
        rig.input(Input::Link { link: LinkId(1), up });
        rig.run_ms(100);
        assert_eq!((rig.count("link_down"), rig.count("link_up")), told);
    }
}

/// A card that loses a file while the gateway is off: the session whose timer goes with it
/// is nobody's any more, and the centre must know.
#[test]
fn an_enrolment_that_cannot_be_read_is_told_once_and_again_after_a_start() {
    let pendants: Vec<Pendant> = (1..=20).map(Pendant::new).collect();
    let mut rig = Rig::new(&pendants.iter().collect::<Vec<_>>());
    rig.keyring.insert_unreadable(pendants[0].id);
    rig.input(Input::Keyring(rig.keyring.clone()));
    rig.run_ms(100);
    assert_eq!(unreadable(&rig), [(1, vec!["000001".to_owned()])]);
    // What was told is not told again; what comes to it is, by itself.
    pendants[1..].iter().for_each(|pendant| rig.keyring.insert_unreadable(pendant.id));
    rig.input(Input::Keyring(rig.keyring.clone()));
    rig.input(Input::Keyring(rig.keyring.clone()));
    rig.run_ms(100);
    let told = unreadable(&rig);
    assert_eq!((told.len(), told[1].0, told[1].1.len()), (2, 19, 12));
    assert_eq!(told[1].1[0], "000002");

    rig.restart();
    rig.run_ms(100);
    let told = unreadable(&rig);
    assert_eq!((told.len(), told[2].0), (3, 20));
    // Whoever is read again can be lost again.
    rig.keyring.insert(pendants[4].enrolment());
    rig.input(Input::Keyring(rig.keyring.clone()));
    rig.keyring.insert_unreadable(pendants[4].id);
    rig.input(Input::Keyring(rig.keyring.clone()));
    rig.run_ms(100);
    assert_eq!(unreadable(&rig)[3..], [(1, vec!["000005".to_owned()])]);
}

/// How many enrolments, and whose, in the order in which it was told first.
fn unreadable(rig: &Rig) -> Vec<(u64, Vec<String>)> {
    let mut ids = std::collections::BTreeSet::new();
    let told = rig.seen.iter().filter(|seen| {
        seen.kind() == "enrolment_unreadable" && ids.insert(seen.json["id"].to_string())
    });
    told.map(|seen| {
        let detail = &seen.json["data"]["detail"]["unreadable"];
        let pendants = detail["pendants"].as_array().expect("a list");
        let name = |pendant: &serde_json::Value| pendant.as_str().expect("a number").to_owned();
        (detail["enrolments"].as_u64().expect("a number"), pendants.iter().map(name).collect())
    })
    .collect()
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
fn a_link_that_may_not_answer_is_told_once_an_hour() {
    let pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let outcomes = [TransmitOutcome::Sent, TransmitOutcome::Failed, TransmitOutcome::NoAirtime];
    for (minutes, link, told) in [(0, 1, 1), (59, 1, 1), (0, 0, 2), (1, 1, 3), (58, 0, 3)] {
        rig.run_ms(minutes * 60_000);
        for outcome in outcomes {
            rig.input(Input::TransmitDone { link: LinkId(link), outcome });
        }
        rig.run_ms(100);
        assert_eq!(rig.count("airtime_spent"), told, "{minutes} minutes later, link {link}");
    }
    let spent = rig.seen.iter().find(|s| s.kind() == "airtime_spent").expect("told");
    assert_eq!((spent.lane(), &spent.json["data"]["detail"]["link"]), ("trouble", &"rx1".into()));
}

/// One report of the radio "rx1", and a second passes.
fn channel_second(rig: &mut Rig, noise_dbm: i16) {
    let report = AirReport { noise_dbm: Some(noise_dbm), failures: 0, frames: 0 };
    rig.input(Input::Air { link: LinkId(1), report });
    rig.run_ms(1_000);
}

#[test]
fn a_jammed_channel_is_told_with_its_sign_and_so_is_its_end() {
    let pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    for link in 0..2 {
        rig.input(Input::Link { link: LinkId(link), up: true });
    }
    (0..100).for_each(|_| channel_second(&mut rig, -116));
    assert_eq!(rig.count("jamming_suspected"), 0);
    (0..30).for_each(|_| channel_second(&mut rig, -88));
    assert_eq!((rig.count("jamming_suspected"), rig.count("jamming_over")), (1, 0));
    let told = rig.seen.iter().find(|seen| seen.kind() == "jamming_suspected").expect("told");
    let air = |noise_dbm| {
        serde_json::json!({
            "air": { "link": "rx1", "sign": "noise", "noise_dbm": noise_dbm, "usual_dbm": -116 }
        })
    };
    assert_eq!((told.lane(), &told.json["data"]["detail"]), ("trouble", &air(-88)));
    let gateway = rig.gateway.as_ref().expect("running");
    assert!(gateway.suspects_jamming(LinkId(1)) && !gateway.suspects_jamming(LinkId(0)));
    assert!(gateway.status().jamming_suspected);
    assert_eq!(gateway.lamps().reception, Light::Blinking);
    (0..90).for_each(|_| channel_second(&mut rig, -116));
    assert_eq!((rig.count("jamming_suspected"), rig.count("jamming_over")), (1, 1));
    let over = rig.seen.iter().find(|seen| seen.kind() == "jamming_over").expect("told");
    assert_eq!(over.json["data"]["detail"], air(-116));
    assert_eq!(rig.gateway.as_ref().expect("running").lamps().reception, Light::On);
    for suspected in [true, false] {
        let link = Some(LinkId(1));
        assert!(rig.notices.contains(&Notice::Jamming { link, sign: Sign::Noise, suspected }));
    }
}

/// No receiver says that anything is wrong. 48 pendants of 600 s make a frame in
/// 12.5 s, however often they were heard of late: 24 are missing after 300 s.
#[test]
fn a_silence_that_all_pendants_share_is_told_long_before_each_is_missed() {
    let mut pendants: Vec<Pendant> = (1..=48).map(Pendant::new).collect();
    let mut rig = Rig::new(&pendants.iter().collect::<Vec<_>>());
    let hear = |rig: &mut Rig, pendant: &mut Pendant| {
        rig.frame(0, &pendant.say(HEARTBEAT));
        rig.run_ms(5_000);
    };
    (0..2).for_each(|_| pendants.iter_mut().for_each(|pendant| hear(&mut rig, pendant)));
    rig.run_ms(290_000);
    assert_eq!(rig.count("jamming_suspected"), 0);
    rig.run_ms(10_000);
    assert_eq!((rig.count("jamming_suspected"), rig.count("supervision_lost")), (1, 0));
    let told = rig.seen.iter().find(|seen| seen.kind() == "jamming_suspected").expect("told");
    let air = serde_json::json!({
        "air": { "link": null, "sign": "loss", "noise_dbm": null, "usual_dbm": null }
    });
    assert_eq!(told.json["data"]["detail"], air);
    assert!(rig.gateway.as_ref().expect("running").status().jamming_suspected);
    pendants[..7].iter_mut().for_each(|pendant| hear(&mut rig, pendant));
    assert_eq!(rig.count("jamming_over"), 0);
    hear(&mut rig, &mut pendants[7]);
    assert_eq!((rig.count("jamming_suspected"), rig.count("jamming_over")), (1, 1));
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

/// A dying card that neither writes nor says so, for a minute.
#[test]
fn a_disk_that_hangs_is_told_and_answers_come_on_the_centre_s_word() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let works = |rig: &Rig| rig.gateway.as_ref().expect("running").status().journal_works;
    rig.disk.commit_us = 60_000_000;
    let frame = pendant.say(PANIC);
    rig.frame(0, &frame);
    rig.run_ms(4_900);
    assert_eq!((rig.count("panic"), rig.count("journal_failed"), works(&rig)), (1, 0, true));
    assert!(rig.downlinks.is_empty(), "it may become durable yet");
    rig.run_ms(200);
    assert_eq!((rig.count("journal_failed"), works(&rig)), (1, false));
    assert!(rig.notices.contains(&Notice::JournalFailed { fault: DiskFault::Hangs }));
    rig.frame(0, &frame);
    rig.run_ms(1_500);
    assert!(rig.answer_to(&mut pendant).is_some(), "the centre has it, and nobody says so");
    // What is under way ends late; what comes after it does not.
    rig.disk.commit_us = 200;
    rig.run_ms(50_000);
    assert_eq!((rig.count("journal_restored"), works(&rig)), (0, false));
    rig.run_ms(10_000);
    assert_eq!((rig.count("journal_restored"), works(&rig)), (1, true));
    assert_eq!(rig.exchange(&mut pendant, PANIC), Some(pendant_protocol::Outcome::Noted));
}

#[test]
fn a_disk_that_hangs_all_the_time_is_told_once_also_if_it_fails_then() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.disk.commit_us = 6_000_000;
    for minute in 0..10 {
        rig.frame(0, &pendant.say(PANIC));
        rig.disk.fault = (minute == 5).then_some(DiskFault::Io);
        rig.run_ms(60_000);
    }
    assert_eq!((rig.count("journal_failed"), rig.count("journal_restored")), (1, 0));
    rig.disk.commit_us = 200;
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(60_000);
    assert_eq!((rig.count("journal_failed"), rig.count("journal_restored")), (1, 1));
    assert_eq!(rig.count("panic"), 11);
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
