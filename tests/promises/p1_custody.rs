//! P1: acknowledged only when it is durable, or receipted while the journal fails.

use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::seam::{DiskFault, Output};
use pendant_protocol::Outcome;

/// With one receiver an answer goes to it the moment that it is released, so that
/// the moment can be seen.
fn off_with_one_receiver(pendant: &Pendant) -> Rig {
    let mut rig = Rig::off(&[pendant]);
    rig.settings.links.truncate(1);
    rig
}

fn with_one_receiver(pendant: &Pendant) -> Rig {
    let mut rig = off_with_one_receiver(pendant);
    rig.start();
    rig.run_ms(200);
    rig
}

#[test]
fn an_acknowledgement_leaves_at_receive_end_plus_1000_ms() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.run_ms(777);
    let heard_us = rig.now_us;
    assert_eq!(rig.exchange(&mut pendant, HEARTBEAT), Some(Outcome::Noted));
    assert_eq!(rig.downlinks.len(), 1);
    assert_eq!(rig.downlinks[0].at.us(), heard_us + 1_000_000);
}

#[test]
fn nothing_is_acknowledged_before_its_sync_returned() {
    let mut pendant = Pendant::new(1);
    let mut rig = with_one_receiver(&pendant);
    rig.disk.commit_us = 700_000;
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(699);
    assert!(rig.downlinks.is_empty(), "acknowledged before the sync");
    assert_eq!(rig.count("panic"), 1, "a fresh event is told beside the sync, not after it");
    rig.run_ms(2);
    assert_eq!(rig.downlinks.len(), 1);
}

#[test]
fn a_slow_disk_uses_the_second_window_and_then_none() {
    let mut pendant = Pendant::new(1);
    let mut rig = with_one_receiver(&pendant);
    rig.disk.commit_us = 1_500_000;
    let heard_us = rig.now_us;
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(1_600);
    assert_eq!(rig.downlinks[0].at.us(), heard_us + 2_000_000);

    rig.disk.commit_us = 2_500_000;
    rig.run_ms(60_000);
    rig.downlinks.clear();
    let frame = pendant.say(PANIC);
    rig.frame(0, &frame);
    rig.run_ms(60_000);
    assert!(rig.downlinks.is_empty(), "an answer after both windows reaches nobody");
    rig.frame(0, &frame);
    rig.run_ms(1);
    assert_eq!(rig.downlinks.len(), 1, "the repetition is answered at once");
}

#[test]
fn a_failed_journal_is_told_and_only_the_centre_s_receipt_acknowledges() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.disk.fault = Some(DiskFault::Io);
    rig.brokers[0].centre_there = false;
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(1_900);
    assert_eq!(rig.count("panic"), 1, "urgent events go out live");
    assert_eq!(rig.count("journal_failed"), 1);
    assert!(rig.downlinks.is_empty(), "PUBACK is not custody");

    rig.brokers[0].centre_there = true;
    assert_eq!(rig.exchange(&mut pendant, PANIC), Some(Outcome::Noted));
}

#[test]
fn a_healed_journal_needs_no_restart() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.disk.fault = Some(DiskFault::Full);
    rig.broker_away();
    rig.frame(0, &pendant.say(PANIC));
    rig.run_ms(5_000);
    rig.disk.fault = None;
    rig.run_ms(30_000);
    assert_eq!(rig.exchange(&mut pendant, PANIC), Some(Outcome::Noted));
    rig.restart();
    rig.broker_back();
    rig.run_ms(5_000);
    assert_eq!(rig.count("panic"), 2, "both presses were rewritten into a new segment");
    assert_eq!(rig.count("journal_restored"), 1);
}

#[test]
fn a_link_that_does_not_acknowledge_stays_silent() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.settings.links[1].acknowledges = false;
    rig.start();
    rig.run_ms(200);
    rig.frame(1, &pendant.say(PANIC));
    rig.run_ms(3_000);
    assert_eq!(rig.count("panic"), 1);
    assert!(rig.downlinks.is_empty());
}

#[test]
fn shutdown_waits_for_the_last_sync() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.disk.commit_us = 50_000;
    rig.frame(0, &pendant.say(PANIC));
    rig.input(pendant_gateway::engine::seam::Input::Shutdown);
    assert!(!rig.stopped);
    rig.run_ms(40);
    assert!(!rig.stopped);
    rig.run_ms(200);
    assert!(rig.stopped);
    assert!(
        rig.gateway
            .as_mut()
            .expect("running")
            .poll_output()
            .is_none_or(|o| !matches!(o, Output::Disk(_)))
    );
}

#[test]
fn a_frame_in_the_first_moment_of_the_first_start_is_kept_and_answered() {
    let mut pendant = Pendant::new(1);
    let mut rig = off_with_one_receiver(&pendant);
    rig.brokers[0].there = false;
    rig.start();
    let frame = pendant.say(PANIC);
    rig.frame(0, &frame);
    assert_eq!(rig.backlog(), 0, "there is no file yet");
    rig.run_ms(900);
    assert_eq!(rig.downlinks.len(), 1, "it went into the journal when there was one");
    rig.restart();
    rig.frame(0, &frame);
    rig.run_ms(10);
    assert_eq!(rig.downlinks.len(), 2);
    assert_eq!(rig.downlinks[0].frame, rig.downlinks[1].frame);
    rig.broker_back();
    rig.run_ms(5_000);
    assert_eq!(rig.count("panic"), 1);
}

#[test]
fn while_there_is_no_journal_the_centre_s_receipt_is_custody_also_for_repetitions() {
    let mut pendant = Pendant::new(1);
    let mut rig = off_with_one_receiver(&pendant);
    rig.disk.files_max = Some(0);
    rig.start();
    rig.run_ms(100);
    let frame = pendant.say(PANIC);
    rig.frame(0, &frame);
    rig.run_ms(3_000);
    assert_eq!(rig.downlinks.len(), 1);
    rig.frame(0, &frame);
    rig.run_ms(10);
    assert_eq!(rig.downlinks.len(), 2);
    assert_eq!(rig.downlinks[0].frame, rig.downlinks[1].frame);
}

/// A dying card hangs before it fails: the centre has long receipted what was being synced.
/// It must not have to do that again for a repetition to be answered.
#[test]
fn a_receipt_that_came_before_the_sync_failed_is_custody_as_well() {
    let mut pendant = Pendant::new(1);
    let mut rig = with_one_receiver(&pendant);
    rig.disk.commit_us = 4_500_000;
    rig.disk.fault = Some(DiskFault::Io);
    let frame = pendant.say(PANIC);
    rig.frame(0, &frame);
    rig.run_ms(2_000);
    rig.frame(0, &frame);
    rig.run_ms(2_000);
    assert_eq!((rig.count("panic"), rig.count("journal_failed")), (1, 0));
    assert!(rig.downlinks.is_empty(), "it may become durable yet");
    rig.run_ms(1_000);
    assert_eq!(rig.count("journal_failed"), 1);
    rig.frame(0, &frame);
    rig.run_ms(10);
    assert!(rig.answer_to(&mut pendant).is_some(), "the centre has it, and nobody says so");
}

/// The state that is written beside one event holds what came of the other too.
#[test]
fn what_a_broker_took_while_there_was_no_journal_is_answered_as_soon_as_there_is_one() {
    let mut pendant = Pendant::new(1);
    let mut rig = off_with_one_receiver(&pendant);
    rig.settings.delivery.receipts = false;
    rig.disk.files_max = Some(0);
    rig.brokers[0].answer = |publish| {
        if is(publish, "panic") { Answer::Silence } else { Answer::Take }
    };
    rig.start();
    rig.run_ms(100);
    // The broker's word for the first is lost, and is no custody for the second.
    rig.frame(0, &pendant.say(PANIC));
    let taken = pendant.say(DISCREET);
    rig.frame(0, &taken);
    rig.run_ms(5_000);
    assert_eq!((rig.count("discreet_panic"), rig.downlinks.len()), (1, 0));
    rig.disk.files_max = None;
    rig.run_ms(30_000);
    rig.frame(0, &taken);
    rig.run_ms(10);
    assert!(rig.answer_to(&mut pendant).is_some(), "it is kept, and nobody says so");
}
