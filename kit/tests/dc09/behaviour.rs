//! What the bridge does when the receiver is well, gone, obstinate or late.

use crate::rig::{Rig, event, heartbeat, id, panic};
use crate::station::{Absent, Frame, Station, ack, silent};
use serde_json::{Value, json};

#[tokio::test]
async fn nothing_is_receipted_before_the_receiver_has_answered() {
    let rig = Rig::new().await;
    let mut station = Station::start(silent);
    let bridge = rig.bridge(station.port, &[]).await;
    rig.publish(vec![heartbeat(1), panic(2), heartbeat(3)]).await;
    // Sent again and again, under the same number.
    let first = station.next_event().await;
    assert_eq!((first.token.as_str(), first.sequence.as_str()), ("SIA-DCS", "0001"));
    assert_eq!(first.address, "R0L0#12AB");
    assert!(first.rest.starts_with("#12AB|NPA303][H03:04:05,01-02-2026]_"), "{first:?}");
    let again = station.next_event().await;
    assert_eq!((again.token, again.sequence), (first.token, first.sequence));
    assert_eq!(rig.receipted(), [""; 0]);
    station.answer(ack);
    let mut receipts = rig.receipts(3).await;
    receipts.sort();
    assert_eq!(receipts, [id(1), id(2), id(3)]);
    assert_eq!(bridge.terminate().await, Some(0));
}

#[tokio::test]
async fn a_receiver_that_was_away_gets_all_in_order_and_nothing_twice() {
    let rig = Rig::new().await;
    let absent = Absent::new();
    let port = absent.port;
    let mut bridge = rig.bridge(port, &["--trouble"]).await;
    bridge.until("receiver_down").await;
    let low = event("trouble", "low_battery", 1, &json!(["XT", 384]));
    let events = || vec![low.clone(), panic(2), panic(3), panic(4), heartbeat(5)];
    rig.publish(events()).await;
    bridge.kill().await;

    // After a restart of the bridge, gateways offer again what has no receipt.
    let mut bridge = rig.bridge(port, &["--trouble"]).await;
    bridge.until("receiver_down").await;
    rig.publish(events()).await;
    rig.broker.wait(|view| (view.seen().count() >= 10).then_some(())).await;
    assert_eq!(rig.receipted(), [""; 0]);

    let mut station = absent.start(ack);
    bridge.until("receiver_up").await;
    let mut receipts = rig.receipts(5).await;
    receipts.sort();
    receipts.dedup();
    assert_eq!(receipts, [1, 2, 3, 4, 5].map(id));
    let frames = station.more_events();
    let codes: Vec<&str> = frames.iter().map(|it| &it.rest[6..9]).collect();
    assert_eq!(codes.iter().filter(|code| **code == "NPA").count(), 3, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == "NXT").count(), 1, "{codes:?}");
    bridge.kill().await;

    // What is done is receipted again and not sent again, and the numbers go on.
    let bridge = rig.bridge(port, &["--trouble"]).await;
    let before = rig.receipted().len();
    rig.publish(events()).await;
    rig.receipts(before + 5).await;
    assert_eq!(station.more_events(), []);
    rig.publish(vec![panic(6)]).await;
    assert_eq!(station.next_event().await.sequence, "0005");
    rig.receipts(before + 6).await;
    assert_eq!(bridge.terminate().await, Some(0));
}

#[tokio::test]
async fn the_order_of_presses_is_kept() {
    let rig = Rig::new().await;
    let mut station = Station::start(silent);
    let bridge = rig.bridge(station.port, &["--trouble", "--codes", "contact-id"]).await;
    let mut events = vec![event("trouble", "tamper_restored", 1, &json!(["TR", 383]))];
    events.extend(
        [2, 3, 4, 5].map(|number| event("urgent", "panic", number, &json!(["PA", 120 + number]))),
    );
    rig.publish(events).await;
    // Tamper may be under way when the presses come: wait until all have come.
    rig.broker.wait(|view| (view.seen().count() >= 5).then_some(())).await;
    while station.next().await.token == "NULL" {}
    station.answer(ack);
    rig.receipts(5).await;
    let mut data: Vec<String> =
        station.more_events().into_iter().map(|it| it.rest[6..14].to_owned()).collect();
    data.dedup();
    let presses: Vec<&String> = data.iter().filter(|it| it.starts_with('1')).collect();
    assert_eq!(presses, ["1122 00 ", "1123 00 ", "1124 00 ", "1125 00 "]);
    assert!(data.contains(&"3383 00 ".to_owned()), "{data:?}");
    assert_eq!(bridge.terminate().await, Some(0));
}

fn duh_to_events(frame: &Frame) -> Option<String> {
    let word = if frame.token == "NULL" { "ACK" } else { "DUH" };
    Some(format!("\"{word}\"{}{}[]", frame.sequence, frame.address))
}

#[tokio::test]
async fn what_the_receiver_does_not_understand_is_told_and_not_sent_again() {
    let rig = Rig::new().await;
    let mut station = Station::start(duh_to_events);
    let mut bridge = rig.bridge(station.port, &[]).await;
    rig.publish(vec![panic(1)]).await;
    let told = bridge.until("refused").await;
    assert_eq!((&told["id"], &told["kind"]), (&json!(id(1)), &json!("panic")));
    assert_eq!(station.next_event().await.sequence, "0001");
    assert_eq!(rig.receipts(1).await, [id(1)]);
    rig.publish(vec![panic(1)]).await;
    rig.receipts(2).await;
    assert_eq!(station.more_events(), []);
    assert_eq!(bridge.terminate().await, Some(1), "somebody must look after it");
}

/// A receiver whose clock stands in the year 2031.
fn wants_its_own_year(frame: &Frame) -> Option<String> {
    if frame.rest.ends_with("-2031") {
        return ack(frame);
    }
    Some("\"NAK\"0000R0L0A0[]_12:00:00,06-15-2031".to_owned())
}

#[tokio::test]
async fn the_receivers_time_is_taken() {
    let rig = Rig::new().await;
    let mut station = Station::start(wants_its_own_year);
    let bridge = rig.bridge(station.port, &[]).await;
    rig.publish(vec![panic(1)]).await;
    rig.receipts(1).await;
    let frame = station.next().await;
    assert!(!frame.rest.ends_with("-2031"), "{frame:?}");
    let frame = station.next().await;
    assert!(frame.rest.contains("]_12:00:0") && frame.rest.ends_with(",06-15-2031"), "{frame:?}");
    let event = station.next_event().await;
    assert!(event.rest.starts_with("#12AB|NPA303][H03:04:05,01-02-2026]_12:00:"), "{event:?}");
    assert_eq!(bridge.terminate().await, Some(0));
}

/// A receiver that knows one account only, and says nothing to others.
fn knows_one_account(frame: &Frame) -> Option<String> {
    if frame.address.ends_with("#12AB") { ack(frame) } else { None }
}

#[tokio::test]
async fn one_event_that_is_never_taken_and_a_rogue_hold_up_nobody() {
    let rig = Rig::new().await;
    let mut station = Station::start(knows_one_account);
    let accounts = "[[account]]\npendant = \"00012f\"\naccount = \"BAD\"\n";
    std::fs::write(rig.file("accounts"), accounts).expect("written");
    let mut bridge = rig.bridge(station.port, &["--accounts", &rig.file("accounts")]).await;
    let good = |number| {
        let (topic, payload) = panic(number);
        (topic, payload.replace("00012f", "00012e"))
    };
    let (topic, payload) = good(9);
    let rogue = payload.replace("\"panic\"", "\"pa nic\"").replace(".panic\"", ".pa nic\"");
    let wrong = vec![(topic.clone(), "{".to_owned()), (topic, rogue)];
    rig.publish(vec![panic(1)]).await;
    let refused = station.next_event().await;
    assert_eq!(refused.address, "R0L0#BAD");
    rig.publish(wrong.into_iter().chain([good(2), good(3)]).collect()).await;
    let mut told = Vec::new();
    while told.len() < 5 {
        let news = bridge.told().await;
        if news["news"] != "receiver_up" {
            told.push((news["news"].clone(), news["id"].clone()));
        }
    }
    let count = |news: &str| told.iter().filter(|(it, _)| it == news).count();
    assert_eq!((count("malformed"), count("set_apart"), count("acknowledged")), (2, 1, 2));
    assert!(told.contains(&(json!("set_apart"), json!(id(1)))), "{told:?}");
    let done: Vec<&Value> =
        told.iter().filter(|(news, _)| news == "acknowledged").map(|(_, id)| id).collect();
    assert_eq!(done, [&json!(id(2)), &json!(id(3))]);
    let mut receipts = rig.receipts(2).await;
    receipts.sort();
    assert_eq!(receipts, [id(2), id(3)], "the gateway keeps what the receiver does not have");
    assert_eq!(bridge.terminate().await, Some(1));
}

#[tokio::test]
async fn with_a_key_who_does_not_have_it_acknowledges_nothing() {
    let rig = Rig::new().await;
    let mut station = Station::start(ack);
    std::fs::write(rig.file("key"), "42".repeat(16)).expect("written");
    let bridge = rig.bridge(station.port, &["--encryption-key", &rig.file("key")]).await;
    rig.publish(vec![panic(1)]).await;
    // Its plain answer to the first was not taken when it is sent again.
    for _ in 0..2 {
        while station.next().await.token != "*SIA-DCS" {}
    }
    assert_eq!(rig.receipted(), [""; 0]);
    assert_eq!(bridge.terminate().await, Some(1));
}

#[tokio::test]
async fn the_receiver_is_asked_when_nothing_happens() {
    let rig = Rig::new().await;
    let mut station = Station::start(ack);
    let bridge = rig.bridge(station.port, &["--supervision-s", "1"]).await;
    for _ in 0..3 {
        let frame = station.next().await;
        assert_eq!((frame.token.as_str(), frame.sequence.as_str()), ("NULL", "0000"));
        assert_eq!(frame.address, "R0L0#12AB");
    }
    assert_eq!(bridge.terminate().await, Some(0));
}

#[tokio::test]
async fn what_is_wrong_with_the_command_is_named() {
    let rig = Rig::new().await;
    std::fs::write(rig.file("key"), "0123").expect("written");
    std::fs::write(rig.file("accounts"), "[[account]]\naccount = \"2001\"\nzones = 5")
        .expect("written");
    for (option, file, why) in [
        ("--encryption-key", rig.file("key"), "a key has 32, 48 or 64 hexadecimal digits"),
        ("--encryption-key", rig.file("none"), "No such file"),
        ("--accounts", rig.file("accounts"), "unknown field `zones`"),
        ("--state", rig.file("none/state"), "No such file"),
    ] {
        let (code, text) = rig.refusal(&[option, &file]).await;
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(&file) && text.contains(why), "{text}");
    }
    let (code, text) = rig.refusal(&["--line-number", "x"]).await;
    assert_eq!(code, Some(2), "{text}");
}
