//! Several receivers on one gateway, and several gateways on one site: who answers
//! a pendant, and when.

use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::notice::Notice;
use pendant_gateway::engine::seam::{Input, LinkId};
use pendant_gateway::engine::settings::Chance;

/// Milliseconds from a frame's end to the first symbol of its answer.
fn windows(rig: &Rig, ended_us: u64) -> Vec<u64> {
    rig.downlinks.iter().map(|downlink| (downlink.at.us() - ended_us) / 1000).collect()
}

#[test]
fn the_receiver_that_heard_best_answers() {
    for (weak, strong) in [(0, 1), (1, 0)] {
        let mut pendant = Pendant::new(1);
        let mut rig = Rig::new(&[&pendant]);
        let frame = pendant.say(PANIC);
        rig.frame_heard(weak, &frame, -15);
        // It comes later, and so does its time: each receiver reckons by its own clock.
        rig.run_ms(300);
        let ended_us = rig.now_us;
        rig.frame_heard(strong, &frame, 5);
        rig.run_ms(3_000);
        assert_eq!(rig.count("panic"), 1);
        assert_eq!(windows(&rig, ended_us), [1_000]);
        assert_eq!(rig.downlinks[0].link, LinkId(strong));
        assert_eq!(rig.downlinks[0].or.map(|or| (or.at.us() - ended_us) / 1000), Some(2_000));
        let beside = |notice: &&Notice| matches!(notice, Notice::HeardBeside { .. });
        assert_eq!(rig.notices.iter().filter(beside).count(), 1);
    }
}

#[test]
fn a_receiver_that_went_down_leaves_the_answer_to_another() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let frame = pendant.say(PANIC);
    rig.frame_heard(0, &frame, 5);
    rig.frame_heard(1, &frame, -15);
    rig.run_ms(500);
    rig.input(Input::Link { link: LinkId(0), up: false });
    rig.run_ms(3_000);
    assert_eq!(rig.downlinks.len(), 1);
    assert_eq!(rig.downlinks[0].link, LinkId(1));
}

#[test]
fn one_that_only_listens_may_hear_first_and_never_answers() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.settings.links[0].acknowledges = false;
    rig.start();
    rig.run_ms(200);
    let frame = pendant.say(PANIC);
    rig.frame_heard(0, &frame, 5);
    rig.run_ms(50);
    rig.frame_heard(1, &frame, -15);
    rig.run_ms(3_000);
    assert_eq!(rig.downlinks.len(), 1);
    assert_eq!(rig.downlinks[0].link, LinkId(1));
    let alone = pendant.say(PANIC);
    rig.frame_heard(0, &alone, 5);
    rig.run_ms(3_000);
    assert_eq!(rig.count("panic"), 2);
    assert_eq!(rig.downlinks.len(), 1, "a receiver that only listens answered");
}

/// Whoever hears a repetition best answers it, with the same bytes.
#[test]
fn a_repetition_is_answered_by_who_hears_it_best() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let frame = pendant.say(PANIC);
    for best in [0, 1, 0] {
        rig.frame_heard(0, &frame, if best == 0 { 5 } else { -15 });
        rig.frame_heard(1, &frame, if best == 1 { 5 } else { -15 });
        rig.run_ms(3_500);
    }
    let links: Vec<u8> = rig.downlinks.iter().map(|downlink| downlink.link.0).collect();
    assert_eq!(links, [0, 1, 0]);
    assert!(rig.downlinks.iter().all(|downlink| downlink.frame == rig.downlinks[0].frame));
    assert_eq!(rig.count("panic"), 1);
}

#[test]
fn a_primary_and_a_secondary_never_answer_in_one_window() {
    for (chance, window_ms) in [(Chance::First, 1_000), (Chance::Second, 2_000)] {
        let mut pendant = Pendant::new(1);
        let mut rig = Rig::off(&[&pendant]);
        rig.settings.chance = chance;
        rig.start();
        rig.run_ms(200);
        let ended_us = rig.now_us;
        rig.frame(0, &pendant.say(PANIC));
        rig.run_ms(4_000);
        assert_eq!(windows(&rig, ended_us), [window_ms]);
        assert_eq!(rig.downlinks[0].or, None);
        // Even if the disk makes it late.
        rig.disk.commit_us = 1_200_000;
        let ended_us = rig.now_us;
        rig.downlinks.clear();
        rig.frame(0, &pendant.say(PANIC));
        rig.run_ms(6_000);
        let expected: &[u64] = if chance == Chance::First { &[] } else { &[2_000] };
        assert_eq!(windows(&rig, ended_us), expected, "{chance:?}");
    }
}
