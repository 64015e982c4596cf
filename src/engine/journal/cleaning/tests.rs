//! Cleaning: when it begins, what it gives up and how that is told, what it carries, and
//! when a file is free.

use super::*;
use crate::engine::age::{Age, Tick};
use crate::engine::event::Kind;
use crate::engine::journal::medium_test::{
    BOOT, Medium, at_ms, event, filled, journal, live, of, state, stored, with_live,
};
use crate::engine::journal::{Haste, Limits};
use crate::engine::time::Wall;

/// A round in which this lane and those below it are given up, up to a position.
fn giving_up(least: Lane, until: Lsn) -> Cleaning {
    let giving_up = Some(GivingUp { least, until, by_pendant: BTreeMap::new() });
    Cleaning { giving_up, ..Cleaning::of(1) }
}

fn shed(cleaning: &Cleaning) -> Vec<Shed> {
    cleaning.shed.values().copied().collect()
}

fn by_pendant(cleaning: &Cleaning) -> Vec<(u32, u32)> {
    let what = cleaning.giving_up.as_ref().expect("it gives up");
    what.by_pendant.iter().map(|(pendant, count)| (*pendant, *count)).collect()
}

fn id(pendant: u32) -> PendantId {
    PendantId::new(pendant).expect("a number")
}

/// A position in the oldest segment.
fn at(index: u64) -> Lsn {
    Lsn(Lsn::first_of(1).0 + index)
}

#[test]
fn what_is_given_up_is_of_a_lane_and_stands_before_what_is_kept() {
    let cleaning = giving_up(Lane::Trouble, Lsn(100));
    assert_eq!(Lane::ALL.map(|lane| cleaning.gives_up(Lsn(99), lane)), [false, true, true]);
    assert_eq!(Lane::ALL.map(|lane| cleaning.gives_up(Lsn(100), lane)), [false; 3]);
    assert_eq!(Lane::ALL.map(|lane| Cleaning::of(1).gives_up(Lsn(99), lane)), [false; 3]);
}

#[test]
fn what_was_given_up_is_counted_by_its_boot_and_by_its_pendant() {
    let mut cleaning = giving_up(Lane::Routine, Lsn(100));
    let heartbeats = [(1, 5, true), (2, 6, false), (1, 9, true), (1, 7, true), (3, 8, false)];
    for (pendant, number, given_up) in heartbeats {
        let heartbeat = of(pendant, event(Kind::Heartbeat, BOOT, number));
        cleaning.count(&heartbeat, Lane::Routine, given_up);
    }
    cleaning.count(&event(Kind::Heartbeat, BOOT - 1, 4), Lane::Routine, true);
    let lane = Lane::Routine;
    let expected = [
        Shed { boot: BOOT - 1, lane, first: 4, last: 4, count: 1 },
        Shed { boot: BOOT, lane, first: 5, last: 9, count: 3 },
    ];
    assert_eq!(shed(&cleaning), expected);
    assert_eq!(by_pendant(&cleaning), [(1, 3), (2, 0), (3, 0)], "who lost nothing is named too");
    // What is only carried is not counted at all.
    let mut carrying = Cleaning::of(1);
    carrying.count(&of(1, event(Kind::Heartbeat, BOOT, 5)), lane, false);
    assert_eq!(shed(&carrying), []);
}

/// Else numbers would be missing of which nobody ever hears.
#[test]
fn what_an_event_told_that_is_given_up_is_told_again() {
    let mut cleaning = giving_up(Lane::Trouble, Lsn(100));
    let lost = Shed { boot: BOOT - 1, lane: Lane::Urgent, first: 3, last: 8, count: 4 };
    let Shed { boot, lane, first, last, count } = lost;
    let details = [
        Detail::Void { boot, lane, first, last, count },
        Detail::GivenUp { pendants: vec![(1, 3), (2, 0)] },
        Detail::GivenUp { pendants: vec![(1, u32::MAX)] },
    ];
    for (number, detail) in (1..).zip(details) {
        let told = Event { detail, ..event(Kind::EventsShed, BOOT, number) };
        cleaning.count(&told, Lane::Trouble, true);
    }
    let these = Shed { boot: BOOT, lane: Lane::Trouble, first: 1, last: 3, count: 3 };
    assert_eq!(shed(&cleaning), [lost, these]);
    assert_eq!(by_pendant(&cleaning), [(1, u32::MAX), (2, 0)]);
}

/// Which lane is given up, if it begins.
fn begins(mut journal: Journal) -> Option<Option<Lane>> {
    journal.start_cleaning();
    journal.cleaning.map(|cleaning| cleaning.giving_up.map(|what| what.least))
}

#[test]
fn the_oldest_segment_is_cleaned_once_all_of_it_is_durable_and_another_stands() {
    let durable_below = |lsn: Lsn| {
        let mut journal = filled(8, 2, 5, 3);
        journal.durable = lsn;
        begins(journal)
    };
    assert_eq!(durable_below(Lsn::first_of(2)), Some(None));
    assert_eq!(durable_below(Lsn(Lsn::first_of(2).0 - 1)), None);
    assert_eq!(begins(filled(8, 2, 4, 3)), None, "it is the only one");
    assert_eq!(begins(filled(8, 2, 3, 3)), None, "there is none");
}

/// So many events of each lane, the first of them in the oldest of three segments.
fn waiting(events: [u64; 3]) -> Journal {
    let mut journal = filled(8, 2, 6, 3);
    for (lane, count) in Lane::ALL.into_iter().zip(events) {
        for _ in 0..count {
            let lsn = at(2 + journal.live);
            if let Some(segment) = journal.segments.get_mut(&lsn.segment()) {
                segment.live.set(lsn.index());
            }
            journal.live += 1;
            if let Some(index) = journal.indexed.get_mut(lane as usize) {
                index.insert(lsn);
            }
        }
    }
    journal
}

#[test]
fn routine_is_given_up_where_too_much_waits_and_trouble_where_there_is_absurdly_much() {
    let most = Limits { files_max: 8, files_reserved: 2 }.events_max(6);
    assert_eq!(begins(waiting([0, 0, most + 1])), Some(Some(Lane::Routine)));
    assert_eq!(begins(waiting([0, 0, most])), None, "it is little, and stands close");
    assert_eq!(begins(waiting([0, TROUBLE_MAX, 10])), Some(None));
    assert_eq!(begins(waiting([0, TROUBLE_MAX + 1, 10])), Some(Some(Lane::Trouble)));
}

#[test]
fn what_must_stay_is_copied_only_where_a_file_is_gained_by_it() {
    let most = Limits { files_max: 8, files_reserved: 2 }.events_max(6);
    assert_eq!(begins(waiting([most + 1, 0, 0])), None, "too much waits, and all of it stays");
    assert_eq!(begins(waiting([most + 1, 0, 1])), Some(Some(Lane::Routine)));
    assert_eq!(begins(waiting([5_000, 10, 10])), None, "not too much, and it stands close");
    // More than seven eighths of all files are to be copied for the sake of three.
    let mut nearly_full = with_live(filled(64, 2, 64, 4), 1_100);
    nearly_full.live = 64 * 2047 / 8 * 7 + 1;
    nearly_full.indexed[Lane::Urgent as usize] = (0..nearly_full.live).map(at).collect();
    assert!(nearly_full.would_shrink() && nearly_full.is_nearly_full());
    assert_eq!(begins(nearly_full), None);
}

/// What is told of the equipment takes no room from what people say for ever, be there
/// no routine at all.
#[test]
fn absurdly_much_trouble_is_given_up_although_nothing_else_waits() {
    // A link that comes and goes for weeks, and nobody who is heard.
    let (mut journal, mut medium) = (journal(6, 2), Medium::default());
    medium.serve(&mut journal, Mono::ZERO);
    stored(&mut journal, &mut medium, &[Kind::LinkDown; 12_000]);
    assert!(journal.live() < 8_000, "{} wait", journal.live());
    assert_eq!(medium.found(), live(&journal));
    assert_eq!(begins(waiting([0, 6_000, 0])), Some(Some(Lane::Trouble)));
    assert_eq!(begins(waiting([3_000, 3_000, 0])), Some(Some(Lane::Trouble)));
}

#[test]
fn what_is_nearly_full_and_what_would_shrink_is_reckoned_in_frames() {
    let with = |live: u64, states: u32| {
        let mut journal = filled(8, 2, 6, 3);
        journal.live = live;
        (1..=states).for_each(|pendant| journal.states.note(id(pendant), at(u64::from(pendant))));
        journal
    };
    let nearly_full = [10_745, 10_746].map(|live| with(live, 0).is_nearly_full());
    assert_eq!(nearly_full, [false, true], "seven eighths of six times 2047");
    // Two segments hold 4092 frames, of which three empty releases take their part.
    let would_shrink = [(4_089, 0), (4_090, 0), (4_087, 2), (4_088, 2)];
    let would_shrink = would_shrink.map(|(live, states)| with(live, states).would_shrink());
    assert_eq!(would_shrink, [true, false, true, false]);
}

/// More that must stay than is carried at least is carried as it is read.
#[test]
fn what_is_carried_is_held_until_all_is_read_unless_too_much_must_stay() {
    let held = |urgent: u64| {
        let mut journal = waiting([urgent, TROUBLE_MAX + 1, 0]);
        journal.start_cleaning();
        journal.cleaning.expect("it begins").held.is_some()
    };
    assert_eq!([CARRIED_MIN, CARRIED_MIN + 1].map(held), [true, false]);
}

#[test]
fn the_newest_are_carried_up_to_the_least_number_that_is() {
    let until = |urgent: &[u64], routine: &[u64]| {
        let mut journal = filled(8, 2, 6, 3);
        let segment = journal.segments.get_mut(&1).expect("segment 1");
        urgent.iter().chain(routine).for_each(|index| segment.live.set(*index));
        journal.indexed[Lane::Urgent as usize].extend(urgent.iter().map(|index| at(*index)));
        journal.given_up_until(1, Lane::Routine)
    };
    let routine: Vec<u64> = (2..42).filter(|index| index % 10 != 0).collect();
    assert_eq!(until(&[], &routine), (at(24), 0), "sixteen are left");
    assert_eq!(until(&[10, 20, 30, 40], &routine), (at(28), 4), "four stay and twelve are left");
    assert_eq!(until(&[10], &[5, 7]), (at(5), 1), "there are no more");
    let many: Vec<u64> = (50..66).collect();
    assert_eq!(until(&many, &routine), (Lsn::first_of(2), 16), "enough stay");
}

#[test]
fn a_frame_that_the_disk_does_not_give_counts_as_damage_after_many_times() {
    let mut journal = filled(8, 2, 6, 3);
    let mut later = |lsn: Lsn, times: u32| {
        (0..times).map(|_| journal.may_read_later(lsn, Mono::ZERO)).filter(|later| *later).count()
    };
    let most = UNREADABLE_TIMES_MAX - 1;
    assert_eq!(later(at(5), most), most as usize);
    // It is another that is not given: the one before is.
    assert_eq!(later(at(6), 1), 1);
    assert_eq!(later(at(5), most), most as usize);
    assert_eq!(later(at(5), 1), 0);
    // From there on it is counted anew.
    assert_eq!(later(at(5), 1), 1);
}

/// A journal whose oldest segment holds three events, of which the disk does not give
/// the second.
#[test]
fn what_the_disk_never_gives_is_lost_alone_and_told() {
    let (mut journal, mut medium) = (journal(5, 5), Medium::default());
    medium.serve(&mut journal, Mono::ZERO);
    let places = stored(&mut journal, &mut medium, &[Kind::Panic; 3]);
    journal.head = Lsn::first_of(2);
    stored(&mut journal, &mut medium, &[Kind::Panic]);
    medium.unreadable = BTreeSet::from([places[1].index()]);
    let told = |journal: &mut Journal| {
        let news = std::iter::from_fn(|| journal.poll_news());
        news.filter(|news| matches!(news, News::Damaged(_))).count()
    };
    for round in 1..=UNREADABLE_TIMES_MAX {
        assert!(journal.is_live(places[1]), "round {round}");
        assert_eq!(told(&mut journal), 0);
        journal.start_cleaning();
        medium.serve(&mut journal, Mono::ZERO);
        assert!(journal.cleaning.is_none());
    }
    assert!(!journal.is_live(places[1]));
    assert_eq!(told(&mut journal), 1);
    assert_eq!((journal.live(), journal.segments.contains_key(&1)), (3, false), "the others are");
}

/// Six files, of which none but the last is reserved, and more heartbeats than may wait.
#[test]
fn a_round_tells_exactly_what_it_gave_up() {
    let (mut journal, mut medium) = (journal(6, 5), Medium::default());
    medium.serve(&mut journal, Mono::ZERO);
    let (mut given_up, mut of_pendants) = (0, BTreeMap::new());
    for number in 1..=9_000 {
        let heartbeat = of(number as u32 % 3 + 1, event(Kind::Heartbeat, BOOT, number));
        journal.append_event(&heartbeat, None, Haste::AtOnce).expect("room");
        if number % 250 != 0 {
            continue;
        }
        medium.serve(&mut journal, Mono::ZERO);
        while let Some(news) = journal.poll_news() {
            let News::Shed(ranges, pendants) = news else { continue };
            let [range] = ranges[..] else { panic!("one boot, one lane") };
            assert_eq!((range.boot, range.lane), (BOOT, Lane::Routine));
            assert!((1..=range.last + 1 - range.first).contains(&range.count));
            given_up += range.count;
            for (pendant, count) in pendants {
                *of_pendants.entry(pendant).or_insert(0) += u64::from(count);
            }
        }
    }
    assert!(given_up > 2_000, "{given_up}");
    assert_eq!(journal.live() + given_up, 9_000);
    assert_eq!(of_pendants.values().sum::<u64>(), given_up);
    assert_eq!(of_pendants.len(), 3);
    assert_eq!(medium.found(), live(&journal));
}

#[test]
fn a_round_that_gives_up_nothing_tells_nothing() {
    let (mut journal, mut medium) = (journal(5, 5), Medium::default());
    medium.serve(&mut journal, Mono::ZERO);
    stored(&mut journal, &mut medium, &[Kind::Panic, Kind::Heartbeat]);
    journal.head = Lsn::first_of(2);
    stored(&mut journal, &mut medium, &[Kind::Panic]);
    journal.start_cleaning();
    medium.serve(&mut journal, Mono::ZERO);
    assert!(!journal.segments.contains_key(&1));
    assert_eq!((journal.live(), medium.found()), (3, live(&journal)));
    assert!(!std::iter::from_fn(|| journal.poll_news()).any(|n| matches!(n, News::Shed(..))));
}

/// What is carried takes of the room for cleaning; what else is said of a pendant does not.
#[test]
fn only_a_state_that_moves_on_takes_the_room_for_cleaning() {
    let mut journal = with_live(filled(8, 0, 2, 0), 3);
    journal.head = Lsn(Lsn::first_of(3).0 - 5);
    journal.states.note(id(1), at(50));
    journal.states.note(id(2), Lsn(Lsn::first_of(2).0 + 50));
    assert!(journal.has_room_for(Room::Cleaning) && !journal.has_room_for(Room::Urgent));
    let carried = |journal: &mut Journal| {
        [1, 2, 3].map(|pendant| journal.carry_state(id(pendant), &state(pendant)))
    };
    assert_eq!(carried(&mut journal), [false; 3], "nothing is cleaned");
    journal.cleaning = Some(Cleaning::of(1));
    assert_eq!(carried(&mut journal), [true, false, false]);
}

#[test]
fn the_state_of_one_who_is_enrolled_no_more_is_left_behind() {
    let mut journal = filled(8, 2, 6, 3);
    [1, 2].into_iter().for_each(|pendant| journal.states.note(id(pendant), at(50)));
    journal.cleaning = Some(Cleaning { step: Step::States, ..Cleaning::of(1) });
    assert_eq!(journal.states_to_carry(), [id(1), id(2)]);
    journal.drop_state(id(1));
    assert_eq!((journal.states_to_carry(), journal.state_at(id(1))), (vec![id(2)], None));
}

/// What was carried is written anew elsewhere when its sync failed: the file is freed
/// only when it is durable there.
#[test]
fn a_round_waits_for_what_it_carried_wherever_that_stands() {
    let settled = |step: Step| {
        let mut cleaning = Cleaning { step, ..Cleaning::of(1) };
        cleaning.settle_below(Lsn(9_000));
        match cleaning.step {
            Step::Settling(end) => (end, None),
            Step::Freeing(end, file) => (end, Some(file)),
            Step::Reading | Step::States => (Lsn(0), None),
        }
    };
    assert_eq!(settled(Step::Settling(Lsn(7_000))), (Lsn(9_000), None));
    assert_eq!(settled(Step::Freeing(Lsn(7_000), 4)), (Lsn(9_000), Some(4)));
    assert_eq!(settled(Step::States), (Lsn(0), None));
}

#[test]
fn a_file_is_free_once_what_was_carried_and_then_the_new_tail_are_durable() {
    let mut journal = filled(8, 2, 6, 3);
    let end = journal.head;
    journal.cleaning = Some(Cleaning { step: Step::Settling(end), ..Cleaning::of(1) });
    journal.durable = Lsn(end.0 - 1);
    journal.advance_cleaning();
    assert!(journal.segments.contains_key(&1), "what was carried is not durable yet");
    journal.durable = end;
    journal.advance_cleaning();
    assert_eq!((journal.segments.contains_key(&1), journal.tail), (false, Lsn::first_of(2)));
    let told = journal.head;
    journal.durable = Lsn(told.0 - 1);
    journal.advance_cleaning();
    assert!(!journal.free.contains(&0), "the new tail is not durable yet");
    journal.durable = told;
    journal.advance_cleaning();
    assert_eq!((journal.free.back(), journal.cleaning.is_some()), (Some(&0), false));
}

/// A card that has become read-only: what is carried fills the frames that wait for it,
/// and the round is given up. Begun anew at once it would read for as long as that lasts.
#[test]
fn a_journal_that_fails_and_takes_no_more_frames_reads_nothing_to_clean() {
    let (mut journal, mut medium) = (journal(6, 2), Medium::default());
    medium.serve(&mut journal, Mono::ZERO);
    let places = stored(&mut journal, &mut medium, &[Kind::Panic; 4_500]);
    journal.release(&places[..1_100].iter().copied().collect());
    medium.serve(&mut journal, Mono::ZERO);
    medium.fails = true;
    for number in 5_000..5_200 {
        let panic = event(Kind::Panic, BOOT, number);
        journal.append_event(&panic, None, Haste::AtOnce).expect("room");
    }
    // Serving it asserts that it comes to rest.
    (0..200).for_each(|turn| medium.serve(&mut journal, at_ms(turn * 1_000)));
    assert!(journal.has_failed() && !journal.has_room_for_lane(Lane::Urgent));
    medium.fails = false;
    (200..300).for_each(|turn| medium.serve(&mut journal, at_ms(turn * 1_000)));
    assert_eq!((journal.live(), journal.has_failed()), (4_500 - 1_100 + 200, false));
    assert_eq!(medium.found(), live(&journal));
}

/// Else a start after that would take up an older age, and be late with all that is due.
#[test]
fn the_newest_age_is_asked_for_when_its_segment_is_cleaned() {
    let asks = |tick_in| {
        let mut journal = with_live(filled(8, 2, 6, 2), 1024);
        journal.tick_in = tick_in;
        journal.start_cleaning();
        assert!(journal.cleaning.is_some());
        std::iter::from_fn(|| journal.poll_news()).any(|news| matches!(news, News::AgeGoes))
    };
    assert_eq!([0, 1, 2].map(asks), [true, true, false]);
    let mut journal = with_live(filled(8, 2, 6, 2), 1024);
    assert!(journal.append_tick(Tick { age: Age::default(), wall: Wall::Unset }));
    assert_eq!(journal.tick_in, journal.open.back().expect("it waits").0.segment());
}
