//! What is journalled of releases, how stretches are read, and when a commit goes, waits
//! or is tried again.

use super::medium_test::{BOOT, Medium, at_ms, event, filled, journal, live, replay, stored};
use super::*;
use crate::engine::event::Kind;
use std::collections::BTreeSet;

/// A journal with events of these kinds, which are durable.
fn with(kinds: &[Kind]) -> (Journal, Medium, Vec<Lsn>) {
    let (mut journal, mut medium) = (journal(5, 5), Medium::default());
    medium.serve(&mut journal, Mono::ZERO);
    let places = stored(&mut journal, &mut medium, kinds);
    news(&mut journal);
    (journal, medium, places)
}

/// What there is to report, without what became durable.
fn news(journal: &mut Journal) -> Vec<String> {
    let news = std::iter::from_fn(|| journal.poll_news());
    let told = news.filter(|news| !matches!(news, News::Durable(_)));
    told.map(|news| match news {
        News::Backlog(events, end) => {
            let numbers = events.iter().map(|(_, event)| event.number).collect::<Vec<u64>>();
            format!("{numbers:?} up to {}", end.index())
        }
        news => format!("{news:?}"),
    })
    .collect()
}

fn append(journal: &mut Journal, number: u64, haste: Haste) -> Lsn {
    journal.append_event(&event(Kind::Heartbeat, BOOT, number), None, haste).expect("room")
}

/// What is to be written next: from which frame on, and its bytes.
fn commit(journal: &mut Journal, now: Mono) -> Option<(DiskTicket, u64, Vec<u8>)> {
    match journal.poll_operation(now) {
        Some(DiskOp::Commit { ticket, offset, bytes, .. }) => {
            Some((ticket, u64::from(offset) / SLOT_BYTES as u64, bytes))
        }
        None => None,
        Some(other) => panic!("{other:?}"),
    }
}

/// A million of them would else take 24 times as much memory when the next boot reads them.
#[test]
fn releases_in_a_row_are_journalled_as_one_run() {
    let (mut journal, _, places) = with(&[Kind::Panic; 60]);
    let run = |first: usize, count| Run { first: places[first].0, count };
    let mut released = |indexes: &[usize]| -> Vec<Vec<Run>> {
        journal.release(&indexes.iter().map(|index| places[*index]).collect());
        let told = std::mem::take(&mut journal.open).into_iter().map(|(_, plain)| plain.record());
        told.map(|record| match record {
            Some(Record::Released(runs)) => runs,
            other => panic!("{other:?}"),
        })
        .collect()
    };
    assert_eq!(released(&[0, 1, 2, 5, 8, 9]), [[run(0, 3), run(5, 1), run(8, 2)]]);
    assert_eq!(released(&[1, 2, 3]), [[run(3, 1)]], "what was released is not released again");
    assert!(released(&[1, 2]).is_empty());
    // Frames hold as many whether they stand in a row or apart (P5).
    let row: Vec<usize> = (20..20 + RUNS_MAX + 1).collect();
    assert_eq!(released(&row), [[run(20, RUNS_MAX as u32)], [run(20 + RUNS_MAX, 1)]]);
}

#[test]
fn the_urgent_and_the_trouble_lane_are_indexed() {
    let (mut journal, _, places) = with(&[Kind::Panic, Kind::LinkDown, Kind::Heartbeat]);
    let indexed = |journal: &Journal| {
        let is = [0, 1, 2].map(|index| journal.is_indexed(places[index]));
        (is, Lane::ALL.map(|lane| journal.indexed(lane, Lsn(0)).collect::<Vec<Lsn>>()))
    };
    let lanes = [vec![places[0]], vec![places[1]], vec![]];
    assert_eq!(indexed(&journal), ([true, true, false], lanes));
    journal.release(&places.iter().copied().collect());
    assert_eq!(indexed(&journal), ([false; 3], [vec![], vec![], vec![]]));
}

/// A gateway that stops waits for that.
#[test]
fn a_journal_is_settled_when_nothing_is_written_or_nothing_can_be() {
    let (mut journal, _, _) = with(&[Kind::Panic]);
    assert!(journal.is_settled());
    append(&mut journal, 1, Haste::AtOnce);
    assert!(!journal.is_settled(), "a frame is open");
    let (ticket, ..) = commit(&mut journal, Mono::ZERO).expect("a commit");
    let open = std::mem::take(&mut journal.open);
    assert!(!journal.is_settled(), "a commit is under way");
    journal.open = open;
    journal.handle(DiskDone::Failed(ticket, DiskFault::Io), Mono::ZERO);
    assert!(journal.is_settled(), "it failed");
}

#[test]
fn a_stretch_ends_with_its_segment() {
    let mut journal = filled(8, 2, 6, 3);
    let mut read = |index: u64| {
        journal.read_backlog(Lsn(Lsn::first_of(2).0 + index));
        match journal.operations.pop_front() {
            Some(DiskOp::Read { file, offset, bytes, .. }) => (file, offset / 512, bytes / 512),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(0), (1, 0, 64));
    assert_eq!(read(1984), (1, 1984, 64));
    assert_eq!(read(2040), (1, 2040, 8));
    assert_eq!(read(2047), (1, 2047, 1));
}

#[test]
fn what_is_not_as_it_was_written_is_counted_and_given_up() {
    let (mut journal, mut medium, places) = with(&[Kind::Panic; 4]);
    journal.read_backlog(places[0]);
    medium.serve(&mut journal, Mono::ZERO);
    let all = format!("[1, 2, 3, 4] up to {}", places[3].index() + 1);
    assert_eq!(news(&mut journal), [&*all], "no word of damage");
    [1, 2].into_iter().for_each(|n| medium.damage(places[n].index()));
    assert!(!journal.has_news());
    journal.read_stretch(places[2]);
    medium.serve(&mut journal, Mono::ZERO);
    assert!(journal.has_news());
    let two = format!("[1, 4] up to {}", places[3].index() + 1);
    assert_eq!(news(&mut journal), ["Damaged(2)", &*two]);
    assert_eq!(live(&journal), BTreeSet::from([places[0], places[3]]));
}

#[test]
fn one_bad_sector_hides_no_more_than_its_own_frame() {
    let (mut journal, mut medium, places) = with(&[Kind::Panic; 3]);
    medium.unreadable = BTreeSet::from([places[1].index()]);
    let mut read = |lsn: Lsn| {
        journal.read_stretch(lsn);
        medium.serve(&mut journal, Mono::ZERO);
        assert_eq!(journal.live(), 3, "it may be given later");
        news(&mut journal)
    };
    let alone = |number: usize| format!("[{number}] up to {}", places[number - 1].index() + 1);
    assert_eq!(read(places[0]), [alone(1)]);
    assert_eq!(read(places[1]), [format!("Unreadable({:?})", places[1])]);
    assert_eq!(read(places[2]), [alone(3)]);
}

/// The disk hangs; meanwhile all that it was to read is receipted, and the file made free.
#[test]
fn a_reading_ends_although_its_segment_is_gone() {
    let (mut journal, mut medium) = (journal(4, 4), Medium::default());
    medium.serve(&mut journal, Mono::ZERO);
    let places = stored(&mut journal, &mut medium, &[Kind::Panic; 2_100]);
    journal.read_stretch(places[0]);
    let Some(DiskOp::Read { ticket, .. }) = journal.operations.pop_back() else { panic!("reads") };
    let first = places.iter().copied().filter(|lsn| lsn.segment() == places[0].segment());
    journal.release(&first.collect());
    medium.serve(&mut journal, Mono::ZERO);
    assert!(!journal.segments.contains_key(&places[0].segment()), "its file is free");
    news(&mut journal);
    journal.handle(DiskDone::Failed(ticket, DiskFault::Io), Mono::ZERO);
    assert_eq!(news(&mut journal), [format!("[] up to {}", places[0].index() + 1)]);
}

#[test]
fn a_failed_commit_is_tried_again_after_waits_that_double() {
    let (mut journal, _, _) = with(&[Kind::Panic]);
    append(&mut journal, 1, Haste::AtOnce);
    let (mut now_ms, mut waits) = (0, Vec::new());
    for _ in 0..9 {
        let (ticket, ..) = commit(&mut journal, at_ms(now_ms)).expect("a commit");
        journal.handle(DiskDone::Failed(ticket, DiskFault::Io), at_ms(now_ms));
        let retry_at = journal.next_deadline().expect("it is tried again");
        waits.push(retry_at.ms_since(at_ms(now_ms)));
        assert!(commit(&mut journal, Mono::from_us(retry_at.us() - 1)).is_none());
        now_ms += waits[waits.len() - 1];
    }
    assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    assert!(commit(&mut journal, at_ms(now_ms)).is_some());
    let hangs_at = Some(at_ms(now_ms + commit::HANGS_AFTER_MS));
    assert_eq!(journal.next_deadline(), hangs_at, "it is being tried");
}

/// A cache that believes it has what a failed sync left must be given other bytes first.
#[test]
fn without_a_free_file_zeros_are_synced_where_the_frames_stand_before_they_are_written_again() {
    let (mut journal, _, _) = with(&[Kind::Panic]);
    let first = append(&mut journal, 2, Haste::AtOnce);
    append(&mut journal, 3, Haste::AtOnce);
    // One more stands in the next segment.
    let third = Lsn::first_of(first.segment() + 1);
    journal.open.push_back((third, journal.open[0].1.clone()));
    let file = journal.segments[&first.segment()].file;
    journal.segments.insert(third.segment(), Segment::new(file, third));
    journal.free.clear();
    journal.allocating = Some((DiskTicket(u64::MAX), 9));
    let (ticket, at, written) = commit(&mut journal, Mono::ZERO).expect("a commit");
    assert_eq!((at, written.len()), (first.index(), 2 * SLOT_BYTES));
    journal.handle(DiskDone::Failed(ticket, DiskFault::Io), Mono::ZERO);
    let (ticket, at, bytes) = commit(&mut journal, at_ms(500)).expect("zeros");
    assert_eq!((at, bytes), (first.index(), vec![0; 2 * SLOT_BYTES]));
    journal.handle(DiskDone::Committed(ticket), at_ms(500));
    assert!(!journal.durable().covers(first), "zeros are no record of it");
    let (_, at, again) = commit(&mut journal, at_ms(500)).expect("the frames");
    assert_eq!((at, again), (first.index(), written));
}

/// A boot that ends in a power cut leaves a torn commit behind the end of the log; the next
/// one goes on there, and its first write fails. If any of the old frames stayed behind its
/// own, they would pass for the continuation at the start after that.
#[test]
fn what_a_torn_commit_left_is_written_over_also_after_a_write_that_failed() {
    let (mut before, mut medium, places) = with(&[Kind::Panic; 3]);
    for number in 11..31 {
        append(&mut before, number, Haste::AtOnce);
    }
    let (_, at, bytes) = commit(&mut before, Mono::ZERO).expect("a commit");
    let at = at as usize * SLOT_BYTES;
    // All but the first of its frames reached the medium.
    let file = medium.files.get_mut(&0).expect("the first file");
    file[at + SLOT_BYTES..at + bytes.len()].copy_from_slice(&bytes[SLOT_BYTES..]);
    let limits = Limits { files_max: 5, files_reserved: 5 };
    let recovered = replay(&medium.files).finish(BOOT + 1, limits).expect("of this store");
    let mut journal = recovered.journal;
    assert_eq!(live(&journal), places.iter().copied().collect());
    journal.free.clear();
    let panic = event(Kind::Panic, BOOT + 1, 1);
    journal.append_event(&panic, None, Haste::AtOnce).expect("room");
    medium.fails = true;
    medium.serve(&mut journal, Mono::ZERO);
    medium.fails = false;
    medium.serve(&mut journal, at_ms(500));
    let waiting = live(&journal);
    assert_eq!(waiting.len(), 4);
    assert_eq!(medium.found(), waiting, "and nothing of the boot that was cut off");
}

const WAIT_MS: u64 = 5_000;

#[test]
fn a_frame_without_haste_waits_for_others_for_five_seconds() {
    let (mut journal, _, _) = with(&[Kind::Panic]);
    append(&mut journal, 1, Haste::Unhurried(at_ms(100)));
    append(&mut journal, 2, Haste::Unhurried(at_ms(900)));
    assert_eq!(journal.next_deadline(), Some(at_ms(100 + WAIT_MS)));
    assert!(commit(&mut journal, at_ms(99 + WAIT_MS)).is_none());
    let (ticket, _, bytes) = commit(&mut journal, at_ms(100 + WAIT_MS)).expect("a commit");
    assert_eq!(bytes.len(), 2 * SLOT_BYTES);
    // One that comes while the disk works has its own time, and asks when that is done.
    append(&mut journal, 3, Haste::Unhurried(at_ms(200 + WAIT_MS)));
    let hangs_at = Some(at_ms(100 + WAIT_MS + commit::HANGS_AFTER_MS));
    assert_eq!(journal.next_deadline(), hangs_at);
    journal.handle(DiskDone::Committed(ticket), at_ms(300 + WAIT_MS));
    assert_eq!(journal.next_deadline(), Some(at_ms(200 + 2 * WAIT_MS)));
    // With one that has haste all go.
    append(&mut journal, 4, Haste::AtOnce);
    let (_, _, bytes) = commit(&mut journal, at_ms(300 + WAIT_MS)).expect("a commit");
    assert_eq!(bytes.len(), 2 * SLOT_BYTES);
}

#[test]
fn frames_without_haste_go_when_they_fill_a_commit() {
    let (mut journal, _, _) = with(&[Kind::Panic]);
    for number in 1..commit::COMMIT_SLOTS_MAX as u64 {
        append(&mut journal, number, Haste::Unhurried(Mono::ZERO));
        assert!(commit(&mut journal, Mono::ZERO).is_none(), "{number}");
    }
    append(&mut journal, 256, Haste::Unhurried(Mono::ZERO));
    let (_, _, bytes) = commit(&mut journal, Mono::ZERO).expect("a commit");
    assert_eq!(bytes.len(), commit::COMMIT_SLOTS_MAX * SLOT_BYTES);
}

#[test]
fn a_frame_without_haste_waits_also_behind_a_commit_that_is_full() {
    let (mut journal, _, _) = with(&[Kind::Panic]);
    let most = commit::COMMIT_SLOTS_MAX as u64;
    for number in 1..=most {
        append(&mut journal, number, Haste::AtOnce);
    }
    append(&mut journal, most + 1, Haste::Unhurried(Mono::ZERO));
    let (ticket, _, bytes) = commit(&mut journal, Mono::ZERO).expect("a commit");
    assert_eq!(bytes.len(), commit::COMMIT_SLOTS_MAX * SLOT_BYTES);
    journal.handle(DiskDone::Committed(ticket), Mono::ZERO);
    assert!(commit(&mut journal, Mono::ZERO).is_none());
    assert_eq!(journal.next_deadline(), Some(at_ms(WAIT_MS)));
}

/// What is written elsewhere after a failure waits for nothing.
#[test]
fn a_journal_that_failed_asks_only_for_its_next_try() {
    let (mut journal, _, _) = with(&[Kind::Panic]);
    append(&mut journal, 1, Haste::AtOnce);
    let (ticket, ..) = commit(&mut journal, Mono::ZERO).expect("a commit");
    append(&mut journal, 2, Haste::Unhurried(Mono::ZERO));
    journal.handle(DiskDone::Failed(ticket, DiskFault::Io), at_ms(WAIT_MS));
    assert_eq!(journal.next_deadline(), Some(at_ms(WAIT_MS + 500)));
}
