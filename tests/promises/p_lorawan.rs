//! LoRaWAN pendants: the same promises, by another protocol.

use crate::lorawan::*;
use crate::rig::*;
use pendant_gateway::engine::lorawan::DevNonceRule;
use pendant_gateway::engine::notice::{Notice, Refusal};
use pendant_gateway::engine::seam::{DiskFault, Input, LinkId, Wave};
use pendant_kit::lorawan::{Asks, LoRaWanDevice};
use std::collections::BTreeSet;

fn random(number: u32) -> Button {
    Button::new(number, DevNonceRule::Random)
}

fn refused(rig: &Rig, why: Refusal) -> usize {
    let same =
        |notice: &&Notice| matches!(notice, Notice::FrameRefused { why: it, .. } if *it == why);
    rig.notices.iter().filter(same).count()
}

#[test]
fn a_join_is_answered_in_its_windows_and_the_press_after_it_is_an_event() {
    let mut button = random(0x12F);
    let mut rig = on(&[&button]);
    let (request, asked_us) = (button.device.join(), rig.now_us);
    rig.frame(0, &request);
    rig.run_ms(5_000);
    let answer = rig.downlinks.pop().expect("an answer before the first window ends");
    assert!(rig.downlinks.is_empty());
    assert_eq!(answer.at.us() - asked_us, 5_000_000);
    let later = answer.or.expect("a second window");
    assert_eq!(later.at.us() - asked_us, 6_000_000);
    let wave = |frequency_hz, spreading_factor| Wave::LoRaWan {
        frequency_hz,
        spreading_factor,
        bandwidth_hz: 125_000,
    };
    assert_eq!([answer.wave, later.wave], [wave(868_100_000, 10), wave(869_525_000, 12)]);

    let joined = button.device.accept(&answer.frame).expect("for this device");
    assert_eq!(joined.rx_delay_s, 1);
    assert_eq!(
        joined.channels_hz,
        [867_100_000, 867_300_000, 867_500_000, 867_700_000, 867_900_000]
    );
    assert_eq!(button.session().dev_addr, 0x12F);
    assert_eq!(rig.count("joined"), 1);

    let said_us = rig.now_us;
    let frame = button.say(SHORT, CONFIRMED);
    rig.frame(0, &frame);
    rig.run_ms(1_000);
    let answer = rig.downlinks.pop().expect("an acknowledgement");
    assert_eq!(answer.at.us() - said_us, 1_000_000);
    let heard = button.session().hear(&answer.frame).expect("for this device");
    assert!(heard.acknowledges && !heard.confirmed);
    let press = rig.seen.iter().find(|seen| seen.kind() == "panic").expect("told");
    let data = &press.json["data"];
    assert_eq!(data["authentication"], "lorawan-cmac-32");
    assert_eq!((&data["battery_percent"], &data["fresh"]), (&80.into(), &true.into()));
    assert_eq!(data["pendant"], "00012f");
}

/// P1.
#[test]
fn neither_join_nor_press_is_answered_before_it_is_durable() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    rig.disk.fault = Some(DiskFault::Io);
    rig.brokers[0].centre_there = false;
    rig.frame(0, &button.device.join());
    rig.run_ms(10_000);
    assert!(rig.downlinks.is_empty(), "a session that a restart would forget");
    rig.disk.fault = None;
    rig.run_ms(60_000);
    button.join(&mut rig);
    rig.disk.fault = Some(DiskFault::Io);
    let frame = button.say(SHORT, CONFIRMED);
    rig.frame(0, &frame);
    rig.run_ms(10_000);
    assert!(rig.downlinks.is_empty(), "acknowledged what a power cut loses");
    assert_eq!(rig.told("panic"), 1, "it is told all the same");
}

/// While the journal fails the centre's word stands for it (P1), but not for a session that
/// a restart would forget.
#[test]
fn the_centre_s_receipt_acknowledges_a_press_and_gives_no_session() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    button.join(&mut rig);
    rig.disk.fault = Some(DiskFault::Io);
    let mut other = button.clone();
    let heard = button.exchange(&mut rig, SHORT, CONFIRMED).expect("the centre has it");
    assert!(heard.acknowledges);
    rig.frame(0, &other.device.join());
    rig.run_ms(10_000);
    assert_eq!(rig.told("joined"), 2, "the centre has that as well");
    assert!(rig.downlinks.is_empty(), "a session that is not durable");
}

/// P3.
#[test]
fn a_repetition_is_acknowledged_again_and_is_no_second_press() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    button.join(&mut rig);
    let frame = button.say(SHORT, CONFIRMED);
    let before = button.clone();
    let mut counters = BTreeSet::new();
    for _ in 0..4 {
        rig.frame(0, &frame);
        rig.run_ms(3_000);
        let mut button = before.clone();
        let heard = button.hear(rig.downlinks.drain(..)).expect("acknowledged");
        assert!(heard.acknowledges);
        counters.insert(heard.counter);
    }
    assert_eq!((rig.count("panic"), counters.len()), (1, 1));
    // An unconfirmed one is heard and not answered.
    let quiet = button.say(QUIET, UNCONFIRMED);
    rig.frame(0, &quiet);
    rig.frame(0, &quiet);
    rig.run_ms(3_000);
    assert!(rig.downlinks.is_empty());
    assert_eq!(rig.count("heartbeat"), 1);
}

/// P4.
#[test]
fn what_is_old_forged_or_strange_changes_nothing() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    let request = button.device.join();
    rig.frame(0, &request);
    rig.run_ms(7_000);
    button.device.accept(&rig.downlinks.pop().expect("an answer").frame).expect("ours");
    let frames: Vec<Vec<u8>> = (0..3).map(|_| button.say(SHORT, CONFIRMED)).collect();
    rig.frame(0, &frames[1]);
    rig.run_ms(3_000);
    assert_eq!(rig.count("panic"), 1);
    rig.downlinks.clear();

    rig.frame(0, &frames[0]);
    rig.run_ms(10);
    assert_eq!(refused(&rig, Refusal::Replayed), 1, "an older counter");
    assert_eq!(rig.count("counter_stale"), 1);
    rig.frame(0, &request);
    rig.run_ms(10);
    assert_eq!(refused(&rig, Refusal::Replayed), 2, "a join that was answered");

    let mut stranger = LoRaWanDevice::new(0x0102_0304_0506_0708, [9; 16]);
    rig.frame(0, &stranger.join());
    let mut elsewhere = Button::personalised(9, 0x2601_1234);
    rig.frame(0, &elsewhere.say(SHORT, CONFIRMED));
    assert_eq!(refused(&rig, Refusal::UnknownPendant), 2);
    let mut forger = button.clone();
    forger.session().nwk_s_key = [0; 16];
    rig.frame(0, &forger.say(SHORT, CONFIRMED));
    let mut wrong_key = button.device.clone();
    wrong_key.app_key = [0; 16];
    rig.frame(0, &wrong_key.join());
    assert_eq!(refused(&rig, Refusal::Forged), 2);
    let new = frames[2].clone();
    for bit in 0..new.len() * 8 {
        let mut bad = new.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        rig.frame(0, &bad);
        rig.frame(0, &new[..bit / 8]);
    }
    rig.run_ms(3_000);
    assert_eq!((rig.count("panic"), rig.downlinks.len()), (1, 0));
    rig.frame(0, &new);
    rig.run_ms(3_000);
    assert_eq!((rig.count("panic"), rig.downlinks.len()), (2, 1), "what was tried cost nothing");
}

/// A join request that is heard twice at once is one; a replayed one breaks nothing.
#[test]
fn a_join_heard_by_two_receivers_is_answered_once_by_the_better_one() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    let request = button.device.join();
    rig.frame_heard(0, &request, -10);
    rig.run_ms(100);
    rig.frame_heard(1, &request, 5);
    rig.run_ms(7_000);
    assert_eq!((rig.count("joined"), rig.downlinks.len()), (1, 1));
    assert_eq!(rig.downlinks[0].link, LinkId(1));
    assert_eq!(rig.count("counter_stale"), 0);
}

#[test]
fn nonces_that_rise_may_not_fall_and_random_ones_may() {
    for (nonces, again) in [(DevNonceRule::Random, 1), (DevNonceRule::Rising, 0)] {
        let mut button = Button::new(1, nonces);
        button.device.dev_nonce = 99;
        let mut rig = on(&[&button]);
        button.join(&mut rig);
        button.device.dev_nonce = 9;
        let request = button.device.join();
        rig.frame(0, &request);
        rig.run_ms(7_000);
        assert_eq!(rig.downlinks.len(), again, "{nonces:?}");
    }
}

/// The answer to a join is lost: the device goes on in its old session, or joins anew.
#[test]
fn an_old_session_lasts_until_the_new_one_is_used() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    button.join(&mut rig);
    assert!(button.exchange(&mut rig, SHORT, CONFIRMED).is_some());
    let old = button.clone();
    for _ in 0..5 {
        rig.frame(0, &button.device.join());
        rig.run_ms(8_000);
        rig.downlinks.clear();
        assert!(button.exchange(&mut rig, SHORT, CONFIRMED).is_some(), "the old session");
    }
    button.join(&mut rig);
    assert!(button.exchange(&mut rig, SHORT, CONFIRMED).is_some(), "the new session");
    let presses = rig.count("panic");
    assert_eq!(presses, 7);
    let mut old = old;
    old.session().up = 20;
    assert!(old.exchange(&mut rig, SHORT, CONFIRMED).is_none(), "the old one is over");
    assert_eq!(rig.count("panic"), presses);
    let ids: BTreeSet<&str> = rig.seen.iter().map(|seen| seen.id()).collect();
    assert_eq!(ids.len(), rig.seen.len(), "P3: no id twice over all sessions");
    let counters: Vec<u64> = rig
        .seen
        .iter()
        .filter(|seen| seen.kind() == "panic")
        .map(|seen| seen.json["data"]["counter"].as_u64().expect("a number"))
        .collect();
    assert!(counters.is_sorted_by(|a, b| a < b), "{counters:?}");
}

/// P2, P3: what was acknowledged is known after a crash, and so are all counters.
#[test]
fn a_restart_forgets_no_session_and_repeats_no_counter() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    button.join(&mut rig);
    let mut downs = BTreeSet::new();
    let mut last = Vec::new();
    for n in 0..10 {
        let frame = button.say(SHORT, CONFIRMED);
        rig.frame(0, &frame);
        rig.run_ms(3_000);
        let heard = button.hear(rig.downlinks.drain(..)).expect("acknowledged");
        assert!(downs.insert(heard.counter), "FCntDown {} twice", heard.counter);
        rig.restart();
        rig.run_ms(500);
        if n > 0 {
            rig.frame(0, &last);
            rig.run_ms(3_000);
            assert!(rig.downlinks.is_empty(), "a replay over a restart");
        }
        rig.frame(0, &frame);
        rig.run_ms(3_000);
        assert_eq!(rig.downlinks.drain(..).count(), 1, "a repetition over a restart");
        last = frame;
    }
    rig.run_ms(60_000);
    let presses: BTreeSet<&str> =
        rig.seen.iter().filter(|seen| seen.kind() == "panic").map(|seen| seen.id()).collect();
    assert_eq!(presses.len(), 10);
}

#[test]
fn a_counter_goes_on_over_its_low_half() {
    let mut button = Button::personalised(7, 0x2601_1234);
    let mut rig = on(&[&button]);
    for (up, taken) in [
        (0, true),
        (1, true),
        (40_000, true),
        (65_535, true),
        (65_536, true),
        (65_535, false),
        (131_071, true),
        (0, false),
        (131_072, true),
    ] {
        let before = rig.count("panic");
        button.session().up = up;
        let heard = button.exchange(&mut rig, SHORT, CONFIRMED);
        assert_eq!(heard.is_some(), taken, "{up}");
        assert_eq!(rig.count("panic") - before, usize::from(taken), "{up}");
    }
    // A device that begins again at 0 (ABP without a memory) is refused, and told.
    assert_eq!(rig.count("counter_stale"), 1);
}

/// Some makers give all their devices the same keys: only their addresses differ.
#[test]
fn presses_of_buttons_with_the_same_keys_are_two() {
    let mut buttons =
        [(7, 0x2601_1234), (8, 0x2601_1235)].map(|(n, address)| Button::personalised(n, address));
    let mut rig = on(&[&buttons[0], &buttons[1]]);
    for button in &mut buttons {
        button.exchange(&mut rig, SHORT, CONFIRMED).expect("an answer");
    }
    let panics = rig.seen.iter().filter(|seen| seen.kind() == "panic");
    let ids: std::collections::BTreeSet<_> =
        panics.map(|seen| seen.json["id"].to_string()).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
}

#[test]
fn the_network_s_questions_are_answered() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    button.join(&mut rig);
    let asks = Asks { link_check: true, device_time: true, ..UNCONFIRMED };
    let heard = button.exchange(&mut rig, QUIET, asks).expect("an answer");
    assert!(!heard.acknowledges);
    // -3 dB at SF10, whose floor is -15 dB.
    assert_eq!(heard.link, Some((12, 1)));
    let gps_s = (EPOCH_MS / 1000 - 315_964_800 + 18) as u32;
    let told = heard.gps_s.expect("the time");
    assert!((gps_s..gps_s + 60).contains(&told), "{told}");
    let asks = Asks { answer: true, ..UNCONFIRMED };
    let heard = button.exchange(&mut rig, QUIET, asks).expect("ADRACKReq wants any answer");
    assert!(!heard.acknowledges && !heard.confirmed);
    rig.wall_set = false;
    let asks = Asks { device_time: true, ..UNCONFIRMED };
    let heard = button.exchange(&mut rig, QUIET, asks).expect("an answer");
    assert_eq!(heard.gps_s, None, "P9: no time from a clock that is not set");
}

/// P5: what a button without digits says by its presses is shown to nobody.
#[test]
fn a_duress_press_is_to_the_site_as_a_safe_one() {
    let seen = |presses: &[&[u8]]| {
        let mut button = random(1);
        let mut rig = on(&[&button]);
        button.join(&mut rig);
        button.exchange(&mut rig, SHORT, CONFIRMED).expect("an alert");
        let begins = rig.site.len();
        for payload in presses {
            button.exchange(&mut rig, payload, CONFIRMED).expect("acknowledged");
            rig.run_ms(30_000);
            button.exchange(&mut rig, QUIET, UNCONFIRMED);
            rig.run_ms(30_000);
        }
        (rig.site.split_off(begins), rig.count("duress"), rig.count("session_ended"))
    };
    let (safe, duress) = (seen(&[LONG, QUIET]), seen(&[DOUBLE, QUIET]));
    assert_eq!((safe.1, safe.2, duress.1, duress.2), (0, 1, 1, 0));
    assert_eq!(safe.0, duress.0);
}

#[test]
fn a_device_is_silenced_after_each_join_until_it_says_that_it_is() {
    let mut button = random(1);
    let mut rig = off(&[&button], true);
    rig.start();
    rig.run_ms(200);
    for _ in 0..2 {
        button.join(&mut rig);
        let frame = button.say(QUIET, UNCONFIRMED);
        rig.frame(0, &frame);
        rig.run_ms(2_500);
        rig.downlinks.clear();
        let heard = button.exchange(&mut rig, QUIET, UNCONFIRMED).expect("it was not heard");
        assert_eq!(heard.payload, Some((PORT, SILENCE.to_vec())));
        assert!(heard.confirmed);
        assert_eq!(button.exchange(&mut rig, QUIET, UNCONFIRMED), None, "it has said so");
        assert_eq!(button.exchange(&mut rig, QUIET, UNCONFIRMED), None);
    }
}

/// P4: whoever was silent for long may have been held back. What such a frame says is
/// told; it ends nothing until the device proves that it hears us.
#[test]
fn a_device_that_was_lost_ends_nothing_before_it_acknowledges() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    button.join(&mut rig);
    button.exchange(&mut rig, SHORT, CONFIRMED).expect("an alert");
    rig.run_ms(8 * 600_000 + 40_000);
    assert_eq!(rig.count("supervision_lost"), 1);
    let heard = button.exchange(&mut rig, LONG, CONFIRMED).expect("acknowledged");
    assert!(heard.confirmed, "it is asked to answer");
    assert_eq!((rig.count("session_ended"), rig.count("late_request")), (0, 1));
    assert_eq!(rig.count("supervision_restored"), 0);
    button.exchange(&mut rig, LONG, CONFIRMED).expect("acknowledged");
    assert_eq!((rig.count("session_ended"), rig.count("supervision_restored")), (1, 1));
}

/// A payload that its decoder does not know may be a call for help in another layout.
#[test]
fn what_cannot_be_read_is_told_as_urgent() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    button.join(&mut rig);
    button.exchange(&mut rig, &[0xAA, 0xBB], CONFIRMED).expect("acknowledged");
    assert_eq!(rig.count("unknown_message"), 1);
    // A frame without a payload is a sign of life.
    button.exchange(&mut rig, &[], CONFIRMED).expect("acknowledged");
    assert_eq!(rig.count("heartbeat"), 1);
}

#[test]
fn a_native_pendant_and_a_device_with_its_address_do_not_disturb_each_other() {
    let mut pendant = crate::pendant::Pendant::new(0x11_2233);
    // The same three bytes stand where a native frame has its pendant's number.
    let mut button = Button::personalised(7, 0x0011_2233);
    let mut rig = on(&[&button]);
    rig.keyring.insert(pendant.enrolment());
    rig.input(Input::Keyring(rig.keyring.clone()));
    // 24 bytes, as long as a native frame.
    let payload = [QUIET, &[0xFF, 0x2E, 1, 0x01, 0x75, 0x50, 0x01, 0x75]].concat();
    let frame = button.say(&payload[..11], CONFIRMED);
    assert_eq!((frame.len(), frame[0] & 0xC0), (24, 0x80));
    rig.frame(0, &frame);
    let frame = button.say(&payload[..11], UNCONFIRMED);
    assert_eq!((frame.len(), frame[0]), (24, 0x40));
    rig.frame(0, &frame);
    rig.frame(0, &pendant.say(crate::pendant::PANIC));
    rig.run_ms(3_000);
    assert_eq!(rig.count("unknown_message"), 2);
    assert_eq!(rig.count("panic"), 1);
    assert_eq!(refused(&rig, Refusal::Forged), 0);
}

/// Re-enrolled with the key on its label, a device must not repeat ids of its first life.
#[test]
fn a_device_that_is_enrolled_anew_has_ids_of_its_own() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    for _ in 0..2 {
        button.join(&mut rig);
        for _ in 0..3 {
            button.exchange(&mut rig, SHORT, CONFIRMED).expect("acknowledged");
        }
        button.enrolled_again();
        rig.keyring.insert(button.enrolment());
        rig.input(Input::Keyring(rig.keyring.clone()));
    }
    let ids: BTreeSet<&str> = rig.seen.iter().map(|seen| seen.id()).collect();
    assert_eq!((rig.count("panic"), ids.len()), (6, rig.seen.len()));
}

/// A broken device's pendant goes on with another device, even of a maker who gives all
/// the same key: what the old one says counts no more.
#[test]
fn a_device_that_took_another_s_place_is_heard_and_the_old_one_is_not() {
    let mut old = random(1);
    let mut rig = on(&[&old]);
    old.join(&mut rig);
    old.exchange(&mut rig, SHORT, CONFIRMED).expect("acknowledged");
    // Within the same minute, and with the same DevNonce, equal keys would make equal sessions.
    rig.run_ms(60_000);
    let mut new = Button::same_place(&old, 0x24E1_2400_0000_0999);
    rig.keyring.insert(new.enrolment());
    rig.input(Input::Keyring(rig.keyring.clone()));

    assert!(old.exchange(&mut rig, SHORT, CONFIRMED).is_none(), "its session is over");
    let request = old.device.join();
    rig.frame(0, &request);
    rig.run_ms(7_000);
    assert!(rig.downlinks.is_empty(), "it is unknown");
    assert_eq!((rig.count("joined"), rig.count("panic")), (1, 1));

    new.join(&mut rig);
    new.exchange(&mut rig, SHORT, CONFIRMED).expect("acknowledged");
    assert!(old.exchange(&mut rig, SHORT, CONFIRMED).is_none());
    assert_eq!((rig.count("joined"), rig.count("panic")), (2, 2));
}

/// The journal is lost, moved away or put back, the keyring stays: the centre knows the old
/// ids, and takes none of them for a new press.
#[test]
fn ids_do_not_come_again_though_the_journal_begins_anew() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    for _ in 0..2 {
        button.join(&mut rig);
        for _ in 0..3 {
            button.exchange(&mut rig, SHORT, CONFIRMED).expect("acknowledged");
        }
        rig.run_ms(90_000);
        rig.crash();
        rig.disk.files.clear();
        rig.start();
        rig.run_ms(200);
    }
    let of = |kind| rig.seen.iter().filter(move |seen| seen.kind() == kind).map(|seen| seen.id());
    assert_eq!(of("panic").collect::<BTreeSet<_>>().len(), 6);
    assert_eq!(of("joined").collect::<BTreeSet<_>>().len(), 2);
}

/// A first frame that was jammed, and is released when the device has joined anew.
#[test]
fn a_frame_of_an_older_join_does_not_end_a_newer_one() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    button.join(&mut rig);
    let held_back = button.say(SHORT, CONFIRMED);
    button.join(&mut rig);
    rig.frame(0, &held_back);
    rig.run_ms(3_000);
    rig.downlinks.clear();
    assert!(button.exchange(&mut rig, SHORT, CONFIRMED).is_some(), "the newer session is gone");
    assert_eq!(rig.count("panic"), 2);
}

/// P4: whoever has recorded many requests cannot keep the gateway busy with them.
#[test]
fn joins_are_counted_by_the_hour() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    for _ in 0..100 {
        rig.frame(0, &button.device.join());
        rig.run_ms(10);
    }
    rig.run_ms(7_000);
    assert_eq!((rig.count("joined"), rig.downlinks.len()), (30, 30));
    rig.run_ms(3_600_000);
    rig.downlinks.clear();
    button.join(&mut rig);
}

/// P4: what a device could say before it fell silent may be released after it.
#[test]
fn what_was_held_back_through_a_silence_proves_nothing() {
    let mut button = random(1);
    let mut rig = off(&[&button], true);
    rig.start();
    rig.run_ms(200);
    button.join(&mut rig);
    button.exchange(&mut rig, SHORT, CONFIRMED).expect("an alert, and a command to acknowledge");
    let held_back = button.say(LONG, CONFIRMED);
    rig.run_ms(8 * 600_000 + 40_000);
    assert_eq!(rig.count("supervision_lost"), 1);
    rig.frame(0, &held_back);
    rig.run_ms(3_000);
    assert_eq!((rig.count("session_ended"), rig.count("supervision_restored")), (0, 0));
    // So does the first frame of a session that was joined before.
    let mut rig = on(&[&button]);
    button.join(&mut rig);
    button.exchange(&mut rig, SHORT, CONFIRMED).expect("an alert");
    button.join(&mut rig);
    let held_back = button.say(LONG, CONFIRMED);
    rig.run_ms(8 * 600_000 + 40_000);
    rig.frame(0, &held_back);
    rig.run_ms(3_000);
    assert_eq!((rig.count("session_ended"), rig.count("supervision_restored")), (0, 0));
}

/// A gateway that was replaced: the device has counted on for years.
#[test]
fn a_given_session_is_heard_at_any_counter_that_a_pendant_reaches() {
    let mut button = Button::personalised(7, 0x2601_1234);
    let mut rig = on(&[&button]);
    button.session().up = 200_000;
    assert!(button.exchange(&mut rig, SHORT, CONFIRMED).is_some());
    button.session().up = 199_999;
    assert!(button.exchange(&mut rig, SHORT, CONFIRMED).is_none(), "an older one");
}

/// P9: no alarm is refused because of a clock, so no join either.
#[test]
fn a_clock_beyond_all_join_nonces_keeps_nobody_out() {
    let mut button = random(1);
    let mut rig = on(&[&button]);
    rig.wall_step_ms = 60 * 365 * 24 * 3_600_000;
    button.join(&mut rig);
    assert!(button.exchange(&mut rig, SHORT, CONFIRMED).is_some());
}

/// Two gateways that were given a device's session hear one press: one id.
#[test]
fn a_personalised_device_s_press_has_one_id_on_every_gateway() {
    let mut button = Button::personalised(7, 0x2601_1234);
    let frame = button.say(SHORT, CONFIRMED);
    let id = |name: u8| {
        let mut rig = on(&[&button]);
        rig.boots = name;
        rig.frame(0, &frame);
        rig.run_ms(3_000);
        rig.seen.iter().find(|seen| seen.kind() == "panic").expect("told").id().to_owned()
    };
    assert_eq!(id(1), id(2));
}
