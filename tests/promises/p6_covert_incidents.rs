//! P6: only the centre closes covert incidents.

use crate::pendant::*;
use crate::rig::*;
use pendant_protocol::Outcome;

#[test]
fn a_later_safe_pin_never_clears_a_duress() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.exchange(&mut pendant, start(30));
    assert_eq!(rig.exchange(&mut pendant, pin(DURESS)), Some(Outcome::Ended));
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.exchange(&mut pendant, start(30));
    assert_eq!(rig.exchange(&mut pendant, pin(SAFE)), Some(Outcome::Ended));
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("track_point"), 2, "silent tracking goes on");
    rig.restart();
    rig.run_ms(100);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("track_point"), 3, "also after a restart");
}

#[test]
fn wrong_pins_in_a_row_open_one_and_the_answer_stays_wrong_pin() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    rig.exchange(&mut pendant, start(30));
    for _ in 0..4 {
        assert_eq!(rig.exchange(&mut pendant, pin(WRONG)), Some(Outcome::WrongPin));
    }
    assert_eq!(rig.count("wrong_pin"), 2);
    assert_eq!(rig.count("wrong_pin_repeated"), 2);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.count("track_point"), 1);
}

#[test]
fn a_discreet_panic_begins_silent_tracking() {
    let mut pendant = Pendant::new(1);
    let mut rig = Rig::new(&[&pendant]);
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(rig.exchange(&mut pendant, DISCREET), Some(Outcome::Noted));
    rig.exchange(&mut pendant, HEARTBEAT);
    assert_eq!(
        rig.kinds()[rig.kinds().len() - 3..],
        ["heartbeat", "discreet_panic", "track_point"]
    );
    assert_eq!(rig.seen.last().map(|s| s.json["data"]["covert"].as_bool()), Some(Some(true)));
}
