//! Several gateways hear one pendant: in one place by two receivers' reach, or one after
//! the other because its wearer walks from site to site. Each is the engine in a world of
//! its own; the pendant is one.

use crate::pendant::*;
use crate::rig::{Rig, Seen};
use pendant_gateway::config::DownlinkRole;
use pendant_gateway::engine::keyring::Keyring;
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::seam::Input;
use pendant_gateway::engine::settings::Chance;
use pendant_gateway::shell::keyring_files::shared::{self, Receiver, Sender};
use pendant_gateway::shell::store_key::StoreKey;
use pendant_protocol::{Body, Outcome, SealedDownlink, Slot};

/// Two gateways that both have the pendant, `far` under a slot of its own.
fn two(pendant: &Pendant) -> (Rig, Rig) {
    let (mut near, mut far) = (Rig::off(&[pendant]), Rig::off(&[pendant]));
    near.settings.chance = Chance::First;
    far.settings.chance = Chance::Second;
    far.settings.gateway = Name::new("gw2").expect("valid");
    far.settings.slot = Slot::new(4).expect("valid");
    for rig in [&mut near, &mut far] {
        rig.start();
        rig.run_ms(200);
    }
    (near, far)
}

/// The newest event of a pendant.
fn last(rig: &Rig) -> &Seen {
    rig.seen.iter().rev().find(|seen| seen.json["data"]["counter"].is_u64()).expect("an event")
}

#[test]
fn each_answers_in_its_own_window_under_its_own_slot_and_tells_how_it_heard() {
    let mut pendant = Pendant::new(1);
    let (mut near, mut far) = two(&pendant);
    for _ in 0..3 {
        let frame = pendant.say(PANIC);
        let (near_us, far_us) = (near.now_us, far.now_us);
        near.frame_heard(0, &frame, 7);
        far.frame_heard(0, &frame, -12);
        near.run_ms(4_000);
        far.run_ms(4_000);
        assert_eq!(last(&near).id(), last(&far).id());
        let snr = |rig: &Rig| last(rig).json["data"]["snr_db"].as_f64();
        assert_eq!((snr(&near), snr(&far)), (Some(7.0), Some(-12.0)));
        for (rig, slot, begun_us, window_ms) in
            [(&mut near, 3, near_us, 1_000), (&mut far, 4, far_us, 2_000)]
        {
            let [answer] = &rig.downlinks[..] else { panic!("{:?}", rig.downlinks) };
            assert_eq!((answer.at.us() - begun_us) / 1000, window_ms);
            assert_eq!(answer.or, None);
            let sealed = SealedDownlink::parse(&answer.frame).expect("a downlink");
            assert_eq!(sealed.slot(), Slot::new(slot).expect("valid"));
            let heard = pendant.hear(&answer.frame, pendant.counter).expect("both are genuine");
            assert_eq!(heard.outcome, Outcome::Noted);
            rig.downlinks.clear();
        }
    }
}

#[test]
fn the_same_digits_are_one_id_whatever_a_gateway_takes_them_for() {
    let mut pendant = Pendant::new(1);
    let (mut near, mut far) = two(&pendant);
    // The other keyring is older: what is the duress PIN now is none there.
    let mut older = pendant.enrolment();
    let pendant_gateway::engine::keyring::Secrets::Native { pins, .. } = &mut older.secrets else {
        panic!("a native pendant");
    };
    *pins =
        Some(pendant_gateway::engine::pin::PinVerifier::new([9; 32], digits(SAFE), digits("1234")));
    far.keyring.insert(older);
    let keyring = far.keyring.clone();
    far.input(Input::Keyring(keyring));
    // Both know the pendant as fresh; only the first hears the session begin.
    for rig in [&mut near, &mut far] {
        assert_eq!(rig.exchange_in(&mut pendant, HEARTBEAT, 2_500), Some(Outcome::Noted));
        assert_eq!(rig.exchange_in(&mut pendant, HEARTBEAT, 2_500), Some(Outcome::Noted));
    }
    assert_eq!(near.exchange(&mut pendant, HEARTBEAT), Some(Outcome::Noted));
    assert_eq!(near.exchange(&mut pendant, start(30)), Some(Outcome::SessionStarted));
    let frame = pendant.say(pin(DURESS));
    near.frame(0, &frame);
    far.frame(0, &frame);
    near.run_ms(2_500);
    far.run_ms(2_500);
    assert_eq!(last(&near).kind(), "duress");
    assert!(["wrong_pin", "late_request"].contains(&last(&far).kind()), "{}", last(&far).kind());
    assert_eq!(last(&near).id(), last(&far).id(), "the centre can put them side by side");
}

#[test]
fn a_session_goes_on_where_it_began_and_the_next_site_takes_no_end_for_it() {
    let mut pendant = Pendant::new(1);
    let (mut first, mut next) = two(&pendant);
    first.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(first.exchange(&mut pendant, start(1)), Some(Outcome::SessionStarted));
    // The wearer drives over. Counters go on: none is stale there. The next site has never
    // heard the pendant, so nothing changes until it has echoed an answer of this site.
    assert_eq!(
        next.exchange_in(&mut pendant, Body::CheckIn { place: 0 }, 2_500),
        Some(Outcome::Refused)
    );
    assert_eq!(last(&next).kind(), "late_request");
    assert_eq!(next.count("counter_stale"), 0);
    // It has echoed now, and there is no session here to check in for, nor to end: the
    // wearer sees both.
    assert_eq!(
        next.exchange_in(&mut pendant, Body::CheckIn { place: 0 }, 2_500),
        Some(Outcome::Refused)
    );
    assert_eq!(next.exchange_in(&mut pendant, pin(SAFE), 2_500), Some(Outcome::NothingToEnd));
    let ended = last(&next).clone();
    assert_eq!((ended.kind(), ended.json["data"]["covert"].as_bool()), ("safe_pin", Some(false)));
    // A duress PIN says so here as anywhere.
    assert_eq!(next.exchange_in(&mut pendant, pin(DURESS), 2_500), Some(Outcome::NothingToEnd));
    assert_eq!(last(&next).kind(), "duress");
    // The owner of the timer heard none of it: it alarms, once, with the start's counter.
    first.run_ms(100_000);
    assert_eq!(first.count("overdue"), 1);
    assert_eq!(next.count("overdue"), 0);
    let overdue = first.seen.iter().find(|seen| seen.kind() == "overdue").expect("told");
    let after = ended.json["data"]["counter"].as_u64();
    assert!(overdue.json["data"]["counter"].as_u64() < after, "the centre sees which came later");
    // A session of the next site is its own.
    assert_eq!(next.exchange_in(&mut pendant, start(1), 2_500), Some(Outcome::SessionStarted));
    next.run_ms(100_000);
    assert_eq!((first.count("overdue"), next.count("overdue")), (1, 1));
    // Back at the first, with an echo of the other's salt: unproven at first, never stale.
    assert_eq!(first.exchange(&mut pendant, PANIC), Some(Outcome::Noted));
    assert_eq!(first.exchange(&mut pendant, pin(SAFE)), Some(Outcome::Ended));
    assert_eq!((last(&first).kind(), first.count("counter_stale")), ("session_ended", 0));
}

/// What `pendants share` writes and `pendants accept` reads carries all that one press's
/// one id and both PINs need.
#[test]
fn a_shared_enrolment_gives_one_id_and_takes_both_pins() {
    let mut pendant = Pendant::new(1);
    let (mut near, mut far) = two(&pendant);
    let folder = tempfile::tempdir().expect("a folder for the test");
    let key = StoreKey::make(&folder.path().join("store.key")).expect("nothing there");
    let receiver = Receiver::new(&key, far.settings.slot);
    let from = Sender {
        site: near.settings.site.clone(),
        gateway: near.settings.gateway.clone(),
        slot: near.settings.slot,
        role: DownlinkRole::Primary,
    };
    let file = shared::seal(&[pendant.enrolment()], &from, &receiver.key).expect("native");
    let mut keyring = Keyring::new();
    for enrolment in receiver.open(&file).expect("its own").enrolments {
        keyring.insert(enrolment);
    }
    // Until then it is a stranger there.
    far.input(Input::Keyring(Keyring::new()));
    far.frame(0, &pendant.say(HEARTBEAT));
    far.run_ms(2_500);
    assert!(far.downlinks.is_empty() && far.seen.iter().all(|seen| seen.kind() != "heartbeat"));
    far.input(Input::Keyring(keyring));

    for rig in [&mut near, &mut far] {
        for _ in 0..2 {
            assert_eq!(rig.exchange_in(&mut pendant, HEARTBEAT, 2_500), Some(Outcome::Noted));
        }
    }
    let mut ids = Vec::new();
    for (body, kind) in [(start(30), "session_started"), (pin(DURESS), "duress")] {
        let frame = pendant.say(body);
        for rig in [&mut near, &mut far] {
            rig.frame(0, &frame);
            rig.run_ms(2_500);
        }
        // The pendant hears the second one: it is the echo of that one that comes next.
        assert!(far.answer_to(&mut pendant).is_some());
        assert_eq!(last(&near).id(), last(&far).id());
        ids.push((kind, last(&near).kind().to_owned(), last(&far).kind().to_owned()));
    }
    assert_eq!(ids[0], ("session_started", "session_started".into(), "session_started".into()));
    assert_eq!(ids[1].0, ids[1].2, "the duress PIN is known there");
    assert_eq!(far.exchange_in(&mut pendant, start(30), 2_500), Some(Outcome::SessionStarted));
    assert_eq!(far.exchange_in(&mut pendant, pin(SAFE), 2_500), Some(Outcome::Ended));
    assert_eq!(last(&far).kind(), "session_ended", "and so is the safe one");
}
