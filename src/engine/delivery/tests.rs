//! What is offered when, what waits for what, and what only memory holds.

use super::*;
use crate::engine::event::Kind;
use crate::engine::journal::medium_test::{BOOT, Medium, at_ms, event, journal, of, state, stored};
use crate::engine::journal::{Haste, News};
use crate::engine::limits_test::settings;
use crate::engine::seam::DiskOp;
use crate::engine::time::Wall;

const FIRST: BrokerId = BrokerId(0);
const SECOND: BrokerId = BrokerId(1);
const THIRD: BrokerId = BrokerId(2);

const SETTINGS: DeliverySettings = DeliverySettings {
    receipts: true,
    receipt_wait_ms: 1_000,
    escalate_after_ms: 60_000,
    release_interval_ms: 1_000,
    drain_per_s_max: None,
};

fn now(ms: u64) -> Now {
    Now { mono: at_ms(ms), wall: Wall::Unset }
}

/// Delivery with its journal, on a medium that does at once what it is asked for.
struct Rig {
    delivery: Delivery,
    journal: Journal,
    medium: Medium,
    voice: Voice,
    /// What the medium was asked for and has not done yet.
    operations: Vec<DiskOp>,
}

impl Rig {
    fn new(brokers: usize, settings_of: DeliverySettings) -> Self {
        let (mut journal, mut medium) = (journal(5, 5), Medium::default());
        medium.serve(&mut journal, Mono::ZERO);
        let delivery = Delivery::new(settings_of, brokers, Mono::ZERO);
        let voice = Voice::new(&settings(), BOOT);
        Self { delivery, journal, medium, voice, operations: Vec::new() }
    }

    /// With one broker, which is there.
    fn up(settings_of: DeliverySettings) -> Self {
        let mut rig = Self::new(1, settings_of);
        rig.delivery.broker_up(FIRST, u16::MAX, Mono::ZERO);
        rig
    }

    fn stored(&mut self, kinds: &[Kind]) -> Vec<Lsn> {
        stored(&mut self.journal, &mut self.medium, kinds)
    }

    /// Offers an event fresh; under which names.
    fn fresh(&mut self, event: &Event, lsn: Option<Lsn>, ms: u64) -> Vec<(BrokerId, PublishId)> {
        let mut offers = Vec::new();
        self.delivery.offer_fresh(event, lsn, &self.voice, now(ms), |publish| {
            offers.push((publish.broker, publish.id));
        });
        offers
    }

    /// The next offer out of the backlog, if what has to be read for it was read.
    fn ask(&mut self, ms: u64) -> Option<Publish> {
        let publish = self.delivery.poll(&mut self.journal, &self.voice, now(ms));
        self.operations.extend(std::iter::from_fn(|| self.journal.poll_operation(at_ms(ms))));
        publish
    }

    fn serve(&mut self, ms: u64) {
        for operation in std::mem::take(&mut self.operations) {
            let done = self.medium.carry_out(operation);
            self.journal.handle(done, at_ms(ms));
        }
        self.operations.extend(std::iter::from_fn(|| self.journal.poll_operation(at_ms(ms))));
        while let Some(news) = self.journal.poll_news() {
            match news {
                News::Backlog(events, end) => self.delivery.backlog(events, end),
                News::Unreadable(lsn) => self.delivery.unreadable(lsn, at_ms(ms)),
                _ => {}
            }
        }
    }

    /// The next offer out of the backlog: to whom, and of which number.
    fn next(&mut self, ms: u64) -> Option<(BrokerId, PublishId, u64)> {
        self.delivery.handle_time(&mut self.journal, at_ms(ms));
        for _ in 0..1_000 {
            if let Some(publish) = self.ask(ms) {
                return Some((publish.broker, publish.id, number(&publish)));
            }
            if self.operations.is_empty() {
                return None;
            }
            self.serve(ms);
        }
        panic!("it never comes to rest")
    }

    fn next_number(&mut self, ms: u64) -> Option<u64> {
        self.next(ms).map(|(.., number)| number)
    }
}

fn number(publish: &Publish) -> u64 {
    let json: serde_json::Value = serde_json::from_slice(&publish.payload).expect("JSON");
    json["data"]["number"].as_u64().expect("a number")
}

fn panic(number: u64) -> Event {
    event(Kind::Panic, BOOT, number)
}

fn numbers<'e>(events: impl Iterator<Item = &'e Event>) -> Vec<u64> {
    events.map(|event| event.number).collect()
}

#[test]
fn the_centre_is_heard_as_long_as_one_broker_is_not_mute() {
    let heard = |mute: [bool; 2]| {
        let mut delivery = Delivery::new(SETTINGS, 2, Mono::ZERO);
        delivery.lines.iter_mut().zip(mute).for_each(|(line, mute)| line.mute = mute);
        delivery.centre_heard()
    };
    let mute = [[false, false], [true, false], [false, true], [true, true]];
    assert_eq!(mute.map(heard), [true, true, true, false]);
}

#[test]
fn what_only_memory_holds_is_known_of_each_pendant_offered_or_not() {
    let mut rig = Rig::up(SETTINGS);
    rig.fresh(&of(1, panic(1)), None, 0);
    rig.fresh(&of(2, panic(2)), None, 0);
    rig.fresh(&panic(3), None, 0);
    rig.delivery.memory.push_back(of(1, panic(4)));
    let of_pendant = |rig: &Rig, n: u32| {
        numbers(rig.delivery.only_here_of(PendantId::new(n).expect("a number")))
    };
    assert_eq!([1, 2, 3].map(|n| of_pendant(&rig, n)), [vec![1, 4], vec![2], vec![]]);
}

#[test]
fn a_covert_alarm_waits_until_its_receipt_comes_wherever_it_is_kept() {
    let mut rig = Rig::new(1, SETTINGS);
    let duress = of(1, event(Kind::Duress, BOOT, 1));
    let lsn = rig.journal.append_event(&duress, Some(&state(1)), Haste::AtOnce).expect("room");
    rig.fresh(&of(2, event(Kind::DiscreetPanic, BOOT, 2)), None, 0);
    rig.fresh(&of(3, panic(3)), None, 0);
    let waits = |rig: &Rig| {
        [1, 2, 3].map(|n| {
            let pendant = PendantId::new(n).expect("a number");
            rig.delivery.has_covert_alarm_of(pendant, &rig.journal)
        })
    };
    assert_eq!(waits(&rig), [true, true, false]);
    rig.delivery.to_release.insert(lsn);
    rig.delivery.memory.clear();
    assert_eq!(waits(&rig), [false; 3]);
}

#[test]
fn what_the_journal_has_taken_is_kept_in_memory_no_more() {
    let mut rig = Rig::new(1, SETTINGS);
    [1, 2, 3].into_iter().for_each(|n| rig.delivery.memory.push_back(panic(n)));
    let lsn = rig.stored(&[Kind::Panic, Kind::Panic])[1];
    rig.delivery.settle(panic(2).telling(), lsn);
    assert_eq!(numbers(rig.delivery.memory.iter()), [1, 3]);
    // One that is offered is released from there.
    rig.delivery.broker_up(FIRST, u16::MAX, Mono::ZERO);
    rig.fresh(&panic(7), None, 0);
    rig.delivery.settle(panic(7).telling(), Lsn(9_000));
    assert!(rig.delivery.receipted(FIRST, panic(7).telling()).is_some());
    assert_eq!(rig.delivery.to_release, BTreeSet::from([Lsn(9_000)]));
}

#[test]
fn what_was_refused_out_of_memory_is_tried_again_after_a_minute() {
    let mut rig = Rig::up(SETTINGS);
    rig.delivery.memory.push_back(panic(1));
    let (broker, publish, _) = rig.next(0).expect("it is offered");
    assert_eq!(rig.delivery.next_deadline(), None, "nothing is to be tried again");
    rig.delivery.refused(broker, publish, 0x87, at_ms(0));
    assert_eq!(rig.delivery.next_deadline(), Some(at_ms(60_000)));
    assert!(rig.ask(59_999).is_none());
    rig.delivery.handle_time(&mut rig.journal, at_ms(59_999));
    assert_eq!(rig.delivery.next_deadline(), Some(at_ms(60_000)));
    assert_eq!(rig.ask(60_000).map(|publish| number(&publish)), Some(1));
    assert_eq!(rig.delivery.next_deadline(), None, "nothing waits for it");
    rig.delivery.memory.push_back(panic(2));
    rig.delivery.handle_time(&mut rig.journal, at_ms(60_000));
    assert_eq!(rig.delivery.next_deadline(), None, "the wait is over");
    // Without a broker nothing can be tried.
    rig.delivery.memory_after[0] = Some(at_ms(90_000));
    assert_eq!(rig.delivery.next_deadline(), Some(at_ms(90_000)));
    rig.delivery.broker_down(FIRST, at_ms(60_000));
    assert_eq!(rig.delivery.next_deadline(), None);
}

/// Twenty a second: one each 50 ms.
fn paced() -> Rig {
    Rig::up(DeliverySettings { drain_per_s_max: std::num::NonZeroU32::new(20), ..SETTINGS })
}

#[test]
fn a_backlog_with_a_rate_that_is_empty_asks_for_nothing() {
    let mut rig = paced();
    assert!(rig.next(10_000).is_none());
    assert_eq!(rig.delivery.next_deadline(), None);
    // Nor does one of which nothing may be tried yet.
    rig.delivery.memory.push_back(panic(1));
    rig.delivery.memory_after[0] = Some(at_ms(60_000));
    assert!(rig.next(10_000).is_none());
    assert_eq!(rig.delivery.next_deadline(), Some(at_ms(60_000)));
}

/// However long the read takes: what is read depends on the lanes (P5).
#[test]
fn the_first_of_a_backlog_with_a_rate_goes_a_batch_after_it_was_looked_for() {
    for read_ms in [0, 30, 49] {
        let mut rig = paced();
        assert!(rig.next(0).is_none(), "nothing waits");
        rig.stored(&[Kind::Heartbeat]);
        assert!(rig.ask(10_000).is_none());
        assert!(matches!(rig.operations[..], [DiskOp::Read { .. }]));
        rig.serve(10_000 + read_ms);
        assert!(rig.ask(10_000 + read_ms).is_none());
        assert_eq!(rig.delivery.next_deadline(), Some(at_ms(10_050)));
        assert!(rig.ask(10_049).is_none());
        assert_eq!(rig.ask(10_050).map(|publish| number(&publish)), Some(1));
    }
}

#[test]
fn the_backlog_pauses_while_as_many_wait_for_receipts_as_may() {
    let next = |awaiting| {
        let mut rig = Rig::up(SETTINGS);
        rig.stored(&[Kind::Panic]);
        rig.delivery.awaiting = awaiting;
        rig.next_number(0)
    };
    assert_eq!(next(AWAITING_DRAIN_MAX - 1), Some(1));
    assert_eq!(next(AWAITING_DRAIN_MAX), None);
}

#[test]
fn what_has_its_receipt_is_awaited_no_more() {
    let mut rig = Rig::up(SETTINGS);
    for n in 1..=3 {
        let [(broker, publish)] = rig.fresh(&panic(n), Some(Lsn(n)), 0)[..] else {
            panic!("one broker")
        };
        rig.delivery.taken(broker, publish, Mono::ZERO);
    }
    assert_eq!(rig.delivery.awaiting, 3);
    rig.delivery.receipted(FIRST, panic(2).telling());
    assert_eq!(rig.delivery.awaiting, 2);
    assert_eq!(rig.delivery.to_release, BTreeSet::from([Lsn(2)]));
}

/// A broker that has no room is asked again soon. What another refused is not for that
/// tried there again early.
#[test]
fn what_one_broker_refused_waits_for_room_at_the_other() {
    let mut rig = Rig::new(3, SETTINGS);
    for broker in [FIRST, SECOND] {
        rig.delivery.broker_up(broker, u16::MAX, Mono::ZERO);
    }
    let lsn = rig.stored(&[Kind::Panic])[0];
    rig.delivery.apart.set(lsn, FIRST, true, Mono::ZERO);
    rig.delivery.lines[SECOND.index()].offered(PublishId(900), panic(9).telling(), Mono::ZERO);
    assert!(rig.next(0).is_none());
    let apart =
        |rig: &Rig| [FIRST, SECOND, THIRD].map(|broker| rig.delivery.apart.is_apart(lsn, broker));
    assert_eq!(apart(&rig), [true, true, false], "the third is not there");
    rig.delivery.lines[SECOND.index()].taken(PublishId(900), Mono::ZERO);
    assert!(rig.next(UNHEARD_PAUSE_MS - 1).is_none());
    let offered = rig.next(UNHEARD_PAUSE_MS).map(|(broker, _, number)| (broker, number));
    assert_eq!(offered, Some((SECOND, 1)));
    assert_eq!(apart(&rig), [true, false, false], "the first refused it for a minute");
}

#[test]
fn what_nobody_subscribed_to_is_next_again_and_read_again_only_if_it_was_not_yet() {
    let refuse = |rig: &mut Rig, broker, publish| {
        rig.delivery.refused(broker, publish, NO_SUBSCRIBERS, Mono::ZERO);
        rig.delivery.backlog.has_ready()
    };
    let mut rig = Rig::up(SETTINGS);
    rig.stored(&[Kind::Panic]);
    let (broker, publish, _) = rig.next(0).expect("it is offered");
    assert!(refuse(&mut rig, broker, publish));
    assert_eq!(rig.next_number(UNHEARD_PAUSE_MS), Some(1));
    let mut rig = Rig::up(SETTINGS);
    let lsn = rig.stored(&[Kind::Panic])[0];
    let [(broker, publish)] = rig.fresh(&panic(1), Some(lsn), 0)[..] else { panic!("one broker") };
    assert!(!refuse(&mut rig, broker, publish));
    assert_eq!(rig.next_number(UNHEARD_PAUSE_MS), Some(1));
}

/// A restored enrolment hears a press again that it has told already.
#[test]
fn what_is_told_twice_is_awaited_once_and_kept_once() {
    let told_again = |first: Option<Lsn>, again: Option<Lsn>| {
        let mut rig = Rig::up(SETTINGS);
        let [(broker, publish)] = rig.fresh(&panic(1), first, 0)[..] else { panic!("one broker") };
        rig.delivery.taken(broker, publish, Mono::ZERO);
        assert_eq!(rig.delivery.awaiting, 1);
        rig.fresh(&panic(1), again, 0);
        assert_eq!((rig.delivery.awaiting, rig.delivery.sent.len()), (0, 1));
        rig.delivery.to_release.into_iter().collect::<Vec<Lsn>>()
    };
    assert_eq!(told_again(Some(Lsn(5)), Some(Lsn(9))), [Lsn(5)]);
    let kept: [(Option<Lsn>, Option<Lsn>); 3] =
        [(Some(Lsn(5)), Some(Lsn(5))), (Some(Lsn(5)), None), (None, Some(Lsn(9)))];
    for (first, again) in kept {
        assert!(told_again(first, again).is_empty(), "{first:?}, {again:?}");
    }
}

#[test]
fn receipts_are_known_of_as_many_that_went_back_as_are_remembered() {
    let mut rig = Rig::new(1, SETTINGS);
    let last = GIVEN_BACK_MAX as u64 + 1;
    for n in 1..=last {
        let place = Place::Journal(Lsn(n));
        let (open, taken) = Default::default();
        let sent = Sent { place, replayed: false, read: None, open, taken, until: None };
        rig.delivery.sent.insert(panic(n).telling(), sent);
        rig.delivery.give_back(panic(n).telling());
    }
    let known = [1, 2, last].map(|n| rig.delivery.receipted(FIRST, panic(n).telling()).is_some());
    assert_eq!(known, [false, true, true], "the oldest makes room");
}

#[test]
fn memory_holds_so_many_and_tells_which_it_gave_up() {
    let mut rig = Rig::new(1, SETTINGS);
    let most = UNJOURNALLED_MAX as u64;
    (1..=most).for_each(|n| assert!(rig.fresh(&panic(n), None, 0).is_empty()));
    assert_eq!((rig.delivery.memory.len() as u64, rig.delivery.poll_news()), (most, None));
    rig.fresh(&panic(most + 1), None, 0);
    let dropped = DeliveryNews::Dropped(Box::new(panic(1)));
    assert_eq!(rig.delivery.poll_news(), Some(dropped));
    assert_eq!((rig.delivery.memory.len() as u64, rig.delivery.poll_news()), (most, None));
}

#[test]
fn receipts_are_waited_for_anew_only_by_the_first_broker_that_comes() {
    let mut rig = Rig::new(2, SETTINGS);
    rig.delivery.broker_up(FIRST, u16::MAX, Mono::ZERO);
    let [(broker, publish)] = rig.fresh(&panic(1), Some(Lsn(5)), 0)[..] else {
        panic!("one broker")
    };
    rig.delivery.taken(broker, publish, Mono::ZERO);
    assert_eq!(rig.delivery.next_deadline(), Some(at_ms(1_000)));
    rig.delivery.broker_up(SECOND, u16::MAX, at_ms(500));
    assert_eq!(rig.delivery.next_deadline(), Some(at_ms(1_000)));
    rig.delivery.broker_down(SECOND, at_ms(600));
    rig.delivery.broker_down(FIRST, at_ms(700));
    assert_eq!(rig.delivery.next_deadline(), None);
    rig.delivery.broker_up(FIRST, u16::MAX, at_ms(800));
    assert_eq!(rig.delivery.next_deadline(), Some(at_ms(1_800)));
}

#[test]
fn a_frame_that_the_disk_does_not_give_stands_in_nobodys_way() {
    let mut rig = Rig::new(2, SETTINGS);
    for broker in [FIRST, SECOND] {
        rig.delivery.broker_up(broker, u16::MAX, Mono::ZERO);
    }
    let places = rig.stored(&[Kind::Panic; 2]);
    rig.medium.unreadable = BTreeSet::from([places[0].0 % 2048]);
    let (broker, publish, number) = rig.next(0).expect("the other one");
    assert_eq!(number, 2);
    rig.delivery.taken(broker, publish, Mono::ZERO);
    rig.medium.unreadable.clear();
    let (later, first) = (*apart::APART_MS.start(), places[0]);
    assert!([FIRST, SECOND].into_iter().all(|broker| rig.delivery.apart.is_apart(first, broker)));
    rig.delivery.receipted(FIRST, panic(2).telling());
    assert!(rig.next(later - 1).is_none());
    assert_eq!(rig.next_number(later), Some(1));
}

#[test]
fn what_one_broker_took_is_offered_anew_only_if_no_other_has_it() {
    let kept = |taken: &[BrokerId]| {
        let mut rig = Rig::new(2, SETTINGS);
        for broker in [FIRST, SECOND] {
            rig.delivery.broker_up(broker, u16::MAX, Mono::ZERO);
        }
        // The first cannot be relied on: both are offered what is fresh.
        rig.delivery.lines[FIRST.index()].mute = true;
        let offers = rig.fresh(&panic(1), Some(Lsn(5)), 0);
        assert_eq!(offers.len(), 2);
        for (broker, publish) in offers.into_iter().filter(|(broker, _)| taken.contains(broker)) {
            rig.delivery.taken(broker, publish, Mono::ZERO);
        }
        rig.delivery.broker_down(FIRST, Mono::ZERO);
        rig.delivery.sent.contains_key(&panic(1).telling())
    };
    assert!(kept(&[FIRST]), "it is open at the other");
    assert!(kept(&[SECOND]));
    assert!(kept(&[FIRST, SECOND]));
    assert!(kept(&[]));
}

#[test]
fn the_oldest_goes_back_when_more_wait_for_receipts_than_may() {
    let mut rig = Rig::up(SETTINGS);
    let mut take = |number: usize| {
        let press = panic(number as u64);
        let [(broker, publish)] = rig.fresh(&press, Some(Lsn(number as u64)), 0)[..] else {
            panic!("one broker")
        };
        rig.delivery.taken(broker, publish, Mono::ZERO);
        let oldest = rig.delivery.sent.contains_key(&panic(1).telling());
        (rig.delivery.awaiting, oldest)
    };
    for number in 1..=AWAITING_MAX {
        assert_eq!(take(number), (number, true));
    }
    assert_eq!(take(AWAITING_MAX + 1), (AWAITING_MAX, false));
}

/// What is done leaves nothing behind, however long a receipt is waited for: at 200 events
/// a second and for an hour, that would be 50 MB.
#[test]
fn what_the_centre_has_is_waited_for_no_more() {
    for (receipt_wait_ms, escalate_after_ms) in [(3_600_000, 60_000), (5_000, 3_600_000)] {
        let mut rig = Rig::up(DeliverySettings { receipt_wait_ms, escalate_after_ms, ..SETTINGS });
        let mut take = |number: u64| {
            for (_, publish) in rig.fresh(&panic(number), None, number) {
                assert!(rig.delivery.taken(FIRST, publish, at_ms(number)).is_none());
            }
            if number > 0 {
                assert!(rig.delivery.receipted(FIRST, panic(number).telling()).is_some());
                rig.delivery.handle_time(&mut rig.journal, at_ms(number.min(4_999)));
            }
            rig.delivery.deadlines.len().max(rig.delivery.escalations.len())
        };
        let most = (0..20_000).map(&mut take).max();
        assert_eq!(most, Some(4 * AWAITING_MAX), "{receipt_wait_ms}");
        let next = receipt_wait_ms.min(escalate_after_ms);
        assert_eq!(rig.delivery.next_deadline(), Some(at_ms(next)), "the first is waited for");
        rig.delivery.handle_time(&mut rig.journal, at_ms(receipt_wait_ms));
        assert_eq!(numbers(rig.delivery.memory.iter()), [0]);
    }
}

/// One that nobody receipts is escalated by its first offer, however often it went out since.
#[test]
fn what_is_offered_again_and_again_is_noted_once_when_much_is() {
    let mut rig = Rig::up(SETTINGS);
    for ms in 0..=4 * AWAITING_MAX as u64 {
        let (_, publish) = rig.fresh(&panic(1), None, ms)[0];
        assert!(rig.delivery.taken(FIRST, publish, at_ms(ms)).is_none());
    }
    assert_eq!(rig.delivery.escalations.len(), 1);
    assert_eq!(rig.delivery.escalations[0].0, at_ms(60_000));
    assert_eq!(rig.delivery.deadlines.len(), 1);
    assert_eq!(rig.delivery.deadlines[0].0, at_ms(4 * AWAITING_MAX as u64 + 1_000));
}

/// The event at which the only broker hangs up is found, also where it has no place in the
/// journal.
#[test]
fn what_only_memory_holds_and_ends_connections_holds_up_nothing() {
    let mut rig = Rig::up(SETTINGS);
    rig.stored(&[Kind::Panic]);
    rig.delivery.memory.push_back(panic(9));
    let mut ms = 0;
    for connection in 0..4 {
        let (_, publish, number) = rig.next(ms).expect("something is offered");
        if number == 1 {
            assert!(connection >= 2, "it is not known yet what ends the connections");
            assert!(rig.delivery.taken(FIRST, publish, at_ms(ms)).is_none());
            assert_eq!(numbers(rig.delivery.memory.iter()), [9], "it is kept");
            return;
        }
        rig.delivery.broker_down(FIRST, at_ms(ms));
        ms += 1_000;
        rig.delivery.broker_up(FIRST, u16::MAX, at_ms(ms));
    }
    unreachable!("the journal's event is never offered");
}
