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
fn a_test_calls_for_nobody() {
    let mut it = Sayer::new();
    let of_gateway = json!({ "pendant": null, "enrolment": null, "wearer": null, "counter": null });
    let test = it.tells(T0, "g", "gateway_test", 0, 900, &of_gateway);
    assert_eq!((change(&test), test.told[0].of_gateway()), (None, Some(("s/g".into(), false))));
    assert_eq!(change(&it.says(T0, "g", "test", 5)), None);
    assert!(it.open().is_empty());
}
