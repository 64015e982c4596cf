//! P5: histories that differ only in which PIN was entered look the same to
//! everyone on site, the centre's reactions included.

use crate::pendant::*;
use crate::rig::*;
use pendant_protocol::Body;
use proptest::prelude::*;

/// One thing that happens; PINs are placeholders that each twin fills in.
#[derive(Clone, Debug)]
enum Step {
    Say(usize, Body),
    /// The PIN in question: safe in one history, duress in the other.
    Pin(usize),
    Repeat(usize),
    Wait(u64),
    Broker(bool),
    Centre(bool),
    Restart,
    SlowDisk(u64),
}

fn play(steps: &[Step], which: &str) -> (Vec<SiteTrace>, Vec<Vec<u8>>, Rig) {
    let mut pendants = [Pendant::new(1), Pendant::new(2)];
    let mut rig = Rig::new(&[&pendants[0], &pendants[1]]);
    let mut last = vec![Vec::new(); pendants.len()];
    for pendant in &mut pendants {
        rig.exchange(pendant, HEARTBEAT);
    }
    for step in steps {
        match step {
            Step::Say(who, body) => {
                let frame = pendants[*who].say(*body);
                last[*who] = frame.to_vec();
                rig.frame(0, &frame);
                rig.run_ms(2_500);
                rig.answer_to(&mut pendants[*who]);
            }
            Step::Pin(who) => {
                let frame = pendants[*who].say(pin(which));
                last[*who] = frame.to_vec();
                rig.frame(0, &frame);
                rig.run_ms(2_500);
                rig.answer_to(&mut pendants[*who]);
            }
            Step::Repeat(who) => {
                rig.frame(0, &last[*who].clone());
                rig.run_ms(2_500);
            }
            Step::Wait(ms) => rig.run_ms(*ms),
            Step::Broker(true) => rig.broker_back(),
            Step::Broker(false) => rig.broker_away(),
            Step::Centre(there) => rig.centre_there = *there,
            Step::Restart => {
                rig.restart();
                rig.run_ms(50);
            }
            Step::SlowDisk(us) => rig.disk.commit_us = *us,
        }
    }
    rig.broker_back();
    rig.centre_there = true;
    rig.run_ms(300_000);
    // The bytes of downlinks are sealed; what the wearer sees is what they open to.
    let seen = pendants.iter().map(|p| opened(&rig, p)).collect();
    (rig.site.clone(), seen, rig)
}

/// Every downlink in plain, in order: outcome, instruction, minutes.
fn opened(rig: &Rig, pendant: &Pendant) -> Vec<u8> {
    let mut seen = Vec::new();
    for downlink in &rig.downlinks {
        for counter in 0..=pendant.counter {
            if let Some(message) = pendant.clone().hear(&downlink.frame, counter) {
                seen.extend([message.outcome as u8, message.instruction as u8]);
                seen.extend(message.minutes_left.to_le_bytes());
            }
        }
    }
    seen
}

fn assert_twins(steps: &[Step]) -> (Rig, Rig) {
    let (site_safe, seen_safe, safe) = play(steps, SAFE);
    let (site_duress, seen_duress, duress) = play(steps, DURESS);
    for (at, (a, b)) in site_safe.iter().zip(&site_duress).enumerate() {
        assert_eq!(a, b, "the site sees a difference at step {at} of its trace");
    }
    assert_eq!(site_safe.len(), site_duress.len());
    assert_eq!(seen_safe, seen_duress, "the wearer's display differs");
    (safe, duress)
}

#[test]
fn ending_a_session_under_duress_looks_like_ending_it_safely() {
    let steps = [
        Step::Say(0, start(30)),
        Step::Wait(60_000),
        Step::Pin(0),
        Step::Wait(60_000),
        Step::Say(0, HEARTBEAT),
        Step::Say(0, start(15)),
        Step::Say(0, pin(WRONG)),
        Step::Pin(0),
        Step::Say(0, HEARTBEAT),
    ];
    let (safe, duress) = assert_twins(&steps);
    // The histories do differ where they must: at the centre.
    assert_eq!((safe.count("session_ended"), safe.count("duress")), (2, 0));
    assert_eq!((duress.count("session_ended"), duress.count("duress")), (0, 2));
    assert_eq!((safe.count("track_point"), duress.count("track_point")), (0, 2));
    assert_eq!(safe.seen.len(), duress.seen.len());
}

#[test]
fn a_discreet_panic_looks_like_a_heartbeat() {
    let play_one = |body: Body| {
        let mut pendant = Pendant::new(1);
        let mut rig = Rig::new(&[&pendant]);
        rig.exchange(&mut pendant, HEARTBEAT);
        rig.run_ms(30_000);
        rig.exchange(&mut pendant, body);
        rig.run_ms(30_000);
        rig.exchange(&mut pendant, HEARTBEAT);
        rig.run_ms(60_000);
        (rig.site, rig.seen)
    };
    let (heartbeat, told) = play_one(HEARTBEAT);
    let (discreet, told_discreetly) = play_one(DISCREET);
    assert_eq!(heartbeat, discreet);
    assert_ne!(
        told.iter().map(|s| s.kind().to_owned()).collect::<Vec<_>>(),
        told_discreetly.iter().map(|s| s.kind().to_owned()).collect::<Vec<_>>()
    );
}

#[test]
fn topic_and_payload_of_every_event_have_one_size() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    let bodies =
        [HEARTBEAT, start(600), PANIC, DISCREET, pin(WRONG), pin(DURESS), HEARTBEAT, pin(SAFE)];
    for body in bodies {
        rig.exchange(&mut pendant, body);
    }
    rig.restart();
    rig.run_ms(1_000);
    for seen in &rig.seen {
        assert_eq!(seen.wire_bytes, pendant_gateway::engine::payload::EVENT_WIRE_BYTES);
    }
    assert!(rig.count("gateway_started") == 2);
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..2usize;
    let body = prop_oneof![
        Just(HEARTBEAT),
        Just(PANIC),
        Just(DISCREET),
        (0..120u16).prop_map(start),
        Just(Body::SessionExtend { minutes: 10, place: 4 }),
        Just(Body::CheckIn { place: 0 }),
        Just(pin(WRONG)),
        Just(Body::Test { place: 0 }),
        Just(Body::ManDown { place: 9 }),
    ];
    let step = prop_oneof![
        6 => (who.clone(), body).prop_map(|(who, body)| Step::Say(who, body)),
        4 => who.clone().prop_map(Step::Pin),
        2 => who.prop_map(Step::Repeat),
        2 => (1..200_000u64).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Broker),
        1 => any::<bool>().prop_map(Step::Centre),
        1 => Just(Step::Restart),
        1 => (100..1_800_000u64).prop_map(Step::SlowDisk),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn no_history_tells_which_pin_it_was(steps in steps()) {
        assert_twins(&steps);
    }
}
