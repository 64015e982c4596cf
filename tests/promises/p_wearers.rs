//! A pendant is worn by one person after the other: each event names who wore
//! it at that moment, and only that person's PINs count.

use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::keyring::{Enrolment, Keyring, Secrets};
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::pin::PinVerifier;
use pendant_gateway::engine::seam::Input;
use pendant_protocol::Outcome;

const NEXT_SAFE: &str = "6174";
const NEXT_DURESS: &str = "3908";

/// As `pendants bind` leaves it: the same enrolment with another wearer and PINs.
fn handed_over(pendant: &Pendant) -> Enrolment {
    Enrolment {
        wearer: Name::new("guard-2").expect("a valid name"),
        secrets: Secrets::Native {
            key: pendant.key.clone(),
            pins: Some(PinVerifier::new([3; 32], digits(NEXT_SAFE), digits(NEXT_DURESS))),
        },
        ..pendant.enrolment()
    }
}

fn hand_over(rig: &mut Rig, pendant: &Pendant) {
    rig.keyring.insert(handed_over(pendant));
    let keyring: Keyring = rig.keyring.clone();
    rig.input(Input::Keyring(keyring));
}

/// Kind and wearer of each urgent event, in the order of their numbers.
fn told(rig: &Rig) -> Vec<(&str, &str)> {
    let mut urgent: Vec<&Seen> = rig.seen.iter().filter(|seen| seen.lane() == "urgent").collect();
    urgent.sort_by_key(|seen| seen.number());
    urgent
        .iter()
        .map(|seen| (seen.kind(), seen.json["data"]["wearer"].as_str().unwrap_or_default()))
        .collect()
}

#[test]
fn an_event_names_who_wore_the_pendant_at_that_moment_also_when_it_is_told_later() {
    let (mut pendant, mut other) = (Pendant::new(1), Pendant::new(2));
    let mut rig = Rig::new(&[&pendant, &other]);
    rig.exchange(&mut pendant, PANIC);
    rig.broker_away();
    rig.exchange(&mut pendant, PANIC);
    hand_over(&mut rig, &pendant);
    assert_eq!(rig.gateway.as_ref().expect("running").status().pendants, 2);
    rig.exchange(&mut pendant, PANIC);
    rig.exchange(&mut other, PANIC);
    rig.broker_back();
    rig.run_ms(5_000);
    assert_eq!(
        told(&rig),
        [("panic", "nurse-7"), ("panic", "nurse-7"), ("panic", "guard-2"), ("panic", "nurse-7")]
    );
    let ids: std::collections::BTreeSet<&str> = rig
        .seen
        .iter()
        .filter(|seen| seen.kind() == "panic")
        .map(|seen| seen.json["data"]["enrolment"].as_str().expect("said"))
        .collect();
    assert_eq!(ids.len(), 2, "the enrolment stays the same");
}

#[test]
fn a_press_that_is_repeated_after_the_hand_over_remains_the_former_wearer_s() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let frame = pendant.say(PANIC);
    rig.frame(0, &frame);
    rig.run_ms(1_500);
    hand_over(&mut rig, &pendant);
    rig.frame(0, &frame);
    rig.run_ms(1_500);
    assert_eq!(told(&rig), [("panic", "nurse-7")]);
}

#[test]
fn the_session_goes_on_and_only_the_new_wearer_s_pins_count() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.exchange(&mut pendant, start(30)), Some(Outcome::SessionStarted));
    hand_over(&mut rig, &pendant);
    for former in [SAFE, DURESS] {
        assert_eq!(rig.exchange(&mut pendant, pin(former)), Some(Outcome::WrongPin));
    }
    assert_eq!(rig.exchange(&mut pendant, pin(NEXT_SAFE)), Some(Outcome::Ended));
    rig.exchange(&mut pendant, start(30));
    assert_eq!(rig.exchange(&mut pendant, pin(NEXT_DURESS)), Some(Outcome::Ended));
    rig.restart();
    rig.run_ms(200);
    rig.exchange(&mut pendant, PANIC);
    let (before, after) = (told(&rig)[0], told(&rig));
    assert_eq!(before, ("session_started", "nurse-7"));
    for kind in ["wrong_pin", "session_ended", "duress", "panic"] {
        assert!(
            after.contains(&(kind, "guard-2")) && !after.contains(&(kind, "nurse-7")),
            "{kind}"
        );
    }
}

/// As `pendants import` leaves a pendant until its wearer has typed PINs.
#[test]
fn without_pins_a_pendant_calls_for_help_and_no_pin_ends_anything() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[]);
    let secrets = Secrets::Native { key: pendant.key.clone(), pins: None };
    rig.keyring.insert(Enrolment { secrets, ..pendant.enrolment() });
    rig.input(Input::Keyring(rig.keyring.clone()));
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.exchange(&mut pendant, start(30)), Some(Outcome::SessionStarted));
    for any in [SAFE, DURESS, "0000"] {
        assert_eq!(rig.exchange(&mut pendant, pin(any)), Some(Outcome::WrongPin), "{any}");
    }
    rig.exchange(&mut pendant, PANIC);
    assert_eq!((rig.count("panic"), rig.count("session_ended"), rig.count("duress")), (1, 0, 0));
    hand_over(&mut rig, &pendant);
    assert_eq!(rig.exchange(&mut pendant, pin(NEXT_SAFE)), Some(Outcome::Ended));
}
