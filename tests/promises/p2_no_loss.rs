//! P2: what was acknowledged reaches the centre, through crashes, outages,
//! refusals and lost receipts; released only by a receipt.

use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::seam::BrokerId;
use pendant_protocol::Outcome;
use std::collections::BTreeSet;

#[test]
fn hours_without_a_broker_and_a_crash_in_between_lose_nothing() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.broker_away();
    for hour in 0..6 {
        for _ in 0..40 {
            assert_eq!(rig.exchange(&mut pendant, HEARTBEAT), Some(Outcome::Noted));
        }
        assert_eq!(rig.exchange(&mut pendant, PANIC), Some(Outcome::Noted));
        rig.run_ms(3_600_000 - 41 * 1_500);
        if hour % 2 == 0 {
            rig.restart();
            rig.run_ms(100);
        }
    }
    rig.broker_back();
    rig.run_ms(60_000);
    assert_eq!(rig.count("panic"), 6);
    assert_eq!(rig.count("heartbeat"), 240);
    assert_eq!(rig.backlog(), 0);
    let counters: Vec<u64> = rig
        .seen
        .iter()
        .filter(|seen| seen.kind() == "heartbeat")
        .filter_map(|seen| seen.json["data"]["counter"].as_u64())
        .collect();
    assert!(counters.is_sorted(), "within a lane the order is kept");
}

#[test]
fn what_is_being_synced_when_the_backlog_is_read_is_not_passed_over() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.disk.commit_us = 50_000;
    rig.broker_away();
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(1_000);
    // The second is under way to the disk, and the third waits for it, when the
    // broker comes back and the first is read.
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(10);
    rig.frame(0, &pendant.say(PANIC));
    rig.broker_back();
    rig.run_ms(60_000);
    assert_eq!(rig.count("panic"), 3);
    assert_eq!(rig.backlog(), 0);
}

#[test]
fn only_a_receipt_releases() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.run_ms(21_000);
    let settled = rig.backlog();
    rig.brokers[0].centre_there = false;
    rig.exchange(&mut pendant, PANIC);
    rig.run_ms(50_000);
    assert_eq!(rig.backlog(), settled + 1);
    rig.run_ms(20_000);
    assert_eq!(rig.told("panic"), 2, "offered again when no receipt came");
    assert_eq!(rig.count("centre_silent"), 1, "and told");
    rig.brokers[0].centre_there = true;
    rig.run_ms(180_000);
    assert_eq!(rig.backlog(), 0);
    assert_eq!(rig.count("centre_heard"), 1);
}

#[test]
fn without_receipts_a_success_puback_releases() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.settings.delivery.receipts = false;
    rig.brokers[0].centre_there = false;
    rig.start();
    rig.run_ms(200);
    rig.exchange(&mut pendant, PANIC);
    rig.run_ms(30_000);
    assert_eq!(rig.backlog(), 0);
    assert_eq!(rig.count("panic"), 1);
}

#[test]
fn releases_survive_a_restart() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, PANIC);
    rig.run_ms(30_000);
    rig.restart();
    rig.run_ms(5_000);
    assert_eq!(rig.told("panic"), 1, "a delivered event is not told again");
}

#[test]
fn a_refused_event_is_kept_told_and_blocks_nobody() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.brokers[0].answer = |publish| {
        let text = String::from_utf8_lossy(&publish.payload);
        if text.contains("\"kind\":\"panic\"") {
            Answer::RefuseAndClose(0x87)
        } else {
            Answer::Take
        }
    };
    rig.exchange(&mut pendant, PANIC);
    for _ in 0..20 {
        rig.exchange(&mut pendant, HEARTBEAT);
    }
    rig.run_ms(20_000);
    assert_eq!(rig.count("heartbeat"), 20, "the refused one stands in nobody's way");
    assert_eq!(rig.count("broker_refused"), 1, "told once, not at every try");
    rig.brokers[0].answer = |_| Answer::Take;
    rig.run_ms(3_600_000 * 2);
    assert_eq!(rig.count("panic"), 1, "and it is delivered when the broker relents");
    assert_eq!(rig.backlog(), 0);
}

#[test]
fn the_event_at_which_the_broker_hangs_up_is_found_and_set_apart() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.broker_away();
    for _ in 0..10 {
        rig.exchange(&mut pendant, HEARTBEAT);
    }
    rig.exchange(&mut pendant, PANIC);
    rig.brokers[0].answer = |publish| {
        let text = String::from_utf8_lossy(&publish.payload);
        if text.contains("\"kind\":\"panic\"") { Answer::Close } else { Answer::Take }
    };
    rig.broker_back();
    rig.run_ms(30_000);
    assert_eq!(rig.count("heartbeat"), 10);
    rig.brokers[0].answer = |_| Answer::Take;
    rig.run_ms(3_600_000 * 2);
    assert_eq!(rig.count("panic"), 1);
}

#[test]
fn nobody_subscribed_means_kept_and_probed() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.broker_away();
    for _ in 0..100 {
        rig.exchange(&mut pendant, HEARTBEAT);
    }
    rig.brokers[0].answer = |_| Answer::Refuse(0x10);
    let before = rig.site.len();
    rig.broker_back();
    rig.run_ms(60_000);
    let offers =
        rig.site[before..].iter().filter(|t| matches!(t, SiteTrace::Uplink { .. })).count();
    assert!(offers < 200, "{offers} offers in a minute to a broker without subscribers");
    rig.brokers[0].answer = |_| Answer::Take;
    rig.run_ms(60_000);
    assert_eq!(rig.count("heartbeat"), 100);
}

#[test]
fn a_connection_lost_in_mid_drain_offers_the_rest_again() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.broker_away();
    let mut said = BTreeSet::new();
    for _ in 0..1_000 {
        rig.frame(0, &pendant.say(HEARTBEAT));
        said.insert(u64::from(pendant.counter));
        rig.run_ms(3);
    }
    rig.broker_back();
    for _ in 0..30 {
        rig.run_ms(7);
        rig.drop_connection(BrokerId(0));
        rig.run_ms(501);
    }
    rig.run_ms(120_000);
    let told: BTreeSet<u64> =
        rig.seen.iter().filter_map(|seen| seen.json["data"]["counter"].as_u64()).collect();
    assert_eq!(told, said);
    assert_eq!(rig.backlog(), 0);
}

/// The power may go when cleaning has written an event elsewhere and its old
/// place is not free yet: then the journal has it twice.
#[test]
fn an_event_that_stands_twice_in_the_journal_is_delivered_and_released() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.settings.journal.files_max = 4;
    rig.settings.journal.files_reserved = 1;
    rig.start();
    rig.run_ms(200);
    let mut said = BTreeSet::new();
    let mut say = |rig: &mut Rig, ms| {
        rig.frame(0, &pendant.say(PANIC));
        said.insert(u64::from(pendant.counter));
        rig.run_ms(ms);
        said.len() as u64
    };
    // Half of a segment is delivered, and so to be gained by cleaning. Releases are written in
    // batches, the last after a minute.
    let delivered = (0..1_000).map(|_| say(&mut rig, 5)).last().expect("a thousand");
    rig.run_ms(90_000);
    assert_eq!(rig.backlog(), 0);
    rig.broker_away();
    let twice = (0..3_000).any(|_| {
        let waiting = say(&mut rig, 1) - delivered;
        if waiting < 500 {
            return false;
        }
        rig.restart();
        // The start and the lost broker are told as well.
        rig.report.expect("it started").backlog > waiting + 100
    });
    assert!(twice, "a restart has come between the copy and the release");
    rig.broker_back();
    rig.run_ms(300_000);
    let told: BTreeSet<u64> =
        rig.seen.iter().filter_map(|seen| seen.json["data"]["counter"].as_u64()).collect();
    assert_eq!(told, said);
    assert_eq!(rig.backlog(), 0);
}

/// What waits for receipts is offered again at its time, at any pace.
#[test]
fn an_event_without_a_receipt_comes_again_at_its_time() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.settings.delivery.drain_per_s_max = std::num::NonZeroU32::new(200);
    rig.settings.delivery.receipt_wait_ms = 5_000;
    rig.settings.delivery.escalate_after_ms = 5_000;
    rig.start();
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.run_ms(10_000);
    rig.brokers[0].centre_there = false;
    rig.exchange(&mut pendant, PANIC);
    rig.run_ms(3_000);
    rig.brokers[0].centre_there = true;
    rig.run_ms(8_000);
    assert_eq!(rig.gateway.as_ref().expect("it runs").status().backlog, 0);
}
