//! The gateway's own test alarm: it takes the way of an alarm, its fate is shown, and
//! what is shown tells nothing of any pendant (P5).

use crate::rig::*;
use crate::twins::*;
use pendant_gateway::engine::payload::EVENT_WIRE_BYTES;
use pendant_gateway::engine::seam::Input;
use pendant_gateway::engine::{LastTest, TestFate, TestRefusal};

fn last(rig: &Rig) -> Option<LastTest> {
    rig.gateway.as_ref().and_then(|gateway| gateway.status().last_test)
}

fn may_test(rig: &Rig) -> Result<(), TestRefusal> {
    rig.gateway.as_ref().expect("it runs").may_test(rig.now())
}

#[test]
fn it_takes_the_way_of_an_alarm_and_its_receipt_is_shown() {
    let mut rig = Rig::new(&[]);
    assert_eq!(last(&rig), None);
    let commits = rig.disk.commits;
    rig.input(Input::Test);
    assert_eq!(last(&rig).map(|test| test.fate), Some(TestFate::OnItsWay));
    rig.run_ms(100);
    let seen = rig.seen.iter().find(|seen| seen.kind() == "gateway_test").expect("told");
    assert_eq!((seen.lane(), seen.wire_bytes), ("urgent", EVENT_WIRE_BYTES));
    assert_eq!(
        (&seen.json["data"]["test"], &seen.json["data"]["response"]),
        (&true.into(), &().into())
    );
    assert!(rig.disk.commits > commits, "it is stored like every event");
    // 0.3 ms to the broker, and the centre's 2 ms.
    let test = last(&rig).expect("shown");
    assert_eq!((test.count, test.fate), (1, TestFate::Reached { after_ms: 2 }));
    rig.run_ms(60_000);
    assert_eq!(rig.backlog(), 0);
}

#[test]
fn nobody_on_site_can_flood_the_centre_with_it() {
    let mut rig = Rig::new(&[]);
    for (after_ms, told) in [(0, 1), (0, 1), (4_800, 1), (200, 2), (100, 2)] {
        rig.run_ms(after_ms);
        rig.input(Input::Test);
        rig.run_ms(10);
        assert_eq!(rig.count("gateway_test"), told, "{after_ms} ms later");
    }
    assert!(matches!(may_test(&rig), Err(TestRefusal::TooSoon { wait_ms: 1..=5_000 })));
    // While one is on its way the next waits longer.
    rig.brokers[0].centre_there = false;
    rig.run_ms(5_000);
    for (after_ms, told) in [(0, 3), (30_000, 3), (31_000, 4)] {
        rig.run_ms(after_ms);
        rig.input(Input::Test);
        rig.run_ms(10);
        assert_eq!(rig.count("gateway_test"), told, "{after_ms} ms later");
    }
}

#[test]
fn without_receipts_the_broker_s_word_is_what_is_shown() {
    let mut rig = Rig::off(&[]);
    rig.settings.delivery.receipts = false;
    rig.brokers[0].centre_there = false;
    rig.start();
    rig.run_ms(200);
    rig.input(Input::Test);
    rig.run_ms(100);
    let reached = matches!(last(&rig).map(|test| test.fate), Some(TestFate::Reached { .. }));
    assert!(reached, "{:?}", last(&rig));
}

#[test]
fn without_a_broker_there_is_none_and_nothing_is_stored() {
    let mut rig = Rig::new(&[]);
    rig.run_ms(60_000);
    rig.broker_away();
    rig.run_ms(10);
    let commits = rig.disk.commits;
    assert_eq!(may_test(&rig), Err(TestRefusal::NoBroker));
    rig.input(Input::Test);
    rig.run_ms(100);
    assert_eq!((last(&rig), rig.disk.commits, rig.backlog()), (None, commits, 0));
}

#[test]
fn one_that_did_not_arrive_at_once_stays_so_although_it_arrives_later() {
    let mut rig = Rig::new(&[]);
    rig.brokers[0].answer = |_| Answer::Silence;
    rig.input(Input::Test);
    rig.run_ms(100);
    rig.broker_away();
    rig.run_ms(100);
    assert_eq!(last(&rig).map(|test| test.fate), Some(TestFate::Stuck));
    rig.brokers[0].answer = |_| Answer::Take;
    rig.broker_back();
    rig.run_ms(5_000);
    assert_eq!(rig.count("gateway_test"), 1, "it is kept and offered again");
    assert_eq!(last(&rig).map(|test| test.fate), Some(TestFate::Stuck));
    assert_eq!(may_test(&rig), Ok(()), "and the next one may go");
}

/// Events of the backlog go by lane: what stands before a test there would tell.
#[test]
fn its_fate_does_not_tell_a_discreet_panic_from_a_heartbeat() {
    let twin = Step::Say(0, Say::Twin, Heard::By(0));
    for stop in [Step::Refusal(Some(0x10)), Step::Refusal(Some(0x97)), Step::Broker(false)] {
        let back = [Step::Refusal(None), Step::Broker(true)];
        let mut steps = vec![Step::Wait(60_000)];
        steps.extend([stop.clone(), twin.clone(), twin.clone(), Step::OwnTest, twin.clone()]);
        for step in back {
            steps.extend([step, Step::OwnTest, Step::Wait(7)]);
        }
        steps.extend([5, 10, 100, 6_000, 60_000].map(Step::Wait));
        steps.extend([Step::OwnTest, Step::Wait(100)]);
        let [plain, _] = assert_twins(Pair::Discreet, &steps);
        assert!(plain.count("gateway_test") > 0, "{steps:?}");
    }
}
