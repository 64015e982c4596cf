//! P5: histories that differ only in which PIN was entered, or in whether a
//! heartbeat was a discreet panic, look the same to everyone on site, the
//! centre's reactions included. The machinery is `tests/support/twins.rs`.

use crate::pendant::*;
use crate::rig::*;
use crate::twins::*;
use pendant_gateway::engine::seam::DiskFault;

/// Histories of each pair in the ordinary run: half a minute on two cores that
/// others use too. `HISTORIES=n` asks for more, `SEED=n` for one.
const HISTORIES: u64 = 1_300;

fn say(body: pendant_protocol::Body) -> Step {
    Step::Say(0, Say::Same(body), Heard::By(0))
}

const TWIN: Step = Step::Say(0, Say::Twin, Heard::By(0));

#[test]
fn ending_a_session_under_duress_looks_like_ending_it_safely() {
    let steps = [
        say(start(30)),
        Step::Wait(60_000),
        TWIN,
        Step::Wait(60_000),
        say(HEARTBEAT),
        say(start(15)),
        say(pin(WRONG)),
        TWIN,
        say(HEARTBEAT),
    ];
    let [safe, duress] = assert_twins(Pair::Pins, &steps);
    // The histories do differ where they must: at the centre.
    assert_eq!((safe.count("session_ended"), safe.count("duress")), (2, 0));
    assert_eq!((duress.count("session_ended"), duress.count("duress")), (0, 2));
    assert_eq!((safe.count("track_point"), duress.count("track_point")), (0, 2));
    assert_eq!(safe.seen.len(), duress.seen.len());
}

#[test]
fn a_discreet_panic_looks_like_a_heartbeat() {
    let steps = [Step::Wait(30_000), TWIN, Step::Wait(30_000), say(HEARTBEAT), Step::Wait(60_000)];
    let [heartbeat, discreet] = assert_twins(Pair::Discreet, &steps);
    assert_eq!((heartbeat.count("heartbeat"), heartbeat.count("discreet_panic")), (4, 0));
    assert_eq!((discreet.count("heartbeat"), discreet.count("discreet_panic")), (2, 1));
}

/// A command that came too late is not answered while the disk fails, so the centre asks
/// again: when the incident is closed and the clock lost (found as Discreet 70266).
#[test]
fn a_command_that_came_too_late_does_not_come_to_life_with_a_lost_clock() {
    let steps = [
        say(HEARTBEAT),
        Step::Wait(12_300),
        Step::Say(1, Say::Twin, Heard::By(0)),
        Step::DiskFault(Some(DiskFault::Io)),
        say(HEARTBEAT),
        Step::Wait(35_000),
        Step::Clock(false),
        Step::Wait(20_000),
        Step::Say(1, Say::Same(HEARTBEAT), Heard::By(0)),
    ];
    let [_, covert] = assert_twins(Pair::Discreet, &steps);
    let answers = &covert.centre.as_ref().expect("there is one").answers;
    assert!(answers.contains_key("expired"), "one was too late: {answers:?}");
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

#[test]
fn no_history_tells_which_pin_it_was() {
    assert_histories(Pair::Pins, HISTORIES);
}

#[test]
fn no_history_tells_a_discreet_panic_from_a_heartbeat() {
    assert_histories(Pair::Discreet, HISTORIES);
}

#[test]
fn no_history_tells_an_open_panic_that_is_covert_here_from_a_heartbeat() {
    assert_histories(Pair::Hidden, HISTORIES / 4);
}

#[test]
fn no_history_tells_whether_wrong_pins_raised_the_alarm() {
    assert_histories(Pair::Wrong, HISTORIES / 4);
}
