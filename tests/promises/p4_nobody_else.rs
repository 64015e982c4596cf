//! P4: what is not authentic and fresh changes nothing; what is old ends nothing.

use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::notice::{Notice, Refusal};
use pendant_protocol::{EnrolmentKey, Outcome};
use proptest::prelude::*;

fn refusals(rig: &Rig, wanted: Refusal) -> usize {
    rig.notices
        .iter()
        .filter(|n| matches!(n, Notice::FrameRefused { why, .. } if *why == wanted))
        .count()
}

#[test]
fn forged_unknown_and_malformed_frames_leave_no_trace_but_a_count() {
    let mut pendant = Pendant::new(1);
    let mut stranger = Pendant::new(2);
    let mut forger = Pendant::new(1);
    forger.key = EnrolmentKey::from_bytes([1; 16]);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.run_ms(30_000);
    let (events, commits, downlinks) = (rig.seen.len(), rig.disk.commits, rig.downlinks.len());
    rig.frame(0, &stranger.say(PANIC));
    forger.counter = 10;
    rig.frame(0, &forger.say(PANIC));
    rig.frame(0, &[]);
    rig.frame(0, &[0x40; 23]);
    rig.frame(0, &[0xFF; 24]);
    rig.frame(0, &vec![0x40; 100_000]);
    let mut altered = pendant.clone().say(PANIC);
    altered[9] ^= 1;
    rig.frame(0, &altered);
    rig.run_ms(25_000);
    assert_eq!(rig.seen.len(), events);
    assert_eq!(rig.disk.commits, commits);
    assert_eq!(rig.downlinks.len(), downlinks);
    assert_eq!(refusals(&rig, Refusal::UnknownPendant), 1);
    assert_eq!(refusals(&rig, Refusal::Forged), 2);
    assert_eq!(refusals(&rig, Refusal::Malformed), 4);
    assert_eq!(rig.exchange(&mut pendant, HEARTBEAT), Some(Outcome::Noted));
}

#[test]
fn old_frames_stay_refused_after_a_restart() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let recorded = pendant.say(PANIC);
    rig.frame(0, &recorded);
    rig.run_ms(1_500);
    for _ in 0..3 {
        rig.exchange(&mut pendant, HEARTBEAT);
    }
    rig.restart();
    rig.run_ms(100);
    rig.frame(0, &recorded);
    rig.run_ms(3_000);
    assert_eq!(rig.count("panic"), 1);
    assert_eq!(refusals(&rig, Refusal::Replayed), 1);
}

#[test]
fn a_frame_jammed_and_released_later_can_alarm_but_not_end() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.exchange(&mut pendant, start(30)), Some(Outcome::SessionStarted));
    let held_safe = pendant.say(pin(SAFE));
    let held_extend = pendant.say(pendant_protocol::Body::SessionExtend { minutes: 60, place: 0 });
    let held_duress = pendant.say(pin(DURESS));
    let held_panic = pendant.say(DISCREET);
    rig.exchange(&mut pendant, HEARTBEAT);
    for frame in [held_safe, held_extend, held_duress, held_panic] {
        rig.frame(0, &frame);
        rig.run_ms(1_500);
    }
    assert_eq!(rig.count("session_ended"), 0);
    assert_eq!(rig.count("session_extended"), 0);
    assert_eq!(rig.count("late_request"), 2);
    assert_eq!(rig.count("duress"), 1, "an old frame may still alarm");
    assert_eq!(rig.count("discreet_panic"), 1);
    assert_eq!(rig.exchange(&mut pendant, pin(SAFE)), Some(Outcome::Ended), "the session ran on");
}

#[test]
fn a_pendant_whose_window_is_unknown_may_only_alarm_until_it_echoes() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    assert_eq!(rig.exchange(&mut pendant, start(30)), Some(Outcome::Refused));
    assert_eq!(rig.count("late_request"), 1);
    assert_eq!(rig.exchange(&mut pendant, start(30)), Some(Outcome::SessionStarted));
}

#[test]
fn counters_far_below_the_window_are_told_once_an_hour() {
    let mut pendant = Pendant::new(1);
    pendant.counter = 1_000;
    let mut reset = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    for _ in 0..10 {
        rig.exchange(&mut reset, PANIC);
    }
    assert_eq!(rig.count("panic"), 0);
    assert_eq!(rig.count("counter_stale"), 1);
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_bytes_change_nothing(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 1..40)) {
        let pendant = Pendant::new(1);
        let mut rig = Rig::new(&[&pendant]);
        rig.run_ms(30_000);
        let (events, commits) = (rig.seen.len(), rig.disk.commits);
        for frame in &frames {
            rig.frame(0, frame);
        }
        rig.run_ms(25_000);
        prop_assert_eq!(rig.seen.len(), events);
        prop_assert_eq!(rig.disk.commits, commits);
        prop_assert!(rig.downlinks.is_empty());
    }

    #[test]
    fn any_receipt_bytes_are_survived(receipts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20)) {
        let pendant = Pendant::new(1);
        let mut rig = Rig::new(&[&pendant]);
        let backlog = rig.backlog();
        for receipt in receipts {
            rig.input(pendant_gateway::engine::seam::Input::Broker(
        pendant_gateway::engine::seam::BrokerId(0),
                pendant_gateway::engine::seam::BrokerInput::Receipt(receipt),
            ));
        }
        prop_assert_eq!(rig.backlog(), backlog);
    }
}

/// Whoever jams frames and releases them later must not keep the newest one from
/// being answered.
#[test]
fn released_frames_do_not_cost_the_newest_its_answer() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    let jammed: Vec<_> = (0..3).map(|_| pendant.say(HEARTBEAT)).collect();
    let newest = pendant.say(PANIC);
    rig.frame(0, &newest);
    rig.run_ms(3_000);
    for frame in &jammed {
        rig.frame(0, frame);
        rig.run_ms(3_000);
    }
    let before = rig.downlinks.len();
    rig.frame(0, &newest);
    rig.run_ms(3_000);
    assert_eq!(rig.downlinks.len(), before + 1, "the repetition is answered");
    assert!(rig.answer_to(&mut pendant).is_some());
}
