//! What a start finds and tells, what the status says, and what waits for a place in the
//! journal.

use super::*;
use crate::engine::acknowledge::{NATIVE_WINDOWS, Waiting};
use crate::engine::journal::SLOT_BYTES;
use crate::engine::journal::medium_test::{
    BOOT, Medium, at_ms, event, journal, of, replay, state, stored,
};
use crate::engine::limits_test::settings;
use crate::engine::lorawan::DownlinkBytes;
use crate::engine::seam::{BrokerInput, DiskDone, DiskFault, DiskOp, TransmitId, TransmitOutcome};

pub(super) fn now(ms: u64) -> Now {
    Now { mono: at_ms(ms), wall: Wall::Unset }
}

/// A gateway that finds this medium.
fn recovered(medium: &Medium) -> (Gateway, RecoveryReport) {
    let (seed, keyring) = (Seed([7; 32]), Keyring::default());
    let recovered = Gateway::recover(settings(), &keyring, seed, now(0), replay(&medium.files));
    recovered.expect("the store is this gateway's")
}

/// One that finds nothing, and no room either.
pub(super) fn fresh() -> Gateway {
    recovered(&Medium::default()).0
}

/// One whose medium does at once what it asks for.
pub(super) fn with_room() -> Gateway {
    let mut gateway = fresh();
    served(&mut gateway, &mut Medium::default());
    gateway
}

/// Does all that it asks of the medium. What else it does.
pub(super) fn served(gateway: &mut Gateway, medium: &mut Medium) -> Vec<Output> {
    let mut others = Vec::new();
    while let Some(output) = gateway.poll_output() {
        match output {
            Output::Disk(operation) => {
                let done = medium.carry_out(operation);
                gateway.handle(now(0), Input::Disk(done));
            }
            other => others.push(other),
        }
    }
    others
}

fn damage_told(gateway: &mut Gateway) -> Vec<u64> {
    let outputs = std::iter::from_fn(|| gateway.poll_output());
    let damage = outputs.filter_map(|output| match output {
        Output::Tell(Notice::JournalDamage { slots }) => Some(slots),
        _ => None,
    });
    damage.collect()
}

#[test]
fn a_start_tells_of_damage_where_there_is_some() {
    let (mut journal, mut medium) = (journal(5, 5), Medium::default());
    medium.serve(&mut journal, Mono::ZERO);
    let places = stored(&mut journal, &mut medium, &[Kind::Panic; 3]);
    stored(&mut journal, &mut medium, &[Kind::Panic]);
    let (mut sound, report) = recovered(&medium);
    assert_eq!((report.backlog, report.damaged), (4, 0));
    assert!(damage_told(&mut sound).is_empty());
    for (damaged, lsn) in (1..).zip(&places[..2]) {
        medium.damage(lsn.0 % 2048);
        let (mut gateway, report) = recovered(&medium);
        assert_eq!((report.backlog, report.damaged), (4 - damaged, damaged));
        assert_eq!(damage_told(&mut gateway), [damaged]);
    }
}

/// Cleaning, which is to make room for what the start has to tell, would take the sign of
/// the damage along.
#[test]
fn damage_is_told_where_only_urgent_events_find_room() {
    let (mut filling, mut medium) = (journal(4, 4), Medium::default());
    medium.serve(&mut filling, Mono::ZERO);
    while filling.has_room() {
        stored(&mut filling, &mut medium, &[Kind::Panic; 16]);
    }
    medium.damage(1_000);
    let (mut gateway, report) = recovered(&medium);
    assert_eq!(report.damaged, 1);
    assert!(!gateway.journal.has_room() && gateway.journal.has_room_for_lane(Lane::Urgent));
    gateway.handle(now(0), Input::Timer);
    let first = std::iter::from_fn(|| gateway.poll_output()).find_map(|output| match output {
        Output::Disk(DiskOp::Commit { bytes, .. }) => Some(bytes.len()),
        _ => None,
    });
    // What a start goes on with and its age; that the gateway started, and the damage.
    assert_eq!(first, Some(5 * SLOT_BYTES));
}

#[test]
fn the_status_says_whether_the_journal_can_be_written() {
    let mut gateway = fresh();
    assert!(gateway.status().journal_works);
    let outputs: Vec<Output> = std::iter::from_fn(|| gateway.poll_output()).collect();
    let ticket = outputs.into_iter().find_map(|output| match output {
        Output::Disk(DiskOp::Allocate { ticket, .. }) => Some(ticket),
        _ => None,
    });
    let failed = DiskDone::Failed(ticket.expect("it asks for a file"), DiskFault::Full);
    gateway.handle(now(0), Input::Disk(failed));
    assert!(!gateway.status().journal_works);
}

#[test]
fn the_status_says_whether_the_centre_is_there() {
    let mut gateway = fresh();
    let up = BrokerInput::Up { in_flight_max: 20 };
    gateway.handle(now(0), Input::Broker(BrokerId(0), up));
    let says = |gateway: &Gateway| {
        let status = gateway.status();
        (status.centre_heard, status.centre_messages)
    };
    assert_eq!(says(&gateway), (true, true));
    gateway.handle(now(59_999), Input::Timer);
    assert_eq!(says(&gateway), (true, true));
    gateway.handle(now(60_000), Input::Timer);
    assert_eq!(says(&gateway), (true, false));
}

/// What a silence is judged by is forgotten when a link goes, since its pendants are then
/// silent for that. Whatever is told of it further is no second outage.
#[test]
fn an_outage_of_a_link_begins_once() {
    let mut gateway = fresh();
    let hear = |gateway: &mut Gateway| {
        for n in 1..=64 {
            let pendant = PendantId::new(n).expect("a number");
            assert!(gateway.air.heard(at_ms(u64::from(n) * 1_000), pendant).is_none());
        }
        assert!(gateway.air.next_deadline().is_some());
    };
    let mut judged = |up: bool| {
        hear(&mut gateway);
        gateway.link(LinkId(0), up, now(64_000));
        gateway.air.next_deadline().is_some()
    };
    assert!(!judged(false), "the link goes");
    assert!(judged(false), "for a second reason");
    assert!(judged(true), "it comes back");
    assert!(judged(true));
    assert!(!judged(false), "it goes again");
}

/// A state that is durable says that its events are. While memory alone holds one, the
/// whole state waits for a place.
#[test]
fn a_state_that_is_kept_without_all_of_it_still_waits_for_its_place() {
    let pendant = PendantId::new(1).expect("a number");
    let waits = |in_memory: bool| {
        let mut gateway = with_room();
        gateway.volatile.insert(pendant);
        if in_memory {
            let panic = of(1, event(Kind::Panic, BOOT, 1));
            let publish = |_| panic!("no broker is there");
            gateway.delivery.offer_fresh(&panic, None, &gateway.voice, now(0), publish);
        }
        let next = of(1, event(Kind::Panic, BOOT, 2));
        let kept = gateway.keep_with_state(&next, pendant, &state(1), Haste::AtOnce, now(0));
        assert!(kept.is_some(), "there is room");
        gateway.volatile.contains(&pendant)
    };
    assert_eq!([true, false].map(waits), [true, false]);
}

/// The release is due in the very moment in which cleaning carries its event on.
#[test]
fn what_is_released_while_it_is_carried_on_is_released() {
    let (mut journal, mut medium) = (journal(4, 4), Medium::default());
    medium.serve(&mut journal, Mono::ZERO);
    let places = stored(&mut journal, &mut medium, &[Kind::Panic; 2_100]);
    journal.release(&places[..1_100].iter().copied().collect());
    let mut gateway = with_room();
    gateway.journal = journal;
    let (broker, panic) = (BrokerId(0), event(Kind::Panic, BOOT, 1_101));
    gateway.delivery.broker_up(broker, 20, Mono::ZERO);
    gateway.delivery.offer_fresh(&panic, Some(places[1_100]), &gateway.voice, now(0), drop);
    gateway.delivery.broker_down(broker, Mono::ZERO);
    gateway.handle(now(0), Input::Timer);
    let mut reads = Vec::new();
    while let Some(output) = gateway.poll_output() {
        match output {
            Output::Disk(read @ DiskOp::Read { .. }) => reads.push(read),
            Output::Disk(other) => {
                gateway.handle(now(0), Input::Disk(medium.carry_out(other)));
            }
            _ => {}
        }
    }
    let [read] = <[DiskOp; 1]>::try_from(reads).expect("cleaning reads");
    let waiting = |gateway: &Gateway| gateway.journal.indexed(Lane::Urgent, Lsn(0)).count();
    assert_eq!(waiting(&gateway), 1_000);
    assert!(gateway.delivery.receipted(broker, panic.telling()).is_some());
    gateway.handle(now(1_000), Input::Disk(medium.carry_out(read)));
    assert_eq!(waiting(&gateway), 999);
}

#[test]
fn the_age_goes_on_from_the_latest_that_any_state_bears() {
    let states = |ages_ms: &[u64]| -> BTreeMap<PendantId, PendantState> {
        let heard = (1..).zip(ages_ms).map(|(n, ms)| {
            let heard = Age::default().plus_ms(*ms);
            (PendantId::new(n).expect("a number"), PendantState { heard, ..state(n) })
        });
        heard.collect()
    };
    assert_eq!(latest_age(&states(&[])), Age::default());
    assert_eq!(latest_age(&states(&[5, 90_000, 70])), Age::default().plus_ms(90_000));
}

fn hearing() -> Hearing {
    let received = Stamp { mono: Mono::ZERO, wall: Wall::Unset };
    Hearing { link: LinkId(0), signal: Default::default(), received }
}

/// The newest state of a pendant that waits for its place says of what it said last that
/// it was heard; an older one, which is durable, vouches for nothing of it (P1).
#[test]
fn a_repetition_is_answered_only_on_the_word_of_the_newest_state() {
    let pendant = PendantId::new(1).expect("a number");
    let (mut gateway, mut medium) = (fresh(), Medium::default());
    served(&mut gateway, &mut medium);
    let press = of(1, event(Kind::Panic, BOOT, 1));
    gateway.keep_with_state(&press, pendant, &state(1), Haste::AtOnce, now(0));
    gateway.put_state(pendant, state(1));
    gateway.handle(now(0), Input::Timer);
    served(&mut gateway, &mut medium);
    let mut answers = |volatile: bool| {
        if volatile {
            gateway.volatile.insert(pendant);
        } else {
            gateway.volatile.clear();
        }
        let answer = (DownlinkBytes::new(&[0; 24]), NATIVE_WINDOWS);
        gateway.again(pendant, press.id, Some(answer), hearing(), now(0));
        let outputs = std::iter::from_fn(|| gateway.poll_output());
        let sent = outputs.filter_map(|output| match output {
            Output::Transmit(transmit) => Some(transmit.id),
            _ => None,
        });
        sent.collect::<Vec<TransmitId>>()
    };
    assert_eq!(answers(false), [TransmitId(1)]);
    assert_eq!(answers(false), [TransmitId(2)], "each has its name");
    assert!(answers(true).is_empty());
}

#[test]
fn a_link_that_may_not_transmit_is_told_once_an_hour() {
    let mut gateway = with_room();
    let mut done = |outcome: TransmitOutcome, ms: u64| {
        let before = gateway.numbers[Lane::Trouble as usize];
        gateway.transmit_done(LinkId(0), outcome, now(ms));
        let outputs = std::iter::from_fn(|| gateway.poll_output());
        let failed = |output: &Output| matches!(output, Output::Tell(Notice::TransmitFailed));
        (outputs.filter(failed).count(), gateway.numbers[Lane::Trouble as usize] - before)
    };
    assert_eq!(done(TransmitOutcome::Sent, 0), (0, 0));
    assert_eq!(done(TransmitOutcome::Failed, 0), (1, 0));
    assert_eq!(done(TransmitOutcome::NoAirtime, 0), (1, 1));
    assert_eq!(done(TransmitOutcome::NoAirtime, TELL_AGAIN_MS - 1), (1, 0));
    assert_eq!(done(TransmitOutcome::NoAirtime, TELL_AGAIN_MS), (1, 1));
}

#[test]
fn a_broker_that_never_came_is_missed_after_a_minute() {
    let watch = BrokerWatch::new(at_ms(5_000));
    assert_eq!(watch.next_deadline(), Some(at_ms(65_000)));
}

#[test]
fn so_many_events_are_remembered_as_being_in_the_centres_custody() {
    let mut gateway = fresh();
    let ticket = std::iter::from_fn(|| gateway.poll_output()).find_map(|output| match output {
        Output::Disk(DiskOp::Allocate { ticket, .. }) => Some(ticket),
        _ => None,
    });
    let failed = DiskDone::Failed(ticket.expect("it asks for a file"), DiskFault::Full);
    gateway.handle(now(0), Input::Disk(failed));
    let mut remembered = |number: usize| {
        let press = of(1, event(Kind::Panic, gateway.boot, number as u64));
        gateway.delivery.offer_fresh(&press, None, &gateway.voice, now(0), drop);
        gateway.custody.take(Waiting {
            pendant: PendantId::new(1).expect("a number"),
            joins: false,
            receivers: Default::default(),
            ended: Mono::ZERO,
            windows: NATIVE_WINDOWS,
            reply: DownlinkBytes::new(&[0; 24]),
            event: press.id,
            lsn: None,
        });
        let receipt = format!(r#"{{"received":"{}","boot":"{:016x}"}}"#, press.id, press.boot);
        let receipt = BrokerInput::Receipt(receipt.into_bytes());
        gateway.handle(now(0), Input::Broker(BrokerId(0), receipt));
        gateway.receipted.len()
    };
    for number in 1..=RECEIPTED_MAX {
        assert_eq!(remembered(number), number);
    }
    assert_eq!(remembered(RECEIPTED_MAX + 1), RECEIPTED_MAX);
}

/// Who sends no heartbeats is missed by nobody, nor is one who was never heard.
#[test]
fn a_common_silence_is_judged_by_those_who_are_heard_and_supervised() {
    let pendant = |n: u32| PendantId::new(n).expect("a number");
    let hear = |gateway: &mut Gateway| {
        for n in 1..=64 {
            gateway.air_heard(pendant(n), now(u64::from(n) * 1_000));
        }
        gateway.air.next_deadline()
    };
    let mut gateway = fresh();
    gateway.settings.policies.site.heartbeat_interval_ms = 0;
    assert_eq!(hear(&mut gateway), None);
    let mut gateway = fresh();
    let due = hear(&mut gateway).expect("a silence would be noticed");
    for n in 1..=128 {
        let highest = (n <= 64).then_some(5);
        gateway.states.insert(pendant(n), PendantState { highest, ..state(n) });
    }
    gateway.handle_air(Now { mono: due, wall: Wall::Unset });
    // At 64 heartbeats in ten minutes 24 are missing after 225 seconds.
    assert_eq!(gateway.air.next_deadline(), Some(at_ms(64_000 + 225_000)));
}
