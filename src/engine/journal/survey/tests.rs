//! The survey against what `docs/journal.md` says of it, case by case: where the log ends
//! and goes on, which segments make it up, and when its end is missing.

use super::*;
use crate::engine::journal::reading::card::{Card, Stretch, at, stretch};

/// The first segment of a log.
fn first() -> Stretch {
    stretch(0, 1, Lsn(0))
}

/// Four frames in the first of three files, each synced by itself.
fn log() -> Card {
    let mut card = Card::of_files(3);
    card.fill(first(), 0..4);
    card
}

fn leftovers(plan: &Plan) -> Option<u64> {
    plan.goes_on.map(|goes_on| goes_on.leftovers)
}

#[test]
fn a_refusal_says_what_is_to_be_done() {
    let said = [
        (RecoverError::ForeignKey, "put the key file of this store back"),
        (RecoverError::OtherVersion, "start that version until its events are delivered"),
    ];
    for (refusal, what) in said {
        assert!(refusal.to_string().contains(what), "{refusal}");
    }
}

#[test]
fn frames_of_another_version_are_refused_where_none_is_of_this_one() {
    let mut card = Card::of_files(3);
    card.fill(stretch(1, 1, Lsn(0)), 5..6);
    card.age(1, 5, 1);
    assert_eq!(card.survey().plan().err(), Some(RecoverError::OtherVersion));
    card.fill(stretch(2, 1, Lsn(0)), 0..1);
    let plan = card.plan();
    assert_eq!((plan.order(), plan.files), (vec![2], 3));
}

#[test]
fn the_first_frame_above_the_mark_that_is_not_whole_ends_the_log() {
    let mut card = log();
    assert_eq!((card.plan().cut, card.plan().void_frames), (at(1, 4), 0));
    // Of a commit of five frames the second did not reach the card.
    let torn = Stretch { durable: Some(at(1, 4)), ..first() };
    card.fill(torn, 4..5);
    card.fill(torn, 6..9);
    let found = |card: &Card| {
        let plan = card.plan();
        (plan.cut, plan.void_frames, leftovers(&plan))
    };
    assert_eq!(found(&card), (at(1, 5), 3, Some(4)));
    // One is half written.
    card.tear(0, 5);
    assert_eq!(found(&card), (at(1, 5), 4, Some(4)));
    card.tear(0, 11);
    assert_eq!(found(&card), (at(1, 5), 5, Some(7)));
    assert_eq!(card.plan().settled, at(1, 5));
    let unsettled = card.survey().plan_unsettled().expect("frames of this version");
    assert_eq!((unsettled.cut, unsettled.settled), (at(1, 5), at(1, 4)));
}

#[test]
fn frames_that_no_mark_vouches_for_are_named_to_be_written_again() {
    let unvouched = |card: &Card| card.survey().unvouched();
    let named = |file, first: u64, frames: usize| {
        Some(Unvouched { file, offset: first * 512, bytes: frames * 512 })
    };
    assert_eq!(unvouched(&Card::of_files(1)), None);
    assert_eq!(unvouched(&log()), named(0, 3, 1), "the last one");
    let mut card = log();
    card.fill(Stretch { durable: Some(at(1, 4)), ..first() }, 4..7);
    assert_eq!(unvouched(&card), named(0, 4, 3), "the last commit");
    // A frame behind the hole is a witness of what was durable.
    card.fill(Stretch { durable: Some(at(1, 7)), ..first() }, 8..9);
    assert_eq!(unvouched(&card), None);

    let mut ends = Card::of_files(1);
    ends.fill(Stretch { durable: Some(at(1, 2045)), ..first() }, 2045..2048);
    assert_eq!(unvouched(&ends), named(0, 2045, 3), "up to the segment's end");

    let mut begins = log();
    begins.fill(Stretch { durable: Some(at(1, 4)), ..stretch(1, 2, at(1, 4)) }, 0..2);
    assert_eq!(unvouched(&begins), named(1, 0, 2), "the first commit of a segment");
}

#[test]
fn the_log_goes_on_behind_a_segment_that_is_full() {
    let mut card = Card::of_files(2);
    card.fill(first(), 2047..2048);
    card.fill(Stretch { durable: Some(at(2, 0)), ..stretch(1, 2, at(2, 0)) }, 0..3);
    let plan = card.plan();
    assert_eq!((plan.cut, plan.order()), (at(2, 3), vec![0, 1]));
    assert_eq!(plan.segments[0].end, 2048);
}

/// Also what a commit that failed left behind is void: the segment that was begun anew
/// names where the log was durable.
#[test]
fn of_several_segments_that_name_one_end_the_newest_counts() {
    let mut card = log();
    let after =
        |file, segment| Stretch { durable: Some(at(1, 4)), ..stretch(file, segment, at(1, 4)) };
    card.fill(Stretch { durable: Some(at(1, 4)), ..first() }, 4..6);
    card.fill(after(1, 2), 0..3);
    card.fill(after(2, 3), 0..2);
    let plan = card.plan();
    assert_eq!((plan.cut, plan.order()), (at(3, 2), vec![0, 2]));
    assert_eq!((plan.segments[0].end, plan.void_frames), (4, 2 + 3));
    assert_eq!((plan.free, plan.newest_id), (vec![1], 3));
}

#[test]
fn segments_behind_the_cut_are_free() {
    let mut card = log();
    card.fill(Stretch { durable: Some(at(1, 4)), ..stretch(1, 2, at(1, 9)) }, 0..3);
    let plan = card.plan();
    assert_eq!((plan.cut, plan.order(), plan.void_frames), (at(1, 4), vec![0], 3));
    assert_eq!((plan.free, plan.newest_id), (vec![2, 1], 2));
}

#[test]
fn a_boot_goes_on_where_the_log_ends() {
    assert_eq!(leftovers(&log().plan()), Some(0));
    assert_eq!(leftovers(&Card::of_files(2).plan()), None, "there is no log");
    let ends_at = |files, index| {
        let mut card = Card::of_files(files);
        card.fill(first(), index - 1..index);
        assert_eq!(card.plan().cut, at(1, index));
        leftovers(&card.plan())
    };
    assert_eq!([ends_at(2, 1), ends_at(2, 1984)], [Some(0); 2]);
    assert_eq!([ends_at(2, 1985), ends_at(2, 2048)], [None; 2], "less than 64 frames are left");
    assert_eq!([ends_at(1, 1), ends_at(1, 2045)], [Some(0); 2]);
    assert_eq!([ends_at(1, 2046), ends_at(1, 2048)], [None; 2], "less than three are left");
}

#[test]
fn a_boot_begins_a_segment_where_the_log_could_be_taken_up_wrongly() {
    // A later segment, void since its first frame is not there, names the same end.
    let mut later = log();
    later.fill(Stretch { durable: Some(at(1, 4)), ..stretch(1, 2, at(1, 4)) }, 1..2);
    // The segment stands in two files.
    let mut doubled = log();
    doubled.fill(stretch(1, 1, Lsn(0)), 2..3);
    let mut cut_short = log();
    cut_short.cut_short(0, 100);
    for card in [later, doubled, cut_short] {
        let plan = card.plan();
        assert_eq!((plan.cut, plan.order()), (at(1, 4), vec![0]));
        assert_eq!(leftovers(&plan), None);
    }
}

#[test]
fn the_file_that_was_named_is_used_first() {
    let mut card = Card::of_files(4);
    card.fill(Stretch { next_file: Some(2), ..first() }, 0..4);
    assert_eq!(card.plan().free, [2, 1, 3]);
}

/// Two segments, in files 0 and 1; the second names a file in which the log was to go on.
fn names(next_file: u32) -> Card {
    let mut card = Card::of_files(3);
    card.fill(first(), 0..3);
    card.fill(Stretch { next_file: Some(next_file), ..stretch(1, 2, at(1, 3)) }, 0..4);
    card
}

/// Whether the end is missing; then also no id is used that a missing segment may have.
fn end_is_missing(card: &Card) -> bool {
    let plan = card.plan();
    assert_eq!((plan.cut, plan.order()), (at(2, 4), vec![0, 1]));
    assert_eq!(plan.goes_on.is_none(), plan.end_is_missing);
    assert_eq!(plan.newest_id, if plan.end_is_missing { 2 + 65_536 } else { 2 });
    plan.end_is_missing
}

#[test]
fn the_end_is_missing_if_the_file_that_was_named_is_not_free_and_whole() {
    assert!(!end_is_missing(&names(2)));
    assert!(end_is_missing(&names(3)), "there is no such file");
    assert!(end_is_missing(&names(0)), "it holds a segment of the log");
    let mut short = names(2);
    short.cut_short(2, 2047);
    assert!(end_is_missing(&short));
    let mut copy = names(2);
    copy.fill(stretch(2, 1, Lsn(0)), 0..3);
    assert!(end_is_missing(&copy), "it is a copy of another one");
    let mut astray = names(2);
    astray.fill(stretch(2, 1, Lsn(0)), 1..2);
    assert!(!end_is_missing(&astray), "one frame that went astray into it is no copy");
    let mut used = Card::of_files(3);
    used.fill(stretch(2, 1, Lsn(0)), 0..3);
    let second = stretch(1, 2, at(1, 3));
    used.fill(Stretch { next_file: Some(2), tail: at(2, 0), ..second }, 0..4);
    assert!(!used.plan().end_is_missing, "what it holds is void");
}

#[test]
fn the_end_is_missing_if_the_newest_segment_was_cut_short() {
    let mut newest = names(2);
    newest.cut_short(1, 2000);
    assert!(end_is_missing(&newest));
    let mut older = names(2);
    older.cut_short(0, 2000);
    assert!(!end_is_missing(&older), "behind it the log goes on");
}

#[test]
fn of_two_files_with_one_segment_the_fuller_counts() {
    let counts = |frames: [u64; 2]| {
        let mut card = Card::of_files(2);
        (0..).zip(frames).for_each(|(file, n)| card.fill(stretch(file, 1, Lsn(0)), 0..n));
        let plan = card.plan();
        // The other one is not used again until it was allocated anew.
        let other = 1 - plan.order()[0];
        assert_eq!((plan.free, plan.short, plan.vacant), (vec![], 1, vec![other]));
        (plan.segments[0].file, plan.cut)
    };
    assert_eq!(counts([2, 3]), (1, at(1, 3)));
    assert_eq!(counts([3, 2]), (0, at(1, 3)));
    assert_eq!(counts([3, 3]), (0, at(1, 3)), "the one that is taken first");
}

/// Frames of two other segments went astray into the file of a third.
#[test]
fn what_else_a_file_holds_counts_if_its_newest_segments_stand_elsewhere() {
    let with_tail = |tail| {
        let mut card = Card::of_files(3);
        card.fill(stretch(2, 1, Lsn(0)), 2..6);
        card.fill(stretch(2, 2, at(1, 6)), 1..2);
        card.fill(stretch(2, 3, at(2, 3)), 0..1);
        card.fill(stretch(1, 2, at(1, 6)), 0..3);
        card.fill(Stretch { tail, ..stretch(0, 3, at(2, 3)) }, 0..3);
        card.plan()
    };
    assert_eq!(with_tail(at(1, 0)).order(), [2, 1, 0]);
    let void = with_tail(at(2, 0));
    assert_eq!((void.order(), void.free, void.vacant), (vec![1, 0], vec![], vec![2]));
}

/// What `queue` asks when it has read a journal while its gateway ran.
#[test]
fn two_looks_at_a_journal_tell_what_changed_between_them() {
    let before = log();
    let mut goes_on = log();
    goes_on.fill(first(), 4..5);
    let mut used_again = Card::of_files(3);
    used_again.fill(stretch(0, 2, at(1, 4)), 0..4);
    let gone = Card::of_files(3);
    let compared = |later: &Card| {
        let (before, later) = (before.plan(), later.plan());
        (before.ends_as(&later), before.still_stands_in(&later))
    };
    assert_eq!(compared(&before), (true, true));
    assert_eq!(compared(&goes_on), (false, true));
    assert_eq!(compared(&used_again), (false, false));
    assert_eq!(compared(&gone), (false, false));
}
