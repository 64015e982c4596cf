//! What is told of a reading, in numbers.

use super::*;
use crate::engine::journal::reading::card::{Card, Stretch, at, stretch};

fn range(file: Option<u32>, first: Lsn, last: Lsn) -> LostFrames {
    LostFrames { file, first, last }
}

#[test]
fn a_range_names_its_ends_and_counts_its_frames() {
    let lost = range(Some(4), at(5, 6), at(7, 8));
    assert_eq!((lost.first(), lost.last()), ((5, 6), (7, 8)));
    assert_eq!(lost.frames(), 2 * 2048 + 3);
    assert_eq!(range(None, at(5, 6), at(5, 6)).frames(), 1);
}

#[test]
fn frames_in_a_row_of_one_file_are_told_as_one_range() {
    let mut findings = Findings::default();
    let lost = [
        (at(1, 5), at(1, 5), Some(0)),
        (at(1, 6), at(1, 8), Some(0)),
        // In a row, and of a file that is gone.
        (at(1, 9), at(1, 12), None),
        // Of that file, and not in a row.
        (at(1, 14), at(1, 14), None),
    ];
    lost.into_iter().for_each(|(first, last, file)| findings.lost(first, last, file));
    let ranges = [
        range(Some(0), at(1, 5), at(1, 8)),
        range(None, at(1, 9), at(1, 12)),
        range(None, at(1, 14), at(1, 14)),
    ];
    assert_eq!(findings.lost, ranges);
    assert_eq!((findings.damaged, findings.lost_elsewhere()), (4 + 4 + 1, 0));
}

#[test]
fn beyond_64_ranges_frames_are_only_counted() {
    let mut findings = Findings::default();
    for n in 0..66 {
        findings.lost(at(n, 3), at(n, 4), Some(n as u32));
        assert_eq!(findings.lost.len() as u64, (n + 1).min(64));
    }
    assert_eq!((findings.damaged, findings.lost_elsewhere()), (132, 4));
}

#[test]
fn each_boot_is_told_with_what_it_left() {
    let mut findings = Findings::default();
    let read = [(7, at(1, 0)), (7, at(1, 1)), (8, at(1, 2)), (8, at(2, 0)), (8, at(4, 1))];
    read.into_iter().for_each(|(boot, lsn)| findings.read_back(boot, lsn));
    let left = |boot, frames, first_segment, last_segment| BootFound {
        boot,
        frames,
        first_segment,
        last_segment,
    };
    assert_eq!(findings.boots, [left(7, 2, 1, 1), left(8, 3, 1, 4)]);
    assert_eq!(findings.frames, 5);
}

#[test]
fn the_files_are_told_as_the_survey_found_them() {
    let mut card = Card::of_files(6);
    card.fill(stretch(0, 1, Lsn(0)), 0..3);
    card.fill(stretch(1, 2, at(1, 3)), 0..3);
    card.fill(Stretch { durable: Some(at(2, 3)), ..stretch(1, 2, at(1, 3)) }, 4..8);
    card.cut_short(4, 5);
    let findings = card.replay().findings();
    let counts = [findings.files_free, findings.files_short, findings.segments];
    assert_eq!((findings.files, counts), (6, [3, 1, 2]));
    assert_eq!((findings.void_frames, findings.frames), (4, 6));
}
