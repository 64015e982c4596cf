//! What is read, from where on, and what is passed over.

use super::*;
use crate::engine::event::Kind;
use crate::engine::journal::medium_test::{BOOT, Medium, event, journal, stored};
use crate::engine::seam::DiskOp;
use crate::engine::time::Mono;

/// A journal with events of these kinds, which are durable.
fn with(kinds: &[Kind]) -> (Journal, Medium, Vec<Lsn>) {
    let (mut journal, mut medium) = (journal(5, 5), Medium::default());
    medium.serve(&mut journal, Mono::ZERO);
    let places = stored(&mut journal, &mut medium, kinds);
    (journal, medium, places)
}

fn panic(lsn: u64) -> (Lsn, Event) {
    (Lsn(lsn), event(Kind::Panic, BOOT, lsn))
}

fn never(_: Lsn) -> bool {
    false
}

/// From which frame of its segment on it has something read, and how many.
fn fetches(backlog: &mut Backlog, journal: &mut Journal) -> Option<(u32, u32)> {
    backlog.fetch(journal, never);
    let read = journal.poll_operation(Mono::ZERO).map(|operation| match operation {
        DiskOp::Read { offset, bytes, .. } => (offset / 512, bytes / 512),
        other => panic!("{other:?}"),
    });
    assert_eq!(backlog.is_reading(), read.is_some());
    read
}

#[test]
fn where_little_waits_it_is_read_in_stretches_that_begin_at_the_same_places() {
    let (mut journal, mut medium, places) = with(&[Kind::Heartbeat; 300]);
    assert_eq!([places[0].0 % 2048, places[299].0 % 2048], [2, 301]);
    let mut but_the_last = |last: usize| {
        journal.release(&places[..places.len() - last].iter().copied().collect());
        medium.serve(&mut journal, Mono::ZERO);
        fetches(&mut Backlog::default(), &mut journal)
    };
    assert_eq!(but_the_last(READ_AHEAD + 1), Some((173, 64)), "much waits: from the first on");
    assert_eq!(but_the_last(READ_AHEAD), Some((128, 64)));
    assert_eq!(but_the_last(1), Some((256, 64)));
    // What is on its way does not wait.
    let (mut journal, _, places) = with(&[Kind::Heartbeat; READ_AHEAD + 2]);
    let mut backlog = Backlog::default();
    backlog.claim(places[0]);
    assert_eq!(fetches(&mut backlog, &mut journal), Some((3, 64)));
    let mut backlog = Backlog::default();
    places[..2].iter().for_each(|lsn| backlog.claim(*lsn));
    assert_eq!(fetches(&mut backlog, &mut journal), Some((0, 64)));
}

#[test]
fn no_more_is_read_ahead_of_a_lane_and_those_before_it_than_may_be() {
    let kinds = [[Kind::Panic; 200], [Kind::Heartbeat; 200]].concat();
    let ahead = |urgent: usize| {
        let (mut journal, _, places) = with(&kinds);
        let mut backlog = Backlog::default();
        for lsn in &places[..urgent] {
            backlog.claim(*lsn);
            backlog.ready[Lane::Urgent as usize].push_back(panic(lsn.0));
        }
        assert_eq!(backlog.has_ready(), urgent > 0);
        fetches(&mut backlog, &mut journal)
    };
    assert_eq!(ahead(0), Some((2, 64)));
    assert_eq!(ahead(READ_AHEAD - 1), Some((2 + READ_AHEAD as u32 - 1, 64)));
    assert_eq!(ahead(READ_AHEAD), None);
}

#[test]
fn a_lane_passes_over_others_what_is_on_its_way_and_what_must_wait() {
    use Kind::{Heartbeat, LinkDown, Panic};
    let kinds = [Panic, Heartbeat, Heartbeat, LinkDown, Heartbeat, Heartbeat, Panic];
    let (journal, _, places) = with(&kinds);
    let mut backlog = Backlog::default();
    let waits = |lsn: Lsn| lsn == places[4];
    backlog.claim(places[2]);
    let mut order = Vec::new();
    for lane in Lane::ALL {
        let mut next = || {
            let lsn = backlog.next_unclaimed(&journal, lane, waits)?;
            backlog.claim(lsn);
            Some(lsn)
        };
        order.extend(std::iter::from_fn(&mut next).take(kinds.len()));
    }
    assert_eq!(order, [0, 6, 3, 1, 5].map(|index| places[index]));
    // All lanes together, in the order of reception.
    let mut backlog = Backlog::default();
    backlog.claim(places[2]);
    let mut next = || {
        let lsn = backlog.next_of_any(&journal, waits)?;
        backlog.claim(lsn);
        Some(lsn)
    };
    let order: Vec<Lsn> = std::iter::from_fn(&mut next).take(kinds.len()).collect();
    assert_eq!(order, [0, 1, 3, 5, 6].map(|index| places[index]));
}

#[test]
fn a_cursor_moves_on_unless_something_before_it_was_given_back_meanwhile() {
    let reading = |of: Option<Lane>| {
        let mut backlog = Backlog { cursor: Lsn(10), cursors: [Lsn(10); 3], ..Backlog::default() };
        backlog.reading = Some((of, Lsn(10)));
        backlog
    };
    let cursors = |backlog: &Backlog| (backlog.cursors.map(|lsn| lsn.0), backlog.cursor.0);
    let mut read = reading(Some(Lane::Trouble));
    read.take_read(vec![], Lsn(74), never);
    assert_eq!((cursors(&read), read.is_reading()), (([10, 74, 10], 10), false));
    let mut read = reading(None);
    read.take_read(vec![], Lsn(74), never);
    assert_eq!(cursors(&read), ([10; 3], 74));
    let mut given_back = reading(Some(Lane::Trouble));
    given_back.give_back(Lsn(5));
    given_back.take_read(vec![], Lsn(74), never);
    assert_eq!(cursors(&given_back), ([5; 3], 5));
    let mut unreadable = reading(None);
    unreadable.unreadable(Lsn(10));
    assert_eq!((cursors(&unreadable), unreadable.is_reading()), (([10; 3], 11), false));
}

#[test]
fn what_comes_back_unread_stands_at_its_place_among_what_was_read() {
    for lsn in [5, 20, 50] {
        let mut backlog = Backlog::default();
        backlog.ready[Lane::Urgent as usize].extend([10, 30, 40].map(panic));
        let (place, event) = panic(lsn);
        backlog.put_back(place, event);
        assert!(backlog.claimed.contains(&place));
        let order: Vec<u64> = std::iter::from_fn(|| backlog.pop()).map(|(lsn, _)| lsn.0).collect();
        assert!(order.is_sorted() && order.len() == 4, "{order:?}");
    }
}

#[test]
fn what_is_gone_is_remembered_no_more() {
    let mut backlog = Backlog::default();
    [1, 2].into_iter().for_each(|lsn| backlog.claim(Lsn(lsn)));
    backlog.forget(Lsn(1));
    assert_eq!(backlog.claimed, BTreeSet::from([Lsn(2)]));
}

#[test]
fn what_moved_is_known_by_its_new_place_and_looked_for_there() {
    let mut backlog = Backlog { cursor: Lsn(100), cursors: [Lsn(100); 3], ..Backlog::default() };
    [10, 20].into_iter().for_each(|lsn| backlog.claim(Lsn(lsn)));
    backlog.ready[Lane::Urgent as usize].extend([10, 20].map(panic));
    backlog.moved(&BTreeMap::from([(10, 50), (30, 60), (31, 61)].map(|(a, b)| (Lsn(a), Lsn(b)))));
    assert_eq!(backlog.claimed, BTreeSet::from([Lsn(20), Lsn(50)]));
    let ready = backlog.ready[Lane::Urgent as usize].iter().map(|(lsn, _)| lsn.0);
    assert_eq!(ready.collect::<Vec<u64>>(), [50, 20]);
    // What is on its way needs not be looked for.
    assert_eq!((backlog.cursors, backlog.cursor), ([Lsn(60); 3], Lsn(60)));
}
