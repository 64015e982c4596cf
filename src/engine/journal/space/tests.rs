//! Room: who may write, what is kept for cleaning, when the journal cleans and when it
//! grows, and what becomes of open frames when a sync fails.

use super::*;
use crate::engine::event::Kind;
use crate::engine::journal::commit::Running;
use crate::engine::journal::medium_test::{
    BOOT, Medium, at_ms, event, filled, journal, live, state, with_live,
};
use crate::engine::journal::{Haste, News};
use crate::engine::seam::DiskTicket;
use std::collections::BTreeSet;

#[test]
fn routine_may_fill_three_quarters_of_what_is_not_reserved() {
    let limits = Limits { files_max: 8, files_reserved: 4 };
    // A segment holds 2047 events beside its first frame.
    assert_eq!(limits.events_max(8), 4 * 2047 * 3 / 4);
    assert_eq!(limits.events_max(5), 2047 * 3 / 4);
    // However few there are, there is room for some.
    assert_eq!([limits.events_max(4), limits.events_max(0)], [2047 * 3 / 4; 2]);
}

#[test]
fn only_urgent_events_go_into_the_urgent_room() {
    let rooms = Lane::ALL.map(|lane| (lane, Room::of(lane)));
    for (lane, room) in rooms {
        let urgent = lane == Lane::Urgent;
        assert_eq!(room, if urgent { Room::Urgent } else { Room::Routine });
    }
}

#[test]
fn each_room_ends_where_the_one_below_it_begins() {
    // Three events and two states would be carried, with four frames beside them.
    let has_room = |free, index, room| {
        let mut journal = with_live(filled(8, 0, 2 + free, free), 3);
        let pendants = [1, 2].map(|n| PendantId::new(n).expect("a number"));
        pendants.iter().zip([50, 51]).for_each(|(pendant, index)| {
            journal.states.note(*pendant, Lsn(Lsn::first_of(1).0 + index));
        });
        journal.head = Lsn(Lsn::first_of(2).0 + index);
        journal.has_room_for(room)
    };
    use Room::{Cleaning, Routine, Urgent};
    let borders = [
        // Free segments, the last frame with room, the first without.
        (0, Urgent, 2048 - 10),
        (1, Routine, 2048 - 10),
        (0, Cleaning, 2047),
    ];
    for (free, room, last) in borders {
        assert!(has_room(free, last, room), "{room:?}");
        assert!(!has_room(free, (last + 1) % 2048, room), "{room:?}");
    }
    assert!(has_room(0, 1024, Urgent), "half a segment is left");
    assert!(!has_room(0, 1, Routine), "a whole segment stays for what is urgent");
    assert!(has_room(5, 0, Routine));
}

#[test]
fn only_an_older_segment_is_to_be_cleaned() {
    let mut journal = with_live(filled(8, 0, 1, 0), 3);
    journal.head = Lsn(Lsn::first_of(1).0 + 2047);
    assert_eq!(journal.cleaning_needs(), 0);
    assert!(journal.has_room_for(Room::Urgent));
    journal.head = Lsn::first_of(2);
    assert_eq!(journal.cleaning_needs(), 3 + CLEANING_SLOTS);
    journal.segments.clear();
    assert_eq!(journal.cleaning_needs(), 0);
}

/// What the room for cleaning is kept for: a journal that urgent events have filled
/// could else never write again, although the centre has taken all of them.
#[test]
fn a_journal_that_is_full_of_urgent_events_has_room_again_once_they_are_delivered() {
    // All but 48 frames of four segments are written; twenty states stand in the oldest.
    let mut journal = filled(4, 0, 4, 0);
    journal.head = Lsn(Lsn::first_of(5).0 - 48);
    journal.durable = journal.head;
    let pendants: Vec<PendantId> = (1..=20).filter_map(PendantId::new).collect();
    for (index, pendant) in (100..).zip(&pendants) {
        journal.states.note(*pendant, Lsn(Lsn::first_of(1).0 + index));
    }
    let press = |journal: &mut Journal, number| {
        journal.append_event(&event(Kind::Panic, BOOT, number), None, Haste::AtOnce)
    };
    let appended: BTreeSet<Lsn> = (1..).map_while(|n| press(&mut journal, n).ok()).collect();
    assert_eq!(appended.len(), 24, "room is kept for twenty states and four frames");
    let files = (0..4).map(|file| (file, vec![0; SEGMENT_BYTES as usize])).collect();
    let mut medium = Medium { files, ..Medium::default() };
    journal.release(&appended);
    medium.serve(&mut journal, Mono::ZERO);
    assert!(journal.has_room(), "the older segments are free");
    assert!(press(&mut journal, 1_000).is_ok());
    let places = pendants.iter().filter_map(|pendant| journal.state_at(*pendant));
    assert_eq!(places.filter(|lsn| *lsn > Lsn::first_of(4)).count(), 20, "all were carried");
}

/// So many urgent events in the smallest journal's sixteen files, of which the centre then takes
/// every `nth`.
fn urgent_in_sixteen_files(events: u64, nth: Option<usize>) -> Journal {
    let (mut journal, mut medium) = (journal(16, 8), Medium::default());
    let mut appended = Vec::new();
    medium.serve(&mut journal, Mono::ZERO);
    for number in 1..=events {
        let panic = event(Kind::Panic, BOOT, number);
        appended.push(journal.append_event(&panic, None, Haste::AtOnce).expect("room"));
        if number % 512 == 0 {
            medium.serve(&mut journal, Mono::ZERO);
        }
    }
    let taken: BTreeSet<Lsn> =
        nth.map(|nth| appended.into_iter().step_by(nth).collect()).unwrap_or_default();
    journal.release(&taken);
    medium.serve(&mut journal, Mono::ZERO);
    assert_eq!(journal.live, events - taken.len() as u64);
    assert_eq!(medium.found(), live(&journal));
    journal
}

/// However they are written, more than thirteen segments leave less than three files free.
#[test]
fn what_must_stay_is_not_copied_where_no_file_is_gained() {
    let fills = [13 * SEGMENT_SLOTS + 1, 13 * SEGMENT_SLOTS + 1024, 14 * SEGMENT_SLOTS];
    for events in fills {
        let journal = urgent_in_sixteen_files(events, None);
        assert!(journal.cleaning.is_none());
        assert_eq!(journal.free.len(), FREE_SEGMENTS_MIN - 1);
    }
}

#[test]
fn what_the_centre_took_is_gained_however_full_the_journal_is() {
    let journal = urgent_in_sixteen_files(14 * SEGMENT_SLOTS, Some(13));
    assert_eq!(journal.free.len(), FREE_SEGMENTS_MIN);
}

/// More than seven eighths of all files must stay, and little of the oldest segment. Else
/// new events would fill all but what that little needs, and a few starts the rest.
#[test]
fn what_is_gained_cheaply_is_gained_however_much_must_stay() {
    let (mut journal, mut medium) = (journal(16, 8), Medium::default());
    medium.serve(&mut journal, Mono::ZERO);
    let mut number = 0;
    let mut fill = |journal: &mut Journal, medium: &mut Medium| {
        let mut places = Vec::new();
        while journal.has_room_for_lane(Lane::Urgent) {
            number += 1;
            let panic = event(Kind::Panic, BOOT, number);
            places.push(journal.append_event(&panic, None, Haste::AtOnce).expect("room"));
            if number % 512 == 0 {
                medium.serve(journal, Mono::ZERO);
            }
        }
        medium.serve(journal, Mono::ZERO);
        places
    };
    let places = fill(&mut journal, &mut medium);
    journal.release(&places[..1_900].iter().copied().collect());
    medium.serve(&mut journal, Mono::ZERO);
    assert!(journal.live > 16 * 2_047 / 8 * 7, "more than seven eighths");
    fill(&mut journal, &mut medium);
    assert!(journal.spare() > 1_000, "{} frames are left", journal.spare());
    assert_eq!(medium.found(), live(&journal));
}

/// What `keep_room` does: asks for a file, begins to clean.
fn does(journal: &mut Journal) -> (Option<u32>, bool) {
    let cleaned_before = journal.cleaning.is_some();
    journal.keep_room(at_ms(5_000));
    let reads = journal.operations.iter().filter(|op| matches!(op, DiskOp::Read { .. })).count();
    let file = journal.operations.iter().find_map(|op| match op {
        DiskOp::Allocate { file, .. } => Some(*file),
        _ => None,
    });
    assert_eq!(file, journal.allocating.map(|(_, file)| file));
    (file, reads > 0 || journal.cleaning.is_some() != cleaned_before)
}

#[test]
fn enough_is_enough() {
    assert_eq!(does(&mut filled(8, 4, 6, 3)), (None, false));
    assert_eq!(does(&mut filled(8, 6, 6, 3)), (None, false), "as many as are reserved");
    assert_eq!(does(&mut filled(8, 7, 6, 3)), (Some(6), false), "one is missing of these");
    let mut vacant = filled(8, 6, 6, 3);
    vacant.vacant = vec![1];
    assert_eq!(vacant.present(), 5);
    assert_eq!(does(&mut vacant), (Some(1), false), "a file is gone");
}

#[test]
fn what_is_reserved_is_made_while_the_disk_is_idle() {
    let running = || Running { ticket: DiskTicket(1), end: Lsn::first_of(4), since: Mono::ZERO };
    let mut busy = filled(8, 7, 6, 3);
    busy.running = Some(running());
    assert_eq!(does(&mut busy), (None, false));
    let mut open = filled(8, 7, 6, 3);
    open.open_segment().expect("three are free");
    open.free.push_back(2);
    assert_eq!(does(&mut open), (None, false));
    // Who is short waits for nothing, but for the file that is being made.
    let mut short = filled(8, 7, 6, 2);
    short.running = Some(running());
    assert_eq!(does(&mut short), (Some(6), false));
    short.operations.clear();
    short.keep_room(at_ms(5_000));
    assert_eq!(short.operations.len(), 0);
}

#[test]
fn what_is_had_cheaply_is_recycled_before_the_journal_grows() {
    assert_eq!(does(&mut with_live(filled(8, 2, 6, 2), 1024)), (None, true));
    assert_eq!(does(&mut with_live(filled(8, 2, 6, 2), 1025)), (Some(6), false));
    // Without any that is free a failing journal could not be begun anew.
    let with_left = |left: u64| {
        let mut journal = with_live(filled(8, 2, 6, 0), 1024);
        journal.head = Lsn(journal.head.0 - left);
        journal
    };
    assert_eq!(does(&mut with_left(1025)), (Some(6), true));
    assert_eq!(does(&mut with_left(1024)), (Some(6), false), "the new tail would find no room");
    // What is reserved must be there, whatever could be recycled.
    assert_eq!(does(&mut with_live(filled(8, 7, 6, 2), 1)), (Some(6), false));
}

#[test]
fn what_may_not_grow_cleans() {
    assert_eq!(does(&mut with_live(filled(6, 2, 6, 2), 1025)), (None, true), "all there may be");
    let blocked = |files_reserved, free, live| {
        let mut journal = with_live(filled(8, files_reserved, 6, free), live);
        journal.growth_blocked_until = Some(at_ms(5_001));
        journal
    };
    assert_eq!(does(&mut blocked(2, 2, 1025)), (None, true), "the disk is full");
    assert_eq!(does(&mut blocked(7, 3, 1025)), (None, false), "there is room enough");
    // A round that is under way is not begun again.
    let mut cleaning = with_live(filled(6, 2, 6, 2), 1025);
    cleaning.start_cleaning();
    cleaning.operations.clear();
    assert_eq!(does(&mut cleaning), (None, false));
}

#[test]
fn a_disk_that_was_full_is_tried_again_after_its_time() {
    let tight = |until_ms| {
        let mut journal = with_live(filled(8, 2, 6, 3), 1);
        journal.tight = true;
        journal.growth_blocked_until = Some(at_ms(until_ms));
        journal
    };
    assert_eq!(does(&mut tight(5_001)), (None, false));
    assert_eq!(does(&mut tight(5_000)), (Some(6), false));
}

#[test]
fn what_the_disk_did_not_give_is_asked_for_again_after_its_time() {
    let mut journal = with_live(filled(6, 2, 6, 2), 1025);
    journal.start_cleaning();
    journal.operations.clear();
    assert!(journal.may_read_later(Lsn(2050), Mono::ZERO));
    assert_eq!(journal.growth_deadline(), Some(at_ms(10_000)));
    journal.keep_room(at_ms(9_999));
    assert_eq!((journal.cleaning.is_some(), journal.operations.len()), (false, 0));
    journal.keep_room(at_ms(10_000));
    assert_eq!((journal.cleaning.is_some(), journal.operations.len()), (true, 1));
    assert_eq!(journal.growth_deadline(), None);
}

#[test]
fn the_journal_asks_to_be_polled_when_a_wait_for_the_disk_ends() {
    let deadline = |free, tight, grow_ms: Option<u64>, read_ms: Option<u64>| {
        let mut journal = filled(8, 2, 6, free);
        journal.tight = tight;
        journal.growth_blocked_until = grow_ms.map(at_ms);
        if let Some(ms) = read_ms {
            assert!(journal.may_read_later(Lsn(2050), at_ms(ms)));
        }
        assert_eq!(journal.next_deadline(), journal.growth_deadline());
        journal.growth_deadline()
    };
    assert_eq!([deadline(2, true, None, None), deadline(3, false, Some(5), Some(6))], [None; 2]);
    assert_eq!(deadline(3, true, Some(5), None), Some(at_ms(5)), "the disk was full");
    assert_eq!(deadline(2, false, Some(5), None), Some(at_ms(5)), "little is free");
    assert_eq!(deadline(1, false, Some(5), None), Some(at_ms(5)));
    assert_eq!(deadline(2, false, None, Some(6)), Some(at_ms(10_006)), "a frame was not given");
    assert_eq!(deadline(2, false, Some(5), Some(6)), Some(at_ms(5)));
    assert_eq!(deadline(2, false, Some(20_000), Some(6)), Some(at_ms(10_006)));
}

#[test]
fn a_full_disk_is_told_once_and_so_is_its_end() {
    let told = |journal: &mut Journal| match journal.poll_news() {
        None => String::new(),
        Some(news) => {
            assert!(journal.poll_news().is_none(), "one at a time");
            format!("{news:?}")
        }
    };
    let fail = |journal: &mut Journal| {
        journal.allocation_failed(DiskFault::Full, Mono::ZERO);
        told(journal)
    };
    let made = |journal: &mut Journal| {
        journal.growth_blocked_until = None;
        journal.allocating = Some((DiskTicket(5), journal.files));
        journal.allocated(DiskTicket(5));
        told(journal)
    };
    // Some room is there, and no more can be had.
    let mut tight = filled(8, 2, 6, 3);
    assert_eq!([fail(&mut tight), fail(&mut tight)], ["Tight(true)", ""]);
    assert_eq!([made(&mut tight), made(&mut tight)], ["Tight(false)", ""]);
    // There is none at all.
    let mut starved = journal(8, 2);
    assert_eq!([fail(&mut starved), fail(&mut starved)], ["Failed(Full)", ""]);
    assert!(starved.has_failed());
    // The first is for urgent events; with the second there is room for all.
    let ends = [made(&mut starved), made(&mut starved), made(&mut starved)];
    assert_eq!(ends, ["", "Restored", ""]);
}

/// A journal with five free files, the beginning of its first segment durable.
fn begun() -> (Journal, Medium) {
    let (mut journal, mut medium) = (journal(5, 5), Medium::default());
    medium.serve(&mut journal, Mono::ZERO);
    for number in 1..=3 {
        let panic = event(Kind::Panic, BOOT, number);
        journal.append_event(&panic, Some(&state(1)), Haste::AtOnce).expect("room");
    }
    medium.serve(&mut journal, Mono::ZERO);
    while journal.poll_news().is_some() {}
    (journal, medium)
}

#[test]
fn what_is_open_when_a_sync_fails_is_written_elsewhere() {
    let (mut journal, mut medium) = begun();
    let durable = live(&journal);
    let pendants = [1, 2, 3].map(|n| PendantId::new(n).expect("a number"));
    let at_first = journal.state_at(pendants[0]);
    medium.fails = true;
    // One that an earlier boot numbered and that was carried forward says nothing of
    // the numbers of this one.
    let carried = event(Kind::Panic, BOOT - 1, 1);
    let mut old = vec![journal.append_event(&carried, None, Haste::AtOnce).expect("room")];
    for (number, pendant) in [(4, 2), (5, 3), (6, 3)] {
        let panic = event(Kind::Panic, BOOT, number);
        let appended = journal.append_event(&panic, Some(&state(pendant)), Haste::AtOnce);
        old.push(appended.expect("room"));
    }
    medium.serve(&mut journal, Mono::ZERO);
    assert!(matches!(journal.poll_news(), Some(News::Failed(DiskFault::Io))));
    journal.retry(at_ms(499));
    assert!(journal.poll_news().is_none(), "it waits half a second");
    journal.retry(at_ms(500));
    let new: Vec<Lsn> = (2..6).map(|index| Lsn(Lsn::first_of(2).0 + index)).collect();
    let Some(News::Moved(moved)) = journal.poll_news() else { panic!("they moved") };
    assert_eq!(moved, old.iter().copied().zip(new.iter().copied()).collect::<Vec<_>>());
    assert_eq!(live(&journal), durable.iter().copied().chain(new.iter().copied()).collect());
    let states = pendants.map(|pendant| journal.state_at(pendant));
    assert_eq!(states, [at_first, Some(new[1]), Some(new[3])]);
    // The segment says what was durable before it, and so does what it begins with.
    assert_eq!(journal.segments[&2].previous_end, old[0]);
    let opened = journal.open.front().and_then(|(_, plain)| plain.record());
    let expected = Opened { last: [3, 0, 0], previous: None };
    assert_eq!(opened, Some(Record::Opened(expected)));
    medium.fails = false;
    medium.serve(&mut journal, at_ms(500));
    assert_eq!(medium.found(), live(&journal));
}

#[test]
fn segments_of_which_nothing_is_durable_are_free_again() {
    // From the first segment, which is durable in part, into the second.
    let (mut journal, medium) = begun();
    let before = journal.free.clone();
    let fill = |journal: &mut Journal, open: u64| {
        journal.head = Lsn(Lsn::first_of(2).0 - open);
        for number in 10..14 {
            let panic = event(Kind::Panic, BOOT, number);
            journal.append_event(&panic, None, Haste::AtOnce).expect("room");
        }
    };
    fill(&mut journal, 2);
    assert_eq!(journal.segments.keys().copied().collect::<Vec<_>>(), [1, 2]);
    journal.reopen().expect("files are free");
    assert_eq!(journal.segments.keys().copied().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(journal.segments[&1].live.count(), 3, "what is durable stays");
    let rotated: Vec<u32> = before.iter().copied().skip(2).chain([before[0]]).collect();
    assert_eq!(Vec::from(journal.free.clone()), rotated);
    assert_eq!(medium.files.len() as u32, journal.files);
    // Where the durable part ends with its segment, the next one is void.
    let (mut journal, _) = begun();
    journal.head = Lsn::first_of(2);
    journal.durable = journal.head;
    fill(&mut journal, 0);
    assert_eq!(journal.segments.keys().copied().collect::<Vec<_>>(), [1, 2]);
    journal.reopen().expect("files are free");
    assert_eq!(journal.segments.keys().copied().collect::<Vec<_>>(), [1, 3]);
}
