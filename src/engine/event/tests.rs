//! What each kind is, and whose covert incident an event opens.

use super::*;
use crate::engine::journal::medium_test::{BOOT, event, of};
use std::collections::BTreeSet;

const MQTT_MD: &str = include_str!("../../../docs/mqtt.md");

/// Name, lane, whether it is covert and codes of the one or two kinds in a row.
fn kinds_of(row: &str) -> Vec<[String; 4]> {
    let plain = |text: &str| text.replace(['*', '`'], "").trim().to_owned();
    let cells: Vec<Vec<String>> =
        row.split('|').map(|cell| cell.split(", ").map(plain).collect()).collect();
    let [names, lanes, covert, codes] = [1, 2, 3, 4].map(|place| &cells[place]);
    let kinds = names.iter().zip(codes.iter().cycle());
    kinds.map(|(name, codes)| [name, &lanes[0], &covert[0], codes].map(String::clone)).collect()
}

/// A station's software knows events by these: another code is another alarm.
#[test]
fn the_kinds_are_what_the_document_says() {
    let table = MQTT_MD.split("| kind | lane | covert | codes |").nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let documented: BTreeSet<[String; 4]> = rows.flat_map(kinds_of).collect();
    let kinds = Kind::all().map(|kind| {
        let codes = kind.codes().map(|codes| format!("{} {}", codes.sia, codes.contact_id));
        let covert = if kind.covert() { "yes" } else { "" };
        [kind.as_str(), kind.lane().as_str(), covert, &codes.unwrap_or_default()].map(str::to_owned)
    });
    assert_eq!(kinds.collect::<BTreeSet<_>>(), documented);
}

#[test]
fn an_operator_is_told_what_to_do_where_a_person_says_something() {
    let has = |kinds: &[Kind]| kinds.iter().map(|kind| kind.has_response()).collect::<Vec<bool>>();
    assert_eq!(has(&[Kind::Duress, Kind::Panic, Kind::Overdue, Kind::Test]), [true; 4]);
    assert_eq!(has(&[Kind::GatewayTest, Kind::Tamper, Kind::Heartbeat]), [false; 3]);
}

#[test]
fn a_covert_alarm_is_of_the_pendant_that_gave_it() {
    let of_seven = |kind| of(7, event(kind, BOOT, 1)).covert_alarm_of();
    let alarms = [Kind::Duress, Kind::DiscreetPanic, Kind::WrongPinRepeated];
    assert_eq!(alarms.map(of_seven), [Some(7); 3]);
    let others = [Kind::TrackPoint, Kind::Panic, Kind::WrongPin, Kind::SessionEnded];
    assert_eq!(others.map(of_seven), [None; 4]);
    assert_eq!(event(Kind::Duress, BOOT, 1).covert_alarm_of(), None);
}
