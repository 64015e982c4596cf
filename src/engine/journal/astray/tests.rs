//! Two segments of the log in one file: which of them is the file's own.

use super::*;
use crate::engine::journal::reading::card::{Card, Stretch, at, stretch};

const TAIL: Lsn = Lsn(5 * 2048);

/// File 0 with four frames of segment 5, of which each was durable when the next one was
/// written; file 1 with three of segment 6.
fn log() -> Card {
    let mut card = Card::of_files(3);
    card.fill(own(), 0..4);
    card.fill(Stretch { tail: TAIL, ..stretch(1, 6, at(5, 4)) }, 0..3);
    card
}

fn own() -> Stretch {
    Stretch { tail: TAIL, ..stretch(0, 5, at(4, 9)) }
}

/// Frames of segment 7 in the file of segment 5.
fn astray() -> Stretch {
    Stretch { durable: Some(at(6, 3)), tail: TAIL, ..stretch(0, 7, at(6, 3)) }
}

/// Which segment counts as that of file 0, and which one is held to be missing.
fn aside(card: &Card) -> (Option<u64>, Option<u64>) {
    let mut survey = card.survey();
    survey.set_astray_aside();
    let found = survey.found.values().find(|found| found.file == 0);
    (found.map(|found| found.segment), survey.astray)
}

#[test]
fn frames_that_went_astray_do_not_take_the_place_of_the_files_own() {
    let mut card = log();
    card.fill(astray(), 9..12);
    assert_eq!(aside(&card), (Some(5), Some(7)));
    let mut survey = card.survey();
    survey.set_astray_aside();
    assert!(!survey.found[&5].full_length, "the file is made anew before it is used again");
    let plan = card.plan();
    assert_eq!((plan.order(), plan.cut), (vec![0, 1], at(6, 3)));
    assert!(plan.end_is_missing, "their own file is gone");
    assert_eq!(plan.newest_id, 7 + 65_536);
}

#[test]
fn the_end_is_there_if_a_later_segment_is() {
    let mut card = log();
    card.files.insert(1, vec![0; 2048 * 512]);
    card.fill(Stretch { durable: Some(at(5, 4)), ..stretch(0, 6, at(5, 4)) }, 9..10);
    card.fill(Stretch { tail: TAIL, ..stretch(1, 7, at(6, 20)) }, 0..3);
    assert_eq!(aside(&card), (Some(5), Some(6)));
    let plan = card.plan();
    assert_eq!((plan.order(), plan.cut, plan.end_is_missing), (vec![0, 1], at(7, 3), false));
}

#[test]
fn a_file_that_was_used_again_holds_its_newer_segment() {
    let mut first_frame = log();
    first_frame.fill(astray(), 9..10);
    first_frame.fill(astray(), 0..1);
    assert_eq!(aside(&first_frame), (Some(7), None), "it was begun there");

    let mut unconfirmed = log();
    unconfirmed.fill(Stretch { durable: Some(at(5, 0)), ..own() }, 0..4);
    unconfirmed.fill(astray(), 9..11);
    assert_eq!(aside(&unconfirmed), (Some(7), None), "nothing of the older one was durable");

    let mut void = log();
    void.fill(Stretch { tail: at(6, 0), ..astray() }, 9..11);
    assert_eq!(aside(&void), (Some(7), None), "the older one is below the tail");

    let mut elsewhere = log();
    elsewhere.fill(astray(), 9..11);
    elsewhere.fill(Stretch { file: 2, ..own() }, 0..3);
    assert_eq!(aside(&elsewhere), (Some(7), None), "the older one stands in another file");
}

#[test]
fn of_two_segments_in_one_file_the_fuller_is_its_own() {
    let with = |frames: u64| {
        let mut card = log();
        card.fill(astray(), 9..9 + frames);
        aside(&card)
    };
    assert_eq!(with(3), (Some(5), Some(7)));
    assert_eq!(with(4), (Some(7), None));
    assert_eq!(with(5), (Some(7), None));
}
