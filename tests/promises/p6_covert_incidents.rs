//! P6: only the centre closes covert incidents.

use crate::pendant::*;
use crate::rig::*;
use pendant_protocol::{Instruction, Outcome};
use serde_json::{Value, json};

#[test]
fn a_later_safe_pin_never_clears_a_duress() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.exchange(&mut pendant, start(30));
    assert_eq!(rig.exchange(&mut pendant, pin(DURESS)), Some(Outcome::Ended));
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.exchange(&mut pendant, start(30));
    assert_eq!(rig.exchange(&mut pendant, pin(SAFE)), Some(Outcome::Ended));
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("track_point"), 2, "silent tracking goes on");
    rig.restart();
    rig.run_ms(100);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("track_point"), 3, "also after a restart");
}

#[test]
fn wrong_pins_in_a_row_open_one_and_the_answer_stays_wrong_pin() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.exchange(&mut pendant, start(30));
    for _ in 0..4 {
        assert_eq!(rig.exchange(&mut pendant, pin(WRONG)), Some(Outcome::WrongPin));
    }
    assert_eq!(rig.count("wrong_pin"), 2);
    assert_eq!(rig.count("wrong_pin_repeated"), 2);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("track_point"), 1);
}

#[test]
fn a_discreet_panic_begins_silent_tracking() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.exchange(&mut pendant, DISCREET), Some(Outcome::Noted));
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(
        rig.kinds()[rig.kinds().len() - 3..],
        ["heartbeat", "discreet_panic", "track_point"]
    );
    assert_eq!(rig.seen.last().map(|s| s.json["data"]["covert"].as_bool()), Some(Some(true)));
}

/// A rig with one pendant that entered its duress PIN, and the frame's counter.
fn under_duress() -> (Rig, Pendant, u32) {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.exchange(&mut pendant, start(30));
    rig.exchange(&mut pendant, pin(DURESS));
    let incident = pendant.counter;
    (rig, pendant, incident)
}

fn command(n: u32, kind: &str, more: Value) -> Value {
    let id = format!("0190a1b2-c3d4-7e5f-8a0b-{n:012x}");
    let mut command = json!({ "id": id, "kind": kind, "pendant": "000001" });
    for (key, value) in more.as_object().expect("an object") {
        command[key] = value.clone();
    }
    json!([command])
}

#[test]
fn the_centre_closes_a_covert_incident_and_it_stays_closed() {
    let (mut rig, mut pendant, incident) = under_duress();
    let wrong = command(1, "close", json!({ "incident": incident + 1 }));
    assert_eq!(rig.centre_says(wrong)["results"][0]["reason"], "no_such_incident");
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("track_point"), 1);

    let close = command(2, "close", json!({ "incident": incident }));
    assert_eq!(rig.centre_says(close.clone())["results"][0]["result"], "done");
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("track_point"), 1, "tracking ended");
    assert_eq!(rig.centre_says(close)["results"][0]["reason"], "repeated");
    rig.restart();
    rig.run_ms(100);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("track_point"), 1, "also after a restart");
    rig.exchange(&mut pendant, start(30));
    rig.exchange(&mut pendant, pin(DURESS));
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!((rig.count("duress"), rig.count("track_point")), (2, 2), "the next one opens anew");
}

/// The centre closes what it knows of; the wearer was forced again meanwhile.
#[test]
fn a_closing_does_not_swallow_an_alarm_that_the_centre_did_not_know_of() {
    let (mut rig, mut pendant, incident) = under_duress();
    rig.exchange(&mut pendant, start(30));
    rig.exchange(&mut pendant, pin(DURESS));
    let second = pendant.counter;
    let late = command(1, "close", json!({ "incident": incident }));
    assert_eq!(rig.centre_says(late)["results"][0]["reason"], "no_such_incident");
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("track_point"), 1, "it is followed further on");
    let close = command(2, "close", json!({ "incident": second }));
    assert_eq!(rig.centre_says(close)["results"][0]["result"], "done");
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("track_point"), 1);
}

/// The same with an older alarm, which the broker refused and which comes to the centre
/// after its closing: until then the pendant may not move.
#[test]
fn a_closing_waits_for_an_older_alarm_that_the_centre_does_not_have_yet() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.brokers[0].answer = |_| Answer::Refuse(0x97);
    rig.exchange(&mut pendant, pin(DURESS));
    rig.brokers[0].answer = |_| Answer::Take;
    rig.exchange(&mut pendant, pin(DURESS));
    let newest = pendant.counter;
    let close = |n| command(n, "close", json!({ "incident": newest }));
    assert_eq!(rig.centre_says(close(1))["results"][0]["reason"], "no_such_incident");
    rig.crash();
    rig.start();
    rig.brokers[0].answer =
        |publish| if is(publish, "duress") { Answer::Silence } else { Answer::Take };
    rig.run_ms(1_000);
    assert_eq!(rig.centre_says(close(2))["results"][0]["reason"], "no_such_incident");
    rig.centre_says(command(3, "led", json!({})));
    rig.exchange(&mut pendant, HEARTBEAT);
    let answer = rig.answer_to(&mut pendant).expect("answered");
    assert_eq!(answer.instruction, Instruction::None, "the journal still knows of it");
    assert_eq!(rig.count("duress"), 1);

    rig.brokers[0].answer = |_| Answer::Take;
    rig.drop_connection(pendant_gateway::engine::seam::BrokerId(0));
    rig.run_ms(70_000);
    assert_eq!(rig.count("duress"), 2);
    assert_eq!(rig.centre_says(close(4))["results"][0]["result"], "done");
}

#[test]
fn an_answer_says_done_only_when_it_is_durable() {
    let (mut rig, _, incident) = under_duress();
    rig.run_ms(30_000);
    rig.disk.commit_us = 3_000_000;
    assert_eq!(rig.centre_says(command(1, "close", json!({ "incident": incident }))), Value::Null);
    rig.run_ms(5_000);
    assert_eq!(rig.answers.len(), 1);
}

#[test]
fn whatever_the_centre_asks_costs_the_same_writes_and_one_answer_of_one_size() {
    let mut traces = Vec::new();
    for which in 0..4 {
        let (mut rig, mut pendant, incident) = under_duress();
        rig.run_ms(2_000);
        let before = rig.site.len();
        rig.centre_says(match which {
            0 => json!([]),
            1 => command(1, "close", json!({ "incident": incident })),
            2 => command(1, "vibrate", json!({})),
            _ => command(1, "nonsense", json!({})),
        });
        rig.exchange(&mut pendant, HEARTBEAT);
        rig.run_ms(30_000);
        traces.push(rig.site[before..].to_vec());
        let answer = rig.answer_to(&mut pendant).expect("answered");
        assert_eq!(answer.instruction, Instruction::None, "nothing vibrates under duress");
    }
    for trace in &traces[1..] {
        assert_eq!(*trace, traces[0]);
    }
}

/// Of such a pendant the journal has nothing to which a change could belong.
#[test]
fn tracking_a_pendant_that_was_never_heard_costs_the_same_and_is_kept() {
    let tracked = [json!([]), command(1, "track", json!({ "on": true, "pendant": "000002" }))];
    let [idle, tracked] = tracked.map(|commands| {
        let [mut heard, mut unheard] = [1, 2].map(Pendant::new);
        let mut rig = Rig::new(&[&heard, &unheard]);
        rig.exchange(&mut heard, HEARTBEAT);
        let before = rig.site.len();
        rig.centre_says(commands);
        rig.run_ms(60_000);
        let trace = rig.site.split_off(before);
        rig.restart();
        rig.run_ms(100);
        rig.exchange(&mut unheard, HEARTBEAT);
        (trace, rig.count("track_point"))
    });
    assert_eq!(idle.0, tracked.0);
    assert_eq!([idle.1, tracked.1], [0, 1]);
}

#[test]
fn without_an_incident_the_pendant_vibrates_with_its_next_answer_only() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    let answer = rig.centre_says(command(1, "vibrate", json!({})));
    assert_eq!(answer["results"][0]["result"], "accepted");
    rig.exchange(&mut pendant, HEARTBEAT);
    let instruction = |rig: &mut Rig, pendant: &mut Pendant| {
        rig.answer_to(pendant).map(|answer| answer.instruction)
    };
    assert_eq!(instruction(&mut rig, &mut pendant), Some(Instruction::Vibrate));
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(instruction(&mut rig, &mut pendant), Some(Instruction::None));
}

#[test]
fn the_centre_tracks_rebinds_and_revokes() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.centre_says(command(1, "track", json!({ "on": true })));
    rig.centre_says(command(2, "rebind", json!({ "wearer": "porter-2" })));
    rig.exchange(&mut pendant, HEARTBEAT);
    let point = rig.seen.iter().find(|seen| seen.kind() == "track_point").expect("tracked");
    assert_eq!(point.json["data"]["wearer"], "porter-2");
    let listen = rig.centre_says(command(3, "listen", json!({})));
    assert_eq!(listen["results"][0]["reason"], "unsupported");
    rig.centre_says(command(4, "revoke", json!({})));
    assert_eq!(rig.exchange(&mut pendant, PANIC), None);
    assert_eq!(rig.count("panic"), 0);
}

#[test]
fn a_centre_whose_message_does_not_come_is_told_once_and_so_is_its_return() {
    let pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.settings.centre.silence_ms = 60_000;
    rig.start();
    rig.run_ms(59_000);
    assert_eq!(rig.count("centre_lost"), 0);
    rig.run_ms(200_000);
    assert_eq!(rig.count("centre_lost"), 1);
    rig.centre_says(json!([]));
    assert_eq!(rig.count("centre_back"), 1);
    rig.input(pendant_gateway::engine::seam::Input::Broker(
        pendant_gateway::engine::seam::BrokerId(0),
        pendant_gateway::engine::seam::BrokerInput::CentreMessage(b"{}".to_vec()),
    ));
    rig.run_ms(61_000);
    assert_eq!(rig.count("centre_lost"), 2, "a message that cannot be read is none");
}
