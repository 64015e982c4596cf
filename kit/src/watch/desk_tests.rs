//! The desk under a time of the tests' own.

use super::*;
use crate::watch::{OF_GATEWAY_MAX, Stage};
use proptest::prelude::*;
use serde_json::{Value, json};

#[path = "late_tests.rs"]
mod late;
#[path = "neighbour_tests.rs"]
mod neighbours;

/// 2026-01-02T03:04:05Z.
const T0: UnixMs = 1_767_323_045_000;
const MINUTE: u64 = 60_000;
const GRACE: u64 = 30_000;
const UP: Link = Link { connected: true, since_ms: T0 };

struct Sayer {
    desk: Desk,
    number: u64,
}

impl Sayer {
    fn new() -> Self {
        Self { desk: Desk::new(Since::FirstHeard), number: 0 }
    }

    /// A pendant's event, as a gateway tells it at once by a clock that is set.
    fn says(&mut self, at: UnixMs, gateway: &str, kind: &str, counter: u32) -> Outcome {
        self.number += 1;
        self.tells(at, gateway, kind, counter, self.number, &json!({}))
    }

    fn tells(
        &mut self,
        at: UnixMs,
        gateway: &str,
        kind: &str,
        counter: u32,
        id: u64,
        more: &Value,
    ) -> Outcome {
        self.number += 1;
        let (topic, payload) = message(at, gateway, kind, counter, id, self.number, more);
        self.desk.hear(at, &topic, payload.as_bytes(), false)
    }

    fn state(&mut self, at: UnixMs, gateway: &str, state: &str) {
        let text = format!(r#"{{"state":"{state}","boot":"00000000000000ff"}}  "#);
        self.desk.hear(at, &format!("lonework/v1/s/{gateway}/state"), text.as_bytes(), true);
    }

    fn starts(&mut self, at: UnixMs, gateway: &str, counter: u32, minutes: u64) {
        let due = crate::watch::rfc3339(at + minutes * MINUTE);
        self.number += 1;
        let detail = json!({ "detail": { "session": { "minutes": minutes, "due": due } } });
        self.tells(at, gateway, "session_started", counter, self.number, &detail);
    }

    fn due(&self, at: UnixMs) -> Vec<u32> {
        self.desk.due(at, UP, GRACE).iter().map(|due| due.counter).collect()
    }

    fn open(&self) -> Vec<&crate::watch::Incident> {
        self.desk.incidents().open().collect()
    }
}

fn message(
    at: UnixMs,
    gateway: &str,
    kind: &str,
    counter: u32,
    id: u64,
    number: u64,
    more: &Value,
) -> (String, String) {
    let lane = if matches!(kind, "heartbeat" | "track_point") { "routine" } else { "urgent" };
    let mut data = json!({
        "lane": lane, "kind": kind, "boot": "00000000000000ff", "number": number,
        "covert": matches!(kind, "duress" | "discreet_panic" | "track_point"),
        "pendant": "00012f", "enrolment": "5afe", "wearer": "alice", "counter": counter,
        "clock": { "source": "ntp", "uncertainty_ms": 24 }, "delay_ms": 3, "link": "lora",
        "rssi_dbm": -100,
    });
    for (name, value) in more.as_object().expect("an object") {
        data[name] = value.clone();
    }
    let payload = json!({
        "specversion": "1.0", "id": format!("0190a1b2-c3d4-8e5f-9a0b-{id:012x}"),
        "source": format!("/lonework/s/{gateway}"), "type": format!("lonework.v1.{kind}"),
        "time": crate::watch::rfc3339(at), "data": data,
    });
    (format!("lonework/v1/s/{gateway}/event/{lane}"), payload.to_string())
}

fn change(outcome: &Outcome) -> Option<Change> {
    match outcome.told.as_slice() {
        [Told::Event { change, .. }] => *change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_destroyed_gateway_s_session_is_overdue_here_once() {
    let mut it = Sayer::new();
    it.starts(T0, "g", 5, 30);
    it.state(T0 + MINUTE, "g", "offline");
    let due = T0 + 30 * MINUTE;
    assert_eq!(it.due(due + GRACE - 1), [0_u32; 0]);
    assert_eq!(it.due(due + GRACE), [5]);
    let all = it.desk.due(due + GRACE, UP, GRACE);
    assert_eq!(it.desk.why(due + GRACE, UP, &all[0]), Why::Offline);
    assert_eq!(it.desk.raise(due + GRACE, &all[0]), (Change::Opened(1), Vec::new()));
    assert_eq!(it.due(due + 99 * MINUTE), [0_u32; 0]);
    // The gateway was not destroyed after all: its own alarm joins, and is no second one.
    let own = it.says(due + 99 * MINUTE, "g", "overdue", 5);
    assert_eq!(change(&own), Some(Change::Confirmed(1)));
    assert_eq!(it.open().len(), 1);
    assert_eq!(it.open()[0].alarms.len(), 1);
    assert!(it.open()[0].alarms[0].id.is_some());
}

#[test]
fn a_gateway_that_is_there_tells_it_first_and_a_silent_one_is_not_waited_for() {
    let mut it = Sayer::new();
    it.state(T0, "g", "online");
    it.starts(T0, "g", 5, 30);
    let due = T0 + 30 * MINUTE;
    it.says(due, "g", "heartbeat", 6);
    assert_eq!(it.due(due + GRACE), [0_u32; 0], "its own alarm is waited for");
    assert_eq!(it.due(due + 90_000), [5], "nothing came of it for so long: it is gone");
    it.says(due + 80_000, "g", "heartbeat", 7);
    assert_eq!(it.due(due + GRACE + 59_999), [0_u32; 0]);
    assert_eq!(it.due(due + GRACE + 60_000), [5], "it is there, and did not tell");
    it.says(due + GRACE + 60_000, "g", "overdue", 5);
    assert_eq!(it.due(due + 99 * MINUTE), [0_u32; 0]);
}

#[test]
fn what_waited_at_the_broker_is_read_before_anything_is_raised() {
    let mut it = Sayer::new();
    it.starts(T0, "g", 5, 30);
    it.state(T0, "g", "offline");
    let back = T0 + 24 * 60 * MINUTE;
    let link = |connected| Link { connected, since_ms: back };
    assert!(it.desk.due(back + 9_999, link(true), GRACE).is_empty());
    assert_eq!(it.desk.due(back + 10_000, link(true), GRACE).len(), 1);
    assert!(it.desk.due(back + 59_999, link(false), GRACE).is_empty());
    let due = it.desk.due(back + 60_000, link(false), GRACE);
    assert_eq!(it.desk.why(back + 60_000, link(false), &due[0]), Why::NoBroker);
}

#[test]
fn an_end_ends_and_an_extension_extends_in_whatever_order_they_come() {
    let mut it = Sayer::new();
    it.state(T0, "g", "offline");
    it.starts(T0, "g", 5, 30);
    // An extension without a set clock: its minutes count from the start.
    let longer = json!({ "detail": { "session": { "minutes": 50, "due": null } } });
    it.tells(T0 + 10 * MINUTE, "g", "session_extended", 6, 900, &longer);
    assert_eq!(it.due(T0 + 50 * MINUTE + GRACE - 1), [0_u32; 0]);
    assert_eq!(it.due(T0 + 50 * MINUTE + GRACE), [6]);
    it.tells(T0 + 20 * MINUTE, "g", "checked_in", 7, 901, &longer);
    assert_eq!(it.due(T0 + 70 * MINUTE + GRACE - 1), [0_u32; 0]);
    assert_eq!(it.due(T0 + 70 * MINUTE + GRACE), [7]);
    it.says(T0 + 21 * MINUTE, "g", "session_ended", 9);
    // From the backlog, after the end that came at once.
    it.starts(T0 + 15 * MINUTE, "g", 8, 1);
    assert_eq!(it.due(T0 + 999 * MINUTE), [0_u32; 0]);
    it.starts(T0 + 30 * MINUTE, "g", 10, 1);
    assert_eq!(it.due(T0 + 999 * MINUTE), [10]);
    // Under duress it seems to end: the covert incident is what counts then.
    it.says(T0 + 31 * MINUTE, "g", "duress", 11);
    assert_eq!(it.due(T0 + 999 * MINUTE), [0_u32; 0]);
}

#[test]
fn a_clock_that_is_wrong_does_not_put_an_alarm_off() {
    let mut it = Sayer::new();
    it.state(T0, "g", "offline");
    // The gateway lives in 2035, says that its clock is synchronised, and means half an hour.
    let (far, half_an_hour) = (T0 + 5_000_000 * MINUTE, 30 * MINUTE);
    let due = crate::watch::rfc3339(far + half_an_hour);
    let detail = json!({ "detail": { "session": { "minutes": 30, "due": due } } });
    it.number += 1;
    let (topic, payload) = message(far, "g", "session_started", 5, 900, 900, &detail);
    it.desk.hear(T0, &topic, payload.as_bytes(), false);
    assert_eq!(it.due(T0 + half_an_hour + GRACE), [5]);
}

#[test]
fn two_gateways_that_hear_one_press_give_one_incident_with_both() {
    let mut it = Sayer::new();
    let first = it.tells(T0, "g", "discreet_panic", 5, 77, &json!({ "rssi_dbm": -90 }));
    assert_eq!(change(&first), Some(Change::Opened(1)));
    let second = it.tells(T0 + 9, "h", "discreet_panic", 5, 77, &json!({ "rssi_dbm": -120 }));
    assert_eq!(change(&second), Some(Change::Seen(1)));
    assert!(second.receipt.expect("every telling has its own").0.contains("/s/h/"));
    // It has shown that it hears this pendant: its next alarm belongs to the same.
    assert_eq!(change(&it.says(T0 + 20, "h", "panic", 6)), Some(Change::Added(1)));
    let incident = it.open()[0];
    let rssi = incident.alarms[0].sightings.iter().map(|it| it.rssi_dbm);
    assert_eq!(rssi.collect::<Vec<_>>(), [Some(-90), Some(-120)]);
    assert_eq!(incident.track.len(), 3);
}

#[test]
fn of_two_assertions_under_one_id_the_graver_counts() {
    for (first, second) in [("wrong_pin", "duress"), ("duress", "wrong_pin"), ("panic", "duress")] {
        let mut it = Sayer::new();
        it.tells(T0, "g", first, 5, 77, &json!({}));
        it.tells(T0 + 9, "h", second, 5, 77, &json!({}));
        assert_eq!(it.open().len(), 1, "{first}, {second}");
        assert_eq!(it.open()[0].gravest().kind, "duress", "{first}, {second}");
        assert!(it.open()[0].is_covert() && it.open()[0].waits());
    }
}

#[test]
fn a_known_id_with_another_pendant_hides_no_alarm() {
    let mut it = Sayer::new();
    it.tells(T0, "rogue", "duress", 5, 77, &json!({ "pendant": "000001" }));
    let panic = it.tells(T0, "g", "panic", 5, 77, &json!({}));
    assert_eq!(change(&panic), Some(Change::Opened(2)));
}

#[test]
fn every_event_has_its_receipt_also_again_and_no_two_bear_another_form() {
    let mut it = Sayer::new();
    let mut lengths = std::collections::BTreeSet::new();
    for kind in ["duress", "heartbeat", "session_ended", "panic", "gateway_started"] {
        for at in [T0, T0 + 1] {
            let (topic, payload) = message(at, "g", kind, 5, 7, 7, &json!({}));
            let outcome = it.desk.hear(at, &topic, payload.as_bytes(), false);
            let (topic, text) = outcome.receipt.expect("a receipt");
            lengths.insert(topic.len() + text.len());
        }
    }
    assert_eq!(lengths.len(), 1, "{lengths:?}");
}

#[test]
fn a_later_safe_pin_ends_no_incident_and_an_operator_does() {
    let mut it = Sayer::new();
    it.says(T0, "g", "duress", 5);
    it.says(T0 + 1, "g", "session_ended", 6);
    assert!(it.open()[0].safe_pin_ms.is_some() && it.open()[0].waits());
    assert_eq!(it.open()[0].closing(), Some(5));
    let stage = |step, at_ms| Stage { step, operator: "nora".into(), at_ms, note: None };
    assert!(it.desk.stage(1, stage(Step::Accepted, T0 + 2)));
    assert!(!it.open()[0].waits());
    it.says(T0 + 3, "g", "panic", 7);
    assert!(it.open()[0].waits(), "a new alarm calls for somebody again");
    assert!(it.desk.stage(1, stage(Step::Closed, T0 + 4)));
    assert!(it.open().is_empty() && !it.desk.stage(1, stage(Step::Closed, T0 + 5)));
    assert_eq!(it.desk.incidents().get(1).map(|it| it.stages.len()), Some(2));
    assert_eq!(change(&it.says(T0 + 6, "g", "panic", 8)), Some(Change::Opened(2)));
}

#[test]
fn a_command_waits_for_its_own_gateway_s_answer() {
    let mut it = Sayer::new();
    it.says(T0, "g", "duress", 5);
    it.says(T0, "rogue", "heartbeat", 1);
    let close = Ask::Close { pendant: "00012f".into(), incident: 5 };
    assert_eq!(it.desk.targets(None, &close), Ok(vec!["s/g".into()]));
    let led = Ask::Led { pendant: "00012f".into() };
    assert!(it.desk.targets(None, &led).is_err(), "nothing moves in its hand");
    assert!(it.desk.targets(Some("s/nowhere"), &close).is_err());
    assert!(it.desk.targets(None, &Ask::Revoke { pendant: "000001".into() }).is_err());
    let asked = Asked { gateway: "s/g".into(), ask: close, operator: "nora".into(), at_ms: T0 };
    let id = "0190a1b2-c3d4-7e5f-8a0b-000000000001";
    it.desk.ask(id.into(), asked);
    let answer = format!(
        r#"{{"message":null,"boot":"00000000000000ff","number":7,"results":[{{"id":"{id}","result":"done"}}]}}"#
    );
    let forged = it.desk.hear(T0, "lonework/v1/s/rogue/answer", answer.as_bytes(), false);
    assert!(!forged.keep && it.desk.asked().count() == 1);
    let genuine = it.desk.hear(T0, "lonework/v1/s/g/answer", answer.as_bytes(), false);
    assert!(genuine.keep && it.desk.asked().count() == 0);
    assert!(matches!(genuine.told[0], Told::Result { .. }));
    assert!(it.open()[0].closed_at_gateway_ms.is_some());
}

#[test]
fn a_restarted_gateway_is_asked_again_to_follow_who_is_threatened() {
    let mut it = Sayer::new();
    it.says(T0, "g", "duress", 5);
    // Its own start may come after the alarm that it told live: nothing was forgotten.
    let gateway = json!({ "pendant": null, "enrolment": null });
    let started = it.tells(T0 + 1, "g", "gateway_started", 0, 899, &gateway);
    assert_eq!(started.asks, []);
    let gateway = json!({ "pendant": null, "enrolment": null, "boot": "00000000000001ff" });
    let started = it.tells(T0 + 1, "g", "gateway_started", 0, 900, &gateway);
    let track = Ask::Track { pendant: "00012f".into(), on: true };
    assert_eq!(started.asks, [("s/g".to_owned(), track)]);
}

#[test]
fn a_rogue_s_flood_costs_only_its_own_incidents() {
    let mut it = Sayer::new();
    it.says(T0, "g", "overdue", 5);
    for pendant in 0..2000 {
        let more = json!({ "pendant": format!("{pendant:06x}") });
        it.tells(T0, "rogue", "panic", 1, 10_000 + pendant, &more);
    }
    let rogues = it.open().iter().filter(|it| it.gateways[0] == "s/rogue").count();
    assert_eq!(rogues, OF_GATEWAY_MAX);
    assert_eq!(it.desk.incidents().left_out("s/rogue"), 2000 - OF_GATEWAY_MAX as u64);
    assert!(it.open().iter().any(|it| it.gateways[0] == "s/g"));
    // A graver one makes a lighter one of the same gateway give way.
    let more = json!({ "pendant": "ffffff" });
    let duress = it.tells(T0, "rogue", "duress", 1, 99_999, &more);
    assert!(matches!(change(&duress), Some(Change::Opened(_))));
    // It says that the other's wearer is well, and that nothing is due.
    it.starts(T0, "g", 6, 1);
    it.says(T0, "rogue", "session_ended", 7);
    it.state(T0, "g", "offline");
    assert_eq!(it.due(T0 + 99 * MINUTE), [6]);
    // One pendant with many alarms.
    for id in 0..2000 {
        it.tells(T0, "rogue", "panic", 1, 100_000 + id, &json!({ "pendant": "000001" }));
    }
    let text = serde_json::to_string(&it.desk).expect("JSON");
    assert!(text.len() < 4_000_000, "{} bytes", text.len());
}

#[test]
fn an_unknown_urgent_kind_is_something_that_an_operator_must_see() {
    let mut it = Sayer::new();
    assert!(matches!(change(&it.says(T0, "g", "gas_leak", 5)), Some(Change::Opened(1))));
    assert_eq!(change(&it.says(T0, "g", "wrong_pin", 6)), Some(Change::Tracked(1)));
}

#[test]
fn how_late_an_event_is_and_how_well_that_is_known() {
    let delay = |more: Value| {
        let mut it = Sayer::new();
        let (topic, payload) = message(T0, "g", "panic", 5, 7, 7, &more);
        let outcome = it.desk.hear(T0 + 4_500, &topic, payload.as_bytes(), false);
        let Told::Event { delay, .. } = &outcome.told[0] else { panic!("{outcome:?}") };
        (delay.here_ms, delay.clock.clone(), delay.uncertainty_ms)
    };
    assert_eq!(delay(json!({})), (Some(4_500), "ntp".into(), Some(24)));
    let clock = json!({ "source": "unverified", "uncertainty_ms": 86_400_000 });
    let expected = (Some(3), "unverified".into(), Some(86_400_000));
    assert_eq!(delay(json!({ "clock": clock })), expected);
    let unset = json!({ "clock": { "source": "unset" }, "delay_ms": null });
    assert_eq!(delay(unset), (None, "unset".into(), None));
}

/// Messages of two gateways, and of a rogue that knows the contract.
fn any_message() -> impl Strategy<Value = (String, Vec<u8>)> {
    let kind = prop_oneof![
        Just("duress"),
        Just("panic"),
        Just("overdue"),
        Just("session_started"),
        Just("session_ended"),
        Just("heartbeat"),
        Just("new_kind")
    ];
    let detail = prop_oneof![
        Just(json!(null)),
        Just(json!({ "session": { "minutes": u64::MAX, "due": "9999-12-31T23:59:59Z" } })),
        Just(json!({ "session": { "minutes": 0, "due": null } })),
        (0u64..9, any::<u64>()).prop_map(|(first, last)| json!({ "void":
            { "boot": "00000000000000ff", "room": "urgent", "first": first, "last": last, "count": 1 } })),
        Just(json!({ "previous": { "boot": "0000000000000001", "last_urgent": u64::MAX, "last_trouble": 0,
            "last_routine": 1 } })),
    ];
    let said = (kind, "g|h|rogue", 0u64..9, any::<u64>(), any::<u32>(), detail).prop_map(
        |(kind, gateway, id, number, counter, detail)| {
            let more = json!({ "detail": detail, "wearer": "\u{1b}[2J\u{202E}" });
            let (topic, payload) = message(T0, &gateway, kind, counter, id, number, &more);
            (topic, payload.into_bytes())
        },
    );
    let cut = (said, any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |((topic, mut payload), at, byte)| {
            if byte < 128 {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            (topic, payload)
        },
    );
    let garbage =
        ("lonework/v1/[a-z/]{0,20}|\\PC{0,40}", prop::collection::vec(any::<u8>(), 0..200));
    prop_oneof![8 => cut, 1 => garbage]
}

proptest! {
    #[test]
    fn nothing_that_gateways_say_stops_the_desk(
        messages in prop::collection::vec(any_message(), 1..40),
    ) {
        let mut desk = Desk::new(Since::FirstHeard);
        for (at, (topic, payload)) in messages.iter().enumerate() {
            let at = T0 + at as u64;
            let outcome = desk.hear(at, topic, payload, false);
            for told in &outcome.told {
                let is_calm = |line: &String| {
                    !line.contains(|c: char| c.is_control() || c == '\u{202E}')
                };
                let are_calm = told.lines().iter().all(is_calm);
                prop_assert!(are_calm);
                drop(told.value().to_string());
            }
            for due in desk.due(at, UP, GRACE) {
                desk.raise(at, &due);
            }
        }
        // What is kept is what is known.
        let text = serde_json::to_string(&desk).expect("JSON");
        let again: Desk = serde_json::from_str(&text).expect("a desk");
        prop_assert_eq!(serde_json::to_string(&again).expect("JSON"), text);
    }
}
