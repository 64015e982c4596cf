//! The replay window, answers kept, and what else a pendant's state remembers.

use super::*;
use crate::engine::event::EventIdKey;
use CounterVerdict::{Late, Newest, TooOld, Used};

fn heard(counters: impl IntoIterator<Item = u32>) -> PendantState {
    let mut state = PendantState::new(PendantId::new(1).expect("a number"), 7);
    counters.into_iter().for_each(|counter| state.mark(counter));
    state
}

#[test]
fn what_is_taken_back_is_taken_anew_and_nothing_else_is() {
    let mut state = heard([90, 99, 100]);
    state.unsay(100);
    assert_eq!(state.judge_counter(100), Newest);
    assert_eq!([99, 90].map(|n| state.judge_counter(n)), [Used; 2]);
    assert_eq!([98, 89].map(|n| state.judge_counter(n)), [Late; 2]);
    // Counter 36 was below the window of 100, and 35 below that of 99.
    assert_eq!([36, 35].map(|n| state.judge_counter(n)), [Used, TooOld]);
    state.unsay(90);
    assert_eq!([90, 99].map(|n| state.judge_counter(n)), [Late, Used]);
}

#[test]
fn a_frame_that_comes_late_is_marked_where_it_belongs() {
    let mut state = heard([100, 90]);
    assert_eq!([100, 90].map(|n| state.judge_counter(n)), [Used; 2]);
    assert_eq!([99, 91, 89, 37].map(|n| state.judge_counter(n)), [Late; 4]);
    state.mark(37);
    assert_eq!([100, 90, 37, 36].map(|n| state.judge_counter(n)), [Used, Used, Used, TooOld]);
}

#[test]
fn an_answer_is_that_of_the_very_frame() {
    let mut state = heard([7, 8]);
    for (counter, tag) in [(7, 70), (8, 80)] {
        state.remember(Reply { counter, tag, frame: [counter as u8; 24] });
    }
    assert_eq!(state.reply_to(7, 70), Some([7; 24]));
    assert_eq!(state.reply_to(8, 80), Some([8; 24]));
    // Other bytes under a counter that was used, and a counter with another's tag.
    assert_eq!([state.reply_to(7, 80), state.reply_to(8, 70)], [None; 2]);
}

#[test]
fn one_forgotten_answer_leaves_the_other() {
    let mut state = heard([7, 8]);
    for counter in [7, 8] {
        state.remember(Reply { counter, tag: 1, frame: [0; 24] });
    }
    state.forget_reply(7);
    assert!(state.reply_to(7, 1).is_none());
    assert!(state.reply_to(8, 1).is_some());
}

#[test]
fn only_another_receiver_and_at_once_is_the_same_transmission() {
    let ids = EventIdKey::derive(&[1; 16], &[]);
    let [event, other] = [1, 2].map(|counter| ids.of_frame(0, counter, 0));
    let ended = Mono::from_us(1_000_000);
    let latest = Latest { event, link: LinkId(0), ended };
    let beside = |event, link, ms| latest.is_heard_beside(event, LinkId(link), ended.plus_ms(ms));
    assert!(beside(event, 1, SAME_TRANSMISSION_MS - 1));
    assert!(!beside(event, 1, SAME_TRANSMISSION_MS), "a repetition");
    assert!(!beside(event, 0, 0), "the same receiver");
    assert!(!beside(other, 1, 0), "another frame");
}

#[test]
fn what_nobody_vouches_for_is_the_same_for_ten_seconds() {
    let mut state = heard([]);
    state.claim(5, Mono::ZERO);
    let again = |tag, ms| state.is_claimed_again(tag, Mono::ZERO.plus_ms(ms));
    assert!(again(5, CLAIMED_AGAIN_MS - 1));
    assert!(!again(5, CLAIMED_AGAIN_MS));
    assert!(!again(6, 0));
}

#[test]
fn joins_are_counted_anew_in_each_hour() {
    let mut state = heard([]);
    let granted = |state: &mut PendantState, ms| {
        (0..100).filter(|_| state.may_join(Mono::ZERO.plus_ms(ms))).count()
    };
    assert_eq!(granted(&mut state, 0), usize::from(JOINS_PER_HOUR_MAX));
    assert_eq!(granted(&mut state, HOUR_MS - 1), 0);
    assert_eq!(granted(&mut state, HOUR_MS), usize::from(JOINS_PER_HOUR_MAX));
}

#[test]
fn minutes_left_are_rounded_up() {
    let age = |ms| Age::default().plus_ms(ms);
    let left = |due_ms, ms| {
        let due = age(due_ms);
        let session =
            Session { started: 1, set_by: 1, minutes: 1, due, due_unix_ms: None, overdue: false };
        session.minutes_left(age(ms))
    };
    let moments = [0, 30_000, 30_001, 89_999, 90_000, 90_001];
    assert_eq!(moments.map(|ms| left(90_000, ms)), [2, 1, 1, 1, 0, 0]);
    assert_eq!(left(u64::MAX, 0), u16::MAX);
}

#[test]
fn the_centre_s_change_is_taken_whole() {
    let mut changed = heard([1]);
    changed.apparent.alert = Some(1);
    changed.actual = Actual { covert_incident: Some(1), tracked: true };
    let mut state = heard([1]);
    state.apply(&changed.change());
    assert_eq!(state, changed);
}

#[test]
fn taking_everything_back_opens_nothing_that_was_closed() {
    for first in [0, 1, 70] {
        let mut state = heard([first, first + 1]);
        state.unsay(first);
        state.unsay(first + 1);
        assert_eq!(state.judge_counter(first + 1), Late, "{first}");
        state.unsay(first + 1);
        for older in 0..first.saturating_sub(62) {
            assert_eq!(state.judge_counter(older), TooOld, "{older}");
        }
    }
}
