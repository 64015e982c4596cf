//! Planted states: each trouble has its line and its remedy on one screen.

use super::screen::screen;
use crate::health::troubles;
use serde_json::{Value, json};

const NOW_S: i64 = 1_800_000_000;
const DAY_S: i64 = 86_400;

/// A gateway that is well in every part.
fn well() -> Value {
    json!({
        "version": "0.1.0",
        "boot": "0011223344556677",
        "uptime_s": 260_000,
        "clock": { "set": true, "source": "ntp", "uncertainty_ms": 12 },
        "pendants": 12,
        "backlog": 0,
        "journal_works": true,
        "journal_at_start": ["the journal has 4 files", "nothing that was durable is missing"],
        "centre_heard": true,
        "centre_messages": true,
        "reception_suspect": false,
        "jamming_suspected": false,
        "lamps": { "power": "on", "network": "on", "reception": "on", "fault": null },
        "brokers": [
            { "name": "broker-1", "connected": true, "fault": null, "connections": 1,
              "certificate_ends_unix_s": NOW_S + 200 * DAY_S, "certificate_trouble": null },
            { "name": "backup", "connected": true, "fault": null, "connections": 1,
              "certificate_ends_unix_s": NOW_S + 90 * DAY_S },
        ],
        "links": [
            { "name": "serial-1", "up": true, "fault": null },
            { "name": "roof", "up": true, "fault": null, "noise_dbm": -118,
              "jamming_suspected": false, "deaf_permille": 4,
              "airtime": { "spent_ms": 3_600, "allowed_ms_per_hour": 360_000 } },
        ],
        "history_trouble": null,
        "last_test": { "asked_unix_s": NOW_S - 3_600, "reached_centre": true, "after_ms": 420 },
        "log": { "level": "info", "configured": "info", "returns_in_s": null },
        "counters": { "frames_heard": 7 },
    })
}

/// The good one with other members, by their JSON pointers.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut status = well();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        let parent = status.pointer_mut(parent).expect("it is there");
        match parent.as_array_mut() {
            Some(items) => items[key.parse::<usize>().expect("a place")] = value.clone(),
            None => parent[key] = value.clone(),
        }
    }
    status
}

fn shown(status: &Value) -> String {
    let text = screen(status, NOW_S);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() < 24, "{} lines:\n{text}", lines.len());
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    text
}

#[test]
fn a_gateway_that_is_well_says_so_and_nothing_else() {
    assert_eq!(
        shown(&well()),
        "\
WELL: the receivers work, the centre answers
receivers serial-1: works
          roof: works, noise -118 dBm, airtime 1 % of what is allowed
brokers   broker-1: connected, certificate good for 200 days
          backup: connected, certificate good for 90 days
centre    answers events, sends its regular message
waiting   nothing: all has reached the centre
pendants  12 enrolled
clock     set by a time server, at most 12 ms off
store     works; at the start: nothing that was durable is missing
lamps     power on, network on, reception on
last test 2027-01-15T07:00:00Z: reached the centre after 420 ms
running   for 3 days, version 0.1.0
"
    );
}

#[test]
fn of_a_centre_that_no_broker_reaches_nothing_good_is_said() {
    let one = [("/brokers/0/connected", json!(false))];
    assert!(shown(&with(&one)).contains("centre    answers events"));
    let both = [("/brokers/0/connected", json!(false)), ("/brokers/1/connected", json!(false))];
    let text = shown(&with(&both));
    assert!(text.contains("centre    cannot be reached: no broker is connected"), "{text}");
    assert!(!text.contains("answers events"), "{text}");
}

/// What is changed, whether it cannot wait, what the screen says, and to do.
type Planted = (&'static [(&'static str, fn() -> Value)], bool, &'static str, &'static str);

const PLANTED: &[Planted] = &[
    (&[("/journal_works", || json!(false))], true, "the store cannot be written", "free some room"),
    (
        &[("/journal_at_start", || json!(["DAMAGED: 3 frames that were durable cannot be read"]))],
        true,
        "the last start found the store damaged",
        "replace it soon",
    ),
    (
        &[("/history_trouble", || json!("the disk is full"))],
        false,
        "signal quality is not kept: the disk is full",
        "no alarm depends on it",
    ),
    (
        &[
            ("/links/0/up", || json!(false)),
            ("/links/0/fault", || json!("/dev/a does not exist: is the receiver plugged in?")),
        ],
        true,
        "receiver serial-1 does not work: /dev/a does not exist",
        "plug it in; correct path",
    ),
    (
        &[("/links/0/up", || json!(false))],
        true,
        "receiver serial-1 does not work yet",
        "journalctl -u pendant-gateway",
    ),
    (
        &[("/jamming_suspected", || json!(true)), ("/links/1/jamming_suspected", || json!(true))],
        true,
        "jamming suspected at roof",
        "do not restart the gateway",
    ),
    (
        &[("/reception_suspect", || json!(true))],
        true,
        "many pendants fell silent together",
        "antenna and cable first",
    ),
    (
        &[("/jamming_suspected", || json!(true))],
        true,
        "many pendants fell silent together",
        "antenna and cable first",
    ),
    (
        &[("/links/1/airtime/spent_ms", || json!(340_000))],
        false,
        "receiver roof has little airtime left",
        "fewer heartbeats",
    ),
    (
        &[("/links/1/deaf_permille", || json!(150))],
        false,
        "receiver roof has little airtime left",
        "fewer heartbeats",
    ),
    (
        &[
            ("/brokers/0/connected", || json!(false)),
            ("/brokers/0/fault", || json!("the broker's host name does not resolve: check it")),
        ],
        false,
        "broker broker-1 is not connected: the broker's host name does not resolve",
        "name, DNS server",
    ),
    (
        &[("/brokers/0/connected", || json!(false)), ("/brokers/1/connected", || json!(false))],
        true,
        "broker backup is not connected",
        "journalctl -u pendant-gateway",
    ),
    (
        &[("/brokers/0/fault", || json!("the broker does not let this gateway publish its state"))],
        false,
        "broker broker-1: the broker does not let",
        "access list",
    ),
    (
        &[("/brokers/0/certificate_ends_unix_s", || json!(NOW_S - 2 * DAY_S))],
        true,
        "the certificate for broker broker-1 ended 2 days ago",
        "have a new one signed",
    ),
    (
        &[("/brokers/0/certificate_ends_unix_s", || json!(NOW_S + 7 * DAY_S))],
        false,
        "the certificate for broker broker-1 ends in 7 days",
        "have a new one signed",
    ),
    (
        &[("/brokers/0/certificate_trouble", || json!("the new one is not for its key"))],
        false,
        "certificate for broker broker-1: the new one is not for its key",
        "have a new one signed",
    ),
    (
        &[("/centre_heard", || json!(false))],
        true,
        "the centre does not answer events",
        "ask the centre",
    ),
    (
        &[("/centre_messages", || json!(false))],
        true,
        "the centre's regular message does not come",
        "ask the centre",
    ),
    (
        &[("/last_test/reached_centre", || json!(false))],
        true,
        "the last test alarm did not reach the centre",
        "test again",
    ),
    (&[("/pendants", || json!(0))], false, "no pendant is enrolled", "enroll --help"),
    (
        &[("/clock", || json!({ "set": false }))],
        false,
        "nothing vouches for the clock",
        "timedatectl",
    ),
    (
        &[("/clock/source", || json!("unverified"))],
        false,
        "nothing vouches for the clock",
        "timedatectl",
    ),
    (
        &[("/lamps/fault", || json!("no LED a:green"))],
        false,
        "a lamp cannot be lit: no LED a:green",
        "\"Lamps\"",
    ),
];

/// Lines with their breaks taken out.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Without a set clock nobody knows when the test alarm was asked for.
#[test]
fn a_test_alarm_under_way_is_no_trouble_before_the_clock_is_set() {
    for (on_its_way, is_trouble) in [(true, false), (false, true)] {
        let test =
            json!({ "asked_unix_s": null, "on_its_way": on_its_way, "reached_centre": false });
        let text = shown(&with(&[("/last_test", test)]));
        assert_eq!(text.contains("the last test alarm did not reach"), is_trouble, "{text}");
    }
}

#[test]
fn each_trouble_is_told_with_what_to_do() {
    for (changes, is_urgent, what, remedy) in PLANTED {
        let changes: Vec<(&str, Value)> =
            changes.iter().map(|(pointer, value)| (*pointer, value())).collect();
        let status = with(&changes);
        let text = shown(&status);
        let begin = if *is_urgent { "TROUBLE: " } else { "WELL, but " };
        assert!(text.starts_with(begin), "{what}:\n{text}");
        let flat = flat(&text);
        let (_, behind) = flat.split_once(what).unwrap_or_else(|| panic!("{what}:\n{text}"));
        let (_, behind) = behind.split_once("-> ").unwrap_or_else(|| panic!("{what}:\n{text}"));
        assert!(behind.contains(remedy), "{remedy}:\n{text}");
        let urgent = troubles(&status, NOW_S).iter().any(|trouble| trouble.is_urgent);
        assert_eq!(urgent, *is_urgent, "what --check ends with: {what}");
    }
}

#[test]
fn whatever_happens_at_once_still_is_one_screen_with_the_urgent_first() {
    let long = || json!(format!("{} \u{1b}[2J\u{202e}", "no such thing ".repeat(40)));
    let mut changes: Vec<(&str, Value)> = PLANTED
        .iter()
        .flat_map(|(changes, ..)| changes.iter().map(|(pointer, value)| (*pointer, value())))
        .filter(|(pointer, _)| *pointer != "/clock/source")
        .collect();
    let link = json!({ "name": "a\u{1b}[31m", "up": false, "fault": long(),
        "airtime": { "spent_ms": u64::MAX, "allowed_ms_per_hour": 1 } });
    let broker = json!({ "name": long(), "connected": false, "fault": long(),
        "certificate_ends_unix_s": i64::MIN / 2 });
    changes.push(("/links", json!(vec![link; 16])));
    changes.push(("/brokers", json!(vec![broker; 4])));
    changes.push(("/log", json!({ "level": "debug", "configured": "info", "returns_in_s": 540 })));
    let text = shown(&with(&changes));
    assert!(text.starts_with("TROUBLE: "), "{text}");
    assert!(text.contains(" more: pendant-gateway status --all"), "{text}");
    assert!(text.contains("! the store cannot be written"), "{text}");
    assert!(text.contains("debug for 9 min, then info again"), "{text}");
    assert!(text.contains("receivers 0 of 16 work"), "{text}");
}

#[test]
fn what_is_not_understood_is_never_called_well() {
    for status in [json!({}), json!([]), json!(null), json!("well"), json!({ "links": 1 })] {
        assert!(shown(&status).starts_with("TROUBLE: "), "{status}");
    }
    for list in ["links", "brokers"] {
        let part = json!({ "name": "a", "connected": true, "up": true });
        let mut many = well();
        many[list] = json!(vec![part; 300]);
        assert!(shown(&many).contains("300 of 300"), "{list}");
    }
    // Every member may be of any type without a panic.
    let members: Vec<String> = well().as_object().expect("members").keys().cloned().collect();
    for member in &members {
        for value in [json!(null), json!(-1), json!(1e300), json!("\u{7}"), json!([[]]), json!({})]
        {
            let mut status = well();
            status[member] = value;
            shown(&status);
        }
    }
}

#[test]
fn a_start_is_no_trouble_and_nor_is_a_test_that_is_under_way() {
    let starting = [
        ("/uptime_s", json!(3)),
        ("/links/0/up", json!(false)),
        ("/brokers/0/connected", json!(false)),
        ("/brokers/1/connected", json!(false)),
        ("/last_test", json!({ "asked_unix_s": NOW_S - 2, "reached_centre": false })),
    ];
    assert_eq!(troubles(&with(&starting), NOW_S), []);
    assert!(!shown(&with(&[("/last_test", Value::Null)])).contains("TROUBLE"));
    let mut without = well();
    without.as_object_mut().expect("members").remove("last_test");
    assert!(!shown(&without).contains("last test"));
}
