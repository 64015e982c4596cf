//! Replay against what `docs/journal.md` says of it, case by case: what counts as damage,
//! which numbers are missing with it, and what a boot begins with.

use super::*;
use crate::engine::event::Kind;
use crate::engine::journal::medium_test::{self, BOOT, Medium, event, journal, live};
use crate::engine::journal::reading::card::{Card, Stretch, at, stretch};
use crate::engine::journal::slot::Written;
use crate::engine::journal::{Haste, News, SLOT_BYTES};
use crate::engine::pendant::{Actual, Reply};
use crate::engine::seam::DiskOp;
use crate::engine::time::Mono;
use pendant_protocol::FrameBytes;

const LIMITS: Limits = Limits { files_max: 8, files_reserved: 0 };

/// The first segment of a log.
fn first() -> Stretch {
    stretch(0, 1, Lsn(0))
}

fn opened(last: [u64; 3], previous: Option<EndedBoot>) -> Written<'static> {
    Written::Opened(Opened { last, previous })
}

fn say_event(card: &mut Card, of: Stretch, index: u64, number: u64) {
    card.say(of, index, &Written::Event(&event(Kind::Panic, of.boot, number), None));
}

fn pendant() -> PendantId {
    PendantId::new(5).expect("a number")
}

/// Of a pendant about which there is no doubt.
fn state() -> PendantState {
    PendantState { suspect: false, ..PendantState::new(pendant(), 7) }
}

fn finished(card: &Card) -> Recovered {
    card.replay().finish(BOOT + 100, LIMITS).expect("frames of this store")
}

/// Where frames are missing: file, first, last.
type Lost = Vec<(Option<u32>, (u64, u64), (u64, u64))>;

fn lost(card: &Card) -> (u64, Lost) {
    let findings = card.replay().findings();
    let ranges = findings.lost.iter().map(|lost| (lost.file, lost.first(), lost.last()));
    (findings.damaged, ranges.collect())
}

/// Numbers of the urgent lane that are missing: of which boot, from, to.
fn voids(card: &Card) -> Vec<(Boot, u64, u64)> {
    let of = |shed: &Shed| {
        assert_eq!((shed.lane, shed.count), (Lane::Urgent, shed.last - shed.first + 1));
        (shed.boot, shed.first, shed.last)
    };
    finished(card).voids.iter().map(of).collect()
}

#[test]
fn what_is_read_back_is_counted_and_what_waits() {
    let mut card = Card::of_files(2);
    card.say(first(), 0, &opened([0; 3], None));
    (1..4).for_each(|number| say_event(&mut card, first(), number, number));
    let run = Run { first: at(1, 1).0, count: 2 };
    card.say(first(), 4, &Written::Released(vec![run]));
    let findings = card.replay().findings();
    assert_eq!((findings.frames, findings.waiting, findings.damaged), (5, 1, 0));
    assert_eq!(findings.segments, 1);
}

#[test]
fn one_frame_that_opens_shows_that_the_key_is_the_stores() {
    let mut card = Card::of_files(1);
    let foreign = JournalKey::from_bytes([1; 32]);
    card.seal(&foreign, first(), 0, &opened([0; 3], None));
    let refused = |card: &Card| card.replay().finish(BOOT + 1, LIMITS).err();
    assert_eq!(refused(&card), Some(RecoverError::ForeignKey));
    card.fill(first(), 1..2);
    assert_eq!(refused(&card), None);
    assert_eq!(lost(&card), (1, vec![(Some(0), (1, 0), (1, 0))]));
}

#[test]
fn a_segment_that_is_missing_in_the_middle_is_damage() {
    let mut card = Card::of_files(3);
    card.fill(first(), 0..2048);
    let third = stretch(2, 3, at(2, 10));
    card.fill(third, 0..3);
    assert_eq!(lost(&card), (10, vec![(None, (2, 0), (2, 9))]));
    card.fill(stretch(1, 2, at(2, 0)), 0..10);
    assert_eq!(lost(&card), (0, vec![]));
    // Segments that were left early, one after the other.
    let mut early = Card::of_files(2);
    early.fill(first(), 0..5);
    early.fill(stretch(1, 2, at(1, 5)), 0..2);
    assert_eq!(lost(&early), (0, vec![]));
}

#[test]
fn an_oldest_segment_that_is_missing_is_damage() {
    let mut card = Card::of_files(2);
    card.fill(Stretch { tail: at(1, 0), ..stretch(1, 2, at(1, 7)) }, 0..3);
    assert_eq!(lost(&card), (7, vec![(None, (1, 0), (1, 6))]));
    let mut cleaned = Card::of_files(2);
    cleaned.fill(Stretch { tail: at(2, 0), ..stretch(1, 2, at(1, 7)) }, 0..3);
    assert_eq!(lost(&cleaned), (0, vec![]));
}

#[test]
fn if_the_newest_segments_are_missing_the_rest_of_one_is_told_as_damage() {
    let mut card = Card::of_files(2);
    card.say(first(), 0, &Written::State(&state()));
    card.fill(Stretch { next_file: Some(7), ..first() }, 1..4);
    let rest = (2044, vec![(None, (1, 4), (1, 2047))]);
    assert_eq!(lost(&card), rest);
    let recovered = finished(&card);
    assert_eq!((recovered.damaged, recovered.journal.head), (2044, at(1 + 65_536 + 1, 0)));
    assert!(recovered.states[&pendant()].suspect);
    // Behind the last segment, and only there.
    card.fill(first(), 3..4);
    card.fill(Stretch { next_file: Some(7), ..stretch(1, 2, at(1, 4)) }, 0..2040);
    assert_eq!(lost(&card), (8, vec![(None, (2, 2040), (2, 2047))]));
}

#[test]
fn after_damage_the_next_number_tells_which_are_missing() {
    let mut card = Card::of_files(1);
    card.say(first(), 0, &opened([0; 3], None));
    say_event(&mut card, first(), 1, 3);
    assert_eq!(voids(&card), [], "a gap, and no damage: the centre has them");
    card.fill(first(), 2..3);
    card.tear(0, 2);
    say_event(&mut card, first(), 3, 4);
    assert_eq!(lost(&card), (1, vec![(Some(0), (1, 2), (1, 2))]));
    assert_eq!(voids(&card), [], "the next one follows at once");
    card.fill(first(), 4..5);
    card.tear(0, 4);
    say_event(&mut card, first(), 5, 9);
    assert_eq!(voids(&card), [(BOOT, 5, 8)]);
    say_event(&mut card, first(), 6, 14);
    assert_eq!(voids(&card), [(BOOT, 5, 8)], "no damage since the one before");
}

#[test]
fn an_event_that_was_carried_forward_closes_no_gap() {
    let mut card = Card::of_files(1);
    say_event(&mut card, first(), 0, 5);
    card.fill(first(), 1..2);
    card.tear(0, 1);
    say_event(&mut card, first(), 2, 5);
    say_event(&mut card, first(), 3, 7);
    assert_eq!(voids(&card), [(BOOT, 6, 6)]);
}

#[test]
fn what_a_boot_says_first_tells_which_numbers_are_missing() {
    let mut card = Card::of_files(1);
    card.fill(first(), 0..1);
    card.tear(0, 0);
    say_event(&mut card, first(), 1, 1);
    card.say(first(), 2, &opened([3, 0, 0], Some(EndedBoot { boot: BOOT - 1, last: [4, 0, 0] })));
    // Of this boot nothing was lost since its first event; of the one before, all may be.
    assert_eq!(voids(&card), [(BOOT - 1, 1, 4)]);
    card.fill(first(), 3..4);
    card.tear(0, 3);
    card.say(first(), 4, &opened([6, 0, 0], None));
    assert_eq!(voids(&card), [(BOOT - 1, 1, 4), (BOOT, 4, 6)]);
}

#[test]
fn what_the_centre_changed_holds_for_the_state_before_it() {
    let mut card = Card::of_files(1);
    card.say(first(), 0, &Written::State(&state()));
    let actual = Actual { covert_incident: Some(8), tracked: true };
    let change = |pendant| Change { pendant, alert: Some(9), actual };
    card.say(first(), 1, &Written::Ordered(vec![change(5), change(6)]));
    let recovered = finished(&card);
    let state = &recovered.states[&pendant()];
    assert_eq!((state.apparent.alert, state.actual), (Some(9), actual));
    assert_eq!(recovered.states.len(), 1, "a pendant without a state gets none");
    assert_eq!(recovered.journal.states.place(pendant()), Some(at(1, 0)));
}

#[test]
fn only_after_damage_pendants_are_in_doubt() {
    let mut card = Card::of_files(1);
    card.say(first(), 0, &Written::State(&state()));
    assert!(!finished(&card).states[&pendant()].suspect);
    card.fill(first(), 1..3);
    card.tear(0, 1);
    assert!(finished(&card).states[&pendant()].suspect);
}

/// The disk takes no write at a start. Pendants may have been answered on the last commit, so
/// what it says is told; but should the power go now, it may never have been on the medium.
#[test]
fn a_commit_that_cannot_be_written_again_is_read_and_answers_nobody_any_more() {
    let answered = |pendant| {
        let mut state = PendantState { pendant, ..state() };
        state.mark(3);
        state.replies[0] = Some(Reply { counter: 3, tag: 9, frame: FrameBytes::default() });
        state
    };
    let mut card = Card::of_files(1);
    card.say(first(), 0, &Written::State(&answered(5)));
    card.say(first(), 1, &Written::Event(&event(Kind::Panic, BOOT, 1), Some(&answered(6))));
    let plan = card.survey().plan_unsettled().expect("frames of this version");
    let mut replay = Replay::new(plan, medium_test::key());
    replay.file(0, &card.files[&0]);
    assert_eq!(replay.findings().waiting, 1);
    let recovered = replay.finish(BOOT + 1, LIMITS).expect("frames of this store");
    let answers = |number| {
        let state = &recovered.states[&PendantId::new(number).expect("a number")];
        assert_eq!(state.highest, Some(3));
        state.reply_to(3, 9).is_some()
    };
    assert_eq!([5, 6].map(answers), [true, false]);
}

#[test]
fn a_boot_names_how_the_one_before_ended() {
    let mut card = Card::of_files(1);
    card.say(first(), 0, &opened([3, 0, 2], None));
    let of_first = Some(EndedBoot { boot: BOOT, last: [3, 0, 2] });
    let said = |card: &Card| {
        let recovered = finished(card);
        assert_eq!(recovered.journal.opened, Opened { last: [0; 3], previous: recovered.previous });
        let (lsn, first) = recovered.journal.open.front().expect("what a boot begins with");
        assert_eq!(*lsn, recovered.journal.durable);
        assert_eq!(first.record(), Some(Record::Opened(recovered.journal.opened)));
        recovered.previous
    };
    assert_eq!(said(&card), of_first);
    // The next one died before it could tell anything: the centre has heard of the first.
    let next = Stretch { boot: BOOT + 1, ..first() };
    card.say(next, 1, &opened([0; 3], of_first));
    assert_eq!(said(&card), of_first);
    say_event(&mut card, next, 2, 1);
    assert_eq!(said(&card), Some(EndedBoot { boot: BOOT + 1, last: [1, 0, 0] }));
}

#[test]
fn a_commit_that_was_cut_off_is_to_be_written_over() {
    let leftovers = |card: &Card| {
        let left = finished(card).journal.leftovers;
        left.map(|left| (left.first, left.slots))
    };
    let mut card = Card::of_files(1);
    card.fill(first(), 0..3);
    assert_eq!(leftovers(&card), None);
    let torn = Stretch { durable: Some(at(1, 3)), ..first() };
    card.fill(torn, 4..5);
    assert_eq!(leftovers(&card), Some((at(1, 3), 2)));
    card.fill(torn, 3..4);
    assert_eq!(leftovers(&card), None);
    card.tear(0, 4);
    assert_eq!(leftovers(&card), Some((at(1, 4), 1)));
}

/// A full journal, and the power went when little was left of its last segment.
#[test]
fn a_boot_without_a_free_file_goes_on_in_what_is_left_of_the_last_segment() {
    for left in [4, 20, 63] {
        let mut card = Card::of_files(2);
        card.fill(first(), 0..2048);
        card.fill(stretch(1, 2, at(2, 0)), 0..2048 - left);
        let limits = Limits { files_max: 2, files_reserved: 0 };
        let recovered = card.replay().finish(BOOT + 1, limits).expect("frames of this store");
        let mut journal = recovered.journal;
        let mut medium = Medium { files: card.files.clone(), ..Medium::default() };
        medium.serve(&mut journal, Mono::ZERO);
        assert!(journal.has_room_for_lane(Lane::Urgent), "{left} left: nothing is written ever");
        let panic = event(Kind::Panic, BOOT + 1, 1);
        let lsn = journal.append_event(&panic, None, Haste::AtOnce).expect("room");
        medium.serve(&mut journal, Mono::ZERO);
        assert_eq!(medium.found(), BTreeSet::from([lsn]), "{left} left");
    }
}

/// The power went while the oldest segment was cleaned, and there is less room left than
/// that takes from the beginning.
#[test]
fn a_round_that_cannot_be_ended_is_begun_when_less_waits() {
    let mut card = Card::of_files(2);
    card.fill(first(), 0..1_998);
    (1..=50).for_each(|number| say_event(&mut card, first(), 1_997 + number, number));
    let second = stretch(1, 2, at(2, 0));
    card.fill(second, 0..1_990);
    (1..=40).for_each(|number| say_event(&mut card, second, 1_989 + number, number));
    let limits = Limits { files_max: 2, files_reserved: 0 };
    let recovered = card.replay().finish(BOOT + 1, limits).expect("frames of this store");
    let mut journal = recovered.journal;
    let mut medium = Medium { files: card.files.clone(), ..Medium::default() };
    medium.serve(&mut journal, Mono::ZERO);
    let waiting = live(&journal);
    assert_eq!((waiting.len(), journal.head), (90, at(2, 2_032)));
    journal.release(&waiting);
    medium.serve(&mut journal, Mono::ZERO);
    assert!(journal.has_room_for_lane(Lane::Urgent), "nothing is written ever");
}

/// One command of the centre that was carried out, and what it changed.
fn tracking() -> (Answered, Change) {
    let answered = postcard::from_bytes(&[&[1][..], &[7; 16], &[0]].concat());
    let actual = Actual { covert_incident: None, tracked: true };
    (answered.expect("one command"), Change { pendant: pendant().get(), alert: None, actual })
}

/// What is known as let through is not carried out again, and is answered as done.
fn assert_not_parted(files: &BTreeMap<u32, Vec<u8>>, when: &str) {
    let found = medium_test::replay(files).finish(BOOT + 1, LIMITS).expect("frames of this store");
    let is_changed = found.states.get(&pendant()).is_some_and(|it| it.actual.tracked);
    assert!(is_changed || found.answered == Answered::default(), "{when}");
}

/// The power goes between two commits.
#[test]
fn no_command_is_known_as_let_through_without_what_it_changed() {
    let (let_through, change) = tracking();
    // They stand in two commits; then in two segments.
    for before in [253, 2_045] {
        let (mut journal, mut medium) = (journal(5, 5), Medium::default());
        medium.serve(&mut journal, Mono::ZERO);
        let panic = |number| event(Kind::Panic, BOOT, number);
        journal.append_event(&panic(1), Some(&state()), Haste::AtOnce).expect("room");
        for number in 2..=before {
            if number % 256 == 0 && before > 256 {
                medium.serve(&mut journal, Mono::ZERO);
            }
            journal.append_event(&panic(number), None, Haste::AtOnce).expect("room");
        }
        journal.append_orders(&let_through, vec![change]).expect("room");
        loop {
            assert_not_parted(&medium.files, &format!("behind {before}"));
            let Some(operation) = journal.poll_operation(Mono::ZERO) else { break };
            journal.handle(medium.carry_out(operation), Mono::ZERO);
        }
    }
}

/// The disk fails, what is open is written elsewhere, and the power goes in the middle of that.
#[test]
fn a_failed_commit_parts_no_command_from_what_it_changed() {
    let (let_through, change) = tracking();
    // In the first commit, and behind it.
    for before in [2, 300] {
        let (mut journal, mut medium) = (journal(5, 5), Medium::default());
        medium.serve(&mut journal, Mono::ZERO);
        let panic = |number| event(Kind::Panic, BOOT, number);
        journal.append_event(&panic(1), Some(&state()), Haste::AtOnce).expect("room");
        medium.serve(&mut journal, Mono::ZERO);
        medium.fails = true;
        for number in 2..=before {
            journal.append_event(&panic(number), None, Haste::AtOnce).expect("room");
        }
        let old = journal.append_orders(&let_through, vec![change]).expect("room");
        medium.serve(&mut journal, Mono::ZERO);
        medium.fails = false;
        let now = medium_test::at_ms(500);
        let mut moved = BTreeMap::new();
        while let Some(operation) = journal.poll_operation(now) {
            while let Some(news) = journal.poll_news() {
                if let News::Moved(some) = news {
                    moved.extend(some);
                }
            }
            let DiskOp::Commit { file, offset, ref bytes, .. } = operation else {
                panic!("commits")
            };
            for cut in (0..=bytes.len())
                .step_by(SLOT_BYTES)
                .filter(|cut| *cut < 3_000 || *cut == bytes.len())
            {
                let mut files = medium.files.clone();
                let at = offset as usize;
                let written = files.get_mut(&file).expect("it was made");
                written[at..at + cut].copy_from_slice(&bytes[..cut]);
                assert_not_parted(&files, &format!("behind {before}, {cut} bytes"));
            }
            journal.handle(medium.carry_out(operation), now);
        }
        // Its answer waits for the place where it stands now.
        assert!(moved.get(&old).is_some_and(|new| journal.durable().covers(*new)), "{before}");
        let found = medium_test::replay(&medium.files).finish(BOOT + 1, LIMITS);
        assert_eq!(found.expect("frames of this store").answered, let_through);
    }
}
