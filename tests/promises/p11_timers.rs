//! P11: an overdue session raises its alarm although the pendant is destroyed, the
//! gateway restarted, the network down or the clock wrong; and so do the other
//! timers.

use crate::pendant::*;
use crate::rig::*;
use pendant_gateway::engine::keyring::Keyring;
use pendant_gateway::engine::seam::Input;
use pendant_protocol::{Body, Instruction, Outcome};
use proptest::prelude::*;

const MINUTE_MS: u64 = 60_000;
const GRACE_MS: u64 = 30_000;

/// A pendant with a running session of 30 minutes.
fn in_session() -> (Rig, Pendant) {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.exchange(&mut pendant, start(30)), Some(Outcome::SessionStarted));
    (rig, pendant)
}

fn overdue(rig: &Rig) -> &Seen {
    rig.seen.iter().find(|seen| seen.kind() == "overdue").expect("an overdue alarm")
}

fn late_ms(seen: &Seen) -> Option<u64> {
    seen.json["data"]["detail"]["overdue"]["late_ms"].as_u64()
}

#[test]
fn a_session_that_is_not_ended_raises_its_alarm_after_the_grace() {
    let (mut rig, _) = in_session();
    rig.run_ms(30 * MINUTE_MS + GRACE_MS - 2_000);
    assert_eq!(rig.count("overdue"), 0);
    rig.run_ms(2_000);
    assert_eq!(rig.count("overdue"), 1);
    assert_eq!(late_ms(overdue(&rig)), None);
    assert_eq!(overdue(&rig).lane(), "urgent");
    rig.run_ms(120 * MINUTE_MS);
    assert_eq!(rig.count("overdue"), 1, "once");
}

/// The centre keeps the due times too, for a gateway that is destroyed: each event that
/// sets one says it, and the alarm names the same.
#[test]
fn the_centre_is_told_when_a_session_falls_due() {
    let (mut rig, mut pendant) = in_session();
    rig.run_ms(MINUTE_MS);
    let extend = Body::SessionExtend { minutes: 10, place: 0 };
    assert_eq!(rig.exchange(&mut pendant, extend), Some(Outcome::SessionExtended));
    rig.run_ms(60 * MINUTE_MS);
    let told = |kind: &str, detail: &str| {
        let seen = rig.seen.iter().find(|seen| seen.kind() == kind).expect("it is told");
        let session = &seen.json["data"]["detail"][detail];
        (session["minutes"].as_u64(), session["due"].as_str().map(str::to_owned))
    };
    let (started, extended) =
        (told("session_started", "session"), told("session_extended", "session"));
    assert_eq!((started.0, extended.0), (Some(30), Some(40)));
    assert!(started.1.is_some_and(|due| due.starts_with("2026-01-01T00:30:")));
    assert!(extended.1.as_deref().is_some_and(|due| due.starts_with("2026-01-01T00:40:")));
    assert_eq!(told("overdue", "overdue"), extended);
    // A check-in begins its time anew.
    let (mut rig, mut pendant) = in_session();
    rig.run_ms(10 * MINUTE_MS);
    assert_eq!(rig.exchange(&mut pendant, Body::CheckIn { place: 0 }), Some(Outcome::CheckedIn));
    rig.run_ms(MINUTE_MS);
    let seen = rig.seen.iter().find(|seen| seen.kind() == "checked_in").expect("it is told");
    let session = &seen.json["data"]["detail"]["session"];
    assert_eq!(session["minutes"], 30);
    assert!(session["due"].as_str().is_some_and(|due| due.starts_with("2026-01-01T00:40:")));
}

#[test]
fn the_wearer_is_reminded_with_the_next_answer_and_can_still_end() {
    let (mut rig, mut pendant) = in_session();
    rig.run_ms(30 * MINUTE_MS);
    rig.exchange(&mut pendant, HEARTBEAT);
    let answer = rig.answer_to(&mut pendant).expect("an answer");
    assert_eq!(answer.instruction, Instruction::Remind);
    assert_eq!(answer.minutes_left, 0);
    assert_eq!(rig.exchange(&mut pendant, pin(SAFE)), Some(Outcome::Ended));
    rig.run_ms(10 * MINUTE_MS);
    assert_eq!(rig.count("overdue"), 0);
}

#[test]
fn extending_and_checking_in_move_the_due_time_and_a_second_overdue_is_another_event() {
    let (mut rig, mut pendant) = in_session();
    let extend = Body::SessionExtend { minutes: 10, place: 0 };
    assert_eq!(rig.exchange(&mut pendant, extend), Some(Outcome::SessionExtended));
    rig.run_ms(35 * MINUTE_MS);
    assert_eq!(rig.count("overdue"), 0);
    rig.run_ms(6 * MINUTE_MS);
    assert_eq!(rig.count("overdue"), 1);
    let check_in = Body::CheckIn { place: 0 };
    assert_eq!(rig.exchange(&mut pendant, check_in), Some(Outcome::CheckedIn));
    rig.run_ms(41 * MINUTE_MS);
    assert_eq!(rig.count("overdue"), 2);
}

#[test]
fn it_fires_although_pendant_network_and_power_are_gone() {
    let (mut rig, _) = in_session();
    rig.broker_away();
    rig.run_ms(10 * MINUTE_MS);
    rig.restart();
    rig.run_ms(21 * MINUTE_MS);
    assert_eq!(rig.count("overdue"), 0);
    rig.broker_back();
    rig.run_ms(5_000);
    assert_eq!(rig.count("overdue"), 1);
    assert_eq!(late_ms(overdue(&rig)), None);
}

#[test]
fn what_fell_due_while_the_gateway_was_off_fires_at_the_start_and_says_so() {
    let (mut rig, _) = in_session();
    rig.run_ms(5 * MINUTE_MS);
    rig.crash();
    rig.run_ms(60 * MINUTE_MS);
    rig.start();
    rig.run_ms(1_000);
    let late = late_ms(overdue(&rig)).expect("told as late");
    let exact = 60 * MINUTE_MS + 5 * MINUTE_MS - 30 * MINUTE_MS - GRACE_MS;
    assert!(late.abs_diff(exact) < 5_000, "{late} ms late, {exact} expected");
}

#[test]
fn with_an_unset_clock_it_runs_on_and_fires_at_once_when_the_clock_proves_it_overdue() {
    let (mut rig, _) = in_session();
    rig.run_ms(5 * MINUTE_MS);
    rig.crash();
    rig.run_ms(60 * MINUTE_MS);
    rig.wall_set = false;
    rig.start();
    rig.run_ms(10 * MINUTE_MS);
    assert_eq!(rig.count("overdue"), 0, "nothing proves how long it was off");
    rig.wall_set = true;
    rig.run_ms(MINUTE_MS);
    assert_eq!(rig.count("overdue"), 1);
    assert!(late_ms(overdue(&rig)).is_some());
}

#[test]
fn time_off_that_is_proven_late_does_not_count_for_what_was_set_since() {
    let (mut rig, mut pendant) = in_session();
    rig.run_ms(MINUTE_MS);
    rig.crash();
    rig.run_ms(20 * MINUTE_MS);
    rig.wall_set = false;
    rig.start();
    rig.run_ms(1_000);
    // Due in 31 minutes, as the wearer is told while nobody knows of the twenty.
    rig.exchange(&mut pendant, Body::SessionExtend { minutes: 2, place: 0 });
    rig.run_ms(MINUTE_MS);
    rig.wall_set = true;
    rig.run_ms(29 * MINUTE_MS);
    assert_eq!((rig.count("overdue"), rig.count("supervision_lost")), (0, 0));
    rig.restart();
    rig.run_ms(MINUTE_MS / 2);
    assert_eq!(rig.count("overdue"), 0, "nor after a restart");
    rig.run_ms(MINUTE_MS + GRACE_MS);
    assert_eq!(rig.count("overdue"), 1);
}

#[test]
fn a_clock_that_stays_unset_loses_at_most_a_minute_and_the_time_off() {
    let (mut rig, _) = in_session();
    rig.wall_set = false;
    for _ in 0..5 {
        rig.run_ms(5 * MINUTE_MS);
        rig.restart();
    }
    // 25 minutes lived in five boots, each up to a minute of it twice.
    rig.run_ms(5 * MINUTE_MS + GRACE_MS + 5 * MINUTE_MS + 1_000);
    assert_eq!(rig.count("overdue"), 1);
}

#[test]
fn steps_of_the_clock_move_no_timer_while_the_gateway_runs() {
    for step_ms in [86_400_000, -86_400_000] {
        let (mut rig, _) = in_session();
        rig.run_ms(10 * MINUTE_MS);
        rig.wall_step_ms = step_ms;
        rig.run_ms(20 * MINUTE_MS + GRACE_MS - 5_000);
        assert_eq!(rig.count("overdue"), 0, "stepped by {step_ms} ms");
        rig.run_ms(5_000);
        assert_eq!(rig.count("overdue"), 1, "stepped by {step_ms} ms");
    }
}

#[test]
fn a_clock_set_back_before_a_restart_does_not_keep_the_alarm_from_firing() {
    let (mut rig, _) = in_session();
    rig.run_ms(10 * MINUTE_MS);
    rig.wall_step_ms = -86_400_000;
    rig.restart();
    rig.run_ms(20 * MINUTE_MS + GRACE_MS + MINUTE_MS);
    assert_eq!(rig.count("overdue"), 1);
}

#[test]
fn a_man_down_is_an_alarm_unless_the_wearer_cancels() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.exchange(&mut pendant, Body::ManDown { place: 0 });
    assert_eq!((rig.count("pre_alarm"), rig.count("man_down")), (1, 0));
    rig.exchange(&mut pendant, Body::CancelAlert { place: 0 });
    rig.run_ms(MINUTE_MS);
    assert_eq!((rig.count("alert_cancelled"), rig.count("man_down")), (1, 0));

    rig.exchange(&mut pendant, Body::Fall { place: 0 });
    rig.restart();
    rig.run_ms(2 * MINUTE_MS);
    assert_eq!((rig.count("pre_alarm"), rig.count("fall")), (2, 1));
    assert_eq!(rig.exchange(&mut pendant, pin(SAFE)), Some(Outcome::Ended), "an open alert");
}

#[test]
fn a_cancel_that_was_held_back_cancels_nothing() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    let held = pendant.say(Body::CancelAlert { place: 0 });
    rig.exchange(&mut pendant, Body::ManDown { place: 0 });
    rig.frame(0, &held);
    rig.run_ms(MINUTE_MS);
    assert_eq!(rig.count("man_down"), 1);
}

#[test]
fn a_silent_pendant_is_told_and_only_a_fresh_frame_restores_it() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    let held = pendant.say(HEARTBEAT);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.run_ms(80 * MINUTE_MS + MINUTE_MS);
    assert_eq!(rig.count("supervision_lost"), 1);
    rig.frame(0, &held);
    rig.run_ms(2_000);
    assert_eq!(rig.count("supervision_restored"), 0, "an old frame proves nothing");
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("supervision_restored"), 1);
    rig.run_ms(81 * MINUTE_MS);
    assert_eq!(rig.count("supervision_lost"), 2);
}

/// Told again it would bear the id that it had, and one receipt would release both: whose
/// number the centre never saw is missing for ever, and when that is, lanes decide
/// (found as Discreet 47348).
#[test]
fn a_silent_pendant_that_is_enrolled_again_as_it_was_is_missed_once_and_its_return_is_told() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.broker_away();
    rig.run_ms(81 * MINUTE_MS);
    enrol_again(&mut rig, &pendant);
    rig.run_ms(MINUTE_MS);
    rig.broker_back();
    rig.run_ms(MINUTE_MS);
    assert_eq!(rig.count("supervision_lost"), 1);
    assert_eq!(rig.gateway.as_ref().expect("it runs").status().backlog, 0);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("supervision_restored"), 1);
    let troubles = rig.seen.iter().filter(|seen| seen.json["data"]["room"] == "trouble");
    let numbers: Vec<u64> = troubles.filter_map(|s| s.json["data"]["number"].as_u64()).collect();
    let last = numbers.iter().copied().max().expect("some were told");
    assert!((1..=last).all(|number| numbers.contains(&number)), "{numbers:?}");
}

#[test]
fn a_pendant_that_is_enrolled_again_has_its_whole_time_to_be_heard() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.run_ms(70 * MINUTE_MS);
    enrol_again(&mut rig, &pendant);
    rig.run_ms(79 * MINUTE_MS);
    assert_eq!(rig.count("supervision_lost"), 0);
    rig.run_ms(2 * MINUTE_MS);
    assert_eq!(rig.count("supervision_lost"), 1);
}

fn enrol_again(rig: &mut Rig, pendant: &Pendant) {
    for enrolled in [false, true] {
        if enrolled {
            rig.keyring.insert(pendant.enrolment());
        } else {
            rig.keyring.remove(pendant.id);
        }
        let keyring = rig.keyring.clone();
        rig.input(Input::Keyring(keyring));
    }
}

#[test]
fn many_that_fall_silent_together_are_one_suspicion() {
    let mut pendants: Vec<Pendant> = (1..=12).map(Pendant::new).collect();
    let mut rig = Rig::new(&pendants.iter().collect::<Vec<_>>());
    for pendant in &mut pendants {
        rig.exchange(pendant, HEARTBEAT);
    }
    rig.run_ms(82 * MINUTE_MS);
    assert_eq!((rig.count("reception_suspect"), rig.count("supervision_lost")), (1, 0));
    let suspect = rig.seen.iter().find(|seen| seen.kind() == "reception_suspect");
    assert_eq!(suspect.expect("told").json["data"]["detail"]["times"], 12);
    for pendant in &mut pendants[..8] {
        rig.exchange(pendant, HEARTBEAT);
    }
    assert_eq!((rig.count("reception_restored"), rig.count("supervision_restored")), (1, 0));
    rig.run_ms(10 * MINUTE_MS);
    for _ in 0..8 {
        for pendant in &mut pendants[..8] {
            rig.exchange(pendant, HEARTBEAT);
        }
        rig.run_ms(10 * MINUTE_MS);
    }
    assert_eq!(rig.count("supervision_lost"), 4, "those who did not come back are told by name");
}

/// A flood took them all: they are revoked, and no return will ever end the suspicion.
#[test]
fn a_suspicion_ends_with_the_last_who_is_missing_though_he_is_revoked() {
    let mut pendants: Vec<Pendant> = (1..=6).map(Pendant::new).collect();
    let mut rig = Rig::new(&pendants.iter().collect::<Vec<_>>());
    for pendant in &mut pendants[..5] {
        rig.exchange(pendant, HEARTBEAT);
    }
    rig.run_ms(82 * MINUTE_MS);
    assert_eq!((rig.count("reception_suspect"), rig.count("reception_restored")), (1, 0));
    let suspect = |rig: &Rig| rig.gateway.as_ref().expect("running").status().reception_suspect;
    for (revoked, told, suspected) in [(4, 0, true), (5, 1, false)] {
        let mut keyring = Keyring::new();
        for pendant in &pendants[revoked..] {
            keyring.insert(pendant.enrolment());
        }
        rig.input(Input::Keyring(keyring));
        rig.run_ms(1_000);
        assert_eq!(rig.count("reception_restored"), told);
        assert_eq!(suspect(&rig), suspected);
    }
}

#[test]
fn time_off_is_no_silence_of_the_pendants() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.crash();
    rig.run_ms(600 * MINUTE_MS);
    rig.start();
    rig.run_ms(79 * MINUTE_MS);
    assert_eq!(rig.count("supervision_lost"), 0);
    rig.run_ms(2 * MINUTE_MS);
    assert_eq!(rig.count("supervision_lost"), 1);
}

#[test]
fn impossible_sequences_get_the_defined_answer() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    let extend = |minutes| Body::SessionExtend { minutes, place: 0 };
    assert_eq!(rig.exchange(&mut pendant, pin(SAFE)), Some(Outcome::NothingToEnd));
    assert_eq!(rig.exchange(&mut pendant, extend(5)), Some(Outcome::Refused));
    assert_eq!(rig.exchange(&mut pendant, start(0)), Some(Outcome::Refused));
    assert_eq!(rig.exchange(&mut pendant, start(u16::MAX)), Some(Outcome::SessionStarted));
    assert_eq!(rig.exchange(&mut pendant, extend(u16::MAX)), Some(Outcome::SessionExtended));
    assert_eq!(rig.exchange(&mut pendant, pin(SAFE)), Some(Outcome::Ended));
    assert_eq!(rig.exchange(&mut pendant, extend(5)), Some(Outcome::Refused));
    pendant.counter = u32::MAX - 2;
    assert_eq!(rig.exchange(&mut pendant, HEARTBEAT), Some(Outcome::Noted));
    assert_eq!(rig.exchange(&mut pendant, PANIC), Some(Outcome::Noted));
    assert_eq!(rig.count("panic"), 1);
}

/// A pendant that fell silent waits for others that did; its alarm does not.
#[test]
fn silence_does_not_hold_an_alarm_back() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::off(&[&pendant]);
    rig.settings.policies.site.heartbeat_interval_ms = 60_000;
    rig.settings.policies.site.heartbeats_missed_max = 1;
    rig.settings.policies.site.grace_ms = 10_000;
    rig.start();
    rig.run_ms(200);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.exchange(&mut pendant, start(1));
    // Silent from a minute on, overdue ten seconds later.
    rig.run_ms(72_000);
    assert_eq!(rig.count("overdue"), 1);
    rig.run_ms(30_000);
    assert_eq!(rig.count("overdue"), 1);
    assert_eq!(rig.count("supervision_lost"), 1);
}

/// Whatever a pendant says, in whatever order, with whatever counters: each new
/// frame gets one answer and one event.
fn anything() -> impl Strategy<Value = Body> {
    let minutes = prop::sample::select(vec![0, 1, 30, u16::MAX - 1, u16::MAX]);
    let place = prop::sample::select(vec![0, 1, u16::MAX]);
    prop_oneof![
        minutes.clone().prop_map(start),
        minutes.prop_map(|minutes| Body::SessionExtend { minutes, place: u16::MAX }),
        place.clone().prop_map(|place| Body::CheckIn { place }),
        prop::sample::select(vec![WRONG, SAFE, DURESS]).prop_map(pin),
        place.clone().prop_map(|place| Body::Panic { place }),
        place.clone().prop_map(|place| Body::DiscreetPanic { place }),
        place.clone().prop_map(|place| Body::ManDown { place }),
        place.clone().prop_map(|place| Body::Fall { place }),
        place.clone().prop_map(|place| Body::CancelAlert { place }),
        place.prop_map(|place| Body::Heartbeat { place }),
    ]
}

proptest! {
    #![proptest_config(cases(100))]
    #[test]
    fn any_sequence_up_to_the_last_counter_is_answered(
        said in prop::collection::vec((anything(), prop::sample::select(vec![1, 2, 63, 64, 65, 1 << 20])), 1..40),
        first in prop::sample::select(vec![1, u32::MAX - 200, u32::MAX - 20, u32::MAX - 1]),
    ) {
        let mut pendant = Pendant::new(1);
        let mut rig = Rig::new(&[&pendant]);
        pendant.counter = first;
        let mut frames = 0;
        for (body, step) in said {
            let Some(counter) = pendant.counter.checked_add(step) else { break };
            pendant.counter = counter - 1;
            prop_assert!(rig.exchange(&mut pendant, body).is_some(), "{body:?} with {counter}");
            frames += 1;
        }
        rig.run_ms(10 * MINUTE_MS);
        let of_frames = rig.seen.iter().filter(|seen| seen.json["data"]["link"].is_string());
        let ids: std::collections::BTreeSet<&str> = of_frames.map(|seen| seen.id()).collect();
        prop_assert!(ids.len() >= frames, "{} events of {frames} frames", ids.len());
    }
}
