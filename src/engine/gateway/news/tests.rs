//! What of a pendant's state may become durable, and what is told of events that memory
//! had to give up.

use super::super::tests::{fresh, now, served, with_room};
use super::*;
use crate::engine::age::TICK_MS;
use crate::engine::event::{Freshness, HeardFrame};
use crate::engine::journal::Limits;
use crate::engine::journal::medium_test::{BOOT, Medium, event, of, replay, state};
use crate::engine::pendant::{Reply, Supervision};
use crate::engine::seam::LinkId;

const PENDANT: u32 = 1;

fn pendant() -> PendantId {
    PendantId::new(PENDANT).expect("a number")
}

/// What a pendant said in a frame with this counter.
fn said(kind: Kind, counter: u64) -> Event {
    let mut event = of(PENDANT, event(kind, BOOT, counter));
    if let Some(from) = &mut event.from {
        from.heard = Some(HeardFrame {
            link: LinkId(0),
            signal: Default::default(),
            battery_percent: None,
            place: 0,
            position: None,
            temperature_decidegrees: None,
            freshness: Freshness::Proven,
        });
    }
    event
}

/// Frames 9 and 10 were heard; it fell silent, and was heard again.
fn heard() -> PendantState {
    PendantState { highest: Some(10), window: 0b11, ..state(PENDANT) }
}

fn only_in_memory(gateway: &mut Gateway, event: &Event) {
    gateway.delivery.offer_fresh(event, None, &gateway.voice, now(0), drop);
}

#[test]
fn a_state_is_kept_without_what_came_of_events_that_only_memory_holds() {
    let less = |event: &Event, beside: Option<EventId>, state: &PendantState| {
        let mut gateway = fresh();
        only_in_memory(&mut gateway, event);
        assert_eq!(gateway.withhold(pendant(), state, beside), None, "all is in the journal");
        gateway.volatile.insert(pendant());
        let less = gateway.withhold(pendant(), state, beside);
        less.map(|less| (less.highest, less.supervision))
    };
    use Supervision::{Heard, Lost};
    let press = said(Kind::Panic, 10);
    assert_eq!(less(&press, None, &heard()), Some((Some(9), Heard)));
    assert_eq!(less(&press, Some(press.id), &heard()), None, "it is written beside it");
    let lost = PendantState { supervision: Lost, ..heard() };
    let told = of(PENDANT, event(Kind::SupervisionLost, BOOT, 10));
    assert_eq!(less(&told, None, &lost), Some((Some(10), Heard)));
    let restored = said(Kind::SupervisionRestored, 10);
    assert_eq!(less(&restored, None, &heard()), Some((Some(10), Lost)));
    // What joins has no counter of a message.
    let joined = said(Kind::Joined, 10);
    assert_eq!(less(&joined, None, &heard()), Some((Some(10), Heard)));
}

#[test]
fn a_state_that_waits_gets_its_place_as_soon_as_all_of_it_may_be_kept() {
    let place = |in_memory: bool| {
        let mut gateway = with_room();
        gateway.states.insert(pendant(), heard());
        gateway.volatile.insert(pendant());
        if in_memory {
            only_in_memory(&mut gateway, &said(Kind::Panic, 10));
        }
        gateway.carry_states();
        (gateway.journal.state_at(pendant()).is_some(), gateway.volatile.is_empty())
    };
    assert_eq!([false, true].map(place), [(true, true), (false, false)]);
}

#[test]
fn what_memory_gave_up_is_counted_and_its_frame_is_answered_no_more() {
    let mut gateway = fresh();
    let reply = |counter| Some(Reply { counter, tag: 5, frame: [0; 24] });
    let mut state = heard();
    state.replies = [reply(9), reply(10)];
    gateway.states.insert(pendant(), state);
    let mut give_up = |event: Event| {
        gateway.delivery_news(DeliveryNews::Dropped(Box::new(event)), now(0));
        let replies = gateway.states.get(pendant()).expect("its state").replies;
        (gateway.dropped, replies.map(|reply| reply.map(|reply| reply.counter)))
    };
    let shed = |lane, first, last, count| Some(Shed { boot: BOOT, lane, first, last, count });
    let both = [Some(9), Some(10)];
    // A timer's event bears the counter of a frame, and is none.
    let (dropped, replies) = give_up(of(PENDANT, event(Kind::Overdue, BOOT, 10)));
    assert_eq!((dropped, replies), ([shed(Lane::Urgent, 10, 10, 1), None, None], both));
    let (dropped, replies) = give_up(said(Kind::Joined, 9));
    let routine = shed(Lane::Routine, 9, 9, 1);
    assert_eq!((dropped, replies), ([shed(Lane::Urgent, 10, 10, 1), None, routine], both));
    let (dropped, replies) = give_up(said(Kind::Panic, 9));
    let urgent = shed(Lane::Urgent, 9, 10, 2);
    assert_eq!((dropped, replies), ([urgent, None, routine], [None, Some(10)]));
}

/// There is room at last, and the state is written beside the event that came after it.
#[test]
fn what_memory_gave_up_is_answered_no_more_after_a_restart_either() {
    let mut gateway = fresh();
    let reply = |counter| Some(Reply { counter, tag: 5, frame: [0; 24] });
    gateway.states.insert(pendant(), PendantState { replies: [reply(9), reply(10)], ..heard() });
    gateway.volatile.insert(pendant());
    only_in_memory(&mut gateway, &said(Kind::Panic, 9));
    for number in 100..355 {
        only_in_memory(&mut gateway, &of(2, event(Kind::Panic, BOOT, number)));
    }
    only_in_memory(&mut gateway, &said(Kind::Panic, 10));
    let mut medium = Medium::default();
    served(&mut gateway, &mut medium);
    let limits = Limits { files_max: 8, files_reserved: 0 };
    let found = replay(&medium.files).finish(BOOT + 1, limits).expect("of this store");
    let replies = found.states[&pendant()].replies.map(|reply| reply.map(|reply| reply.counter));
    assert_eq!(replies, [None, Some(10)]);
}

#[test]
fn what_memory_gave_up_is_told_once_the_journal_takes_it() {
    let told = |gateway: &mut Gateway| {
        let lane = Lane::Urgent;
        let shed = Shed { boot: BOOT, lane, first: 1, last: 3, count: 3 };
        gateway.dropped[lane as usize] = Some(shed);
        let before = gateway.numbers[Lane::Trouble as usize];
        gateway.say_dropped(now(0));
        let told = gateway.numbers[Lane::Trouble as usize] - before;
        assert_eq!(gateway.dropped[lane as usize].is_none(), told == 1);
        told
    };
    assert_eq!(told(&mut fresh()), 0, "there is no room");
    assert_eq!(told(&mut with_room()), 1);
    let (mut gateway, mut medium) = (fresh(), Medium { fails: true, ..Medium::default() });
    served(&mut gateway, &mut medium);
    assert!(gateway.journal.has_failed() && gateway.journal.has_room());
    assert_eq!(told(&mut gateway), 0, "it cannot be written");
}

#[test]
fn the_age_is_written_anew_when_it_would_go() {
    let mut gateway = with_room();
    let at_20_s = now(20_000);
    gateway.journal_news(News::AgeGoes, at_20_s);
    assert_eq!(gateway.timers.tick_at, at_20_s.mono.plus_ms(TICK_MS));
}
