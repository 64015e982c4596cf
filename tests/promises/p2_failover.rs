//! P2 with several brokers: what one does not carry, the next does.

use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::seam::BrokerId;
use std::collections::BTreeSet;

const FIRST: BrokerId = BrokerId(0);
const SECOND: BrokerId = BrokerId(1);

/// A gateway with two brokers, both connected, its start told.
fn two_brokers(pendant: &Pendant) -> Rig {
    let mut rig = Rig::off(&[pendant]);
    rig.add_broker("second");
    rig.start();
    rig.run_ms(200);
    rig
}

/// Events that are kept, once the releases so far are written down.
fn kept(rig: &mut Rig) -> u64 {
    rig.run_ms(rig.settings.delivery.release_interval_ms);
    rig.backlog()
}

/// What came through a broker since a place in `seen`.
fn through(rig: &Rig, broker: BrokerId, since: usize) -> Vec<&str> {
    rig.seen[since..].iter().filter(|seen| seen.broker == broker).map(Seen::kind).collect()
}

#[test]
fn while_the_first_is_well_the_second_hears_nothing() {
    let mut pendant = Pendant::new(1);
    let mut rig = two_brokers(&pendant);
    rig.exchange(&mut pendant, PANIC);
    assert_eq!(through(&rig, FIRST, 0), ["gateway_started", "panic"]);
    assert!(through(&rig, SECOND, 0).is_empty());
    assert_eq!(kept(&mut rig), 0);
}

#[test]
fn when_the_first_goes_the_second_carries_at_once_and_it_is_told() {
    let mut pendant = Pendant::new(1);
    let mut rig = two_brokers(&pendant);
    rig.away(FIRST);
    let before = rig.now_us;
    let frame = pendant.say(PANIC);
    rig.frame(0, &frame);
    rig.run_ms(10);
    assert_eq!(through(&rig, SECOND, 0), ["panic"]);
    assert!(rig.seen.last().expect("the panic").at_us - before < 5_000);
    rig.run_ms(60_000);
    assert_eq!(through(&rig, SECOND, 0), ["panic", "broker_lost"]);
    assert_eq!(rig.seen.last().expect("told").json["data"]["detail"]["broker"], "first");

    rig.back(FIRST);
    rig.run_ms(100);
    let since = rig.seen.len();
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("broker_back"), 1);
    assert_eq!(through(&rig, FIRST, since), ["heartbeat"]);
    assert!(through(&rig, SECOND, since).is_empty(), "the stream is back at the first");
}

#[test]
fn what_only_a_lost_broker_had_taken_is_offered_elsewhere_at_once() {
    let mut pendant = Pendant::new(1);
    let mut rig = two_brokers(&pendant);
    rig.brokers[0].centre_there = false;
    rig.exchange(&mut pendant, PANIC);
    assert_eq!(through(&rig, FIRST, 1), ["panic"]);
    rig.away(FIRST);
    rig.run_ms(100);
    assert_eq!(through(&rig, SECOND, 1), ["panic"]);
    assert_eq!(rig.count("panic"), 1, "under the same id");
}

#[test]
fn without_receipts_the_whole_stream_goes_to_the_second_as_well_and_returns() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.add_broker("second");
    rig.settings.delivery.escalate_after_ms = 10_000;
    rig.start();
    rig.run_ms(200);
    rig.brokers[0].centre_there = false;
    rig.exchange(&mut pendant, PANIC);
    rig.run_ms(8_000);
    assert!(through(&rig, SECOND, 0).is_empty(), "not too long yet");

    // Now it is: told, and the panic goes the other way.
    rig.run_ms(1_000);
    let told: BTreeSet<&str> = through(&rig, SECOND, 0).into_iter().collect();
    assert_eq!(told, BTreeSet::from(["panic", "centre_silent"]));
    // Anything fresh goes both ways, whatever it is.
    let since = rig.seen.len();
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(through(&rig, FIRST, since), ["heartbeat"]);
    assert_eq!(through(&rig, SECOND, since), ["heartbeat"]);
    rig.run_ms(1_000);
    assert_eq!(kept(&mut rig), 0, "the second's receipts count");

    // The centre hears through the first again: its next receipt says so.
    rig.brokers[0].centre_there = true;
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("centre_heard"), 1);
    let since = rig.seen.len();
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(through(&rig, FIRST, since), ["heartbeat"]);
    assert!(through(&rig, SECOND, since).is_empty());
}

#[test]
fn a_receipt_that_comes_second_brings_the_first_back_all_the_same() {
    let mut pendant = Pendant::new(1);
    let mut rig = two_brokers(&pendant);
    rig.brokers[0].centre_there = false;
    rig.exchange(&mut pendant, PANIC);
    rig.run_ms(rig.settings.delivery.escalate_after_ms + 1_000);
    assert_eq!(rig.count("centre_silent"), 1);
    // The centre hears through the first again, over the slower line of the two.
    rig.brokers[0].centre_there = true;
    rig.receipt_us = |seen| if seen.broker == FIRST { 50_000 } else { 2_000 };
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("centre_heard"), 1);
    let since = rig.seen.len();
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(through(&rig, FIRST, since), ["heartbeat"]);
    assert!(through(&rig, SECOND, since).is_empty());
}

#[test]
fn what_the_first_refuses_goes_to_the_second_and_holds_up_nothing() {
    let mut pendant = Pendant::new(1);
    let mut rig = two_brokers(&pendant);
    rig.brokers[0].answer =
        |publish| if is(publish, "panic") { Answer::Refuse(0x97) } else { Answer::Take };
    rig.exchange(&mut pendant, PANIC);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(through(&rig, SECOND, 0), ["panic"]);
    assert!(through(&rig, FIRST, 0).contains(&"heartbeat"));
    let refused = rig.seen.iter().find(|seen| seen.kind() == "broker_refused").expect("told");
    assert_eq!(refused.json["data"]["detail"]["refused"]["broker"], "first");
    assert_eq!(kept(&mut rig), 0);
}

/// With a dead disk nothing but memory holds it, and there it has as much right to the
/// second broker.
#[test]
fn what_the_first_refuses_goes_to_the_second_also_while_there_is_no_journal() {
    for answer in [Answer::Refuse(0x97), Answer::Close] {
        let mut pendant = Pendant::new(1);
        let mut rig = Rig::off(&[&pendant]);
        rig.add_broker("second");
        rig.disk.files_max = Some(0);
        rig.start();
        rig.run_ms(200);
        rig.brokers[0].answer = match answer {
            Answer::Close => {
                |publish| if is(publish, "panic") { Answer::Close } else { Answer::Take }
            }
            _ => |publish| if is(publish, "panic") { Answer::Refuse(0x97) } else { Answer::Take },
        };
        rig.frame(0, &pendant.say(PANIC));
        rig.run_ms(10_000);
        assert_eq!(through(&rig, SECOND, 0).iter().filter(|kind| **kind == "panic").count(), 1);
        assert_eq!(through(&rig, FIRST, 0).iter().filter(|kind| **kind == "panic").count(), 0);
    }
}

#[test]
fn what_no_broker_takes_waits_and_holds_up_nothing() {
    let mut pendant = Pendant::new(1);
    let mut rig = two_brokers(&pendant);
    for broker in &mut rig.brokers {
        broker.answer =
            |publish| if is(publish, "panic") { Answer::Refuse(0x97) } else { Answer::Take };
    }
    rig.exchange(&mut pendant, PANIC);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!((rig.count("heartbeat"), rig.count("panic")), (1, 0));
    assert_eq!(kept(&mut rig), 1);
    rig.brokers[1].answer = |_| Answer::Take;
    rig.run_ms(3_600_000);
    assert_eq!((rig.count("panic"), kept(&mut rig)), (1, 0));
}

#[test]
fn nobody_subscribed_at_the_first_so_the_second_gets_stream_and_backlog() {
    let mut pendant = Pendant::new(1);
    let mut rig = two_brokers(&pendant);
    rig.away(FIRST);
    rig.away(SECOND);
    for _ in 0..200 {
        let frame = pendant.say(HEARTBEAT);
        rig.frame(0, &frame);
        rig.run_ms(10);
    }
    rig.brokers[0].answer = |_| Answer::Refuse(0x10);
    rig.back(FIRST);
    rig.back(SECOND);
    rig.run_ms(10_000);
    assert_eq!((rig.count("heartbeat"), kept(&mut rig)), (200, 0));
    let since = rig.seen.len();
    rig.exchange(&mut pendant, PANIC);
    assert_eq!(through(&rig, SECOND, since), ["panic"]);
    // Somebody subscribes again: one taken event brings the stream back.
    rig.brokers[0].answer = |_| Answer::Take;
    rig.exchange(&mut pendant, HEARTBEAT);
    let since = rig.seen.len();
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(through(&rig, FIRST, since), ["heartbeat"]);
    assert!(through(&rig, SECOND, since).is_empty());
}

#[test]
fn an_event_that_ends_the_first_s_connections_goes_to_the_second() {
    let mut pendant = Pendant::new(1);
    let mut rig = two_brokers(&pendant);
    rig.brokers[0].answer =
        |publish| if is(publish, "panic") { Answer::Close } else { Answer::Take };
    rig.exchange(&mut pendant, PANIC);
    rig.run_ms(10_000);
    assert!(through(&rig, SECOND, 0).contains(&"panic"));
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.run_ms(10_000);
    assert_eq!(kept(&mut rig), 0);
    assert_eq!(rig.count("heartbeat"), 1);
}

#[test]
fn an_answer_to_the_centre_takes_the_way_of_its_message() {
    let pendant = Pendant::new(1);
    let mut rig = two_brokers(&pendant);
    rig.away(FIRST);
    rig.centre_through = SECOND;
    assert_eq!(rig.centre_says(serde_json::json!([]))["number"], 1);
    assert_eq!(rig.answered_through, [SECOND]);
}

#[test]
fn the_backlog_goes_at_its_pace_and_fresh_events_at_once() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.settings.delivery.drain_per_s_max = std::num::NonZeroU32::new(50);
    rig.start();
    rig.run_ms(200);
    rig.broker_away();
    for _ in 0..200 {
        let frame = pendant.say(HEARTBEAT);
        rig.frame(0, &frame);
        rig.run_ms(10);
    }
    rig.broker_back();
    rig.run_ms(1_002);
    let told = rig.count("heartbeat");
    assert!((45..=55).contains(&told), "{told} in a second at 50/s");
    let before = rig.now_us;
    let frame = pendant.say(PANIC);
    rig.frame(0, &frame);
    rig.run_ms(5);
    let panic = rig.seen.iter().find(|seen| seen.kind() == "panic").expect("at once");
    assert!(panic.at_us - before < 2_000);
    rig.run_ms(4_000);
    assert_eq!((rig.count("heartbeat"), kept(&mut rig)), (200, 0));
}

/// The first line stands all the time; the second never stands for as long as a silence
/// takes to be noticed.
#[test]
fn a_second_broker_that_comes_and_goes_does_not_hide_that_the_centre_is_silent() {
    let mut rig = Rig::off(&[]);
    rig.settings.centre.silence_ms = 60_000;
    rig.add_broker("second");
    rig.start();
    for _ in 0..4 {
        assert_eq!(rig.count("centre_lost"), 0);
        rig.away(SECOND);
        rig.run_ms(1_000);
        rig.back(SECOND);
        rig.run_ms(14_000);
    }
    rig.run_ms(1_000);
    assert_eq!(rig.count("centre_lost"), 1);
}
