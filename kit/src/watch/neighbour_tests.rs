//! Several gateways tell of one pendant: what one of them does not know, and a wearer who
//! goes from site to site.

use super::*;
use crate::watch::incident_lines;

/// The desk as it is after its process was ended and begun again.
fn restarted(it: Sayer) -> Sayer {
    let text = serde_json::to_string(&it.desk).expect("JSON");
    Sayer { desk: serde_json::from_str(&text).expect("a desk"), ..it }
}

#[test]
fn a_gateway_without_the_session_or_the_new_pin_hides_no_duress_nor_who_heard_it() {
    // What the other takes the same digits for: an older keyring, no session, a doubt.
    for other in ["wrong_pin", "session_ended", "safe_pin", "late_request"] {
        for duress_is_first in [true, false] {
            let mut it = Sayer::new();
            let mut tellings = [("g", "duress", -90, 7.5), ("h", other, -118, -11.0)];
            if !duress_is_first {
                tellings.reverse();
            }
            for (gateway, kind, rssi, snr) in tellings {
                let heard = json!({ "rssi_dbm": rssi, "snr_db": snr });
                it.tells(T0, gateway, kind, 5, 77, &heard);
                it = restarted(it);
            }
            let at = format!("{other}, duress first: {duress_is_first}");
            let [incident] = it.open()[..] else { panic!("{at}: {:?}", it.open()) };
            let [alarm] = &incident.alarms[..] else { panic!("{at}: {:?}", incident.alarms) };
            assert_eq!((alarm.kind.as_str(), alarm.covert), ("duress", true), "{at}");
            assert_eq!(incident.safe_pin_ms, None, "{at}: that was the duress PIN itself");
            let mut seen: Vec<_> = alarm
                .sightings
                .iter()
                .map(|it| (it.gateway.as_str(), it.rssi_dbm, it.snr_db))
                .collect();
            seen.sort_by_key(|(gateway, ..)| *gateway);
            let both = [("s/g", Some(-90), Some(7.5)), ("s/h", Some(-118), Some(-11.0))];
            assert_eq!(seen, both, "{at}");
            let shown = incident_lines(incident, T0).join("\n");
            let lines =
                ["s/g lora -90 dBm SNR 7.5 dB", "s/h lora -118 dBm SNR -11 dB, takes it for"];
            assert!(lines.iter().all(|line| shown.contains(line)), "{at}: {shown}");
            // Nor does a safe PIN close it that only the other took for one.
            it.says(T0 + MINUTE, "h", "session_ended", 6);
            assert!(it.open()[0].is_covert() && it.open()[0].waits(), "{at}");
        }
    }
}

#[test]
fn what_was_no_alarm_anywhere_opens_nothing_and_is_forgotten_in_time() {
    let mut it = Sayer::new();
    for id in 0..5_000 {
        it.tells(T0, "g", "wrong_pin", 5, id, &json!({}));
    }
    assert!(it.open().is_empty());
    let kept = |it: &Sayer| serde_json::to_string(it.desk.incidents()).expect("JSON").len();
    assert!(kept(&it) < 16_000, "{} bytes", kept(&it));
    // The newest is known still; the first is no longer, and its alarm counts all the same.
    for (id, sightings) in [(4_999, 2), (1, 1)] {
        it.tells(T0, "h", "duress", 5, id, &json!({}));
        let mut alarms = it.open()[0].alarms.iter().map(|it| it.sightings.len());
        assert_eq!(alarms.next_back(), Some(sightings), "{id}");
    }
}

/// What is told besides of acts elsewhere: incident, gateway, kind.
fn elsewhere(told: &[Told]) -> Vec<(u64, &str, &str)> {
    let one = |told| match told {
        &Told::Elsewhere { incident, ref act } => {
            Some((incident, act.gateway.as_str(), act.kind.as_str()))
        }
        _ => None,
    };
    told.iter().filter_map(one).collect()
}

#[test]
fn an_end_heard_on_the_next_site_settles_no_alarm_and_is_told_with_it() {
    for kind in ["safe_pin", "late_request", "session_started", "session_ended"] {
        let mut it = Sayer::new();
        it.starts(T0, "g", 5, 30);
        it.says(T0 + 20 * MINUTE, "h", kind, 8);
        it = restarted(it);
        let due = T0 + 30 * MINUTE;
        // Its own gateway tells it.
        let own = it.says(due + GRACE, "g", "overdue", 5);
        let Told::Event { change, .. } = &own.told[0] else { panic!("{own:?}") };
        assert_eq!(*change, Some(Change::Opened(1)), "never one too few");
        assert_eq!(elsewhere(&own.told), [(1, "s/h", kind)]);
        let shown = incident_lines(it.open()[0], due + GRACE).join("\n");
        assert!(shown.contains(", since at s/h") && shown.contains("but s/h says: "), "{shown}");
        assert!(own.told[1].lines()[0].contains("still open where it began"));
        assert_eq!(own.told[1].value()["news"], "heard_elsewhere");
    }
}

#[test]
fn the_desk_s_own_alarm_tells_what_was_heard_elsewhere_and_so_does_what_comes_later() {
    let mut it = Sayer::new();
    it.starts(T0, "g", 5, 30);
    it.state(T0 + MINUTE, "g", "offline");
    // Before the session: that says nothing of it. Nor does another's, or a duress PIN.
    it.says(T0, "h", "session_ended", 4);
    it.tells(T0 + MINUTE, "h", "safe_pin", 9, 900, &json!({ "pendant": "000001" }));
    it.tells(T0 + MINUTE, "h", "safe_pin", 9, 901, &json!({ "enrolment": "0bad" }));
    let at = T0 + 30 * MINUTE + GRACE;
    let all = it.desk.due(at, UP, GRACE);
    let (change, told) = it.desk.raise(at, &all[0]);
    assert_eq!((change, elsewhere(&told)), (Change::Opened(1), vec![]));
    let safe = it.says(at + MINUTE, "h", "safe_pin", 9);
    assert_eq!(elsewhere(&safe.told), [(1, "s/h", "safe_pin")]);
    // Old news is none, and the incident stays the operator's.
    let late = it.says(at + MINUTE, "h", "checked_in", 8);
    assert_eq!(elsewhere(&late.told), []);
    assert_eq!(it.open()[0].acts.len(), 1);
    assert!(it.open()[0].waits());
    // Its own gateway's end is what the incident shows as such.
    let own = it.says(at + 2 * MINUTE, "g", "session_ended", 10);
    assert_eq!((elsewhere(&own.told), it.open()[0].safe_pin_ms.is_some()), (vec![], true));
    // The session at the second site is a session of its own.
    it.starts(at, "i", 11, 1);
    let due = it.desk.due(at + 99 * MINUTE, UP, GRACE);
    assert_eq!(due.iter().map(|it| it.gateway.as_str()).collect::<Vec<_>>(), ["s/i"]);
}
