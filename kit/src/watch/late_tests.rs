//! What comes after it was needed: behind what followed from it, or after the operator.

use super::*;

fn stage(step: Step, at_ms: UnixMs) -> Stage {
    Stage { step, operator: "nora".into(), at_ms, note: None }
}

#[test]
fn an_overdue_that_overtakes_its_start_is_not_raised_again() {
    let mut it = Sayer::new();
    // The start waits in the gateway's backlog; what is fresh goes before it.
    let own = it.says(T0 + 30 * MINUTE, "g", "overdue", 5);
    assert_eq!(change(&own), Some(Change::Opened(1)));
    it.desk.stage(1, stage(Step::Closed, T0 + 31 * MINUTE));
    it.starts(T0, "g", 5, 30);
    assert_eq!(it.due(T0 + 99 * MINUTE), [0_u32; 0]);
    // The next session is another one.
    it.starts(T0 + 40 * MINUTE, "g", 6, 30);
    assert_eq!(it.due(T0 + 99 * MINUTE), [6]);
}

#[test]
fn what_the_gateway_tells_of_an_overdue_alarm_that_is_closed_opens_no_second() {
    let mut it = Sayer::new();
    it.starts(T0, "g", 5, 30);
    it.state(T0 + MINUTE, "g", "offline");
    let at = T0 + 30 * MINUTE + GRACE;
    let all = it.desk.due(at, UP, GRACE);
    assert_eq!(it.desk.raise(at, &all[0]).0, Change::Opened(1));
    it.desk.stage(1, stage(Step::Closed, at + MINUTE));
    let own = it.says(at + 9 * MINUTE, "g", "overdue", 5);
    assert_eq!(change(&own), Some(Change::Confirmed(1)));
    assert!(it.open().is_empty());
    // A later session of the same wearer is another one.
    let next = it.says(at + 99 * MINUTE, "g", "overdue", 6);
    assert_eq!(change(&next), Some(Change::Opened(2)));
}

#[test]
fn an_alarm_that_is_closed_comes_late_from_a_second_gateway() {
    let mut it = Sayer::new();
    it.tells(T0, "g", "panic", 5, 77, &json!({}));
    it.desk.stage(1, stage(Step::Closed, T0 + MINUTE));
    let late = it.tells(T0 + 2 * MINUTE, "h", "panic", 5, 77, &json!({}));
    assert_eq!(change(&late), Some(Change::Seen(1)));
    assert!(it.open().is_empty());
    // Who says that it was graver is heard.
    let graver = it.tells(T0 + 3 * MINUTE, "i", "duress", 5, 77, &json!({}));
    assert_eq!(change(&graver), Some(Change::Opened(2)));
}

#[test]
fn an_alarm_that_turns_out_graver_waits_for_an_operator_again() {
    let mut it = Sayer::new();
    it.tells(T0, "g", "panic", 5, 77, &json!({}));
    it.desk.stage(1, stage(Step::Accepted, T0 + MINUTE));
    assert!(!it.open()[0].waits());
    it.tells(T0 + 2 * MINUTE, "h", "duress", 5, 77, &json!({}));
    assert!(it.open()[0].waits(), "what was accepted was a panic, and no duress");
}

#[test]
fn a_test_calls_for_nobody() {
    let mut it = Sayer::new();
    let of_gateway = json!({ "pendant": null, "enrolment": null, "wearer": null, "counter": null });
    let test = it.tells(T0, "g", "gateway_test", 0, 900, &of_gateway);
    assert_eq!((change(&test), test.told[0].of_gateway()), (None, Some(("s/g".into(), false))));
    assert_eq!(change(&it.says(T0, "g", "test", 5)), None);
    assert!(it.open().is_empty());
}
