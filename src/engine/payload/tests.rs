//! Times, delays and fractions as they stand in a payload.

use super::*;
use crate::engine::event::Stamp;
use crate::engine::journal::medium_test::event;
use crate::engine::time::{Mono, WallSource};

#[test]
fn times_are_written_from_1970_to_the_end_of_9999() {
    let written = |unix_ms: i64| {
        let bytes = Json::of(0, |json| json.member_if_any("at", rfc3339(unix_ms)));
        String::from_utf8(bytes).expect("UTF-8")
    };
    assert_eq!(written(0), r#"{"at":"1970-01-01T00:00:00.000Z"}"#);
    assert_eq!(written(253_402_300_799_999), r#"{"at":"9999-12-31T23:59:59.999Z"}"#);
    assert_eq!([-1, 253_402_300_800_000, i64::MAX].map(written), ["{}"; 3]);
}

/// What the boot before received has no steady time here: the wall clocks tell.
#[test]
fn how_late_an_event_is_is_told_wherever_some_clock_knows() {
    let set = |unix_ms| Wall::Set { unix_ms, uncertainty_ms: 5, source: WallSource::Ntp };
    let late = |same_boot, received: Wall, wall: Wall| {
        let stamp = Stamp { mono: Mono::from_us(4_000), wall: received };
        let event = Event { received: stamp, ..event(Kind::Panic, 1, 1) };
        delay_ms(&event, same_boot, Now { mono: Mono::from_us(9_000), wall })
    };
    assert_eq!(late(true, Wall::Unset, Wall::Unset), Some(5));
    assert_eq!(late(true, set(1_000), set(9_000)), Some(5));
    assert_eq!(late(false, set(1_000), set(9_000)), Some(8_000));
    assert_eq!(late(false, set(9_000), set(1_000)), None, "a clock was set back");
    assert_eq!(late(false, Wall::Unset, set(9_000)), None);
    assert_eq!(late(false, set(1_000), Wall::Unset), None);
}

#[test]
fn fractions_are_written_with_their_sign_and_all_their_places() {
    let quarters = |number: i16| Json::of(0, |json| json.member("n", Quarters(number)));
    let decimal =
        |digits: i32, places: u32| Json::of(0, |json| json.member("n", Decimal { digits, places }));
    let quarters = [0, -1, 1, 6, -37].map(|number| String::from_utf8(quarters(number)));
    let quarters = quarters.map(|text| text.expect("UTF-8"));
    let of_quarters = ["0.0", "-0.25", "0.25", "1.5", "-9.25"];
    assert_eq!(quarters, of_quarters.map(|text| format!(r#"{{"n":{text}}}"#)));
    let decimals = [(0, 1), (-5, 1), (204, 1), (-89_999_999, 6), (10_000_203, 6)];
    let decimals = decimals.map(|(digits, places)| String::from_utf8(decimal(digits, places)));
    let decimals = decimals.map(|text| text.expect("UTF-8"));
    let of_decimals = ["0.0", "-0.5", "20.4", "-89.999999", "10.000203"];
    assert_eq!(decimals, of_decimals.map(|text| format!(r#"{{"n":{text}}}"#)));
}
