//! P3: one press is one event id for ever.

use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::seam::Input;
use std::collections::BTreeSet;

#[test]
fn retransmissions_make_no_event_and_get_the_same_bytes() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let frame = pendant.say(PANIC);
    for _ in 0..4 {
        rig.frame(0, &frame);
        rig.run_ms(3_000);
    }
    assert_eq!(rig.count("panic"), 1);
    assert_eq!(rig.downlinks.len(), 4);
    let answers: BTreeSet<_> = rig.downlinks.iter().map(|t| &t.frame).collect();
    assert_eq!(answers.len(), 1);
}

#[test]
fn two_receivers_that_hear_one_transmission_give_one_event_and_one_answer() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let frame = pendant.say(PANIC);
    rig.frame(0, &frame);
    rig.run_ms(20);
    rig.frame(1, &frame);
    rig.run_ms(3_000);
    assert_eq!(rig.count("panic"), 1);
    assert_eq!(rig.downlinks.len(), 1);
}

#[test]
fn a_retransmission_after_a_crash_is_answered_with_the_stored_bytes() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let frame = pendant.say(PANIC);
    rig.frame(0, &frame);
    rig.run_ms(3_000);
    rig.restart();
    rig.run_ms(100);
    rig.frame(0, &frame);
    rig.run_ms(3_000);
    assert_eq!(rig.count("panic"), 1);
    assert_eq!(rig.downlinks.len(), 2);
    assert_eq!(rig.downlinks[0].frame, rig.downlinks[1].frame);
}

#[test]
fn a_press_that_was_told_but_not_yet_durable_keeps_its_id_after_a_crash() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.disk.commit_us = 100_000;
    let frame = pendant.say(PANIC);
    rig.frame(0, &frame);
    rig.run_ms(10);
    assert_eq!(rig.count("panic"), 1);
    rig.restart();
    rig.run_ms(500);
    rig.frame(0, &frame);
    rig.run_ms(3_000);
    let ids: BTreeSet<&str> =
        rig.seen.iter().filter(|s| s.kind() == "panic").map(Seen::id).collect();
    assert_eq!(ids.len(), 1);
}

#[test]
fn equal_looking_presses_are_different_events() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    for _ in 0..5 {
        rig.exchange(&mut pendant, PANIC);
    }
    let ids: BTreeSet<&str> = rig.seen.iter().map(Seen::id).collect();
    assert_eq!(ids.len(), rig.seen.len());
    assert_eq!(rig.count("panic"), 5);
}

#[test]
fn two_gateways_give_one_press_one_id() {
    let mut pendant = Pendant::new(1);
    let mut first = Rig::new(&[&pendant]);
    let mut second = Rig::off(&[&pendant]);
    second.settings.gateway = pendant_gateway::engine::name::Name::new("gw2").expect("valid");
    second.settings.slot = pendant_protocol::Slot::new(4).expect("valid");
    second.start();
    second.run_ms(200);
    let frame = pendant.say(DISCREET);
    first.frame(0, &frame);
    second.frame(0, &frame);
    first.run_ms(100);
    second.run_ms(100);
    let id = |rig: &Rig| {
        rig.seen.iter().find(|s| s.kind() == "discreet_panic").map(|s| s.id().to_owned())
    };
    assert!(id(&first).is_some());
    assert_eq!(id(&first), id(&second));
}

#[test]
fn a_new_enrolment_under_the_same_number_never_repeats_an_id() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, PANIC);
    let mut replaced = pendant.clone();
    replaced.key = pendant_protocol::EnrolmentKey::from_bytes([0xC3; 16]);
    replaced.counter = 0;
    let mut enrolment = replaced.enrolment();
    enrolment.id += 1;
    rig.keyring.insert(enrolment);
    let keyring = rig.keyring.clone();
    rig.input(Input::Keyring(keyring));
    rig.exchange(&mut replaced, PANIC);
    let ids: BTreeSet<&str> =
        rig.seen.iter().filter(|s| s.kind() == "panic").map(Seen::id).collect();
    assert_eq!(ids.len(), 2);
}

/// A file of the keyring that was put back, say. Whoever recorded a press of before and
/// plays it again makes no second one of it.
#[test]
fn an_enrolment_that_ends_and_begins_again_as_it_was_tells_no_press_twice() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.broker_away();
    let frame = pendant.say(PANIC);
    rig.frame(0, &frame);
    rig.run_ms(3_000);
    let enrolment = rig.keyring.remove(pendant.id).expect("it was enrolled");
    rig.input(Input::Keyring(rig.keyring.clone()));
    rig.frame(0, &frame);
    rig.run_ms(3_000);
    rig.keyring.insert(enrolment);
    rig.input(Input::Keyring(rig.keyring.clone()));
    rig.frame(0, &frame);
    rig.run_ms(3_000);
    assert_eq!(rig.downlinks.len(), 1, "who is enrolled anew has answers of its own alone");
    rig.broker_back();
    rig.run_ms(3_000);
    assert_eq!(rig.count("panic"), 1);
    rig.exchange(&mut pendant, PANIC);
    assert_eq!(rig.count("panic"), 2);
}
