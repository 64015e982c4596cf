//! Pendants that nobody vouches for: they may call for help, marked as such, and no more.

use crate::pendant::{PANIC, Pendant};
use crate::rig::*;
use pendant_gateway::engine::claimed::Speech;
use pendant_gateway::engine::device::{Decoder, Device, Sign, Trigger};
use pendant_gateway::engine::keyring::{Enrolment, Secrets};
use pendant_gateway::engine::name::Name;
use pendant_gateway::engine::notice::{Notice, Refusal};
use pendant_gateway::engine::seam::Input;
use pendant_protocol::PendantId;
use std::collections::{BTreeMap, BTreeSet};

const NODE: u32 = 0x1234_ABCD;

fn id() -> PendantId {
    PendantId::new(0x140).expect("a number")
}

/// A gateway that takes what a mesh brings on its first link, and one such pendant whose
/// button means this.
fn rig(meaning: Trigger) -> Rig {
    rig_with(meaning, false)
}

fn rig_with(meaning: Trigger, panic_is_covert: bool) -> Rig {
    let mut rig = Rig::off(&[]);
    rig.settings.policies.site.panic_is_covert = panic_is_covert;
    rig.settings.links[0].speech = Speech::Meshtastic;
    rig.settings.links[0].acknowledges = false;
    rig.keyring.insert(Enrolment {
        pendant: id(),
        id: 0x3000,
        wearer: Name::new("warden-1").expect("a name"),
        secrets: Secrets::Claimed { number: NODE },
    });
    let device = Device {
        profile: "meshtastic-node".into(),
        decoder: Decoder::MeshtasticNode,
        triggers: BTreeMap::from([(Sign::Press, meaning), (Sign::Sos, Trigger::Panic)]),
        silence: None,
    };
    rig.settings.devices.insert(id(), device);
    rig.start();
    rig.run_ms(200);
    rig
}

fn heartbeat(number: u32) -> Vec<u8> {
    packet(NODE, number, 10, b"door state: 0")
}

fn packet(from: u32, packet: u32, port: u16, payload: &[u8]) -> Vec<u8> {
    [&from.to_le_bytes()[..], &packet.to_le_bytes(), &port.to_le_bytes(), payload].concat()
}

#[test]
fn an_alert_of_a_mesh_is_an_event_that_says_that_nobody_vouches_for_it() {
    let mut rig = rig(Trigger::Panic);
    for copy in 0..3 {
        rig.frame(0, &packet(NODE, 1, 11, b"help"));
        rig.run_ms(1_000 + copy);
    }
    assert_eq!(rig.count("panic"), 1, "repeaters' copies are one");
    rig.frame(0, &packet(NODE, 2, 11, b"help"));
    rig.run_ms(1_000);
    assert_eq!(rig.count("panic"), 2, "another packet is another press");
    for seen in rig.seen.iter().filter(|seen| seen.kind() == "panic") {
        assert_eq!(seen.json["data"]["authentication"], "none");
        assert_eq!(seen.json["data"]["fresh"], false);
    }
    assert!(rig.downlinks.is_empty());
    rig.frame(0, &packet(NODE, 3, 10, b"door state: 0"));
    rig.run_ms(1_000);
    assert_eq!(rig.count("heartbeat"), 1);
}

/// Its frames have no counters, and those that are made here must not begin again.
#[test]
fn presses_before_and_after_its_enrolment_was_put_back_have_ids_of_their_own() {
    let mut rig = rig(Trigger::Panic);
    rig.frame(0, &packet(NODE, 1, 11, b"help"));
    rig.run_ms(1_000);
    let enrolment = rig.keyring.remove(id()).expect("it was enrolled");
    for now_enrolled in [None, Some(enrolment)] {
        now_enrolled.map(|enrolment| rig.keyring.insert(enrolment));
        rig.input(Input::Keyring(rig.keyring.clone()));
    }
    rig.frame(0, &packet(NODE, 2, 11, b"help"));
    rig.run_ms(1_000);
    let presses = rig.seen.iter().filter(|seen| seen.kind() == "panic");
    assert_eq!(presses.map(Seen::id).collect::<BTreeSet<_>>().len(), 2);
}

#[test]
fn copies_that_come_mixed_are_known_all_the_same() {
    let mut rig = rig(Trigger::Panic);
    for number in [1, 2, 1, 3, 2, 1, 3] {
        rig.frame(0, &packet(NODE, number, 11, b"help"));
        rig.run_ms(500);
    }
    assert_eq!(rig.count("panic"), 3);
}

/// Whatever it is configured to mean.
#[test]
fn it_cannot_start_extend_cancel_or_end_anything() {
    for meaning in [
        Trigger::Safe,
        Trigger::CheckIn,
        Trigger::CancelAlert,
        Trigger::SessionStart { minutes: 30 },
        Trigger::SessionExtend { minutes: 30 },
    ] {
        let mut rig = rig(meaning);
        rig.frame(0, &packet(NODE, 1, 11, b"help"));
        rig.run_ms(1_000);
        rig.frame(0, &packet(NODE, 2, 10, b"button detected"));
        rig.run_ms(60_000);
        assert_eq!((rig.count("panic"), rig.count("late_request")), (1, 1), "{meaning}");
        let acted =
            ["session_ended", "checked_in", "alert_cancelled", "session_started", "overdue"];
        assert_eq!(acted.map(|kind| rig.count(kind)), [0; 5], "{meaning}");
    }
}

#[test]
fn it_is_heard_on_its_own_link_alone_and_strangers_nowhere() {
    let mut rig = rig(Trigger::Panic);
    let alert = packet(NODE, 1, 11, b"help");
    rig.frame(1, &alert);
    rig.frame(0, &packet(NODE + 1, 1, 11, b"help"));
    rig.frame(0, &alert[..9]);
    rig.run_ms(1_000);
    assert_eq!(rig.count("panic"), 0);
    let refused = |why: Refusal| {
        let same = |n: &&Notice| matches!(n, Notice::FrameRefused { why: it, .. } if *it == why);
        rig.notices.iter().filter(same).count()
    };
    assert_eq!((refused(Refusal::UnknownPendant), refused(Refusal::Malformed)), (1, 2));
}

/// A pendant with keys is not impersonated by a claim, and its frames may travel by a mesh.
#[test]
fn a_native_frame_through_a_mesh_keeps_its_proof() {
    let mut pendant = Pendant::new(0x12F);
    let mut rig = rig(Trigger::Panic);
    rig.keyring.insert(pendant.enrolment());
    let keyring = rig.keyring.clone();
    rig.input(pendant_gateway::engine::seam::Input::Keyring(keyring));
    rig.frame(0, &packet(0x12F, 1, 11, b"help"));
    rig.run_ms(1_000);
    assert_eq!(rig.count("panic"), 0, "its number is not a proof");
    let frame = pendant.say(PANIC);
    rig.frame(0, &packet(0x0BAD_CAFE, 2, 256, &frame));
    rig.run_ms(1_000);
    assert_eq!(rig.count("panic"), 1);
    let press = rig.seen.iter().find(|seen| seen.kind() == "panic").expect("told");
    assert_eq!(press.json["data"]["authentication"], "aes-ccm-64");
}

#[test]
fn one_that_fell_silent_is_told_again_when_it_is_back_and_lost_anew() {
    let mut rig = rig(Trigger::Panic);
    for round in 1..=2 {
        rig.frame(0, &packet(NODE, round, 10, b"door state: 0"));
        rig.run_ms(8 * 600_000 + 40_000);
        assert_eq!(rig.count("supervision_lost"), round as usize);
        assert_eq!(rig.count("supervision_restored"), round as usize - 1);
    }
}

/// When the disk was asked to write and sync, since `from_us`.
fn commits(rig: &Rig, from_us: u64) -> Vec<u64> {
    let at = |trace: &SiteTrace| match trace {
        SiteTrace::Commit { at_us, .. } if *at_us >= from_us => Some(*at_us),
        _ => None,
    };
    rig.site.iter().filter_map(at).collect()
}

/// Its pendant was heard, and all that was told is released; then the broker goes, so
/// that the journal alone has what is said from now on.
fn quiet_rig() -> Rig {
    let mut rig = rig(Trigger::Panic);
    rig.frame(0, &heartbeat(1));
    rig.run_ms(30_000);
    rig.broker_away();
    rig.run_ms(10_000);
    rig
}

/// Nobody waits for them, and a card wears out by syncs.
#[test]
fn heartbeats_that_are_never_answered_share_a_sync_within_five_seconds() {
    let mut rig = quiet_rig();
    let (begun_us, backlog) = (rig.now_us, rig.backlog());
    for number in 0..10 {
        rig.frame(0, &heartbeat(2 + number));
        rig.run_ms(450);
    }
    assert!(commits(&rig, begun_us).is_empty(), "they wait");
    rig.run_ms(1_000);
    assert_eq!(
        commits(&rig, begun_us),
        [begun_us + 5_000_000],
        "all at once, after the first's 5 s"
    );
    rig.restart();
    rig.run_ms(1_000);
    // Beside them the new boot's own.
    assert_eq!(rig.backlog(), backlog + 10 + 1);
}

#[test]
fn heartbeats_that_waited_go_with_the_next_that_must_not_wait() {
    let mut rig = quiet_rig();
    let (begun_us, backlog) = (rig.now_us, rig.backlog());
    rig.frame(0, &heartbeat(2));
    rig.run_ms(1_000);
    rig.frame(0, &packet(NODE, 3, 11, b"help"));
    assert_eq!(commits(&rig, begun_us), [begun_us + 1_000_000], "a call for help never waits");
    rig.run_ms(1);
    rig.crash();
    rig.start();
    rig.run_ms(1_000);
    assert_eq!(rig.backlog(), backlog + 2 + 1);
}

#[test]
fn a_stop_takes_along_what_waited() {
    let mut rig = quiet_rig();
    let backlog = rig.backlog();
    rig.frame(0, &heartbeat(2));
    rig.input(pendant_gateway::engine::seam::Input::Shutdown);
    rig.run_ms(100);
    assert!(rig.stopped);
    rig.restart();
    rig.run_ms(1_000);
    // Beside it that the old boot stopped, and that the new one began.
    assert_eq!(rig.backlog(), backlog + 1 + 2);
}

/// P5: by the disk nobody learns which of its messages called for help.
#[test]
fn a_pendant_that_may_call_covertly_has_its_heartbeats_synced_as_its_calls_are() {
    let mut hidden_by_policy = rig_with(Trigger::Panic, true);
    let mut hidden = rig_with(Trigger::DiscreetPanic, false);
    for rig in [&mut hidden_by_policy, &mut hidden] {
        rig.frame(0, &heartbeat(1));
        rig.run_ms(10_000);
        let begun_us = rig.now_us;
        rig.frame(0, &heartbeat(2));
        rig.run_ms(1_000);
        rig.frame(0, &packet(NODE, 3, 11, b"help"));
        rig.run_ms(1_000);
        assert_eq!(commits(rig, begun_us), [begun_us, begun_us + 1_000_000]);
    }
}

/// A lost supervision that comes to its end changes more than the window.
#[test]
fn the_heartbeat_of_one_that_was_lost_is_synced_at_once() {
    let mut rig = quiet_rig();
    rig.run_ms(8 * 600_000 + 40_000);
    let begun_us = rig.now_us;
    rig.frame(0, &heartbeat(2));
    assert_eq!(commits(&rig, begun_us), [begun_us]);
}
