//! What comes after it was needed: behind what followed from it, or after the operator.

use super::*;

#[test]
fn a_test_calls_for_nobody() {
    let mut it = Sayer::new();
    let of_gateway = json!({ "pendant": null, "enrolment": null, "wearer": null, "counter": null });
    let test = it.tells(T0, "g", "gateway_test", 0, 900, &of_gateway);
    assert_eq!((change(&test), test.told[0].of_gateway()), (None, Some(("s/g".into(), false))));
    assert_eq!(change(&it.says(T0, "g", "test", 5)), None);
    assert!(it.open().is_empty());
}
